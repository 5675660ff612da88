#include "fuse/ops.h"

#include "base/clock.h"

#include <errno.h>
#include <linux/fuse.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* An answer, whose entries are counted as looked up. */
struct answer {
	char *data; /* owned */
	size_t len, size;
	uint64_t pos, next; /* where it begins, and where the one after it does */
	int64_t since_ms;   /* it is prepared; 0: it is none */
};

/*
 * An open directory. Position 0 is ".", 1 is "..", item k of the listing is
 * k + 2. An item that did not fit into a reply is held for the next: a
 * listing of a large commit does not step back cheaply.
 *
 * Who reads a directory of a commit reads on: while the kernel is busy with an
 * answer the next one is prepared. Its entries are not the kernel's yet; what is
 * not asked for is taken back. Of what may change nothing is prepared: the kernel
 * would not know that it is older than its question.
 */
struct dir {
	struct opened opened; /* first: it is what the mount's list knows */
	struct pfs_mount *m;
	pthread_mutex_t mutex;       /* one reading at a time, and what it prepares */
	struct pfs_listing *listing; /* NULL before the first read */
	struct pfs_list_item item;   /* the one at `held` */
	uint64_t held;               /* position + 1; 0: none */
	bool looked_up;              /* who reads it asks for its names one by one as well */
	uint64_t ino;
	struct answer ahead; /* protected by the mount's lock: another directory may give it up */
};

/* Who has not asked for more in that time may never do so. */
#define AHEAD_IDLE_MS 1000

#define DIR_MAGIC 0x70667364u /* "dsfp" */

static struct dir *dir_of(fuse_req_t req, const struct fuse_file_info *fi)
{
	return (struct dir *)pfs_mount_find_opened(fuse_req_userdata(req), fi->fh, DIR_MAGIC);
}

/* What the kernel was not told is not looked up. */
static void take_back(struct pfs_mount *m, const char *data, size_t len)
{
	for (size_t at = 0; at < len;) {
		const struct fuse_direntplus *e = (const void *)(data + at);

		if (e->entry_out.nodeid)
			pfs_inode_forget(m, e->entry_out.nodeid, 1);
		at += FUSE_DIRENTPLUS_SIZE(e);
	}
}

/* ---- answers that are prepared ---- */

/* Where a directory, or NULL, is among those that have one. The mount's lock is held. */
static struct dir **place_of(struct pfs_mount *m, const struct dir *d)
{
	struct dir **place = m->ahead;

	while (*place != d)
		place++;
	return place;
}

/* Nothing is prepared any more; what was is the caller's. The mount's lock is held. */
static struct answer take_locked(struct dir *d)
{
	struct answer a = d->ahead;

	if (a.since_ms) {
		*place_of(d->m, d) = NULL;
		d->m->n_ahead--;
	}
	d->ahead = (struct answer){ 0 };
	return a;
}

static struct answer take_ahead(struct dir *d)
{
	struct answer a;

	pfs_lock(&d->m->lock);
	a = take_locked(d);
	pfs_unlock(&d->m->lock);
	return a;
}

static void drop_answer(struct pfs_mount *m, struct answer *a)
{
	take_back(m, a->data, a->len);
	free(a->data);
}

static void drop_ahead(struct dir *d)
{
	struct answer a = take_ahead(d);

	drop_answer(d->m, &a);
}

/* Of the one that has waited longest, when that is too long. The mount's lock is held. */
static struct answer take_idle(struct pfs_mount *m)
{
	struct dir *oldest = NULL;

	for (unsigned i = 0; i < AHEAD_MAX; i++)
		if (m->ahead[i] &&
		    (!oldest || m->ahead[i]->ahead.since_ms < oldest->ahead.since_ms))
			oldest = m->ahead[i];
	if (!oldest || pfs_clock_monotonic_ms() - oldest->ahead.since_ms < AHEAD_IDLE_MS)
		return (struct answer){ 0 };
	return take_locked(oldest);
}

/* Room for one more; whoever reads on does not lose his to who does likewise. */
static bool begin_ahead(struct pfs_mount *m)
{
	struct answer idle = { 0 };
	bool room;

	pfs_lock(&m->lock);
	if (m->n_ahead == AHEAD_MAX)
		idle = take_idle(m);
	room = m->n_ahead < AHEAD_MAX;
	m->n_ahead += room;
	pfs_unlock(&m->lock);
	drop_answer(m, &idle);
	return room;
}

