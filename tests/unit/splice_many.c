/*
 * Splicing is the same as writing anew: very many files, each changed here and
 * there, against the same bytes written from scratch. Chunks and nodes are a
 * few hundredths of their real size here (tests/meson.build), so that a file
 * of some kilobytes has what a large one has: many chunks on several levels,
 * holes, forced cuts, ends of segments that an edit at a distance moves.
 *
 *	splice_many [CASES [SEED]]        also PFS_SPLICE_CASES, PFS_SPLICE_SEED
 */
#include "tree/content.h"
#include "tree/seqwalk.h"
#include "tree/splice.h"
#include "tree/split.h"
#include "scratch.h"

#include <inttypes.h>
#include <time.h>

#define SIZE_MAX_HERE 60000u
#define SPLICES_MAX   4u
#define STORE_CASES   2000u /* a store is filled by so many cases, then there is a new one */

static struct pfs_store *st;
static uint64_t seed, begun_with;
static unsigned long cases_done;

static struct {
	unsigned long sequences, forced, holes, levels[PFS_TREE_LEVEL_MAX + 1], sampled;
	uint64_t bytes, asked;
} seen;

static uint64_t roll(uint64_t below)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return (seed * 0x2545f4914f6cdd1d >> 11) % below;
}

/* --- bytes ---------------------------------------------------------------- */

enum kind { NOISE, LETTERS, PERIODIC, CONSTANT, ZEROS, KINDS };

/* How long a run of zeros is decides whether it is a hole: stay near that. */
static size_t zeros_len(void)
{
	return roll(3) ? PFS_HOLE_SIZE_MIN - 3 + roll(6) : 1 + roll(3 * PFS_HOLE_SIZE_MIN);
}

static void fill(unsigned char *d, size_t n, enum kind kind)
{
	size_t period = 1 + roll(roll(2) ? 8 : 300);
	unsigned char byte = (unsigned char)(1 + roll(255));

	for (size_t i = 0; i < n; i++) {
		switch (kind) {
		case NOISE:
			if (i % 7 == 0) {
				uint64_t word = roll(UINT64_MAX);

				memcpy(d + i, &word, n - i < 7 ? n - i : 7);
			}
			break;
		case LETTERS:
			d[i] = "acgt"[roll(4)];
			break;
		case PERIODIC:
			d[i] = i < period ? (unsigned char)roll(256) : d[i - period];
			break;
		case CONSTANT:
			d[i] = byte;
			break;
		default:
			d[i] = 0;
		}
	}
}

/* `n` bytes made of stretches of all kinds. */
static void make_bytes(unsigned char *d, size_t n)
{
	enum kind favourite = (enum kind)roll(KINDS);

	for (size_t at = 0; at < n;) {
		enum kind kind = roll(2) ? favourite : (enum kind)roll(KINDS);
		size_t len = kind == ZEROS ? zeros_len() : 1 + roll(roll(3) ? 600 : 6000);

		len = len < n - at ? len : n - at;
		fill(d + at, len, kind);
		at += len;
	}
}

static size_t a_size(void)
{
	static const size_t limits[] = { 400, 2500, 2500, 6000, 6000, 6000, 15000, 40000 };

	return roll(limits[roll(roll(4) ? 7 : 8)]);
}

/* --- one case ------------------------------------------------------------- */

struct file {
	unsigned char d[SIZE_MAX_HERE];
	size_t n;
};

static int read_file(void *arg, uint64_t off, void *data, size_t len, struct pfs_error *err)
{
	const struct file *f = arg;

	CHECK(off <= f->n && len <= f->n - off, "%zu bytes at %" PRIu64 " of %zu", len, off, f->n);
	memcpy(data, f->d + off, len);
	seen.asked += len;
	return 0;
}

/* A length that is short, or about as long as the rules reach, or anything. */
static size_t a_length(size_t most)
{
	size_t n;

	switch (roll(5)) {
	case 0:
		return 0;
	case 1:
		n = 1 + roll(4);
		break;
	case 2:
		n = zeros_len();
		break;
	default:
		n = roll(roll(4) ? 300 : 5000);
	}
	return n < most ? n : most;
}

static void new_bytes(unsigned char *d, size_t n, const struct file *old, struct pfs_splice *x)
{
	if (roll(4) == 0) {
		fill(d, n, ZEROS);
		x->zeros = roll(2);
	} else if (roll(3) == 0 && old->n >= n) {
		memcpy(d, old->d + roll(old->n - n + 1), n); /* moved or copied */
	} else if (roll(4) == 0 && x->old_len >= n) {
		memcpy(d, old->d + x->off, n); /* written, and yet the same */
	} else {
		make_bytes(d, n);
	}
}

/* Change `old` at some places: what was done, and the new file. */
static size_t make_splices(const struct file *old, struct pfs_splice *list, struct file *out)
{
	size_t n = 1 + roll(roll(2) ? 1 : SPLICES_MAX), done = 0, pos = 0;

	out->n = 0;
	for (size_t i = 0; i < n; i++) {
		struct pfs_splice *x = &list[done];
		size_t left = old->n - pos, gap = roll(3) ? roll(left + 1) : a_length(left);
		size_t room = SIZE_MAX_HERE - out->n - left;

		*x = (struct pfs_splice){ .off = pos + gap };
		x->old_len = roll(12) ? a_length(left - gap) : left - gap;
		x->new_len = roll(3) == 0 ? x->old_len : a_length(room);
		memcpy(out->d + out->n, old->d + pos, gap);
		out->n += gap;
		new_bytes(out->d + out->n, x->new_len, old, x);
		out->n += x->new_len;
		pos = x->off + x->old_len;
		done++;
		if (pos == old->n)
			break;
	}
	memcpy(out->d + out->n, old->d + pos, old->n - pos);
	out->n += old->n - pos;
	return done;
}

