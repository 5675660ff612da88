/* A data folder that nobody has open, and its database. */
#include "../fsck_fixture.h"

TestSuite(fsck_data, .init = setup, .fini = teardown, .timeout = 120);

static int fsck_data(bool repair, struct pfs_fsck_report *r)
{
	struct pfs_fsck_options how = PFS_FSCK_OPTIONS_INIT;
	struct pfs_error err = { 0 };
	int rc;

	memset(&said, 0, sizeof(said));
	how.repair = repair;
	how.report = hear;
	rc = pfs_fsck_data(dir.path, &how, r, &err);
	if (rc < 0)
		snprintf(said.all, sizeof(said.all), "%s", err.text);
	return rc;
}

static void lose_names(const char *how)
{
	char command[700];

	world_close(&w);
	snprintf(command, sizeof(command), "cd %s && rm -f meta.db-wal meta.db-shm && %s", dir.path,
		 how);
	cr_assert_eq(system(command), 0);
}

static void check_restored(void)
{
	PFS_AUTO(pfs_close) struct pfs_instance *pfs = NULL;
	struct pfs_fsck_report r;
	struct pfs_error err = { 0 };
	struct pfs_commit c;
	char text[3000];

	cr_expect_eq(pfs_open(dir.path, &pfs, &err), PFS_E_CORRUPT, "%s", err.text);
	cr_expect(strstr(err.text, "--repair"), "%s", err.text);
	cr_assert_eq(fsck_data(false, &r), 0, "%s", said.all);
	cr_expect_eq(r.names, 1, "%s", said.all);
	cr_expect_eq(r.remaining, 1);
	cr_assert_eq(fsck_data(true, &r), 0, "%s", said.all);
	cr_expect_eq(r.remaining, 0, "%s", said.all);
	cr_expect_eq(r.mended, 3, "two commits and a branch: %s", said.all);
	must(pfs_open(dir.path, &pfs, &err), &err);
	must(pfs_commit_inspect(pfs_instance_history(pfs), "books", "master", &c, &err), &err);
	cr_expect_eq(c.has_parent, true);
	w.h = pfs_instance_history(pfs);
	w.store = pfs_history_store(w.h);
	must(world_read(&w, "books", &c.id, "text", text, sizeof(text), &err), &err);
	cr_expect_str_eq(text, text_of(2));
	/* What was never committed is there too. */
	{
		struct pfs_change *list = NULL;
		size_t n = 0;

		must(pfs_commit_status(w.h, "books", "master", 0, &list, &n, &err), &err);
		cr_expect(n == 1 && strcmp(list[0].path, "not committed") == 0, "%zu changes", n);
		pfs_changes_free(&list, n);
	}
	pfs_commit_fini(&c);
	memset(&w, 0, sizeof(w));
}

static void make_two_commits(void)
{
	write_text("text", 1);
	commit();
	write_text("text", 2);
	commit();
	write_text("not committed", 3);
}

Test(fsck_data, names_that_are_gone_are_restored_with_what_was_not_committed)
{
	PFS_AUTO(pfs_close) struct pfs_instance *pfs = NULL;
	char path[400];

	make_two_commits();
	lose_names("rm meta.db");
	snprintf(path, sizeof(path), "%s/meta.db", dir.path);
	cr_expect_eq(pfs_open(dir.path, &pfs, NULL), PFS_E_CORRUPT);
	cr_expect_eq(access(path, F_OK), -1, "what is refused makes nothing");
	check_restored();
}

Test(fsck_data, names_that_were_emptied_are_restored_likewise)
{
	make_two_commits();
	lose_names(": > meta.db");
	check_restored();
}

Test(fsck_data, a_database_that_cannot_be_read_is_put_aside)
{
	struct pfs_fsck_report r;
	char path[400];

	make_two_commits();
	lose_names("printf 'this is not a database, this is a text' > meta.db");
	cr_assert_eq(fsck_data(false, &r), 0, "%s", said.all);
	cr_expect_eq(r.damages, 1, "%s", said.all);
	cr_assert_eq(fsck_data(true, &r), 0, "%s", said.all);
	cr_expect_eq(r.remaining, 0, "%s", said.all);
	snprintf(path, sizeof(path), "%s/meta.db.damaged-1", dir.path);
	cr_expect_eq(access(path, F_OK), 0);
	memset(&w, 0, sizeof(w));
}

