#include "view/view_i.h"

#include "base/clock.h"

#include <stdlib.h>
#include <string.h>

/*
 * What one running job sees:
 *
 *	/.pfs/datum/<name>/in/<x>   a committed file or directory, read-only
 *	/.pfs/datum/<name>/out      the root of a workspace, writable
 *
 * Inputs are handles of their own below "in", not those of the commit: a
 * directory with two parents is more than a kernel's cache of names can bear.
 */

struct datum_input {
	char *name;
	struct pfs_found found;
};

struct datum {
	struct pfs_view *view;
	unsigned refs;      /* protected by view->lock */
	struct datum *next; /* protected by view->lock */
	uint64_t serial;    /* tells one name from its reuse */
	int64_t created_ns;
	char *name;
	struct pfs_handle *out;
	struct datum_input *inputs;
	size_t n_inputs;
};

static void datum_free(struct datum *d)
{
	for (size_t i = 0; i < d->n_inputs; i++) {
		free(d->inputs[i].name);
		pfs_found_fini(&d->inputs[i].found);
	}
	free(d->inputs);
	pfs_handle_unref(&d->out);
	free(d->name);
	free(d);
}

static void datum_unref(struct datum *d)
{
	struct pfs_view *v = d->view;
	bool last;

	pfs_lock(&v->lock);
	last = --d->refs == 0;
	pfs_unlock(&v->lock);
	if (last)
		datum_free(d);
}

static void datum_fini(struct pfs_handle *h)
{
	datum_unref(h->u.datum);
}

/* ---- adding and removing ---- */

static int find_input(struct pfs_view *v, const struct pfs_datum_input *in, struct datum_input *out,
		      struct pfs_error *err)
{
	char hex[PFS_COMMIT_ID_HEX_SIZE];
	char path[PFS_PATH_SIZE_MAX + 1];
	struct pfs_root root;
	int rc = pfs_path_check_name(in->name, strlen(in->name), err);

	if (rc == 0)
		rc = pfs_path_normalize(in->path ? in->path : "", path, err);
	if (rc == 0)
		rc = pfs_history_commit_root(v->history, in->repo, &in->commit, &root, err);
	if (rc == 0)
		rc = pfs_tree_lookup(v->store, &root.dir, path, &out->found, err);
	if (rc < 0)
		return pfs_wrap(err, rc, "input \"%s\": %s@%s:/%s", in->name, in->repo,
				pfs_commit_id_format(&in->commit, hex), in->path ? in->path : "");
	if (!*path)
		out->found.e.attrs = root.attrs;
	out->name = strdup(in->name);
	return out->name ? 0 : pfs_fail_nomem(err, "the name of an input");
}

static int fill_datum(struct datum *d, const struct pfs_datum_input *inputs, size_t n,
		      const char *out_repo, const char *out_branch, struct pfs_error *err)
{
	int rc = 0;

	d->inputs = calloc(n ? n : 1, sizeof(*d->inputs));
	if (!d->inputs || !d->name)
		return pfs_fail_nomem(err, "a datum's view");
	for (size_t i = 0; i < n; i++) {
		for (size_t k = 0; k < i; k++)
			if (strcmp(inputs[k].name, inputs[i].name) == 0)
				return pfs_fail(err, PFS_E_INVALID, "two inputs are named \"%s\"",
						inputs[i].name);
		d->n_inputs = i + 1;
		rc = find_input(d->view, &inputs[i], &d->inputs[i], err);
		if (rc < 0)
			return rc;
	}
	return pfs_output_handle(d->view, out_repo, out_branch, &d->out, err);
}

static struct datum *find_datum(struct pfs_view *v, const char *name)
{
	for (struct datum *d = v->datums; d; d = d->next)
		if (strcmp(d->name, name) == 0)
			return d;
	return NULL;
}

int pfs_view_add_datum(struct pfs_view *v, const char *name, const struct pfs_datum_input *inputs,
		       size_t n_inputs, const char *out_repo, const char *out_branch,
		       struct pfs_error *err)
{
	struct datum *d;
	int rc = pfs_path_check_name(name, strlen(name), err);

