#include "tree/linkgroups.h"
#include "base/lock.h"
#include "base/vec.h"
#include "tree/linkwalk.h"

#include <stdlib.h>
#include <string.h>

#define HOMES_MAX 64u

struct name {
	struct pfs_links_file file;
	size_t path_at;
};
struct name_list PFS_VEC(struct name);
PFS_VEC_DEFINE(push_name, struct name_list, struct name, "hard links")

/* What the walk of one directory found. */
struct home {
	struct pfs_id dir;
	uint64_t used;          /* the larger, the later */
	bool refused;           /* it has more than may be kept */
	struct name_list names; /* whose home it is; sorted by file, then as walked */
	struct pfs_buf paths;   /* of these, each terminated */
	struct pfs_buf outward; /* paths of names whose home is above it, likewise */
	size_t n_outward;
};

struct pfs_linkgroups {
	struct pfs_store *st;
	struct pfs_lock lock; /* PFS_RANK_LINKGROUPS */
	struct home *homes;   /* HOMES_MAX of them; protected by lock, as all below */
	size_t n, names;      /* names of all homes */
	uint64_t clock;
	struct pfs_idset without; /* directories without such names */
};

int pfs_linkgroups_new(struct pfs_store *st, struct pfs_linkgroups **out, struct pfs_error *err)
{
	struct pfs_linkgroups *g = calloc(1, sizeof(*g));

	if (!g)
		return pfs_fail_nomem(err, "hard links");
	g->st = st;
	pfs_lock_init(&g->lock, PFS_RANK_LINKGROUPS);
	*out = g;
	return 0;
}

static void home_fini(struct home *h)
{
	free(h->names.items);
	pfs_buf_fini(&h->paths);
	pfs_buf_fini(&h->outward);
}

void pfs_linkgroups_free(struct pfs_linkgroups **groups)
{
	struct pfs_linkgroups *g = *groups;

	*groups = NULL;
	if (!g)
		return;
	for (size_t i = 0; i < g->n; i++)
		home_fini(&g->homes[i]);
	free(g->homes);
	pfs_idset_fini(&g->without);
	pfs_lock_fini(&g->lock);
	free(g);
}

/* --- one walk ------------------------------------------------------------ */

struct walking {
	struct pfs_store *st;
	struct home *home;
};

static int each_name(void *arg, const char *path, const struct pfs_entry *e, struct pfs_error *err)
{
	struct walking *w = arg;
	struct home *h = w->home;
	size_t home = pfs_links_home(path, e->link), len = strlen(path) + 1;
	struct name name = { .path_at = h->paths.len };
	int rc;

	if (home != 0 && home != SIZE_MAX)
		return 0;
	if (h->names.n + h->n_outward == PFS_LINKS_MAX)
		return pfs_fail(err, PFS_E_LIMIT, "more than %u names of files with several",
				PFS_LINKS_MAX);
	if (home == SIZE_MAX) {
		h->n_outward++;
		return pfs_buf_add(&h->outward, path, len, err);
	}
	rc = pfs_links_file(w->st, e, &name.file, err);
	if (rc == 0)
		rc = pfs_buf_add(&h->paths, path, len, err);
	return rc < 0 ? rc : push_name(&h->names, name, err);
}

#define ORDER(a, b) (((a) > (b)) - ((a) < (b)))

static int compare_files(const struct pfs_links_file *x, const struct pfs_links_file *y)
{
	int c = ORDER(x->number, y->number);

	return c ? c : ORDER(x->value, y->value);
}

static int by_file(const void *a, const void *b)
{
	const struct name *x = a, *y = b;
	int c = compare_files(&x->file, &y->file);

	return c ? c : ORDER(x->path_at, y->path_at);
}

static int walk_home(struct pfs_linkgroups *g, const struct pfs_id *dir, struct home *out,
		     struct pfs_error *err)
{
	struct walking w = { g->st, out };
	const struct pfs_linkwalk how = { each_name, &w, &g->without };
	struct pfs_error why;
	int rc;

