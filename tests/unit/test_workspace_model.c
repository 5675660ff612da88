/*
 * A workspace against the obviously right way: a tree in memory. Random
 * operations, with commits, crashes of memory (close and open) and resets in
 * between; every answer and in the end every byte must be the same.
 */
#include "scratch.h"
#include "tree/content.h"
#include "tree/links.h"
#include "tree/tree.h"
#include "workspace/workspace_i.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NAMES           5
#define SIZE_MAX_TESTED 3000u /* past the inline size; one file in ten goes past a chunk */
#define HELD_MAX        6
#define LENT_SIZE_MIN   1000u /* where the store takes files in */

static uint64_t seed;
static uint64_t adopted; /* files that stores took in */

static unsigned roll(unsigned below)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return (unsigned)((seed * 0x2545f4914f6cdd1d >> 33) % below);
}

/* --- the obviously right way --------------------------------------------- */

struct thing {
	enum pfs_entry_type type;
	uint16_t mode;
	unsigned n_names; /* that lead to it */
	char *bytes;      /* of a file, or the target */
	size_t len;
	struct thing *names[NAMES]; /* of a directory; NULL: not there */
	struct thing *copy;         /* while the tree it is in is copied */
	uint64_t ino;               /* as it was seen last, ... */
	unsigned seen;              /* ... when all were looked at for the n-th time */
};

static struct thing *thing_new(enum pfs_entry_type type, uint16_t mode)
{
	struct thing *t = calloc(1, sizeof(*t));

	cr_assert(t);
	t->type = type;
	t->mode = mode;
	t->n_names = 1;
	return t;
}

static void thing_free(struct thing *t)
{
	if (!t || --t->n_names > 0)
		return;
	for (int i = 0; i < NAMES; i++)
		thing_free(t->names[i]);
	free(t->bytes);
	free(t);
}

static void thing_forget_copy(struct thing *t)
{
	for (int i = 0; t && i < NAMES; i++)
		thing_forget_copy(t->names[i]);
	if (t)
		t->copy = NULL;
}

static struct thing *thing_copy_below(struct thing *t)
{
	struct thing *c;

	if (!t)
		return NULL;
	if (t->copy) {
		t->copy->n_names++;
		return t->copy;
	}
	c = t->copy = thing_new(t->type, t->mode);
	c->len = t->len;
	if (t->len) {
		c->bytes = malloc(t->len);
		memcpy(c->bytes, t->bytes, t->len);
	}
	for (int i = 0; i < NAMES; i++)
		c->names[i] = thing_copy_below(t->names[i]);
	return c;
}

static struct thing *thing_copy(struct thing *t)
{
	struct thing *c = thing_copy_below(t);

	thing_forget_copy(t);
	return c;
}

static bool thing_empty(const struct thing *t)
{
	for (int i = 0; i < NAMES; i++)
		if (t->names[i])
			return false;
	return true;
}

static bool thing_within(const struct thing *t, const struct thing *ancestor)
{
	if (t == ancestor)
		return true;
	for (int i = 0; i < NAMES; i++)
		if (ancestor->names[i] && thing_within(t, ancestor->names[i]))
			return true;
	return false;
}

static void thing_resize(struct thing *t, size_t len)
{
	t->bytes = realloc(t->bytes, len + 1);
	if (len > t->len)
		memset(t->bytes + t->len, 0, len - t->len);
	t->len = len;
}

/* Unlike order, and one with odd bytes: sorted by bytes 0xff is last. */
static const char *const names[NAMES] = { "b", "a.txt", "long-name-of-a-thing", "Z", "\xff\x01" };
static const int sorted[NAMES] = { 3, 1, 0, 2, 4 };

/* --- both ---------------------------------------------------------------- */

