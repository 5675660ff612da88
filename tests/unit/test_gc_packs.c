/* What a collection does with deltas, bundles and adopted files. */
#include "../gc_fixture.h"

/* --- kinds of records and packs -------------------------------------------- */

static struct pfs_store_stats stats_of(struct house *s)
{
	struct pfs_store_stats stats;

	pfs_store_stats(s->w.store, &stats);
	return stats;
}

#define EDITED 14000

/* A file that is one chunk: `edit` bytes of it are other than those of edit 0. */
static char *edited_text(unsigned edit)
{
	char *text = text_of(1, EDITED);

	for (unsigned i = 0; i < edit; i++)
		text[500 + 600 * i] ^= 1;
	return text;
}

/* As a delta against edit 0, once that is durable. */
static void put_edited(struct house *s, const char *repo, unsigned edit)
{
	char *text = edited_text(edit), *base = edited_text(0);
	struct pfs_store_item item = { .data = text, .len = EDITED };
	struct pfs_error err = { 0 };
	struct pfs_id near;

	pfs_store_id(s->w.store, PFS_KIND_CHUNK, base, EDITED, &near);
	item.near = &near;
	if (edit)
		must(pfs_store_put_batch(s->w.store, PFS_KIND_CHUNK, &item, 1, &err), &err);
	must(world_write(&s->w, repo, "master", "edited", text, &err), &err);
	free(text);
	free(base);
}

static void expect_edited(struct house *s, const char *repo, const struct pfs_commit_id *id,
			  unsigned edit)
{
	char *text = edited_text(edit), got[EDITED + 2];
	struct pfs_error err = { 0 };

	must(world_read(&s->w, repo, id, "edited", got, sizeof(got), &err), &err);
	cr_assert_eq(strcmp(got, text), 0, "edit %u is another one", edit);
	free(text);
}

/*
 * Another repo has what this one's file was edited from, in packs before it.
 * Each collection moves some of it: bases that nothing names go along as long as
 * deltas lean on them.
 */
Test(gc_packs, a_base_stays_for_its_deltas_wherever_both_move)
{
	struct pfs_commit_id ids[8];
	struct pfs_gc_report r;
	struct house s;
	char name[20];

	house_open(&s);
	make(&s, "gone");
	put_edited(&s, "gone", 0);
	put(&s, "gone", "fill", 100, DATA_TARGET);
	commit(&s, "gone");
	make(&s, "kept");
	for (unsigned i = 0; i < 8; i++) {
		put_edited(&s, "kept", i + 1);
		ids[i] = commit(&s, "kept");
		snprintf(name, sizeof(name), "fill%u", i);
		put(&s, "gone", name, 200 + i, DATA_TARGET / 4);
		commit(&s, "gone");
	}
	cr_assert_geq(stats_of(&s).deltas, 8);
	drop(&s, "gone");
	for (unsigned again = 0; again < 3; again++) {
		run(&s, false, true);
		for (unsigned i = 0; i < 8; i++)
			expect_edited(&s, "kept", &ids[i], i + 1);
		check(&s);
		r = run(&s, true, true);
		cr_expect_eq(r.dead_bytes + r.double_bytes, 0);
		cr_expect_eq(r.live_bytes, bytes_on_disk(&s));
		make(&s, "more");
		put(&s, "more", "a", 300 + again, 2 * DATA_TARGET);
		put_edited(&s, "more", 12 + again);
		commit(&s, "more");
		drop(&s, "more");
	}
	house_down(&s);
	house_up(&s);
	for (unsigned i = 0; i < 8; i++)
		expect_edited(&s, "kept", &ids[i], i + 1);
	drop(&s, "kept");
	run(&s, false, true);
	cr_expect_eq(run(&s, true, true).live_objects, 0);
	cr_expect_eq(bytes_on_disk(&s), 0);
	house_fini(&s);
}

