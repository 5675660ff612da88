/*
 * Bytes of an open file without a call for each of them: a descriptor of its
 * spool file, borrowed to read and write past us, and content by reference.
 */
#include "workspace/open_i.h"
#include "workspace/file.h"

/* --- a descriptor -------------------------------------------------------- */

/* Only a file that is never replaced under its users, and all of which counts. */
int pfs_workspace_local_fd(struct pfs_open *o)
{
	struct pfs_spooled *s = NULL;
	int fd = -1;

	if (pfs_open_hold(o, &s, NULL) < 0 || !s)
		return -1;
	if (!pfs_spooled_may_be_borrowed(o->node)) {
		pfs_spooled_unref(&s);
		return -1;
	}
	s->borrowed = true;
	if (!s->patch && !s->lent && !s->replaced) {
		if (o->write) {
			o->wrote = true;
			atomic_store(&s->strange, true);
			if (!o->past)
				atomic_fetch_add(&o->node->file.past, 1);
			o->past = true;
		}
		fd = s->fd;
	}
	pfs_spooled_unref(&s);
	return fd;
}

/* --- by reference -------------------------------------------------------- */

bool pfs_workspace_content(struct pfs_open *o, struct pfs_content *out)
{
	uint64_t version;
	struct pfs_kept *kept = pfs_open_kept(o, &version);

	if (!kept)
		return false;
	pfs_kept_content(kept, out);
	pfs_kept_unref(&kept);
	return true;
}

/*
 * Whether nobody changes the spool file, or could without our hearing of it, and
 * it has no more than `size` bytes. With the mark set: who comes now waits for
 * the lock and looks again, and who came before it is seen.
 */
static bool is_at_rest(struct pfs_open *o, const struct pfs_spooled *s, uint64_t size)
{
	struct pfs_spool_stat st;

	if (atomic_load(&s->borrowed) && !s->patch && !s->lent)
		return false;
	if (atomic_load(&o->changes) || o->node->file.writers != 1)
		return false;
	return pfs_spooled_stat(o->node, &st, NULL, NULL) == 0 && st.size <= size;
}

/* With the lock held: all of the file is about to be replaced by `size` bytes, if it can be. */
static bool make_way(struct pfs_open *o, uint64_t size)
{
	struct pfs_node *n = o->node;
	struct pfs_spooled *s = n->file.spooled;

	if (!s)
		return n->file.kept->size <= size;
	atomic_store(&s->replaced, true);
	if (!is_at_rest(o, s, size)) {
		atomic_store(&s->replaced, false);
		return false;
	}
	pfs_spooled_drop(n);
	return true;
}

int pfs_workspace_become(struct pfs_open *o, const struct pfs_content *content,
			 struct pfs_error *err)
{
	struct pfs_node *n = o->node;
	struct pfs_kept *kept;
	bool done;

	if (!o->write)
		return pfs_fail(err, PFS_E_DENIED, "the file is open for reading only");
	kept = pfs_kept_new(content);
	if (!kept)
		return pfs_fail_nomem(err, "a content");
	pfs_rwlock_write(&o->ws->lock);
	done = make_way(o, kept->size);
	if (done)
		pfs_file_become(n, kept);
	pfs_rwlock_unlock(&o->ws->lock);
	pfs_kept_unref(&kept);
	if (done)
		pfs_feed_note(&o->ws->feed, n, NULL, 0);
	return done;
}
