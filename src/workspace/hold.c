#include "workspace/file.h"
#include "workspace/save.h"
#include "workspace/workspace_i.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/*
 * life of a file that is open and has no name
 *	held       by references; its bytes in the spool, nothing of it in the journal
 *	written    hold: the journal has it in a directory that is nowhere
 *	found      the next process read it from there, and has a reference of its own
 *	held       a tick later: the journal knows nothing of it any more
 * In between, a process that nobody was held for lets it go with the tick; and one
 * that could not give it away has it still, and the journal forgets it likewise.
 */

PFS_VEC_DEFINE(push_node, struct pfs_nodes, struct pfs_node *, "what is held")

static bool is_held_nameless(const struct pfs_workspace *ws, const struct pfs_node *n)
{
	return !n->place && n != ws->root && n->ino != PFS_ROOT_INO && n->refs > 0;
}

/* References that nobody gives back: they end with the memory. */
static int note_nameless(struct pfs_workspace *ws, struct pfs_error *err)
{
	struct pfs_node *n;
	size_t pos = 0;
	int rc = 0;

	while (rc == 0 && (n = pfs_map_next(&ws->inos, &pos))) {
		if (n->type == PFS_ENTRY_FILE)
			pfs_file_keep_spooled(n);
		if (!is_held_nameless(ws, n))
			continue;
		rc = push_node(&ws->nameless, n, err);
		if (rc == 0)
			pfs_node_ref(n);
	}
	return rc;
}

int pfs_workspace_hold(struct pfs_workspace *ws, struct pfs_error *err)
{
	int rc;

	pfs_workspace_end_hold(ws);
	pfs_rwlock_write(&ws->lock);
	rc = note_nameless(ws, err);
	ws->holding = rc == 0;
	pfs_rwlock_unlock(&ws->lock);
	return rc < 0 ? rc : pfs_workspace_sync(ws, err);
}

int pfs_workspace_find_held(struct pfs_workspace *ws, uint64_t ino, struct pfs_node **out,
			    struct pfs_error *err)
{
	struct pfs_node *n;

	pfs_rwlock_write(&ws->lock);
	n = pfs_map_find(&ws->inos, &ino, sizeof(ino));
	if (n && !is_held_nameless(ws, n))
		n = NULL;
	if (n)
		pfs_node_ref(n);
	pfs_rwlock_unlock(&ws->lock);
	if (!n)
		return pfs_fail(err, PFS_E_NOTFOUND, "nothing without a name has number %" PRIx64,
				ino);
	*out = n;
	return 0;
}

/*
 * What is clean has the number of the name that it is found by first; it may have
 * had that of a name that it has lost. What has several names is found by its
 * number when another one is looked up: it gets the one it has to have.
 */
void pfs_workspace_renumber(struct pfs_workspace *ws, struct pfs_node *n, uint64_t ino)
{
	uint64_t was;

	pfs_rwlock_write(&ws->lock);
	was = n->ino;
	if (ino > PFS_ROOT_INO && ino != was && was != PFS_ROOT_INO && !n->dirty && !n->journaled &&
	    n->n_places == 1 && !pfs_map_find(&ws->inos, &ino, sizeof(ino))) {
		pfs_map_remove(&ws->inos, &n->ino, sizeof(n->ino));
		n->ino = ino;
		if (pfs_map_set(&ws->inos, &n->ino, sizeof(n->ino), n, NULL) < 0) {
			/* There is room for what was there. */
			n->ino = was;
			pfs_map_set(&ws->inos, &n->ino, sizeof(n->ino), n, NULL);
		}
	}
	pfs_rwlock_unlock(&ws->lock);
}

void pfs_workspace_end_hold(struct pfs_workspace *ws)
{
	struct pfs_nodes gone;

	pfs_rwlock_write(&ws->lock);
	ws->holding = false;
	gone = ws->nameless;
	ws->nameless = (struct pfs_nodes){ 0 };
	for (size_t i = 0; i < gone.n; i++) {
		pfs_node_leave_nowhere(gone.items[i]);
		pfs_node_put(&gone.items[i]);
	}
	pfs_rwlock_unlock(&ws->lock);
	free(gone.items);
}

bool pfs_node_name(struct pfs_node *n, struct pfs_node **out_dir, char name[PFS_NAME_SIZE_MAX + 1])
{
	bool named;

	pfs_rwlock_read(&n->ws->lock);
	named = n->place;
	if (named) {
		memcpy(name, n->place->name, n->place->name_len + 1u);
		*out_dir = pfs_node_ref(n->place->dir);
	}
	pfs_rwlock_unlock(&n->ws->lock);
	return named;
}
