#include "workspace/spooled.h"
#include "base/io.h"
#include "workspace/workspace_i.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/stat.h>

int pfs_spooled_new(const struct pfs_spool_name *name, int fd, struct pfs_patched *patch,
		    struct pfs_spooled **out, struct pfs_error *err)
{
	struct pfs_spooled *s = calloc(1, sizeof(*s));

	if (!s)
		return pfs_fail_nomem(err, "a spool file");
	s->name = *name;
	atomic_init(&s->refs, 1);
	atomic_init(&s->replaced, false);
	atomic_init(&s->borrowed, false);
	atomic_init(&s->strange, false);
	s->fd = fd;
	s->patch = patch;
	*out = s;
	return 0;
}

struct pfs_spooled *pfs_spooled_ref(struct pfs_spooled *s)
{
	atomic_fetch_add_explicit(&s->refs, 1, memory_order_relaxed);
	return s;
}

void pfs_spooled_unref(struct pfs_spooled **spooled)
{
	struct pfs_spooled *s = *spooled;

	*spooled = NULL;
	if (!s || atomic_fetch_sub_explicit(&s->refs, 1, memory_order_acq_rel) != 1)
		return;
	pfs_fd_close(&s->fd);
	pfs_patched_free(&s->patch);
	free(s);
}

int pfs_spooled_use(struct pfs_node *n, struct pfs_spooled **out, struct pfs_error *err)
{
	struct pfs_spooled *s = n->file.spooled;

	if (s->fd < 0) {
		int fd = pfs_spool_reopen(&n->ws->spool, &s->name, err);

		fd = pfs_spool_spare(fd, err);
		if (fd < 0)
			return fd;
		s->fd = fd;
	}
	s->users++;
	*out = pfs_spooled_ref(s);
	return 0;
}

int pfs_spooled_unuse(struct pfs_node *n, struct pfs_spooled *s)
{
	int fd = -1;

	assert(s->users > 0);
	if (--s->users == 0 && !atomic_load(&s->replaced)) {
		fd = s->fd;
		s->fd = -1;
		if (n->file.state == PFS_FILE_CLEAN)
			pfs_spooled_drop(n);
	}
	pfs_spooled_unref(&s);
	return fd;
}

void pfs_spooled_drop(struct pfs_node *n)
{
	struct pfs_spooled *s = n->file.spooled;

	pfs_node_forget_ranges(n);
	n->file.spooled = NULL;
	if (s->patch)
		pfs_patched_close(s->patch);
	atomic_store(&s->replaced, true);
	if (s->journaled) {
		n->ws->doomed_bytes += n->file.blocks * 512;
		pfs_workspace_note_pending(n->ws);
	}
	pfs_workspace_doom(n->ws, &s->name, s->journaled);
	pfs_spooled_unref(&s);
}

/*
 * What is written past us nobody tells of but the time of the file. While somebody
 * can, every write clears the bits: who did it is not known, and POSIX lets it.
 */
static uint16_t mode_after(const struct pfs_node *n, const struct pfs_spool_stat *st)
{
	uint16_t mode = n->attrs.mode;

	if (atomic_load(&n->file.past) == 0 ||
	    (st->mtime_sec == n->attrs.mtime_sec && st->mtime_nsec == n->attrs.mtime_nsec))
		return mode;
	return mode & (uint16_t) ~(S_ISUID | (mode & S_IXGRP ? S_ISGID : 0));
}

int pfs_spooled_stat(struct pfs_node *n, struct pfs_spool_stat *out, uint16_t *out_mode,
		     struct pfs_error *err)
{
	struct pfs_spooled *s = n->file.spooled;
	struct pfs_spool_stat st;
	int rc = pfs_spool_stat(&n->ws->spool, &s->name, s->fd, &st, err);

	if (rc < 0)
		return rc;
	if (s->patch) {
		st.size = pfs_patched_size(s->patch);
		st.blocks = (st.size + 511) / 512;
	}
	if (s->lent) {
		st.mtime_sec = n->attrs.mtime_sec;
		st.mtime_nsec = n->attrs.mtime_nsec;
	}
	if (out_mode)
		*out_mode = mode_after(n, &st);
	*out = st;
	return 0;
}

int pfs_spooled_look(struct pfs_node *n, struct pfs_error *err)
{
	struct pfs_spool_stat st;
	int rc = pfs_spooled_stat(n, &st, &n->attrs.mode, err);

	if (rc < 0)
		return rc;
	n->file.size = st.size;
	n->file.blocks = st.blocks;
	n->attrs.mtime_sec = st.mtime_sec;
	n->attrs.mtime_nsec = st.mtime_nsec;
	return 0;
}

bool pfs_spooled_may_be_borrowed(struct pfs_node *n)
{
	bool may;

	pfs_rwlock_read(&n->ws->lock);
	may = !(n->attrs.mode & (S_ISUID | S_ISGID));
	pfs_rwlock_unlock(&n->ws->lock);
	return may;
}

int pfs_spooled_set_mtime(struct pfs_node *n, const struct pfs_attrs *attrs, struct pfs_error *err)
{
	struct pfs_spooled *s = n->file.spooled;

	if (s->lent)
		return 0;
	return pfs_spool_set_mtime(&n->ws->spool, &s->name, s->fd, attrs, err);
}
