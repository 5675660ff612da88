#include "meta/event.h"
#include "meta/meta.h"
#include "meta/txn.h"
#include "base/clock.h"
#include "base/io.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <pthread.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct scratch {
	char dir[64];
	char path[96];
	struct pfs_meta *m;
};

static void must(int rc, const struct pfs_error *err)
{
	cr_assert_eq(rc, 0, "%s", err->text);
}

static void scratch_open(struct scratch *s)
{
	struct pfs_error err = { 0 };

	memset(s, 0, sizeof(*s));
	strcpy(s->dir, "/tmp/test_meta.XXXXXX");
	cr_assert_not_null(mkdtemp(s->dir));
	snprintf(s->path, sizeof(s->path), "%s/meta.db", s->dir);
	must(pfs_meta_open(s->path, &s->m, &err), &err);
}

static void scratch_reopen(struct scratch *s)
{
	struct pfs_error err = { 0 };

	pfs_meta_close(&s->m);
	must(pfs_meta_open(s->path, &s->m, &err), &err);
}

static void scratch_fini(struct scratch *s)
{
	pfs_meta_close(&s->m);
	pfs_io_remove_all(AT_FDCWD, s->dir, NULL);
}

static struct pfs_commit_id id_of(unsigned n)
{
	struct pfs_commit_id id = { { 0 } };

	memset(id.bytes, 0xa0, sizeof(id.bytes));
	id.bytes[0] = (unsigned char)(n >> 8);
	id.bytes[15] = (unsigned char)n;
	return id;
}

static struct pfs_txn *begin(struct pfs_meta *m)
{
	struct pfs_error err = { 0 };
	struct pfs_txn *txn = NULL;

	must(pfs_txn_begin(m, &txn, &err), &err);
	return txn;
}

static void commit(struct pfs_txn *txn)
{
	struct pfs_error err = { 0 };

	must(pfs_txn_commit(&txn, &err), &err);
}

static struct pfs_repo_row add_repo(struct pfs_txn *txn, const char *name)
{
	struct pfs_repo_row repo = { .created_ns = 5 };
	struct pfs_error err = { 0 };

	strcpy(repo.name, name);
	must(pfs_txn_add_repo(txn, &repo, &err), &err);
	return repo;
}

static struct pfs_branch_row add_branch(struct pfs_txn *txn, int64_t repo, const char *name)
{
	struct pfs_branch_row b = { .repo = repo };
	struct pfs_error err = { 0 };

	strcpy(b.name, name);
	snprintf(b.folder, sizeof(b.folder), "%lld-%s", (long long)repo, name);
	must(pfs_txn_add_branch(txn, &b, &err), &err);
	return b;
}

static int add_commit(struct pfs_txn *txn, int64_t repo, unsigned n, unsigned parent,
		      struct pfs_commit_row *out, struct pfs_error *err)
{
	struct pfs_commit_row c = { .repo = repo,
				    .id = id_of(n),
				    .branch = "master",
				    .origin = 1,
				    .root_mode = 0755,
				    .files = 3,
				    .bytes = 1ULL << 40 };

	c.has_parent = parent != 0;
	c.parent = id_of(parent);
	c.message = (char *)"a message";
	int rc = pfs_txn_add_commit(txn, &c, err);

	if (out)
		*out = c;
	return rc;
}

/* A repo "r" with branch "master" and a line of `n` commits numbered from 1. */
static struct pfs_branch_row make_line(struct pfs_meta *m, unsigned n)
{
	struct pfs_error err = { 0 };
	struct pfs_txn *txn = begin(m);
	struct pfs_repo_row repo = add_repo(txn, "r");
	struct pfs_branch_row b = add_branch(txn, repo.id, "master");

	for (unsigned i = 1; i <= n; i++)
		must(add_commit(txn, repo.id, i, i - 1, NULL, &err), &err);
	b.has_head = true;
	b.head = id_of(n);
	must(pfs_txn_move_branch(txn, b.id, NULL, &b.head, &err), &err);
	commit(txn);
	return b;
}

