#include "store/indexmerge.h"
#include "base/endian.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

struct source {
	struct pfs_indexcursor cursor;
	struct pfs_idxrec head;
	bool more;
};

struct pfs_indexmerge {
	struct pfs_indexwriter *writer; /* owned */
	size_t n;
	uint64_t *keys; /* owned; first bytes of each head, so that few whole ids are compared */
	struct source sources[];
};

void pfs_indexmerge_abort(struct pfs_indexmerge **m)
{
	if (!*m)
		return;
	for (size_t i = 0; i < (*m)->n; i++)
		pfs_indexcursor_fini(&(*m)->sources[i].cursor);
	pfs_indexwriter_abort(&(*m)->writer);
	free((*m)->keys);
	free(*m);
	*m = NULL;
}

static int advance(struct pfs_indexmerge *m, size_t i, struct pfs_error *err)
{
	struct source *s = &m->sources[i];
	uint64_t key;
	int rc = pfs_indexcursor_next(&s->cursor, &s->head, err);

	if (rc < 0)
		return rc;
	s->more = rc == 1;
	memcpy(&key, s->head.id.bytes, sizeof(key));
	m->keys[i] = s->more ? be64toh(key) : UINT64_MAX;
	return 0;
}

int pfs_indexmerge_begin(int dir, const unsigned char store_uuid[PFS_UUID_SIZE],
			 struct pfs_indexrun *const *runs, size_t n, uint64_t number, uint8_t level,
			 struct pfs_indexmerge **out, struct pfs_error *err)
{
	PFS_AUTO(pfs_indexmerge_abort)
	struct pfs_indexmerge *m = calloc(1, sizeof(*m) + n * sizeof(*m->sources));
	struct pfs_idxrun expected = { .number = number, .level = level };
	uint64_t records = 0;
	int rc = 0;

	if (!m)
		return pfs_fail_nomem(err, "merging the index");
	m->keys = calloc(n, sizeof(*m->keys));
	if (!m->keys)
		return pfs_fail_nomem(err, "merging the index");
	for (; m->n < n && rc == 0; m->n++) {
		records += pfs_indexrun_what(runs[m->n])->records;
		rc = pfs_indexcursor_init(&m->sources[m->n].cursor, runs[m->n], err);
	}
	if (rc == 0 && records > UINT32_MAX)
		rc = pfs_fail(err, PFS_E_LIMIT, "a run of %" PRIu64 " objects, at most %u fit",
			      records, UINT32_MAX);
	expected.records = (uint32_t)records;
	for (size_t i = 0; i < n && rc == 0; i++)
		rc = advance(m, i, err);
	if (rc == 0)
		rc = pfs_indexwriter_create(dir, store_uuid, &expected, &m->writer, err);
	if (rc < 0)
		return rc;
	*out = m;
	m = NULL;
	return 0;
}

/* The source with the smallest id, the newest of several; n when all are through. */
static size_t smallest(const struct pfs_indexmerge *m)
{
	size_t best = m->n;

	for (size_t i = 0; i < m->n; i++) {
		if (!m->sources[i].more || (best < m->n && m->keys[i] > m->keys[best]))
			continue;
		if (best == m->n || m->keys[i] < m->keys[best] ||
		    pfs_id_compare(&m->sources[i].head.id, &m->sources[best].head.id) < 0)
			best = i;
	}
	return best;
}

int pfs_indexmerge_step(struct pfs_indexmerge *m, size_t most, pfs_indexmerge_keep keep, void *arg,
			struct pfs_error *err)
{
	for (size_t done = 0; done < most;) {
		size_t first = smallest(m);
		bool kept = false;
		struct pfs_id id;
		int rc = 0;

		if (first == m->n)
			return 0;
		id = m->sources[first].head.id;
		for (size_t i = first; i < m->n && rc == 0; i++) {
			struct source *s = &m->sources[i];

			if (!s->more || m->keys[i] != m->keys[first] ||
			    (i > first && !pfs_id_equal(&s->head.id, &id)))
				continue;
			if (!kept && keep(arg, &s->head)) {
				kept = true;
				rc = pfs_indexwriter_add(m->writer, &s->head, err);
			}
			if (rc == 0 && i > first)
				rc = advance(m, i, err);
			done++;
		}
		if (rc == 0)
			rc = advance(m, first, err);
		if (rc < 0)
			return rc;
	}
	return 1;
}

int pfs_indexmerge_finish(struct pfs_indexmerge **m, struct pfs_idxrun *out, struct pfs_error *err)
{
	int rc = pfs_indexwriter_finish(&(*m)->writer, out, err);

	pfs_indexmerge_abort(m);
	return rc;
}
