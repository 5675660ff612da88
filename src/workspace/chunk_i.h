/*
 * The inside of chunking: a file to be chunked, and the two ways to do it.
 *
 *	chunk.c          rounds, and what is known
 *	chunk_new.c      a whole spool file: copied, or taken in by the store as it is
 *	chunk_patched.c  a content that was written into
 */
#ifndef PFS_WORKSPACE_CHUNK_I_H
#define PFS_WORKSPACE_CHUNK_I_H

#include "base/vec.h"
#include "workspace/chunk.h"
#include "workspace/workspace_i.h"

/* A file whose bytes are to be chunked without the lock. */
struct pfs_chunk_task {
	struct pfs_node *node; /* one reference */
	enum pfs_file_state state;
	struct pfs_spool_name name;
	uint64_t stamp;
	bool open;             /* somebody is writing, or may be behind our back */
	bool strange;          /* it has to be found out */
	bool unused;           /* nobody has it open */
	bool several;          /* it has other names */
	size_t place;          /* of its directory, in the places of the round */
	bool named;            /* the base may have a file of its name ... */
	size_t at;             /* ... which is here, terminated, in the names of the round, */
	struct pfs_id dir;     /* in this directory; zero: it has none */
	struct pfs_kept *kept; /* the result; NULL: it went away meanwhile */
};

struct pfs_chunk_tasks PFS_VEC(struct pfs_chunk_task);

/* New files of one round: short ones are gathered and stored together. */
struct pfs_chunk_batch;
int pfs_chunk_batch_open(struct pfs_workspace *ws, const struct pfs_buf *names,
			 enum pfs_chunk_how how, struct pfs_chunk_batch **out,
			 struct pfs_error *err);
void pfs_chunk_batch_close(struct pfs_chunk_batch **b);
/* The task, which stays where it is, is done now or with the flush. */
int pfs_chunk_batch_add(struct pfs_chunk_batch *b, struct pfs_chunk_task *t, struct pfs_error *err);
int pfs_chunk_batch_flush(struct pfs_chunk_batch *b, struct pfs_error *err);

/* One NEW file now, by copying; `fd` or, when negative, by name. */
int pfs_chunk_new(struct pfs_workspace *ws, const struct pfs_spool_name *name, int fd,
		  struct pfs_kept **out, struct pfs_error *err);

/* A PATCHED file as it is now; NULL and no error when it is not patched any more. */
int pfs_chunk_patched(struct pfs_workspace *ws, struct pfs_node *n, struct pfs_kept **out,
		      struct pfs_error *err);

int pfs_chunk_keep(const struct pfs_content *content, struct pfs_kept **out, struct pfs_error *err);

#endif