/* Small chunks that lie in packs into bundles. */
static void bundle_all(struct house *s)
{
	const struct pfs_repack_options o = { .budget = 64u << 20 };
	struct pfs_repack_done done = { 0 };
	struct pfs_repack *r = NULL;
	struct pfs_error err = { 0 };
	int rc;

	bytes_on_disk(s); /* which seals them */
	must(pfs_repack_new(s->w.store, 0, &r, &err), &err);
	while ((rc = pfs_repack_step(r, &o, &done, &err)) == 1)
		;
	must(rc, &err);
	pfs_repack_free(&r);
	cr_assert_gt(stats_of(s).bundled, 0);
}

static void put_small(struct house *s, const char *repo, unsigned first, unsigned n)
{
	char name[20];

	for (unsigned i = first; i < first + n; i++) {
		snprintf(name, sizeof(name), "n%u", i);
		put(s, repo, name, i, 300 + i);
	}
}

static void expect_small(struct house *s, const struct pfs_commit_id *id, unsigned first,
			 unsigned n)
{
	char name[20];

	for (unsigned i = first; i < first + n; i++) {
		snprintf(name, sizeof(name), "n%u", i);
		expect(s, "kept", id, name, i, 300 + i);
	}
}

Test(gc_packs, a_bundle_stays_while_one_of_its_members_is_wanted)
{
	struct pfs_commit_id id;
	struct pfs_gc_report r;
	struct house s;
	uint64_t before;

	house_open(&s);
	make(&s, "kept");
	make(&s, "gone");
	make(&s, "whole");
	for (unsigned i = 0; i < 20; i++) {
		put_small(&s, "gone", 1000 + 20 * i, 19);
		put_small(&s, "kept", 20 * i, 2);
	}
	put_small(&s, "whole", 2000, 200);
	commit(&s, "gone");
	id = commit(&s, "kept");
	commit(&s, "whole");
	bundle_all(&s);
	before = bytes_on_disk(&s);
	/* Some members go and come again, so that they are there twice. */
	drop(&s, "gone");
	r = run(&s, false, true);
	cr_expect_eq(before - bytes_on_disk(&s), r.freed_bytes);
	for (unsigned i = 0; i < 20; i++)
		expect_small(&s, &id, 20 * i, 2);
	make(&s, "gone");
	put_small(&s, "gone", 1000, 300);
	commit(&s, "gone");
	bundle_all(&s);
	drop(&s, "whole");
	r = run(&s, false, true);
	cr_expect_gt(r.freed_bytes, 0);
	drop(&s, "gone");
	run(&s, false, true);
	for (unsigned i = 0; i < 20; i++)
		expect_small(&s, &id, 20 * i, 2);
	r = run(&s, true, true);
	cr_expect_eq(r.freed_bytes + r.left_bytes, 0);
	cr_expect_eq(r.live_bytes, bytes_on_disk(&s));
	check(&s);
	drop(&s, "kept");
	run(&s, false, true);
	cr_expect_eq(bytes_on_disk(&s), 0, "not one of its members");
	house_fini(&s);
}

#define PIECE 14000

/* A file of these pieces becomes part of the store as it is. */
static void adopt(struct house *s, unsigned first, unsigned n)
{
	PFS_AUTO(pfs_adoption_abort) struct pfs_adoption *a = NULL;
	struct pfs_error err = { 0 };
	char path[300];
	int fd;

	snprintf(path, sizeof(path), "%s/adoptee", s->dir.path);
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	must(pfs_adoption_begin(s->w.store, &a, &err), &err);
	for (unsigned i = 0; i < n; i++) {
		char *text = text_of(first + i, PIECE);
		struct pfs_store_item item = { .data = text, .len = PIECE };

		cr_assert_eq(write(fd, text, PIECE), PIECE);
		must(pfs_adoption_add(a, (uint64_t)i * PIECE, &item, 1, &err), &err);
		free(text);
	}
	close(fd);
	must(pfs_adoption_commit(&a, AT_FDCWD, path, &err), &err);
	cr_assert_eq(unlink(path), 0);
	must(pfs_store_sync(s->w.store, &err), &err);
}