/* NULL: it could not be prepared. */
static void end_ahead(struct dir *d, const struct answer *a)
{
	struct pfs_mount *m = d->m;

	pfs_lock(&m->lock);
	if (a) {
		d->ahead = *a;
		d->ahead.since_ms = pfs_clock_monotonic_ms();
		*place_of(m, NULL) = d;
	} else {
		m->n_ahead--;
	}
	pfs_unlock(&m->lock);
}

/* ---- open directories ---- */

static void dir_free(struct dir *d)
{
	free(take_ahead(d).data);
	pfs_listing_close(&d->listing);
	pthread_mutex_destroy(&d->mutex);
	free(d);
}

static void close_left(struct opened *o)
{
	dir_free((struct dir *)o);
}

/* Who answered the last reading may still be preparing the next. */
static void dir_close(struct dir *d)
{
	pfs_mount_remove_opened(d->m, &d->opened);
	pthread_mutex_lock(&d->mutex);
	drop_ahead(d);
	pthread_mutex_unlock(&d->mutex);
	dir_free(d);
}

/* Positions are those of the names as they were when it was read from the start. */
static int hold(struct opened *o, struct pfs_handover_open *out, struct pfs_error *err)
{
	struct dir *d = (struct dir *)o;
	void *data = NULL;
	int rc;

	drop_ahead(d);
	rc = d->listing ? pfs_listing_hold(d->listing, &data, &out->len, err) : 0;
	out->kind = PFS_HANDOVER_DIR;
	out->ino = d->ino;
	out->data = data;
	return rc;
}

static struct dir *make_dir(struct pfs_mount *m, const struct inode *i)
{
	struct dir *d = calloc(1, sizeof(*d));

	if (!d)
		return NULL;
	d->m = m;
	d->opened.inode = i->number;
	d->opened.magic = DIR_MAGIC;
	d->opened.close = close_left;
	d->opened.hold = hold;
	pthread_mutex_init(&d->mutex, NULL);
	return d;
}

int pfs_dir_take(struct pfs_mount *m, struct inode *i, const struct pfs_handover_open *in,
		 struct pfs_error *err)
{
	struct dir *d = make_dir(m, i);
	int rc = 0;

	if (!d)
		return pfs_fail_nomem(err, "an open directory");
	d->ino = in->ino;
	if (in->len)
		rc = pfs_listing_take(m->view, i->handle, in->data, in->len, &d->listing, err);
	if (rc == 0 && !pfs_mount_restore_opened(m, &d->opened, in->number))
		rc = pfs_fail(err, PFS_E_CORRUPT, "open directory %u is handed over twice",
			      in->number);
	if (rc < 0)
		dir_free(d);
	return rc;
}

static struct dir *new_dir(struct pfs_mount *m, struct inode *i)
{
	struct dir *d = make_dir(m, i);

	if (!d)
		return NULL;
	if (pfs_mount_add_opened(m, &d->opened))
		return d;
	dir_free(d);
	return NULL;
}

void op_opendir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct pfs_mount *m = fuse_req_userdata(req);
	struct inode *i = pfs_op_inode(req, ino);
	struct dir *d;

	if (!i)
		return;
	d = new_dir(m, i);
	if (!d) {
		fuse_reply_err(req, ENOMEM);
		return;
	}
	fi->fh = pfs_mount_number(&d->opened);
	/*
	 * The kernel drops a cached listing by itself when it changes the
	 * directory, and by notification when somebody else does; so without
	 * notifications it is not to keep any.
	 */
	fi->cache_readdir = !i->volatile_ && m->o.notify;
	fi->keep_cache = fi->cache_readdir;
	if (fuse_reply_open(req, fi) == -ENOENT)
		dir_close(d);
}

void op_releasedir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct dir *d = dir_of(req, fi);

	(void)ino;
	pfs_mount_quiet();
	if (d)
		dir_close(d);
	fuse_reply_err(req, 0);
}

