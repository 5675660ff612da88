/*
 * The nouns of <pfs/...> as lines of JSON: one object, one line. The fields are
 * an interface, described in pfs-http(7): add, never rename.
 *
 * Threads: any.
 */
#ifndef PFS_DAEMON_FACTS_H
#define PFS_DAEMON_FACTS_H

#include "base/buf.h"
#include <pfs/pfs.h>

/* Each appends one line. */
int pfs_facts_repo(const struct pfs_repo *r, struct pfs_buf *out, struct pfs_error *err);
int pfs_facts_branch(const struct pfs_branch *b, struct pfs_buf *out, struct pfs_error *err);
int pfs_facts_commit(const struct pfs_commit *c, struct pfs_buf *out, struct pfs_error *err);
int pfs_facts_change(const struct pfs_change *c, struct pfs_buf *out, struct pfs_error *err);
int pfs_facts_pipeline(const struct pfs_pipeline *p, struct pfs_buf *out, struct pfs_error *err);
int pfs_facts_job(const struct pfs_job *j, struct pfs_buf *out, struct pfs_error *err);
int pfs_facts_event(const struct pfs_event *e, struct pfs_buf *out, struct pfs_error *err);

/* A file, directory or link of a listing; `path` is relative to the commit, `target` of a link or NULL. */
int pfs_facts_file(const char *path, const struct pfs_attr *a, const char *target,
		   struct pfs_buf *out, struct pfs_error *err);

#endif
