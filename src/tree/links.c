#include "tree/links.h"
#include "tree/entry_i.h"
#include "tree/linkwalk.h"
#include "tree/patch.h"
#include "tree/siphash.h"

#include <stdlib.h>
#include <string.h>

#define UP_MAX       2047u     /* levels that a number can tell */
#define FIRST_DOMAIN UINT8_MAX /* beside the levels of nodes, pfs-tree(5) */

_Static_assert(PFS_TREE_DEPTH_MAX <= UP_MAX + 1, "every home can be told");

/* --- numbers ------------------------------------------------------------- */

/* Of paths: a directory's own names come right behind it. */
static int compare_paths(const char *a, const char *b)
{
	while (*a && *a == *b) {
		a++;
		b++;
	}
	if (*a == *b)
		return 0;
	if (!*a || !*b || *a == '/' || *b == '/')
		return !*a || (*a == '/' && *b) ? -1 : 1;
	return (unsigned char)*a < (unsigned char)*b ? -1 : 1;
}

/* Bytes of `a` up to and with the last slash that `b` has there too. */
static size_t shared_directory(const char *a, const char *b, size_t len)
{
	size_t shared = 0;

	for (size_t i = 0; i < len && a[i] == b[i]; i++)
		if (a[i] == '/')
			shared = i + 1;
	return shared;
}

static uint64_t count_slashes(const char *path)
{
	uint64_t n = 0;

	for (; *path; path++)
		n += *path == '/';
	return n;
}

void pfs_links_number(const struct pfs_store *st, const char *const *paths, size_t n,
		      uint64_t *out_numbers)
{
	const char *first = n ? paths[0] : "";
	size_t home = strlen(first);
	uint64_t f;

	for (size_t i = 1; i < n; i++) {
		home = shared_directory(paths[0], paths[i], home);
		if (compare_paths(paths[i], first) < 0)
			first = paths[i];
	}
	f = pfs_siphash(pfs_store_keys(st)->tree_key, FIRST_DOMAIN, first + home,
			strlen(first + home)) /
	    (UP_MAX + 1);
	for (size_t i = 0; i < n; i++)
		out_numbers[i] =
			n > 1 ? (f ? f : 1) * (UP_MAX + 1) + count_slashes(paths[i] + home) : 0;
}

/* --- every name that has a number ---------------------------------------- */

struct name {
	char *path;                 /* owned */
	uint64_t link;              /* as it is */
	uint64_t wanted;            /* as it shall be */
	uint64_t value;             /* a hash of all but the name and the number */
	size_t home_len;            /* of the path of the home; SIZE_MAX: above the root */
	const struct name *becomes; /* takes over what this one is; NULL: stays */
};

struct names {
	struct name *list;
	size_t n, cap;
};

static void names_fini(struct names *names)
{
	for (size_t i = 0; i < names->n; i++)
		free(names->list[i].path);
	free(names->list);
}

size_t pfs_links_home(const char *path, uint64_t link)
{
	size_t len = strlen(path);

	for (uint64_t up = (link & UP_MAX) + 1; up > 0; up--) {
		if (len == 0)
			return SIZE_MAX;
		while (len > 0 && path[len - 1] != '/')
			len--;
		len -= len > 0;
	}
	return len;
}

unsigned pfs_links_up(uint64_t link)
{
	return (unsigned)(link & UP_MAX);
}

int pfs_links_file(struct pfs_store *st, const struct pfs_entry *e, struct pfs_links_file *out,
		   struct pfs_error *err)
{
	PFS_AUTO(pfs_buf_fini) struct pfs_buf b = PFS_BUF_INIT(PFS_OBJECT_SIZE_MAX);
	struct pfs_treenode_entry node;
	int rc = pfs_entry_to_node(e, "x", 1, &node, err);

	node.link = 0;
	if (rc == 0)
		rc = pfs_treenode_encode(&node, 1, 0, 0, &b, err);
	if (rc < 0)
		return rc;
	out->number = e->link / (UP_MAX + 1);
	out->value = pfs_siphash(pfs_store_keys(st)->tree_key, FIRST_DOMAIN, b.data, b.len);
	return 0;
}

static int hash_value(struct pfs_store *st, const struct pfs_entry *e, uint64_t *out,
		      struct pfs_error *err)
{
	struct pfs_links_file file;
	int rc = pfs_links_file(st, e, &file, err);

