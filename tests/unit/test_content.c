#include "tree/content.h"
#include "tree/hints.h"
#include "store/adoption.h"
#include "format/seqnode.h"
#include "base/io.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static struct pfs_store *st;
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
	seed = 424242;
	cr_assert_eq(pfs_store_open_mem(&st, NULL), 0);
}

static void teardown(void)
{
	pfs_store_close(&st);
}

TestSuite(content, .init = setup, .fini = teardown, .timeout = 300);

static void fill(unsigned char *d, size_t n)
{
	for (size_t i = 0; i < n; i++)
		d[i] = (unsigned char)roll(256);
}

/* Bytes with zero runs around the length of a hole, at any alignment. */
static unsigned char *make_data(size_t n, bool holes)
{
	unsigned char *d = malloc(n + 1);

	fill(d, n);
	for (size_t i = roll(100000); holes && i < n; i += roll(200000)) {
		size_t run = roll(3) ? 65536 - 2 + roll(5) : roll(300000);

		run = run < n - i ? run : n - i;
		memset(d + i, 0, run);
		i += run;
	}
	return d;
}

static struct pfs_content from_bytes(const void *d, size_t n)
{
	struct pfs_content c;
	struct pfs_error err = { 0 };

	cr_assert_eq(pfs_content_from_bytes(st, d, n, &c, &err), 0, "%s", err.text);
	return c;
}

static void check_reads(const struct pfs_content *c, const unsigned char *d, size_t n)
{
	PFS_AUTO(pfs_content_reader_close) struct pfs_content_reader *r = NULL;
	unsigned char *got = malloc(n + 1);
	struct pfs_error err = { 0 };
	size_t len, off = 0;

	cr_assert_eq(pfs_content_reader_open(st, c, &r, &err), 0, "%s", err.text);
	cr_assert_eq(pfs_content_read(r, 0, got, n + 1, &len, &err), 0, "%s", err.text);
	cr_assert(len == n && memcmp(got, d, n) == 0, "%zu bytes at once", n);
	for (; off < n; off += len) {
		cr_assert_eq(pfs_content_read(r, off, got, 1 + roll(50000), &len, &err), 0);
		cr_assert(len > 0 && memcmp(got, d + off, len) == 0, "in a row, at %zu", off);
	}
	for (int i = 0; i < 50 && n > 0; i++) {
		off = roll(n);
		cr_assert_eq(pfs_content_read(r, off, got, 1 + roll(5000), &len, &err), 0);
		cr_assert(len > 0 && memcmp(got, d + off, len) == 0, "anywhere, at %zu", off);
	}
	cr_assert_eq(pfs_content_read(r, n, got, 1, &len, &err), 0);
	cr_assert_eq(len, 0);
	cr_assert_eq(pfs_content_read(r, UINT64_MAX, got, 1, &len, &err), 0);
	cr_assert_eq(len, 0);
	free(got);
}

static const size_t sizes[] = { 0,     1,     255,   256,    257,    4096,    40959,
				40960, 65536, 65537, 131072, 300000, 2000000, 9000000 };

Test(content, reads_back_what_was_written_at_any_offset)
{
	for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
		for (int holes = 0; holes < 2; holes++) {
			unsigned char *d = make_data(sizes[i], holes);
			struct pfs_content c = from_bytes(d, sizes[i]);

			cr_expect_eq(c.size, sizes[i]);
			cr_expect_eq(c.form == PFS_CONTENT_INLINE, sizes[i] <= 256);
			check_reads(&c, d, sizes[i]);
			free(d);
		}
	}
}

/* Write in random steps; runs of zeros sometimes as holes. */
static struct pfs_content write_in_steps(const unsigned char *d, size_t n, size_t step)
{
	PFS_AUTO(pfs_content_writer_close) struct pfs_content_writer *w = NULL;
	struct pfs_content c;
	struct pfs_error err = { 0 };