Test(meta, keeps_rows_across_reopening)
{
	PFS_AUTO(pfs_commit_row_fini) struct pfs_commit_row c = { 0 };
	struct pfs_error err = { 0 };
	struct pfs_branch_row b, found;
	struct pfs_repo_counts counts;
	struct pfs_commit_id head = id_of(3), first = id_of(1);
	struct scratch s;

	scratch_open(&s);
	b = make_line(s.m, 3);
	scratch_reopen(&s);
	must(pfs_meta_find_branch(s.m, b.repo, "master", &found, &err), &err);
	cr_expect(found.has_head && pfs_commit_id_equal(&found.head, &head));
	cr_expect_str_eq(found.folder, b.folder);
	must(pfs_meta_find_commit(s.m, b.repo, &head, &c, &err), &err);
	cr_expect_eq(c.number, 3);
	cr_expect_str_eq(c.message, "a message");
	cr_expect_null(c.error);
	cr_expect_eq(c.bytes, 1ULL << 40);
	must(pfs_meta_count_repo(s.m, b.repo, &counts, &err), &err);
	cr_expect_eq(counts.commits, 3);
	cr_expect_eq(counts.branches, 1);
	cr_expect(pfs_meta_has_commit(s.m, b.repo, &first));
	cr_expect_not(pfs_meta_has_commit(s.m, b.repo + 1, &first));
	scratch_fini(&s);
}

Test(meta, an_aborted_transaction_leaves_nothing)
{
	struct pfs_repo_row *repos = (void *)8, found;
	struct pfs_error err = { 0 };
	struct scratch s;
	struct pfs_txn *txn;
	size_t n = 7;

	scratch_open(&s);
	txn = begin(s.m);
	add_branch(txn, add_repo(txn, "books").id, "master");
	must(pfs_txn_add_event(txn, "repo.created", "books", "", NULL, &err), &err);
	must(pfs_meta_find_repo(s.m, "books", &found, &err), &err); /* its own thread sees it */
	pfs_txn_abort(&txn);
	cr_expect_null(txn);
	cr_expect_eq(pfs_meta_find_repo(s.m, "books", &found, &err), PFS_E_NOTFOUND);
	cr_expect(strstr(err.text, "books"), "%s", err.text);
	must(pfs_meta_list_repos(s.m, &repos, &n, &err), &err);
	cr_expect_eq(n, 0);
	cr_expect_null(repos);
	cr_expect_eq(pfs_meta_newest_event(s.m), 0);
	scratch_fini(&s);
}

struct peek {
	struct pfs_meta *m;
	int rc;
};

static void *peek_repo(void *arg)
{
	struct peek *p = arg;
	struct pfs_repo_row row;

	p->rc = pfs_meta_find_repo(p->m, "books", &row, NULL);
	return NULL;
}

Test(meta, other_threads_read_past_an_open_transaction)
{
	struct peek p = { 0 };
	struct pfs_txn *txn;
	struct scratch s;
	pthread_t t;

	scratch_open(&s);
	p.m = s.m;
	txn = begin(s.m);
	add_repo(txn, "books");
	pthread_create(&t, NULL, peek_repo, &p);
	pthread_join(t, NULL);
	cr_expect_eq(p.rc, PFS_E_NOTFOUND, "saw what was not committed");
	commit(txn);
	pthread_create(&t, NULL, peek_repo, &p);
	pthread_join(t, NULL);
	cr_expect_eq(p.rc, 0);
	scratch_fini(&s);
}

Test(meta, moves_a_branch_only_from_the_head_it_has)
{
	struct pfs_commit_id one = id_of(1), two = id_of(2), three = id_of(3);
	static const struct {
		int from, want;
		const char *why;
	} moves[] = {
		{ 0, PFS_E_CONFLICT, "it has a head" },
		{ 2, PFS_E_CONFLICT, "it has another head" },
		{ 3, 0, "that is its head" },
	};
	struct pfs_error err = { 0 };
	struct pfs_branch_row b;
	struct pfs_txn *txn;
	struct scratch s;

	scratch_open(&s);
	b = make_line(s.m, 3);
	for (size_t i = 0; i < sizeof(moves) / sizeof(*moves); i++) {
		const struct pfs_commit_id *from = moves[i].from == 3   ? &three
						   : moves[i].from == 2 ? &two
									: NULL;

		txn = begin(s.m);
		cr_expect_eq(pfs_txn_move_branch(txn, b.id, from, &one, &err), moves[i].want, "%s",
			     moves[i].why);
		pfs_txn_abort(&txn);
	}
	txn = begin(s.m);
	cr_expect_eq(pfs_txn_move_branch(txn, b.id + 9, &three, &one, &err), PFS_E_CONFLICT);
	pfs_txn_abort(&txn);
	scratch_fini(&s);
}

