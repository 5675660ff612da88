#include "../world.h"
#include "history/history_i.h"
#include "meta/meta_i.h"
#include "store/packwriter.h"
#include <pfs/pfs.h>

#include <criterion/criterion.h>
#include <dirent.h>
#include <sys/stat.h>
#include <unistd.h>

static struct scratch dir;
static struct world w;

static void must(int rc, const struct pfs_error *err)
{
	cr_assert_geq(rc, 0, "%s", err->text);
}

static void setup(void)
{
	struct pfs_error err = { 0 };

	/* Small packs, so that some are sealed. */
	pfs_packwriter_set_targets(20000, 3000);
	dir = scratch_new();
	must(world_open(&w, dir.path, &err), &err);
	must(pfs_repo_create(w.h, "books", &err), &err);
	must(world_branch(&w, "books", "master", &err), &err);
}

static void teardown(void)
{
	world_close(&w);
	scratch_fini(&dir);
}

TestSuite(fsck, .init = setup, .fini = teardown, .timeout = 120);

static void reopen(void)
{
	struct pfs_error err = { 0 };

	world_close(&w);
	must(world_open(&w, dir.path, &err), &err);
}

/* A text of its own, too long to be inline, that does not compress to nothing. */
static const char *text_of(unsigned n)
{
	static char text[3000];

	scratch_fill(text, sizeof(text) - 1, n);
	for (size_t i = 0; i < sizeof(text) - 1; i++)
		text[i] = (char)('!' + (unsigned char)text[i] % 90);
	memcpy(text, "text ", 5);
	return text;
}

static void write_text(const char *path, unsigned n)
{
	struct pfs_error err = { 0 };

	must(world_write(&w, "books", "master", path, text_of(n), &err), &err);
}

static struct pfs_commit_id commit(void)
{
	struct pfs_commit_id id;
	struct pfs_error err = { 0 };

	must(pfs_commit_branch(w.h, "books", "master", NULL, &id, &err), &err);
	return id;
}

/* --- what fsck said --------------------------------------------------------- */

static struct {
	unsigned n[8]; /* by kind */
	char all[20000];
} said;

static void hear(void *arg, const struct pfs_finding *f)
{
	size_t len = strlen(said.all);

	said.n[f->kind]++;
	snprintf(said.all + len, sizeof(said.all) - len, "%s\n", f->text);
	if (f->kind == PFS_FINDING_AFFECTED)
		cr_expect(f->repo && f->path && (f->commits > 0) == !f->branch);
}

static struct pfs_fsck_report fsck(enum pfs_fsck_level level, bool repair)
{
	struct pfs_fsck_options how = PFS_FSCK_OPTIONS_INIT;
	struct pfs_fsck_report r;
	struct pfs_error err = { 0 };

	memset(&said, 0, sizeof(said));
	how.level = level;
	how.repair = repair;
	how.report = hear;
	must(pfs_fsck_run(w.h, &how, &r, &err), &err);
	cr_expect_eq(r.damages, said.n[PFS_FINDING_DAMAGE]);
	cr_expect_eq(r.missing, said.n[PFS_FINDING_MISSING]);
	cr_expect_eq(r.names, said.n[PFS_FINDING_NAMES]);
	cr_expect_eq(r.mended, said.n[PFS_FINDING_MENDED]);
	return r;
}

static void expect_said(const char *text)
{
	cr_expect(strstr(said.all, text), "\"%s\" is not in:\n%s", text, said.all);
}

/* --- damage ------------------------------------------------------------------ */

static char damaged[800]; /* the file that was damaged last */

static bool damage_file(const char *path, const void *bytes, size_t len)
{
	static char all[1 << 20];
	FILE *f = fopen(path, "r+");
	size_t n;
	char *at;

	cr_assert(f, "%s", path);
	n = fread(all, 1, sizeof(all), f);
	/* The id of the record, not of an entry that names it: its payload is 40 bytes further. */
	for (at = all; (at = memmem(at, n - (size_t)(at - all), bytes, len)); at++)
		if (at - all >= 16 && memcmp(at - 16, "VREC", 4) == 0)
			break;
	if (at) {
		fseek(f, at - all + 40, SEEK_SET);
		fputc(at[40] ^ 1, f);
		snprintf(damaged, sizeof(damaged), "%s", path);
	}
	fclose(f);
	return at;
}

