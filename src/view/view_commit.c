#include "view/view_i.h"
#include "base/io.h"
#include "tree/content.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Committed places: the root of a commit, what is below it, and the head of a pipeline's branch. */

/* ---- what stands behind the key of an entry's handle ---- */

static unsigned char *tail_data(struct pfs_handle *h)
{
	return h->key + h->key_len;
}

/* Zero: it has none. */
static struct pfs_id tail_xattrs(struct pfs_handle *h)
{
	struct pfs_id id = { 0 };

	if (h->u.entry.has_xattrs)
		memcpy(&id, tail_data(h) + h->u.entry.data_len, sizeof(id));
	return id;
}

/* Number 0: it has no other name. */
static struct entry_link tail_link(struct pfs_handle *h)
{
	size_t off = h->u.entry.data_len + (h->u.entry.has_xattrs ? sizeof(struct pfs_id) : 0);
	struct entry_link link = { 0 };

	if (h->u.entry.has_link)
		memcpy(&link, tail_data(h) + off, sizeof(link));
	return link;
}

/* ---- attributes ---- */

static void attr_of(const struct pfs_handle *h, const struct pfs_attrs *a, enum pfs_type type,
		    struct pfs_attr *out)
{
	pfs_view_plain_attr(h, type, a->mode, pfs_attrs_mtime_ns(a), out);
	out->uid = a->uid;
	out->gid = a->gid;
	out->immutable = true;
}

/* In blocks of 512 bytes; a hole takes none. */
static uint64_t blocks_of(struct pfs_handle *h)
{
	const struct entry *e = &h->u.entry;
	PFS_AUTO(pfs_content_reader_close) struct pfs_content_reader *r = NULL;
	struct pfs_content content;
	uint64_t data = e->size;

	if (e->form == PFS_CONTENT_SEQ && e->size >= PFS_SPARSE_SIZE_MIN) {
		content = (struct pfs_content){ .size = e->size,
						.form = (enum pfs_content_form)e->form,
						.id = e->id };
		if (pfs_content_reader_open(h->view->store, &content, &r, NULL) == 0)
			pfs_content_data_size(r, &data, NULL);
	}
	return (data + 511) / 512;
}

/* The directory below which all names of the file are; NULL: it has no other that we can tell. */
static struct pfs_handle *home_of(struct pfs_handle *dir, uint64_t link)
{
	unsigned up = pfs_links_up(link);

	if (!link)
		return NULL;
	for (; up > 0 && dir; up--)
		dir = dir->ops == &place_entry ? dir->parent : NULL;
	return dir && (dir->ops == &place_entry || dir->ops == &place_commit) ? dir : NULL;
}

uint64_t pfs_entry_ino(struct pfs_handle *dir, const char *name, size_t len,
		       const struct pfs_entry *e, struct pfs_links_file *out_file)
{
	struct pfs_handle *home = home_of(dir, e->link);

	if (home && pfs_links_file(dir->view->store, e, out_file, NULL) == 0)
		return pfs_handle_mix(home->ino, pfs_map_hash(0, out_file, sizeof(*out_file)));
	return pfs_handle_child_ino(dir, name, len);
}

static const struct pfs_id *dir_of(const struct pfs_handle *h);

/* The home is walked when somebody asks for the first time, and too many names are told as one. */
static int count_names(struct pfs_handle *h, uint32_t *out, struct pfs_error *err)
{
	struct entry *e = &h->u.entry;
	struct entry_link link;
	struct pfs_handle *home;
	size_t n = 1;
	int rc = 0;

	*out = e->has_link ? e->nlink : 1;
	if (*out)
		return 0;
	link = tail_link(h);
	home = home_of(h->parent, link.number);
	if (home)
		rc = pfs_linkgroups_names(h->view->groups, dir_of(home), &link.file, NULL, &n, err);
	if (rc < 0 && rc != PFS_E_LIMIT)
		return rc;
	*out = e->nlink = rc < 0 || n == 0 ? 1 : (uint32_t)n;
	return 0;
}

