#include "store/adoption.h"
#include "store/health.h"
#include "store/packset.h"
#include "store/renew.h"
#include "store/store_i.h"
#include "base/limits.h"
#include "store/packwriter.h"
#include "../scratch.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <fcntl.h>
#include <glob.h>
#include <unistd.h>

static struct scratch dir;
static struct pfs_store *st;

static void setup(void)
{
	struct pfs_error err = { 0 };

	dir = scratch_new();
	cr_assert_eq(pfs_store_open(dir.path, &st, &err), 0, "%s", err.text);
}

static void teardown(void)
{
	pfs_store_close(&st);
	scratch_fini(&dir);
}

TestSuite(health, .init = setup, .fini = teardown, .timeout = 120);

struct told {
	unsigned reports, lost, mended;
	char text[1024];
	struct pfs_id id;
};

static void report(void *arg, const char *damage)
{
	struct told *t = arg;

	snprintf(t->text, sizeof(t->text), "%s", damage);
	t->reports++;
}

static void lost(void *arg, enum pfs_kind kind, const struct pfs_id *id)
{
	struct told *t = arg;

	t->id = *id;
	t->lost++;
}

static void mended(void *arg, const char *what)
{
	((struct told *)arg)->mended++;
}

static void mended_object(void *arg, enum pfs_kind kind, const struct pfs_id *id)
{
	struct told *t = arg;

	t->id = *id;
	t->mended++;
}

static int examine(bool thorough, bool mend, struct told *t)
{
	const struct pfs_examination x = { .thorough = thorough,
					   .mend = mend,
					   .report = report,
					   .lost = lost,
					   .mended = mended,
					   .arg = t };
	struct pfs_error err = { 0 };
	int rc;

	memset(t, 0, sizeof(*t));
	rc = pfs_store_examine(st, &x, &err);
	cr_assert_geq(rc, 0, "%s", err.text);
	return rc;
}

static char damaged[800]; /* the file that was damaged last */

static bool damage_file(const char *path, const char *bytes)
{
	static char all[1 << 20];
	FILE *f = fopen(path, "r+");
	size_t n;
	char *at;

	cr_assert(f, "%s", path);
	n = fread(all, 1, sizeof(all), f);
	at = memmem(all, n, bytes, strlen(bytes));
	if (at) {
		fseek(f, at - all, SEEK_SET);
		fputc(*at ^ 1, f);
		snprintf(damaged, sizeof(damaged), "%s", path);
	}
	fclose(f);
	return at;
}

/* Turn a bit where these bytes stand in a pack below this folder. */
static bool damage_below(const char *folder, const char *bytes)
{
	DIR *d = opendir(folder);
	bool done = false;
	struct dirent *e;

	cr_assert(d, "%s", folder);
	while (!done && (e = readdir(d))) {
		char path[800];

		snprintf(path, sizeof(path), "%.500s/%s", folder, e->d_name);
		if (e->d_name[0] == '.')
			continue;
		done = e->d_type == DT_DIR ? damage_below(path, bytes) : damage_file(path, bytes);
	}
	closedir(d);
	return done;
}

static void damage(const char *bytes)
{
	cr_assert(damage_below(dir.path, bytes), "\"%s\" is in no pack", bytes);
}

static struct pfs_id put(const char *text)
{
	struct pfs_error err = { 0 };
	struct pfs_id id;

	cr_assert_eq(pfs_store_put(st, PFS_KIND_CHUNK, text, strlen(text), &id, &err), 0, "%s",
		     err.text);
	return id;
}

static void reopen(void)
{
	struct pfs_error err = { 0 };

	pfs_store_close(&st);
	cr_assert_eq(pfs_store_open(dir.path, &st, &err), 0, "%s", err.text);
}

Test(health, a_damaged_object_is_named_and_doubted)
{
	struct pfs_id a = put("the first object"), b = put("the second object");
	struct told t;

	cr_assert_eq(pfs_store_sync(st, NULL), 0);
	cr_expect_eq(examine(true, false, &t), 0);
	damage("the first");
	cr_expect_eq(examine(false, false, &t), 0, "records are not read by a quick look");
	cr_expect(pfs_store_has(st, PFS_KIND_CHUNK, &a));
	cr_expect_eq(examine(true, false, &t), 1);
	cr_expect_eq(t.reports, 1);
	cr_expect(strncmp(t.text, "pack ", 5) == 0 && strstr(t.text, " at 64: "), "%s", t.text);
	/* The record cannot be trusted to tell who it is; who was found there is known. */
	cr_expect_eq(t.lost, 1);
	cr_expect_not(pfs_store_has(st, PFS_KIND_CHUNK, &a));
	cr_expect(pfs_store_has(st, PFS_KIND_CHUNK, &b));
}

