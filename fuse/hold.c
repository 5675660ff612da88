#include "fuse/hold.h"

#include "base/io.h"
#include "fuse/feature.h"
#include "fuse/inode.h"
#include "fuse/ops.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- giving ---- */

/* Of one mount, while it is written down. */
struct holding {
	struct pfs_handover h;
	struct pfs_handle **handles; /* borrowed, one of each inode; owned array */
	void *places;                /* owned */
};

static void holding_fini(struct holding *w)
{
	for (size_t i = 0; i < w->h.n_opens; i++)
		free((void *)(uintptr_t)w->h.opens[i].data);
	pfs_handover_fini(&w->h);
	free(w->handles);
	free(w->places);
}

static void hold_inode(const struct inode *i, struct pfs_handover_inode *out)
{
	*out = (struct pfs_handover_inode){ .number = i->number,
					    .generation = i->generation,
					    .n_lookups = i->n_lookups,
					    .immutable = i->immutable,
					    .volatile_ = i->volatile_,
					    .watched = i->watched };
	if (!i->opens || !i->opens->n_through)
		return;
	out->through = true;
	out->backing_id = (uint32_t)i->opens->backing_id;
	out->backing_dev = i->opens->backing_dev;
	out->backing_ino = i->opens->backing_ino;
}

static int hold_inodes(struct pfs_mount *m, struct holding *w, struct pfs_error *err)
{
	const struct inode *i;
	uint32_t number = 0;

	w->h.inodes = calloc(m->inodes.n + 1u, sizeof(*w->h.inodes));
	w->handles = calloc(m->inodes.n + 1u, sizeof(struct pfs_handle *));
	if (!w->h.inodes || !w->handles)
		return pfs_fail_nomem(err, "what is handed over");
	for (; (i = pfs_slots_next(&m->inodes, &number)); number++) {
		w->handles[w->h.n_inodes] = i->handle;
		hold_inode(i, &w->h.inodes[w->h.n_inodes++]);
	}
	return 0;
}

static int hold_opens(struct pfs_mount *m, struct holding *w, struct pfs_error *err)
{
	struct opened **o;
	uint32_t number = 0;
	int rc = 0;

	w->h.opens = calloc(m->opened.n + 1u, sizeof(*w->h.opens));
	if (!w->h.opens)
		return pfs_fail_nomem(err, "what is handed over");
	for (; rc == 0 && (o = pfs_slots_next(&m->opened, &number)); number++) {
		struct pfs_handover_open *out = &w->h.opens[w->h.n_opens];

		*out = (struct pfs_handover_open){ .number = (*o)->number, .inode = (*o)->inode };
		rc = (*o)->hold(*o, out, err);
		w->h.n_opens += rc == 0;
	}
	return rc;
}

static int write_state(const struct holding *w, struct pfs_error *err)
{
	PFS_AUTO(pfs_buf_fini) struct pfs_buf b = PFS_BUF_INIT(PFS_HANDOVER_SIZE_MAX);
	PFS_AUTO(pfs_fd_close) int fd = -1;
	int out, rc = pfs_handover_encode(&w->h, &b, err);

	if (rc < 0)
		return rc;
	fd = memfd_create("pfs-hold", MFD_CLOEXEC);
	if (fd < 0)
		return pfs_fail_errno(err, errno, "a file in memory");
	rc = pfs_io_pwrite(fd, b.data, b.len, 0, err);
	if (rc < 0)
		return rc;
	out = fd;
	fd = -1;
	return out;
}

static int fill(struct pfs_mount *m, struct holding *w, struct pfs_error *err)
{
	int rc;

	w->h.device = m->dev;
	w->h.mountpoint = (const unsigned char *)m->mountpoint;
	w->h.mountpoint_len = strlen(m->mountpoint);
	w->h.hello = m->hello_data;
	w->h.hello_len = m->hello_len;
	w->h.features = pfs_feature_bits(&m->o);
	w->h.generation = m->generation;
	/* First, since directories take back what they have prepared for the kernel. */
	rc = hold_opens(m, w, err);
	if (rc == 0)
		rc = hold_inodes(m, w, err);
	if (rc == 0)
		rc = pfs_view_hold(m->view, w->handles, w->h.n_inodes, &w->places, &w->h.places_len,
				   err);
	w->h.places = w->places;
	return rc;
}

int pfs_hold_write(struct pfs_mount *m, struct pfs_error *err)
{
	struct holding w = { 0 };
	int rc = fill(m, &w, err);

	if (rc == 0)
		rc = write_state(&w, err);
	holding_fini(&w);
	return rc;
}

/* ---- taking ---- */