	cr_assert_eq(pfs_content_writer_open(st, &w, &err), 0);
	for (size_t off = 0; off < n;) {
		size_t len = 1 + roll(step), zeros = 0;

		if (len > n - off)
			len = n - off;
		while (zeros < len && d[off + zeros] == 0)
			zeros++;
		if (zeros > 0 && roll(2)) {
			len = zeros;
			cr_assert_eq(pfs_content_write_hole(w, len, &err), 0, "%s", err.text);
		} else {
			cr_assert_eq(pfs_content_write(w, d + off, len, &err), 0, "%s", err.text);
		}
		off += len;
	}
	cr_assert_eq(pfs_content_finish(w, &c, &err), 0, "%s", err.text);
	return c;
}

Test(content, is_a_function_of_the_bytes_however_they_were_written)
{
	for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
		for (int round = 0; round < 4; round++) {
			unsigned char *d = make_data(sizes[i], round > 0);
			struct pfs_content want = from_bytes(d, sizes[i]), got;

			got = write_in_steps(d, sizes[i], 3 * sizes[i] + 1);
			cr_assert(pfs_content_equal(&got, &want), "%zu bytes, large steps",
				  sizes[i]);
			got = write_in_steps(d, sizes[i], 100000);
			cr_assert(pfs_content_equal(&got, &want), "%zu bytes, middle steps",
				  sizes[i]);
			if (sizes[i] < 500000) {
				got = write_in_steps(d, sizes[i], 50);
				cr_assert(pfs_content_equal(&got, &want), "%zu bytes, small steps",
					  sizes[i]);
			}
			free(d);
		}
	}
}

/* Leaf entries of a small sequence: "D" data, "F" forced, "H" hole, with lengths. */
static void spell(const struct pfs_content *c, char *out)
{
	PFS_AUTO(pfs_object_unref) const struct pfs_object *o = NULL;
	struct pfs_seqnode node;
	struct pfs_seqnode_iter it;

	cr_assert_eq(c->form, PFS_CONTENT_SEQ);
	cr_assert_eq(pfs_store_get(st, PFS_KIND_SEQNODE, &c->id, &o, NULL), 0);
	cr_assert_eq(pfs_seqnode_check(o->data, o->len, NULL), 0);
	cr_assert_eq(pfs_seqnode_open(o->data, o->len, &node, NULL), 0);
	pfs_seqnode_iter_init(&it, &node);
	*out = 0;
	while (pfs_seqnode_iter_next(&it, NULL) > 0)
		out += sprintf(out, "%c%llu ", "DFHC"[it.e.kind], (unsigned long long)it.e.bytes);
}

Test(content, long_runs_of_zeros_are_holes_and_short_ones_are_data)
{
	static const struct {
		size_t before, zeros, after;
		const char *want; /* NULL: one chunk */
		const char *why;
	} rows[] = {
		{ 10, 65536, 0, "D10 H65536 ", "a hole at the end" },
		{ 0, 65536, 10, "H65536 D10 ", "a hole at the start" },
		{ 7, 65536, 9, "D7 H65536 D9 ", "a hole at an odd place" },
		{ 0, 65536, 0, "H65536 ", "nothing but a hole" },
		{ 0, 1000000, 0, "H1000000 ", "a hole is one entry, however long" },
		{ 10000, 65535, 10000, NULL, "one byte short of a hole" },
		{ 0, 65535, 0, NULL, "one byte short of a hole, nothing else" },
		{ 300, 70000, 300, "D300 H70000 D300 ", "data ends where zeros begin" },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		size_t n = rows[i].before + rows[i].zeros + rows[i].after;
		unsigned char *d = calloc(n, 1);
		struct pfs_content c;
		char got[1000];

		memset(d, 'x', rows[i].before);
		memset(d + n - rows[i].after, 'y', rows[i].after);
		c = from_bytes(d, n);
		if (rows[i].want) {
			spell(&c, got);
			cr_expect_str_eq(got, rows[i].want, "%s", rows[i].why);
		} else {
			cr_expect_eq(c.form, PFS_CONTENT_CHUNK, "%s", rows[i].why);
		}
		check_reads(&c, d, n);
		free(d);
	}
}

