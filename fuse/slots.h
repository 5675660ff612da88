/*
 * Numbers for things: the kernel gets these, never an address, so that another
 * process can go on with them.
 *
 *	number ─▶ page (number / PFS_SLOTS_PAGE) ─▶ item, zero when nobody has it
 *
 * Items have a fixed size and do not move. The most recent page with room is
 * filled first; a page that nobody uses is freed, so that memory is given back.
 *
 * Threads: find needs no lock for a number that is in use; all else needs its
 * owner's.
 */
#ifndef PFS_FUSE_SLOTS_H
#define PFS_FUSE_SLOTS_H

#include "base/error.h"

#include <stdatomic.h>

#define PFS_SLOTS_PAGE 1024u
#define PFS_SLOTS_MAX  (1u << 28) /* numbers; 250 inodes for each of a million files */

struct pfs_slots_page;

struct pfs_slots {
	struct pfs_slots_page *_Atomic *pages; /* owned; NULL inside: nobody uses it */
	struct pfs_slots_page *roomy;          /* those that are not full */
	size_t item_size;
	uint32_t n;       /* items in use */
	uint32_t n_pages; /* all pages are before this one */
};

int pfs_slots_init(struct pfs_slots *s, size_t item_size, struct pfs_error *err);
void pfs_slots_fini(struct pfs_slots *s); /* frees memory, whatever is in use */

/* A zeroed item and its number; NULL: no memory, or no number is left. */
void *pfs_slots_take(struct pfs_slots *s, uint32_t *out_number);
/* The same with this number. NULL also when somebody has it. */
void *pfs_slots_take_at(struct pfs_slots *s, uint32_t number);
void pfs_slots_give(struct pfs_slots *s, uint32_t number);

/* NULL for a number that no page has; zeroes, or NULL, for one that nobody has. */
void *pfs_slots_find(const struct pfs_slots *s, uint64_t number);

/* The first item in use from `*number` on, and its number; NULL: there is none. */
void *pfs_slots_next(const struct pfs_slots *s, uint32_t *number);

#endif
