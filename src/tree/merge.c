/*
 * Ours and theirs go side by side; where they differ the base is asked.
 *
 *	frames   a/  ──▶  a/b/  ──▶  a/b/c/      a stack on the heap
 *	items    [x]      [y z]      [ ]         what the result has and a side has not
 *
 * The result is a side plus the items that differ from it. Which side is not
 * decided before the end of a directory, or before too many items wait: then
 * it is the one that needs fewer.
 */
#include "tree/links.h"
#include "tree/mergerule.h"
#include "tree/pair.h"
#include "tree/siphash.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct item {
	struct pfs_entry e; /* owned; type 0: gone */
	bool not_ours;      /* ours has something else */
	bool not_theirs;
};

struct frame {
	struct pfs_pair pair; /* ours, theirs */
	struct pfs_walk base;
	struct pfs_id ours, theirs;
	struct item into; /* what this directory is in the one above; its `dir` is to come */
	size_t path_len;  /* with its slash */

	struct item *items;
	size_t n, cap, not_ours, not_theirs;
	const struct pfs_id *from; /* &ours or &theirs; NULL: open */
	struct pfs_id root;        /* what became of it so far */
};

struct merge {
	struct pfs_store *st;
	const struct pfs_merge_how *how;
	struct pfs_conflicts *conflicts;
	struct frame **frames;
	size_t depth, cap;
	size_t pending; /* items in all frames */
	struct pfs_buf path;
	uint64_t n_conflicts;
	char first[128]; /* the path of the first one */
	struct pfs_id result;
	bool links; /* a name with a hard-link group was looked at */
};

void pfs_conflicts_fini(struct pfs_conflicts *c)
{
	for (size_t i = 0; i < c->n; i++) {
		free(c->list[i].path);
		pfs_entry_drop(&c->list[i].base);
		pfs_entry_drop(&c->list[i].ours);
		pfs_entry_drop(&c->list[i].theirs);
	}
	free(c->list);
	*c = (struct pfs_conflicts){ .max = c->max };
}

static void drop_items(struct merge *m, struct frame *f)
{
	for (size_t i = 0; i < f->n; i++)
		pfs_entry_drop(&f->items[i].e);
	m->pending -= f->n;
	f->n = 0;
}

static void pop_frame(struct merge *m)
{
	struct frame *f = m->frames[--m->depth];

	drop_items(m, f);
	free(f->items);
	pfs_entry_drop(&f->into.e);
	pfs_pair_fini(&f->pair);
	pfs_walk_fini(&f->base);
	free(f);
}

static void merge_fini(struct merge *m)
{
	while (m->depth > 0)
		pop_frame(m);
	free(m->frames);
	pfs_buf_fini(&m->path);
}

/* --- items --------------------------------------------------------------- */

static int by_name(const void *a, const void *b)
{
	const struct pfs_edit *x = a, *y = b;

	return pfs_treenode_name_compare(x->name, x->name_len, y->name, y->name_len);
}

/* What waits in a frame goes into its root. */
static int apply_items(struct merge *m, struct frame *f, struct pfs_error *err)
{
	struct pfs_edit *edits;
	size_t n = 0;
	int rc;

	if (!f->from) {
		f->from = f->not_ours <= f->not_theirs ? &f->ours : &f->theirs;
		f->root = *f->from;
	}
	if (f->n == 0)
		return 0;
	edits = malloc(f->n * sizeof(*edits));
	if (!edits)
		return pfs_fail_nomem(err, "a merge");
	for (size_t i = 0; i < f->n; i++) {
		const struct item *it = &f->items[i];

		if (f->from == &f->ours ? it->not_ours : it->not_theirs)
			edits[n++] = (struct pfs_edit){ it->e.name, it->e.name_len,
							it->e.type ? &it->e : NULL };
	}
	/* Only the names that keep both sides of a conflict are out of order. */
	qsort(edits, n, sizeof(*edits), by_name);
	rc = pfs_tree_edit(m->st, &f->root, edits, n, &f->root, err);
	free(edits);
	drop_items(m, f);
	return rc;
}