struct pair {
	struct scratch dir;
	char folder[300];
	struct pfs_store *st;
	struct pfs_workspace *ws;
	bool on_disk; /* the store, which then takes in files of LENT_SIZE_MIN */
	uint16_t commits;
	struct pfs_commit_id base; /* of the commit that the workspace stands on */
	struct thing *root;
	struct pfs_node *held[HELD_MAX]; /* nodes somebody holds, so that they stay in memory */
	struct pfs_open *open;           /* a file somebody reads */
	uint64_t first_seed;
	unsigned step;
	unsigned looks; /* at everything */
	bool broken;    /* said once */
};

/* One place to fail: the seed and the step that show it again. */
#define SAME(p, got, want, what)                                                                 \
	do {                                                                                     \
		long got_ = (long)(got), want_ = (long)(want);                                   \
		if (got_ != want_) {                                                             \
			cr_log_error("seed %llu step %u: %s: got %ld, want %ld (%s)",            \
				     (unsigned long long)(p)->first_seed, (p)->step, what, got_, \
				     want_, err.text);                                           \
			cr_assert_fail("differs");                                               \
		}                                                                                \
	} while (0)

static struct pfs_error err;

struct place {
	struct thing *dir;
	struct pfs_node *node;
};

/* A random directory on both sides, some levels down. */
static struct place walk_down(struct pair *p)
{
	struct place at = { p->root, pfs_workspace_root(p->ws) };

	for (unsigned depth = roll(4); depth > 0; depth--) {
		int name = (int)roll(NAMES);
		struct thing *t = at.dir->names[name];
		struct pfs_node *next = NULL;
		int rc = pfs_workspace_lookup(p->ws, at.node, names[name], strlen(names[name]),
					      &next, &err);

		SAME(p, rc, t ? 0 : PFS_E_NOTFOUND, "lookup on the way");
		if (!t)
			break;
		SAME(p, pfs_node_type(next), t->type, "type on the way");
		if (t->type != PFS_ENTRY_DIR) {
			pfs_node_unref(&next);
			break;
		}
		pfs_node_unref(&at.node);
		at = (struct place){ t, next };
	}
	return at;
}

static void check_node(struct pair *p, struct thing *t, struct pfs_node *n);

static void check_bytes(struct pair *p, struct thing *t, struct pfs_node *n)
{
	char *bytes = malloc(t->len + 10);
	struct pfs_open *o = NULL;
	size_t got;

	SAME(p, pfs_workspace_open_file(p->ws, n, false, false, &o, &err), 0, "open to read");
	SAME(p, pfs_workspace_read(o, 0, bytes, t->len + 10, &got, &err), 0, "read");
	SAME(p, got, t->len, "bytes read");
	SAME(p, t->len ? memcmp(bytes, t->bytes, t->len) : 0, 0, "bytes");
	pfs_workspace_close_file(&o);
	free(bytes);
}

struct listing {
	struct pair *p;
	struct thing *dir;
	struct pfs_node *node;
	int at; /* in `sorted` */
	uint64_t inos[NAMES];
};

static int each_name(void *arg, const struct pfs_node_name *item)
{
	struct listing *l = arg;
	struct pair *p = l->p;

	while (l->at < NAMES && !l->dir->names[sorted[l->at]])
		l->at++;
	SAME(p, l->at < NAMES, 1, "a listed name that is not there");
	SAME(p, strcmp(item->name, names[sorted[l->at]]), 0, "order of names");
	SAME(p, item->name_len, strlen(item->name), "length of a name");
	SAME(p, item->type, l->dir->names[sorted[l->at]]->type, "type of a listed name");
	l->inos[l->at++] = item->ino;
	return 0;
}

static void check_dir(struct pair *p, struct thing *t, struct pfs_node *n)
{
	struct listing l = { p, t, n, 0, { 0 } };

	SAME(p, pfs_workspace_list(p->ws, n, each_name, &l, &err), 0, "list");
	while (l.at < NAMES && !t->names[sorted[l.at]])
		l.at++;
	SAME(p, l.at, NAMES, "a name that was not listed");
	for (int i = 0; i < NAMES; i++) {
		struct pfs_node *child = NULL;
		const char *name = names[sorted[i]];
		struct thing *want = t->names[sorted[i]];

		SAME(p, pfs_workspace_lookup(p->ws, n, name, strlen(name), &child, &err),
		     want ? 0 : PFS_E_NOTFOUND, "lookup");
		if (!want)
			continue;
		SAME(p, pfs_node_ino(child), l.inos[i], "number of a listed name");
		check_node(p, want, child);
		pfs_node_unref(&child);
	}
}

