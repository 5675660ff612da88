/*
 * A story on store, metadata and workspaces together, that remembers what it was
 * promised: which commit is there, which file has which bytes. What is left of it,
 * by a power cut or after errors, is held against that.
 *
 *	put patch remove rename sync commit      on branches, repos come and go
 *	        |
 *	promises: from this moment, until that one, in memory that outlives the teller
 *
 * Threads: the story is told by one thread; memory is powercut_alloc's.
 */
#ifndef PFS_TESTS_POWERSTORY_H
#define PFS_TESTS_POWERSTORY_H

#include <stdbool.h>

struct powerstory;

struct powerstory *powerstory_new(void);

/* Tell it in the folder `data`. A failure is met as a user would meet it: try again, start again,
 * and end the process with a complaint when that does not help. `rounds`: how long it is. */
void powerstory_tell(struct powerstory *s, const char *data, unsigned rounds);

/* A moment when nothing can be changed any more: everything was told. */
#define POWERSTORY_END (~0u)

/*
 * What is in `data` after a cut at `moment`: everything promised by then is there,
 * nothing is half there, no byte is wrong, and work goes on. Ends the process with
 * a complaint when not; wants a process of its own.
 */
void powerstory_check(const struct powerstory *s, const char *data, unsigned moment);

/* Commits and files that were promised; for the last line of a test. */
unsigned powerstory_promises(const struct powerstory *s);

/* Errors that were met while telling. */
unsigned powerstory_errors(const struct powerstory *s);

#endif
