#include "store/adoption.h"
#include "store/packset.h"
#include "store/packwriter.h"
#include "store/repack.h"
#include "store/store_i.h"
#include "../scratch.h"

#include <criterion/criterion.h>
#include <glob.h>
#include <inttypes.h>
#include <unistd.h>

#define SMALL  600u /* objects of some hundred bytes */
#define PIECES 12u  /* of an adopted file */
#define PIECE  50000u
#define LARGE  40000u

struct house {
	struct scratch dir;
	struct pfs_store *st;
	struct pfs_repack *r;
};

static void up(struct house *s, uint32_t after)
{
	struct pfs_error err = { 0 };
	char path[300];

	snprintf(path, sizeof(path), "%s/store", s->dir.path);
	cr_assert_eq(pfs_store_open(path, &s->st, &err), 0, "%s", err.text);
	cr_assert_eq(pfs_repack_new(s->st, after, &s->r, &err), 0, "%s", err.text);
}

static void down(struct house *s)
{
	pfs_repack_free(&s->r);
	pfs_store_close(&s->st);
}

static void reopen(struct house *s)
{
	uint32_t after = pfs_repack_after(s->r);

	down(s);
	up(s, after);
}

static void house_open(struct house *s)
{
	pfs_packwriter_set_targets(128 << 10, 128 << 10);
	s->dir = scratch_new();
	up(s, 0);
}

static void house_fini(struct house *s)
{
	down(s);
	scratch_fini(&s->dir);
}

/* Text of one kind: alone it compresses by half, many together by far more. */
static size_t small_text(unsigned char out[1000], unsigned i)
{
	return (size_t)snprintf((char *)out, 1000,
				"/* part %u of %u: what follows is the same in all files */\n"
				"#include <stdio.h>\n#include <stdlib.h>\n\n"
				"int part_%u(int argc, char **argv)\n{\n"
				"\tprintf(\"part %%d of %%s\\n\", argc, argv[%u]);\n"
				"\treturn %u * argc;\n}\n",
				i, i * 7919, i, i % 10, i * 31);
}

static size_t large_text(unsigned char *out, size_t len, unsigned seed)
{
	size_t n = 0;

	while (n + 100 < len)
		n += (size_t)snprintf((char *)out + n, 100, "line %zu of text %u, %zx\n", n, seed,
				      n * 2654435761u * (seed + 1));
	memset(out + n, '.', len - n);
	return len;
}

static struct pfs_id put(struct house *s, const void *data, size_t len, const struct pfs_id *near)
{
	struct pfs_store_item item = { .data = data, .len = len, .near = near };
	struct pfs_error err = { 0 };

	cr_assert_eq(pfs_store_put_batch(s->st, PFS_KIND_CHUNK, &item, 1, &err), 0, "%s", err.text);
	return item.id;
}

static void sync_all(struct house *s)
{
	struct pfs_error err = { 0 };

	cr_assert_eq(pfs_store_sync(s->st, &err), 0, "%s", err.text);
}

static void put_small(struct house *s, unsigned from, unsigned to)
{
	unsigned char data[1000];

	for (unsigned i = from; i < to; i++)
		put(s, data, small_text(data, i), NULL);
	sync_all(s);
}

static void expect(struct house *s, const void *data, size_t len)
{
	PFS_AUTO(pfs_object_unref) const struct pfs_object *o = NULL;
	struct pfs_error err = { 0 };
	struct pfs_id id;

	pfs_store_id(s->st, PFS_KIND_CHUNK, data, len, &id);
	cr_assert_eq(pfs_store_get(s->st, PFS_KIND_CHUNK, &id, &o, &err), 0, "%s", err.text);
	cr_assert(o->len == len && memcmp(o->data, data, len) == 0, "other bytes");
}

static void expect_small(struct house *s, unsigned from, unsigned to)
{
	unsigned char data[1000];

	for (unsigned i = from; i < to; i++)
		expect(s, data, small_text(data, i));
}

static void piece(unsigned char out[PIECE], bool random, unsigned i)
{
	if (random)
		scratch_fill(out, PIECE, 900 + i);
	else
		large_text(out, PIECE, i);
}

/* Every third piece is the same, as in a file with holes. */
static void piece_or_hole(unsigned char out[PIECE], unsigned i)
{
	piece(out, false, i % 3 == 0 ? 0 : i);
}