Test(content, tells_where_data_and_holes_begin)
{
	static const struct {
		uint64_t off, data, hole;
	} rows[] = {
		{ 0, 0, 300 },
		{ 299, 299, 300 },
		{ 300, 100300, 300 },
		{ 100299, 100300, 100299 },
		{ 100300, 100300, 100600 },
		{ 100599, 100599, 100600 },
		{ 100600, 100600, 100600 },
		{ UINT64_MAX, 100600, 100600 },
	};
	unsigned char *d = calloc(100600, 1);

	memset(d, 'a', 300);
	memset(d + 100300, 'b', 300);
	for (int sequence = 0; sequence < 2; sequence++) {
		PFS_AUTO(pfs_content_reader_close) struct pfs_content_reader *r = NULL;
		struct pfs_content c = from_bytes(d, sequence ? 100600 : 300);
		uint64_t got;

		cr_assert_eq(pfs_content_reader_open(st, &c, &r, NULL), 0);
		for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
			uint64_t data = sequence            ? rows[i].data
					: rows[i].off < 300 ? rows[i].off
							    : 300;

			cr_assert_eq(pfs_content_map(r, rows[i].off, false, &got, NULL), 0);
			cr_expect_eq(got, data, "data at %llu", (unsigned long long)rows[i].off);
			cr_assert_eq(pfs_content_map(r, rows[i].off, true, &got, NULL), 0);
			cr_expect_eq(got, sequence ? rows[i].hole : 300, "hole at %llu",
				     (unsigned long long)rows[i].off);
		}
	}
	free(d);
}

static int temp_file(void)
{
	const char *dir = getenv("TMPDIR");
	int fd = open(dir ? dir : "/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

	cr_assert_geq(fd, 0);
	return fd;
}

Test(content, a_local_file_gives_the_same_as_its_bytes_and_comes_back_with_its_holes)
{
	for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
		size_t n = sizes[i], got_len;
		unsigned char *d = make_data(n, true), *got = malloc(n + 1);
		PFS_AUTO(pfs_fd_close) int in = temp_file(), out = temp_file();
		struct pfs_content want = from_bytes(d, n), c;
		struct pfs_error err = { 0 };
		struct stat sb;

		for (size_t off = 0; off < n; off += 4096) { /* zero pages are never written */
			size_t len = n - off < 4096 ? n - off : 4096;
			static const unsigned char zero[4096];

			if (memcmp(d + off, zero, len) != 0)
				cr_assert_eq(pfs_io_pwrite(in, d + off, len, off, NULL), 0);
		}
		cr_assert_eq(ftruncate(in, (off_t)n), 0);
		cr_assert_eq(pfs_content_from_fd(st, in, n, NULL, &c, &err), 0, "%s", err.text);
		cr_assert(pfs_content_equal(&c, &want), "%zu bytes", n);
		cr_assert_eq(pfs_content_from_fd(st, in, n + 100, NULL, &c, &err), 0, "%s",
			     err.text);
		cr_assert(pfs_content_equal(&c, &want), "%zu bytes, asked for more", n);

		/* What was in the file before must not shine through holes. */
		memset(got, 'z', n);
		cr_assert_eq(pfs_io_pwrite(out, got, n / 2, 0, NULL), 0);
		cr_assert_eq(pfs_content_to_fd(st, &c, n, out, &err), 0, "%s", err.text);
		cr_assert_eq(pfs_io_pread(out, got, n + 1, 0, &got_len, NULL), 0);
		cr_assert(got_len == n && memcmp(got, d, n) == 0, "%zu bytes written out", n);
		cr_assert_eq(fstat(out, &sb), 0);
		free(got);
		free(d);
	}
}

Test(content, the_first_part_of_a_file_is_the_content_of_that_part)
{
	size_t n = 1000000;
	unsigned char *d = make_data(n, true);
	PFS_AUTO(pfs_fd_close) int in = temp_file();
	struct pfs_error err = { 0 };

	cr_assert_eq(pfs_io_pwrite(in, d, n, 0, NULL), 0);
	for (int i = 0; i < 30; i++) {
		size_t part = roll(n);
		struct pfs_content want = from_bytes(d, part), c;

		cr_assert_eq(pfs_content_from_fd(st, in, part, NULL, &c, &err), 0, "%s", err.text);
		cr_assert(pfs_content_equal(&c, &want), "the first %zu bytes", part);
	}
	free(d);
}