Test(health, what_a_damaged_record_of_a_sealed_pack_was_is_known_from_the_footer)
{
	struct told t;
	struct pfs_id a;

	pfs_packwriter_set_targets(2000, 2000);
	a = put("the first object");
	for (int i = 0; i < 100; i++) {
		char text[64];

		snprintf(text, sizeof(text), "filling up, number %d, to seal the pack", i);
		put(text);
	}
	cr_assert_eq(pfs_store_sync(st, NULL), 0);
	damage("the first object");
	cr_expect_eq(examine(false, false, &t), 0);
	cr_expect_eq(examine(true, false, &t), 1, "%s", t.text);
	cr_expect_eq(t.lost, 1);
	cr_expect(pfs_id_equal(&t.id, &a));
	cr_expect_not(pfs_store_has(st, PFS_KIND_CHUNK, &a), "a put is to store it anew");
	put("the first object");
	cr_expect(pfs_store_has(st, PFS_KIND_CHUNK, &a));
}

Test(health, a_superblock_is_mended_from_its_other_copy)
{
	char path[400];
	struct told t;
	FILE *f;

	snprintf(path, sizeof(path), "%s/STORE", dir.path);
	for (int copy = 0; copy < 2; copy++) {
		f = fopen(path, "r+");
		cr_assert(f);
		fseek(f, copy * 4096 + 70, SEEK_SET);
		fputs("xyz", f);
		fclose(f);
		cr_expect_eq(examine(false, false, &t), 1);
		cr_expect_eq(t.reports, 1);
		cr_expect_eq(t.mended, 0);
		cr_expect_eq(examine(false, true, &t), 1);
		cr_expect_eq(t.mended, 1);
		cr_expect_eq(examine(false, true, &t), 0, "%s", t.text);
		reopen();
	}
}

/* Other objects, until the pack of what came before is sealed. */
static void fill_up(int from)
{
	for (int i = from; i < from + 100; i++) {
		char text[64];

		snprintf(text, sizeof(text), "filling up, number %d, to seal the pack", i);
		put(text);
	}
	cr_assert_eq(pfs_store_sync(st, NULL), 0);
}

Test(health, an_object_is_mended_from_another_pack)
{
	PFS_AUTO(pfs_idset_fini) struct pfs_idset wanted = { 0 };
	PFS_AUTO(pfs_object_unref) const struct pfs_object *o = NULL;
	struct pfs_id a, gone = { { 1 } };
	struct told t;
	char first[800];

	/* A second copy comes to be while the first is damaged, then they change places. */
	pfs_packwriter_set_targets(2000, 2000);
	a = put("stored twice, damaged once");
	fill_up(0);
	damage("stored twice");
	memcpy(first, damaged, sizeof(first));
	cr_expect_eq(examine(true, false, &t), 1);
	put("stored twice, damaged once");
	fill_up(200);
	damage("stored twice"); /* the second copy: the first begins with "r" by now */
	cr_assert_str_neq(damaged, first);
	cr_assert(damage_file(first, "rtored twice"), "and is whole again");
	reopen();
	cr_expect_eq(examine(true, false, &t), 1);
	cr_expect_eq(t.lost, 1);
	cr_assert_eq(pfs_idset_add(&wanted, &a, NULL), 1);
	cr_assert_eq(pfs_idset_add(&wanted, &gone, NULL), 1);
	t.mended = 0;
	cr_expect_not(pfs_store_has(st, PFS_KIND_CHUNK, &a));
	cr_expect_eq(pfs_store_mend(st, &wanted, mended_object, &t, NULL), 0);
	cr_expect_eq(t.mended, 1);
	cr_assert_eq(pfs_store_sync(st, NULL), 0);
	reopen();
	cr_expect_eq(pfs_store_get(st, PFS_KIND_CHUNK, &a, &o, NULL), 0);
}

static int count(void *arg, const struct pfs_id *id, struct pfs_error *err)
{
	++*(unsigned *)arg;
	return 0;
}