	if (rc < 0)
		return rc;
	d = calloc(1, sizeof(*d));
	if (!d)
		return pfs_fail_nomem(err, "a datum's view");
	d->view = v;
	d->refs = 1;
	d->created_ns = pfs_clock_ns();
	d->name = strdup(name);
	rc = fill_datum(d, inputs, n_inputs, out_repo, out_branch, err);
	if (rc == 0) {
		pfs_lock(&v->lock);
		if (find_datum(v, name)) {
			rc = pfs_fail(err, PFS_E_EXISTS, "there is a datum \"%s\" already", name);
		} else {
			d->serial = ++v->datum_serial;
			d->next = v->datums;
			v->datums = d;
		}
		pfs_unlock(&v->lock);
	}
	if (rc < 0)
		datum_free(d);
	return rc;
}

void pfs_view_remove_datum(struct pfs_view *v, const char *name)
{
	struct datum **at;
	struct datum *d;

	pfs_lock(&v->lock);
	for (at = &v->datums; *at && strcmp((*at)->name, name) != 0;)
		at = &(*at)->next;
	d = *at;
	if (d)
		*at = d->next;
	pfs_unlock(&v->lock);
	if (d)
		datum_unref(d);
}

void pfs_datums_free(struct pfs_view *v)
{
	while (v->datums) {
		struct datum *d = v->datums;

		v->datums = d->next;
		datum_unref(d);
	}
}

/* ---- places ---- */

/* All of this comes and goes with jobs: nobody remembers it. */
static int fixed_getattr(struct pfs_handle *h, struct pfs_attr *out, struct pfs_error *err)
{
	(void)err;
	pfs_view_plain_attr(h, PFS_TYPE_DIR, 0555, h->view->opened_ns, out);
	out->volatile_ = true;
	return 0;
}

static int enter_place(struct pfs_handle *dir, const struct place_ops *ops, const char *name,
		       size_t len, struct pfs_handle **out, struct pfs_error *err)
{
	struct pfs_handle *h;

	*out = pfs_handle_find(dir->view, dir, name, len, NULL, 0);
	if (*out)
		return 0;
	h = pfs_handle_new(dir->view, ops, dir, name, len, NULL, 0, 0, err);
	return h ? pfs_handle_enter(h, out, err) : PFS_E_NOMEM;
}

static int sys_lookup(struct pfs_handle *dir, const char *name, size_t len, struct pfs_handle **out,
		      struct pfs_error *err)
{
	if (strcmp(name, "datum") != 0)
		return pfs_fail(err, PFS_E_NOTFOUND, "nothing is named \"%s\" here", name);
	return enter_place(dir, &place_datums, name, len, out, err);
}

static int sys_list(struct pfs_handle *dir, struct pfs_listing *l, struct pfs_error *err)
{
	return pfs_listing_add(l, "datum", 5, PFS_TYPE_DIR, pfs_handle_child_ino(dir, "datum", 5),
			       err);
}

/* The datum of this name, a new reference, or NULL. */
static struct datum *get_datum(struct pfs_view *v, const char *name)
{
	struct datum *d;

	pfs_lock(&v->lock);
	d = find_datum(v, name);
	if (d)
		d->refs++;
	pfs_unlock(&v->lock);
	return d;
}

static int datums_lookup(struct pfs_handle *dir, const char *name, size_t len,
			 struct pfs_handle **out, struct pfs_error *err)
{
	struct pfs_view *v = dir->view;
	struct datum *d = get_datum(v, name);
	struct pfs_handle *h;

	if (!d)
		return pfs_fail(err, PFS_E_NOTFOUND, "no datum \"%s\" is running", name);
	*out = pfs_handle_find(v, dir, name, len, &d->serial, sizeof(d->serial));
	if (*out) {
		datum_unref(d);
		return 0;
	}
	h = pfs_handle_new(v, &place_datum, dir, name, len, &d->serial, sizeof(d->serial), 0, err);
	if (!h) {
		datum_unref(d);
		return PFS_E_NOMEM;
	}
	h->u.datum = d;
	/* Lost against another, its reference to the datum goes here. */
	if (pfs_handle_enter(h, out, err) < 0 || *out != h)
		datum_unref(d);
	return *out ? 0 : PFS_E_NOMEM;
}