static void check_node(struct pair *p, struct thing *t, struct pfs_node *n)
{
	PFS_AUTO(pfs_buf_fini) struct pfs_buf target = PFS_BUF_INIT(PFS_SYMLINK_SIZE_MAX);
	struct pfs_node_attr a;

	SAME(p, pfs_workspace_getattr(p->ws, n, &a, &err), 0, "getattr");
	SAME(p, a.type, t->type, "type");
	SAME(p, a.attrs.mode, t->mode, "mode");
	SAME(p, a.nlink, t->n_names, "names");
	if (t->seen == p->looks)
		SAME(p, a.ino, t->ino, "number at another name");
	t->ino = a.ino;
	t->seen = p->looks;
	if (t->type == PFS_ENTRY_DIR) {
		check_dir(p, t, n);
		return;
	}
	SAME(p, a.size_bytes, t->len, "size");
	if (t->type == PFS_ENTRY_FILE) {
		check_bytes(p, t, n);
		return;
	}
	SAME(p, a.rdev, 0, "device of a whiteout");
	if (t->type == PFS_ENTRY_CHR)
		return;
	SAME(p, pfs_workspace_readlink(p->ws, n, &target, &err), 0, "readlink");
	SAME(p, target.len, t->len, "length of a target");
	SAME(p, memcmp(target.data, t->bytes, t->len), 0, "target");
}

static void check_all(struct pair *p)
{
	struct pfs_node *root = pfs_workspace_root(p->ws);

	p->looks++;
	check_node(p, p->root, root);
	pfs_node_unref(&root);
}

/* What a commit says, read without the workspace. */
static void check_tree(struct pair *p, const struct thing *t, const struct pfs_id *dir)
{
	PFS_AUTO(pfs_cursor_close) struct pfs_cursor *c = NULL;
	const struct pfs_entry *e;
	int at = 0;

	SAME(p, pfs_cursor_open(p->st, dir, &c, &err), 0, "open a committed directory");
	for (; at < NAMES; at++) {
		const struct thing *want = t->names[sorted[at]];
		PFS_AUTO(pfs_content_reader_close) struct pfs_content_reader *r = NULL;
		char *bytes;
		size_t got;

		if (!want)
			continue;
		SAME(p, pfs_cursor_next(c, &e, &err), 1, "a committed name");
		SAME(p, e->name_len, strlen(names[sorted[at]]), "length of a committed name");
		SAME(p, memcmp(e->name, names[sorted[at]], e->name_len), 0, "a committed name");
		SAME(p, e->type, want->type, "a committed type");
		SAME(p, e->attrs.mode, want->mode, "a committed mode");
		SAME(p, e->link != 0, want->n_names > 1, "a number for a file of several names");
		if (want->type == PFS_ENTRY_DIR) {
			struct pfs_id below = e->dir;

			check_tree(p, want, &below);
		}
		if (want->type == PFS_ENTRY_SYMLINK)
			SAME(p,
			     e->target_len == want->len &&
				     memcmp(e->target, want->bytes, want->len) == 0,
			     1, "a committed target");
		if (want->type != PFS_ENTRY_FILE)
			continue;
		bytes = malloc(want->len + 1);
		SAME(p, pfs_content_reader_open(p->st, &e->content, &r, &err), 0, "open a content");
		SAME(p, pfs_content_read(r, 0, bytes, want->len + 1, &got, &err), 0,
		     "read a content");
		SAME(p, got, want->len, "committed size");
		SAME(p, want->len ? memcmp(bytes, want->bytes, want->len) : 0, 0,
		     "committed bytes");
		free(bytes);
	}
	SAME(p, pfs_cursor_next(c, &e, &err), 0, "the end of a committed directory");
}