Test(health, objects_are_listed_by_kind_from_all_packs)
{
	struct pfs_id id;
	unsigned n = 0;

	pfs_packwriter_set_targets(2000, 2000);
	for (int i = 0; i < 50; i++) {
		char text[64];

		snprintf(text, sizeof(text), "number %d, of a length that fills packs soon", i);
		put(text);
		cr_assert_eq(pfs_store_put(st, PFS_KIND_COMMIT, text, strlen(text), &id, NULL), 0);
	}
	cr_assert_eq(pfs_store_list(st, PFS_KIND_COMMIT, count, &n, NULL), 0);
	cr_expect_eq(n, 50);
	reopen();
	n = 0;
	cr_assert_eq(pfs_store_list(st, PFS_KIND_COMMIT, count, &n, NULL), 0);
	cr_expect_eq(n, 50);
}

Test(health, a_store_is_examined_in_pieces)
{
	const struct pfs_examination x = { .thorough = true };
	uint32_t after = 0;
	unsigned steps = 0;

	pfs_packwriter_set_targets(2000, 2000);
	for (int i = 0; i < 100; i++) {
		char text[64];

		snprintf(text, sizeof(text), "number %d, of a length that fills packs soon", i);
		put(text);
	}
	cr_assert_eq(pfs_store_sync(st, NULL), 0);
	do {
		cr_assert_eq(pfs_store_examine_some(st, &x, &after, 1, NULL), 0);
		steps++;
	} while (after && steps < 1000);
	cr_expect(steps > 3 && steps < 1000, "%u steps", steps);
}

/* --- damaged packs --- */

static void note_lost(void *arg, enum pfs_kind kind, const struct pfs_id *id)
{
	cr_assert_geq(pfs_idset_add(arg, id, NULL), 0);
}

static void note_what(void *arg, const char *what)
{
	struct told *t = arg;

	snprintf(t->text, sizeof(t->text), "%s", what);
	t->mended++;
}

static void note_kept(void *arg, const char *what)
{
	struct told *t = arg;

	snprintf(t->text, sizeof(t->text), "%s", what);
	t->lost++;
}

static void renew(bool complete, struct told *t)
{
	const struct pfs_renewal how = {
		.complete = complete, .renewed = note_what, .kept = note_kept, .arg = t
	};
	struct pfs_error err = { 0 };

	memset(t, 0, sizeof(*t));
	cr_assert_eq(pfs_store_renew(st, &how, &err), 0, "%s", err.text);
}

static size_t fill_base(unsigned char out[6000], bool edited)
{
	scratch_fill(out, 6000, 7);
	memcpy(out, "the base", 8);
	if (edited)
		memcpy(out + 2000, "edited", 6);
	return 6000;
}

static struct pfs_id put_base(bool edited, const struct pfs_id *near)
{
	unsigned char data[6000];
	struct pfs_store_item item = { .data = data, .len = fill_base(data, edited), .near = near };
	struct pfs_error err = { 0 };

	cr_assert_eq(pfs_store_put_batch(st, PFS_KIND_CHUNK, &item, 1, &err), 0, "%s", err.text);
	return item.id;
}

/* The record of a delta is whole, and yet it cannot be read. */
Test(health, a_delta_whose_base_was_damaged_is_kept_with_it)
{
	PFS_AUTO(pfs_idset_fini) struct pfs_idset wanted = { 0 };
	PFS_AUTO(pfs_object_unref) const struct pfs_object *o = NULL;
	struct pfs_examination x = { .thorough = true, .lost = note_lost, .arg = &wanted };
	struct pfs_store_stats stats;
	struct pfs_id base, delta;
	unsigned char data[6000];
	struct told t;

	pfs_packwriter_set_targets(20000, 20000);
	base = put_base(false, NULL);
	for (int i = 0; i < 5; i++)
		fill_up(100 * i);
	delta = put_base(true, &base);
	for (int i = 5; i < 10; i++)
		fill_up(100 * i);
	pfs_store_stats(st, &stats);
	cr_assert_eq(stats.deltas, 1);
	damage("the base");
	reopen();
	cr_expect_eq(pfs_store_examine(st, &x, NULL), 1);
	cr_assert_eq(wanted.len, 2, "the base, and what leans on it");
	renew(false, &t);
	cr_expect_eq(t.mended, 0);
	cr_expect_eq(t.lost, 2, "both packs stay: %s", t.text);
	put_base(false, NULL);
	cr_assert_eq(pfs_store_mend(st, &wanted, NULL, NULL, NULL), 0);
	renew(false, &t);
	cr_expect_eq(t.mended, 2, "%s", t.text);
	cr_expect_eq(t.lost, 0, "%s", t.text);
	cr_expect_eq(examine(true, false, &t), 0, "%s", t.text);
	reopen();
	cr_expect_eq(examine(true, false, &t), 0, "%s", t.text);
	cr_assert_eq(pfs_store_get(st, PFS_KIND_CHUNK, &delta, &o, NULL), 0);
	fill_base(data, true);
	cr_expect(o->len == sizeof(data) && memcmp(o->data, data, sizeof(data)) == 0);
}