int pfs_hold_read(int state, void **data, struct pfs_handover *out, struct pfs_error *err)
{
	struct stat st;
	size_t got;
	void *bytes;
	int rc;

	if (fstat(state, &st) < 0)
		return pfs_fail_errno(err, errno, "what is handed over");
	if (!S_ISREG(st.st_mode) || (uint64_t)st.st_size > PFS_HANDOVER_SIZE_MAX)
		return pfs_fail(err, PFS_E_CORRUPT, "what is handed over is no file of a pfsd");
	bytes = malloc((size_t)st.st_size + 1);
	if (!bytes)
		return pfs_fail_nomem(err, "what is handed over");
	rc = pfs_io_pread(state, bytes, (size_t)st.st_size, 0, &got, err);
	if (rc == 0)
		rc = pfs_handover_decode(bytes, got, out, err);
	if (rc < 0)
		free(bytes);
	else
		*data = bytes;
	return rc;
}

/* Takes `h`, which is NULL for what stands for nothing any more. */
static int restore_inode(struct pfs_mount *m, const struct pfs_handover_inode *in,
			 struct pfs_handle *h, struct pfs_error *err)
{
	struct inode *i = pfs_slots_take_at(&m->inodes, in->number);

	/* One that two numbers lead to is known by the first. */
	if (h && (!i || pfs_handle_tag(h)))
		pfs_handle_unref(&h);
	if (!i)
		return pfs_fail(err, PFS_E_CORRUPT, "inode %u is handed over twice", in->number);
	i->number = in->number;
	i->generation = in->generation;
	i->n_lookups = in->n_lookups;
	i->immutable = in->immutable;
	i->volatile_ = in->volatile_;
	i->watched = in->watched;
	i->bare = BARE_LOOKUPS; /* nobody knows */
	i->handle = h;
	if (h)
		pfs_handle_set_tag(h, i);
	if (!in->through)
		return 0;
	if (!pfs_inode_open(i))
		return pfs_fail_nomem(err, "an inode");
	i->opens->backing_id = (int)in->backing_id;
	i->opens->backing_dev = in->backing_dev;
	i->opens->backing_ino = in->backing_ino;
	return 0;
}

static int restore_inodes(struct pfs_mount *m, const struct pfs_handover *h,
			  struct pfs_handle **handles, struct pfs_error *err)
{
	size_t gone = 0;
	int rc = 0;

	pfs_lock(&m->lock);
	m->generation = h->generation;
	for (size_t i = 0; rc == 0 && i < h->n_inodes; i++) {
		gone += handles[i] == NULL;
		rc = restore_inode(m, &h->inodes[i], handles[i], err);
		handles[i] = NULL;
	}
	m->root = pfs_inode_find(m, FUSE_ROOT_ID);
	pfs_unlock(&m->lock);
	if (rc == 0 && (!m->root || !m->root->handle))
		rc = pfs_fail(err, PFS_E_CORRUPT, "what is handed over has no root");
	if (rc == 0 && gone)
		pfs_mount_log(m, "%zu of %zu files are not where they were", gone, h->n_inodes);
	return rc;
}

/* What cannot be opened again fails from now on, alone. */
static int restore_open(struct pfs_mount *m, const struct pfs_handover_open *in,
			struct pfs_error *err)
{
	struct inode *i = pfs_inode_find(m, (fuse_ino_t)in->inode + FUSE_ROOT_ID);
	struct pfs_error why = { 0 };
	int rc = PFS_E_NOTFOUND;

	if (!i)
		return pfs_fail(err, PFS_E_CORRUPT, "open file %u is that of no inode", in->number);
	if (i->handle)
		rc = in->kind == PFS_HANDOVER_DIR ? pfs_dir_take(m, i, in, &why)
						  : pfs_open_take(m, i, in, &why);
	if (rc == PFS_E_NOMEM)
		return pfs_fail_nomem(err, "what is handed over");
	if (rc < 0 && i->handle)
		pfs_mount_log(m, "an open file is lost code=%s error=\"%s\"", pfs_code_name(rc),
			      why.text);
	return 0;
}

int pfs_hold_restore(struct pfs_mount *m, const struct pfs_handover *h, struct pfs_error *err)
{
	struct pfs_handle **handles = calloc(h->n_inodes + 1, sizeof(*handles));
	int rc;

	if (!handles)
		return pfs_fail_nomem(err, "what is handed over");
	rc = pfs_slots_init(&m->inodes, sizeof(struct inode), err);
	if (rc == 0)
		rc = pfs_view_take(m->view, h->places, h->places_len, handles, h->n_inodes, err);
	if (rc == 0)
		rc = restore_inodes(m, h, handles, err);
	for (size_t i = 0; i < h->n_inodes; i++)
		pfs_handle_unref(&handles[i]);
	free(handles);
	for (size_t i = 0; rc == 0 && i < h->n_opens; i++)
		rc = restore_open(m, &h->opens[i], err);
	return rc;
}