static void adopt_pieces(struct house *s, void (*make)(unsigned char out[PIECE], unsigned i))
{
	struct pfs_adoption *a = NULL;
	struct pfs_error err = { 0 };
	unsigned char data[PIECE];
	char path[300];
	int fd;

	snprintf(path, sizeof(path), "%s/file", s->dir.path);
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	cr_assert(fd >= 0);
	cr_assert_eq(pfs_adoption_begin(s->st, &a, &err), 0, "%s", err.text);
	for (unsigned i = 0; i < PIECES; i++) {
		struct pfs_store_item item = { .data = data, .len = PIECE };

		make(data, i);
		cr_assert_eq(write(fd, data, PIECE), PIECE);
		cr_assert_eq(pfs_adoption_add(a, i * PIECE, &item, 1, &err), 0, "%s", err.text);
	}
	close(fd);
	cr_assert_eq(pfs_adoption_commit(&a, AT_FDCWD, path, &err), 0, "%s", err.text);
	cr_assert_eq(unlink(path), 0);
	sync_all(s);
}

static void random_piece(unsigned char out[PIECE], unsigned i)
{
	piece(out, true, i);
}

static void text_piece(unsigned char out[PIECE], unsigned i)
{
	piece(out, false, i);
}

static void adopt(struct house *s, bool random)
{
	adopt_pieces(s, random ? random_piece : text_piece);
}

static void expect_pieces(struct house *s, bool random)
{
	unsigned char data[PIECE];

	for (unsigned i = 0; i < PIECES; i++) {
		piece(data, random, i);
		expect(s, data, PIECE);
	}
}

static size_t adopted_files(struct house *s)
{
	char pattern[400];
	size_t n = 0;
	glob_t found;

	snprintf(pattern, sizeof(pattern), "%s/store/packs/a/*/*.p?", s->dir.path);
	if (glob(pattern, 0, NULL, &found) == 0) {
		n = found.gl_pathc;
		globfree(&found);
	}
	return n;
}

/* Steps until there is nothing more to do. */
static struct pfs_repack_done repack(struct house *s, uint64_t budget)
{
	const struct pfs_repack_options o = { .budget = budget };
	struct pfs_repack_done done = { 0 };
	struct pfs_error err = { 0 };
	int rc = 1;

	for (unsigned steps = 0; rc == 1; steps++) {
		cr_assert_lt(steps, 10000, "no end");
		rc = pfs_repack_step(s->r, &o, &done, &err);
		cr_assert_geq(rc, 0, "%s", err.text);
	}
	return done;
}

static void tell(void *arg, const char *damage)
{
	fprintf(stderr, "damage: %s\n", damage);
}

static void expect_whole(struct house *s)
{
	struct pfs_error err = { 0 };

	cr_expect_eq(pfs_store_check(s->st, tell, NULL, &err), 0, "%s", err.text);
}

static struct pfs_store_stats stats_of(struct house *s)
{
	struct pfs_store_stats stats;

	pfs_store_stats(s->st, &stats);
	return stats;
}

Test(repack, compresses_adopted_files_and_lets_others_be)
{
	struct house s;
	struct pfs_repack_done done;
	struct pfs_store_stats before, after;

	house_open(&s);
	adopt(&s, false);
	adopt(&s, true);
	before = stats_of(&s);
	cr_assert_eq(before.adopted_files, 2);
	done = repack(&s, 100000);
	after = stats_of(&s);
	cr_expect_eq(done.packs_rewritten, 1);
	cr_expect_eq(done.freed_bytes, PIECES * PIECE);
	cr_expect_lt(done.written_bytes, PIECES * PIECE / 2);
	cr_expect_eq(after.adopted_files, 1, "the random one stays, the other goes");
	cr_expect_eq(adopted_files(&s), 2, "its file and its table");
	cr_expect_lt(after.pack_bytes, before.pack_bytes - PIECES * PIECE / 2);
	cr_expect_eq(after.objects, before.objects);
	expect_pieces(&s, false);
	expect_pieces(&s, true);
	expect_whole(&s);
	reopen(&s);
	expect_pieces(&s, false);
	expect_pieces(&s, true);
	expect_whole(&s);
	house_fini(&s);
}

/* What was put is told of by runs, as it is after some hundred thousand objects. */
static void index_all(struct house *s)
{
	sync_all(s);
	for (unsigned ms = 0; stats_of(s).index_runs == 0; ms++) {
		cr_assert_lt(ms, 10000, "no run is made");
		usleep(1000);
		sync_all(s);
	}
}

/* Which of its places is told depends on who is asked: the index, or the list of the pack. */
Test(repack, moves_what_a_file_has_more_than_once)
{
	unsigned char data[PIECE];
	struct house s;

	pfs_packset_set_batch(1);
	for (unsigned read_before = 0; read_before < 3; read_before++) {
		house_open(&s);
		adopt_pieces(&s, piece_or_hole);
		index_all(&s);
		for (unsigned i = 0; i < read_before; i++) {
			piece_or_hole(data, i);
			expect(&s, data, PIECE);
		}
		cr_expect_eq(repack(&s, 10000000).packs_rewritten, 1);
		for (unsigned i = 0; i < PIECES; i++) {
			piece_or_hole(data, i);
			expect(&s, data, PIECE);
		}
		expect_whole(&s);
		house_fini(&s);
	}
}

