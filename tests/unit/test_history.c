#include "../history_fixture.h"

Test(history, a_repo_from_birth_to_death)
{
	struct pfs_repo repo, *list = NULL;
	struct pfs_error err = { 0 };
	struct house s;
	size_t n = 0;

	house_open(&s);
	make(&s, "books", "master");
	make(&s, "alpha", "master");
	must(pfs_repo_list(s.h, &list, &n, &err), &err);
	cr_assert_eq(n, 2);
	cr_expect_str_eq(list[0].name, "alpha");
	free(list);
	put(&s, "books", "master", "a", "twelve bytes");
	cr_expect_eq(pfs_repo_delete(s.h, "books", false, &err), PFS_E_NOTEMPTY);
	cr_expect(strstr(err.text, "books") && strstr(err.text, "master"), "%s", err.text);
	commit(&s, "books", "master");
	must(pfs_repo_inspect(s.h, "books", &repo, &err), &err);
	cr_expect_eq(repo.branches, 1);
	cr_expect_eq(repo.commits, 1);
	cr_expect_eq(repo.size_bytes, 12);
	cr_expect_eq(pfs_repo_delete(s.h, "books", false, &err), PFS_E_NOTEMPTY);
	must(pfs_repo_delete(s.h, "books", true, &err), &err);
	must(pfs_repo_delete(s.h, "alpha", false, &err), &err);
	cr_expect_eq(pfs_repo_inspect(s.h, "books", &repo, &err), PFS_E_NOTFOUND);
	cr_expect_eq(pfs_repo_delete(s.h, "books", true, &err), PFS_E_NOTFOUND);
	make(&s, "books", "master"); /* the name is free, and nothing is left of the old one */
	must(pfs_repo_inspect(s.h, "books", &repo, &err), &err);
	cr_expect_eq(repo.commits, 0);
	must(pfs_repo_delete(s.h, "books", false, &err), &err);
	house_fini(&s);
}

static size_t count_folders(const struct house *s)
{
	char path[300];
	struct dirent *d;
	size_t n = 0;
	DIR *dir;

	snprintf(path, sizeof(path), "%s/workspaces", s->dir.path);
	dir = opendir(path);
	cr_assert_not_null(dir);
	while ((d = readdir(dir)))
		n += d->d_name[0] != '.';
	closedir(dir);
	return n;
}

Test(history, a_folder_goes_with_its_branch)
{
	struct pfs_workspace *ws = NULL;
	struct pfs_error err = { 0 };
	struct house s;
	char path[300];

	house_open(&s);
	make(&s, "books", "master");
	make(&s, "books", "other");
	put(&s, "books", "master", "a", "1");
	put(&s, "books", "other", "a", "1");
	cr_expect_eq(count_folders(&s), 2);
	must(pfs_history_workspace(s.h, "books", "other", &ws, &err), &err);
	must(pfs_branch_delete(s.h, "books", "other", true, &err), &err);
	cr_expect_eq(count_folders(&s), 2, "somebody still reads it");
	pfs_history_release(s.h, &ws);
	cr_expect_eq(count_folders(&s), 1);
	must(pfs_repo_delete(s.h, "books", true, &err), &err);
	cr_expect_eq(count_folders(&s), 0);
	house_down(&s);
	snprintf(path, sizeof(path), "%s/workspaces/0123", s.dir.path);
	cr_assert_eq(mkdir(path, 0700), 0);
	house_up(&s);
	cr_expect_eq(count_folders(&s), 0, "an orphan stays");
	house_fini(&s);
}

