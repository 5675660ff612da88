/*
 * The inside of abuse.c: a worker's log, and who judges a commit by it.
 *
 * Threads: a worker alone writes its log; others read `started` and `done`.
 */
#ifndef PFS_ABUSE_H
#define PFS_ABUSE_H

#include "abuse_model.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

struct log {
	struct step *steps;
	size_t cap;
	_Atomic size_t started, done; /* steps; started - done is 0 or 1 */
};

/* Says what is wrong with pfs, and ends all of it. */
#define WRONG(...)                            \
	do {                                  \
		fprintf(stderr, __VA_ARGS__); \
		fputc('\n', stderr);          \
		_exit(1);                     \
	} while (0)

/*
 * What a directory holds is what its worker had made of it after one and the
 * same step, from number `first` to `last`; the model stands at `first`. Only
 * files that were open for writing, and those of a mebibyte, may have later
 * bytes; those of 256 KiB or more, earlier ones, too.
 */
void judge(const char *path, const struct model *m, const struct log *log, size_t first,
	   size_t last);

/*
 * The same after pfsd was killed: names and attributes are as after one step,
 * from number `promised` on; bytes are as they were at any of them, but not
 * older than the last fsync of their file.
 */
void judge_crash(const char *path, const struct model *m, const struct log *log, size_t first,
		 size_t promised, size_t last);

/* What is at a name of a directory is just so now; the path is for telling. */
void compare(int dir, const char *name, const char *path, const struct model *m,
	     const struct inode *i);

/* A number for all that is below a path. */
uint64_t digest(const char *path);

#endif
