/*
 * Going into the background: whoever started pfsd waits until it answers.
 *
 *	parent ── fork ──▶ pfsd: starts, in a session of its own
 *	   waits for a byte on a pipe
 *	   ◀── "ready" ── pfsd: lets go of the terminal, goes on
 *	exits 0, or as pfsd did
 *
 * Threads: before the first other one, but for pfs_background_ready.
 */
#ifndef PFS_DAEMON_BACKGROUND_H
#define PFS_DAEMON_BACKGROUND_H

#include "base/error.h"

/* Returns in pfsd; the process that was called waits and exits. */
int pfs_background_enter(struct pfs_error *err);

/* Errors went to the caller's terminal so far; nothing does from now on. No effect in the foreground. */
void pfs_background_ready(void);

/* Append standard error to a file. */
int pfs_background_log_to(const char *path, struct pfs_error *err);

#endif
