/* A repair rewrites the packs in which it found damage. */
#include "../fsck_fixture.h"

TestSuite(fsck_renew, .init = setup, .fini = teardown, .timeout = 120);

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

Test(fsck_renew, a_pack_whose_damage_was_mended_is_rewritten)
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

Test(fsck_renew, a_pack_that_is_being_written_is_rewritten_likewise)
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

Test(fsck_renew, a_pack_that_is_open_and_nobody_writes_to_since_it_is_damaged_is_rewritten)
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

Test(fsck_renew, a_damaged_pack_of_which_something_needed_is_lost_stays_until_there_is_a_copy)
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

Test(fsck_renew, damage_that_nobody_needs_goes_with_its_pack)
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

Test(fsck_renew, a_pack_with_a_damaged_header_or_footer_is_rewritten)
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

Test(fsck_renew, a_pack_of_another_store_is_left_alone)
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