/* The numbers are those that follow from the names, so that all of a file are together. */
static void check_numbers(struct pair *p, const struct pfs_id *dir)
{
	struct pfs_id settled;

	SAME(p, pfs_links_settle(p->st, dir, NULL, &settled, &err), 0, "settle numbers");
	SAME(p, pfs_id_equal(&settled, dir), true, "numbers of names");
}

/* --- operations ---------------------------------------------------------- */

static void write_both(struct pair *p, struct thing *t, struct pfs_node *n)
{
	size_t len = roll(10) == 0 ? 150000 : 1 + roll(SIZE_MAX_TESTED);
	size_t off = roll(3) ? roll((unsigned)t->len + 1) : roll(SIZE_MAX_TESTED);
	bool truncate = roll(4) == 0, append = roll(4) == 0;
	struct pfs_open *o = NULL;
	char *bytes = malloc(len);

	for (size_t i = 0; i < len; i++)
		bytes[i] = (char)roll(256);
	if (truncate)
		thing_resize(t, 0);
	if (append)
		off = t->len;
	if (off + len > t->len)
		thing_resize(t, off + len);
	memcpy(t->bytes + off, bytes, len);
	SAME(p, pfs_workspace_open_file(p->ws, n, true, truncate, &o, &err), 0, "open to write");
	if (append)
		SAME(p, pfs_workspace_append(o, bytes, len, &err), 0, "append");
	else
		SAME(p, pfs_workspace_write(o, off, bytes, len, &err), 0, "write");
	if (roll(20) == 0)
		SAME(p, pfs_workspace_sync_file(o, &err), 0, "fsync");
	pfs_workspace_close_file(&o);
	free(bytes);
}

static void op_make(struct pair *p)
{
	static const enum pfs_entry_type types[] = { PFS_ENTRY_FILE, PFS_ENTRY_FILE, PFS_ENTRY_DIR,
						     PFS_ENTRY_SYMLINK };
	struct place at = walk_down(p);
	int name = (int)roll(NAMES);
	struct pfs_node_make make = {
		.type = types[roll(4)],
		.mode = (uint16_t)(0600 + roll(64)),
		.target = "some/where",
		.target_len = 10,
	};
	struct pfs_node *n = NULL;
	struct thing *t;
	int rc = pfs_workspace_make(p->ws, at.node, names[name], strlen(names[name]), &make, &n,
				    &err);

	SAME(p, rc, at.dir->names[name] ? PFS_E_EXISTS : 0, "make");
	if (rc == 0) {
		t = at.dir->names[name] = thing_new(make.type, make.mode);
		if (make.type == PFS_ENTRY_SYMLINK) {
			thing_resize(t, make.target_len);
			memcpy(t->bytes, make.target, make.target_len);
		}
		if (make.type == PFS_ENTRY_FILE && roll(3))
			write_both(p, t, n);
		pfs_node_unref(&n);
	}
	pfs_node_unref(&at.node);
}

static void op_link(struct pair *p)
{
	struct place from = walk_down(p), to = walk_down(p);
	int a = (int)roll(NAMES), b = (int)roll(NAMES), rc, want = 0;
	struct thing *t = from.dir->names[a];
	struct pfs_node *n = NULL;

	if (t) {
		if (t->type == PFS_ENTRY_DIR)
			want = PFS_E_DENIED;
		else if (to.dir->names[b])
			want = PFS_E_EXISTS;
		SAME(p,
		     pfs_workspace_lookup(p->ws, from.node, names[a], strlen(names[a]), &n, &err),
		     0, "lookup to link");
		rc = pfs_workspace_link(p->ws, n, to.node, names[b], strlen(names[b]), &err);
		SAME(p, rc, want, "link");
		if (rc == 0) {
			to.dir->names[b] = t;
			t->n_names++;
		}
	}
	pfs_node_unref(&n);
	pfs_node_unref(&from.node);
	pfs_node_unref(&to.node);
}

