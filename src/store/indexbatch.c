#include "store/indexbatch.h"
#include "base/endian.h"

#include <stdlib.h>
#include <string.h>

#define DIGIT_BITS 11
#define DIGITS     (1u << DIGIT_BITS)

void pfs_indexbatch_fini(struct pfs_indexbatch *b)
{
	free(b->records);
	free(b->order);
	*b = (struct pfs_indexbatch){ 0 };
}

void pfs_indexbatch_clear(struct pfs_indexbatch *b)
{
	b->n = b->n_order = 0;
}

int pfs_indexbatch_add(struct pfs_indexbatch *b, const struct pfs_idxrec *rec,
		       struct pfs_error *err)
{
	if (b->n == b->cap) {
		size_t cap = b->cap ? b->cap + b->cap / 2 : 16384;
		unsigned char *wider = realloc(b->records, cap * PFS_IDXREC_SIZE);

		if (!wider)
			return pfs_fail_nomem(err, "a run of the index");
		b->records = wider;
		b->cap = cap;
	}
	pfs_idxrec_encode(rec, b->records + b->n++ * PFS_IDXREC_SIZE);
	return 0;
}

static const unsigned char *id_of(const struct pfs_indexbatch *b, uint32_t i)
{
	return b->records + (size_t)i * PFS_IDXREC_SIZE;
}

/* One pass of a radix sort, by DIGIT_BITS bits from `shift` on; stable. */
static void sort_by_digit(const uint64_t *from, uint64_t *to, size_t n, int shift)
{
	uint32_t starts[DIGITS] = { 0 }, next = 0;

	for (size_t i = 0; i < n; i++)
		starts[from[i] >> shift & (DIGITS - 1)]++;
	for (size_t d = 0; d < DIGITS; d++) {
		uint32_t n_here = starts[d];

		starts[d] = next;
		next += n_here;
	}
	for (size_t i = 0; i < n; i++)
		to[starts[from[i] >> shift & (DIGITS - 1)]++] = from[i];
}

/* By the whole id, the one added last first. */
static bool comes_before(const struct pfs_indexbatch *b, uint32_t x, uint32_t y)
{
	int order = memcmp(id_of(b, x), id_of(b, y), PFS_ID_SIZE);

	return order < 0 || (order == 0 && x > y);
}

/* Keys that start alike are few: put them in order, and leave out ids that came again. */
static void settle(struct pfs_indexbatch *b, const uint64_t *keys)
{
	b->n_order = 0;
	for (size_t from = 0, to; from < b->n; from = to) {
		size_t start = b->n_order, kept = start;

		for (to = from; to < b->n && keys[to] >> 32 == keys[from] >> 32; to++) {
			uint32_t i = (uint32_t)keys[to];
			size_t at = b->n_order++;

			for (; at > start && comes_before(b, i, b->order[at - 1]); at--)
				b->order[at] = b->order[at - 1];
			b->order[at] = i;
		}
		for (size_t i = start; i < b->n_order; i++)
			if (kept == start || memcmp(id_of(b, b->order[i]),
						    id_of(b, b->order[kept - 1]), PFS_ID_SIZE) != 0)
				b->order[kept++] = b->order[i];
		b->n_order = kept;
	}
}

int pfs_indexbatch_sort(struct pfs_indexbatch *b, struct pfs_error *err)
{
	size_t n = b->n ? b->n : 1;
	uint64_t *keys = calloc(n, sizeof(*keys)), *other = calloc(n, sizeof(*other));

	free(b->order);
	b->order = malloc(n * sizeof(*b->order));
	if (!keys || !other || !b->order || b->n > UINT32_MAX) {
		free(keys);
		free(other);
		return pfs_fail_nomem(err, "a run of the index");
	}
	for (size_t i = 0; i < b->n; i++) {
		uint32_t start;

		memcpy(&start, id_of(b, (uint32_t)i), sizeof(start));
		keys[i] = (uint64_t)be32toh(start) << 32 | i;
	}
	sort_by_digit(keys, other, b->n, 32);
	sort_by_digit(other, keys, b->n, 32 + DIGIT_BITS);
	sort_by_digit(keys, other, b->n, 32 + 2 * DIGIT_BITS);
	settle(b, other);
	free(keys);
	free(other);
	return 0;
}

void pfs_indexbatch_get(const struct pfs_indexbatch *b, size_t i, struct pfs_idxrec *out)
{
	pfs_idxrec_decode(id_of(b, b->order[i]), out);
}

int pfs_indexbatch_write(const struct pfs_indexbatch *b, int dir,
			 const unsigned char store_uuid[PFS_UUID_SIZE], uint64_t number,
			 uint8_t level, struct pfs_idxrun *out, struct pfs_error *err)
{
	const struct pfs_idxrun expected = {
		.number = number,
		.level = level,
		.records = (uint32_t)b->n_order,
	};
	PFS_AUTO(pfs_indexwriter_abort) struct pfs_indexwriter *w = NULL;
	int rc = pfs_indexwriter_create(dir, store_uuid, &expected, &w, err);

	for (size_t i = 0; i < b->n_order && rc == 0; i++) {
		struct pfs_idxrec rec;

		pfs_indexbatch_get(b, i, &rec);
		rc = pfs_indexwriter_add(w, &rec, err);
	}
	return rc < 0 ? rc : pfs_indexwriter_finish(&w, out, err);
}