static struct pfs_id fill_piece(unsigned char out[6000], unsigned i)
{
	struct pfs_id id;

	scratch_fill(out, 6000, 50 + i);
	sprintf((char *)out, "piece %u", i);
	pfs_store_id(st, PFS_KIND_CHUNK, out, 6000, &id);
	return id;
}

/* A file of these pieces, a digit each. */
static void adopt_pieces(const char *pieces)
{
	struct pfs_adoption *a = NULL;
	struct pfs_error err = { 0 };
	unsigned char data[6000];
	char path[400];
	int fd;

	snprintf(path, sizeof(path), "%s/adoptee", dir.path);
	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	cr_assert(fd >= 0);
	cr_assert_eq(pfs_adoption_begin(st, &a, &err), 0, "%s", err.text);
	for (unsigned i = 0; pieces[i]; i++) {
		struct pfs_store_item item = { .data = data, .len = sizeof(data) };

		fill_piece(data, (unsigned)(pieces[i] - '0'));
		cr_assert_eq(write(fd, data, sizeof(data)), sizeof(data));
		cr_assert_eq(pfs_adoption_add(a, i * sizeof(data), &item, 1, &err), 0, "%s",
			     err.text);
	}
	close(fd);
	cr_assert_eq(pfs_adoption_commit(&a, AT_FDCWD, path, &err), 0, "%s", err.text);
	cr_assert_eq(unlink(path), 0);
	cr_assert_eq(pfs_store_sync(st, NULL), 0);
}

Test(health, of_an_adopted_file_with_damage_the_rest_is_moved)
{
	struct pfs_store_stats stats;
	unsigned char data[6000];
	struct pfs_id id;
	struct told t;

	adopt_pieces("0123");
	pfs_store_stats(st, &stats);
	cr_assert_eq(stats.adopted_files, 1);
	damage("piece 2");
	cr_expect_eq(examine(true, false, &t), 1);
	cr_expect_eq(t.lost, 1);
	renew(false, &t);
	cr_expect(t.mended == 0 && t.lost == 1, "%s", t.text);
	id = fill_piece(data, 2);
	cr_assert_eq(pfs_store_put(st, PFS_KIND_CHUNK, data, sizeof(data), &id, NULL), 0);
	renew(false, &t);
	cr_expect(t.mended == 1 && t.lost == 0, "%s", t.text);
	for (int again = 0; again < 2; again++) {
		cr_expect_eq(examine(true, false, &t), 0, "%s", t.text);
		pfs_store_stats(st, &stats);
		cr_expect_eq(stats.adopted_files, 0);
		for (unsigned i = 0; i < 4; i++) {
			PFS_AUTO(pfs_object_unref) const struct pfs_object *o = NULL;

			id = fill_piece(data, i);
			cr_assert_eq(pfs_store_get(st, PFS_KIND_CHUNK, &id, &o, NULL), 0);
			cr_expect_eq(memcmp(o->data, data, sizeof(data)), 0);
		}
		reopen();
	}
}

/* The file of adopted bytes (".pk"), or the table beside it. */
static int open_adopted(const char *suffix)
{
	char pattern[400];
	glob_t found;
	int fd;

	snprintf(pattern, sizeof(pattern), "%s/packs/a/*/*%s", dir.path, suffix);
	cr_assert_eq(glob(pattern, 0, NULL, &found), 0);
	fd = open(found.gl_pathv[0], O_RDWR | O_CLOEXEC);
	cr_assert_geq(fd, 0);
	globfree(&found);
	return fd;
}