Test(repack, looks_at_a_pack_once)
{
	struct house s;
	struct pfs_repack_done done;

	house_open(&s);
	adopt(&s, true);
	put_small(&s, 0, SMALL);
	done = repack(&s, 1 << 20);
	cr_assert_gt(done.packs_seen, 1);
	done = repack(&s, 1 << 20);
	cr_expect_eq(done.packs_rewritten, 0, "what comes of it is as it should be");
	done = repack(&s, 1 << 20);
	cr_expect_eq(done.packs_seen, 0);
	reopen(&s);
	done = repack(&s, 1 << 20);
	cr_expect_eq(done.packs_seen, 0, "after a restart neither");
	adopt(&s, false);
	done = repack(&s, 1 << 20);
	cr_expect_eq(done.packs_rewritten, 1, "but at what is new");
	house_fini(&s);
}

Test(repack, bundles_small_chunks)
{
	struct house s;
	struct pfs_repack_done done;
	struct pfs_store_stats before, after;

	house_open(&s);
	put_small(&s, 0, SMALL);
	before = stats_of(&s);
	cr_assert_gt(before.packs, 1);
	done = repack(&s, 1 << 20);
	after = stats_of(&s);
	cr_expect_gt(done.packs_rewritten, 0);
	cr_expect_lt(done.written_bytes, done.freed_bytes * 2 / 3);
	cr_expect_gt(after.bundled, SMALL / 2);
	cr_expect_eq(after.objects, before.objects);
	expect_small(&s, 0, SMALL);
	expect_whole(&s);
	reopen(&s);
	expect_small(&s, 0, SMALL);
	expect_whole(&s);
	house_fini(&s);
}

/* Bases go into bundles, what leans on them stays a delta. */
Test(repack, keeps_deltas_and_their_bases)
{
	struct house s;
	struct pfs_store_stats before, after;
	unsigned char base[7000], edited[7000];
	struct pfs_id id;

	house_open(&s);
	for (unsigned i = 0; i < 40; i++) {
		scratch_fill(base, sizeof(base), 4000 + i);
		id = put(&s, base, sizeof(base), NULL);
		sync_all(&s);
		memcpy(edited, base, sizeof(base));
		memcpy(edited + 3000, "edited", 6);
		put(&s, edited, sizeof(edited), &id);
	}
	put_small(&s, 0, SMALL);
	before = stats_of(&s);
	cr_assert_eq(before.deltas, 40);
	repack(&s, 64 << 10);
	after = stats_of(&s);
	cr_expect_eq(after.deltas, 40);
	cr_expect_gt(after.bundled, 0);
	reopen(&s);
	for (unsigned i = 0; i < 40; i++) {
		scratch_fill(base, sizeof(base), 4000 + i);
		memcpy(edited, base, sizeof(base));
		memcpy(edited + 3000, "edited", 6);
		expect(&s, base, sizeof(base));
		expect(&s, edited, sizeof(edited));
	}
	expect_small(&s, 0, SMALL);
	expect_whole(&s);
	house_fini(&s);
}

/* After every step of a few records, with the store closed and opened in between. */
Test(repack, goes_on_where_it_was_stopped)
{
	const struct pfs_repack_options o = { .budget = 30000 };
	struct pfs_repack_done done = { 0 };
	struct pfs_error err = { 0 };
	struct house s;
	unsigned steps = 0;

	house_open(&s);
	adopt(&s, false);
	put_small(&s, 0, SMALL);
	while (pfs_repack_step(s.r, &o, &done, &err) == 1) {
		cr_assert_lt(++steps, 1000, "no end");
		expect_pieces(&s, false);
		reopen(&s);
	}
	cr_expect_gt(steps, 5);
	cr_expect_eq(stats_of(&s).adopted_files, 0);
	cr_expect_lt(done.written_bytes, PIECES * PIECE / 2, "nothing is copied twice");
	expect_pieces(&s, false);
	expect_small(&s, 0, SMALL);
	expect_whole(&s);
	house_fini(&s);
}