/* Data of `data` bytes, a hole of `hole`, and so on `n` times. */
static struct pfs_content make_sparse(unsigned n, uint64_t data, uint64_t hole)
{
	unsigned char *bytes = malloc(data + 1);
	struct pfs_content_writer *w;
	struct pfs_content c;

	cr_assert_eq(pfs_content_writer_open(st, &w, NULL), 0);
	for (unsigned i = 0; i < n; i++) {
		memset(bytes, 1, data); /* a zero beside a hole would be of the hole */
		cr_assert_eq(pfs_content_write(w, bytes, data, NULL), 0);
		cr_assert_eq(pfs_content_write_hole(w, hole, NULL), 0);
	}
	cr_assert_eq(pfs_content_finish(w, &c, NULL), 0);
	pfs_content_writer_close(&w);
	free(bytes);
	return c;
}

Test(content, tells_how_much_of_it_is_data)
{
	static const struct {
		unsigned n;
		uint64_t data, hole;
		bool exact;
	} rows[] = {
		{ 1, 100, 0, true },          { 1, 3000000, 0, true },
		{ 1, 0, 1ULL << 40, true },   { 1, 4096, 1ULL << 40, true },
		{ 300, 1000, 1 << 20, true }, { 100, 300000, 70000, true },
		{ 4000, 4, 1 << 20, true },   { 40000, 4, 1 << 20, false },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct pfs_content c = make_sparse(rows[i].n, rows[i].data, rows[i].hole);
		struct pfs_content_reader *r;
		uint64_t want = rows[i].n * rows[i].data, got;

		cr_assert_eq(pfs_content_reader_open(st, &c, &r, NULL), 0);
		cr_assert_eq(pfs_content_data_size(r, &got, NULL), 0);
		if (rows[i].exact)
			cr_expect_eq(got, want, "row %zu: %llu, not %llu", i,
				     (unsigned long long)got, (unsigned long long)want);
		else
			cr_expect(got >= want && got < c.size / 2, "row %zu: %llu", i,
				  (unsigned long long)got);
		pfs_content_reader_close(&r);
	}
}

Test(content, a_file_of_holes_may_be_as_large_as_files_get)
{
	PFS_AUTO(pfs_content_writer_close) struct pfs_content_writer *w = NULL;
	PFS_AUTO(pfs_content_reader_close) struct pfs_content_reader *r = NULL;
	struct pfs_content c;
	struct pfs_error err = { 0 };
	char end[8] = "zzzzzzz";
	size_t len;

	cr_assert_eq(pfs_content_writer_open(st, &w, &err), 0);
	cr_assert_eq(pfs_content_write(w, "start", 5, &err), 0);
	cr_assert_eq(pfs_content_write_hole(w, PFS_FILE_SIZE_MAX - 8, &err), 0);
	cr_assert_eq(pfs_content_write(w, "end", 3, &err), 0);
	cr_expect_eq(pfs_content_write(w, "!", 1, &err), PFS_E_LIMIT);
	cr_expect_eq(pfs_content_write_hole(w, UINT64_MAX, &err), PFS_E_LIMIT);
	cr_assert_eq(pfs_content_finish(w, &c, &err), 0, "%s", err.text);
	cr_expect_eq(c.size, PFS_FILE_SIZE_MAX);
	cr_assert_eq(pfs_content_reader_open(st, &c, &r, &err), 0);
	cr_assert_eq(pfs_content_read(r, PFS_FILE_SIZE_MAX - 4, end, 8, &len, &err), 0);
	cr_expect(len == 4 && memcmp(end, "\0end", 4) == 0);
}

/* Piece i of a sparse file: a word, then a hole whose length tells pieces apart. */
static uint64_t piece_start(uint64_t i)
{
	return i * (4 + 65536) + i / 3;
}