Test(meta, names_are_taken_once)
{
	struct pfs_error err = { 0 };
	struct pfs_repo_row again = { .name = "r" };
	struct pfs_branch_row twice = { .name = "master", .folder = "other" };
	struct pfs_branch_row other;
	struct pfs_branch_row b;
	struct pfs_txn *txn;
	struct scratch s;

	scratch_open(&s);
	b = make_line(s.m, 1);
	twice.repo = b.repo;
	txn = begin(s.m);
	cr_expect_eq(pfs_txn_add_repo(txn, &again, &err), PFS_E_EXISTS);
	cr_expect_str_eq(err.text, "repo \"r\" exists already");
	cr_expect_eq(pfs_txn_add_branch(txn, &twice, &err), PFS_E_EXISTS);
	cr_expect_str_eq(err.text, "branch \"master\" exists already");
	cr_expect_eq(add_commit(txn, b.repo, 1, 0, NULL, &err), PFS_E_EXISTS);
	cr_expect_eq(add_commit(txn, b.repo, 8, 7, NULL, &err), PFS_E_NOTFOUND, "no such parent");
	other = add_branch(txn, b.repo, "other");
	cr_expect_eq(pfs_txn_rename_branch(txn, other.id, "master", &err), PFS_E_EXISTS);
	cr_expect_eq(pfs_txn_rename_branch(txn, other.id, "third", &err), 0);
	commit(txn);
	must(pfs_meta_find_branch(s.m, b.repo, "third", &other, &err), &err);
	scratch_fini(&s);
}

Test(meta, finds_commits_by_prefix_and_by_place_in_line)
{
	struct pfs_commit_id head = id_of(5), want = id_of(2), out = { { 1 } };
	struct pfs_error err = { 0 };
	struct pfs_commit_row *list = NULL;
	struct pfs_branch_row b;
	struct scratch s;
	bool reached = true;
	size_t n = 0;

	scratch_open(&s);
	b = make_line(s.m, 5);
	must(pfs_meta_find_ancestor(s.m, b.repo, &head, 2, &out, &err), &err);
	cr_expect(pfs_commit_id_equal(&out, &want));
	cr_expect_eq(pfs_meta_find_ancestor(s.m, b.repo, &head, 6, &out, &err), PFS_E_NOTFOUND);
	cr_expect_eq(pfs_meta_find_ancestor(s.m, b.repo, &head, 0, &out, &err), PFS_E_NOTFOUND);
	cr_expect_eq(pfs_meta_find_commit_prefix(s.m, b.repo, "00a0a0a0", &out, &err),
		     PFS_E_CONFLICT);
	cr_expect_eq(pfs_meta_find_commit_prefix(s.m, b.repo, "01", &out, &err), PFS_E_NOTFOUND);
	cr_expect_eq(pfs_meta_find_commit_prefix(s.m, b.repo, "0x", &out, &err), PFS_E_INVALID);
	must(pfs_meta_find_commit_prefix(s.m, b.repo, "00a0a0a0a0a0a0a0a0a0a0a0a0a0a002", &out,
					 &err),
	     &err);
	cr_expect(pfs_commit_id_equal(&out, &want));
	must(pfs_meta_list_ancestors(s.m, b.repo, &want, 0, &list, &n, &err), &err);
	cr_expect_eq(n, 2);
	cr_expect_eq(list[0].number, 2);
	pfs_commit_rows_free(&list, n);
	must(pfs_meta_list_ancestors(s.m, b.repo, &head, 3, &list, &n, &err), &err);
	cr_expect_eq(n, 3);
	cr_expect_eq(list[2].number, 3);
	pfs_commit_rows_free(&list, n);
	must(pfs_meta_list_commits(s.m, b.repo, 2, &list, &n, &err), &err);
	cr_expect_eq(n, 2);
	cr_expect_eq(list[0].number, 5);
	pfs_commit_rows_free(&list, n);
	must(pfs_meta_reachable(s.m, b.repo, &want, 0, &reached, &err), &err);
	cr_expect(reached);
	must(pfs_meta_reachable(s.m, b.repo, &want, b.id, &reached, &err), &err);
	cr_expect_not(reached);
	scratch_fini(&s);
}