Test(history, a_commit_holds_what_was_written_before_it)
{
	PFS_AUTO(pfs_commit_fini) struct pfs_commit c = { 0 };
	struct pfs_commit_options o = PFS_COMMIT_OPTIONS_INIT;
	struct pfs_commit_id one, two, three;
	struct pfs_error err = { 0 };
	struct house s;

	house_open(&s);
	make(&s, "books", "master");
	put(&s, "books", "master", "a", "first");
	put(&s, "books", "master", "d/e/f", "deep");
	one = commit(&s, "books", "master");
	put(&s, "books", "master", "a", "second");
	put(&s, "books", "master", "b", "new");
	o.message = "the second";
	must(pfs_commit_branch(s.h, "books", "master", &o, &two, &err), &err);
	three = commit(&s, "books", "master"); /* nothing changed: a commit all the same */
	for (int again = 0; again < 2; again++) {
		expect_text(&s, "books", &one, "a", "first");
		expect_text(&s, "books", &one, "d/e/f", "deep");
		expect_text(&s, "books", &one, "b", NULL);
		expect_text(&s, "books", &two, "a", "second");
		expect_text(&s, "books", &two, "b", "new");
		expect_text(&s, "books", &two, "d/e/f", "deep");
		house_down(&s);
		house_up(&s);
	}
	must(pfs_commit_inspect(s.h, "books", "master^", &c, &err), &err);
	cr_expect(pfs_commit_id_equal(&c.id, &two));
	cr_expect(c.has_parent && pfs_commit_id_equal(&c.parent, &one));
	cr_expect_str_eq(c.message, "the second");
	cr_expect_str_eq(c.branch, "master");
	cr_expect_str_eq(c.repo, "books");
	cr_expect_null(c.error);
	cr_expect_eq(c.origin, PFS_ORIGIN_USER);
	cr_expect_eq(c.files, 5, "a b d d/e d/e/f");
	cr_expect_eq(c.size_bytes, 13);
	cr_expect_leq(c.started_ns, c.finished_ns);
	pfs_commit_fini(&c);
	must(pfs_commit_inspect(s.h, "books", "master", &c, &err), &err);
	cr_expect(pfs_commit_id_equal(&c.id, &three));
	house_fini(&s);
}

Test(history, the_record_in_the_store_says_what_the_row_says)
{
	PFS_AUTO(pfs_commit_fini) struct pfs_commit c = { 0 }, parent = { 0 };
	PFS_AUTO(pfs_object_unref) const struct pfs_object *o = NULL;
	PFS_AUTO(pfs_commitrec_fini) struct pfs_commitrec rec = { 0 };
	struct pfs_error err = { 0 };
	struct house s;

	house_open(&s);
	make(&s, "books", "master");
	put(&s, "books", "master", "a", "1");
	commit(&s, "books", "master");
	put(&s, "books", "master", "a", "22");
	commit(&s, "books", "master");
	must(pfs_commit_inspect(s.h, "books", "master", &c, &err), &err);
	must(pfs_commit_inspect(s.h, "books", "master.1", &parent, &err), &err);
	must(pfs_store_get(s.w.store, PFS_KIND_COMMIT, &c.digest, &o, &err), &err);
	must(pfs_commitrec_decode(o->data, o->len, &rec, &err), &err);
	cr_expect(pfs_commit_id_equal(&rec.id, &c.id));
	cr_expect(pfs_commit_id_equal(&rec.parent, &parent.id));
	cr_expect(pfs_id_equal(&rec.parent_digest, &parent.digest));
	cr_expect(pfs_id_equal(&rec.root, &c.root));
	cr_expect_eq(rec.number, 2);
	cr_expect_eq(rec.bytes, 2);
	cr_expect_eq(rec.files, 1);
	cr_expect_eq(rec.started_ns, c.started_ns);
	cr_expect_str_eq(rec.repo, "books");
	pfs_commit_fini(&parent);
	house_fini(&s);
}