Test(content, a_sequence_of_many_levels_reads_back_in_a_row_and_anywhere)
{
	PFS_AUTO(pfs_content_writer_close) struct pfs_content_writer *w = NULL;
	PFS_AUTO(pfs_content_reader_close) struct pfs_content_reader *r = NULL;
	PFS_AUTO(pfs_object_unref) const struct pfs_object *root = NULL;
	const uint64_t n = 120000;
	struct pfs_content c;
	struct pfs_error err = { 0 };
	uint32_t word, got;
	size_t len;

	cr_assert_eq(pfs_content_writer_open(st, &w, &err), 0);
	for (uint64_t i = 0; i < n; i++) {
		word = (uint32_t)i | 0x80000080; /* zeros neither before nor behind it */
		cr_assert_eq(pfs_content_write(w, &word, 4, &err), 0, "%s", err.text);
		cr_assert_eq(
			pfs_content_write_hole(w, piece_start(i + 1) - piece_start(i) - 4, &err),
			0);
	}
	cr_assert_eq(pfs_content_finish(w, &c, &err), 0, "%s", err.text);
	cr_expect_eq(c.size, piece_start(n));
	cr_assert_eq(pfs_store_get(st, PFS_KIND_SEQNODE, &c.id, &root, NULL), 0);
	cr_expect_geq(root->data[3], 2, "levels 0 to %d", root->data[3]);
	cr_assert_eq(pfs_content_reader_open(st, &c, &r, &err), 0);
	for (uint64_t k = 0; k < 2 * n; k++) {
		uint64_t i = k < n ? k : roll(n);

		word = (uint32_t)i | 0x80000080;
		cr_assert_eq(pfs_content_read(r, piece_start(i), &got, 4, &len, &err), 0, "%s",
			     err.text);
		cr_assert(len == 4 && got == word, "piece %llu", (unsigned long long)i);
	}
}

Test(content, an_edit_in_the_middle_shares_all_other_chunks)
{
	size_t n = 8000000;
	unsigned char *d = make_data(n, false);
	struct pfs_store_stats before, after;

	from_bytes(d, n);
	pfs_store_stats(st, &before);
	d[n / 2] ^= 1;
	from_bytes(d, n);
	pfs_store_stats(st, &after);
	cr_expect_leq(after.objects - before.objects, 5, "%llu new objects",
		      (unsigned long long)(after.objects - before.objects));
	free(d);
}

Test(content, what_is_given_up_while_chunks_are_on_their_way_leaves_nothing_behind)
{
	size_t n = 9000000;
	unsigned char *d = make_data(n, false);
	struct pfs_content want;

	for (size_t part = 4500000; part <= n; part += 1500000) {
		PFS_AUTO(pfs_content_writer_close) struct pfs_content_writer *w = NULL;

		cr_assert_eq(pfs_content_writer_open(st, &w, NULL), 0);
		cr_assert_eq(pfs_content_write(w, d, part, NULL), 0);
	}
	want = from_bytes(d, n);
	check_reads(&want, d, n);
	free(d);
}

/* --- what a new chunk resembles ------------------------------------------- */

struct told {
	struct pfs_hints hints;
	struct pfs_piece v[2000];
	size_t n;
};

static int tell(void *arg, struct pfs_piece *pieces, size_t n, struct pfs_error *err)
{
	struct told *t = arg;

	pfs_hints_tell(&t->hints, pieces, n);
	return 0;
}

static int keep(void *arg, const struct pfs_piece *p, struct pfs_error *err)
{
	struct told *t = arg;

	cr_assert_lt(t->n, sizeof(t->v) / sizeof(*t->v));
	t->v[t->n++] = *p;
	return 0;
}

/* Write `d` over `old` and listen. */
static struct told *write_over(const struct pfs_content *old, const unsigned char *d, size_t n)
{
	static const struct pfs_cutter_ops ops = { .near = tell, .take = keep };
	struct pfs_cutter *c = malloc(sizeof(*c));
	struct told *t = calloc(1, sizeof(*t));

	pfs_hints_init(&t->hints, st, old);
	pfs_cutter_init(c, st, &ops, t);
	for (size_t off = 0, len; off < n; off += len) {
		unsigned char *room;

		len = n - off < 1 << 20 ? n - off : 1 << 20;
		cr_assert_eq(pfs_cutter_room(c, len, &room, NULL), 0);
		memcpy(room, d + off, len);
		cr_assert_eq(pfs_cutter_filled(c, len, NULL), 0);
	}
	cr_assert_eq(pfs_cutter_end(c, NULL), 0);
	cr_assert_eq(pfs_cutter_flush(c, NULL), 0);
	pfs_cutter_fini(c);
	pfs_hints_fini(&t->hints);
	free(c);
	return t;
}

