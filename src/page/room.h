/*
 * page: SQLite databases that notice when a bit turns over.
 *
 * SQLite trusts the disk. Here every page of a database carries a checksum, which
 * is made when the page is written and held against it when it is read, and the
 * write-ahead log is looked through before SQLite recovers from it. Knows nothing
 * of tables. Start reading at pagedb.h (the door), then pagesum.h (one page),
 * pagewal.h (the log) and pagevfs.h (how SQLite comes to do it); pageroom.h
 * is for full disks.
 */
#ifndef PFS_MAY_USE_PAGE
#error "page/ is not on this room's line of the floor plan, src/meson.build"
#endif
