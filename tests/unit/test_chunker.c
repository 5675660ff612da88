#include "tree/chunker.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

static const unsigned char no_key[32];
static struct pfs_gear gear;
static uint64_t seed;

static uint64_t roll(uint64_t below)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return (seed * 0x2545f4914f6cdd1d >> 11) % below;
}

/* --- the definition of pfs-tree(5), word for word and slow --------------- */

struct cuts {
	struct pfs_cut *v;
	size_t n;
};

struct spot {
	size_t pos;
	uint64_t priority;
};

static uint64_t mix64(uint64_t x)
{
	for (int i = 0; i < 2; i++) {
		x ^= x >> 32;
		x *= 0xd6e8feb86659fd93;
	}
	return x ^ (x >> 32);
}

static size_t find_candidates(const unsigned char *d, size_t n, struct spot *out)
{
	size_t found = 0;

	for (size_t i = 64; i <= n; i++) {
		uint64_t g = 0;

		for (unsigned k = 0; k < 64; k++)
			g += gear.table[d[i - 1 - k]] << k;
		if (g >> 54 == 0)
			out[found++] = (struct spot){ i, mix64(g ^ gear.key2) };
	}
	return found;
}

static bool is_intrinsic(const struct spot *c, size_t found, size_t i, size_t n)
{
	if (c[i].pos < 32768 || n - c[i].pos < 8192)
		return false;
	for (size_t j = i; j-- > 0 && c[i].pos - c[j].pos <= 32768;)
		if (c[j].priority >= c[i].priority)
			return false;
	for (size_t j = i + 1; j < found && c[j].pos - c[i].pos <= 32768; j++)
		if (c[j].priority > c[i].priority)
			return false;
	return true;
}

static void add_cut(struct cuts *c, size_t from, size_t to, bool forced)
{
	c->v[c->n++] = (struct pfs_cut){ (uint32_t)(to - from), forced };
}

/* From one intrinsic boundary (or the start) to the next (or the end). */
static void cut_stretch(struct cuts *out, const struct spot *c, size_t found, size_t s, size_t e)
{
	while (e - s > 262144) {
		size_t q = s + 262144;

		for (size_t j = 0; j < found; j++)
			if (c[j].pos >= s + 32768 && c[j].pos <= q) {
				q = c[j].pos;
				break;
			}
		add_cut(out, s, q, true);
		s = q;
	}
	add_cut(out, s, e, false);
}

static struct cuts by_definition(const unsigned char *d, size_t n)
{
	struct spot *c = calloc(n + 1, sizeof(*c));
	size_t found = find_candidates(d, n, c), s = 0;
	struct cuts out = { calloc(n / 8192 + 8, sizeof(struct pfs_cut)), 0 };

	for (size_t i = 0; i < found; i++) {
		if (!is_intrinsic(c, found, i, n))
			continue;
		cut_stretch(&out, c, found, s, c[i].pos);
		s = c[i].pos;
	}
	if (n > 0)
		cut_stretch(&out, c, found, s, n);
	free(c);
	return out;
}

/* --- data of every kind -------------------------------------------------- */

enum data { NOISE, LETTERS, PERIODIC, ZERO_RUNS, CONSTANT, TEXT, KINDS };

static unsigned char *make_data(enum data kind, size_t n)
{
	unsigned char *d = malloc(n + 1);
	size_t period = 1 + roll(200);

	for (size_t i = 0; i < n; i++) {
		switch (kind) {
		case LETTERS:
			d[i] = (unsigned char)("acgt"[roll(4)]);
			break;
		case PERIODIC:
			d[i] = i < period ? (unsigned char)roll(256) : d[i - period];
			break;
		case CONSTANT:
			d[i] = (unsigned char)n;
			break;
		case TEXT:
			d[i] = (unsigned char)(roll(12) ? 'a' + roll(26) : ' ');
			break;
		default:
			d[i] = (unsigned char)roll(256);
		}
	}
	for (size_t i = 0; kind == ZERO_RUNS && i < n; i += 1 + roll(100000)) {
		size_t run = 1 + roll(300000);

		memset(d + i, 0, run < n - i ? run : n - i);
		i += run;
	}
	return d;
}

static void take(struct pfs_chunker *c, const struct cuts *want, size_t *at, const char *how)
{
	struct pfs_cut cut;

	for (; pfs_chunker_next(c, &cut); ++*at) {
		cr_assert_lt(*at, want->n, "%s: more cuts than %zu", how, want->n);
		cr_assert_eq(cut.len, want->v[*at].len, "%s: cut %zu", how, *at);
		cr_assert_eq(cut.forced, want->v[*at].forced, "%s: cut %zu", how, *at);
	}
}

/* Feed in steps of at most `step` bytes. */
static void check_feed(struct pfs_chunker *c, const unsigned char *d, size_t n,
		       const struct cuts *want, size_t step, const char *how)
{
	size_t at = 0;

	for (size_t off = 0; off < n;) {
		size_t len = 1 + roll(step);

		if (len > n - off)
			len = n - off;
		cr_assert_eq(pfs_chunker_feed(c, d + off, len, NULL), 0);
		off += len;
		take(c, want, &at, how);
	}
	pfs_chunker_end(c);
	take(c, want, &at, how);
	cr_assert_eq(at, want->n, "%s: %zu of %zu cuts", how, at, want->n);
}

