/* What a repair brings back, from where, and what it does not write. */
#include "../fsck_fixture.h"

TestSuite(fsck_mend, .init = setup, .fini = teardown, .timeout = 120);

/* The record of a commit is found by its digest. */
static void damage_record(const struct pfs_commit_id *id)
{
	PFS_AUTO(pfs_commit_row_fini) struct pfs_commit_row row = { 0 };
	struct pfs_repo_row repo;
	struct pfs_error err = { 0 };

	must(pfs_meta_find_repo(w.meta, "books", &repo, &err), &err);
	must(pfs_meta_find_commit(w.meta, repo.id, id, &row, &err), &err);
	damage(&row.digest, sizeof(row.digest));
}

static struct pfs_commit_id commit_from(const char *message, const struct pfs_provenance *from,
					size_t n)
{
	struct pfs_commit_options how = PFS_COMMIT_OPTIONS_INIT;
	struct pfs_commit_id id;
	struct pfs_error err = { 0 };

	how.message = message;
	how.provenance = from;
	how.n_provenance = n;
	must(pfs_commit_branch(w.h, "books", "master", &how, &id, &err), &err);
	return id;
}

/* With a parent, words, and two sources that come in the other order than they are named in. */
static struct pfs_commit_id commit_of_everything(void)
{
	struct pfs_provenance from[2] = { { .repo = "raw" }, { .repo = "books" } };
	struct pfs_error err = { 0 };

	must(pfs_repo_create(w.h, "raw", &err), &err);
	must(world_branch(&w, "raw", "master", &err), &err);
	must(world_write(&w, "raw", "master", "text", text_of(8), &err), &err);
	must(pfs_commit_branch(w.h, "raw", "master", NULL, &from[0].id, &err), &err);
	write_text("text", 1);
	from[1].id = commit();
	write_text("text", 2);
	return commit_from("from two others", from, 2);
}

Test(fsck_mend, a_commit_record_is_made_anew_from_its_row)
{
	struct pfs_commit_id id = commit_of_everything();
	struct pfs_fsck_report r;

	fill_up(100);
	reopen();
	damage_record(&id);
	r = fsck(PFS_FSCK_FULL, false);
	cr_expect_eq(r.missing, 1, "%s", said.all);
	cr_expect_eq(r.affected, 0, "no file needs it: %s", said.all);
	r = fsck(PFS_FSCK_FULL, true);
	cr_expect_eq(r.remaining, 0, "%s", said.all);
	expect_said(": its record was made anew from the database");
	expect_said(": rewritten without its damage");
	for (int again = 0; again < 2; again++) {
		r = fsck(PFS_FSCK_FULL, false);
		cr_expect_eq(r.damages + r.missing + r.names, 0, "%s", said.all);
		reopen();
	}
}

Test(fsck_mend, a_record_that_the_row_does_not_give_is_told_of)
{
	struct pfs_commit_id id;
	struct pfs_fsck_report r;

	write_text("text", 1);
	id = commit();
	fill_up(100);
	reopen();
	damage_record(&id);
	sql("UPDATE commits SET message = 'I never said this' WHERE number = 1");
	r = fsck(PFS_FSCK_FULL, true);
	cr_expect_eq(r.remaining, 1, "%s", said.all);
	cr_expect_eq(r.left_records, 1, "%s", said.all);
	cr_expect_eq(r.mended, 0, "%s", said.all);
	expect_said("cannot be made anew from the database");
}

/* --- what is stored ------------------------------------------------------------ */

static uint64_t count_objects(void)
{
	struct pfs_store_stats stats;

	pfs_store_stats(w.store, &stats);
	return stats.objects;
}

Test(fsck_mend, only_what_is_missing_is_stored)
{
	struct pfs_commit_id id;
	struct pfs_fsck_report r;
	uint64_t before;

	write_text("text", 1);
	id = commit();
	fill_up(100);
	for (unsigned i = 0; i < 20; i++) {
		char name[32];

		snprintf(name, sizeof(name), "not committed/%u", i);
		write_text(name, 1000 + i);
	}
	write_text("a copy of it", 1);
	reopen();
	damage_text(1);
	before = count_objects();
	r = fsck(PFS_FSCK_FULL, true);
	cr_expect_eq(r.remaining, 0, "%s", said.all);
	expect_said("1 object: stored anew from ");
	cr_expect_leq(count_objects(), before, "nothing else was stored");
	reopen();
	expect_text(&id, "text", 1);
}

/* --- long files ----------------------------------------------------------------- */

#define LONG 3000000

/* Some fifty chunks. */
static char *long_text(unsigned seed)
{
	char *text = malloc(LONG + 1);

	cr_assert(text);
	scratch_fill(text, LONG, seed);
	for (size_t i = 0; i < LONG; i++)
		text[i] = (char)('!' + (unsigned char)text[i] % 90);
	text[LONG] = 0;
	return text;
}