/* One wrong byte in a page of the database, wherever it is. */
static void flip_page(unsigned page)
{
	char path[400];
	FILE *f;
	int c;

	snprintf(path, sizeof(path), "%s/meta.db", dir.path);
	f = fopen(path, "r+");
	cr_assert(f);
	fseek(f, (long)(page - 1) * 4096 + 900, SEEK_SET);
	c = fgetc(f);
	fseek(f, -1, SEEK_CUR);
	fputc(c ^ 1, f);
	fclose(f);
}

static unsigned count_pages(void)
{
	char path[400];
	struct stat st;

	snprintf(path, sizeof(path), "%s/meta.db", dir.path);
	cr_assert_eq(stat(path, &st), 0);
	return (unsigned)(st.st_size / 4096);
}

static void check_mended_page(unsigned page)
{
	struct pfs_instance *pfs = NULL;
	struct pfs_error err = { 0 };
	struct pfs_fsck_report r;
	struct pfs_commit c;

	flip_page(page);
	cr_expect_eq(pfs_open(dir.path, &pfs, &err), PFS_E_CORRUPT, "page %u", page);
	cr_expect(strstr(err.text, "--repair"), "%s", err.text);
	cr_assert_eq(fsck_data(false, &r), 0, "page %u: %s", page, said.all);
	cr_expect(r.damages > 0 && r.mended == 0, "page %u: %s", page, said.all);
	expect_said("--repair moves the damaged meta.db aside");
	cr_assert_eq(fsck_data(true, &r), 0, "page %u: %s", page, said.all);
	cr_expect_eq(r.remaining, 0, "page %u: %s", page, said.all);
	expect_said("the damaged one is now ");
	cr_assert_eq(fsck_data(false, &r), 0, "page %u: %s", page, said.all);
	cr_expect_eq(r.damages + r.missing + r.names, 0, "page %u: %s", page, said.all);
	err = (struct pfs_error){ 0 };
	must(pfs_open(dir.path, &pfs, &err), &err);
	must(pfs_commit_inspect(pfs_instance_history(pfs), "books", "master", &c, &err), &err);
	cr_expect(c.has_parent, "page %u", page);
	pfs_commit_fini(&c);
	pfs_close(&pfs);
}

Test(fsck_data, a_damaged_page_of_the_database_is_mended_whichever_it_is)
{
	unsigned n;

	make_two_commits();
	world_close(&w);
	n = count_pages();
	cr_assert_gt(n, 20);
	for (unsigned page = 1; page <= n; page++)
		check_mended_page(page);
	memset(&w, 0, sizeof(w));
}

static unsigned page_of(const char *table)
{
	char text[200];
	PFS_AUTO(pfs_read_end) struct pfs_read r = { 0 };
	struct pfs_error err = { 0 };

	snprintf(text, sizeof(text), "SELECT rootpage FROM sqlite_master WHERE name = '%s'", table);
	must(pfs_read_begin(&r, pfs_history_meta(w.h), text, &err), &err);
	must(pfs_query_next(&r.q, &err), &err);
	return (unsigned)pfs_query_i64(&r.q);
}

static bool has_pipeline(void)
{
	PFS_AUTO(pfs_close) struct pfs_instance *pfs = NULL;
	PFS_AUTO(pfs_pipeline_row_fini) struct pfs_pipeline_row row = { 0 };
	struct pfs_error err = { 0 };

	must(pfs_open(dir.path, &pfs, &err), &err);
	return pfs_meta_find_pipeline(pfs_history_meta(pfs_instance_history(pfs)), "wc", &row,
				      &err) == 0;
}

/* Damage the page of a table or index, and mend. */
static void check_rescue(const char *table, bool pipeline_stays)
{
	struct pfs_fsck_report r;
	unsigned page;

	make_two_commits();
	sql("INSERT INTO pipelines VALUES('wc', 'books', 'master', 1, 1, 1, 'text')");
	page = page_of(table);
	world_close(&w);
	flip_page(page);
	cr_assert_eq(fsck_data(true, &r), 0, "%s", said.all);
	cr_expect_eq(has_pipeline(), pipeline_stays, "%s: %s", table, said.all);
	if (!pipeline_stays)
		expect_said("create pipeline");
	memset(&w, 0, sizeof(w));
}

Test(fsck_data, a_damaged_index_of_the_database_costs_nothing)
{
	check_rescue("commits_by_repo", true);
	cr_expect_null(strstr(said.all, "restored"), "%s", said.all);
}