static void op_write(struct pair *p)
{
	struct place at = walk_down(p);
	int name = (int)roll(NAMES);
	struct thing *t = at.dir->names[name];
	struct pfs_node *n = NULL;
	int rc = pfs_workspace_lookup(p->ws, at.node, names[name], strlen(names[name]), &n, &err);

	SAME(p, rc, t ? 0 : PFS_E_NOTFOUND, "lookup to write");
	if (t && t->type == PFS_ENTRY_FILE)
		write_both(p, t, n);
	pfs_node_unref(&n);
	pfs_node_unref(&at.node);
}

static void op_setattr(struct pair *p)
{
	struct place at = walk_down(p);
	int name = (int)roll(NAMES);
	struct thing *t = at.dir->names[name];
	struct pfs_node *n = NULL;
	struct pfs_node_attr set = { .attrs.mode = (uint16_t)roll(010000),
				     .size_bytes = roll(2 * SIZE_MAX_TESTED) };
	unsigned which = PFS_NODE_MODE;

	if (roll(6) == 0)
		set.size_bytes = 0;
	if (t) {
		SAME(p,
		     pfs_workspace_lookup(p->ws, at.node, names[name], strlen(names[name]), &n,
					  &err),
		     0, "lookup to change");
		if (t->type == PFS_ENTRY_FILE && roll(2)) {
			which = PFS_NODE_SIZE;
			thing_resize(t, set.size_bytes);
		} else {
			/* Setgid on a directory is inherited, which the tree in memory does not do. */
			set.attrs.mode &= 05777;
			t->mode = set.attrs.mode;
		}
		SAME(p, pfs_workspace_setattr(p->ws, n, which, &set, &err), 0, "setattr");
		pfs_node_unref(&n);
	}
	pfs_node_unref(&at.node);
}

static void op_remove(struct pair *p)
{
	struct place at = walk_down(p);
	int name = (int)roll(NAMES);
	struct thing *t = at.dir->names[name];
	bool directory = t && t->type == PFS_ENTRY_DIR;
	int rc, want = 0;

	if (roll(5) == 0)
		directory = !directory;
	if (!t)
		want = PFS_E_NOTFOUND;
	else if (directory && t->type != PFS_ENTRY_DIR)
		want = PFS_E_NOTDIR;
	else if (!directory && t->type == PFS_ENTRY_DIR)
		want = PFS_E_ISDIR;
	else if (directory && !thing_empty(t))
		want = PFS_E_NOTEMPTY;
	rc = pfs_workspace_remove_name(p->ws, at.node, names[name], strlen(names[name]), directory,
				       &err);
	SAME(p, rc, want, "remove");
	if (rc == 0) {
		thing_free(t);
		at.dir->names[name] = NULL;
	}
	pfs_node_unref(&at.node);
}

static int want_rename(struct place *from, struct thing *t, struct place *to, struct thing *u,
		       bool noreplace, bool exchange)
{
	if (!t || (exchange && !u))
		return PFS_E_NOTFOUND;
	if (noreplace && u)
		return PFS_E_EXISTS;
	if (t == u)
		return 0;
	if (thing_within(to->dir, t) || (exchange && thing_within(from->dir, u)))
		return PFS_E_INVALID;
	if (exchange || !u)
		return 0;
	if (t->type == PFS_ENTRY_DIR && u->type != PFS_ENTRY_DIR)
		return PFS_E_NOTDIR;
	if (t->type != PFS_ENTRY_DIR && u->type == PFS_ENTRY_DIR)
		return PFS_E_ISDIR;
	return u->type == PFS_ENTRY_DIR && !thing_empty(u) ? PFS_E_NOTEMPTY : 0;
}

