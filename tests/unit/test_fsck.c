/* What is found, and where. */
#include "../fsck_fixture.h"

TestSuite(fsck, .init = setup, .fini = teardown, .timeout = 120);

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
	/* The record of a commit may be in it, and comes back from the database. */
	cr_expect_eq(r.remaining + r.mended, r.missing, "%s", said.all);
	expect_said("cannot be read whole");
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

static void collect(void)
{
	struct pfs_gc_options how = PFS_GC_OPTIONS_INIT;
	struct pfs_gc_report collected;
	struct pfs_error err = { 0 };

	how.thorough = true;
	must(pfs_gc_run(w.h, &how, &collected, &err), &err);
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
	expect_said("`pfs gc --thorough` removes it");
	collect();
	cr_expect_eq(fsck(PFS_FSCK_FULL, false).unnamed_records, 0, "%s", said.all);
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