/* Do something to the first file below a folder that it can be done to. */
static bool below(const char *folder, bool (*act)(const char *path, const void *arg, size_t len),
		  const void *arg, size_t len)
{
	DIR *d = opendir(folder);
	bool done = false;
	struct dirent *e;

	while (d && !done && (e = readdir(d))) {
		char path[800];

		snprintf(path, sizeof(path), "%.500s/%s", folder, e->d_name);
		if (e->d_name[0] != '.')
			done = e->d_type == DT_DIR ? below(path, act, arg, len)
						   : act(path, arg, len);
	}
	if (d)
		closedir(d);
	return done;
}

static void damage(const void *bytes, size_t len)
{
	char packs[400];

	snprintf(packs, sizeof(packs), "%s/store", dir.path);
	cr_assert(below(packs, damage_file, bytes, len), "not in any pack");
}

static bool remove_pack(const char *path, const void *part, size_t len)
{
	return strstr(path, part) && unlink(path) == 0;
}

/* Texts compress: what stands in the pack is found by the record's id. */
static void damage_text(unsigned n)
{
	struct pfs_id id;

	pfs_store_id(w.store, PFS_KIND_CHUNK, text_of(n), strlen(text_of(n)), &id);
	damage(&id, sizeof(id));
}

/* Enough other files that the packs of what came before are sealed. */
static void fill_up(unsigned from)
{
	for (unsigned i = from; i < from + 12; i++) {
		char name[32];

		snprintf(name, sizeof(name), "filler/%u", i);
		write_text(name, i);
	}
	commit();
}

/* --- the tests ----------------------------------------------------------------- */

Test(fsck, a_whole_instance_is_whole_at_every_level)
{
	write_text("a/b/text", 1);
	commit();
	write_text("not committed", 2);
	for (int level = PFS_FSCK_QUICK; level <= PFS_FSCK_FULL; level++) {
		struct pfs_fsck_report r = fsck((enum pfs_fsck_level)level, level == PFS_FSCK_FULL);

		cr_expect(r.damages + r.missing + r.names + r.mended + r.remaining == 0, "%s",
			  said.all);
		cr_expect_eq(r.commits, 1);
		cr_expect_geq(r.objects, 3);
	}
}

Test(fsck, a_flipped_bit_is_found_by_place_by_path_and_by_commit)
{
	struct pfs_commit_id first, last;
	struct pfs_fsck_report r;
	char want[200], id[PFS_COMMIT_ID_HEX_SIZE], id2[PFS_COMMIT_ID_HEX_SIZE];

	write_text("a/b/text", 1);
	write_text("a/whole", 2);
	first = commit();
	fill_up(100);
	write_text("a/b/other", 3);
	last = commit();
	reopen();
	damage_text(1);
	r = fsck(PFS_FSCK_QUICK, false);
	cr_expect_eq(r.damages + r.missing, 0, "%s", said.all);
	r = fsck(PFS_FSCK_FULL, false);
	cr_expect_eq(r.damages, 1, "%s", said.all);
	cr_expect_eq(r.missing, 1);
	cr_expect_eq(r.affected, 1);
	cr_expect_eq(r.remaining, 1);
	expect_said("pack ");
	expect_said(" at ");
	snprintf(want, sizeof(want),
		 "books@%s:/a/b/text cannot be read whole, nor in 2 commits before, down to %s",
		 pfs_commit_id_format(&last, id), pfs_commit_id_format(&first, id2));
	expect_said(want);
	cr_expect_null(strstr(said.all, "whole,\n"));
}

Test(fsck, a_flipped_bit_in_a_pack_that_is_being_written_is_named_likewise)
{
	struct pfs_fsck_report r;

	write_text("text", 1);
	commit();
	damage_text(1);
	r = fsck(PFS_FSCK_FULL, false);
	cr_expect_eq(r.damages, 1, "%s", said.all);
	cr_expect_eq(r.missing, 1, "%s", said.all);
	cr_expect_eq(r.affected, 1, "%s", said.all);
	write_text("a copy of it", 1);
	r = fsck(PFS_FSCK_FULL, true);
	cr_expect_eq(r.remaining, 0, "%s", said.all);
}

