/*
 * Bytes of new files on local disk, one file each:
 * <folder>/spool/<serial / 1024>/<ino>-<serial>.
 *
 * Files of one folder get their inodes in one place of the disk, and some file
 * systems (ext4) give those of removed files out again only after a minute, and
 * look at each of them until then. So who makes many files moves on.
 *
 * This is the folder alone: names, descriptors, flushing. Whose bytes they are
 * is node.h's, when they may go is save.h's.
 *
 * Threads: any.
 */
#ifndef PFS_WORKSPACE_SPOOL_H
#define PFS_WORKSPACE_SPOOL_H

#include "workspace/room.h"
#include "base/error.h"
#include "base/lock.h"
#include "tree/entry.h"

/* One spool file, named. */
struct pfs_spool_name {
	uint64_t ino;
	uint64_t serial; /* no two files of a workspace ever share one */
};

#define PFS_SPOOL_NAME_SIZE 56
/* Its path in the spool. */
const char *pfs_spool_format(const struct pfs_spool_name *name, char out[PFS_SPOOL_NAME_SIZE]);

struct pfs_spool {
	int dir;
	_Atomic uint64_t next_serial;
	_Atomic unsigned reserved; /* bytes */
	struct pfs_lock lock;      /* PFS_RANK_WORKSPACE_SPOOL */
	uint64_t unsynced_from;    /* folder: names were made there, and behind it, since they were
				      flushed; UINT64_MAX: nowhere */
	bool folders_unsynced;     /* a folder was made; both protected by lock */
};

/* Before all else; to be closed also when it is not opened. */
void pfs_spool_init(struct pfs_spool *s);
int pfs_spool_open(int folder, struct pfs_spool *s, struct pfs_error *err);
void pfs_spool_close(struct pfs_spool *s);

/* A new empty file; returns its descriptor and tells its name. */
int pfs_spool_create(struct pfs_spool *s, uint64_t ino, struct pfs_spool_name *out,
		     struct pfs_error *err);
/* An existing one, for reading and writing. */
int pfs_spool_reopen(struct pfs_spool *s, const struct pfs_spool_name *name, struct pfs_error *err);
/* The same for reading only, which is_written() needs. */
int pfs_spool_reopen_read(struct pfs_spool *s, const struct pfs_spool_name *name,
			  struct pfs_error *err);
/*
 * Whether anybody at all has the file open for writing, or mapped so: ourselves, or
 * somebody to whom the kernel passed it, who may have closed it since and has still
 * a mapping, or outlived the pfsd that gave it to him. `fd` is open for reading.
 */
bool pfs_spool_is_written(int fd);
/* The file is there and has `size` bytes at least, zeros where they were lost: durable. */
int pfs_spool_fill(struct pfs_spool *s, const struct pfs_spool_name *name, uint64_t size,
		   struct pfs_error *err);
/* For a descriptor that somebody may keep open: itself, or closed and PFS_E_LIMIT when few are left. */
int pfs_spool_spare(int fd, struct pfs_error *err);

/* Size, blocks of 512 bytes and time of a file; `fd` or, when negative, by name. */
struct pfs_spool_stat {
	uint64_t size;
	uint64_t blocks;
	uint64_t links;
	int64_t mtime_sec;
	uint32_t mtime_nsec;
};
int pfs_spool_stat(struct pfs_spool *s, const struct pfs_spool_name *name, int fd,
		   struct pfs_spool_stat *out, struct pfs_error *err);
int pfs_spool_set_mtime(struct pfs_spool *s, const struct pfs_spool_name *name, int fd,
			const struct pfs_attrs *attrs, struct pfs_error *err);

/* The first `max` bytes of one file into another, which is empty; tells how many there were. */
int pfs_spool_copy(int from, uint64_t max, int to, uint64_t *out_size, struct pfs_error *err);

/* Make bytes and times of these files durable, and their names. */
int pfs_spool_sync(struct pfs_spool *s, const struct pfs_spool_name *names, size_t n,
		   struct pfs_error *err);

/*
 * Room set aside, so that on a full disk the journal can still be told what was
 * written, and that files were removed: their bytes go only after that. Made again,
 * smaller if need be.
 */
void pfs_spool_reserve(struct pfs_spool *s);
/* Give the room up; false when there is none. One at a time, as for the others. */
bool pfs_spool_release(struct pfs_spool *s);
/* What there is of it beyond half, which is for removals; false when that is nothing. */
bool pfs_spool_release_half(struct pfs_spool *s);

/* What is free on the disk for us; 0 when it cannot be told. */
uint64_t pfs_spool_free_bytes(const struct pfs_spool *s);

/* What is not there is fine; a failure leaves an orphan for the next open. */
void pfs_spool_unlink(struct pfs_spool *s, const struct pfs_spool_name *name);
/* The same for many, and for the folders that they leave empty. */
void pfs_spool_unlink_many(struct pfs_spool *s, const struct pfs_spool_name *names, size_t n);

/* Files of before there were folders get into theirs. When nobody else has the workspace. */
int pfs_spool_upgrade(struct pfs_spool *s, struct pfs_error *err);

/* Whether there is any file of somebody's bytes. */
int pfs_spool_has_files(struct pfs_spool *s, bool *out, struct pfs_error *err);

/* Remove every file `wanted` does not claim, and put the serial past all others. */
int pfs_spool_sweep(struct pfs_spool *s,
		    bool (*wanted)(void *arg, const struct pfs_spool_name *name), void *arg,
		    struct pfs_error *err);

#endif