Test(history, revisions_mean_what_they_say)
{
	struct pfs_commit_id ids[5], got;
	char full[PFS_COMMIT_ID_HEX_SIZE], prefix[9], upper[PFS_COMMIT_ID_HEX_SIZE];
	char stepped[64];
	struct pfs_error err = { 0 };
	struct house s;

	house_open(&s);
	make(&s, "books", "master");
	make(&s, "books", "empty");
	for (int i = 0; i < 4; i++)
		ids[i] = commit(&s, "books", "master");
	must(pfs_branch_create(s.h, "books", "side", "master^2", &err), &err);
	ids[4] = commit(&s, "books", "side"); /* number 3 on another line */
	pfs_commit_id_format(&ids[1], full);
	for (size_t i = 0; i < sizeof(full); i++)
		upper[i] = full[i] >= 'a' && full[i] <= 'f' ? (char)(full[i] - 32) : full[i];
	snprintf(prefix, sizeof(prefix), "%.8s", full);
	snprintf(stepped, sizeof(stepped), "%s^1", full);
	must(pfs_branch_create(s.h, "books", "deadbeef", "master.1", &err), &err);
	const struct {
		const char *rev;
		int want;
		int index;
		const char *says;
	} table[] = {
		{ "master", 0, 3, "" },
		{ "master^", 0, 2, "" },
		{ "master^1", 0, 2, "" },
		{ "master^2", 0, 1, "" },
		{ "master^^", 0, 1, "" },
		{ "master^^1", 0, 1, "" },
		{ "master^3", 0, 0, "" },
		{ "master^0", 0, 3, "" },
		{ "master.1", 0, 0, "" },
		{ "master.4", 0, 3, "" },
		{ "master^.1", 0, 0, "" },
		{ "master.3^", 0, 1, "" },
		{ "side", 0, 4, "" },
		{ "side^", 0, 1, "" },
		{ "side.3", 0, 4, "" },
		{ "side.2", 0, 1, "" },
		{ "deadbeef", 0, 0, "" },
		{ full, 0, 1, "" },
		{ upper, 0, 1, "" },
		{ prefix, 0, 1, "" },
		{ stepped, 0, 0, "" },
		{ "empty", PFS_E_NOTFOUND, 0, "no commit yet" },
		{ "nobody", PFS_E_NOTFOUND, 0, "nobody" },
		{ "master^4", PFS_E_NOTFOUND, 0, "3 commits before it, not 4" },
		{ "master.5", PFS_E_NOTFOUND, 0, "no 5" },
		{ "master.0", PFS_E_NOTFOUND, 0, "no 0" },
		{ "0123456", PFS_E_NOTFOUND, 0, "0123456" },
		{ "0123456789abcdef0123456789abcdef", PFS_E_NOTFOUND, 0, "0123456789abcdef" },
		{ "0123456789abcdef0123456789abcdef0", PFS_E_INVALID, 0, "too long" },
		{ "", PFS_E_INVALID, 0, "does not start" },
		{ "^", PFS_E_INVALID, 0, "does not start" },
		{ "master.", PFS_E_INVALID, 0, "number" },
		{ "master.x", PFS_E_INVALID, 0, "number" },
		{ "master^x", PFS_E_INVALID, 0, "neither" },
		{ "master^1x", PFS_E_INVALID, 0, "neither" },
		{ "master^99999999999999999999", PFS_E_INVALID, 0, "too long" },
		{ "master^-1", PFS_E_INVALID, 0, "neither" },
		{ "master/../x", PFS_E_NOTFOUND, 0, "master/" },
	};
	for (size_t i = 0; i < sizeof(table) / sizeof(*table); i++) {
		int rc = pfs_rev_resolve(s.h, "books", table[i].rev, &got, &err);

		cr_expect_eq(rc, table[i].want, "\"%s\": %d %s", table[i].rev, rc, err.text);
		if (rc == 0)
			cr_expect(pfs_commit_id_equal(&got, &ids[table[i].index]), "\"%s\"",
				  table[i].rev);
		else
			cr_expect(strstr(err.text, table[i].says), "\"%s\": %s", table[i].rev,
				  err.text);
	}
	cr_expect_eq(pfs_rev_resolve(s.h, "films", "master", &got, &err), PFS_E_NOTFOUND);
	cr_expect(strstr(err.text, "films"), "%s", err.text);
	house_fini(&s);
}