Test(fsck, bytes_that_a_workspace_still_has_are_stored_anew)
{
	char text[3000];
	struct pfs_commit_id id;
	struct pfs_fsck_report r;
	struct pfs_error err = { 0 };

	write_text("text", 1);
	id = commit();
	fill_up(100);
	write_text("a copy of it", 1);
	reopen();
	damage_text(1);
	r = fsck(PFS_FSCK_FULL, true);
	cr_expect_eq(r.missing, 1, "%s", said.all);
	cr_expect_eq(r.mended, 2, "the object, and its pack: %s", said.all);
	cr_expect_eq(r.remaining, 0);
	cr_expect_eq(r.affected, 0, "nothing is to be told of any more");
	expect_said("stored anew from ");
	reopen();
	must(world_read(&w, "books", &id, "text", text, sizeof(text), &err), &err);
	cr_expect_str_eq(text, text_of(1));
	cr_expect_eq(fsck(PFS_FSCK_REACH, false).missing, 0);
}

/* --- damaged packs are rewritten --------------------------------------------------- */

static void expect_text(const struct pfs_commit_id *id, const char *path, unsigned n)
{
	char text[3000];
	struct pfs_error err = { 0 };

	must(world_read(&w, "books", id, path, text, sizeof(text), &err), &err);
	cr_expect_str_eq(text, text_of(n), "%s", path);
}

/* Repaired, and from then on there is nothing to tell of, now and after the next start. */
static void expect_renewed(uint64_t damages)
{
	struct pfs_fsck_report r = fsck(PFS_FSCK_FULL, true);

	cr_expect_eq(r.damages, damages, "%s", said.all);
	cr_expect_eq(r.remaining, 0, "%s", said.all);
	expect_said(": rewritten without its damage");
	for (int again = 0; again < 2; again++) {
		r = fsck(PFS_FSCK_FULL, false);
		cr_expect_eq(r.damages + r.missing + r.names, 0, "%s", said.all);
		reopen();
	}
}

Test(fsck, a_pack_whose_damage_was_mended_is_rewritten)
{
	struct pfs_commit_id id;

	write_text("text", 1);
	write_text("other", 2);
	id = commit();
	fill_up(100);
	write_text("a copy of it", 1);
	reopen();
	damage_text(1);
	expect_renewed(1);
	expect_text(&id, "text", 1);
	expect_text(&id, "other", 2);
}

static void use_large_packs(void)
{
	world_close(&w);
	pfs_packwriter_set_targets(1 << 20, 1 << 20);
	reopen();
}

Test(fsck, a_pack_that_is_being_written_is_rewritten_likewise)
{
	struct pfs_commit_id id;

	use_large_packs();
	write_text("text", 1);
	write_text("other", 2);
	id = commit();
	write_text("a copy of it", 1);
	damage_text(1);
	cr_assert(strstr(damaged, "/open/"), "%s", damaged);
	expect_renewed(1);
	expect_text(&id, "text", 1);
	expect_text(&id, "other", 2);
}

Test(fsck, a_pack_that_is_open_and_nobody_writes_to_since_it_is_damaged_is_rewritten)
{
	struct pfs_commit_id id;

	use_large_packs();
	write_text("text", 1);
	write_text("other", 2);
	id = commit();
	write_text("a copy of it", 1);
	damage_text(1);
	cr_assert(strstr(damaged, "/open/"), "%s", damaged);
	reopen();
	expect_renewed(1);
	expect_text(&id, "text", 1);
	expect_text(&id, "other", 2);
}

Test(fsck, a_damaged_pack_of_which_something_needed_is_lost_stays_until_there_is_a_copy)
{
	struct pfs_fsck_report r;
	struct pfs_commit_id id;

	write_text("text", 1);
	write_text("other", 2);
	id = commit();
	fill_up(100);
	reopen();
	damage_text(1);
	for (int again = 0; again < 2; again++) {
		r = fsck(PFS_FSCK_FULL, true);
		cr_expect_eq(r.damages, 1, "%s", said.all);
		cr_expect_eq(r.remaining, 1, "%s", said.all);
		expect_said(": kept as it is, since something that is missing may be in it");
		reopen();
	}
	write_text("a copy of it", 1);
	expect_renewed(1);
	expect_text(&id, "text", 1);
	expect_text(&id, "other", 2);
}

