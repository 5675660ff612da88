/*
 * One run of the index, pfs-index(5): a file of records sorted by id.
 *
 *	writer: create ──▶ add, add, ... in the order of ids ──▶ finish      ──▶ open
 *
 * In memory are its Bloom filter and its fences, 1.6 bytes a record; a look-up
 * reads one page, and does not trust it before its checksum was right. Pages
 * are read and not mapped: a disk that cannot be read is an error then, and
 * not the end of the process.
 *
 * Threads: any for a run, which never changes and is counted; one at a time
 * for a writer or a cursor.
 */
#ifndef PFS_STORE_INDEXRUN_H
#define PFS_STORE_INDEXRUN_H

#include "store/room.h"
#include "format/packidx.h"

#define PFS_INDEXRUN_PATH_SIZE 40

struct pfs_indexrun;

/* Where the run's file is below the store's folder. */
void pfs_indexrun_path(uint64_t number, char out[PFS_INDEXRUN_PATH_SIZE]);

/* PFS_E_CORRUPT when it is not the run that `what` tells of, or is damaged where it was read. */
int pfs_indexrun_open(int dir, const struct pfs_idxrun *what,
		      const unsigned char store_uuid[PFS_UUID_SIZE], struct pfs_indexrun **out,
		      struct pfs_error *err);
struct pfs_indexrun *pfs_indexrun_ref(struct pfs_indexrun *run);
void pfs_indexrun_unref(struct pfs_indexrun **run);

const struct pfs_idxrun *pfs_indexrun_what(const struct pfs_indexrun *run);
uint64_t pfs_indexrun_bytes(const struct pfs_indexrun *run); /* of the file */
uint64_t pfs_indexrun_memory(const struct pfs_indexrun *run);

/* Whether the Bloom filter lets the id through. */
bool pfs_indexrun_may_hold(const struct pfs_indexrun *run, const struct pfs_id *id);

/* 1 and the record, 0 when the id is not in the run; negative, naming it, when the disk fails. */
int pfs_indexrun_find(const struct pfs_indexrun *run, const struct pfs_id *id,
		      struct pfs_idxrec *out, struct pfs_error *err);

/* Read every page; the first damage is the error. */
int pfs_indexrun_check(const struct pfs_indexrun *run, struct pfs_error *err);

/* All records of a run, by id. */
struct pfs_indexcursor {
	struct pfs_indexrun *run; /* counted */
	unsigned char *pages;     /* owned */
	uint32_t next;            /* record that comes next */
};
int pfs_indexcursor_init(struct pfs_indexcursor *c, struct pfs_indexrun *run,
			 struct pfs_error *err);
void pfs_indexcursor_fini(struct pfs_indexcursor *c);
int pfs_indexcursor_next(struct pfs_indexcursor *c, struct pfs_idxrec *out, struct pfs_error *err);

struct pfs_indexwriter;

/* Room in the Bloom filter is made for `expected` records; with fewer it only says no more often. */
int pfs_indexwriter_create(int dir, const unsigned char store_uuid[PFS_UUID_SIZE],
			   const struct pfs_idxrun *expected, struct pfs_indexwriter **out,
			   struct pfs_error *err);
/* PFS_E_CORRUPT unless the id comes behind all before it. */
int pfs_indexwriter_add(struct pfs_indexwriter *w, const struct pfs_idxrec *rec,
			struct pfs_error *err);

/* Flush the file; its name is the caller's to make durable. Takes `w`; without a record, *out has none. */
int pfs_indexwriter_finish(struct pfs_indexwriter **w, struct pfs_idxrun *out,
			   struct pfs_error *err);

/* Removes the file; NULL inside is fine. */
void pfs_indexwriter_abort(struct pfs_indexwriter **w);

#endif