Test(meta, provenance_is_read_both_ways_and_goes_with_the_repo)
{
	struct pfs_provenance_row on = { .repo = "books", .id = id_of(9) }, *list = NULL;
	struct pfs_commit_id one = id_of(1);
	struct pfs_error err = { 0 };
	struct pfs_branch_row b;
	struct pfs_txn *txn;
	struct scratch s;
	size_t n = 0;

	scratch_open(&s);
	b = make_line(s.m, 1);
	txn = begin(s.m);
	must(pfs_txn_add_provenance(txn, b.repo, &one, &on, &err), &err);
	cr_expect_eq(pfs_txn_add_provenance(txn, b.repo, &one, &on, &err), PFS_E_EXISTS);
	cr_expect_eq(pfs_txn_add_provenance(txn, b.repo, &on.id, &on, &err), PFS_E_NOTFOUND);
	commit(txn);
	must(pfs_meta_list_provenance(s.m, b.repo, &one, &list, &n, &err), &err);
	cr_expect_eq(n, 1);
	cr_expect_str_eq(list[0].repo, "books");
	free(list);
	must(pfs_meta_list_derived(s.m, "books", &on.id, &list, &n, &err), &err);
	cr_expect_eq(n, 1);
	cr_expect_str_eq(list[0].repo, "r");
	cr_expect(pfs_commit_id_equal(&list[0].id, &one));
	free(list);
	txn = begin(s.m);
	must(pfs_txn_delete_repo(txn, b.repo, &err), &err);
	cr_expect_eq(pfs_txn_delete_repo(txn, b.repo, &err), PFS_E_NOTFOUND);
	commit(txn);
	must(pfs_meta_list_derived(s.m, "books", &on.id, &list, &n, &err), &err);
	cr_expect_eq(n, 0);
	cr_expect_not(pfs_meta_has_commit(s.m, b.repo, &one));
	scratch_fini(&s);
}

Test(meta, event_numbers_only_grow)
{
	struct pfs_commit_id one = id_of(1);
	struct pfs_event_row events[8];
	struct pfs_error err = { 0 };
	struct pfs_txn *txn;
	struct scratch s;
	uint64_t cursor = 9;
	size_t n = 0;

	scratch_open(&s);
	for (int i = 0; i < 5; i++) {
		txn = begin(s.m);
		must(pfs_txn_add_event(txn, "commit.finished", "r", "master", &one, &err), &err);
		must(pfs_txn_add_event(txn, "repo.created", "r", "", NULL, &err), &err);
		if (i % 2)
			pfs_txn_abort(&txn);
		else
			commit(txn);
	}
	scratch_reopen(&s);
	must(pfs_meta_read_events(s.m, 0, events, 8, &n, &err), &err);
	cr_assert_eq(n, 6);
	for (size_t i = 1; i < n; i++)
		cr_expect_gt(events[i].number, events[i - 1].number);
	cr_expect_eq(pfs_meta_newest_event(s.m), events[5].number);
	cr_expect(pfs_commit_id_equal(&events[0].commit, &one));
	cr_expect(pfs_commit_id_is_zero(&events[1].commit));
	must(pfs_meta_read_events(s.m, events[1].number, events, 3, &n, &err), &err);
	cr_expect_eq(n, 3);
	cr_expect_str_eq(events[0].branch, "master");
	must(pfs_meta_read_cursor(s.m, "planner", &cursor, &err), &err);
	cr_expect_eq(cursor, 0);
	for (uint64_t at = 4; at < 6; at++) {
		txn = begin(s.m);
		must(pfs_txn_set_cursor(txn, "planner", at, &err), &err);
		commit(txn);
	}
	must(pfs_meta_read_cursor(s.m, "planner", &cursor, &err), &err);
	cr_expect_eq(cursor, 5);
	scratch_fini(&s);
}