Test(fsck, damage_that_nobody_needs_goes_with_its_pack)
{
	struct pfs_error err = { 0 };

	must(pfs_repo_create(w.h, "other", &err), &err);
	must(world_branch(&w, "other", "master", &err), &err);
	must(world_write(&w, "other", "master", "text", text_of(1), &err), &err);
	must(pfs_commit_branch(w.h, "other", "master", NULL, &(struct pfs_commit_id){ 0 }, &err),
	     &err);
	fill_up(100);
	must(pfs_branch_delete(w.h, "other", "master", true, &err), &err);
	must(pfs_repo_delete(w.h, "other", true, &err), &err);
	reopen();
	damage_text(1);
	expect_renewed(1);
}

/* In the header, or in the trailer, which both tell of the whole pack. */
static bool damage_end(const char *path, const void *at_head, size_t len)
{
	FILE *f = strstr(path, "/packs/") ? fopen(path, "r+") : NULL;
	int c;

	if (!f)
		return false;
	cr_assert_eq(fseek(f, at_head ? 40 : -10, at_head ? SEEK_SET : SEEK_END), 0);
	c = fgetc(f);
	cr_assert_eq(fseek(f, -1, SEEK_CUR), 0);
	fputc(c ^ 1, f);
	fclose(f);
	return true;
}

Test(fsck, a_pack_with_a_damaged_header_or_footer_is_rewritten)
{
	struct pfs_commit_id id;

	write_text("text", 1);
	write_text("other", 2);
	id = commit();
	fill_up(100);
	for (int head = 0; head < 2; head++) {
		for (int closed = 0; closed < 2; closed++) {
			struct pfs_fsck_report r;

			if (closed)
				world_close(&w);
			cr_assert(below(dir.path, damage_end, head ? "head" : NULL, 0));
			if (closed)
				reopen();
			r = fsck(PFS_FSCK_FULL, false);
			expect_renewed(r.damages);
			expect_text(&id, "text", 1);
			expect_text(&id, "other", 2);
		}
	}
}

static bool give_away(const char *path, const void *arg, size_t len)
{
	unsigned char raw[PFS_PACKHDR_SIZE];
	struct pfs_packhdr h;
	FILE *f = strstr(path, "/packs/") ? fopen(path, "r+") : NULL;

	if (!f)
		return false;
	cr_assert_eq(fread(raw, 1, sizeof(raw), f), sizeof(raw));
	cr_assert_eq(pfs_packhdr_decode(raw, &h, NULL), 0);
	h.store_uuid[0] ^= 1;
	pfs_packhdr_encode(&h, raw);
	rewind(f);
	cr_assert_eq(fwrite(raw, 1, sizeof(raw), f), sizeof(raw));
	fclose(f);
	return true;
}

Test(fsck, a_pack_of_another_store_is_left_alone)
{
	write_text("text", 1);
	commit();
	fill_up(100);
	cr_assert(below(dir.path, give_away, NULL, 0));
	for (int again = 0; again < 2; again++) {
		cr_expect_gt(fsck(PFS_FSCK_FULL, true).damages, 0);
		expect_said("belongs to another store");
		expect_said(": kept as it is, since it belongs to another store");
	}
}

Test(fsck, a_pack_that_is_gone_is_noticed_and_its_paths_are_named)
{
	struct pfs_fsck_report r;

	write_text("text", 1);
	commit();
	fill_up(100);
	fill_up(200);
	world_close(&w);
	cr_assert(below(dir.path, remove_pack, "/packs/", 0), "no pack was sealed");
	reopen();
	r = fsck(PFS_FSCK_REACH, true);
	cr_expect_gt(r.missing, 0);
	cr_expect_gt(r.affected, 0);
	cr_expect_eq(r.remaining, r.missing, "%s", said.all);
	expect_said("cannot be read whole");
}

static void sql(const char *text)
{
	struct pfs_error err = { 0 };

	must(pfs_db_exec(&w.meta->writer, text, &err), &err);
}