Test(fsck_data, damaged_pipelines_are_told_and_the_rest_stays)
{
	check_rescue("pipelines", false);
	cr_expect_null(strstr(said.all, "restored"), "%s", said.all);
}

Test(fsck_data, damaged_names_come_from_records)
{
	check_rescue("commits", false);
	expect_said("restored from its record");
	expect_said("pipelines and jobs are not in the records");
}

Test(fsck_data, a_damaged_page_of_an_open_database_is_told_with_what_to_do)
{
	struct pfs_fsck_report r;

	make_two_commits();
	reopen();
	flip_page(page_of("provenance_back"));
	r = fsck(PFS_FSCK_REACH, true);
	cr_expect_gt(r.damages, 0, "%s", said.all);
	cr_expect_gt(r.remaining, 0, "%s", said.all);
	expect_said("stop pfsd");
	expect_said("--repair");
}

static void flip_superblock(long at)
{
	char path[400];
	FILE *f;
	int c;

	snprintf(path, sizeof(path), "%s/store/STORE", dir.path);
	f = fopen(path, "r+");
	cr_assert(f);
	fseek(f, at, SEEK_SET);
	c = fgetc(f);
	fseek(f, -1, SEEK_CUR);
	fputc(c ^ 1, f);
	fclose(f);
}

static void check_warning(bool wanted)
{
	PFS_AUTO(pfs_close) struct pfs_instance *pfs = NULL;
	struct pfs_error err = { 0 };
	const char *warning;

	must(pfs_open(dir.path, &pfs, &err), &err);
	warning = pfs_instance_warning(pfs);
	cr_expect_eq(warning != NULL, wanted, "%s", warning ? warning : "no warning");
	cr_expect(!warning || strstr(warning, "pfs fsck --repair"), "%s", warning);
}

Test(fsck_data, a_copy_of_the_superblock_that_is_damaged_is_warned_of_until_it_is_mended)
{
	struct pfs_instance *pfs = NULL;
	struct pfs_error err = { 0 };
	struct pfs_fsck_report r;

	world_close(&w);
	check_warning(false);
	for (int copy = 0; copy < 2; copy++) {
		flip_superblock(copy * PFS_SUPERBLOCK_SIZE + 40);
		check_warning(true);
		cr_assert_eq(fsck_data(true, &r), 0, "%s", said.all);
		cr_expect_eq(r.damages, 1, "%s", said.all);
		check_warning(false);
	}
	flip_superblock(40);
	flip_superblock(PFS_SUPERBLOCK_SIZE + 40);
	cr_expect_eq(pfs_open(dir.path, &pfs, &err), PFS_E_CORRUPT);
	cr_expect(strstr(err.text, "copy A") && strstr(err.text, "copy B"), "%s", err.text);
	cr_expect(strstr(err.text, "backup"), "%s", err.text);
	memset(&w, 0, sizeof(w));
}

static uint64_t known_damages(void)
{
	struct pfs_stats s;
	struct pfs_error err = { 0 };

	must(pfs_stats_read(w.h, &s, &err), &err);
	return s.known_damages;
}

Test(fsck_data, damage_that_is_known_is_warned_of_until_it_is_mended)
{
	struct pfs_fsck_report r;

	write_text("text", 1);
	commit();
	fill_up(100);
	write_text("a copy of it", 1);
	reopen();
	cr_expect_eq(known_damages(), 0);
	damage_text(1);
	fsck(PFS_FSCK_FULL, false);
	cr_expect_eq(known_damages(), 1);
	reopen();
	cr_expect_eq(known_damages(), 1);
	world_close(&w);
	check_warning(true);
	cr_assert_eq(fsck_data(true, &r), 0, "%s", said.all);
	cr_expect_eq(r.remaining, 0, "%s", said.all);
	check_warning(false);
	must(world_open(&w, dir.path, &(struct pfs_error){ 0 }), &(struct pfs_error){ 0 });
	cr_expect_eq(known_damages(), 0);
}

Test(fsck_data, only_a_data_folder_that_nobody_has_open_is_looked_at)
{
	struct pfs_fsck_report r;
	char path[400];
	struct pfs_error err = { 0 };

	cr_expect_eq(fsck_data(false, &r), PFS_E_BUSY, "%s", said.all);
	snprintf(path, sizeof(path), "%s/nothing", dir.path);
	cr_expect_eq(pfs_fsck_data(path, NULL, &r, &err), PFS_E_NOTFOUND, "%s", err.text);
	cr_expect_eq(access(path, F_OK), -1, "looking made nothing");
	cr_expect_eq(pfs_fsck_data("/usr", NULL, &r, &err), PFS_E_NOTFOUND, "%s", err.text);
}