static int make_room(struct merge *m, struct frame *f, struct pfs_error *err)
{
	struct item *items;
	size_t cap = f->cap ? 2 * f->cap : 8;
	int rc = 0;

	for (size_t i = 0; m->pending >= PFS_MERGE_PENDING_MAX && rc == 0 && i < m->depth; i++)
		rc = apply_items(m, m->frames[i], err);
	if (rc < 0 || f->n < f->cap)
		return rc;
	items = realloc(f->items, cap * sizeof(*items));
	if (!items)
		return pfs_fail_nomem(err, "a merge");
	f->items = items;
	f->cap = cap;
	return 0;
}

/* The result has `e` under this name (type 0: nothing), and not every side has. */
static int add_item(struct merge *m, struct frame *f, const struct item *it, struct pfs_error *err)
{
	bool refused = m->how->policy == PFS_MERGE_REFUSE && m->n_conflicts > 0;
	int rc;

	if (refused || !(it->not_ours || it->not_theirs) ||
	    (f->from && !(f->from == &f->ours ? it->not_ours : it->not_theirs)))
		return 0;
	rc = make_room(m, f, err);
	if (rc < 0)
		return rc;
	f->items[f->n] = *it;
	rc = pfs_entry_keep(&it->e, &f->items[f->n].e, err);
	if (rc < 0)
		return rc;
	f->n++;
	m->pending++;
	f->not_ours += it->not_ours;
	f->not_theirs += it->not_theirs;
	return 0;
}

/* --- directories --------------------------------------------------------- */

/* Takes `into`, also on failure. */
static int push_frame(struct merge *m, const struct pfs_id *base, const struct pfs_id *ours,
		      const struct pfs_id *theirs, struct item *into, struct pfs_error *err)
{
	struct frame *f = calloc(1, sizeof(*f));
	int rc = f ? 0 : pfs_fail_nomem(err, "a merge");

	if (rc == 0 && m->depth == PFS_TREE_DEPTH_MAX)
		rc = pfs_fail(err, PFS_E_LIMIT, "directories more than %u deep",
			      PFS_TREE_DEPTH_MAX);
	if (rc == 0 && m->depth == m->cap) {
		size_t cap = m->cap ? 2 * m->cap : 16;
		struct frame **frames = realloc(m->frames, cap * sizeof(struct frame *));

		rc = frames ? 0 : pfs_fail_nomem(err, "a merge");
		m->frames = frames ? frames : m->frames;
		m->cap = frames ? cap : m->cap;
	}
	if (rc == 0 && m->depth > 0)
		rc = pfs_buf_add(&m->path, "/", 1, err);
	if (rc == 0)
		rc = pfs_walk_init(&f->base, m->st, base, err);
	if (rc == 0) {
		rc = pfs_pair_init(&f->pair, m->st, ours, theirs, err);
		if (rc < 0)
			pfs_walk_fini(&f->base);
	}
	if (rc < 0) {
		pfs_entry_drop(&into->e);
		free(f);
		return rc;
	}
	f->path_len = m->path.len;
	f->into = *into;
	f->ours = *ours;
	f->theirs = *theirs;
	m->frames[m->depth++] = f;
	return 0;
}

/* A directory is done: the one above gets it. */
static int leave(struct merge *m, struct pfs_error *err)
{
	struct frame *f = m->frames[m->depth - 1];
	struct item *into = &f->into;
	struct pfs_tree_totals totals;
	int rc = apply_items(m, f, err);

	if (rc == 0)
		rc = pfs_tree_totals(m->st, &f->root, &totals, err);
	if (rc < 0)
		return rc;
	m->result = f->root;
	if (m->depth > 1) {
		into->e.dir = f->root;
		into->e.dir_entries = totals.entries;
		into->e.dir_bytes = totals.bytes;
		into->not_ours = into->not_ours || !pfs_id_equal(&f->root, &f->ours);
		into->not_theirs = into->not_theirs || !pfs_id_equal(&f->root, &f->theirs);
		rc = add_item(m, m->frames[m->depth - 2], into, err);
	}
	pop_frame(m);
	return rc;
}