	if (rc == 0)
		*out = file.value;
	return rc;
}

static int add_name(struct pfs_store *st, struct names *names, const char *path,
		    const struct pfs_entry *e, struct pfs_error *err)
{
	struct name *x;
	int rc;

	if (names->n == PFS_LINKS_MAX)
		return pfs_fail(err, PFS_E_LIMIT, "more than %u names of files with several",
				PFS_LINKS_MAX);
	if (names->n == names->cap) {
		size_t cap = names->cap ? 2 * names->cap : 64;

		x = realloc(names->list, cap * sizeof(*x));
		if (!x)
			return pfs_fail_nomem(err, "hard links");
		names->list = x;
		names->cap = cap;
	}
	x = &names->list[names->n];
	*x = (struct name){ .link = e->link, .home_len = pfs_links_home(path, e->link) };
	rc = hash_value(st, e, &x->value, err);
	x->path = rc == 0 ? strdup(path) : NULL;
	if (!x->path)
		return rc < 0 ? rc : pfs_fail_nomem(err, "hard links");
	names->n++;
	return 0;
}

struct collecting {
	struct pfs_store *st;
	struct names *names;
};

static int each_name(void *arg, const char *path, const struct pfs_entry *e, struct pfs_error *err)
{
	struct collecting *c = arg;

	return add_name(c->st, c->names, path, e, err);
}

static int collect(struct pfs_store *st, const struct pfs_id *dir, struct names *names,
		   struct pfs_error *err)
{
	struct collecting c = { st, names };
	const struct pfs_linkwalk walk = { .each = each_name, .arg = &c };

	return pfs_linkwalk(st, dir, &walk, err);
}

/* --- groups -------------------------------------------------------------- */

#define ORDER(a, b) (((a) > (b)) - ((a) < (b)))

/* Of the file they may be names of: the home, then the number in it. */
static int compare_files(const struct name *x, const struct name *y)
{
	int c = ORDER(x->home_len, y->home_len);

	if (c == 0 && x->home_len != SIZE_MAX)
		c = memcmp(x->path, y->path, x->home_len);
	return c ? c : ORDER(x->link / (UP_MAX + 1), y->link / (UP_MAX + 1));
}

static const struct name *final_of(const struct name *x)
{
	return x->becomes ? x->becomes : x;
}

static int by_file(const void *a, const void *b)
{
	const struct name *x = a, *y = b;
	int c = compare_files(x, y);

	return c ? c : compare_paths(x->path, y->path);
}

static int by_value(const void *a, const void *b)
{
	const struct name *const *x = a, *const *y = b;
	int c = ORDER(final_of(*x)->value, final_of(*y)->value);

	return c ? c : compare_paths((*x)->path, (*y)->path);
}

/* The value that a name of a group had in the base under this number; 1, or 0 when it was not there. */
static int value_in_base(struct pfs_store *st, const struct pfs_id *base, const struct name *x,
			 uint64_t *out, struct pfs_error *err)
{
	PFS_AUTO(pfs_found_fini) struct pfs_found f = { 0 };
	struct pfs_error why = { 0 };
	int rc = pfs_tree_lookup(st, base, x->path, &f, &why);

	if (rc == PFS_E_NOTFOUND || rc == PFS_E_NOTDIR)
		return 0;
	if (rc < 0 && err)
		*err = why;
	if (rc < 0 || f.e.link != x->link)
		return rc < 0 ? rc : 0;
	rc = hash_value(st, &f.e, out, err);
	return rc < 0 ? rc : 1;
}

/* Names that are as the file was in the base follow the others, see the door. */
static int follow_changes(struct pfs_store *st, const struct pfs_id *base, struct name *group,
			  size_t n, struct pfs_error *err)
{
	const struct name *changed = NULL;
	uint64_t was = 0;
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < n; i++)
		rc = value_in_base(st, base, &group[i], &was, err);
	if (rc <= 0)
		return rc;
	for (size_t i = 0; i < n; i++) {
		if (group[i].value == was)
			continue;
		if (changed && changed->value != group[i].value)
			return 0;
		changed = &group[i];
	}
	for (size_t i = 0; changed && i < n; i++)
		if (group[i].value == was)
			group[i].becomes = changed;
	return 0;
}