static int entry_getattr(struct pfs_handle *h, struct pfs_attr *out, struct pfs_error *err)
{
	struct entry *e = &h->u.entry;
	uint32_t nlink;
	int rc = count_names(h, &nlink, err);

	if (rc < 0)
		return rc;
	attr_of(h, &e->attrs, pfs_view_type(e->type), out);
	out->nlink = nlink;
	if (e->type == PFS_ENTRY_FILE)
		out->size_bytes = e->size;
	else if (e->type == PFS_ENTRY_SYMLINK)
		out->size_bytes = e->data_len;
	else if (e->type != PFS_ENTRY_DIR)
		out->rdev = e->rdev;
	out->blocks = e->type == PFS_ENTRY_FILE ? blocks_of(h) : (out->size_bytes + 511) / 512;
	return 0;
}

static int commit_getattr(struct pfs_handle *h, struct pfs_attr *out, struct pfs_error *err)
{
	(void)err;
	attr_of(h, &h->u.commit.root.attrs, PFS_TYPE_DIR, out);
	/* master^ means another commit tomorrow; what is below it does not change. */
	out->immutable = h->u.commit.canonical;
	out->volatile_ = !h->u.commit.canonical;
	return 0;
}

/* ---- handles ---- */

static void keep_what(struct entry *k, const struct pfs_entry *e)
{
	k->attrs = e->attrs;
	k->type = (uint8_t)e->type;
	if (e->type == PFS_ENTRY_DIR) {
		k->id = e->dir;
		k->entries = e->dir_entries;
		k->dir_bytes = e->dir_bytes;
	} else if (e->type == PFS_ENTRY_FILE) {
		k->id = e->content.id;
		k->form = e->content.form & 63u;
		k->size = e->content.size;
	} else {
		k->rdev = e->rdev;
	}
}

static void keep_tail(struct pfs_handle *h, const struct pfs_entry *e, const void *data, size_t len,
		      const struct entry_link *link)
{
	struct entry *k = &h->u.entry;
	unsigned char *tail = tail_data(h);

	k->data_len = (uint16_t)len;
	k->has_xattrs = !pfs_id_is_zero(&e->xattrs);
	k->has_link = link->number != 0;
	if (len)
		memcpy(tail, data, len);
	tail += len;
	if (k->has_xattrs) {
		memcpy(tail, &e->xattrs, sizeof(e->xattrs));
		tail += sizeof(e->xattrs);
	}
	if (k->has_link)
		memcpy(tail, link, sizeof(*link));
}

int pfs_entry_handle(struct pfs_handle *parent, const char *name, size_t len,
		     const struct pfs_entry *e, struct pfs_handle **out, struct pfs_error *err)
{
	struct entry_link link = { .number = e->link };
	const void *data = NULL;
	size_t data_len = 0;
	struct pfs_handle *h;

	if (e->type == PFS_ENTRY_SYMLINK) {
		data = e->target;
		data_len = e->target_len;
	} else if (e->type == PFS_ENTRY_FILE && e->content.form == PFS_CONTENT_INLINE) {
		data = e->content.bytes;
		data_len = e->content.size;
	}
	h = pfs_handle_new(parent->view, &place_entry, parent, name, len, NULL, 0,
			   data_len + (pfs_id_is_zero(&e->xattrs) ? 0 : sizeof(e->xattrs)) +
				   (link.number ? sizeof(link) : 0),
			   err);
	if (!h)
		return PFS_E_NOMEM;
	if (e->link)
		h->ino = pfs_entry_ino(parent, name, len, e, &link.file);
	keep_what(&h->u.entry, e);
	keep_tail(h, e, data, data_len, &link);
	return pfs_handle_enter(h, out, err);
}

/* The directory of a committed place; NULL when it is none. */
static const struct pfs_id *dir_of(const struct pfs_handle *h)
{
	if (h->ops == &place_commit)
		return &h->u.commit.root.dir;
	return h->u.entry.type == PFS_ENTRY_DIR ? &h->u.entry.id : NULL;
}