static void *add_event_later(void *arg)
{
	struct pfs_txn *txn;

	usleep(30000);
	txn = begin(arg);
	pfs_txn_add_event(txn, "repo.created", "r", "", NULL, NULL);
	usleep(30000);
	commit(txn);
	return NULL;
}

static void *wake_later(void *arg)
{
	usleep(30000);
	pfs_meta_wake(arg);
	return NULL;
}

Test(meta, a_wait_ends_with_the_commit_the_timeout_or_a_wake)
{
	struct pfs_event_row e;
	struct pfs_error err = { 0 };
	struct scratch s;
	pthread_t t;
	int64_t before;
	size_t n = 0;

	scratch_open(&s);
	before = pfs_clock_monotonic_ms();
	cr_expect_eq(pfs_meta_wait_event(s.m, 0, 20), 0);
	cr_expect_geq(pfs_clock_monotonic_ms() - before, 19);
	pthread_create(&t, NULL, add_event_later, s.m);
	cr_expect_eq(pfs_meta_wait_event(s.m, 0, 10000), 1);
	must(pfs_meta_read_events(s.m, 0, &e, 1, &n, &err), &err);
	cr_expect_eq(n, 1, "woken before the event could be read");
	pthread_join(t, NULL);
	pthread_create(&t, NULL, wake_later, s.m);
	cr_expect_eq(pfs_meta_wait_event(s.m, e.number, -1), 0);
	pthread_join(t, NULL);
	cr_expect_eq(pfs_meta_wait_event(s.m, e.number, -1), 0, "a wait that came after the wake");
	cr_expect_eq(pfs_meta_wait_event(s.m, 0, -1), 1);
	pfs_meta_resume(s.m);
	before = pfs_clock_monotonic_ms();
	cr_expect_eq(pfs_meta_wait_event(s.m, e.number, 20), 0);
	cr_expect_geq(pfs_clock_monotonic_ms() - before, 19, "nobody is woken any more");
	scratch_fini(&s);
}

static void put_pipeline(struct pfs_txn *txn, const char *name, const char *upstream)
{
	struct pfs_pipeline_row p = { .repo = "books", .branch = "master", .version = 1 };
	struct pfs_error err = { 0 };

	strcpy(p.name, name);
	p.text = (char *)"image x\nrun y\n";
	must(pfs_txn_put_pipeline(txn, &p, &upstream, upstream ? 1 : 0, &err), &err);
}

Test(meta, every_version_of_a_pipeline_stays_known_as_long_as_it_does)
{
	struct pfs_pipeline_row p = { .name = "a", .repo = "x", .branch = "y" };
	struct pfs_error err = { 0 };
	struct pfs_txn *txn;
	struct scratch s;
	char *text = NULL;

	scratch_open(&s);
	txn = begin(s.m);
	for (p.version = 1; p.version < 4; p.version++) {
		p.text = (char *)(p.version == 2 ? "second" : "other");
		must(pfs_txn_put_pipeline(txn, &p, NULL, 0, &err), &err);
	}
	commit(txn);
	must(pfs_meta_find_pipeline_text(s.m, "a", 2, &text, &err), &err);
	cr_expect_str_eq(text, "second");
	free(text);
	cr_expect_eq(pfs_meta_find_pipeline_text(s.m, "a", 4, &text, &err), PFS_E_NOTFOUND);
	cr_expect(strstr(err.text, "version 4"), "%s", err.text);
	txn = begin(s.m);
	must(pfs_txn_delete_pipeline(txn, "a", &err), &err);
	commit(txn);
	cr_expect_eq(pfs_meta_find_pipeline_text(s.m, "a", 2, &text, &err), PFS_E_NOTFOUND);
	scratch_fini(&s);
}

