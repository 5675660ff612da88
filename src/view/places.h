/*
 * Handles as bytes: how the next process finds again what this one holds.
 *
 *	places     each is something in a place before it
 *	handles    which place each of them is
 *	datums     what running jobs see, which is nowhere else
 *
 * The bytes are those of pfs-handover(5), "places". What is decoded borrows its
 * names from them.
 *
 * Threads: any.
 */
#ifndef PFS_VIEW_PLACES_H
#define PFS_VIEW_PLACES_H

#include "view/room.h"
#include "base/buf.h"
#include "base/vec.h"
#include <pfs/view.h>

enum pfs_place_kind {
	PFS_PLACE_GONE,     /* nothing leads there any more */
	PFS_PLACE_ROOT,     /* of everything */
	PFS_PLACE_NAME,     /* found by its name in `parent` */
	PFS_PLACE_COMMIT,   /* the same, but what the name meant then: `commit` */
	PFS_PLACE_TOP,      /* the workspace of a branch: `repo`, and `name` */
	PFS_PLACE_NAMELESS, /* `number` of the workspace `parent` */
	PFS_PLACE_KINDS
};

#define PFS_PLACE_NONE UINT32_MAX

struct pfs_place {
	enum pfs_place_kind kind;
	uint32_t parent; /* NAME, COMMIT, NAMELESS */
	uint64_t number; /* NAME: what stat(2) says; NAMELESS: of the node; TOP: when the branch was
			    made, 0: unknown */
	const unsigned char *name, *repo; /* borrowed, not terminated */
	uint8_t name_len, repo_len;
	bool canonical; /* COMMIT */
	struct pfs_commit_id commit;
};

struct pfs_place_input {
	const unsigned char *name, *repo, *path;
	uint8_t name_len, repo_len;
	uint32_t path_len;
	struct pfs_commit_id commit;
};

struct pfs_place_datum {
	uint64_t serial;
	int64_t created_ns;
	const unsigned char *name, *repo, *branch; /* of the output */
	uint8_t name_len, repo_len, branch_len;
	struct pfs_place_input *inputs; /* owned */
	uint32_t n_inputs;
};

struct pfs_places {
	struct PFS_VEC(struct pfs_place) places;
	struct PFS_VEC(uint32_t) handles; /* PFS_PLACE_NONE: of nothing */
	struct PFS_VEC(struct pfs_place_datum) datums;
};

void pfs_places_fini(struct pfs_places *p);

int pfs_place_encode(const struct pfs_place *p, struct pfs_buf *out, struct pfs_error *err);
int pfs_place_datum_encode(const struct pfs_place_datum *d, struct pfs_buf *out,
			   struct pfs_error *err);

/*
 * The three tables, each its count and its items; `data` is what the result borrows
 * from. PFS_E_CORRUPT: a place in one behind it, a name that cannot be, and the like.
 */
int pfs_places_decode(const void *data, size_t len, struct pfs_places *out, struct pfs_error *err);

#endif