/* What kinds of file come by: counted now and then, for the last line. */
static void look_at(const struct pfs_content *c)
{
	struct pfs_seqwalk w = { 0 };
	bool forced = false, hole = false;
	struct pfs_error err = { 0 };

	seen.sampled++;
	if (c->form != PFS_CONTENT_SEQ)
		return;
	CHECK(pfs_seqwalk_init(&w, st, &c->id, c->size, &err) == 0, "%s", err.text);
	for (uint64_t off = 0; off < c->size; off = pfs_seqwalk_end(&w, 0)) {
		CHECK(pfs_seqwalk_seek(&w, 0, off, &err) == 0, "%s", err.text);
		forced |= pfs_seqwalk_item(&w, 0)->kind == PFS_SEQNODE_DATA_FORCED;
		hole |= pfs_seqwalk_item(&w, 0)->kind == PFS_SEQNODE_HOLE;
	}
	seen.sequences++;
	seen.forced += forced;
	seen.holes += hole;
	seen.levels[w.root_level]++;
	pfs_seqwalk_fini(&w);
}

/* The chunks and holes of a file, with where nodes end. */
static void spell(const char *what, const struct pfs_content *c)
{
	struct pfs_seqwalk w = { 0 };

	fprintf(stderr, "%s: form %d, %" PRIu64 " bytes", what, c->form, c->size);
	if (c->form == PFS_CONTENT_SEQ && pfs_seqwalk_init(&w, st, &c->id, c->size, NULL) == 0) {
		for (uint64_t off = 0, end = 0; off < c->size; off = pfs_seqwalk_end(&w, 0)) {
			if (pfs_seqwalk_seek(&w, 0, off, NULL) < 0)
				break;
			if (off == end)
				fprintf(stderr, "\n ");
			end = w.frames[0].start + w.frames[0].node.bytes;
			fprintf(stderr, " %c%" PRIu64, "DFH"[pfs_seqwalk_item(&w, 0)->kind], off);
		}
	}
	fprintf(stderr, "\n");
	pfs_seqwalk_fini(&w);
}

static void explain(const struct file *old, const struct file *is, const struct pfs_splice *list,
		    size_t n)
{
	fprintf(stderr, "case %lu of seed %" PRIu64 ": %zu bytes become %zu\n", cases_done,
		begun_with, old->n, is->n);
	for (size_t i = 0; i < n; i++)
		fprintf(stderr, "  at %" PRIu64 ": %" PRIu64 " bytes give way to %" PRIu64 "%s\n",
			list[i].off, list[i].old_len, list[i].new_len,
			list[i].zeros ? " zeros" : "");
}

static void one_case(const struct file *old, const struct pfs_content *base, struct file *is,
		     struct pfs_content *out)
{
	struct pfs_splice list[SPLICES_MAX];
	size_t n = make_splices(old, list, is);
	struct pfs_error err = { 0 };
	struct pfs_content want, was = *base;
	int rc = pfs_content_splice(st, base, list, n, read_file, is, out, &err);

	if (rc < 0)
		explain(old, is, list, n);
	CHECK(rc == 0, "%s", err.text);
	CHECK(pfs_content_from_bytes(st, is->d, is->n, &want, &err) == 0, "%s", err.text);
	if (!pfs_content_equal(out, &want)) {
		explain(old, is, list, n);
		spell("was", &was);
		spell("spliced", out);
		spell("anew", &want);
	}
	CHECK(pfs_content_equal(out, &want), "spliced and written anew differ");
	seen.bytes += is->n;
	if (cases_done++ % 32 == 0)
		look_at(out);
}

/* A file that is changed again and again. */
static void one_life(unsigned long most)
{
	static struct file files[2];
	struct pfs_content content;
	struct pfs_error err = { 0 };

	files[0].n = a_size();
	make_bytes(files[0].d, files[0].n);
	CHECK(pfs_content_from_bytes(st, files[0].d, files[0].n, &content, &err) == 0, "%s",
	      err.text);
	for (unsigned long i = 0; i < most && (i < 2 || roll(12)); i++)
		one_case(&files[i % 2], &content, &files[1 - i % 2], &content);
}

static uint64_t number(int argc, char **argv, int i, const char *name, uint64_t otherwise)
{
	const char *text = argc > i ? argv[i] : getenv(name);

	return text && *text ? strtoull(text, NULL, 10) : otherwise;
}

int main(int argc, char **argv)
{
	uint64_t cases = number(argc, argv, 1, "PFS_SPLICE_CASES", SPLICE_CASES);

	begun_with = seed =
		number(argc, argv, 2, "PFS_SPLICE_SEED", (uint64_t)time(NULL) * 1000003 + 1);
	printf("%" PRIu64 " cases, seed %" PRIu64 "\n", cases, seed);
	fflush(stdout);
	while (cases_done < cases) {
		unsigned long until = cases_done + STORE_CASES;

		CHECK(pfs_store_open_mem(&st, NULL) == 0, "a store in memory");
		while (cases_done < until && cases_done < cases)
			one_life(cases - cases_done);
		pfs_store_close(&st);
	}
	printf("of %lu files: %lu sequences, %lu with forced cuts, %lu with holes, "
	       "levels %lu %lu %lu %lu\n",
	       seen.sampled, seen.sequences, seen.forced, seen.holes, seen.levels[0],
	       seen.levels[1], seen.levels[2], seen.levels[3]);
	printf("%.0f bytes a file, %.0f asked for\n", (double)seen.bytes / (double)cases_done,
	       (double)seen.asked / (double)cases_done);
	return 0;
}