Test(fsck, a_commit_that_lost_its_row_gets_it_back_from_its_record)
{
	struct pfs_commit_id id;
	struct pfs_fsck_report r;
	struct pfs_commit c;
	struct pfs_error err = { 0 };
	struct pfs_commit_options how = PFS_COMMIT_OPTIONS_INIT;

	write_text("text", 1);
	commit();
	write_text("text", 2);
	how.message = "the second";
	must(pfs_commit_branch(w.h, "books", "master", &how, &id, &err), &err);
	sql("PRAGMA foreign_keys = OFF; DELETE FROM commits WHERE number = 2;"
	    "PRAGMA foreign_keys = ON");
	r = fsck(PFS_FSCK_QUICK, false);
	cr_expect_eq(r.names, 1, "%s", said.all);
	cr_expect_eq(r.damages, 1, "the database says so too: %s", said.all);
	expect_said("books@master: its head");
	r = fsck(PFS_FSCK_REACH, true);
	cr_expect_eq(r.mended, 1, "%s", said.all);
	cr_expect_eq(r.remaining, 0);
	r = fsck(PFS_FSCK_REACH, false);
	cr_expect_eq(r.names + r.damages, 0, "%s", said.all);
	must(pfs_commit_inspect(w.h, "books", "master", &c, &err), &err);
	cr_expect(pfs_commit_id_equal(&c.id, &id));
	cr_expect_str_eq(c.message, "the second");
	pfs_commit_fini(&c);
}

Test(fsck, a_row_that_says_other_than_its_record_is_told_and_left)
{
	struct pfs_fsck_report r;

	write_text("text", 1);
	commit();
	sql("UPDATE commits SET message = 'I never said this'");
	r = fsck(PFS_FSCK_REACH, true);
	cr_expect_eq(r.names, 1, "%s", said.all);
	cr_expect_eq(r.remaining, 1);
	expect_said("different things about the message");
}

Test(fsck, records_of_deleted_repos_are_no_damage)
{
	struct pfs_fsck_report r;
	struct pfs_error err = { 0 };

	write_text("text", 1);
	commit();
	must(pfs_repo_delete(w.h, "books", true, &err), &err);
	reopen();
	r = fsck(PFS_FSCK_FULL, true);
	cr_expect_eq(r.unnamed_records, 1);
	cr_expect_eq(r.damages + r.missing + r.names + r.mended, 0, "%s", said.all);
}

/* --- what is not committed ------------------------------------------------------ */

/* A file of which only the attributes differ: its bytes are in the store. */
static void change_mode(const char *path)
{
	const struct pfs_node_attr set = { .attrs = { .mode = 0600 } };
	struct pfs_workspace *ws = NULL;
	struct pfs_node *root, *n = NULL;
	struct pfs_error err = { 0 };

	must(pfs_history_workspace(w.h, "books", "master", &ws, &err), &err);
	root = pfs_workspace_root(ws);
	must(pfs_workspace_lookup(ws, root, path, strlen(path), &n, &err), &err);
	must(pfs_workspace_setattr(ws, n, PFS_NODE_MODE, &set, &err), &err);
	pfs_node_unref(&n);
	pfs_node_unref(&root);
	pfs_history_release(w.h, &ws);
}

static size_t count_changes(void)
{
	struct pfs_change *list = NULL;
	struct pfs_error err = { 0 };
	size_t n = 0;

	must(pfs_commit_status(w.h, "books", "master", 0, &list, &n, &err), &err);
	pfs_changes_free(&list, n);
	return n;
}

Test(fsck, what_a_workspace_keeps_in_the_store_is_named_by_branch_and_path)
{
	struct pfs_fsck_report r;

	write_text("text", 1);
	commit();
	fill_up(100);
	change_mode("text");
	for (int closed = 0; closed < 2; closed++) {
		if (closed)
			reopen();
		else
			damage_text(1);
		r = fsck(PFS_FSCK_FULL, false);
		cr_expect_eq(r.missing, 1, "the same object is told of once: %s", said.all);
		cr_expect_eq(r.affected, 2, "%s", said.all);
		expect_said("books@master:/text, not committed, cannot be read whole");
	}
}

static bool remove_spool_file(const char *path, const void *part, size_t len)
{
	return strstr(path, "/spool/") && unlink(path) == 0;
}

static void lose_spool_file(bool open)
{
	if (!open)
		world_close(&w);
	cr_assert(below(dir.path, remove_spool_file, NULL, 0), "no spool file");
	if (!open)
		reopen();
}