	*out = (struct home){ .dir = *dir };
	pfs_buf_init(&out->paths, SIZE_MAX / 2);
	pfs_buf_init(&out->outward, SIZE_MAX / 2);
	rc = pfs_linkwalk(g->st, dir, &how, &why);
	if (rc == PFS_E_LIMIT) {
		/* So that nobody walks it again only to hear the same. */
		home_fini(out);
		*out = (struct home){ .dir = *dir, .refused = true };
		return 0;
	}
	if (rc < 0) {
		home_fini(out);
		if (err)
			*err = why;
		return rc;
	}
	if (out->names.n)
		qsort(out->names.items, out->names.n, sizeof(*out->names.items), by_file);
	return 0;
}

/* --- what is remembered -------------------------------------------------- */

static size_t names_of(const struct home *h)
{
	return h->names.n + h->n_outward;
}

static void drop_oldest(struct pfs_linkgroups *g)
{
	size_t oldest = 0;

	for (size_t i = 1; i < g->n; i++)
		if (g->homes[i].used < g->homes[oldest].used)
			oldest = i;
	g->names -= names_of(&g->homes[oldest]);
	home_fini(&g->homes[oldest]);
	g->homes[oldest] = g->homes[--g->n];
}

static int get_home(struct pfs_linkgroups *g, const struct pfs_id *dir, const struct home **out,
		    struct pfs_error *err)
{
	struct home fresh;
	int rc;

	for (size_t i = 0; i < g->n; i++)
		if (pfs_id_equal(&g->homes[i].dir, dir)) {
			g->homes[i].used = ++g->clock;
			*out = &g->homes[i];
			return 0;
		}
	if (!g->homes)
		g->homes = calloc(HOMES_MAX, sizeof(*g->homes));
	if (!g->homes)
		return pfs_fail_nomem(err, "hard links");
	rc = walk_home(g, dir, &fresh, err);
	if (rc < 0)
		return rc;
	while (g->n == HOMES_MAX || (g->n && g->names + names_of(&fresh) > PFS_LINKS_MAX))
		drop_oldest(g);
	fresh.used = ++g->clock;
	g->names += names_of(&fresh);
	g->homes[g->n] = fresh;
	*out = &g->homes[g->n++];
	return 0;
}

static int fail_refused(struct pfs_error *err)
{
	return pfs_fail(err, PFS_E_LIMIT,
			"a directory with more than %u names of files with several", PFS_LINKS_MAX);
}

static size_t first_of(const struct home *h, const struct pfs_links_file *file)
{
	size_t low = 0, high = h->names.n;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (compare_files(&h->names.items[middle].file, file) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static int copy_names(const struct home *h, const struct pfs_links_file *file, struct pfs_buf *out,
		      size_t *out_n, struct pfs_error *err)
{
	size_t first = first_of(h, file), n = 0;
	int rc = 0;

	for (; rc == 0 && first + n < h->names.n; n++) {
		const struct name *name = &h->names.items[first + n];
		const char *path = (const char *)h->paths.data + name->path_at;

		if (compare_files(&name->file, file) != 0)
			break;
		if (out)
			rc = pfs_buf_add(out, path, strlen(path) + 1, err);
	}
	if (rc == 0)
		*out_n = n;
	return rc;
}

int pfs_linkgroups_names(struct pfs_linkgroups *g, const struct pfs_id *home,
			 const struct pfs_links_file *file, struct pfs_buf *out, size_t *out_n,
			 struct pfs_error *err)
{
	const struct home *h;
	int rc;

	pfs_lock(&g->lock);
	rc = get_home(g, home, &h, err);
	if (rc == 0)
		rc = h->refused ? fail_refused(err) : copy_names(h, file, out, out_n, err);
	pfs_unlock(&g->lock);
	return rc;
}

int pfs_linkgroups_outward(struct pfs_linkgroups *g, const struct pfs_id *dir, struct pfs_buf *out,
			   size_t *out_n, struct pfs_error *err)
{
	const struct home *h;
	int rc;

	pfs_lock(&g->lock);
	rc = get_home(g, dir, &h, err);
	if (rc == 0)
		rc = h->refused ? fail_refused(err)
				: pfs_buf_add(out, h->outward.data, h->outward.len, err);
	if (rc == 0)
		*out_n = h->n_outward;
	pfs_unlock(&g->lock);
	return rc;
}
