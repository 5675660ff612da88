/*
 * The layer between SQLite and the files of a database.
 *
 *	SQLite  ->  "pfs"  ->  SQLite's own unix layer  ->  files
 *
 *	database    pages get their checksum when written, are held against it when read
 *	log         pages are held against the checksum of their frame when read, also
 *	            when a checkpoint moves them into the database
 *	all else    passes
 *
 * Without it a damaged page of the log would get a good checksum on its way into
 * the database. Pages are never mapped. A database that leaves no room for the
 * checksums cannot be read or written through this layer: see pagedb.h.
 *
 * Threads: any, as SQLite's own; a file belongs to one connection.
 */
#ifndef PFS_PAGE_PAGEVFS_H
#define PFS_PAGE_PAGEVFS_H

#include "page/room.h"
#include "base/error.h"
#include <sqlite3.h>

/* The name of the layer, for sqlite3_open_v2; NULL when SQLite cannot take it. */
const char *pfs_pagevfs_name(void);

/* What the layer has found wrong in the files of this connection, once: the text is forgotten when
 * it was told. NULL: nothing. Borrowed until the next call of SQLite. */
const char *pfs_pagevfs_damage(sqlite3 *db);

#endif