Test(fsck, a_spool_file_that_is_gone_is_named_in_an_open_workspace_too)
{
	struct pfs_fsck_report r;

	write_text("dir/new", 1);
	lose_spool_file(true);
	r = fsck(PFS_FSCK_REACH, false);
	cr_expect_eq(r.missing, 1, "%s", said.all);
	cr_expect_eq(r.affected, 1, "%s", said.all);
	expect_said("books@master:/dir/new, not committed: spool file");
	expect_said("books@master:/dir/new, not committed, cannot be read whole");
	r = fsck(PFS_FSCK_QUICK, false);
	cr_expect_eq(r.missing, 0, "that is for the next level: %s", said.all);
}

Test(fsck, the_rest_of_a_workspace_that_lost_a_file_can_be_used_again)
{
	struct pfs_fsck_report r;
	struct pfs_workspace *ws = NULL;
	struct pfs_error err = { 0 };

	write_text("first", 1);
	commit();
	write_text("dir/new", 2);
	world_close(&w);
	reopen();
	lose_spool_file(false);
	cr_expect_eq(pfs_history_workspace(w.h, "books", "master", &ws, &err), PFS_E_CORRUPT);
	r = fsck(PFS_FSCK_REACH, false);
	cr_expect_eq(r.missing, 1, "%s", said.all);
	cr_expect_eq(r.remaining, 1);
	r = fsck(PFS_FSCK_REACH, true);
	cr_expect_eq(r.missing, 1, "%s", said.all);
	cr_expect_eq(r.remaining, 1, "nothing brings the bytes back");
	expect_said("books@master:/dir/new, not committed, has zeros now where bytes are lost");
	cr_expect_null(strstr(said.all, "more path"), "it is the only one: %s", said.all);
	r = fsck(PFS_FSCK_REACH, false);
	cr_expect_eq(r.missing + r.remaining, 0, "%s", said.all);
	cr_expect_eq(count_changes(), 2, "dir and dir/new");
	write_text("third", 3);
	commit();
}

static bool ruin_journal(const char *path, const void *part, size_t len)
{
	const char *end = strrchr(path, '/');
	FILE *f;

	if (strcmp(end, "/journal.db-wal") == 0)
		unlink(path);
	if (strcmp(end, "/journal.db") != 0)
		return false;
	f = fopen(path, "w");
	cr_assert(f);
	fputs("this is not a database, this is a text", f);
	fclose(f);
	return true;
}

Test(fsck, a_workspace_that_lost_its_journal_is_put_aside)
{
	struct pfs_fsck_report r;
	struct pfs_workspace *ws = NULL;
	struct pfs_error err = { 0 };
	char lost[400];

	write_text("first", 1);
	commit();
	write_text("new", 2);
	world_close(&w);
	cr_assert(below(dir.path, ruin_journal, NULL, 0), "no journal");
	reopen();
	cr_expect_lt(pfs_history_workspace(w.h, "books", "master", &ws, &err), 0);
	r = fsck(PFS_FSCK_REACH, false);
	cr_expect_eq(r.missing, 1, "%s", said.all);
	expect_said("what is not committed on books@master");
	cr_expect_null(strstr(said.all, "run pfs fsck"), "it runs: %s", said.all);
	r = fsck(PFS_FSCK_REACH, true);
	cr_expect_eq(r.mended, 1, "%s", said.all);
	cr_expect_eq(r.remaining, 1, "%s", said.all);
	snprintf(lost, sizeof(lost), "is now %.300s/lost/", dir.path);
	expect_said(lost);
	r = fsck(PFS_FSCK_REACH, false);
	cr_expect_eq(r.missing, 0, "%s", said.all);
	cr_expect_eq(count_changes(), 0);
	write_text("third", 3);
	commit();
}

static bool remove_journal(const char *path, const void *part, size_t len)
{
	const char *end = strrchr(path, '/');

	if (strcmp(end, "/journal.db-wal") == 0)
		unlink(path);
	return strcmp(end, "/journal.db") == 0 && unlink(path) == 0;
}

static bool empty_journal(const char *path, const void *part, size_t len)
{
	return strcmp(strrchr(path, '/'), "/journal.db") == 0 && truncate(path, 0) == 0;
}

static bool is_spool_file(const char *path, const void *part, size_t len)
{
	return strstr(path, part) && strstr(path, "/spool/") && strchr(strrchr(path, '/'), '-');
}

