/*
 * A story on store, metadata and workspaces together, that remembers what it was
 * promised: which commit is there, which file has which bytes. What is left of it,
 * by a power cut or after errors, is held against that.
 *
 *	put patch remove rename sync commit      on branches, repos come and go
 *	collect repair tidy                      on all of it; large files are adopted
 *	        |
 *	promises: from this moment, until that one, in memory that outlives the teller
 *
 * Threads: the story is told by one thread; memory is powercut_alloc's.
 */
#ifndef PFS_TESTS_POWERSTORY_H
#define PFS_TESTS_POWERSTORY_H

#include <pfs/id.h>
#include <stdbool.h>

struct powerstory;

struct powerstory *powerstory_new(void);

/* Tell it in the folder `data`. A failure is met as a user would meet it: try again, start again,
 * and end the process with a complaint when that does not help. `rounds`: how long it is. */
void powerstory_tell(struct powerstory *s, const char *data, unsigned rounds);

/* The same, and end this process in the middle of things: nothing is closed. */
void powerstory_tell_and_die(struct powerstory *s, const char *data, unsigned rounds);

/* Another process, after the teller was killed: opens what is there, commits one more file, and is
 * promised that. */
void powerstory_continue(struct powerstory *s, const char *data);

/* A moment when nothing can be changed any more: everything was told. */
#define POWERSTORY_END (~0u)

/*
 * What is in `data` after a cut at `moment`: everything promised by then is there,
 * nothing is half there, no byte is wrong, and work goes on. Ends the process with
 * a complaint when not; wants a process of its own.
 */
void powerstory_check(const struct powerstory *s, const char *data, unsigned moment);

/*
 * The same, twice: the first check's own work is promised from `acked` on, a moment
 * of its own, and the next one after another cut is to find it. NULL: nothing before,
 * or nobody wants to know.
 */
struct powerstory_onward {
	struct pfs_commit_id id;
	unsigned acked; /* 0: not yet */
};
void powerstory_check_on(const struct powerstory *s, const char *data, unsigned moment,
			 const struct powerstory_onward *before, struct powerstory_onward *after);

/*
 * The same when bytes of `data` are not as they were written: what is said of it, and
 * what cannot be read any more. A wrong byte that is given out as a right one ends the
 * process.
 */
struct powerstory_findings {
	bool refused;        /* data or a workspace could not be opened at all */
	unsigned complaints; /* of the checks */
	unsigned missing;    /* commits and files that were promised and cannot be read */
	char text[4096];     /* all that was said, as far as it fits */
};
void powerstory_probe(const struct powerstory *s, const char *data,
		      struct powerstory_findings *out);

/* Commits and files that were promised; for the last line of a test. */
unsigned powerstory_promises(const struct powerstory *s);

/* What the story came to: packs that were adopted at a time, rewritten by tidying, and removed by
 * collections. */
struct powerstory_work {
	unsigned adopted, repacked, collected;
};
struct powerstory_work powerstory_work(const struct powerstory *s);

/* Errors that were met while telling. */
unsigned powerstory_errors(const struct powerstory *s);

#endif
