#include "store/marks.h"
#include "base/endian.h"

#include <stdlib.h>

#define CAP_MIN   1024u
#define BYTES_MAX ((1u << 29) - 1)

void pfs_marks_fini(struct pfs_marks *m)
{
	free(m->words);
	free(m->units);
	free(m->list);
	*m = (struct pfs_marks){ 0 };
}

int pfs_marks_add_unit(struct pfs_marks *m, uint64_t bytes, struct pfs_error *err)
{
	if (m->n_list == m->list_cap) {
		uint32_t cap = m->list_cap ? 2 * m->list_cap : CAP_MIN;
		struct pfs_mark *wider = reallocarray(m->list, cap, sizeof(*wider));

		if (!wider)
			return pfs_fail_nomem(err, "the marks of a collection");
		m->list = wider;
		m->list_cap = cap;
	}
	m->list[m->n_list++] =
		(struct pfs_mark){ .bytes = (uint32_t)(bytes < BYTES_MAX ? bytes : BYTES_MAX) };
	return 0;
}

/* Ids are hashes: any word of them is one. */
static uint64_t word_of(const struct pfs_id *id)
{
	return pfs_get_le64(id->bytes + 8);
}

/* The slot of the word, or the free one where it would go. */
static size_t slot_of(const struct pfs_marks *m, uint64_t word)
{
	size_t i = word & (m->cap - 1);

	while (m->units[i] && m->words[i] != word)
		i = (i + 1) & (m->cap - 1);
	return i;
}

static int widen(struct pfs_marks *m, struct pfs_error *err)
{
	struct pfs_marks wider = { .cap = m->cap ? 2 * m->cap : CAP_MIN };

	if (m->n < m->cap - m->cap / 4)
		return 0;
	wider.words = malloc(wider.cap * sizeof(*wider.words));
	wider.units = calloc(wider.cap, sizeof(*wider.units));
	if (!wider.words || !wider.units) {
		free(wider.words);
		free(wider.units);
		return pfs_fail_nomem(err, "the marks of a collection");
	}
	for (size_t i = 0; i < m->cap; i++)
		if (m->units[i]) {
			size_t slot = slot_of(&wider, m->words[i]);

			wider.words[slot] = m->words[i];
			wider.units[slot] = m->units[i];
		}
	free(m->words);
	free(m->units);
	m->words = wider.words;
	m->units = wider.units;
	m->cap = wider.cap;
	return 0;
}

int pfs_marks_add(struct pfs_marks *m, const struct pfs_id *id, uint32_t unit, uint32_t *out_other,
		  struct pfs_error *err)
{
	int rc = widen(m, err);
	size_t slot;

	if (rc < 0)
		return rc;
	slot = slot_of(m, word_of(id));
	*out_other = m->units[slot] ? m->units[slot] - 1 : PFS_MARKS_NONE;
	if (m->units[slot])
		return 0;
	m->words[slot] = word_of(id);
	m->units[slot] = unit + 1;
	m->n++;
	return 0;
}

void pfs_marks_move(struct pfs_marks *m, const struct pfs_id *id, uint32_t unit)
{
	m->units[slot_of(m, word_of(id))] = unit + 1;
}

uint32_t pfs_marks_find(const struct pfs_marks *m, const struct pfs_id *id)
{
	uint32_t unit = m->cap ? m->units[slot_of(m, word_of(id))] : 0;

	return unit ? unit - 1 : PFS_MARKS_NONE;
}
