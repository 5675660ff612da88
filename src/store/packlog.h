/*
 * The packs being written, and when their bytes are durable.
 *
 *	append ──▶ writing[data], writing[meta] ──full──▶ sealing ──▶ packs/
 *	add_file ─────────────────────────────────────▶ files ──────▶ packs/a/
 *	                       sync: one flush for all who wait
 *
 * Full packs are sealed by a thread of the log, so that no put waits for a
 * disk unless it is far ahead of it. A sync waits for a flush that began after
 * it did; whoever finds that nobody flushes becomes the flusher, of which there
 * is one at a time, and works without the lock. The thread that seals also keeps
 * the index of what is sealed in order.
 *
 * A write that fails with an I/O error fails no put: the pack is left alone,
 * and what was not durable in it goes to another one with the next flush.
 *
 * When the kernel fails a flush, nobody knows what of the pack is on disk, and
 * asking again would be answered "all well" (the pages count as clean). So the
 * pack is left alone, and everything in it that was not durable is read back,
 * checked, and written to a new pack. What cannot be is declared lost: it is
 * not found any more, and sync fails until the same bytes were put again.
 *
 * Threads: any.
 */
#ifndef PFS_STORE_PACKLOG_H
#define PFS_STORE_PACKLOG_H

#include "store/adopted.h"
#include "store/hasher.h"
#include "store/packset.h"
#include "store/packwriter.h"

struct pfs_packlog;

/* `dir`, `set` and `hasher` are borrowed for the log's life; packs made get numbers from `seq` on. */
int pfs_packlog_new(int dir, struct pfs_packset *set, const struct pfs_hasher *hasher,
		    const unsigned char store_uuid[PFS_UUID_SIZE], uint32_t seq,
		    struct pfs_packlog **out, struct pfs_error *err);

/* Writes out what is buffered, flushes nothing. */
void pfs_packlog_free(struct pfs_packlog **log);

/* Go on with a pack that recovery found in open/; takes `w`. */
void pfs_packlog_resume(struct pfs_packlog *log, struct pfs_packwriter *w);

/* Append a record unless its object is there: 1 when it was, 0 when it is now. */
int pfs_packlog_append(struct pfs_packlog *log, const struct pfs_packrec *rec, const void *payload,
		       struct pfs_error *err);

/* An object that is to be found elsewhere, and where it was. */
struct pfs_move {
	struct pfs_id id;
	struct pfs_place from;
};

/*
 * Append a record in which the given objects lie (a bundle's members, or the
 * one it is) and let those be found there that still are where they were: 1
 * when there was any, 0 and nothing done when not. The old places stay readable.
 */
int pfs_packlog_move(struct pfs_packlog *log, const struct pfs_packrec *rec, const void *payload,
		     const struct pfs_move *moves, size_t n, struct pfs_error *err);

/*
 * Take in file `name` of folder `from` as a pack that holds the pieces of
 * `table`, which is taken on success: 1, and they are found from now on. 0 when
 * the file cannot be linked.
 */
int pfs_packlog_add_file(struct pfs_packlog *log, int from, const char *name,
			 struct pfs_packfooter *table, struct pfs_error *err);

/* Seal a pack though it is not full: 1 when it is sealed now, 0 when it had to stay open. */
int pfs_packlog_seal(struct pfs_packlog *log, const struct pfs_pack *pack, struct pfs_error *err);

int pfs_packlog_sync(struct pfs_packlog *log, struct pfs_error *err);

/* Bytes that are not in the file yet; false when they are (or never were). */
bool pfs_packlog_copy(struct pfs_packlog *log, uint32_t pack, uint64_t off, size_t len, void *out);

/* Buffers to files, for whoever wants to read those. */
int pfs_packlog_write(struct pfs_packlog *log, struct pfs_error *err);

#endif
