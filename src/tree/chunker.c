#include "tree/chunker.h"
#include "base/endian.h"

#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

#define REACH     PFS_CHUNK_REACH
#define WINDOW    PFS_CHUNK_WINDOW
#define CANDIDATE (1ULL << (64 - PFS_CHUNK_BITS)) /* a hash below this is one */

#define LANES     4u
#define LANE_SIZE 8192u /* bytes of a lane scanned before candidates are looked at */
#define LANE_MIN  256u  /* shorter ones are not worth their 64 bytes of warming up */
#define HITS_MAX  256u  /* of a lane; 8 are usual */

/* --- the table ---------------------------------------------------------- */

/* `n` words of SHAKE256("pfs gear v1" || key). */
static int squeeze(const unsigned char key[32], uint64_t *words, size_t n, struct pfs_error *err)
{
	static const char label[] = "pfs gear v1";
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	bool ok;

	ok = ctx && EVP_DigestInit_ex(ctx, EVP_shake256(), NULL) == 1 &&
	     EVP_DigestUpdate(ctx, label, sizeof(label) - 1) == 1 &&
	     EVP_DigestUpdate(ctx, key, 32) == 1 &&
	     EVP_DigestFinalXOF(ctx, (unsigned char *)words, 8 * n) == 1;
	EVP_MD_CTX_free(ctx);
	if (!ok)
		return pfs_fail(err, PFS_E_NOMEM, "SHAKE256 is not to be had from libcrypto");
	for (size_t i = 0; i < n; i++)
		words[i] = pfs_get_le64(&words[i]);
	return 0;
}

/*
 * A run of one byte hashes to minus its word. Were that a candidate, every
 * place of the run would be one: such words are replaced by the next of the
 * stream. One in a thousand is, so a handful is far more than are ever needed.
 */
static int make_gear(struct pfs_gear *g, const unsigned char gear_key[32], struct pfs_error *err)
{
	uint64_t words[256 + 1 + 64];
	size_t spare = 257;
	int rc;

	rc = squeeze(gear_key, words, sizeof(words) / sizeof(*words), err);
	if (rc < 0)
		return rc;
	for (size_t b = 0; b < 256; b++) {
		g->table[b] = words[b];
		while (-g->table[b] < CANDIDATE) {
			if (spare == sizeof(words) / sizeof(*words))
				return pfs_fail(err, PFS_E_INVALID, "this gear key gives no table");
			g->table[b] = words[spare++];
		}
	}
	g->key2 = words[256];
	return 0;
}

/* A thread keeps the table it made last: every file wants it, and making it takes as long as scanning one. */
int pfs_gear_init(struct pfs_gear *g, const unsigned char gear_key[32], struct pfs_error *err)
{
	static _Thread_local struct {
		struct pfs_gear gear;
		unsigned char key[32];
		bool made;
	} last;
	int rc = 0;

	if (!last.made || memcmp(last.key, gear_key, sizeof(last.key)) != 0) {
		last.made = false;
		rc = make_gear(&last.gear, gear_key, err);
		memcpy(last.key, gear_key, sizeof(last.key));
		last.made = rc == 0;
	}
	if (rc == 0)
		*g = last.gear;
	return rc;
}

static uint64_t mix(uint64_t x)
{
	x ^= x >> 32;
	x *= 0xd6e8feb86659fd93;
	x ^= x >> 32;
	x *= 0xd6e8feb86659fd93;
	return x ^ x >> 32;
}

/* --- queues ------------------------------------------------------------- */

PFS_RING_DEFINE(struct pfs_candidate_queue, struct pfs_candidate, "the cuts of a file")

int pfs_chunker_init(struct pfs_chunker *c, const struct pfs_gear *gear, struct pfs_error *err)
{
	memset(c, 0, sizeof(*c));
	c->gear = gear;
	return 0;
}

void pfs_chunker_fini(struct pfs_chunker *c)
{
	free(c->maxima.items);
	free(c->bounds.items);
	free(c->places.items);
	memset(c, 0, sizeof(*c));
}

/* --- scanning ----------------------------------------------------------- */

static uint64_t warm(const struct pfs_gear *g, const unsigned char *p)
{
	uint64_t h = 0;

	for (size_t i = 0; i < WINDOW; i++)
		h = (h << 1) + g->table[p[i]];
	return h;
}

struct hits {
	size_t n[LANES]; /* more than HITS_MAX: they are not all here */
	struct {
		uint32_t pos; /* bytes of the block before it */
		uint64_t hash;
	} v[LANES][HITS_MAX];
};

__attribute__((noinline, cold)) static void add_hit(struct hits *hits, unsigned lane, size_t pos,
						    uint64_t hash)
{
	size_t n = hits->n[lane]++;

	if (n >= HITS_MAX)
		return;
	hits->v[lane][n].pos = (uint32_t)pos;
	hits->v[lane][n].hash = hash;
}