/* Directories on both sides, different in what they hold, in attributes, or both. */
static int descend(struct merge *m, struct frame *f, const struct pfs_entry *base,
		   const struct pfs_entry *ours, const struct pfs_entry *theirs,
		   const struct pfs_entry *mixed, struct pfs_error *err)
{
	static const struct pfs_id none;
	const struct pfs_id *b = base && base->type == PFS_ENTRY_DIR ? &base->dir : &none;
	struct pfs_entry as_ours = *mixed, as_theirs = *mixed;
	struct item into = { .e = *mixed };
	int rc;

	as_theirs.dir = theirs->dir;
	as_theirs.dir_entries = theirs->dir_entries;
	as_theirs.dir_bytes = theirs->dir_bytes;
	into.not_ours = !pfs_entry_equal(&as_ours, ours);
	into.not_theirs = !pfs_entry_equal(&as_theirs, theirs);
	if (pfs_id_equal(&ours->dir, &theirs->dir) || pfs_id_equal(b, &theirs->dir)) {
		into.not_theirs = !pfs_entry_equal(&as_ours, theirs);
		return add_item(m, f, &into, err);
	}
	if (pfs_id_equal(b, &ours->dir)) {
		into.e = as_theirs;
		into.not_ours = !pfs_entry_equal(&as_theirs, ours);
		return add_item(m, f, &into, err);
	}
	rc = pfs_entry_keep(mixed, &into.e, err);
	return rc < 0 ? rc : push_frame(m, b, &ours->dir, &theirs->dir, &into, err);
}

/* --- conflicts ----------------------------------------------------------- */

static int keep_if_there(const struct pfs_entry *e, struct pfs_entry *out, struct pfs_error *err)
{
	return e ? pfs_entry_keep(e, out, err) : 0;
}

static int note_conflict(struct merge *m, enum pfs_conflict_kind kind, const struct pfs_entry *base,
			 const struct pfs_entry *ours, const struct pfs_entry *theirs,
			 struct pfs_error *err)
{
	struct pfs_conflicts *c = m->conflicts;
	struct pfs_conflict *x;
	int rc;

	if (m->n_conflicts++ == 0)
		snprintf(m->first, sizeof(m->first), "%s", pfs_buf_str(&m->path));
	if (!c)
		return 0;
	c->total++;
	if (c->n == c->max)
		return 0;
	if (c->n == c->cap) {
		size_t cap = c->cap ? 2 * c->cap : 8;

		x = realloc(c->list, cap * sizeof(*x));
		if (!x)
			return pfs_fail_nomem(err, "a list of conflicts");
		c->list = x;
		c->cap = cap;
	}
	x = &c->list[c->n++];
	*x = (struct pfs_conflict){ .kind = kind, .path = strdup(pfs_buf_str(&m->path)) };
	rc = x->path ? 0 : pfs_fail_nomem(err, "a list of conflicts");
	if (rc == 0)
		rc = keep_if_there(base, &x->base, err);
	if (rc == 0)
		rc = keep_if_there(ours, &x->ours, err);
	if (rc == 0)
		rc = keep_if_there(theirs, &x->theirs, err);
	return rc;
}

/* 1 when the directory has the name, 0 when not. */
static int has_name(struct merge *m, const struct pfs_id *dir, const char *name, size_t len,
		    struct pfs_error *err)
{
	PFS_AUTO(pfs_walk_fini) struct pfs_walk w;
	const struct pfs_treenode_entry *e;
	int rc = pfs_walk_init(&w, m->st, dir, err);

	if (rc == 0)
		rc = pfs_walk_seek(&w, name, len, false, err);
	e = pfs_walk_item(&w);
	return rc <= 0 ? rc : pfs_treenode_name_compare(e->name, e->name_len, name, len) == 0;
}

/* "name.label", "name.label.2" ...: what a name is called that does not fit is merge.h's to say. */
static size_t format_name(struct merge *m, const char *name, size_t len, const char *label,
			  unsigned number, char out[PFS_NAME_SIZE_MAX + 1])
{
	char tail[PFS_BRANCH_NAME_MAX + 48] = "", digits[16] = "";

	if (number > 1)
		snprintf(digits, sizeof(digits), ".%u", number);
	snprintf(tail, sizeof(tail), ".%s%s", label, digits);
	if (len + strlen(tail) > PFS_NAME_SIZE_MAX) {
		uint64_t hash = pfs_siphash(pfs_store_keys(m->st)->tree_key, UINT8_MAX, name, len);

		snprintf(tail, sizeof(tail), "~%016" PRIx64 ".%s%s", hash, label, digits);
		len = PFS_NAME_SIZE_MAX - strlen(tail);
		while (len > 0 && (name[len] & 0xc0) == 0x80)
			len--; /* not within a character of UTF-8 */
	}
	return (size_t)snprintf(out, PFS_NAME_SIZE_MAX + 1, "%.*s%s", (int)len, name, tail);
}