static int datums_list(struct pfs_handle *dir, struct pfs_listing *l, struct pfs_error *err)
{
	struct pfs_view *v = dir->view;
	int rc = 0;

	pfs_lock(&v->lock);
	for (struct datum *d = v->datums; rc == 0 && d; d = d->next)
		rc = pfs_listing_add(l, d->name, strlen(d->name), PFS_TYPE_DIR, 2 + d->serial, err);
	pfs_unlock(&v->lock);
	return rc;
}

static int datum_getattr(struct pfs_handle *h, struct pfs_attr *out, struct pfs_error *err)
{
	(void)err;
	pfs_view_plain_attr(h, PFS_TYPE_DIR, 0555, h->u.datum->created_ns, out);
	out->volatile_ = true;
	return 0;
}

static int datum_lookup(struct pfs_handle *dir, const char *name, size_t len,
			struct pfs_handle **out, struct pfs_error *err)
{
	struct datum *d = dir->u.datum;
	struct pfs_handle *h;

	if (strcmp(name, "out") == 0) {
		*out = pfs_handle_ref(d->out);
		return 0;
	}
	if (strcmp(name, "in") != 0)
		return pfs_fail(err, PFS_E_NOTFOUND, "a datum has in and out, not \"%s\"", name);
	*out = pfs_handle_find(dir->view, dir, name, len, NULL, 0);
	if (*out)
		return 0;
	h = pfs_handle_new(dir->view, &place_datum_in, dir, name, len, NULL, 0, 0, err);
	if (!h)
		return PFS_E_NOMEM;
	/* The parent keeps the datum alive. */
	h->u.datum = d;
	return pfs_handle_enter(h, out, err);
}

static int datum_list(struct pfs_handle *dir, struct pfs_listing *l, struct pfs_error *err)
{
	int rc = pfs_listing_add(l, "in", 2, PFS_TYPE_DIR, pfs_handle_child_ino(dir, "in", 2), err);

	return rc < 0 ? rc
		      : pfs_listing_add(l, "out", 3, PFS_TYPE_DIR, dir->u.datum->out->ino, err);
}

static int in_lookup(struct pfs_handle *dir, const char *name, size_t len, struct pfs_handle **out,
		     struct pfs_error *err)
{
	struct datum *d = dir->u.datum;

	*out = pfs_handle_find(dir->view, dir, name, len, NULL, 0);
	if (*out)
		return 0;
	for (size_t i = 0; i < d->n_inputs; i++)
		if (strcmp(d->inputs[i].name, name) == 0)
			return pfs_entry_handle(dir, name, len, &d->inputs[i].found.e, out, err);
	return pfs_fail(err, PFS_E_NOTFOUND, "the datum has no input \"%s\"", name);
}

static int in_list(struct pfs_handle *dir, struct pfs_listing *l, struct pfs_error *err)
{
	struct datum *d = dir->u.datum;
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < d->n_inputs; i++) {
		const char *name = d->inputs[i].name;
		size_t len = strlen(name);

		rc = pfs_listing_add(l, name, len, pfs_view_type(d->inputs[i].found.e.type),
				     pfs_handle_child_ino(dir, name, len), err);
	}
	return rc;
}

const struct place_ops place_sys = {
	.what = "the control folder",
	.lookup = sys_lookup,
	.getattr = fixed_getattr,
	.list = sys_list,
};

const struct place_ops place_datums = {
	.what = "the folder of running datums",
	.lookup = datums_lookup,
	.getattr = fixed_getattr,
	.list = datums_list,
};

const struct place_ops place_datum = {
	.what = "a datum",
	.lookup = datum_lookup,
	.getattr = datum_getattr,
	.list = datum_list,
	.fini = datum_fini,
};

const struct place_ops place_datum_in = {
	.what = "the inputs of a datum",
	.lookup = in_lookup,
	.getattr = datum_getattr,
	.list = in_list,
};