/*
 * Four stretches of `lane` bytes, an even number, side by side: one waits for
 * its own shift and add, four keep the machine busy. Each needs the 64 bytes
 * before it; the first has them in `hash`. Where `lane` is a constant it costs
 * no register, and that is an eighth of the speed. A branch that is hardly
 * ever taken costs less than putting four tests into one.
 */
static inline __attribute__((always_inline)) uint64_t scan_lanes(const struct pfs_gear *g,
								 const unsigned char *p,
								 size_t lane, uint64_t hash,
								 struct hits *hits)
{
	const uint64_t *t = g->table;
	uint64_t h0 = hash, h1 = warm(g, p + lane - WINDOW), h2 = warm(g, p + 2 * lane - WINDOW),
		 h3 = warm(g, p + 3 * lane - WINDOW);

#define STEP(l, h, at)                                           \
	do {                                                     \
		h = (h << 1) + t[p[l * lane + (at)]];            \
		if (__builtin_expect(h < CANDIDATE, 0))          \
			add_hit(hits, l, l *lane + (at) + 1, h); \
	} while (0)
#define STEPS(at)                \
	do {                     \
		STEP(0, h0, at); \
		STEP(1, h1, at); \
		STEP(2, h2, at); \
		STEP(3, h3, at); \
	} while (0)
	for (size_t i = 0; i < lane; i += 2) {
		STEPS(i);
		STEPS(i + 1);
	}
#undef STEPS
#undef STEP
	return h3;
}

/* --- selection ---------------------------------------------------------- */

/* Nothing within reach behind the oldest maximum was higher: is it a cut? */
static int settle_front(struct pfs_chunker *c, struct pfs_error *err)
{
	struct pfs_candidate *m = at(&c->maxima, 0);
	int rc = 0;

	if (m->left_ok && m->pos >= REACH)
		rc = push(&c->bounds, m, err);
	if (rc == 0)
		pop_front(&c->maxima);
	return rc;
}

static int settle_before(struct pfs_chunker *c, uint64_t pos, struct pfs_error *err)
{
	int rc = 0;

	while (rc == 0 && c->maxima.len > 0 && at(&c->maxima, 0)->pos + REACH < pos)
		rc = settle_front(c, err);
	return rc;
}

static int add_candidate(struct pfs_chunker *c, uint64_t pos, uint64_t hash, struct pfs_error *err)
{
	struct pfs_candidate found = { .pos = pos, .priority = mix(hash ^ c->gear->key2) };
	int rc = settle_before(c, pos, err);

	if (rc < 0)
		return rc;
	while (c->maxima.len > 0 && at(&c->maxima, c->maxima.len - 1)->priority < found.priority)
		c->maxima.len--;
	found.left_ok = c->maxima.len == 0;
	rc = push(&c->maxima, &found, err);
	return rc < 0 ? rc : push(&c->places, &found, err);
}

/* One byte after the other. */
static int scan_one(struct pfs_chunker *c, const unsigned char *p, size_t n, struct pfs_error *err)
{
	uint64_t h = c->hash;
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < n; i++) {
		h = (h << 1) + c->gear->table[p[i]];
		if (h < CANDIDATE)
			rc = add_candidate(c, c->fed + i + 1, h, err);
	}
	c->hash = h;
	return rc;
}

static int scan_block(struct pfs_chunker *c, const unsigned char *p, size_t lane,
		      struct pfs_error *err)
{
	struct hits hits;
	uint64_t hash;
	int rc = 0;

	memset(hits.n, 0, sizeof(hits.n));
	hash = lane == LANE_SIZE ? scan_lanes(c->gear, p, LANE_SIZE, c->hash, &hits)
				 : scan_lanes(c->gear, p, lane, c->hash, &hits);
	for (unsigned l = 0; l < LANES; l++)
		if (hits.n[l] > HITS_MAX)
			return scan_one(c, p, LANES * lane, err);
	for (unsigned l = 0; l < LANES; l++)
		for (size_t i = 0; rc == 0 && i < hits.n[l]; i++)
			rc = add_candidate(c, c->fed + hits.v[l][i].pos, hits.v[l][i].hash, err);
	c->hash = hash;
	return rc;
}

/* No place has 64 bytes before it yet; the last of these may. */
static int feed_first(struct pfs_chunker *c, const unsigned char *p, size_t n,
		      struct pfs_error *err)
{
	for (size_t i = 0; i < n; i++)
		c->hash = (c->hash << 1) + c->gear->table[p[i]];
	c->fed += n;
	if (c->fed == WINDOW && c->hash < CANDIDATE)
		return add_candidate(c, WINDOW, c->hash, err);
	return 0;
}

