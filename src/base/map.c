#include "base/map.h"
#include "base/rand.h"

#include <stdlib.h>
#include <string.h>

#define CAP_MIN        16u
#define SHRINK_CAP_MIN 4096u

void pfs_map_init(struct pfs_map *m)
{
	*m = (struct pfs_map){ .seed = pfs_rand_u64() };
}

void pfs_map_fini(struct pfs_map *m)
{
	free(m->slots);
	*m = (struct pfs_map){ 0 };
}

static uint64_t mix(uint64_t h)
{
	h ^= h >> 32;
	h *= 0xd6e8feb86659fd93ULL;
	h ^= h >> 32;
	h *= 0xd6e8feb86659fd93ULL;
	return h ^ h >> 32;
}

uint64_t pfs_map_hash(uint64_t seed, const void *key, size_t key_len)
{
	const unsigned char *p = key;
	uint64_t h = seed ^ key_len;

	for (; key_len >= 8; key_len -= 8, p += 8) {
		uint64_t w;

		memcpy(&w, p, 8);
		h = mix(h ^ w);
	}
	if (key_len) {
		uint64_t w = 0;

		memcpy(&w, p, key_len);
		h = mix(h ^ w);
	}
	return mix(h + 0x9e3779b97f4a7c15ULL);
}

static size_t probe(const struct pfs_map *m, uint64_t hash, const void *key, size_t key_len)
{
	size_t i = hash & (m->cap - 1);

	for (; m->slots[i].value; i = (i + 1) & (m->cap - 1))
		if (m->slots[i].hash == hash && m->slots[i].key_len == key_len &&
		    (key_len == 0 || memcmp(m->slots[i].key, key, key_len) == 0))
			break;
	return i;
}

void *pfs_map_find(const struct pfs_map *m, const void *key, size_t key_len)
{
	if (!m->len)
		return NULL;
	return m->slots[probe(m, pfs_map_hash(m->seed, key, key_len), key, key_len)].value;
}

static int resize(struct pfs_map *m, size_t cap, struct pfs_error *err)
{
	struct pfs_map_slot *fresh = calloc(cap, sizeof(*fresh));

	if (!fresh)
		return pfs_fail_nomem(err, "a map");
	for (size_t i = 0; i < m->cap; i++) {
		size_t j;

		if (!m->slots[i].value)
			continue;
		for (j = m->slots[i].hash & (cap - 1); fresh[j].value; j = (j + 1) & (cap - 1))
			;
		fresh[j] = m->slots[i];
	}
	free(m->slots);
	m->slots = fresh;
	m->cap = cap;
	return 0;
}

/* Room for one more. */
static int make_room(struct pfs_map *m, struct pfs_error *err)
{
	if (m->len < m->cap - m->cap / 4)
		return 0;
	return resize(m, m->cap ? m->cap * 2 : CAP_MIN, err);
}

int pfs_map_add(struct pfs_map *m, const void *key, size_t key_len, void *value, void **out_there,
		struct pfs_error *err)
{
	uint64_t hash = pfs_map_hash(m->seed, key, key_len);
	int rc = make_room(m, err);
	size_t i;

	if (rc < 0)
		return rc;
	i = probe(m, hash, key, key_len);
	*out_there = m->slots[i].value;
	if (*out_there)
		return 0;
	m->len++;
	m->slots[i] = (struct pfs_map_slot){ key, key_len, value, hash };
	return 0;
}

int pfs_map_set(struct pfs_map *m, const void *key, size_t key_len, void *value,
		struct pfs_error *err)
{
	uint64_t hash = pfs_map_hash(m->seed, key, key_len);
	int rc = make_room(m, err);
	size_t i;

	if (rc < 0)
		return rc;
	i = probe(m, hash, key, key_len);
	if (!m->slots[i].value)
		m->len++;
	m->slots[i] = (struct pfs_map_slot){ key, key_len, value, hash };
	return 0;
}

void *pfs_map_remove(struct pfs_map *m, const void *key, size_t key_len)
{
	size_t hole, i;
	void *value;

	if (!m->len)
		return NULL;
	hole = probe(m, pfs_map_hash(m->seed, key, key_len), key, key_len);
	value = m->slots[hole].value;
	if (!value)
		return NULL;
	/* Move later slots of the run back, so that no probe stops at the hole too early. */
	for (i = (hole + 1) & (m->cap - 1); m->slots[i].value; i = (i + 1) & (m->cap - 1)) {
		size_t home = m->slots[i].hash & (m->cap - 1);

		if (((i - home) & (m->cap - 1)) < ((i - hole) & (m->cap - 1)))
			continue;
		m->slots[hole] = m->slots[i];
		hole = i;
	}
	m->slots[hole] = (struct pfs_map_slot){ 0 };
	m->len--;
	/* Far below the fill it grows at, so that it does not go to and fro. Without memory it stays. */
	if (m->cap > SHRINK_CAP_MIN && m->len < m->cap / 8)
		resize(m, m->cap / 4, NULL);
	return value;
}

void *pfs_map_next(const struct pfs_map *m, size_t *pos)
{
	while (*pos < m->cap) {
		void *value = m->slots[(*pos)++].value;

		if (value)
			return value;
	}
	return NULL;
}