/* Where in `d` the bytes of an object are, about `off` or anywhere; n: nowhere. */
static size_t place_of(const struct pfs_id *id, const unsigned char *d, size_t n)
{
	PFS_AUTO(pfs_object_unref) const struct pfs_object *o = NULL;
	const unsigned char *p;

	cr_assert_eq(pfs_store_get(st, PFS_KIND_CHUNK, id, &o, NULL), 0);
	p = memmem(d, n, o->data, 64);
	return p ? (size_t)(p - d) : n;
}

/* Of the chunks that are new, how many were told an old one that lay near; `*fresh` is how many there are. */
static size_t count_told(const struct told *t, const struct told *was, const unsigned char *old,
			 size_t n, int64_t shift_at, int64_t shift, size_t *fresh)
{
	size_t good = 0;

	*fresh = 0;
	for (size_t i = 0; i < t->n; i++) {
		const struct pfs_piece *p = &t->v[i];
		bool known = p->bytes == 1 || p->kind == PFS_SEQNODE_HOLE; /* one: was in a hole */
		int64_t at = (int64_t)p->off;

		for (size_t k = 0; k < was->n && !known; k++)
			known = pfs_id_equal(&was->v[k].id, &p->id);
		if (known)
			continue;
		++*fresh;
		if (pfs_id_is_zero(&p->near))
			continue;
		at -= at >= shift_at ? shift : 0;
		good += llabs((int64_t)place_of(&p->near, old, n) - at) < 200000;
	}
	return good;
}

Test(content, a_new_chunk_is_told_the_old_one_between_the_same_neighbours)
{
	const size_t n = 40000000;
	unsigned char *old = make_data(n, true), *d = malloc(2 * n);
	struct pfs_content c = from_bytes(old, n);
	struct told *was = write_over(NULL, old, n), *t;
	size_t fresh, good;

	memcpy(d, old, n); /* a byte here and there */
	for (size_t i = 0; i < n; i += 1 + roll(400000))
		d[i] ^= 1;
	t = write_over(&c, d, n);
	good = count_told(t, was, old, n, 0, 0, &fresh);
	cr_expect(fresh > 100 && good > fresh * 9 / 10, "%zu of %zu", good, fresh);
	free(t);

	/* 11 MB gone at the start, and edits behind */
	t = write_over(&c, d + 11000000, n - 11000000);
	good = count_told(t, was, old, n, 0, -11000000, &fresh);
	cr_expect(fresh > 70 && good > fresh * 8 / 10, "%zu of %zu", good, fresh);
	free(t);

	memmove(d + 19000000, d + 10000000, n - 10000000); /* 9 MB put in */
	fill(d + 10000000, 9000000);
	t = write_over(&c, d, n + 9000000);
	good = count_told(t, was, old, n, 19000000, 9000000, &fresh);
	cr_expect(fresh > 200 && good > (fresh - 150) * 8 / 10, "%zu of %zu", good, fresh);
	free(t);

	fill(d, n); /* something else altogether */
	t = write_over(&c, d, n);
	for (size_t i = 200; i < t->n; i++)
		cr_expect(pfs_id_is_zero(&t->v[i].near), "chunk %zu was told a stranger", i);
	free(t);
	free(was);
	free(old);
	free(d);
}

/* --- adoption --------------------------------------------------------------- */