static struct pfs_pack *adopted_pack(struct house *s)
{
	struct pfs_store_parts parts;
	struct pfs_pack *pack;
	size_t pos = 0;

	cr_assert(pfs_store_parts(s->w.store, &parts));
	while ((pack = pfs_packset_next(parts.set, &pos)))
		if (pack->kind == PFS_PACK_ADOPTED)
			return pack;
	return NULL;
}

static bool is_there(struct house *s, const struct pfs_pack *pack, bool table)
{
	char path[PFS_PACK_PATH_SIZE];
	struct pfs_store_parts parts;

	cr_assert(pfs_store_parts(s->w.store, &parts));
	if (table)
		pfs_pack_table_path(pack->uuid, path);
	else
		pfs_pack_path(pack->uuid, pack->kind, true, path);
	return faccessat(parts.dir, path, F_OK, 0) == 0;
}

static void put_pieces(struct house *s, const char *repo, unsigned first, unsigned n)
{
	char name[20];

	for (unsigned i = first; i < first + n; i++) {
		snprintf(name, sizeof(name), "p%u", i);
		put(s, repo, name, i, PIECE);
	}
}

Test(gc_packs, an_adopted_file_goes_as_a_whole_or_leaves_what_is_wanted_compressed)
{
	struct pfs_commit_id id;
	struct pfs_store_parts parts;
	struct pfs_error err = { 0 };
	char *want = text_of(12, PIECE), got[PIECE];
	struct pfs_gc_report r;
	struct pfs_pack *pack;
	struct house s;
	int fd = -1;

	house_open(&s);
	adopt(&s, 0, 20);
	pack = adopted_pack(&s);
	make(&s, "kept");
	make(&s, "gone");
	put_pieces(&s, "kept", 0, 18);
	put_pieces(&s, "gone", 10, 10);
	id = commit(&s, "kept");
	commit(&s, "gone");
	cr_assert_eq(stats_of(&s).adopted_files, 1);
	drop(&s, "gone");
	/* Two of twenty: that does not pay. */
	r = run(&s, false, false);
	cr_expect_eq(r.freed_bytes, 0);
	cr_expect(is_there(&s, pack, false) && is_there(&s, pack, true));
	/* Somebody reads from the file itself while it goes. */
	cr_assert(pfs_store_parts(s.w.store, &parts));
	must(pfs_packset_lend(parts.set, pack, &fd, &err), &err);
	r = run(&s, false, true);
	cr_expect_gt(r.copied_bytes, 18u * PIECE / 2);
	cr_expect_lt(r.copied_bytes, 18u * PIECE, "compressed");
	cr_expect_not(is_there(&s, pack, false) || is_there(&s, pack, true));
	cr_expect_eq(pread(fd, got, PIECE, 12 * PIECE), PIECE);
	cr_expect_eq(memcmp(got, want, PIECE), 0);
	pfs_packset_return(parts.set, pack);
	for (unsigned i = 0; i < 18; i++) {
		char name[20];

		snprintf(name, sizeof(name), "p%u", i);
		expect(&s, "kept", &id, name, i, PIECE);
	}
	check(&s);
	/* Another one, of which nothing is wanted in the end. */
	adopt(&s, 50, 8);
	pack = adopted_pack(&s);
	make(&s, "gone");
	put_pieces(&s, "gone", 50, 8);
	commit(&s, "gone");
	cr_expect_eq(run(&s, false, true).freed_bytes, 0);
	cr_expect(is_there(&s, pack, false) && is_there(&s, pack, true));
	drop(&s, "gone");
	r = run(&s, false, false);
	cr_expect_geq(r.freed_bytes, 8u * PIECE);
	cr_expect_not(is_there(&s, pack, false) || is_there(&s, pack, true));
	house_down(&s);
	house_up(&s);
	expect(&s, "kept", &id, "p7", 7, PIECE);
	cr_expect_eq(stats_of(&s).adopted_files, 0);
	check(&s);
	free(want);
	house_fini(&s);
}