static int tree_lookup(struct pfs_handle *dir, const char *name, size_t len,
		       struct pfs_handle **out, struct pfs_error *err)
{
	PFS_AUTO(pfs_found_fini) struct pfs_found found = { 0 };
	const struct pfs_id *id = dir_of(dir);
	int rc;

	if (!id)
		return pfs_fail(err, PFS_E_NOTDIR, "\"%s\" is not a directory",
				pfs_handle_name(dir));
	*out = pfs_handle_find(dir->view, dir, name, len, NULL, 0);
	if (*out)
		return 0;
	rc = pfs_tree_find(dir->view->store, id, name, len, &found, err);
	if (rc < 0)
		return rc;
	return pfs_entry_handle(dir, name, len, &found.e, out, err);
}

static int commit_lookup(struct pfs_handle *dir, const char *name, size_t len,
			 struct pfs_handle **out, struct pfs_error *err)
{
	if (pfs_control_is(name, len))
		return pfs_control_dir(dir, out, err);
	return tree_lookup(dir, name, len, out, err);
}

int pfs_commit_handle(struct pfs_handle *parent, const char *repo, const char *name, size_t len,
		      const struct pfs_commit_id *id, bool canonical, struct pfs_handle **out,
		      struct pfs_error *err)
{
	struct pfs_view *v = parent->view;
	struct pfs_handle *h;
	struct pfs_root root;
	int rc;

	*out = pfs_handle_find(v, parent, name, len, id, sizeof(*id));
	if (*out)
		return 0;
	rc = pfs_history_commit_root(v->history, repo, id, &root, err);
	if (rc < 0)
		return rc;
	h = pfs_handle_new(v, &place_commit, parent, name, len, id, sizeof(*id), 0, err);
	if (!h)
		return PFS_E_NOMEM;
	h->u.commit.id = *id;
	h->u.commit.root = root;
	h->u.commit.canonical = canonical;
	return pfs_handle_enter(h, out, err);
}

static int tree_list(struct pfs_handle *dir, struct pfs_listing *l, struct pfs_error *err)
{
	const struct pfs_id *id = dir_of(dir);

	if (!id)
		return pfs_fail(err, PFS_E_NOTDIR, "\"%s\" is not a directory",
				pfs_handle_name(dir));
	return pfs_listing_of_tree(l, id, err);
}

static int entry_readlink(struct pfs_handle *h, struct pfs_buf *out, struct pfs_error *err)
{
	if (h->u.entry.type != PFS_ENTRY_SYMLINK)
		return pfs_fail(err, PFS_E_INVALID, "\"%s\" is not a symlink", pfs_handle_name(h));
	return pfs_buf_add(out, tail_data(h), h->u.entry.data_len, err);
}

static int entry_facts(struct pfs_handle *h, struct pfs_id *hash, uint64_t *size, uint64_t *files,
		       struct pfs_error *err)
{
	const struct entry *e = &h->u.entry;

	if (e->type != PFS_ENTRY_DIR && e->type != PFS_ENTRY_FILE)
		return pfs_fail(err, PFS_E_NOTFOUND, "only files and directories have a hash");
	*hash = e->id;
	*size = e->type == PFS_ENTRY_DIR ? e->dir_bytes : e->size;
	*files = e->type == PFS_ENTRY_DIR ? e->entries : 1;
	/* Equal bytes have equal hashes, whether they are kept in the entry or not. */
	if (e->type == PFS_ENTRY_FILE && e->form == PFS_CONTENT_INLINE)
		pfs_store_id(h->view->store, PFS_KIND_CHUNK, tail_data(h), e->data_len, hash);
	return 0;
}

/* A commit keeps what it names. */
static int entry_getxattr(struct pfs_handle *h, const char *name, struct pfs_buf *out,
			  struct pfs_error *err)
{
	struct pfs_id set = tail_xattrs(h);

	return pfs_xattrs_get(h->view->store, &set, name, out, err);
}

static int entry_listxattr(struct pfs_handle *h, struct pfs_buf *out, struct pfs_error *err)
{
	struct pfs_id set = tail_xattrs(h);

	return h->u.entry.has_xattrs ? pfs_xattrs_list(h->view->store, &set, out, err) : 0;
}