static void op_rename(struct pair *p)
{
	struct place from = walk_down(p), to = walk_down(p);
	int a = (int)roll(NAMES), b = (int)roll(NAMES);
	struct thing *t = from.dir->names[a], *u = to.dir->names[b];
	bool noreplace = roll(4) == 0, exchange = !noreplace && roll(4) == 0;
	bool whiteout = !exchange && roll(4) == 0;
	int want = want_rename(&from, t, &to, u, noreplace, exchange), rc;

	if (whiteout)
		rc = pfs_workspace_rename_away(p->ws, from.node, names[a], strlen(names[a]),
					       to.node, names[b], strlen(names[b]), noreplace,
					       &err);
	else
		rc = pfs_workspace_rename(p->ws, from.node, names[a], strlen(names[a]), to.node,
					  names[b], strlen(names[b]), noreplace, exchange, &err);

	SAME(p, rc, want, "rename");
	if (rc == 0 && t != u) {
		from.dir->names[a] = exchange ? u : whiteout ? thing_new(PFS_ENTRY_CHR, 0) : NULL;
		to.dir->names[b] = t;
		if (!exchange)
			thing_free(u);
	}
	pfs_node_unref(&from.node);
	pfs_node_unref(&to.node);
}

/* Somebody keeps a node, or gives one back. */
static void op_hold(struct pair *p)
{
	unsigned i = roll(HELD_MAX);
	struct place at = walk_down(p);
	int name = (int)roll(NAMES);

	pfs_node_unref(&p->held[i]);
	pfs_workspace_lookup(p->ws, at.node, names[name], strlen(names[name]), &p->held[i], NULL);
	if (roll(4) == 0)
		pfs_workspace_close_file(&p->open);
	if (!p->open && p->held[i] && pfs_node_type(p->held[i]) == PFS_ENTRY_FILE)
		SAME(p, pfs_workspace_open_file(p->ws, p->held[i], false, false, &p->open, &err), 0,
		     "open to hold");
	pfs_node_unref(&at.node);
}

static void let_go(struct pair *p)
{
	pfs_workspace_close_file(&p->open);
	for (int i = 0; i < HELD_MAX; i++)
		pfs_node_unref(&p->held[i]);
}

static void op_names(struct pair *p)
{
	static void (*const ops[])(struct pair *) = { op_make,   op_make, op_write,  op_setattr,
						      op_remove, op_link, op_rename, op_hold };

	ops[roll(sizeof(ops) / sizeof(*ops))](p);
	p->step++;
}

/* A preview differs from the base where the seal does, and in the same way. */
static void check_preview(struct pair *p, struct pfs_store *aside, const struct pfs_id *base,
			  const struct pfs_id *early, const struct pfs_id *late)
{
	PFS_AUTO(pfs_compare_close) struct pfs_compare *a = NULL, *b = NULL;
	struct pfs_difference x, y;
	int more;

	SAME(p, pfs_compare_open(aside, base, early, true, &a, &err), 0, "compare");
	SAME(p, pfs_compare_open(p->st, base, late, true, &b, &err), 0, "compare");
	do {
		more = pfs_compare_next(b, &y, &err);
		SAME(p, pfs_compare_next(a, &x, &err), more, "number of differences");
		if (more != 1)
			break;
		SAME(p, x.kind, y.kind, y.path);
		SAME(p, strcmp(x.path, y.path), 0, y.path);
		if (x.kind == PFS_CHANGED)
			SAME(p, pfs_entry_same_content(x.was, x.is),
			     pfs_entry_same_content(y.was, y.is), y.path);
	} while (true);
	SAME(p, more, 0, "differences");
}

/* And it leaves nothing in the store. */
static struct pfs_sealed preview(struct pair *p, struct pfs_store *aside, const struct pfs_id *base)
{
	struct pfs_store_stats before, after;
	struct pfs_sealed early;

	pfs_store_stats(p->st, &before);
	SAME(p, pfs_workspace_preview(p->ws, base, aside, &early, &err), 0, "preview");
	pfs_store_stats(p->st, &after);
	SAME(p, after.objects, before.objects, "objects of the store");
	SAME(p, after.object_bytes, before.object_bytes, "bytes of the store");
	SAME(p, after.put_duplicates, before.put_duplicates, "puts");
	return early;
}