static mode_t format_bits(enum pfs_type t)
{
	struct pfs_attr a = { .type = t };
	struct stat st;

	pfs_inode_stat(&a, &st);
	return st.st_mode & S_IFMT;
}

/* A reply being filled, or one that will be: adding to it needs no request, which libfuse ignores. */
struct page {
	struct pfs_mount *m;
	struct inode *dir;
	bool plus, entries;
	char *data;
	size_t len, size;
};

/* 1 when it went in, 0 when it did not fit. "." and ".." count no lookup. */
static int add_dots(struct page *p, const char *name, uint64_t ino, uint64_t next)
{
	struct fuse_entry_param e = { .attr = { .st_ino = ino, .st_mode = S_IFDIR } };
	size_t room = p->size - p->len;
	size_t need;

	need = p->plus ? fuse_add_direntry_plus(NULL, p->data + p->len, room, name, &e, (off_t)next)
		       : fuse_add_direntry(NULL, p->data + p->len, room, name, &e.attr,
					   (off_t)next);
	if (need > room)
		return 0;
	p->len += need;
	return 1;
}

static int add_plain(struct page *p, const struct pfs_list_item *item, uint64_t next)
{
	struct stat st = { .st_ino = item->ino, .st_mode = format_bits(item->type) };
	size_t room = p->size - p->len;
	size_t need = fuse_add_direntry(NULL, p->data + p->len, room, item->name, &st, (off_t)next);

	if (need > room)
		return 0;
	p->len += need;
	return 1;
}

static int enter(struct page *p, struct pfs_listing *l, const struct pfs_list_item *item,
		 struct fuse_entry_param *e)
{
	struct pfs_handle *h;
	struct pfs_attr a;
	int rc = pfs_listing_lookup(l, p->dir->handle, item, &h, &a, NULL);

	return rc < 0 ? rc : pfs_inode_enter(p->m, h, &a, e, NULL);
}

/*
 * With the entry itself, whose lookup counts: so first see whether it fits.
 * Without, the kernel looks the name up when somebody asks for it.
 */
static int add_with_entry(struct page *p, struct pfs_listing *l, const struct pfs_list_item *item,
			  uint64_t next)
{
	size_t room = p->size - p->len;
	size_t need = fuse_add_direntry_plus(NULL, NULL, 0, item->name, NULL, 0);
	struct fuse_entry_param e;

	if (need > room)
		return 0;
	if (!p->entries || enter(p, l, item, &e) < 0) {
		/* Gone meanwhile, or unreadable: the name alone, and who looks is told. */
		e = (struct fuse_entry_param){ .attr = { .st_ino = item->ino } };
		e.attr.st_mode = format_bits(item->type);
	}
	fuse_add_direntry_plus(NULL, p->data + p->len, room, item->name, &e, (off_t)next);
	p->len += need;
	return 1;
}

/* The item at listing position `pos`: 1, 0 at the end. */
static int item_at(struct dir *d, uint64_t pos, struct pfs_error *err)
{
	int rc;

	if (d->held == pos + 1)
		return 1;
	rc = pfs_listing_seek(d->listing, pos, err);
	if (rc == 0)
		rc = pfs_listing_next(d->listing, &d->item, err);
	if (rc > 0)
		d->held = pos + 1;
	return rc;
}

/*
 * Most who list a directory look at what it names next, which is the cheaper by
 * far when the listing brought it along. Who reads on and on in a very large one
 * without doing so wants its names. find(1) and its kin read 100000 before they look
 * at the first: at those of them that have no entries yet, and we know.
 */
#define ENTRIES_BLINDLY 98304u

static _Atomic fuse_ino_t *looked_up_of(struct pfs_mount *m, fuse_ino_t dir)
{
	return &m->looked_up[(dir ^ dir >> 10) % N_LOOKED_UP];
}

/*
 * A listing that the kernel has kept comes without us, so it does not matter what
 * we would bring along: who lists names first and looks at them later would ask for
 * each. Several at once may count one too few; when another directory is being
 * dropped, the next look-up tries again.
 */
static void count_bare(struct pfs_mount *m, struct inode *dir)
{
	fuse_ino_t none = 0;
	uint8_t left = dir->bare;

	if (left > 1) {
		dir->bare = left - 1;
	} else if (left == 1 &&
		   atomic_compare_exchange_strong(&m->bare, &none, pfs_inode_number_of(dir))) {
		dir->bare = 0;
		pfs_view_wake(m->view);
	}
}