/* Keep one side of a conflict under a name of its own. */
static int keep_side(struct merge *m, struct frame *f, const struct pfs_entry *e, const char *label,
		     struct pfs_error *err)
{
	struct item it = { .e = *e, .not_ours = true, .not_theirs = true };
	char name[PFS_NAME_SIZE_MAX + 1];
	int taken = 1;

	for (unsigned number = 1; taken > 0; number++) {
		it.e.name_len = format_name(m, e->name, e->name_len, label, number, name);
		taken = has_name(m, &f->ours, name, it.e.name_len, err);
		if (taken == 0)
			taken = has_name(m, &f->theirs, name, it.e.name_len, err);
	}
	it.e.name = name;
	return taken < 0 ? taken : add_item(m, f, &it, err);
}

static const char *label_of(const char *label, const char *otherwise)
{
	return label ? label : otherwise;
}

static int keep_both(struct merge *m, struct frame *f, const struct pfs_entry *ours,
		     const struct pfs_entry *theirs, struct pfs_error *err)
{
	struct item gone = { .e = { .name = ours->name, .name_len = ours->name_len },
			     .not_ours = true,
			     .not_theirs = true };
	int rc = add_item(m, f, &gone, err);

	if (rc == 0)
		rc = keep_side(m, f, ours, label_of(m->how->ours, "ours"), err);
	if (rc == 0)
		rc = keep_side(m, f, theirs, label_of(m->how->theirs, "theirs"), err);
	return rc;
}

/* What one side has, which may be nothing, is what the result has. */
static int take_side(struct merge *m, struct frame *f, const struct pfs_entry *ours,
		     const struct pfs_entry *theirs, bool take_theirs, struct pfs_error *err)
{
	const struct pfs_entry *e = take_theirs ? theirs : ours,
			       *other = take_theirs ? ours : theirs;
	struct item it = { .not_ours = take_theirs, .not_theirs = !take_theirs };

	if (e)
		it.e = *e;
	else
		it.e = (struct pfs_entry){ .name = other->name, .name_len = other->name_len };
	return add_item(m, f, &it, err);
}

static int resolve(struct merge *m, struct frame *f, enum pfs_conflict_kind kind,
		   const struct pfs_entry *base, const struct pfs_entry *ours,
		   const struct pfs_entry *theirs, struct pfs_error *err)
{
	int rc = note_conflict(m, kind, base, ours, theirs, err);

	if (rc < 0)
		return rc;
	switch (m->how->policy) {
	case PFS_MERGE_OURS:
	case PFS_MERGE_THEIRS:
		return take_side(m, f, ours, theirs, m->how->policy == PFS_MERGE_THEIRS, err);
	case PFS_MERGE_BOTH:
		if (kind == PFS_CONFLICT_GONE)
			return take_side(m, f, ours, theirs, !ours, err);
		return keep_both(m, f, ours, theirs, err);
	default:
		return 0;
	}
}

/* --- names --------------------------------------------------------------- */

/* 1 when the base of a frame has this name. */
static int find_base(struct frame *f, const struct pfs_entry *e, struct pfs_entry *out,
		     struct pfs_error *err)
{
	const struct pfs_treenode_entry *found;
	int rc = pfs_walk_seek(&f->base, e->name, e->name_len, false, err);

	if (rc <= 0)
		return rc;
	found = pfs_walk_item(&f->base);
	if (pfs_treenode_name_compare(found->name, found->name_len, e->name, e->name_len) != 0)
		return 0;
	pfs_entry_from_node(found, out);
	return 1;
}

