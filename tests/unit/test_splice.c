#include "tree/splice.h"
#include "format/seqnode.h"
#include "scratch.h"

#include <criterion/criterion.h>

static struct pfs_store *st;
static struct scratch dir;
static uint64_t seed;

static uint64_t roll(uint64_t below)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return (seed * 0x2545f4914f6cdd1d >> 11) % below;
}

static void setup(void)
{
	seed = 20261;
	dir = scratch_new();
	cr_assert_eq(pfs_store_open(dir.path, &st, NULL), 0);
}

static void teardown(void)
{
	pfs_store_close(&st);
	scratch_fini(&dir);
}

TestSuite(splice, .init = setup, .fini = teardown, .timeout = 300);

/* A file in memory that remembers what was asked of it. */
struct file {
	unsigned char *d;
	size_t n;
	uint64_t asked;
};

static int read_file(void *arg, uint64_t off, void *data, size_t len, struct pfs_error *err)
{
	struct file *f = arg;

	cr_assert(off <= f->n && len <= f->n - off);
	memcpy(data, f->d + off, len);
	f->asked += len;
	return 0;
}

static struct pfs_content write_anew(const struct file *f)
{
	struct pfs_content c;
	struct pfs_error err = { 0 };

	cr_assert_eq(pfs_content_from_bytes(st, f->d, f->n, &c, &err), 0, "%s", err.text);
	return c;
}

/* Bytes of several kinds, with zeros around the length of a hole. */
static void make_bytes(unsigned char *d, size_t n)
{
	for (size_t at = 0, len; at < n; at += len) {
		uint64_t kind = roll(8), byte = 1 + roll(255);

		len = kind == 0 ? 65536 - 2 + roll(5) : 1 + roll(kind == 1 ? 900000 : 200000);
		len = len < n - at ? len : n - at;
		if (kind < 2)
			memset(d + at, kind ? (int)byte : 0, len);
		else if (kind == 2)
			for (size_t i = 0; i < len; i++)
				d[at + i] =
					i < 1000 ? (unsigned char)roll(256) : d[at + i - 1 - byte];
		else
			scratch_fill(d + at, len, roll(1u << 30));
	}
}

/* Change `old` at up to three places. */
static size_t change(const struct file *old, struct pfs_splice *list, struct file *out)
{
	size_t n = 1 + roll(3), pos = 0;

	out->n = 0;
	for (size_t i = 0; i < n; i++) {
		size_t left = old->n - pos, gap = roll(left + 1);
		struct pfs_splice *x = &list[i];

		*x = (struct pfs_splice){ .off = pos + gap, .new_len = roll(4) ? roll(100) : 0 };
		x->old_len = roll(2) ? x->new_len : roll(roll(3) ? 1000 : 300000);
		x->old_len = x->old_len < left - gap ? x->old_len : left - gap;
		if (roll(8) == 0)
			x->new_len = roll(300000);
		memcpy(out->d + out->n, old->d + pos, gap);
		x->zeros = roll(4) == 0;
		if (x->zeros)
			memset(out->d + out->n + gap, 0, x->new_len);
		else
			make_bytes(out->d + out->n + gap, x->new_len);
		out->n += gap + x->new_len;
		pos = x->off + x->old_len;
	}
	memcpy(out->d + out->n, old->d + pos, old->n - pos);
	out->n += old->n - pos;
	return n;
}

Test(splice, is_what_writing_anew_gives_however_often_it_is_done)
{
	static const size_t sizes[] = { 0, 100, 300, 50000, 262145, 1000000, 2000000 };
	struct file files[2] = { { malloc(20000000), 0, 0 }, { malloc(20000000), 0, 0 } };

	for (size_t round = 0; round < 42; round++) {
		struct pfs_content c, want;

		files[0].n = sizes[round % 7];
		make_bytes(files[0].d, files[0].n);
		c = write_anew(&files[0]);
		for (unsigned i = 0; i < 50; i++) {
			struct file *was = &files[i % 2], *is = &files[1 - i % 2];
			struct pfs_splice list[3];
			size_t n = change(was, list, is);
			struct pfs_error err = { 0 };

			cr_assert_eq(pfs_content_splice(st, &c, list, n, read_file, is, &c, &err),
				     0, "%s", err.text);
			want = write_anew(is);
			cr_assert(pfs_content_equal(&c, &want), "round %zu, change %u: %zu bytes",
				  round, i, is->n);
		}
	}
	free(files[0].d);
	free(files[1].d);
}