/* A small store would never fill a pack. */
Test(repack, finishes_a_pack_when_that_pays)
{
	const unsigned many = 26000;
	struct pfs_store_stats before, after;
	struct pfs_repack_done done;
	struct house s;

	house_open(&s);
	pfs_packwriter_set_targets(64 << 20, 64 << 20);
	put_small(&s, 0, many);
	before = stats_of(&s);
	cr_assert_gt(before.pack_bytes, 5 << 20);
	cr_assert_eq(before.bundled, 0);
	done = repack(&s, 1 << 20);
	after = stats_of(&s);
	cr_expect_gt(done.packs_rewritten, 0);
	cr_expect_eq(after.objects, many);
	cr_expect_eq(after.bundled, many);
	cr_expect_lt(after.pack_bytes, before.pack_bytes * 2 / 3);
	done = repack(&s, 1 << 20);
	cr_expect_eq(done.packs_seen, 0, "what is left is as it should be");
	reopen(&s);
	expect_small(&s, 0, many);
	expect_whole(&s);
	house_fini(&s);
}

static bool at_once(void *arg)
{
	return true;
}

Test(repack, does_nothing_when_told_to_stop)
{
	const struct pfs_repack_options o = { .budget = 1 << 20, .stop = at_once };
	struct pfs_repack_done done = { 0 };
	struct house s;

	house_open(&s);
	adopt(&s, false);
	cr_expect_eq(pfs_repack_step(s.r, &o, &done, NULL), 1);
	cr_expect_eq(done.read_bytes, 0);
	cr_expect_eq(stats_of(&s).adopted_files, 1);
	house_fini(&s);
}

Test(repack, leaves_young_packs_alone)
{
	const struct pfs_repack_options o = { .budget = 1 << 20, .rest_ns = 3600000000000 };
	struct pfs_repack_done done = { 0 };
	struct house s;

	house_open(&s);
	adopt(&s, false);
	cr_expect_eq(pfs_repack_step(s.r, &o, &done, NULL), 0);
	cr_expect_eq(done.packs_seen, 0);
	done = repack(&s, 1 << 20);
	cr_expect_eq(done.packs_rewritten, 1, "they are looked at when they are old enough");
	house_fini(&s);
}

/* What lies at the end of the first adopted file is no longer what it was. */
static void damage_adopted(struct house *s)
{
	char pattern[400];
	glob_t found;
	int fd;

	snprintf(pattern, sizeof(pattern), "%s/store/packs/a/*/*.pk", s->dir.path);
	cr_assert_eq(glob(pattern, 0, NULL, &found), 0);
	fd = open(found.gl_pathv[0], O_WRONLY);
	cr_assert(fd >= 0 && pwrite(fd, "other", 5, (PIECES - 1) * PIECE + 77) == 5);
	close(fd);
	globfree(&found);
}

Test(repack, keeps_a_pack_of_which_something_is_damaged)
{
	struct pfs_repack_done done;
	struct house s;
	unsigned char data[PIECE];

	house_open(&s);
	adopt(&s, false);
	damage_adopted(&s);
	done = repack(&s, 1 << 20);
	cr_expect_eq(done.packs_damaged, 1);
	cr_expect_eq(done.packs_rewritten, 0);
	cr_expect_eq(adopted_files(&s), 2);
	for (unsigned i = 0; i < PIECES - 1; i++) {
		piece(data, false, i);
		expect(&s, data, PIECE);
	}
	house_fini(&s);
}

/* A whole copy is the only hope for an object that is damaged where it is found. */
Test(repack, keeps_the_copy_of_an_object_that_is_damaged_elsewhere)
{
	struct pfs_repack_done done;
	struct pfs_store_parts parts;
	struct pfs_place place;
	struct pfs_id id;
	struct house s;
	unsigned char data[PIECE];

	house_open(&s);
	adopt(&s, false);
	cr_assert(pfs_store_parts(s.st, &parts));
	piece(data, false, 3);
	pfs_store_id(s.st, PFS_KIND_CHUNK, data, PIECE, &id);
	for (int i = 0; i < 2; i++) {
		cr_assert(pfs_packset_find(parts.set, &id, &place));
		pfs_packset_doubt(parts.set, &id, &place);
		if (i == 0)
			put(&s, data, PIECE, NULL);
	}
	done = repack(&s, 1 << 20);
	cr_expect_eq(done.packs_damaged, 1);
	cr_expect_eq(adopted_files(&s), 2);
	house_fini(&s);
}

Test(repack, has_nothing_to_do_without_packs)
{
	const struct pfs_repack_options o = { .budget = 1 << 20 };
	struct pfs_repack_done done = { 0 };
	struct pfs_repack *r = NULL;
	struct pfs_store *st = NULL;

	cr_assert_eq(pfs_store_open_mem(&st, NULL), 0);
	cr_assert_eq(pfs_repack_new(st, 0, &r, NULL), 0);
	cr_expect_eq(pfs_repack_step(r, &o, &done, NULL), 0);
	pfs_repack_free(&r);
	pfs_store_close(&st);
}