static int merge_name(struct merge *m, struct frame *f, const struct pfs_entry *ours,
		      const struct pfs_entry *theirs, struct pfs_error *err)
{
	const struct pfs_entry *some = ours ? ours : theirs, *base;
	struct pfs_entry was, mixed;
	enum pfs_conflict_kind kind;
	int rc = find_base(f, some, &was, err);

	m->path.len = f->path_len;
	base = rc > 0 ? &was : NULL;
	m->links |= (base && base->link) || (ours && ours->link) || (theirs && theirs->link);
	rc = rc < 0 ? rc : pfs_buf_add(&m->path, some->name, some->name_len, err);
	if (rc < 0)
		return rc;
	switch (pfs_mergerule_decide(base, ours, theirs, &mixed, &kind)) {
	case PFS_VERDICT_OURS:
		return take_side(m, f, ours, theirs, false, err);
	case PFS_VERDICT_THEIRS:
		return take_side(m, f, ours, theirs, true, err);
	case PFS_VERDICT_MIXED: {
		struct item it = { mixed, !pfs_entry_equal(&mixed, ours),
				   !pfs_entry_equal(&mixed, theirs) };

		return add_item(m, f, &it, err);
	}
	case PFS_VERDICT_DESCEND:
		return descend(m, f, base, ours, theirs, &mixed, err);
	default:
		return resolve(m, f, kind, base, ours, theirs, err);
	}
}

/* The next name of the directory on top, or out of it. */
static int step(struct merge *m, struct pfs_error *err)
{
	struct frame *f = m->frames[m->depth - 1];
	const struct pfs_treenode_entry *a, *b;
	struct pfs_entry ours, theirs;
	int rc = pfs_pair_next(&f->pair, &a, &b, err);

	if (rc < 0)
		return rc;
	if (rc == 0)
		return leave(m, err);
	if (a)
		pfs_entry_from_node(a, &ours);
	if (b)
		pfs_entry_from_node(b, &theirs);
	if (a && b && pfs_entry_equal(&ours, &theirs))
		return 0;
	return merge_name(m, f, a ? &ours : NULL, b ? &theirs : NULL, err);
}

static int run(struct merge *m, const struct pfs_id *base, const struct pfs_id *ours,
	       const struct pfs_id *theirs, struct pfs_error *err)
{
	struct item into = { 0 };
	int rc = push_frame(m, base, ours, theirs, &into, err);

	while (rc == 0 && m->depth > 0)
		rc = step(m, err);
	if (rc < 0)
		return pfs_wrap(err, rc, "merge \"%.256s\"", pfs_buf_str(&m->path));
	if (m->how->policy == PFS_MERGE_REFUSE && m->n_conflicts > 0)
		return pfs_fail(err, PFS_E_CONFLICT,
				"merge: %" PRIu64 " conflicts, the first at \"%s\"", m->n_conflicts,
				m->first);
	return 0;
}

static int check_labels(const struct pfs_merge_how *how, struct pfs_error *err)
{
	const char *ours = label_of(how->ours, "ours"), *theirs = label_of(how->theirs, "theirs");

	if (!*ours || !*theirs || strlen(ours) > PFS_BRANCH_NAME_MAX ||
	    strlen(theirs) > PFS_BRANCH_NAME_MAX || strchr(ours, '/') || strchr(theirs, '/') ||
	    strcmp(ours, theirs) == 0)
		return pfs_fail(
			err, PFS_E_INVALID,
			"merge: labels \"%.64s\" and \"%.64s\" cannot end names: they have to "
			"differ, without slashes, of 1 to %u bytes",
			ours, theirs, PFS_BRANCH_NAME_MAX);
	return 0;
}

int pfs_merge_trees(struct pfs_store *st, const struct pfs_id *base, const struct pfs_id *ours,
		    const struct pfs_id *theirs, const struct pfs_merge_how *how,
		    struct pfs_conflicts *conflicts, struct pfs_id *out, struct pfs_error *err)
{
	PFS_AUTO(merge_fini) struct merge m = { .st = st, .how = how, .conflicts = conflicts };
	int rc = check_labels(how, err);

	if (rc < 0)
		return rc;
	if (pfs_id_equal(ours, theirs) || pfs_id_equal(base, theirs)) {
		*out = *ours;
		return 0;
	}
	if (pfs_id_equal(base, ours)) {
		*out = *theirs;
		return 0;
	}
	pfs_buf_init(&m.path, (PFS_NAME_SIZE_MAX + 1) * (size_t)PFS_TREE_DEPTH_MAX);
	rc = run(&m, base, ours, theirs, err);
	if (rc == 0 && m.links)
		rc = pfs_links_settle(st, &m.result, base, &m.result, err);
	if (rc == 0)
		*out = m.result;
	return rc;
}