Test(content, a_survey_names_what_writing_would_have_stored)
{
	for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
		size_t n = sizes[i];
		unsigned char *d = make_data(n, true);
		char path[] = "/tmp/pfs-survey-XXXXXX";
		PFS_AUTO(pfs_fd_close) int fd = mkstemp(path);
		struct pfs_store_stats before, after;
		struct pfs_adoption *a = NULL;
		struct pfs_content want, c;
		struct pfs_error err = { 0 };

		cr_assert_geq(fd, 0);
		cr_assert_eq(pfs_io_pwrite(fd, d, n, 0, NULL), 0);
		pfs_store_stats(st, &before);
		cr_assert_eq(pfs_adoption_begin(st, &a, NULL), 0);
		cr_assert_eq(pfs_content_survey_fd(st, fd, n, NULL, a, &c, &err), 0, "%s",
			     err.text);
		pfs_store_stats(st, &after);
		cr_expect(after.objects - before.objects <= (c.form == PFS_CONTENT_SEQ),
			  "%zu bytes: chunks were stored", n);
		cr_assert_eq(pfs_adoption_commit(&a, AT_FDCWD, path, &err), 0, "%s", err.text);
		check_reads(&c, d, n);
		want = from_bytes(d, n);
		cr_expect(pfs_content_equal(&c, &want), "%zu bytes", n);
		cr_assert_eq(unlink(path), 0);
		free(d);
	}
}

/* A root whose parts are not what it says they are. */
Test(content, refuses_sequences_that_lie)
{
	struct pfs_id chunk, seq, inner;
	PFS_AUTO(pfs_buf_fini) struct pfs_buf b = PFS_BUF_INIT(100000);
	struct pfs_seqnode_entry leaf[2] = {
		{ .kind = PFS_SEQNODE_DATA, .bytes = 1000, .chunks = 1 },
		{ .kind = PFS_SEQNODE_HOLE, .bytes = 100000 }
	};
	struct pfs_seqnode_entry child = { .kind = PFS_SEQNODE_CHILD,
					   .bytes = 101000,
					   .chunks = 1 };
	struct {
		const char *why;
		struct pfs_content c;
	} rows[6] = {
		{ .why = "chunk shorter than its entry" }, { .why = "root of another size" },
		{ .why = "node that is not there" },       { .why = "a level is skipped" },
		{ .why = "a chunk for a node" },           { .why = "one chunk of another size" }
	};
	char data[101000];

	cr_assert_eq(pfs_store_put(st, PFS_KIND_CHUNK, "short", 5, &chunk, NULL), 0);
	leaf[0].id = chunk;
	cr_assert_eq(pfs_seqnode_encode(leaf, 2, 0, 0, &b, NULL), 0);
	cr_assert_eq(pfs_store_put(st, PFS_KIND_SEQNODE, b.data, b.len, &seq, NULL), 0);
	rows[0].c = (struct pfs_content){ .size = 101000, .form = PFS_CONTENT_SEQ, .id = seq };
	rows[1].c = (struct pfs_content){ .size = 101001, .form = PFS_CONTENT_SEQ, .id = seq };
	rows[2].c =
		(struct pfs_content){ .size = 101000, .form = PFS_CONTENT_SEQ, .id = { { 1 } } };
	pfs_buf_clear(&b);
	child.id = seq;
	cr_assert_eq(pfs_seqnode_encode(&child, 1, 2, 0, &b, NULL), 0);
	cr_assert_eq(pfs_store_put(st, PFS_KIND_SEQNODE, b.data, b.len, &inner, NULL), 0);
	rows[3].c = (struct pfs_content){ .size = 101000, .form = PFS_CONTENT_SEQ, .id = inner };
	rows[4].c = (struct pfs_content){ .size = 5, .form = PFS_CONTENT_SEQ, .id = chunk };
	rows[5].c = (struct pfs_content){ .size = 1000, .form = PFS_CONTENT_CHUNK, .id = chunk };
	for (size_t i = 0; i < 6; i++) {
		PFS_AUTO(pfs_content_reader_close) struct pfs_content_reader *r = NULL;
		size_t len = 77;
		int rc = pfs_content_reader_open(st, &rows[i].c, &r, NULL);

		if (rc == 0)
			rc = pfs_content_read(r, 0, data, sizeof(data), &len, NULL);
		cr_expect(rc == PFS_E_CORRUPT || rc == PFS_E_NOTFOUND, "%s: %d", rows[i].why, rc);
		cr_expect_eq(len, 77, "%s: wrote to out", rows[i].why);
	}
}