/* Names of one file with one value: what their numbers are to be. */
static int number_names(struct pfs_store *st, struct name *const *names, size_t n,
			struct pfs_error *err)
{
	const char **paths = malloc(n * sizeof(*paths));
	uint64_t *numbers = malloc(n * sizeof(*numbers));
	bool room = paths && numbers;

	for (size_t i = 0; room && i < n; i++)
		paths[i] = names[i]->path;
	if (room)
		pfs_links_number(st, paths, n, numbers);
	for (size_t i = 0; room && i < n; i++)
		names[i]->wanted = numbers[i];
	free(paths);
	free(numbers);
	return room ? 0 : pfs_fail_nomem(err, "hard links");
}

/* All names of what may be one file. */
static int settle_group(struct pfs_store *st, const struct pfs_id *base, struct name *group,
			size_t n, struct pfs_error *err)
{
	struct name **order;
	bool differ = false;
	int rc = 0;

	for (size_t i = 1; i < n; i++)
		differ |= group[i].value != group[0].value;
	if (differ && base)
		rc = follow_changes(st, base, group, n, err);
	order = malloc(n * sizeof(struct name *));
	if (rc < 0 || !order) {
		free(order);
		return rc < 0 ? rc : pfs_fail_nomem(err, "hard links");
	}
	for (size_t i = 0; i < n; i++)
		order[i] = &group[i];
	qsort(order, n, sizeof(struct name *), by_value);
	for (size_t i = 0, k; rc == 0 && i < n; i += k) {
		for (k = 1;
		     i + k < n && final_of(order[i + k])->value == final_of(order[i])->value;)
			k++;
		rc = number_names(st, order + i, k, err);
	}
	free(order);
	return rc;
}

static int settle_groups(struct pfs_store *st, const struct pfs_id *base, struct names *names,
			 struct pfs_error *err)
{
	int rc = 0;

	if (names->n)
		qsort(names->list, names->n, sizeof(*names->list), by_file);
	for (size_t i = 0, n; rc == 0 && i < names->n; i += n) {
		n = 1;
		if (names->list[i].home_len == SIZE_MAX)
			continue;
		while (i + n < names->n && compare_files(&names->list[i], &names->list[i + n]) == 0)
			n++;
		rc = settle_group(st, base, &names->list[i], n, err);
	}
	return rc;
}

/* --- the new tree -------------------------------------------------------- */

#define BATCH_REPAIRS 1024u /* at a time: each holds the node its entry is in */

struct repairs {
	struct pfs_patch list[BATCH_REPAIRS];
	struct pfs_found found[BATCH_REPAIRS];
	size_t n;
};

static void repairs_free(struct repairs **r)
{
	for (size_t i = 0; *r && i < BATCH_REPAIRS; i++)
		pfs_found_fini(&(*r)->found[i]);
	free(*r);
}

static int write_numbers(struct pfs_store *st, const struct pfs_id *dir, const struct names *names,
			 struct pfs_id *out, struct pfs_error *err)
{
	PFS_AUTO(repairs_free) struct repairs *r = calloc(1, sizeof(*r));
	struct pfs_id root = *dir;
	int rc = r ? 0 : pfs_fail_nomem(err, "hard links");

	for (size_t i = 0; rc == 0 && i < names->n; i++) {
		const struct name *x = &names->list[i];
		struct pfs_found *found;

		if (x->wanted == x->link && !x->becomes)
			continue;
		found = &r->found[r->n];
		rc = pfs_tree_lookup(st, dir, final_of(x)->path, found, err);
		found->e.link = x->wanted;
		r->list[r->n++] = (struct pfs_patch){ x->path, &found->e };
		if (rc == 0 && r->n == BATCH_REPAIRS) {
			rc = pfs_patch_apply(st, &root, r->list, r->n, &root, err);
			r->n = 0;
		}
	}
	if (rc == 0)
		rc = pfs_patch_apply(st, &root, r->list, r->n, &root, err);
	if (rc == 0)
		*out = root;
	return rc;
}

int pfs_links_settle(struct pfs_store *st, const struct pfs_id *dir, const struct pfs_id *base,
		     struct pfs_id *out, struct pfs_error *err)
{
	PFS_AUTO(names_fini) struct names names = { 0 };
	int rc = collect(st, dir, &names, err);

	if (rc == 0)
		rc = settle_groups(st, base, &names, err);
	if (rc == 0)
		rc = write_numbers(st, dir, &names, out, err);
	return rc < 0 ? pfs_wrap(err, rc, "hard links") : 0;
}
