/*
 * A committed content that was written into: what of it counts, and which
 * bytes are in a spool file instead. Rules and rows are in pfs-workspace(5).
 *
 *	content   ██████████████████████████│▒▒▒▒      ▒ cut off: behind `keep`
 *	spool          ▓▓▓        ▓             ▓▓▓
 *	file      █████▓▓▓████████▓█████████│000▓▓▓000│
 *	                                   keep      size
 *
 * A range is added after its bytes were written, so who takes note of ranges
 * and then flushes the spool file has all their bytes. Nothing is ever taken
 * out of the spool file: older ranges, which a journal knows, may need it.
 *
 * While a seal reads what was there when it began (its image), writers go on.
 * What they change is kept apart, and after the commit that is all that differs:
 *
 *	image ─▶ commit ─▶ rebase: the commit is the content, later ranges the ranges
 *
 * Threads: any. Lock: PFS_RANK_WORKSPACE_PATCH. The spool file is the caller's.
 */
#ifndef PFS_WORKSPACE_PATCHED_H
#define PFS_WORKSPACE_PATCHED_H

#include "workspace/room.h"
#include "base/lock.h"
#include "store/store.h"
#include "workspace/kept.h"
#include "workspace/ranges.h"

/* Which bytes count; of a patch protected by its lock. */
struct pfs_patched_map {
	struct pfs_ranges ranges; /* these are in the spool file */
	uint64_t keep;            /* of the content */
	uint64_t size;            /* of the file */
};

struct pfs_patched {
	struct pfs_lock lock; /* PFS_RANK_WORKSPACE_PATCH */
	pthread_cond_t cond;
	struct pfs_kept *base; /* the content; protected by lock, as all below */
	uint64_t version;      /* of the content: pfs_node_file.version when it was that */
	struct pfs_patched_map map;
	unsigned writing;        /* calls that write into the spool file now */
	bool appending;          /* one of them decides where the end is */
	bool filling;            /* somebody copies into the spool file: writers wait */
	bool closed;             /* it is not what the node has any more */
	bool queued;             /* the journal will ask soon */
	bool rewrite;            /* what the journal has is no part of the ranges */
	uint64_t image;          /* number of the seal that took an image; 0: none */
	uint64_t image_size;     /* of the file then */
	struct pfs_ranges later; /* written since, or more */
	uint64_t later_keep;     /* of what was sealed */
};

/* All of `base`, which it takes a reference to; nothing is written yet. */
int pfs_patched_new(struct pfs_kept *base, uint64_t version, struct pfs_patched **out,
		    struct pfs_error *err);
void pfs_patched_free(struct pfs_patched **p);

/*
 * Changes. PFS_E_CONFLICT: it is closed, look at the node again. *out_news:
 * the journal is to be told that there is something to ask for.
 */
int pfs_patched_write(struct pfs_patched *p, int fd, uint64_t off, const void *data, size_t len,
		      bool *out_news, struct pfs_error *err);
int pfs_patched_append(struct pfs_patched *p, int fd, const void *data, size_t len, bool *out_news,
		       struct pfs_error *err);
/* Zeros from `off` on; the file grows when `grow`. */
int pfs_patched_zero(struct pfs_patched *p, int fd, uint64_t off, uint64_t len, bool grow,
		     bool *out_news, struct pfs_error *err);
int pfs_patched_resize(struct pfs_patched *p, uint64_t size, bool *out_news, struct pfs_error *err);
/* At least `size` bytes, zeros where there were none. */
int pfs_patched_grow(struct pfs_patched *p, uint64_t size, bool *out_news, struct pfs_error *err);

/* Whether there are so many ranges that pfs_patched_thin is due. */
bool pfs_patched_is_crowded(struct pfs_patched *p);
/* Close the smallest gaps by copying what is in them, until half as many ranges are left. */
int pfs_patched_thin(struct pfs_patched *p, struct pfs_store *st, int fd, struct pfs_error *err);

uint64_t pfs_patched_size(struct pfs_patched *p);

/* Where the bytes from an offset on are. */
enum pfs_patched_from { PFS_PATCHED_ZEROS, PFS_PATCHED_CONTENT, PFS_PATCHED_SPOOL };
struct pfs_patched_piece {
	enum pfs_patched_from from;
	uint64_t end;
	struct pfs_kept *base; /* CONTENT: one reference */
	uint64_t version;      /* CONTENT: of it */
};
/* false: there is nothing, the file ends there. */
bool pfs_patched_look(struct pfs_patched *p, uint64_t off, struct pfs_patched_piece *out);
/* The same of a map, without the content. */
bool pfs_patched_map_look(const struct pfs_patched_map *m, uint64_t off,
			  struct pfs_patched_piece *out);

/*
 * What is there now, for the seal with this number. The bytes of its ranges
 * may become newer while they are read; all that does is in `later` then.
 */
struct pfs_patched_image {
	struct pfs_kept *base; /* one reference */
	struct pfs_patched_map map;
};
int pfs_patched_take_image(struct pfs_patched *p, uint64_t seal, struct pfs_patched_image *out,
			   struct pfs_error *err);
void pfs_patched_image_fini(struct pfs_patched_image *i);
/* Whether nothing changed since the image for this seal. */
bool pfs_patched_is_as_in(struct pfs_patched *p, uint64_t seal);

/*
 * The image for this seal is committed as `sealed`. 1: nothing was changed
 * since, and the patch is closed; 0: it goes on, on that content. When there is
 * no such image nothing happens, and it is 0.
 */
int pfs_patched_rebase(struct pfs_patched *p, uint64_t seal, struct pfs_kept *sealed,
		       uint64_t version);

/* The node has something else from now on. */
void pfs_patched_close(struct pfs_patched *p);

#endif