Test(meta, a_pipeline_that_is_read_stays)
{
	struct pfs_pipeline_row p = {
		.name = "c", .repo = "x", .branch = "y", .text = (char *)"t"
	};
	const char *missing = "nobody";
	struct pfs_pipeline_row *list = NULL;
	struct pfs_row_name *names = NULL;
	char user[PFS_ROW_NAME_SIZE] = "";
	struct pfs_error err = { 0 };
	struct pfs_txn *txn;
	struct scratch s;
	size_t n = 0;

	scratch_open(&s);
	txn = begin(s.m);
	put_pipeline(txn, "a", NULL);
	put_pipeline(txn, "b", "a");
	put_pipeline(txn, "b", "a"); /* replaced */
	commit(txn);
	txn = begin(s.m);
	cr_expect_eq(pfs_txn_delete_pipeline(txn, "a", &err), PFS_E_BUSY);
	cr_expect_eq(pfs_txn_delete_pipeline(txn, "z", &err), PFS_E_NOTFOUND);
	cr_expect_eq(pfs_txn_put_pipeline(txn, &p, &missing, 1, &err), PFS_E_NOTFOUND);
	cr_expect(strstr(err.text, "nobody"), "%s", err.text);
	pfs_txn_abort(&txn);
	must(pfs_meta_list_upstream(s.m, "b", &names, &n, &err), &err);
	cr_assert_eq(n, 1);
	cr_expect_str_eq(names[0].name, "a");
	free(names);
	must(pfs_meta_list_downstream(s.m, "a", &names, &n, &err), &err);
	cr_assert_eq(n, 1);
	cr_expect_str_eq(names[0].name, "b");
	free(names);
	must(pfs_meta_list_pipelines_on(s.m, "books", "master", &list, &n, &err), &err);
	cr_expect_eq(n, 2);
	cr_expect_str_eq(list[1].text, "image x\nrun y\n");
	pfs_pipeline_rows_free(&list, n);
	cr_expect_eq(pfs_meta_find_repo_user(s.m, "books", user, &err), 1);
	cr_expect_str_eq(user, "a");
	cr_expect_eq(pfs_meta_find_repo_user(s.m, "other", user, &err), 0);
	txn = begin(s.m);
	must(pfs_txn_delete_pipeline(txn, "b", &err), &err);
	must(pfs_txn_delete_pipeline(txn, "a", &err), &err);
	commit(txn);
	must(pfs_meta_list_pipelines(s.m, &list, &n, &err), &err);
	cr_expect_eq(n, 0);
	scratch_fini(&s);
}

static void add_job(struct pfs_txn *txn, const char *pipeline, unsigned n)
{
	struct pfs_job_row j = {
		.id = id_of(n), .version = 1, .state = 1, .repo = "books", .branch = "master"
	};
	struct pfs_error err = { 0 };

	strcpy(j.pipeline, pipeline);
	must(pfs_txn_add_job(txn, &j, &err), &err);
	cr_expect_eq(pfs_txn_add_job(txn, &j, &err), PFS_E_EXISTS);
}

Test(meta, a_job_changes_only_from_the_state_it_is_in)
{
	struct pfs_job_row j, *list = NULL;
	struct pfs_commit_id one = id_of(1);
	struct pfs_error err = { 0 };
	struct pfs_txn *txn;
	struct scratch s;
	size_t n = 0;

	scratch_open(&s);
	txn = begin(s.m);
	put_pipeline(txn, "a", NULL);
	put_pipeline(txn, "b", NULL);
	add_job(txn, "a", 1);
	add_job(txn, "b", 1);
	add_job(txn, "a", 2);
	commit(txn);
	must(pfs_meta_list_next_jobs(s.m, &list, &n, &err), &err);
	cr_assert_eq(n, 2, "one of each pipeline");
	cr_expect_str_eq(list[0].pipeline, "a");
	cr_expect(pfs_commit_id_equal(&list[0].id, &one));
	j = list[0];
	free(list);
	j.state = 3;
	j.attempt = 1;
	j.finished_ns = 77;
	txn = begin(s.m);
	cr_expect_eq(pfs_txn_update_job(txn, &j, 2, 0, &err), PFS_E_CONFLICT);
	cr_expect_eq(pfs_txn_update_job(txn, &j, 1, 1, &err), PFS_E_CONFLICT);
	must(pfs_txn_update_job(txn, &j, 1, 0, &err), &err);
	commit(txn);
	must(pfs_meta_list_next_jobs(s.m, &list, &n, &err), &err);
	cr_assert_eq(n, 2);
	cr_expect_str_eq(list[0].pipeline, "b");
	free(list);
	must(pfs_meta_find_job(s.m, "a", &one, &j, &err), &err);
	cr_expect_eq(j.state, 3);
	cr_expect_eq(j.finished_ns, 77);
	scratch_fini(&s);
}

