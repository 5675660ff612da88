/*
 * The content of a file as the workspace keeps it: compact, counted, immutable.
 *
 * A struct pfs_content has room for inline bytes whether it needs it or not;
 * a workspace holds very many of them, mostly one chunk each.
 *
 * Threads: any.
 */
#ifndef PFS_WORKSPACE_KEPT_H
#define PFS_WORKSPACE_KEPT_H

#include "workspace/room.h"
#include "base/buf.h"
#include "tree/entry.h"

struct pfs_kept {
	_Atomic unsigned refs;
	uint8_t form; /* enum pfs_content_form */
	uint64_t size;
	unsigned char data[]; /* the id, or `size` bytes when inline */
};

/* NULL without memory. */
struct pfs_kept *pfs_kept_new(const struct pfs_content *content);
struct pfs_kept *pfs_kept_ref(struct pfs_kept *k);
void pfs_kept_unref(struct pfs_kept **k);

void pfs_kept_content(const struct pfs_kept *k, struct pfs_content *out);

/* As pfs-workspace(5) has it: form, size, id or bytes. */
int pfs_kept_encode(const struct pfs_kept *k, struct pfs_buf *out, struct pfs_error *err);
int pfs_kept_decode(const void *data, size_t len, struct pfs_kept **out, struct pfs_error *err);

#endif
