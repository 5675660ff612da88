/*
 * meta: names that change. Rows, one transaction, events.
 *
 * Knows ids of content but never looks at the content. What happened is a row
 * written in the transaction that did it; whoever cares reads on from a cursor.
 * Start reading at rows.h, then meta.h (all reads), txn.h (the only way to
 * write) and event.h; the tables are in schema.sql and pfs-metadata(5).
 */
#ifndef PFS_MAY_USE_META
#error "meta/ is not on this room's line of the floor plan, src/meson.build"
#endif