static bool has_spool_files(const char *below_folder)
{
	return below(dir.path, is_spool_file, below_folder, 0);
}

static void check_lost_journal(bool (*lose)(const char *path, const void *part, size_t len))
{
	struct pfs_fsck_report r;
	struct pfs_workspace *ws = NULL;
	struct pfs_error err = { 0 };

	write_text("first", 1);
	commit();
	write_text("new", 2);
	world_close(&w);
	cr_assert(below(dir.path, lose, NULL, 0), "no journal");
	reopen();
	r = fsck(PFS_FSCK_REACH, false);
	cr_expect_eq(r.missing, 1, "%s", said.all);
	expect_said("what is not committed on books@master");
	expect_said("journal.db is lost");
	cr_expect_eq(pfs_history_workspace(w.h, "books", "master", &ws, &err), PFS_E_CORRUPT);
	cr_expect(strstr(err.text, "fsck"), "%s", err.text);
	cr_expect(strstr(err.text, "books@master"), "%s", err.text);
	cr_expect(has_spool_files("/workspaces/"), "opening must not remove anything");
	r = fsck(PFS_FSCK_REACH, true);
	cr_expect_eq(r.mended, 1, "%s", said.all);
	cr_expect_eq(r.remaining, 1, "%s", said.all);
	cr_expect(has_spool_files("/lost/"), "%s", said.all);
	r = fsck(PFS_FSCK_REACH, false);
	cr_expect_eq(r.missing, 0, "%s", said.all);
	cr_expect_eq(count_changes(), 0);
	write_text("third", 3);
	commit();
}

Test(fsck, files_without_a_journal_are_damage_and_put_aside)
{
	check_lost_journal(remove_journal);
}

Test(fsck, files_with_an_empty_journal_are_likewise)
{
	check_lost_journal(empty_journal);
}

/* --- a folder that nobody has open ------------------------------------------------ */

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

Test(fsck, names_that_are_gone_are_restored_with_what_was_not_committed)
{
	make_two_commits();
	lose_names("rm meta.db");
	check_restored();
}

Test(fsck, names_that_were_emptied_are_restored_likewise)
{
	make_two_commits();
	lose_names(": > meta.db");
	check_restored();
}

Test(fsck, a_database_that_cannot_be_read_is_put_aside)
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

Test(fsck, a_damaged_page_of_the_database_is_mended_whichever_it_is)
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

Test(fsck, a_damaged_index_of_the_database_costs_nothing)
{
	check_rescue("commits_by_repo", true);
	cr_expect_null(strstr(said.all, "restored"), "%s", said.all);
}

Test(fsck, damaged_pipelines_are_told_and_the_rest_stays)
{
	check_rescue("pipelines", false);
	cr_expect_null(strstr(said.all, "restored"), "%s", said.all);
}

Test(fsck, damaged_names_come_from_records)
{
	check_rescue("commits", false);
	expect_said("restored from its record");
	expect_said("pipelines and jobs are not in the records");
}

Test(fsck, a_damaged_page_of_an_open_database_is_told_with_what_to_do)
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

Test(fsck, a_copy_of_the_superblock_that_is_damaged_is_warned_of_until_it_is_mended)
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

Test(fsck, only_a_data_folder_that_nobody_has_open_is_looked_at)
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

Test(fsck, scrubbing_goes_on_where_it_was)
{
	struct pfs_scrub_options o = PFS_SCRUB_OPTIONS_INIT;
	struct pfs_scrub_state s = { 0 };
	struct pfs_error err = { 0 };
	unsigned steps = 0;

	for (unsigned i = 0; i < 4; i++)
		fill_up(100 * i);
	do {
		must(pfs_history_scrub(w.h, &o, &s, &err), &err);
		if (++steps == 2)
			reopen();
	} while (s.pack && steps < 1000);
	cr_expect(steps > 3 && steps < 1000, "%u steps", steps);
	cr_expect_eq(s.rounds, 1);
	cr_expect_eq(s.last_damages, 0);
	cr_expect_geq(s.round_ended_ns, s.round_began_ns);
	damage_text(0);
	o.budget_bytes = UINT64_MAX;
	must(pfs_history_scrub(w.h, &o, &s, &err), &err);
	cr_expect_eq(s.rounds, 2);
	cr_expect_eq(s.last_damages, 1);
}