static void write_long(const char *path, unsigned seed)
{
	struct pfs_error err = { 0 };
	char *text = long_text(seed);

	must(world_write(&w, "books", "master", path, text, &err), &err);
	free(text);
}

static void expect_long(const struct pfs_commit_id *id, const char *path, unsigned seed)
{
	struct pfs_error err = { 0 };
	char *want = long_text(seed), *got = malloc(LONG + 1);

	cr_assert(got);
	must(world_read(&w, "books", id, path, got, LONG + 1, &err), &err);
	cr_expect(strcmp(want, got) == 0, "%s", path);
	free(want);
	free(got);
}

/* Everything that lies in sealed packs of chunks, or is kept as a file. */
static void lose_packs(void)
{
	world_close(&w);
	while (below(dir.path, remove_pack, "/packs/a/", 0) ||
	       below(dir.path, remove_pack, "/packs/d/", 0))
		;
	reopen();
}

static uint64_t stored(void)
{
	struct pfs_store_stats stats;

	pfs_store_stats(w.store, &stats);
	return stats.pack_bytes;
}

Test(fsck_mend, of_a_long_file_only_what_is_missing_is_stored)
{
	struct pfs_commit_id id;
	struct pfs_fsck_report r;
	uint64_t before;

	write_long("long", 1);
	id = commit();
	lose_packs();
	write_long("a copy of it", 1);
	write_long("another", 2);
	write_long("a third", 3);
	before = stored();
	r = fsck(PFS_FSCK_REACH, true);
	cr_expect_gt(r.missing, 25, "%s", said.all);
	cr_expect_eq(r.remaining, 0, "%s", said.all);
	cr_expect_lt(stored() - before, LONG + LONG / 2, "the others were not stored");
	expect_long(&id, "long", 1);
}

Test(fsck_mend, many_missing_chunks_are_counted_and_some_are_told)
{
	struct pfs_fsck_report r;

	write_long("long", 1);
	commit();
	lose_packs();
	r = fsck(PFS_FSCK_REACH, false);
	cr_expect_gt(r.missing, 25);
	cr_expect_eq(said.n[PFS_FINDING_MISSING], 21, "%s", said.all);
	expect_said(" more chunks are missing");
	cr_expect_eq(r.affected, 1, "%s", said.all);
	expect_said(":/long cannot be read whole");
}

/* --- damage that an earlier look found -------------------------------------------- */

static void check_known_damage(bool found_by_another)
{
	struct pfs_commit_id id;
	struct pfs_fsck_report r;

	world_close(&w);
	pfs_packwriter_set_targets(1 << 20, 1 << 20);
	reopen();
	write_text("text", 1);
	write_text("other", 2);
	id = commit();
	fill_up(100);
	damage_text(1);
	cr_assert(strstr(damaged, "/open/"), "%s", damaged);
	if (found_by_another)
		reopen();
	r = fsck(PFS_FSCK_FULL, true);
	cr_expect_eq(r.remaining, 1, "%s", said.all);
	reopen();
	write_text("a copy of it", 1);
	r = fsck(PFS_FSCK_REACH, true);
	cr_expect_eq(r.remaining, 0, "%s", said.all);
	expect_said(": rewritten without its damage");
	for (int again = 0; again < 2; again++) {
		r = fsck(PFS_FSCK_FULL, false);
		cr_expect_eq(r.damages + r.missing + r.names, 0, "%s", said.all);
		reopen();
	}
	expect_text(&id, "text", 1);
	expect_text(&id, "other", 2);
}

Test(fsck_mend, a_pack_that_an_earlier_look_found_damaged_is_rewritten_at_any_level)
{
	check_known_damage(false);
}

Test(fsck_mend, one_that_was_found_damaged_when_nobody_wrote_to_it_is_likewise)
{
	check_known_damage(true);
}

Test(fsck_mend, what_was_stored_anew_meanwhile_hides_no_damage_from_a_repair)
{
	struct pfs_fsck_report r;

	write_text("text", 1);
	commit();
	fill_up(100);
	reopen();
	damage_text(1);
	r = fsck(PFS_FSCK_FULL, true);
	cr_expect_eq(r.remaining, 1, "%s", said.all);
	write_text("a copy of it", 1);
	commit();
	reopen();
	r = fsck(PFS_FSCK_REACH, true);
	cr_expect_eq(r.remaining, 0, "%s", said.all);
	cr_expect_eq(r.mended, 1, "%s", said.all);
	r = fsck(PFS_FSCK_FULL, false);
	cr_expect_eq(r.damages + r.missing + r.names, 0, "%s", said.all);
}