Test(chunker, cuts_as_the_definition_does_however_it_is_fed, .timeout = 300)
{
	static const size_t sizes[] = { 1,     63,     64,     65,     8192,   40959,
					40960, 100000, 262144, 262145, 700000, 1200000 };
	struct pfs_chunker c;

	seed = 1234567;
	cr_assert_eq(pfs_gear_init(&gear, no_key, NULL), 0);
	cr_assert_eq(pfs_chunker_init(&c, &gear, NULL), 0);
	for (unsigned kind = 0; kind < KINDS; kind++) {
		for (size_t s = 0; s < sizeof(sizes) / sizeof(*sizes); s++) {
			size_t n = sizes[s];
			unsigned char *d = make_data((enum data)kind, n);
			struct cuts want = by_definition(d, n);

			check_feed(&c, d, n, &want, n, "large steps");
			check_feed(&c, d, n, &want, 70000, "middle steps");
			check_feed(&c, d, n, &want, 300, "small steps");
			free(want.v);
			free(d);
		}
	}
	pfs_chunker_fini(&c);
}

Test(chunker, keeps_chunks_within_their_bounds)
{
	size_t n = 24 << 20, sum = 0, count = 0;
	struct pfs_chunker c;
	struct pfs_cut cut;
	unsigned char *d;

	seed = 99;
	cr_assert_eq(pfs_gear_init(&gear, no_key, NULL), 0);
	cr_assert_eq(pfs_chunker_init(&c, &gear, NULL), 0);
	d = make_data(NOISE, n);
	cr_assert_eq(pfs_chunker_feed(&c, d, n, NULL), 0);
	pfs_chunker_end(&c);
	for (; pfs_chunker_next(&c, &cut); count++) {
		cr_expect(!cut.forced, "noise has a local maximum often enough");
		cr_expect_leq(cut.len, PFS_CHUNK_SIZE_MAX);
		cr_expect(cut.len > PFS_CHUNK_REACH || sum == 0 || sum + cut.len == n);
		sum += cut.len;
	}
	cr_expect_eq(sum, n);
	cr_expect(n / count > 55000 && n / count < 75000, "mean of %zu bytes", n / count);
	free(d);
	pfs_chunker_fini(&c);
}

Test(chunker, an_edit_moves_cuts_only_near_it, .timeout = 300)
{
	size_t n = 3 << 20;
	struct pfs_chunker c;

	seed = 5;
	cr_assert_eq(pfs_gear_init(&gear, no_key, NULL), 0);
	cr_assert_eq(pfs_chunker_init(&c, &gear, NULL), 0);
	for (int round = 0; round < 10; round++) {
		unsigned char *d = make_data(TEXT, n + 1000);
		size_t at = 200000 + roll(n - 500000), added = roll(1000), pos;
		bool old[(3 << 20) + 2000] = { 0 };
		struct pfs_cut cut;

		pfs_chunker_feed(&c, d, n, NULL);
		pfs_chunker_end(&c);
		for (pos = 0; pfs_chunker_next(&c, &cut); old[pos += cut.len] = true)
			;
		memmove(d + at + added, d + at, n - at);
		for (size_t i = 0; i < added; i++)
			d[at + i] = (unsigned char)roll(256);
		pfs_chunker_feed(&c, d, n + added, NULL);
		pfs_chunker_end(&c);
		for (pos = 0; pfs_chunker_next(&c, &cut);) {
			pos += cut.len;
			if (pos <= at - PFS_CHUNK_REACH)
				cr_expect(old[pos], "cut %zu before the edit at %zu", pos, at);
			if (pos >= at + added + PFS_CHUNK_REACH + PFS_CHUNK_WINDOW)
				cr_expect(old[pos - added], "cut %zu behind the edit at %zu", pos,
					  at);
		}
		free(d);
	}
	pfs_chunker_fini(&c);
}

Test(chunker, the_table_follows_from_the_key)
{
	unsigned char key[32] = { 1 };
	struct pfs_gear other;

	cr_assert_eq(pfs_gear_init(&gear, no_key, NULL), 0);
	/* SHAKE256("pfs gear v1" and 32 zero bytes), first and 257th word, by another program. */
	cr_expect_eq(gear.table[0], 0x02845b76566a6cff, "%016llx",
		     (unsigned long long)gear.table[0]);
	cr_expect_eq(gear.key2, 0x91aeffbdbcccc916, "%016llx", (unsigned long long)gear.key2);
	for (int b = 0; b < 256; b++)
		cr_expect_neq(-gear.table[b] >> 54, 0, "a run of byte %d would be all candidates",
			      b);
	cr_assert_eq(pfs_gear_init(&other, key, NULL), 0);
	cr_expect_neq(other.table[0], gear.table[0]);
}