/* A repo of one commit. */
static void make_repo(const char *repo, unsigned seed)
{
	struct pfs_error err = { 0 };
	struct pfs_commit_id id;

	must(pfs_repo_create(w.h, repo, &err), &err);
	must(world_branch(&w, repo, "master", &err), &err);
	for (unsigned i = 0; i < 12; i++) {
		char name[32];

		snprintf(name, sizeof(name), "%u", i);
		must(world_write(&w, repo, "master", name, text_of(seed + i), &err), &err);
	}
	must(pfs_commit_branch(w.h, repo, "master", NULL, &id, &err), &err);
}

static size_t count_repos(void)
{
	struct pfs_repo_row *list = NULL;
	struct pfs_error err = { 0 };
	size_t n = 0;

	must(pfs_meta_list_repos(w.meta, &list, &n, &err), &err);
	free(list);
	return n;
}

static void repair_names(struct pfs_fsck_report *r)
{
	lose_names("rm meta.db");
	cr_assert_eq(fsck_data(true, r), 0, "%s", said.all);
	must(world_open(&w, dir.path, &(struct pfs_error){ 0 }), &(struct pfs_error){ 0 });
}

/* Of a repo that is deleted and collected, its record stays: as in a pack that was not worth rewriting. */
static void collect_but_record(const char *name)
{
	PFS_AUTO(pfs_object_unref) const struct pfs_object *record = NULL;
	struct pfs_gc_options how = PFS_GC_OPTIONS_INIT;
	struct pfs_commit_row *list = NULL;
	struct pfs_gc_report collected;
	struct pfs_repo_row repo;
	struct pfs_error err = { 0 };
	struct pfs_id id;
	size_t n = 0;

	must(pfs_meta_find_repo(w.meta, name, &repo, &err), &err);
	must(pfs_meta_list_commits(w.meta, repo.id, 1, &list, &n, &err), &err);
	must(pfs_store_get(w.store, PFS_KIND_COMMIT, &list[0].digest, &record, &err), &err);
	pfs_commit_rows_free(&list, n);
	must(pfs_branch_delete(w.h, name, "master", true, &err), &err);
	must(pfs_repo_delete(w.h, name, true, &err), &err);
	how.thorough = true;
	must(pfs_gc_run(w.h, &how, &collected, &err), &err);
	cr_assert_gt(collected.freed_bytes, 0);
	must(pfs_store_put(w.store, PFS_KIND_COMMIT, record->data, record->len, &id, &err), &err);
	must(pfs_store_sync(w.store, &err), &err);
}

Test(fsck_data, a_repo_of_which_nothing_is_there_does_not_come_back)
{
	struct pfs_fsck_report r;

	make_repo("gone", 500);
	make_two_commits();
	collect_but_record("gone");
	repair_names(&r);
	cr_expect_eq(r.remaining, 0, "%s", said.all);
	expect_said("repo gone is not restored");
	cr_expect_eq(count_repos(), 1, "%s", said.all);
	cr_assert_eq(fsck(PFS_FSCK_REACH, false).missing, 0, "%s", said.all);
}

Test(fsck_data, a_repo_that_came_back_and_is_not_whole_is_told_with_what_it_lacks)
{
	struct pfs_fsck_report r;

	make_repo("part", 500);
	make_two_commits();
	must(world_write(&w, "part", "master", "whole", text_of(4), &(struct pfs_error){ 0 }),
	     &(struct pfs_error){ 0 });
	must(pfs_commit_branch(w.h, "part", "master", NULL, &(struct pfs_commit_id){ 0 },
			       &(struct pfs_error){ 0 }),
	     &(struct pfs_error){ 0 });
	reopen();
	damage_text(505);
	cr_assert_eq(fsck(PFS_FSCK_FULL, false).missing, 1, "%s", said.all);
	repair_names(&r);
	cr_expect_eq(r.missing, 1, "%s", said.all);
	cr_expect_eq(r.missing, said.n[PFS_FINDING_MISSING], "%s", said.all);
	cr_expect_eq(r.remaining, r.missing, "%s", said.all);
	cr_expect_eq(r.left_objects, r.missing);
	expect_said("`pfs delete repo part --force`");
	expect_said("cannot be read whole");
	cr_expect_eq(count_repos(), 2, "%s", said.all);
}