static void damage_piece_at(unsigned i)
{
	int fd = open_adopted(".pk");

	cr_assert_eq(pwrite(fd, "bad", 3, i * 6000 + 3000), 3);
	close(fd);
}

/* A table that is in order, and does not tell of what it told of last. */
static void forget_last_piece(void)
{
	PFS_AUTO(pfs_packfooter_fini) struct pfs_packfooter was = { 0 }, now = { 0 };
	unsigned char header[PFS_PACKHDR_SIZE], *footer;
	struct pfs_packwalk walk = { 0 };
	struct pfs_packentry e;
	int fd = open_adopted(".pt");
	size_t len;

	pfs_packfooter_init(&was, PFS_PACK_ADOPTED);
	pfs_packfooter_init(&now, PFS_PACK_ADOPTED);
	cr_assert_eq(pread(fd, header, sizeof(header), 0), sizeof(header));
	cr_assert_eq(pfs_pack_load_footer(fd, (uint64_t)lseek(fd, 0, SEEK_END), &was, NULL), 0);
	while (pfs_packfooter_records(&now) + 1 < pfs_packfooter_records(&was)) {
		cr_assert(pfs_packfooter_next(&was, &walk, &e));
		cr_assert_eq(pfs_packfooter_add_piece(&now, &e, NULL), 0);
	}
	cr_assert_eq(pfs_pack_make_footer(header, &now, sizeof(header), &footer, &len, NULL), 0);
	cr_assert_eq(ftruncate(fd, sizeof(header)), 0);
	cr_assert_eq(pwrite(fd, footer, len, sizeof(header)), len);
	free(footer);
	close(fd);
}

static void expect_piece(unsigned i)
{
	PFS_AUTO(pfs_object_unref) const struct pfs_object *o = NULL;
	unsigned char data[6000];
	struct pfs_id id = fill_piece(data, i);
	struct pfs_error err = { 0 };

	cr_assert_eq(pfs_store_get(st, PFS_KIND_CHUNK, &id, &o, &err), 0, "%s", err.text);
	cr_expect_eq(memcmp(o->data, data, sizeof(data)), 0);
}

/* Which of its places is told nobody knows; as long as one is whole the piece is not lost. */
Test(health, an_adopted_file_with_damage_in_one_of_the_places_of_a_piece_is_rewritten)
{
	unsigned char data[6000];

	for (unsigned place = 0; place <= 3; place += 3) {
		PFS_AUTO(pfs_idset_fini) struct pfs_idset wanted = { 0 };
		struct pfs_id id = fill_piece(data, 0);
		struct told t;

		adopt_pieces("0120");
		damage_piece_at(place);
		cr_expect_eq(examine(true, false, &t), 1);
		cr_expect_eq(t.lost, 0);
		cr_expect(pfs_store_has(st, PFS_KIND_CHUNK, &id));
		expect_piece(0);
		cr_assert_eq(pfs_idset_add(&wanted, &id, NULL), 1);
		cr_assert_eq(pfs_store_mend(st, &wanted, NULL, NULL, NULL), 0);
		cr_assert_eq(pfs_store_sync(st, NULL), 0);
		renew(false, &t);
		cr_expect(t.mended == 1 && t.lost == 0, "place %u: %s", place, t.text);
		for (int again = 0; again < 2; again++) {
			cr_expect_eq(examine(true, false, &t), 0, "%s", t.text);
			for (unsigned i = 0; i < 3; i++)
				expect_piece(i);
			reopen();
		}
		teardown();
		setup();
	}
}

Test(health, a_piece_is_lost_when_each_of_its_places_is_damaged)
{
	unsigned char data[6000];
	struct pfs_id id = fill_piece(data, 0);
	struct told t;

	adopt_pieces("0120");
	damage_piece_at(0);
	damage_piece_at(3);
	for (int again = 0; again < 2; again++) {
		cr_expect_eq(examine(true, false, &t), 1);
		cr_expect_eq(t.reports, 2);
		cr_expect_eq(t.lost, 1);
		cr_expect(pfs_id_equal(&t.id, &id));
		cr_expect_not(pfs_store_has(st, PFS_KIND_CHUNK, &id));
		reopen();
		cr_expect_not(pfs_store_has(st, PFS_KIND_CHUNK, &id));
	}
	renew(true, &t);
	cr_expect(t.mended == 1 && t.lost == 0, "%s", t.text);
	cr_expect_eq(examine(true, false, &t), 0, "%s", t.text);
	for (unsigned i = 1; i < 3; i++)
		expect_piece(i);
}