Test(meta, job_queries_narrow_and_order)
{
	struct pfs_commit_id one = id_of(1), three = id_of(3);
	const struct {
		struct pfs_job_query query;
		size_t want;
		unsigned first;
		const char *why;
	} table[] = {
		{ { .pipeline = NULL }, 4, 3, "all, newest first" },
		{ { .oldest_first = true }, 4, 1, "all, oldest first" },
		{ { .pipeline = "a" }, 3, 3, "of one pipeline" },
		{ { .pipeline = "a", .max = 2 }, 2, 3, "at most" },
		{ { .pipeline = "a", .unfinished = true, .oldest_first = true },
		  2,
		  2,
		  "unfinished" },
		{ { .id = &one }, 2, 1, "by id" },
		{ { .pipeline = "a", .id = &three }, 1, 3, "by both" },
		{ { .state = 3 }, 1, 1, "by state" },
		{ { .pipeline = "c" }, 0, 0, "of nobody" },
	};
	struct pfs_error err = { 0 };
	struct pfs_txn *txn;
	struct pfs_job_row j;
	struct scratch s;

	scratch_open(&s);
	txn = begin(s.m);
	put_pipeline(txn, "a", NULL);
	put_pipeline(txn, "b", NULL);
	add_job(txn, "a", 1);
	add_job(txn, "b", 1);
	add_job(txn, "a", 2);
	add_job(txn, "a", 3);
	must(pfs_meta_find_job(s.m, "a", &one, &j, &err), &err);
	j.state = 3;
	j.finished_ns = 1;
	must(pfs_txn_update_job(txn, &j, 1, 0, &err), &err);
	commit(txn);
	for (size_t i = 0; i < sizeof(table) / sizeof(*table); i++) {
		struct pfs_job_row *list = NULL;
		size_t n = 99;

		must(pfs_meta_list_jobs(s.m, &table[i].query, &list, &n, &err), &err);
		cr_expect_eq(n, table[i].want, "%s: %zu", table[i].why, n);
		cr_expect(n == 0 || list[0].id.bytes[15] == table[i].first, "%s", table[i].why);
		free(list);
	}
	scratch_fini(&s);
}

static void change_file(const char *path, const char *sql)
{
	sqlite3 *sq = NULL;

	cr_assert_eq(sqlite3_open_v2(path, &sq, SQLITE_OPEN_READWRITE, "pfs"), SQLITE_OK);
	cr_assert_eq(sqlite3_exec(sq, sql, NULL, NULL, NULL), SQLITE_OK, "%s", sqlite3_errmsg(sq));
	sqlite3_close(sq);
}

Test(meta, refuses_what_it_does_not_know)
{
	static const struct {
		const char *sql;
		int want;
		const char *says;
	} table[] = {
		{ "PRAGMA user_version=3", PFS_E_UNSUPPORTED, "version 3" },
		{ "PRAGMA application_id=7", PFS_E_INVALID, "not of pfs" },
	};
	struct pfs_meta *m = NULL;
	struct pfs_error err = { 0 };
	struct scratch s;
	int fd;

	for (size_t i = 0; i < sizeof(table) / sizeof(*table); i++) {
		scratch_open(&s);
		pfs_meta_close(&s.m);
		change_file(s.path, table[i].sql);
		cr_expect_eq(pfs_meta_open(s.path, &m, &err), table[i].want, "%s", table[i].sql);
		cr_expect(strstr(err.text, table[i].says), "%s", err.text);
		cr_expect_null(m);
		scratch_fini(&s);
	}
	scratch_open(&s);
	pfs_meta_close(&s.m);
	fd = open(s.path, O_WRONLY);
	cr_assert_eq(pwrite(fd, "this is no database, is it?", 27, 0), 27);
	close(fd);
	cr_expect_eq(pfs_meta_open(s.path, &m, &err), PFS_E_CORRUPT);
	cr_expect(strstr(err.text, s.path), "%s", err.text);
	scratch_fini(&s);
}

