#include "tree/siphash.h"
#include "base/endian.h"

struct state {
	uint64_t v0, v1, v2, v3;
};

static inline uint64_t rotl(uint64_t x, unsigned n)
{
	return x << n | x >> (64 - n);
}

static inline void round_once(struct state *s)
{
	s->v0 += s->v1;
	s->v1 = rotl(s->v1, 13) ^ s->v0;
	s->v0 = rotl(s->v0, 32);
	s->v2 += s->v3;
	s->v3 = rotl(s->v3, 16) ^ s->v2;
	s->v0 += s->v3;
	s->v3 = rotl(s->v3, 21) ^ s->v0;
	s->v2 += s->v1;
	s->v1 = rotl(s->v1, 17) ^ s->v2;
	s->v2 = rotl(s->v2, 32);
}

static inline void absorb(struct state *s, uint64_t word)
{
	s->v3 ^= word;
	round_once(s);
	round_once(s);
	s->v0 ^= word;
}

uint64_t pfs_siphash(const unsigned char key[16], uint8_t first, const void *data, size_t len)
{
	uint64_t k0 = pfs_get_le64(key), k1 = pfs_get_le64(key + 8);
	struct state s = { k0 ^ 0x736f6d6570736575, k1 ^ 0x646f72616e646f6d,
			   k0 ^ 0x6c7967656e657261, k1 ^ 0x7465646279746573 };
	const unsigned char *p = data;
	uint64_t word = first; /* bytes not yet absorbed, low first */
	unsigned have = 1;

	for (size_t i = 0; i < len; i++) {
		word |= (uint64_t)p[i] << (8 * have++);
		if (have == 8) {
			absorb(&s, word);
			word = 0;
			have = 0;
		}
	}
	absorb(&s, word | (uint64_t)(len + 1) << 56);
	s.v2 ^= 0xff;
	for (int i = 0; i < 4; i++)
		round_once(&s);
	return s.v0 ^ s.v1 ^ s.v2 ^ s.v3;
}