/* Commit, with changes between its halves, settled or not. */
static void op_commit(struct pair *p)
{
	struct thing *then = thing_copy(p->root);
	struct pfs_commit_id id = { { 1, p->commits & 255, p->commits >> 8 } };
	struct pfs_id base = p->ws->base.dir;
	PFS_AUTO(pfs_store_close) struct pfs_store *aside = NULL;
	struct pfs_sealed early, sealed;

	p->commits++;
	SAME(p, pfs_store_open_aside(p->st, &aside, &err), 0, "a store aside");
	early = preview(p, aside, &base);
	SAME(p, pfs_workspace_seal(p->ws, &id, &sealed, &err), 0, "seal");
	check_preview(p, aside, &base, &early.root.dir, &sealed.root.dir);
	for (unsigned n = roll(3) ? 0 : roll(15); n > 0; n--)
		op_names(p);
	check_tree(p, then, &sealed.root.dir);
	check_numbers(p, &sealed.root.dir);
	SAME(p, sealed.root.attrs.mode, then->mode, "mode of the root");
	if (roll(5)) {
		SAME(p, pfs_workspace_settle(p->ws, &sealed, &err), 0, "settle");
		p->base = id;
	}
	if (roll(6) == 0) {
		SAME(p, pfs_workspace_reset(p->ws, &sealed.root, &err), 0, "reset");
		p->base = id;
		SAME(p, pfs_workspace_dirty(p->ws), false, "dirty after a reset");
		thing_free(p->root);
		p->root = thing_copy(then);
	}
	check_all(p);
	thing_free(then);
}

static void open_ws(struct pair *p, uint16_t mode)
{
	struct pfs_root base = { .attrs.mode = mode, .mark = p->base };

	SAME(p, pfs_workspace_open(p->folder, p->st, &base, &p->ws, &err), 0, "open");
	if (p->on_disk)
		p->ws->lent_size_min = LENT_SIZE_MIN;
}

static void op_reopen(struct pair *p)
{
	let_go(p);
	pfs_workspace_close(&p->ws);
	open_ws(p, 01);
	check_all(p);
}

static void op_sync(struct pair *p)
{
	SAME(p, pfs_workspace_sync(p->ws, &err), 0, "sync");
}

static void run_seed(uint64_t first, unsigned steps)
{
	struct pair p = { .first_seed = first, .on_disk = first % 2 };
	struct pfs_store_stats stats;
	char path[300];

	seed = first * 0x9e3779b97f4a7c15ULL + 1;
	p.dir = scratch_new();
	snprintf(p.folder, sizeof(p.folder), "%s/ws", p.dir.path);
	snprintf(path, sizeof(path), "%s/store", p.dir.path);
	SAME(&p, p.on_disk ? pfs_store_open(path, &p.st, &err) : pfs_store_open_mem(&p.st, &err), 0,
	     "open a store");
	open_ws(&p, 0755);
	p.root = thing_new(PFS_ENTRY_DIR, 0755);
	while (p.step < steps) {
		unsigned what = roll(60);

		if (what == 0)
			op_reopen(&p);
		else if (what < 4)
			op_commit(&p);
		else if (what == 4)
			op_sync(&p);
		else
			op_names(&p);
	}
	check_all(&p);
	op_reopen(&p);
	op_commit(&p);
	let_go(&p);
	pfs_workspace_close(&p.ws);
	pfs_store_stats(p.st, &stats);
	adopted += stats.adopted_files;
	pfs_store_close(&p.st);
	thing_free(p.root);
	scratch_fini(&p.dir);
}

Test(workspace_model, answers_as_a_tree_in_memory_does_whatever_happens_in_between)
{
	const char *one = getenv("PFS_TEST_SEED");
	const char *many = getenv("PFS_TEST_SEEDS");
	uint64_t n = many ? strtoull(many, NULL, 10) : 60;

	if (one)
		run_seed(strtoull(one, NULL, 10), 400);
	for (uint64_t i = 0; !one && i < n; i++)
		run_seed(i, 250);
	if (!one)
		cr_expect_gt(adopted, n, "so many in %llu runs", (unsigned long long)n);
}
