/*
 * What a power cut leaves: everything that this process does to the files below a
 * folder is recorded, and disks are made of it that a cut at any moment could have
 * left behind.
 *
 *	the program's own open, write, rename, fsync, ... are defined in powercut.c,
 *	and the libraries that it is linked with, SQLite among them, call these
 *
 * The disk of the model keeps nothing that was not asked for, and no order:
 *
 *	bytes     A write or truncation is on the disk when an fsync, fdatasync or
 *	          syncfs of that file has returned since. Until then each is there,
 *	          not there, or torn: there in some sectors of 512 bytes. A later one
 *	          may be there without an earlier one.
 *	names     A name that was made or removed is on the disk when an fsync of its
 *	          folder, or a syncfs, has returned since. Until then each is there or
 *	          not, whatever happens to others. An fsync of the file itself does
 *	          nothing for its name. A rename is one thing: both names or neither,
 *	          as on every journaling file system; of one name, what happened last
 *	          counts. A file is what its folder leads to: when the folder's own
 *	          name is lost, so is what was in it.
 *	failing   What was written before an fsync that failed is there or not, for
 *	          good: the kernel forgets that it was dirty, and the next fsync
 *	          says nothing of it.
 *	others    sync_file_range promises nothing. What is written through a mapping
 *	          (SQLite's -shm) is never there. Times, owners and modes are not
 *	          modelled.
 *
 * That is less than ext4 does in any mode, and what POSIX allows, but for renames.
 * The same recorder can let the n-th operation fail: see powercut_fail.
 *
 * Threads: any while recording; all else is for a process with one thread.
 */
#ifndef PFS_TESTS_POWERCUT_H
#define PFS_TESTS_POWERCUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Memory that a child shares with its parent: what the story tells lives there,
 * until powercut_forget lets go of all of it, in this process, for another story.
 * One story at a time: processes that tell side by side forget first.
 */
void *powercut_alloc(size_t len);
void powercut_forget(void);

/* The same, zeroed, and kept. */
void *powercut_share(size_t len);

/*
 * Other memory than the present one, NULL for new; the present one is kept as it is,
 * and given back. Moments and events are those of the memory in use.
 */
struct powercut_tape;
struct powercut_tape *powercut_swap(struct powercut_tape *other);

/* Record what this process does below `folder` from now on, where what is there already is on the
 * disk; children of it record into the same memory, so let one tell the story and end. */
void powercut_record(const char *folder);
void powercut_stop(void);

/* Go on recording in another process, after the one before was killed: the kernel has what that
 * wrote, and the disk need not. */
void powercut_resume(void);

/* How many operations were recorded: a moment in the story. */
unsigned powercut_now(void);

/* Of these, how many moved something towards the disk: fsync and its like. */
unsigned powercut_flushes(void);

/*
 * Let operation `at` (from 1, counting from here) of this process below the folder
 * fail with `sys`, once; 0 counts only. A write that is to fail with 0 is short: it
 * writes half; POWERCUT_DIE ends the process in its place. With `reads` operations that change nothing count too.
 */
#define POWERCUT_DIE (-2)
void powercut_fail(unsigned at, int sys, bool reads);
unsigned powercut_operations(void); /* counted since */
bool powercut_failed(void);         /* whether it has happened */

/*
 * Disks, made one after the other at moments that only grow. Each is chosen by
 * `seed` alone.
 */
struct powerdisk;
struct powerdisk *powerdisk_new(void);
void powerdisk_free(struct powerdisk **d);

/* Write into the folder `path`, emptied before, what a cut at `moment` left. */
void powerdisk_make(struct powerdisk *d, unsigned moment, uint64_t seed, const char *path);

/* What is in powercut.c for powerdisk.c. Object 0 is the folder. */
enum powercut_op {
	POWERCUT_WRITE,    /* object, off, data, len */
	POWERCUT_TRUNCATE, /* object, off: the size */
	POWERCUT_ZERO,     /* object, off, len: fallocate, by punching or not; `keep` the size */
	POWERCUT_FLUSH,    /* object: a file's bytes or a folder's names */
	POWERCUT_FLUSH_ALL,
	POWERCUT_FLUSH_FAILED, /* object */
	POWERCUT_NAME,         /* dir, name now leads to object, which is a folder or not */
	POWERCUT_UNNAME,       /* dir, name */
	POWERCUT_RENAME,       /* dir, name no more; to_dir, to_name leads to object */
};

struct powercut_event {
	enum powercut_op op;
	uint32_t object, dir, to_dir;
	bool is_folder, keep;
	uint64_t off, len;
	const unsigned char *data;
	const char *name, *to_name;
};
const struct powercut_event *powercut_event(unsigned number); /* from 0 */

#endif