void pfs_op_note_lookup(struct pfs_mount *m, struct inode *dir)
{
	fuse_ino_t ino = pfs_inode_number_of(dir);

	atomic_store_explicit(looked_up_of(m, ino), ino, memory_order_relaxed);
	count_bare(m, dir);
}

static bool wants_entries(struct pfs_mount *m, struct dir *d, fuse_ino_t ino, uint64_t pos)
{
	_Atomic fuse_ino_t *place = looked_up_of(m, ino);

	if (pos < ENTRIES_BLINDLY)
		return true;
	if (atomic_load_explicit(place, memory_order_relaxed) == ino) {
		atomic_store_explicit(place, 0, memory_order_relaxed);
		d->looked_up = true;
	}
	return d->looked_up;
}

static int open_listing(struct page *p, struct dir *d, bool again, struct pfs_error *err)
{
	/* From the start again: rewinddir() shows what is there now. */
	if (again) {
		pfs_listing_close(&d->listing);
		d->held = 0;
	}
	if (d->listing)
		return 0;
	return pfs_view_list(p->m->view, p->dir->handle, &d->listing, err);
}

/* From `pos` on; `*next` is where what follows the page is. */
static int fill_page(struct page *p, struct dir *d, uint64_t pos, uint64_t *next,
		     struct pfs_error *err)
{
	struct pfs_attr a;
	int rc = open_listing(p, d, pos == 0, err);

	if (rc == 0 && pos == 0) {
		rc = pfs_view_getattr(p->m->view, p->dir->handle, &a, err);
		if (rc == 0)
			d->ino = a.ino;
	}
	if (rc < 0)
		return rc;
	if (pos == 0 && add_dots(p, ".", d->ino, 1))
		pos = 1;
	if (pos == 1 && add_dots(p, "..", d->ino, 2))
		pos = 2;
	for (; pos >= 2; pos++) {
		rc = item_at(d, pos - 2, err);
		if (rc <= 0)
			break;
		if (!(p->plus ? add_with_entry(p, d->listing, &d->item, pos + 1)
			      : add_plain(p, &d->item, pos + 1)))
			break;
	}
	*next = pos;
	/* What is in the page has been counted: an error comes with the next. */
	return rc < 0 && p->len == 0 ? rc : 0;
}

static int make_answer(struct page *p, struct dir *d, uint64_t pos, struct answer *out,
		       struct pfs_error *err)
{
	struct answer a = { .size = p->size, .pos = pos };
	int rc;

	p->len = 0;
	p->data = malloc(p->size ? p->size : 1);
	if (!p->data)
		return pfs_fail_nomem(err, "a listing");
	p->entries = p->plus && wants_entries(p->m, d, pfs_inode_number_of(p->dir), pos);
	if (p->plus && !p->entries)
		p->dir->bare = BARE_LOOKUPS;
	rc = fill_page(p, d, pos, &a.next, err);
	if (rc < 0) {
		free(p->data);
		return rc;
	}
	a.data = p->data;
	a.len = p->len;
	*out = a;
	return 0;
}

/* What was prepared, if that is what is asked for. */
static int find_answer(struct page *p, struct dir *d, uint64_t pos, struct answer *out,
		       struct pfs_error *err)
{
	*out = take_ahead(d);
	if (out->since_ms && p->plus && out->size == p->size && out->pos == pos)
		return 0;
	drop_answer(d->m, out);
	*out = (struct answer){ 0 };
	return make_answer(p, d, pos, out, err);
}

/* What will be asked for after `last`; not without need: it may come to nothing. */
static void prepare_next(struct page *p, struct dir *d, const struct answer *last)
{
	struct answer a;

	if (!p->plus || !p->dir->immutable || last->len == 0 || !begin_ahead(p->m))
		return;
	end_ahead(d, make_answer(p, d, last->next, &a, NULL) < 0 ? NULL : &a);
}