static int commit_facts(struct pfs_handle *h, struct pfs_id *hash, uint64_t *size, uint64_t *files,
			struct pfs_error *err)
{
	struct pfs_tree_totals t;
	int rc = pfs_tree_totals(h->view->store, &h->u.commit.root.dir, &t, err);

	if (rc < 0)
		return rc;
	*hash = h->u.commit.root.dir;
	*size = t.bytes;
	*files = t.entries;
	return 0;
}

/* ---- reading ---- */

/* As many threads as read-ahead keeps busy: each goes on where it was. */
#define READERS_MAX 4

struct slot {
	struct pfs_content_reader *reader;
	uint64_t next_off;
	bool busy;
};

struct committed_file {
	struct pfs_file file;
	struct pfs_content content;
	struct pfs_lock lock; /* PFS_RANK_VIEW */
	pthread_cond_t idle;
	int local; /* owned, -1: none; once `local_known`, which is atomic */
	bool local_known;
	struct slot slots[READERS_MAX]; /* protected by lock, but for the reader of a busy one */
};

/* An idle slot, best the one that stands at `off`, else one without a reader, else any. */
static struct slot *pick(struct committed_file *f, uint64_t off)
{
	struct slot *best = NULL;

	for (size_t i = 0; i < READERS_MAX; i++) {
		struct slot *s = &f->slots[i];

		if (s->busy)
			continue;
		if (s->reader && s->next_off == off)
			return s;
		if (!best || (best->reader && !s->reader))
			best = s;
	}
	return best;
}

static struct slot *take_slot(struct committed_file *f, uint64_t off)
{
	struct slot *s;

	pfs_lock(&f->lock);
	while (!(s = pick(f, off)))
		pfs_cond_wait(&f->idle, &f->lock, -1);
	s->busy = true;
	pfs_unlock(&f->lock);
	return s;
}

static void give_slot(struct committed_file *f, struct slot *s)
{
	pfs_lock(&f->lock);
	s->busy = false;
	pthread_cond_signal(&f->idle);
	pfs_unlock(&f->lock);
}

static int ready(struct committed_file *f, struct slot *s, struct pfs_error *err)
{
	if (s->reader)
		return 0;
	return pfs_content_reader_open(f->file.handle->view->store, &f->content, &s->reader, err);
}

static int committed_read(struct pfs_file *file, uint64_t off, void *data, size_t len,
			  size_t *out_len, struct pfs_error *err)
{
	struct committed_file *f = (struct committed_file *)file;
	struct slot *s = take_slot(f, off);
	size_t got = 0;
	int rc = ready(f, s, err);

	if (rc == 0)
		rc = pfs_content_read(s->reader, off, data, len, &got, err);
	s->next_off = off + got;
	give_slot(f, s);
	if (rc == 0)
		*out_len = got;
	return rc;
}

/* Found out when it is asked for first: at the opening. */
static int committed_local(struct pfs_file *file)
{
	struct committed_file *f = (struct committed_file *)file;

	int fd;

	if (__atomic_load_n(&f->local_known, __ATOMIC_ACQUIRE))
		return f->local;
	fd = pfs_content_local(file->handle->view->store, &f->content);
	pfs_lock(&f->lock);
	if (f->local_known)
		pfs_fd_close(&fd);
	else
		f->local = fd;
	__atomic_store_n(&f->local_known, true, __ATOMIC_RELEASE);
	pfs_unlock(&f->lock);
	return f->local;
}

static int committed_seek(struct pfs_file *file, uint64_t off, int whence, uint64_t *out,
			  struct pfs_error *err)
{
	struct committed_file *f = (struct committed_file *)file;
	struct slot *s;
	int rc = 0;

	if (off >= f->content.size || f->content.form != PFS_CONTENT_SEQ)
		return pfs_file_seek_plain(f->content.size, off, whence, out, err);
	s = take_slot(f, off);
	rc = ready(f, s, err);
	if (rc == 0)
		rc = pfs_content_map(s->reader, off, whence == SEEK_HOLE, out, err);
	give_slot(f, s);
	if (rc == 0 && whence == SEEK_DATA && *out == f->content.size)
		rc = pfs_fail(err, PFS_E_NOTFOUND, "no data from %llu on", (unsigned long long)off);
	return rc;
}