Test(meta, works_in_memory_too)
{
	struct pfs_error err = { 0 };
	struct pfs_repo_row row;
	struct pfs_meta *m = NULL;
	struct pfs_txn *txn;

	must(pfs_meta_open(":memory:", &m, &err), &err);
	txn = begin(m);
	add_repo(txn, "books");
	must(pfs_meta_find_repo(m, "books", &row, &err), &err);
	commit(txn);
	must(pfs_meta_find_repo(m, "books", &row, &err), &err);
	pfs_meta_close(&m);
	cr_expect_null(m);
}

/* The columns of a table as the database has them: "id INTEGER, name TEXT". */
static void columns_of(sqlite3 *sq, const char *table, char *out, size_t size)
{
	sqlite3_stmt *st = NULL;
	char sql[128];
	size_t len = 0;

	snprintf(sql, sizeof(sql), "SELECT name, type FROM pragma_table_info('%s')", table);
	cr_assert_eq(sqlite3_prepare_v2(sq, sql, -1, &st, NULL), SQLITE_OK);
	out[0] = 0;
	while (sqlite3_step(st) == SQLITE_ROW)
		len += (size_t)snprintf(out + len, size - len, "%s %s, ",
					(const char *)sqlite3_column_text(st, 0),
					(const char *)sqlite3_column_text(st, 1));
	sqlite3_finalize(st);
}

/* Check off one table of the page; its columns were gathered in `told`. */
static void compare_table(sqlite3 *sq, const char *table, const char *told)
{
	char want[1024];

	if (!*table)
		return;
	columns_of(sq, table, want, sizeof(want));
	cr_expect_str_eq(told, want, "%s", table);
}

static int count_tables(sqlite3 *sq)
{
	sqlite3_stmt *st = NULL;
	int n;

	sqlite3_prepare_v2(sq,
			   "SELECT count(*) FROM sqlite_master"
			   " WHERE type = 'table' AND name NOT LIKE 'sqlite_%'",
			   -1, &st, NULL);
	sqlite3_step(st);
	n = sqlite3_column_int(st, 0);
	sqlite3_finalize(st);
	return n;
}

Test(meta, the_page_lists_every_column_of_every_table)
{
	char line[512], table[64] = "", told[1024] = "", column[64], type[16];
	FILE *page = fopen(PFS_GOLDEN "/../../man/pfs-metadata.5", "r");
	sqlite3 *sq = NULL;
	struct scratch s;
	size_t len = 0;
	int tables = 0;

	cr_assert_not_null(page);
	scratch_open(&s);
	cr_assert_eq(sqlite3_open(s.path, &sq), SQLITE_OK);
	while (fgets(line, sizeof(line), page)) {
		if (strncmp(line, ".Ss ", 4) == 0 || strncmp(line, ".Sh ", 4) == 0) {
			compare_table(sq, table, told);
			table[0] = told[0] = 0;
			len = 0;
			if (line[2] == 's')
				tables += sscanf(line, ".Ss %63s", table);
		} else if (*table && sscanf(line, ".It %63s Ta %15s Ta", column, type) == 2 &&
			   strcmp(column, "Sy") != 0) {
			len += (size_t)snprintf(told + len, sizeof(told) - len, "%s %s, ", column,
						type);
		}
	}
	cr_expect_eq(tables, count_tables(sq));
	fclose(page);
	sqlite3_close(sq);
	scratch_fini(&s);
}

Test(meta, a_file_is_known_by_its_first_bytes)
{
	static const unsigned char want[] = { 0, 0, 0, 2, 0, 0, 0, 0, 'p', 'f', 's', '1' };
	unsigned char got[sizeof(want)];
	struct scratch s;
	int fd;

	scratch_open(&s);
	pfs_meta_close(&s.m);
	fd = open(s.path, O_RDONLY);
	cr_assert_eq(pread(fd, got, sizeof(got), 60), (ssize_t)sizeof(got));
	cr_expect_eq(memcmp(got, want, sizeof(want)), 0);
	close(fd);
	scratch_fini(&s);
}