Test(splice, one_byte_of_a_large_file_costs_a_short_scan_and_a_few_objects)
{
	struct file f = { .n = 64 << 20, .d = malloc(64 << 20) };
	struct pfs_store_stats before, after;
	struct pfs_content base, c, want;
	struct pfs_error err = { 0 };

	scratch_fill(f.d, f.n, 1);
	base = write_anew(&f);
	for (int i = 0; i < 20; i++) {
		struct pfs_splice x = { .off = roll(f.n), .old_len = 1, .new_len = 1 };

		f.d[x.off] ^= 1;
		f.asked = 0;
		pfs_store_stats(st, &before);
		cr_assert_eq(pfs_content_splice(st, &base, &x, 1, read_file, &f, &c, &err), 0, "%s",
			     err.text);
		pfs_store_stats(st, &after);
		cr_expect_leq(f.asked, 600000);
		cr_expect_leq(after.objects - before.objects, 8);
		if (i == 0) {
			want = write_anew(&f);
			cr_expect(pfs_content_equal(&c, &want));
		}
		f.d[x.off] ^= 1;
	}
	free(f.d);
}

/* A file nobody can hold in memory: a word every 64 KiB and a bit. */
static uint64_t word_at(uint64_t i)
{
	return i * (8 + 65536) + i / 3;
}

static const uint64_t words = 60000;
static uint64_t changed, asked;

static int read_words(void *arg, uint64_t off, void *data, size_t len, struct pfs_error *err)
{
	unsigned char *p = data;

	asked += len;
	memset(p, 0, len);
	for (uint64_t i = off / word_at(1); i < words && word_at(i) < off + len; i++) {
		uint64_t word = i == changed ? UINT64_MAX : 0x8000000000000080 | i << 8;

		for (unsigned k = 0; k < 8; k++)
			if (word_at(i) + k >= off && word_at(i) + k < off + len)
				p[word_at(i) + k - off] = (unsigned char)(word >> 8 * k);
	}
	return 0;
}

static struct pfs_content write_words(uint64_t size)
{
	PFS_AUTO(pfs_content_writer_close) struct pfs_content_writer *w = NULL;
	struct pfs_content c;

	cr_assert_eq(pfs_content_writer_open(st, &w, NULL), 0);
	for (uint64_t i = 0; i < words; i++) {
		unsigned char word[8];

		read_words(NULL, word_at(i), word, 8, NULL);
		cr_assert_eq(pfs_content_write(w, word, 8, NULL), 0);
		cr_assert_eq(
			pfs_content_write_hole(
				w, (i + 1 < words ? word_at(i + 1) : size) - word_at(i) - 8, NULL),
			0);
	}
	cr_assert_eq(pfs_content_finish(w, &c, NULL), 0);
	return c;
}

Test(splice, holes_are_not_read_and_ends_move_however_far)
{
	uint64_t size = word_at(words), longer = size + (1ULL << 40);
	struct pfs_splice grow = { .off = size, .new_len = 1ULL << 40, .zeros = true };
	struct pfs_splice shrink = { .off = size, .old_len = 1ULL << 40 };
	struct pfs_content base, c, want;
	struct pfs_error err = { 0 };

	changed = UINT64_MAX;
	base = write_words(size);
	for (int i = 0; i < 10; i++) {
		struct pfs_splice x = { .old_len = 8, .new_len = 8 };

		changed = roll(words);
		x.off = word_at(changed);
		asked = 0;
		cr_assert_eq(pfs_content_splice(st, &base, &x, 1, read_words, NULL, &c, &err), 0,
			     "%s", err.text);
		cr_expect_leq(asked, 1000000, "%llu bytes", (unsigned long long)asked);
		want = write_words(size);
		cr_expect(pfs_content_equal(&c, &want), "word %llu", (unsigned long long)changed);
	}
	changed = UINT64_MAX;
	asked = 0;
	cr_assert_eq(pfs_content_splice(st, &base, &grow, 1, read_words, NULL, &c, &err), 0, "%s",
		     err.text);
	want = write_words(longer);
	cr_expect(pfs_content_equal(&c, &want), "a longer file");
	cr_assert_eq(pfs_content_splice(st, &c, &shrink, 1, read_words, NULL, &c, &err), 0, "%s",
		     err.text);
	cr_expect(pfs_content_equal(&c, &base), "and the short one again");
	cr_expect_leq(asked, 1000000, "%llu bytes", (unsigned long long)asked);
}

