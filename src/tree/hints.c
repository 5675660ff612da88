#include "tree/hints.h"

#include <string.h>

#define SEARCH_MAX 32u /* pieces looked ahead in both files for a place they share */
#define LOST_MAX   64u /* pieces without one: nothing is told, and the old file waits for a place */

void pfs_hints_init(struct pfs_hints *h, struct pfs_store *st, const struct pfs_content *old)
{
	memset(h, 0, offsetof(struct pfs_hints, window));
	h->n = h->lost = 0;
	h->st = st;
	h->old = old && old->form != PFS_CONTENT_INLINE ? old : NULL;
}

void pfs_hints_fini(struct pfs_hints *h)
{
	pfs_seqwalk_fini(&h->walk);
}

/* --- the old file -------------------------------------------------------- */

static int begin(struct pfs_hints *h)
{
	h->begun = true;
	if (h->old->form == PFS_CONTENT_SEQ)
		return pfs_seqwalk_init(&h->walk, h->st, &h->old->id, h->old->size, NULL);
	h->pos = h->old->size;
	h->window[h->n++] = (struct pfs_piece){ .bytes = h->old->size, .id = h->old->id };
	return 0;
}

/* Forget the first `used` and read on. */
static int fill(struct pfs_hints *h, size_t used)
{
	h->n -= used;
	memmove(h->window, h->window + used, h->n * sizeof(h->window[0]));
	while (h->n < PFS_HINTS_WINDOW && h->pos < h->old->size) {
		const struct pfs_seqnode_entry *e = pfs_seqwalk_item(&h->walk, 0);
		int rc = pfs_seqwalk_seek(&h->walk, 0, h->pos, NULL);

		if (rc < 0)
			return rc;
		h->window[h->n++] = (struct pfs_piece){
			.kind = e->kind, .off = h->pos, .bytes = e->bytes, .id = e->id
		};
		h->pos = pfs_seqwalk_end(&h->walk, 0);
	}
	return 0;
}

/* --- pairing ------------------------------------------------------------- */

/* Two rows of pieces, what is left of each. */
struct rows {
	struct pfs_piece *is;
	const struct pfs_piece *was;
	size_t is_n, was_n;
};

static bool alike(const struct pfs_piece *a, const struct pfs_piece *b)
{
	return a->bytes == b->bytes &&
	       (a->kind == PFS_SEQNODE_HOLE) == (b->kind == PFS_SEQNODE_HOLE);
}

/* Whether both files go on alike here: two pieces, or one that is the last of a row. */
static bool is_place(const struct rows *r, size_t i, size_t j)
{
	if (i >= r->is_n || j >= r->was_n || !alike(&r->is[i], &r->was[j]))
		return false;
	return i + 1 >= r->is_n || j + 1 >= r->was_n || alike(&r->is[i + 1], &r->was[j + 1]);
}

/* Where one file goes on here and the other far ahead: much was put in, or taken out. */
static bool find_far_place(const struct rows *r, size_t *out_i, size_t *out_j)
{
	for (*out_i = 0, *out_j = SEARCH_MAX + 1; *out_j < r->was_n; ++*out_j)
		if (is_place(r, 0, *out_j))
			return true;
	for (*out_i = SEARCH_MAX + 1, *out_j = 0; *out_i < r->is_n; ++*out_i)
		if (is_place(r, *out_i, 0))
			return true;
	return false;
}

/* The nearest place ahead that both files share. */
static bool find_place(const struct rows *r, size_t *out_i, size_t *out_j)
{
	for (size_t sum = 0; sum <= 2 * SEARCH_MAX; sum++) {
		for (size_t i = 0; i <= sum && i <= SEARCH_MAX; i++) {
			if (sum - i > SEARCH_MAX || !is_place(r, i, sum - i))
				continue;
			*out_i = i;
			*out_j = sum - i;
			return true;
		}
	}
	return find_far_place(r, out_i, out_j);
}

static void tell(struct pfs_piece *is, const struct pfs_piece *was)
{
	if (is->kind != PFS_SEQNODE_HOLE && was->kind != PFS_SEQNODE_HOLE)
		is->near = was->id;
}

/* The first `is_n` new pieces stand where `was_n` old ones stood. */
static void pair(const struct rows *r, size_t is_n, size_t was_n)
{
	for (size_t i = 0; i < is_n && was_n > 0; i++) {
		size_t j = i * was_n / is_n;

		if (r->was[j].kind == PFS_SEQNODE_HOLE)
			j = j + 1 < was_n ? j + 1 : j ? j - 1 : 0;
		tell(&r->is[i], &r->was[j]);
	}
}

static void go_on(struct rows *r, size_t is_n, size_t was_n)
{
	r->is += is_n;
	r->is_n -= is_n;
	r->was += was_n;
	r->was_n -= was_n;
}

/* How many old pieces were used up. */
static size_t pair_rows(struct pfs_hints *h, struct rows r)
{
	const struct pfs_piece *first = r.was;

	while (r.is_n > 0 && r.was_n > 0) {
		size_t i = 0, j = 0;
		bool place = alike(&r.is[0], &r.was[0]) || find_place(&r, &i, &j);

		h->lost = place ? 0 : h->lost + 1;
		if (!place && h->lost > LOST_MAX) {
			go_on(&r, 1, 0);
			continue;
		}
		if (!place)
			i = j = 1; /* one for one, as far as we know */
		pair(&r, i, j);
		go_on(&r, i, j);
		if (place && r.is_n > 0 && r.was_n > 0) {
			tell(&r.is[0], &r.was[0]);
			go_on(&r, 1, 1);
		}
	}
	return (size_t)(r.was - first);
}

void pfs_hints_tell(struct pfs_hints *h, struct pfs_piece *pieces, size_t n)
{
	size_t used;

	if (!h->old)
		return;
	if ((!h->begun && begin(h) < 0) || fill(h, 0) < 0) {
		h->old = NULL;
		return;
	}
	used = pair_rows(h, (struct rows){ pieces, h->window, n, h->n });
	if (fill(h, used) < 0)
		h->old = NULL;
}