static void read_dir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
		     struct fuse_file_info *fi, bool plus)
{
	struct page p = { .m = fuse_req_userdata(req), .plus = plus, .size = size };
	/* By io_uring the answer leaves only when all is done here. */
	bool ahead = !fuse_req_is_uring(req);
	struct dir *d = dir_of(req, fi);
	struct inode *i = pfs_op_inode(req, ino);
	struct pfs_error err = { 0 };
	struct answer a = { 0 };
	int rc;

	if (!i)
		return;
	p.dir = i;
	if (!d) {
		fuse_reply_err(req, EBADF);
		return;
	}
	pthread_mutex_lock(&d->mutex);
	rc = find_answer(&p, d, (uint64_t)off, &a, &err);
	if (rc < 0)
		pfs_mount_fail(req, "readdir", rc, &err);
	else if (fuse_reply_buf(req, a.data, a.len) < 0 && plus)
		take_back(p.m, a.data, a.len);
	else if (ahead)
		prepare_next(&p, d, &a);
	free(a.data);
	pthread_mutex_unlock(&d->mutex);
}

void op_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi)
{
	read_dir(req, ino, size, off, fi, false);
}

void op_readdirplus(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
		    struct fuse_file_info *fi)
{
	read_dir(req, ino, size, off, fi, true);
}

void op_fsyncdir(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi)
{
	struct pfs_mount *m = fuse_req_userdata(req);
	struct inode *i = pfs_op_inode(req, ino);
	struct pfs_error err = { 0 };
	int rc;

	(void)datasync;
	(void)fi;
	if (!i)
		return;
	rc = pfs_view_sync(m->view, i->handle, &err);
	if (rc < 0)
		pfs_mount_fail(req, "fsyncdir", rc, &err);
	else
		fuse_reply_err(req, 0);
}

void op_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode)
{
	struct pfs_mount *m = fuse_req_userdata(req);
	struct pfs_who who = pfs_op_who(req);
	struct inode *dir = pfs_op_inode(req, parent);
	struct pfs_error err = { 0 };
	struct pfs_handle *h;
	struct pfs_attr a;
	int rc;

	if (!dir)
		return;
	rc = pfs_view_mkdir(m->view, dir->handle, name, mode & 07777, &who, &h, &a, &err);
	if (rc < 0)
		pfs_mount_fail_limit(req, "mkdir", rc, &err, EMLINK);
	else
		pfs_op_reply_entry(req, h, &a);
}

void op_rmdir(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct pfs_mount *m = fuse_req_userdata(req);
	struct inode *dir = pfs_op_inode(req, parent);
	struct pfs_error err = { 0 };
	int rc;

	if (!dir)
		return;
	rc = pfs_view_rmdir(m->view, dir->handle, name, &err);
	if (rc < 0)
		pfs_mount_fail(req, "rmdir", rc, &err);
	else
		fuse_reply_err(req, 0);
}

void op_rename(fuse_req_t req, fuse_ino_t parent, const char *name, fuse_ino_t new_parent,
	       const char *new_name, unsigned flags)
{
	static const unsigned known = RENAME_NOREPLACE | RENAME_EXCHANGE | RENAME_WHITEOUT;
	struct pfs_mount *m = fuse_req_userdata(req);
	struct inode *from = pfs_op_inode(req, parent);
	struct inode *to = from ? pfs_op_inode(req, new_parent) : NULL;
	struct pfs_error err = { 0 };
	unsigned ours = 0;
	int rc;

	if (!to)
		return;
	if (flags & RENAME_NOREPLACE)
		ours |= PFS_RENAME_NOREPLACE;
	if (flags & RENAME_EXCHANGE)
		ours |= PFS_RENAME_EXCHANGE;
	if (flags & RENAME_WHITEOUT)
		ours |= PFS_RENAME_WHITEOUT;
	if (flags & ~known) {
		fuse_reply_err(req, EINVAL);
		return;
	}
	rc = pfs_view_rename(m->view, from->handle, name, to->handle, new_name, ours, &err);
	if (rc == PFS_E_UNSUPPORTED)
		fuse_reply_err(req, EXDEV); /* which mv(1) understands: it copies */
	else if (rc < 0)
		pfs_mount_fail_limit(req, "rename", rc, &err, EMLINK);
	else
		fuse_reply_err(req, 0);
}