int pfs_chunker_feed(struct pfs_chunker *c, const void *data, size_t len, struct pfs_error *err)
{
	const unsigned char *p = data;
	size_t n = 0;
	int rc = 0;

	if (c->fed < WINDOW) {
		n = WINDOW - (size_t)c->fed < len ? WINDOW - (size_t)c->fed : len;
		rc = feed_first(c, p, n, err);
	}
	while (rc == 0 && (p += n, len -= n) > 0) {
		size_t lane = len / LANES & ~(size_t)1;

		if (lane > LANE_SIZE)
			lane = LANE_SIZE;
		n = lane < LANE_MIN ? len : LANES * lane;
		rc = lane < LANE_MIN ? scan_one(c, p, n, err) : scan_block(c, p, lane, err);
		c->fed += n;
		/* Candidates to come lie past `fed`. */
		if (rc == 0)
			rc = settle_before(c, c->fed + 1, err);
	}
	return rc;
}

static void begin_segment(struct pfs_chunker *c)
{
	c->hash = c->fed = c->cut = 0;
	c->ended = false;
	c->maxima.len = c->bounds.len = c->places.len = 0;
}

int pfs_chunker_resume(struct pfs_chunker *c, const void *before, size_t len, struct pfs_error *err)
{
	const unsigned char *p = before;
	int rc;

	begin_segment(c);
	if (len == PFS_CHUNK_HISTORY) {
		c->hash = warm(c->gear, p);
		c->fed = WINDOW;
	}
	rc = pfs_chunker_feed(c, p + c->fed, len - (size_t)c->fed, err);
	/* They are cuts or not, but not ours to hand out; they still keep others from being cuts. */
	c->cut = c->fed;
	c->bounds.len = c->places.len = 0;
	for (size_t i = 0; i < c->maxima.len; i++)
		at(&c->maxima, i)->left_ok = false;
	return rc;
}

void pfs_chunker_end(struct pfs_chunker *c)
{
	struct pfs_candidate last = { 0 };

	c->ended = true;
	for (; c->maxima.len > 0; pop_front(&c->maxima)) {
		const struct pfs_candidate *m = at(&c->maxima, 0);

		/* At most one: two cuts are further apart than the reach. */
		if (m->left_ok && m->pos >= REACH && c->fed - m->pos >= PFS_CHUNK_TAIL)
			last = *m;
	}
	if (last.pos)
		push(&c->maxima, &last, NULL); /* cannot fail: its place was just freed */
}

/* --- cuts --------------------------------------------------------------- */

/* The first certain cut behind the last one, or NULL. */
static const struct pfs_candidate *first_bound(const struct pfs_chunker *c)
{
	if (c->bounds.len > 0)
		return at(&c->bounds, 0);
	return c->ended && c->maxima.len > 0 ? at(&c->maxima, 0) : NULL;
}

static bool cut_at(struct pfs_chunker *c, uint64_t pos, bool forced, struct pfs_cut *out)
{
	out->len = (uint32_t)(pos - c->cut);
	out->forced = forced;
	c->cut = pos;
	while (c->places.len > 0 && at(&c->places, 0)->pos <= pos)
		pop_front(&c->places);
	if (c->bounds.len > 0 && at(&c->bounds, 0)->pos == pos)
		pop_front(&c->bounds);
	else if (c->ended && c->maxima.len > 0 && at(&c->maxima, 0)->pos == pos)
		pop_front(&c->maxima);
	return true;
}

/* Where a stretch without a local maximum is cut. */
static uint64_t forced_place(struct pfs_chunker *c)
{
	while (c->places.len > 0 && at(&c->places, 0)->pos < c->cut + REACH)
		pop_front(&c->places);
	if (c->places.len > 0 && at(&c->places, 0)->pos <= c->cut + PFS_CHUNK_SIZE_MAX)
		return at(&c->places, 0)->pos;
	return c->cut + PFS_CHUNK_SIZE_MAX;
}

bool pfs_chunker_next(struct pfs_chunker *c, struct pfs_cut *out)
{
	const struct pfs_candidate *bound = first_bound(c);
	uint64_t limit = c->cut + PFS_CHUNK_SIZE_MAX;

	if (c->cut == c->fed) {
		if (c->ended)
			begin_segment(c);
		return false;
	}
	if (bound && bound->pos <= limit)
		return cut_at(c, bound->pos, false, out);
	if (c->ended && c->fed <= limit)
		return cut_at(c, c->fed, false, out);
	/* Up to one reach before the last byte everything is decided. */
	if (!bound && !c->ended && c->fed <= limit + REACH)
		return false;
	return cut_at(c, forced_place(c), true, out);
}