Test(history, errors_name_the_thing)
{
	struct pfs_commit_options o = PFS_COMMIT_OPTIONS_INIT, bad = { 0 };
	struct pfs_commit_id id;
	struct pfs_error err = { 0 };
	struct house s;

	house_open(&s);
	make(&s, "books", "master");
	id = commit(&s, "books", "master");
	o.id = &id;
#define EXPECT(call, want, words)                                              \
	do {                                                                   \
		memset(&err, 0, sizeof(err));                                  \
		cr_expect_eq(call, want, #call ": %d %s", err.code, err.text); \
		cr_expect(strstr(err.text, words), #call ": %s", err.text);    \
	} while (0)
	EXPECT(pfs_repo_create(s.h, "books", &err), PFS_E_EXISTS, "\"books\" exists");
	EXPECT(pfs_repo_create(s.h, "a/b", &err), PFS_E_INVALID, "a/b");
	EXPECT(pfs_repo_create(s.h, "", &err), PFS_E_INVALID, "empty");
	EXPECT(pfs_repo_create(s.h, "..", &err), PFS_E_INVALID, "..");
	EXPECT(pfs_branch_create(s.h, "books", "master", NULL, &err), PFS_E_EXISTS,
	       "\"master\" exists");
	EXPECT(pfs_branch_create(s.h, "films", "x", NULL, &err), PFS_E_NOTFOUND, "films");
	EXPECT(pfs_branch_create(s.h, "books", "x", "nope", &err), PFS_E_NOTFOUND, "nope");
	EXPECT(pfs_branch_create(s.h, "books", ".pfs", NULL, &err), PFS_E_INVALID, ".pfs");
	EXPECT(pfs_branch_delete(s.h, "books", "x", true, &err), PFS_E_NOTFOUND, "\"x\"");
	EXPECT(pfs_branch_rename(s.h, "books", "x", "y", &err), PFS_E_NOTFOUND, "\"x\"");
	EXPECT(pfs_branch_rename(s.h, "books", "master", "a b", &err), PFS_E_INVALID, "a b");
	EXPECT(pfs_commit_branch(s.h, "books", "x", NULL, &id, &err), PFS_E_NOTFOUND, "\"x\"");
	EXPECT(pfs_commit_branch(s.h, "books", "master", &o, &id, &err), PFS_E_EXISTS, "already");
	EXPECT(pfs_commit_branch(s.h, "books", "master", &bad, &id, &err), PFS_E_INVALID,
	       "options");
	o.id = NULL;
	o.as_owner = "wordcount";
	EXPECT(pfs_commit_branch(s.h, "books", "master", &o, &id, &err), PFS_E_DENIED, "wordcount");
	EXPECT(pfs_commit_discard(s.h, "books", "x", NULL, &err), PFS_E_NOTFOUND, "\"x\"");
#undef EXPECT
	house_fini(&s);
}

Test(history, a_branch_from_a_commit_starts_with_its_files)
{
	struct pfs_commit_id one, two, side;
	struct pfs_error err = { 0 };
	struct pfs_branch b;
	struct house s;

	house_open(&s);
	make(&s, "books", "master");
	put(&s, "books", "master", "a", "1");
	one = commit(&s, "books", "master");
	put(&s, "books", "master", "a", "2");
	two = commit(&s, "books", "master");
	must(pfs_branch_create(s.h, "books", "side", "master^", &err), &err);
	put(&s, "books", "side", "b", "3");
	side = commit(&s, "books", "side");
	expect_text(&s, "books", &side, "a", "1");
	expect_text(&s, "books", &side, "b", "3");
	expect_text(&s, "books", &two, "b", NULL);
	must(pfs_branch_inspect(s.h, "books", "master", &b, &err), &err);
	cr_expect(b.has_head && pfs_commit_id_equal(&b.head, &two));
	cr_expect_eq(pfs_branch_delete(s.h, "books", "side", false, &err), PFS_E_NOTEMPTY);
	cr_expect(strstr(err.text, "no other branch"), "%s", err.text);
	must(pfs_branch_create(s.h, "books", "copy", "side", &err), &err);
	put(&s, "books", "copy", "c", "4");
	cr_expect_eq(pfs_branch_delete(s.h, "books", "copy", false, &err), PFS_E_NOTEMPTY);
	cr_expect(strstr(err.text, "not committed"), "%s", err.text);
	must(pfs_commit_discard(s.h, "books", "copy", NULL, &err), &err);
	must(pfs_branch_delete(s.h, "books", "copy", false, &err), &err);
	must(pfs_branch_delete(s.h, "books", "side", true, &err), &err);
	expect_text(&s, "books", &side, "b", "3"); /* commits stay */
	expect_text(&s, "books", &one, "a", "1");
	house_fini(&s);
}

Test(history, a_rename_takes_the_workspace_along)
{
	struct pfs_branch *list = NULL;
	struct pfs_workspace *ws = NULL, *again = NULL;
	struct pfs_commit_id id;
	struct pfs_error err = { 0 };
	struct house s;
	size_t n = 0;

	house_open(&s);
	make(&s, "books", "master");
	put(&s, "books", "master", "a", "1");
	must(pfs_history_workspace(s.h, "books", "master", &ws, &err), &err);
	must(pfs_branch_rename(s.h, "books", "master", "main", &err), &err);
	must(pfs_history_workspace(s.h, "books", "main", &again, &err), &err);
	cr_expect_eq(ws, again);
	pfs_history_release(s.h, &again);
	pfs_history_release(s.h, &ws);
	id = commit(&s, "books", "main");
	expect_text(&s, "books", &id, "a", "1");
	must(pfs_branch_list(s.h, "books", &list, &n, &err), &err);
	cr_assert_eq(n, 1);
	cr_expect_str_eq(list[0].name, "main");
	free(list);
	house_fini(&s);
}

Test(history, a_commit_with_an_error_is_nobodys_parent)
{
	PFS_AUTO(pfs_commit_fini) struct pfs_commit c = { 0 };
	struct pfs_commit_options o = PFS_COMMIT_OPTIONS_INIT;
	char text[PFS_COMMIT_ID_HEX_SIZE];
	struct pfs_commit_id good, failed, next;
	struct pfs_error err = { 0 };
	struct house s;

	house_open(&s);
	make(&s, "books", "master");
	put(&s, "books", "master", "a", "good");
	good = commit(&s, "books", "master");
	put(&s, "books", "master", "a", "half");
	o.error = "it broke";
	must(pfs_commit_branch(s.h, "books", "master", &o, &failed, &err), &err);
	must(pfs_rev_resolve(s.h, "books", "master", &next, &err), &err);
	cr_expect(pfs_commit_id_equal(&next, &good), "it became the head");
	must(pfs_commit_inspect(s.h, "books", pfs_commit_id_format(&failed, text), &c, &err), &err);
	cr_expect_str_eq(c.error, "it broke");
	expect_text(&s, "books", &failed, "a", "half");
	must(pfs_commit_discard(s.h, "books", "master", NULL, &err), &err);
	next = commit(&s, "books", "master");
	expect_text(&s, "books", &next, "a", "good");
	pfs_commit_fini(&c);
	must(pfs_commit_inspect(s.h, "books", "master", &c, &err), &err);
	cr_expect(pfs_commit_id_equal(&c.parent, &good));
	house_fini(&s);
}

Test(history, a_commit_set_shares_an_id_and_remembers_where_from)
{
	PFS_AUTO(pfs_commit_fini) struct pfs_commit c = { 0 };
	struct pfs_commit_options o = PFS_COMMIT_OPTIONS_INIT;
	struct pfs_provenance on[3] = { { .repo = "films" },
					{ .repo = "books" },
					{ .repo = "books" } };
	struct pfs_commit_id input, film, out;
	struct pfs_commit *list = NULL;
	struct pfs_error err = { 0 };
	struct house s;
	size_t n = 0;

	house_open(&s);
	make(&s, "books", "master");
	make(&s, "films", "master");
	make(&s, "wordcount", "master");
	input = commit(&s, "books", "master");
	film = commit(&s, "films", "master");
	on[0].id = film;
	on[1].id = input;
	on[2].id = input; /* said twice, kept once */
	o.id = &input;
	o.origin = PFS_ORIGIN_AUTO;
	o.provenance = on;
	o.n_provenance = 3;
	must(pfs_commit_branch(s.h, "wordcount", "master", &o, &out, &err), &err);
	cr_expect(pfs_commit_id_equal(&out, &input));
	cr_expect_eq(pfs_commit_branch(s.h, "wordcount", "master", &o, &out, &err), PFS_E_EXISTS);
	must(pfs_commit_set(s.h, &input, &list, &n, &err), &err);
	cr_assert_eq(n, 2);
	cr_expect_str_eq(list[0].repo, "books");
	cr_expect_str_eq(list[1].repo, "wordcount");
	cr_expect_eq(list[1].origin, PFS_ORIGIN_AUTO);
	cr_assert_eq(list[1].n_provenance, 2);
	cr_expect_str_eq(list[1].provenance[0].repo, "books");
	cr_expect_str_eq(list[1].provenance[1].repo, "films");
	cr_expect(pfs_commit_id_equal(&list[1].provenance[1].id, &film));
	pfs_commits_free(&list, n);
	on[0].id.bytes[3] ^= 1;
	o.id = NULL;
	cr_expect_eq(pfs_commit_branch(s.h, "wordcount", "master", &o, &out, &err), PFS_E_NOTFOUND);
	cr_expect(strstr(err.text, "films"), "%s", err.text);
	house_fini(&s);
}

#define PARALLEL 50
struct hand {
	struct house *s;
	const char *branch;
	struct pfs_commit_id ids[PARALLEL];
	char failure[PFS_ERROR_TEXT_SIZE];
};

static void *commit_often(void *arg)
{
	struct hand *hand = arg;
	struct pfs_error err = { 0 };
	char text[32];
	int rc = 0;

	for (int i = 0; i < PARALLEL && rc == 0; i++) {
		snprintf(text, sizeof(text), "%s %d", hand->branch, i);
		rc = world_write(&hand->s->w, "books", hand->branch, "a", text, &err);
		if (rc == 0)
			rc = pfs_commit_branch(hand->s->h, "books", hand->branch, NULL,
					       &hand->ids[i], &err);
	}
	if (rc < 0)
		memcpy(hand->failure, err.text, sizeof(hand->failure));
	return NULL;
}

Test(history, two_branches_commit_side_by_side)
{
	struct hand left = { .branch = "left" }, right = { .branch = "right" };
	struct pfs_commit *list = NULL;
	struct pfs_error err = { 0 };
	pthread_t a, b;
	struct house s;
	size_t n = 0;
	char want[32];

	house_open(&s);
	make(&s, "books", "left");
	make(&s, "books", "right");
	left.s = right.s = &s;
	pthread_create(&a, NULL, commit_often, &left);
	pthread_create(&b, NULL, commit_often, &right);
	pthread_join(a, NULL);
	pthread_join(b, NULL);
	cr_assert_str_eq(left.failure, "");
	cr_assert_str_eq(right.failure, "");
	for (int i = 0; i < PARALLEL; i++) {
		snprintf(want, sizeof(want), "left %d", i);
		expect_text(&s, "books", &left.ids[i], "a", want);
		snprintf(want, sizeof(want), "right %d", i);
		expect_text(&s, "books", &right.ids[i], "a", want);
	}
	must(pfs_commit_list(s.h, "books", "left", 0, &list, &n, &err), &err);
	cr_assert_eq(n, PARALLEL);
	cr_expect(pfs_commit_id_equal(&list[0].id, &left.ids[PARALLEL - 1]), "newest first");
	pfs_commits_free(&list, n);
	must(pfs_commit_list(s.h, "books", NULL, 0, &list, &n, &err), &err);
	cr_expect_eq(n, 2 * PARALLEL);
	pfs_commits_free(&list, n);
	must(pfs_commit_list(s.h, "books", "right", 3, &list, &n, &err), &err);
	cr_expect_eq(n, 3);
	pfs_commits_free(&list, n);
	house_fini(&s);
}

Test(history, one_branch_takes_commits_from_many_threads)
{
	struct hand hands[3];
	struct pfs_commit *list = NULL;
	struct pfs_error err = { 0 };
	pthread_t t[3];
	struct house s;
	size_t n = 0;

	house_open(&s);
	make(&s, "books", "master");
	for (int i = 0; i < 3; i++) {
		hands[i] = (struct hand){ .branch = "master", .s = &s };
		pthread_create(&t[i], NULL, commit_often, &hands[i]);
	}
	for (int i = 0; i < 3; i++) {
		pthread_join(t[i], NULL);
		cr_expect_str_eq(hands[i].failure, "");
	}
	must(pfs_commit_list(s.h, "books", "master", 0, &list, &n, &err), &err);
	cr_assert_eq(n, 3 * PARALLEL, "a commit that is not in the line");
	pfs_commits_free(&list, n);
	house_fini(&s);
}

Test(history, every_change_of_names_is_an_event)
{
	static const struct {
		const char *kind, *repo, *branch;
		bool commit;
	} want[] = {
		{ "repo.created", "books", "", false },
		{ "branch.created", "books", "master", false },
		{ "commit.finished", "books", "master", true },
		{ "branch.created", "books", "side", true },
		{ "branch.renamed", "books", "edge", true },
		{ "branch.deleted", "books", "edge", true },
		{ "repo.deleted", "books", "", false },
	};
	struct pfs_event events[64];
	struct pfs_error err = { 0 };
	struct house s;
	size_t n = 0;

	house_open(&s);
	make(&s, "books", "master");
	commit(&s, "books", "master");
	must(pfs_branch_create(s.h, "books", "side", "master", &err), &err);
	must(pfs_branch_rename(s.h, "books", "side", "edge", &err), &err);
	must(pfs_branch_delete(s.h, "books", "edge", false, &err), &err);
	must(pfs_repo_delete(s.h, "books", true, &err), &err);
	must(pfs_event_read(s.h, 0, events, 64, &n, &err), &err);
	cr_assert_eq(n, sizeof(want) / sizeof(*want));
	for (size_t i = 0; i < n; i++) {
		cr_expect_str_eq(events[i].kind, want[i].kind);
		cr_expect_str_eq(events[i].repo, want[i].repo, "%s", want[i].kind);
		cr_expect_str_eq(events[i].branch, want[i].branch, "%s", want[i].kind);
		cr_expect_eq(pfs_commit_id_is_zero(&events[i].commit), !want[i].commit, "%s",
			     want[i].kind);
	}
	cr_expect_eq(pfs_event_newest(s.h), events[n - 1].number);
	cr_expect_eq(pfs_event_wait(s.h, 0, 0), 1);
	cr_expect_eq(pfs_event_wait(s.h, events[n - 1].number, 1), 0);
	house_fini(&s);
}

Test(history, reads_more_events_than_one_batch)
{
	static struct pfs_event events[100];
	struct pfs_error err = { 0 };
	struct pfs_txn *txn = NULL;
	struct house s;
	size_t n = 0;

	house_open(&s);
	must(pfs_txn_begin(s.w.meta, &txn, &err), &err);
	for (int i = 0; i < 90; i++)
		must(pfs_txn_add_event(txn, "repo.created", "r", "", NULL, &err), &err);
	must(pfs_txn_commit(&txn, &err), &err);
	must(pfs_event_read(s.h, 0, events, 100, &n, &err), &err);
	cr_expect_eq(n, 90);
	must(pfs_event_read(s.h, 10, events, 70, &n, &err), &err);
	cr_expect_eq(n, 70);
	cr_expect_eq(events[69].number, 80);
	must(pfs_event_read(s.h, 90, events, 70, &n, &err), &err);
	cr_expect_eq(n, 0);
	house_fini(&s);
}

static void own(struct house *s, const char *owner)
{
	struct pfs_error err = { 0 };
	struct pfs_txn *txn = NULL;

	must(pfs_txn_begin(s->w.meta, &txn, &err), &err);
	if (owner)
		must(pfs_history_add_output(s->h, txn, "out", "master", owner, &err), &err);
	else
		must(pfs_history_drop_owner(s->h, txn, "out", &err), &err);
	must(pfs_txn_commit(&txn, &err), &err);
}

Test(history, only_the_owner_writes_an_output)
{
	struct pfs_commit_options o = PFS_COMMIT_OPTIONS_INIT;
	struct pfs_error err = { 0 };
	struct pfs_txn *txn = NULL;
	struct pfs_commit_id id;
	struct house s;

	house_open(&s);
	own(&s, "out");
	own(&s, "out"); /* again is the same */
	cr_expect_eq(pfs_commit_branch(s.h, "out", "master", NULL, &id, &err), PFS_E_DENIED);
	cr_expect(strstr(err.text, "\"out\" alone"), "%s", err.text);
	cr_expect_eq(pfs_commit_discard(s.h, "out", "master", NULL, &err), PFS_E_DENIED);
	cr_expect_eq(pfs_branch_delete(s.h, "out", "master", true, &err), PFS_E_DENIED);
	cr_expect_eq(pfs_branch_rename(s.h, "out", "master", "x", &err), PFS_E_DENIED);
	cr_expect_eq(pfs_branch_create(s.h, "out", "x", NULL, &err), PFS_E_DENIED);
	cr_expect_eq(pfs_repo_delete(s.h, "out", true, &err), PFS_E_DENIED);
	o.as_owner = "out";
	must(pfs_commit_branch(s.h, "out", "master", &o, &id, &err), &err);
	must(pfs_txn_begin(s.w.meta, &txn, &err), &err);
	cr_expect_eq(pfs_history_add_output(s.h, txn, "out", "master", "other", &err),
		     PFS_E_EXISTS);
	pfs_txn_abort(&txn);
	own(&s, NULL);
	commit(&s, "out", "master");
	must(pfs_repo_delete(s.h, "out", true, &err), &err);
	house_fini(&s);
}

Test(history, a_workspace_that_is_not_used_is_closed_and_found_again)
{
	struct pfs_error err = { 0 };
	struct house s;
	char name[16];

	house_open(&s);
	must(pfs_repo_create(s.h, "books", &err), &err);
	for (int i = 0; i < 40; i++) { /* more than stay open */
		snprintf(name, sizeof(name), "b%d", i);
		must(pfs_branch_create(s.h, "books", name, NULL, &err), &err);
		put(&s, "books", name, "a", name);
	}
	must(pfs_history_tick(s.h, &err), &err);
	for (int i = 0; i < 40; i++) {
		struct pfs_commit_id id;

		snprintf(name, sizeof(name), "b%d", i);
		id = commit(&s, "books", name);
		expect_text(&s, "books", &id, "a", name);
	}
	house_fini(&s);
}

/* In a child that dies: a commit, then a file that fsync promised and one that it did not. */
static void die_after_fsync(struct house *s)
{
	struct pfs_workspace *ws = NULL;
	struct pfs_error err = { 0 };
	struct pfs_node *root, *file = NULL;
	struct pfs_open *open = NULL;

	house_up(s);
	put(s, "books", "master", "committed", "1");
	commit(s, "books", "master");
	put(s, "books", "master", "synced", "2");
	must(pfs_history_workspace(s->h, "books", "master", &ws, &err), &err);
	root = pfs_workspace_root(ws);
	must(pfs_workspace_lookup(ws, root, "synced", 6, &file, &err), &err);
	must(pfs_workspace_open_file(ws, file, true, false, &open, &err), &err);
	must(pfs_workspace_sync_file(open, &err), &err);
	_exit(0);
}

Test(history, a_crash_after_a_commit_keeps_the_commit_and_what_fsync_promised)
{
	struct pfs_change *list = NULL;
	struct pfs_error err = { 0 };
	struct pfs_commit_id id;
	struct house s;
	size_t n = 0;
	int status = 0;
	pid_t child;

	house_open(&s);
	make(&s, "books", "master");
	house_down(&s);
	child = fork();
	if (child == 0)
		die_after_fsync(&s);
	waitpid(child, &status, 0);
	cr_assert_eq(status, 0);
	house_up(&s);
	must(pfs_commit_status(s.h, "books", "master", 0, &list, &n, &err), &err);
	expect_changes(list, n, "+synced", "after the crash");
	id = commit(&s, "books", "master");
	expect_text(&s, "books", &id, "committed", "1");
	expect_text(&s, "books", &id, "synced", "2");
	house_fini(&s);
}

Test(history, a_hundred_commits_read_back)
{
	static struct pfs_commit_id ids[100];
	struct pfs_error err = { 0 };
	struct pfs_commit_id got;
	struct house s;
	char text[32], rev[32];

	house_open(&s);
	make(&s, "books", "master");
	for (int i = 0; i < 100; i++) {
		snprintf(text, sizeof(text), "number %d", i + 1);
		put(&s, "books", "master", "a", text);
		ids[i] = commit(&s, "books", "master");
	}
	house_down(&s);
	house_up(&s);
	for (int i = 0; i < 100; i++) {
		snprintf(text, sizeof(text), "number %d", i + 1);
		snprintf(rev, sizeof(rev), "master.%d", i + 1);
		must(pfs_rev_resolve(s.h, "books", rev, &got, &err), &err);
		cr_expect(pfs_commit_id_equal(&got, &ids[i]), "%s", rev);
		expect_text(&s, "books", &ids[i], "a", text);
	}
	house_fini(&s);
}
