#include "workspace/journal.h"

#include <stdlib.h>
#include <string.h>

void pfs_journal_batch_init(struct pfs_journal_batch *b)
{
	*b = (struct pfs_journal_batch){ 0 };
	pfs_buf_init(&b->blobs, SIZE_MAX / 2);
}

void pfs_journal_batch_fini(struct pfs_journal_batch *b)
{
	free(b->rows);
	b->rows = NULL;
	b->n = b->cap = 0;
	pfs_buf_fini(&b->blobs);
}

int pfs_journal_batch_reserve(struct pfs_journal_batch *b, size_t rows, size_t bytes,
			      struct pfs_error *err)
{
	if (rows > b->cap - b->n) {
		size_t cap = b->n + rows + b->cap / 2 + 16;
		struct pfs_journal_row *p = realloc(b->rows, cap * sizeof(*p));

		if (!p)
			return pfs_fail_nomem(err, "rows of the journal");
		b->rows = p;
		b->cap = cap;
	}
	return pfs_buf_reserve(&b->blobs, bytes, err);
}

static bool has_name(enum pfs_journal_op op)
{
	return op == PFS_JOURNAL_SAVE_NAME || op == PFS_JOURNAL_DROP_NAME;
}

static size_t blob_len(const struct pfs_journal_row *row)
{
	if (has_name(row->op))
		return row->name.name_len;
	if (row->op == PFS_JOURNAL_SAVE_NODE)
		return row->node.blob_len;
	if (row->op == PFS_JOURNAL_SAVE_RANGES)
		return row->ranges.n * 2 * sizeof(*row->ranges.pairs);
	return 0;
}

int pfs_journal_batch_add(struct pfs_journal_batch *b, const struct pfs_journal_row *row,
			  struct pfs_error *err)
{
	const void *blob = has_name(row->op) ? row->name.name : NULL;
	size_t len = blob_len(row);
	int rc;

	if (row->op == PFS_JOURNAL_SAVE_NODE)
		blob = row->node.blob;
	else if (row->op == PFS_JOURNAL_SAVE_RANGES)
		blob = row->ranges.pairs;
	rc = pfs_journal_batch_reserve(b, 1, len, err);
	if (rc < 0)
		return rc;
	b->rows[b->n] = *row;
	b->rows[b->n++].blob_at = b->blobs.len;
	return pfs_buf_add(&b->blobs, blob, len, err);
}

/* ---- shortening ---- */

/* Which row of a table it is about; rows of ranges and of the base stay, in order. */
enum table { NODES, NAMES, NEITHER };

static enum table table_of(const struct pfs_journal_row *r)
{
	switch (r->op) {
	case PFS_JOURNAL_SAVE_NODE:
	case PFS_JOURNAL_DROP_NODE:
		return NODES;
	case PFS_JOURNAL_SAVE_NAME:
	case PFS_JOURNAL_DROP_NAME:
		return NAMES;
	default:
		return NEITHER;
	}
}

static int compare_numbers(uint64_t a, uint64_t b)
{
	return a < b ? -1 : a > b;
}

static int compare_keys(const struct pfs_journal_batch *b, const struct pfs_journal_row *x,
			const struct pfs_journal_row *y)
{
	const unsigned char *blobs = b->blobs.data;
	int order = compare_numbers(table_of(x), table_of(y));

	if (order || table_of(x) == NEITHER)
		return order;
	if (table_of(x) == NODES)
		return compare_numbers(x->node.ino, y->node.ino);
	order = compare_numbers(x->name.parent, y->name.parent);
	if (order == 0)
		order = compare_numbers(x->name.name_len, y->name.name_len);
	return order ? order : memcmp(blobs + x->blob_at, blobs + y->blob_at, x->name.name_len);
}

/* By what they are about; of those about the same the last one is last. */
static int compare_rows(const void *a, const void *b, void *arg)
{
	const struct pfs_journal_batch *batch = arg;
	size_t x = *(const size_t *)a, y = *(const size_t *)b;
	int order = compare_keys(batch, &batch->rows[x], &batch->rows[y]);

	return order ? order : compare_numbers(x, y);
}

static bool is_told_again(const struct pfs_journal_batch *b, const size_t *sorted, size_t i)
{
	const struct pfs_journal_row *row = &b->rows[sorted[i]];

	return table_of(row) != NEITHER && i + 1 < b->n &&
	       compare_keys(b, row, &b->rows[sorted[i + 1]]) == 0;
}

/* Before this one all is cleared. */
static size_t find_clear(const struct pfs_journal_batch *b)
{
	size_t i = b->n;

	while (i > 0 && b->rows[i - 1].op != PFS_JOURNAL_CLEAR)
		i--;
	return i;
}

/* What rows that are gone have left would grow as long as the disk is full. Without memory it stays. */
static void drop_blobs(struct pfs_journal_batch *b)
{
	struct pfs_buf kept;
	size_t len = 0;

	for (size_t i = 0; i < b->n; i++)
		len += blob_len(&b->rows[i]);
	if (len > b->blobs.len / 2)
		return;
	pfs_buf_init(&kept, SIZE_MAX / 2);
	if (pfs_buf_reserve(&kept, len, NULL) < 0)
		return;
	for (size_t i = 0; i < b->n; i++) {
		size_t at = b->rows[i].blob_at;

		b->rows[i].blob_at = kept.len;
		pfs_buf_add(&kept, b->blobs.data + at, blob_len(&b->rows[i]), NULL);
	}
	pfs_buf_fini(&b->blobs);
	b->blobs = kept;
}

static size_t move_together(struct pfs_journal_batch *b, const bool *again)
{
	size_t clear = find_clear(b), n = 0;

	for (size_t i = 0; i < b->n; i++)
		if (!again[i] && (i >= clear || table_of(&b->rows[i]) == NEITHER))
			b->rows[n++] = b->rows[i];
	return b->n - n;
}

bool pfs_journal_batch_shorten(struct pfs_journal_batch *b)
{
	size_t *sorted = calloc(b->n + 1, sizeof(*sorted)), gone = 0;
	bool *again = calloc(b->n + 1, sizeof(*again));

	for (size_t i = 0; sorted && i < b->n; i++)
		sorted[i] = i;
	if (sorted && again) {
		qsort_r(sorted, b->n, sizeof(*sorted), compare_rows, b);
		for (size_t i = 0; i < b->n; i++)
			again[sorted[i]] = is_told_again(b, sorted, i);
		gone = move_together(b, again);
		b->n -= gone;
		drop_blobs(b);
	}
	free(sorted);
	free(again);
	return gone > 0;
}
