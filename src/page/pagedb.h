/*
 * Open a database whose pages have checksums, and look through one.
 *
 *	not there    made, with room for the checksums
 *	ours         its log is looked through (pagewal.h), then SQLite opens it
 *	older        pages without checksums: rewritten once, whole or not at all
 *
 * Threads: as SQLite's connections: one at a time each.
 */
#ifndef PFS_PAGE_PAGEDB_H
#define PFS_PAGE_PAGEDB_H

#include "page/room.h"
#include "base/error.h"
#include <sqlite3.h>

/*
 * A connection to the database in file `path`; `flags` are SQLite's. ":memory:" has no
 * checksums. PFS_E_CORRUPT names page or frame and says what can be done. What others
 * have open is not looked through: they did that.
 */
int pfs_pagedb_open(const char *path, int flags, sqlite3 **out, struct pfs_error *err);

/* When the last failure of SQLite was a page that is not as it was written: PFS_E_CORRUPT and a
 * text that names file and page. Otherwise 0, and `err` is untouched. */
int pfs_pagedb_fail(sqlite3 *db, struct pfs_error *err);

/* Move what is in the log into the database, so that at rest there is no log. A failure is none: it
 * is moved later. */
void pfs_pagedb_rest(sqlite3 *db);

/*
 * Read every page of the database and every frame of its log and say what is wrong;
 * `damage` is called for each, `text` names the file. The number of calls. Nobody may
 * write meanwhile.
 */
int64_t pfs_pagedb_check(sqlite3 *db, void (*damage)(void *arg, const char *text), void *arg);

#endif