Test(splice, cutting_a_large_file_short_gives_every_form)
{
	static const size_t sizes[] = { 0, 1, 256, 257, 40000, 262144, 262145, 700000, 3000000 };
	struct file f = { .n = 8 << 20, .d = malloc(8 << 20) };
	struct pfs_content base, c, want;
	struct pfs_error err = { 0 };

	scratch_fill(f.d, f.n, 2);
	base = write_anew(&f);
	for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
		struct pfs_splice cut = { .off = sizes[i], .old_len = (8 << 20) - sizes[i] };
		struct pfs_splice back = { .off = sizes[i], .new_len = (8 << 20) - sizes[i] };

		f.n = sizes[i];
		cr_assert_eq(pfs_content_splice(st, &base, &cut, 1, read_file, &f, &c, &err), 0,
			     "%s", err.text);
		want = write_anew(&f);
		cr_expect(pfs_content_equal(&c, &want), "%zu bytes are left", sizes[i]);
		f.n = 8 << 20;
		cr_assert_eq(pfs_content_splice(st, &c, &back, 1, read_file, &f, &c, &err), 0, "%s",
			     err.text);
		cr_expect(pfs_content_equal(&c, &base), "%zu bytes grow again", sizes[i]);
	}
	free(f.d);
}

static int read_nothing(void *arg, uint64_t off, void *data, size_t len, struct pfs_error *err)
{
	return pfs_fail(err, PFS_E_IO, "the disk is gone");
}

Test(splice, refuses_what_cannot_be_and_leaves_out_untouched)
{
	static const struct {
		struct pfs_splice list[2];
		int want;
		const char *why;
	} rows[] = {
		{ { { 0, 1, 1, false }, { 0, 1, 1, false } }, PFS_E_INVALID, "one place twice" },
		{ { { 5, 5, 0, false }, { 9, 1, 1, false } }, PFS_E_INVALID, "they overlap" },
		{ { { 9, 1, 1, false }, { 5, 1, 1, false } }, PFS_E_INVALID, "out of order" },
		{ { { 0, 1, 1, false }, { 900000, 0, 1, false } }, PFS_E_INVALID, "past the end" },
		{ { { 0, 1, 1, false }, { 9, UINT64_MAX, 1, false } },
		  PFS_E_INVALID,
		  "more than there is" },
		{ { { 0, 1, 1, false }, { 9, 0, PFS_FILE_SIZE_MAX, true } },
		  PFS_E_LIMIT,
		  "larger than files get" },
		{ { { 0, 1, 1, false }, { 9, 1, 1, false } }, PFS_E_IO, "no bytes to be had" },
	};
	struct file f = { .n = 800000, .d = malloc(800000) };
	struct pfs_content base, c = { .size = 77 };

	scratch_fill(f.d, f.n, 3);
	base = write_anew(&f);
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct pfs_error err = { 0 };
		int rc = pfs_content_splice(st, &base, rows[i].list, 2, read_nothing, NULL, &c,
					    &err);

		cr_expect_eq(rc, rows[i].want, "%s: %d, %s", rows[i].why, rc, err.text);
		cr_expect_eq(c.size, 77, "%s: wrote to out", rows[i].why);
	}
	free(f.d);
}

/* A root that names something else than it says. */
Test(splice, refuses_a_base_that_lies)
{
	PFS_AUTO(pfs_buf_fini) struct pfs_buf b = PFS_BUF_INIT(100000);
	struct pfs_seqnode_entry child = { .kind = PFS_SEQNODE_CHILD, .chunks = 9 };
	struct file f = { .n = 800000, .d = malloc(800000) };
	struct pfs_splice x = { .off = 700000, .old_len = 1, .new_len = 1 };
	struct pfs_content base, lie, c = { .size = 77 };

	scratch_fill(f.d, f.n, 4);
	base = write_anew(&f);
	child.id = base.id;
	child.bytes = f.n;
	cr_assert_eq(pfs_seqnode_encode(&child, 1, 1, 0, &b, NULL), 0);
	lie = base;
	cr_assert_eq(pfs_store_put(st, PFS_KIND_SEQNODE, b.data, b.len, &lie.id, NULL), 0);
	cr_expect_eq(pfs_content_splice(st, &lie, &x, 1, read_file, &f, &c, NULL), PFS_E_CORRUPT,
		     "sums that are not those of the child");
	lie = base;
	lie.size++;
	cr_expect_eq(pfs_content_splice(st, &lie, &x, 1, read_file, &f, &c, NULL), PFS_E_CORRUPT,
		     "another size");
	lie.id.bytes[0] ^= 1;
	cr_expect_eq(pfs_content_splice(st, &lie, &x, 1, read_file, &f, &c, NULL), PFS_E_CORRUPT,
		     "no root");
	cr_expect_eq(c.size, 77);
	free(f.d);
}
