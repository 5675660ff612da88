#include "view/view_i.h"

#include "base/bytes.h"
#include "base/clock.h"
#include "view/places.h"

#include <stdio.h>
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
	char *name, *path;
	char repo[PFS_NAME_TEXT_SIZE];
	struct pfs_commit_id commit;
	struct pfs_found found;
};

struct datum {
	struct pfs_view *view;
	unsigned refs;      /* protected by view->lock */
	struct datum *next; /* protected by view->lock */
	uint64_t serial;    /* tells one name from its reuse */
	int64_t created_ns;
	char *name;
	char out_repo[PFS_NAME_TEXT_SIZE], out_branch[PFS_NAME_TEXT_SIZE];
	struct pfs_handle *out;
	struct datum_input *inputs;
	size_t n_inputs;
};

static void datum_free(struct datum *d)
{
	for (size_t i = 0; i < d->n_inputs; i++) {
		free(d->inputs[i].name);
		free(d->inputs[i].path);
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
	out->path = strdup(path);
	out->commit = in->commit;
	snprintf(out->repo, sizeof(out->repo), "%s", in->repo);
	return out->name && out->path ? 0 : pfs_fail_nomem(err, "the name of an input");
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
	snprintf(d->out_repo, sizeof(d->out_repo), "%s", out_repo);
	snprintf(d->out_branch, sizeof(d->out_branch), "%s", out_branch);
	return pfs_output_handle(d->view, out_repo, out_branch, &d->out, err);
}

static struct datum *find_datum(struct pfs_view *v, const char *name)
{
	for (struct datum *d = v->datums; d; d = d->next)
		if (strcmp(d->name, name) == 0)
			return d;
	return NULL;
}

/* `serial` 0: the next. */
static int add_datum(struct pfs_view *v, const char *name, const struct pfs_datum_input *inputs,
		     size_t n_inputs, const char *out_repo, const char *out_branch, uint64_t serial,
		     int64_t created_ns, struct pfs_error *err)
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
	d->created_ns = created_ns;
	d->name = strdup(name);
	rc = fill_datum(d, inputs, n_inputs, out_repo, out_branch, err);
	if (rc == 0) {
		pfs_lock(&v->lock);
		if (find_datum(v, name)) {
			rc = pfs_fail(err, PFS_E_EXISTS, "there is a datum \"%s\" already", name);
		} else {
			d->serial = serial ? serial : v->datum_serial + 1;
			if (d->serial > v->datum_serial)
				v->datum_serial = d->serial;
			d->next = v->datums;
			v->datums = d;
		}
		pfs_unlock(&v->lock);
	}
	if (rc < 0)
		datum_free(d);
	return rc;
}

int pfs_view_add_datum(struct pfs_view *v, const char *name, const struct pfs_datum_input *inputs,
		       size_t n_inputs, const char *out_repo, const char *out_branch,
		       struct pfs_error *err)
{
	return add_datum(v, name, inputs, n_inputs, out_repo, out_branch, 0, pfs_clock_ns(), err);
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

/* ---- handing over ---- */

static const unsigned char *text(const char *s)
{
	return (const unsigned char *)s;
}

static int hold_datum(const struct datum *d, struct pfs_buf *out, struct pfs_error *err)
{
	struct pfs_place_input *inputs = calloc(d->n_inputs + 1, sizeof(*inputs));
	const struct pfs_place_datum place = { .serial = d->serial,
					       .created_ns = d->created_ns,
					       .name = text(d->name),
					       .name_len = (uint8_t)strlen(d->name),
					       .repo = text(d->out_repo),
					       .repo_len = (uint8_t)strlen(d->out_repo),
					       .branch = text(d->out_branch),
					       .branch_len = (uint8_t)strlen(d->out_branch),
					       .inputs = inputs,
					       .n_inputs = (uint32_t)d->n_inputs };
	int rc;

	if (!inputs)
		return pfs_fail_nomem(err, "a datum's view");
	for (size_t i = 0; i < d->n_inputs; i++)
		inputs[i] = (struct pfs_place_input){
			.name = text(d->inputs[i].name),
			.name_len = (uint8_t)strlen(d->inputs[i].name),
			.repo = text(d->inputs[i].repo),
			.repo_len = (uint8_t)strlen(d->inputs[i].repo),
			.path = text(d->inputs[i].path),
			.path_len = (uint32_t)strlen(d->inputs[i].path),
			.commit = d->inputs[i].commit,
		};
	rc = pfs_place_datum_encode(&place, out, err);
	free(inputs);
	return rc;
}

int pfs_datums_hold(struct pfs_view *v, struct pfs_buf *out, struct pfs_error *err)
{
	uint32_t n = 0;
	int rc;

	pfs_lock(&v->lock);
	for (const struct datum *d = v->datums; d; d = d->next)
		n++;
	rc = pfs_bytes_add_u32(out, n, err);
	for (const struct datum *d = v->datums; rc == 0 && d; d = d->next)
		rc = hold_datum(d, out, err);
	pfs_unlock(&v->lock);
	return rc;
}

static char *copy(const unsigned char *s, size_t len)
{
	return strndup(len ? (const char *)s : "", len);
}

static void free_inputs(struct pfs_datum_input *inputs, size_t n)
{
	for (size_t i = 0; inputs && i < n; i++) {
		free((void *)(uintptr_t)inputs[i].name);
		free((void *)(uintptr_t)inputs[i].repo);
		free((void *)(uintptr_t)inputs[i].path);
	}
	free(inputs);
}

static struct pfs_datum_input *copy_inputs(const struct pfs_place_datum *d)
{
	struct pfs_datum_input *inputs = calloc(d->n_inputs + 1u, sizeof(*inputs));

	for (uint32_t i = 0; inputs && i < d->n_inputs; i++) {
		const struct pfs_place_input *in = &d->inputs[i];

		inputs[i] = (struct pfs_datum_input){ .name = copy(in->name, in->name_len),
						      .repo = copy(in->repo, in->repo_len),
						      .commit = in->commit,
						      .path = copy(in->path, in->path_len) };
		if (!inputs[i].name || !inputs[i].repo || !inputs[i].path) {
			free_inputs(inputs, i + 1);
			return NULL;
		}
	}
	return inputs;
}

int pfs_datum_take(struct pfs_view *v, const struct pfs_place_datum *d, struct pfs_error *err)
{
	struct pfs_datum_input *inputs = copy_inputs(d);
	char *name = copy(d->name, d->name_len), *repo = copy(d->repo, d->repo_len);
	char *branch = copy(d->branch, d->branch_len);
	int rc = PFS_E_NOMEM;

	if (inputs && name && repo && branch)
		rc = add_datum(v, name, inputs, d->n_inputs, repo, branch, d->serial, d->created_ns,
			       err);
	else
		rc = pfs_fail_nomem(err, "a datum's view");
	free_inputs(inputs, d->n_inputs);
	free(name);
	free(repo);
	free(branch);
	return rc;
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