/* Its repo, when it was found in one. */
static const struct pfs_handle *repo_of(const struct pfs_handle *commit)
{
	const struct pfs_handle *parent = commit->parent;

	return parent->ops == &place_head ? parent->parent : parent;
}

/* A handle of what was deleted goes on, and what it shows may be gone any time: it names nothing. */
static bool committed_content(struct pfs_file *file, uint64_t least, struct pfs_content *out)
{
	const struct pfs_handle *h = file->handle->parent, *repo;
	struct pfs_root root;

	/* First, since whoever opens a file asks, and nearly all are small. */
	if (file->handle->u.entry.size < least)
		return false;
	while (h && h->ops != &place_commit)
		h = h->parent;
	repo = h ? repo_of(h) : NULL;
	if (!repo || repo->ops != &place_repo ||
	    pfs_history_commit_root(h->view->history, pfs_handle_name(repo), &h->u.commit.id, &root,
				    NULL) < 0)
		return false;
	*out = ((struct committed_file *)file)->content;
	return true;
}

static void committed_close(struct pfs_file *file)
{
	struct committed_file *f = (struct committed_file *)file;

	for (size_t i = 0; i < READERS_MAX; i++)
		pfs_content_reader_close(&f->slots[i].reader);
	pfs_fd_close(&f->local);
	pthread_cond_destroy(&f->idle);
	pfs_lock_fini(&f->lock);
	free(f);
}

static const struct file_ops committed_ops = {
	.read = committed_read,
	.local = committed_local,
	.seek = committed_seek,
	.content = committed_content,
	.close = committed_close,
};

static int entry_open(struct pfs_handle *h, unsigned flags, struct pfs_file **out,
		      struct pfs_error *err)
{
	const struct entry *e = &h->u.entry;
	struct committed_file *f;

	if (e->type == PFS_ENTRY_DIR)
		return pfs_fail(err, PFS_E_ISDIR, "\"%s\" is a directory", pfs_handle_name(h));
	if (e->type != PFS_ENTRY_FILE)
		return pfs_fail(err, PFS_E_UNSUPPORTED, "\"%s\" is not a file", pfs_handle_name(h));
	if (flags & PFS_OPEN_WRITE)
		return pfs_view_readonly(h, err);
	f = calloc(1, sizeof(*f));
	if (!f)
		return pfs_fail_nomem(err, "an open file");
	if (pfs_cond_init(&f->idle) < 0) {
		free(f);
		return pfs_fail_nomem(err, "an open file");
	}
	pfs_lock_init(&f->lock, PFS_RANK_VIEW);
	f->local = -1;
	f->file = (struct pfs_file){ .ops = &committed_ops, .flags = flags };
	f->file.handle = pfs_handle_ref(h);
	f->content.size = e->size;
	f->content.form = (enum pfs_content_form)e->form;
	f->content.id = e->id;
	if (e->form == PFS_CONTENT_INLINE)
		memcpy(f->content.bytes, tail_data(h), e->data_len);
	*out = &f->file;
	return 0;
}

/* ---- the branch of a pipeline: what its head holds, whichever that is ---- */

static int head_branch(struct pfs_handle *h, struct pfs_branch *out, struct pfs_error *err)
{
	return pfs_branch_inspect(h->view->history, pfs_handle_name(h->parent), pfs_handle_name(h),
				  out, err);
}

/* The hidden commit below a head; *out is NULL while there is none. */
static int head_commit(struct pfs_handle *h, struct pfs_handle **out, struct pfs_error *err)
{
	struct pfs_branch b;
	int rc = head_branch(h, &b, err);

	*out = NULL;
	if (rc < 0 || !b.has_head)
		return rc;
	return pfs_commit_handle(h, b.repo, "", 0, &b.head, true, out, err);
}

int pfs_head_handle(struct pfs_handle *repo, const struct pfs_branch *b, struct pfs_handle **out,
		    struct pfs_error *err)
{
	size_t len = strlen(b->name);
	struct pfs_handle *h;