/* The same bytes are read before and after another place failed, wherever a node is wrong. */
Test(content, a_place_that_cannot_be_read_does_not_change_the_one_before)
{
	static const unsigned char masks[] = { 1, 2, 3, 0x40, 0xff };
	static unsigned char data[2][1000];
	PFS_AUTO(pfs_buf_fini) struct pfs_buf b = PFS_BUF_INIT(100000);
	struct pfs_seqnode_entry leaf[2];
	size_t failed = 0;

	for (size_t i = 0; i < 2; i++) {
		fill(data[i], sizeof(data[i]));
		leaf[i] = (struct pfs_seqnode_entry){ .bytes = sizeof(data[i]), .chunks = 1 };
		cr_assert_eq(pfs_store_put(st, PFS_KIND_CHUNK, data[i], sizeof(data[i]),
					   &leaf[i].id, NULL),
			     0);
	}
	cr_assert_eq(pfs_seqnode_encode(leaf, 2, 0, 0, &b, NULL), 0);
	for (size_t i = 0; i < b.len * sizeof(masks); i++) {
		PFS_AUTO(pfs_content_reader_close) struct pfs_content_reader *r = NULL;
		struct pfs_content c = { .size = 2000, .form = PFS_CONTENT_SEQ };
		unsigned char got[100] = { 0 }, again[100] = { 0 };
		unsigned char *at = &b.data[i / sizeof(masks)], mask = masks[i % sizeof(masks)];
		size_t len;
		int rc;

		*at ^= mask;
		cr_assert_eq(pfs_store_put(st, PFS_KIND_SEQNODE, b.data, b.len, &c.id, NULL), 0);
		*at ^= mask;
		if (pfs_content_reader_open(st, &c, &r, NULL) < 0 ||
		    pfs_content_read(r, 0, got, 100, &len, NULL) < 0)
			continue;
		rc = pfs_content_read(r, 1000, again, 100, &len, NULL);
		failed += rc < 0;
		cr_expect_eq(pfs_content_read(r, 0, again, 100, &len, NULL), 0, "byte %zu", i / 5);
		cr_expect_eq(memcmp(got, again, 100), 0, "byte %zu", i / 5);
	}
	cr_expect_gt(failed, 0);
}

/* --- pfs-tree(5), EXAMPLES ------------------------------------------------ */

static void load_golden(const char *path, struct pfs_buf *out)
{
	struct pfs_error err = { 0 };

	cr_assert_eq(pfs_io_load(AT_FDCWD, path, out, &err), 0, "%s", err.text);
}

Test(content, writes_the_golden_sequence)
{
	PFS_AUTO(pfs_buf_fini) struct pfs_buf want = PFS_BUF_INIT(1 << 20);
	PFS_AUTO(pfs_object_unref) const struct pfs_object *got = NULL;
	static unsigned char d[100600];
	struct pfs_content c;

	memset(d, 'a', 300);
	memset(d + 100300, 'a', 300);
	c = from_bytes(d, sizeof(d));
	load_golden(PFS_GOLDEN "/tree-v1/seq", &want);
	cr_assert_eq(c.form, PFS_CONTENT_SEQ);
	cr_assert_eq(pfs_store_get(st, PFS_KIND_SEQNODE, &c.id, &got, NULL), 0);
	cr_expect(got->len == want.len && memcmp(got->data, want.data, want.len) == 0);
}

Test(content, cuts_noise_where_the_golden_cuts_are)
{
	PFS_AUTO(pfs_buf_fini) struct pfs_buf want = PFS_BUF_INIT(1 << 20);
	static unsigned char d[1 << 20];
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	struct pfs_content c;
	char got[4000], *p = got;

	cr_assert(EVP_DigestInit_ex(ctx, EVP_shake256(), NULL) &&
		  EVP_DigestUpdate(ctx, "pfs cuts", 8) && EVP_DigestFinalXOF(ctx, d, sizeof(d)));
	EVP_MD_CTX_free(ctx);
	c = from_bytes(d, sizeof(d));
	spell(&c, got);
	for (char *q = got; *q; q++) /* "D94023 " is the line "94023" */
		if (*q != 'D')
			*p++ = *q == ' ' ? '\n' : *q;
	*p = 0;
	load_golden(PFS_GOLDEN "/tree-v1/cuts", &want);
	cr_expect_str_eq(got, pfs_buf_str(&want));
}