/* What was put is told of by runs, as it is after some hundred thousand objects. */
static void index_all(void)
{
	struct pfs_store_stats stats = { .index_runs = 0 };

	for (unsigned ms = 0; stats.index_runs == 0; ms++) {
		cr_assert_lt(ms, 10000, "no run is made");
		usleep(1000);
		cr_assert_eq(pfs_store_sync(st, NULL), 0);
		pfs_store_stats(st, &stats);
	}
}

/* As many doubts as are remembered, all of the first pack: of more only the table knows. */
static void fill_doubts(void)
{
	struct pfs_store_parts parts;
	struct pfs_place place = { 0 };
	size_t pos = 0;

	cr_assert(pfs_store_parts(st, &parts));
	place.pack = pfs_packset_next(parts.set, &pos)->number;
	for (unsigned i = 0; i < PFS_DOUBTS_MAX; i++) {
		struct pfs_id id = { { 1 } };

		memcpy(id.bytes + 1, &i, sizeof(i));
		pfs_packset_doubt_twin(parts.set, &id, &place);
	}
	cr_assert_eq(pfs_packset_count_doubts(parts.set), PFS_DOUBTS_MAX);
}

/* A piece that is damaged in two places leaves once, whoever knows of them: the one untold is not to go with it. */
Test(health, a_damaged_pack_stays_when_more_is_found_in_it_than_it_tells_of)
{
	for (int filled = 0; filled < 2; filled++) {
		struct pfs_id untold;
		unsigned char data[6000];
		struct told t;

		untold = fill_piece(data, 3);
		adopt_pieces("01203");
		if (filled)
			fill_doubts();
		damage_piece_at(0);
		damage_piece_at(3);
		cr_expect_eq(examine(true, false, &t), 1);
		cr_expect_eq(t.lost, 1);
		forget_last_piece();
		renew(true, &t);
		cr_expect(t.mended == 0 && t.lost == 1, "%s", t.text);
		cr_expect_not_null(strstr(t.text, "does not tell where all"), "%s", t.text);
		cr_expect(pfs_store_has(st, PFS_KIND_CHUNK, &untold));
		for (unsigned i = 1; i < 4; i++)
			expect_piece(i);
		teardown();
		setup();
	}
}

/* Runs tell of one place, the list of a pack that is read often of another. */
Test(health, what_is_there_after_a_check_can_be_read_wherever_it_is_told_to_be)
{
	unsigned char data[6000];

	pfs_packset_set_batch(1);
	for (unsigned i = 0; i < 8; i++) {
		unsigned place = i % 2 ? 3 : 0, reads_before = i / 2;
		struct pfs_id id;
		struct told t;

		teardown();
		setup();
		id = fill_piece(data, 0);
		adopt_pieces("0120");
		index_all();
		damage_piece_at(place);
		cr_expect_eq(examine(true, false, &t), 1);
		reopen();
		for (unsigned k = 0; k < reads_before; k++)
			expect_piece(1 + k % 2);
		cr_expect_eq(t.lost, 0);
		cr_expect(pfs_store_has(st, PFS_KIND_CHUNK, &id), "place %u", place);
		expect_piece(0);
	}
}

/* The list of the pack is forgotten when another of its pieces is lost; the runs told another place. */
Test(health, a_piece_that_is_whole_in_one_place_is_there_after_another_was_lost)
{
	unsigned char data[6000];

	pfs_packset_set_batch(1);
	for (unsigned place = 0; place <= 3; place += 3) {
		struct pfs_id id;
		struct told t;

		teardown();
		setup();
		id = fill_piece(data, 0);
		adopt_pieces("0120");
		index_all();
		for (unsigned k = 0; k < 4; k++)
			expect_piece(1 + k % 2);
		damage_piece_at(place);
		damage_piece_at(2);
		for (int again = 0; again < 2; again++) {
			cr_expect_eq(examine(true, false, &t), 1);
			cr_expect_eq(t.reports, 2);
			cr_expect_eq(t.lost, 1);
			cr_expect(pfs_store_has(st, PFS_KIND_CHUNK, &id), "place %u", place);
			expect_piece(0);
			expect_piece(1);
			reopen();
			expect_piece(0);
		}
	}
}