	h = pfs_handle_new(repo->view, &place_head, repo, b->name, len, &b->created_ns,
			   sizeof(b->created_ns), 0, err);
	if (!h)
		return PFS_E_NOMEM;
	h->u.head.created_ns = b->created_ns;
	if (b->has_head)
		h->u.head.id = b->head;
	return pfs_handle_enter(h, out, err);
}

static int head_getattr(struct pfs_handle *h, struct pfs_attr *out, struct pfs_error *err)
{
	PFS_AUTO(pfs_handle_unref) struct pfs_handle *commit = NULL;
	int rc = head_commit(h, &commit, err);

	if (rc < 0)
		return rc;
	if (commit)
		attr_of(h, &commit->u.commit.root.attrs, PFS_TYPE_DIR, out);
	else
		pfs_view_plain_attr(h, PFS_TYPE_DIR, 0755, h->u.head.created_ns, out);
	out->immutable = false;
	return 0;
}

/*
 * A change is told for the children that a head has when it moves. One that is
 * found in the old commit after that would be cached for ever: look again.
 */
static int head_lookup(struct pfs_handle *h, const char *name, size_t len, struct pfs_handle **out,
		       struct pfs_error *err)
{
	if (pfs_control_is(name, len))
		return pfs_control_dir(h, out, err);
	for (int tries = 0; tries < 16; tries++) {
		PFS_AUTO(pfs_handle_unref) struct pfs_handle *commit = NULL;
		PFS_AUTO(pfs_handle_unref) struct pfs_handle *again = NULL;
		int rc = head_commit(h, &commit, err);

		if (rc == 0 && !commit)
			rc = pfs_fail(err, PFS_E_NOTFOUND, "branch \"%s\" has no commit yet",
				      pfs_handle_name(h));
		if (rc == 0)
			rc = tree_lookup(commit, name, len, out, err);
		if (rc < 0)
			return rc;
		if (head_commit(h, &again, NULL) == 0 && again == commit)
			return 0;
		pfs_handle_unref(out);
	}
	return pfs_fail(err, PFS_E_BUSY, "branch \"%s\" moves faster than we can look",
			pfs_handle_name(h));
}

static int head_list(struct pfs_handle *h, struct pfs_listing *l, struct pfs_error *err)
{
	PFS_AUTO(pfs_handle_unref) struct pfs_handle *commit = NULL;
	int rc = head_commit(h, &commit, err);

	if (rc < 0 || !commit)
		return rc;
	/* Numbers of entries come from their parent, which is the commit. */
	pfs_handle_unref(&l->dir);
	l->dir = commit;
	commit = NULL;
	return pfs_listing_of_tree(l, &l->dir->u.commit.root.dir, err);
}

static int head_facts(struct pfs_handle *h, struct pfs_id *hash, uint64_t *size, uint64_t *files,
		      struct pfs_error *err)
{
	PFS_AUTO(pfs_handle_unref) struct pfs_handle *commit = NULL;
	int rc = head_commit(h, &commit, err);

	if (rc < 0)
		return rc;
	if (!commit)
		return pfs_fail(err, PFS_E_NOTFOUND, "branch \"%s\" has no commit yet",
				pfs_handle_name(h));
	return commit_facts(commit, hash, size, files, err);
}

const struct place_ops place_head = {
	.what = "a pipeline's branch",
	.lookup = head_lookup,
	.getattr = head_getattr,
	.list = head_list,
	.facts = head_facts,
};

const struct place_ops place_commit = {
	.what = "a commit",
	.lookup = commit_lookup,
	.getattr = commit_getattr,
	.list = tree_list,
	.facts = commit_facts,
};

const struct place_ops place_entry = {
	.what = "a commit",
	.lookup = tree_lookup,
	.getattr = entry_getattr,
	.readlink = entry_readlink,
	.list = tree_list,
	.open = entry_open,
	.getxattr = entry_getxattr,
	.listxattr = entry_listxattr,
	.facts = entry_facts,
};
