/*
 * Metadata whose pages are whole and whose rows are anything: it opens or is refused,
 * what it lists is what a row can hold, and every question ends.
 *
 * The input is a list of changes to the rows of a good database, see rows.h.
 */
#include "rows.h"
#include "base/io.h"
#include "meta/event.h"
#include "meta/meta.h"
#include "meta/txn.h"

#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct scratch dir;
static char path[300];
static struct pfs_buf good = PFS_BUF_INIT(1 << 24);
static struct pfs_error err;

static void clean(void)
{
	scratch_fini(&dir);
}

#define OK(call) CHECK((call) == 0, "%s", err.text)

static void add_commits(struct pfs_txn *txn, const struct pfs_branch_row *b)
{
	static char message[] = "why";
	struct pfs_commit_row c = { .repo = b->repo, .branch = "master", .message = message };

	for (uint8_t i = 1; i <= 3; i++) {
		struct pfs_commit_id before = c.id;
		struct pfs_provenance_row from;

		c.has_parent = i > 1;
		c.parent = before;
		c.number = i;
		memset(&c.id, i, sizeof(c.id));
		OK(pfs_txn_add_commit(txn, &c, &err));
		OK(pfs_txn_move_branch(txn, b->id, i > 1 ? &before : NULL, &c.id, &err));
		OK(pfs_txn_add_event(txn, "commit.finished", "books", "master", &c.id, &err));
		snprintf(from.repo, sizeof(from.repo), "books");
		from.id = before;
		OK(pfs_txn_add_provenance(txn, b->repo, &c.id, &from, &err));
	}
}

static void add_pipeline(struct pfs_txn *txn)
{
	static char text[] = "image x\nrun true\n";
	struct pfs_pipeline_row p = {
		.name = "wc", .repo = "books", .branch = "master", .version = 1, .text = text
	};
	struct pfs_job_row j = { .pipeline = "wc", .version = 1, .state = 1, .repo = "books" };

	OK(pfs_txn_put_pipeline(txn, &p, NULL, 0, &err));
	memset(&j.id, 3, sizeof(j.id));
	OK(pfs_txn_add_job(txn, &j, &err));
}

static void make_good(void)
{
	static const char *const tables[][2] = {
		{ "repos", "rowid" },     { "branches", "rowid" },
		{ "commits", "rowid" },   { "provenance", "id" },
		{ "events", "rowid" },    { "cursors", "name" },
		{ "pipelines", "rowid" }, { "pipeline_versions", "version" },
		{ "jobs", "rowid" },
	};
	struct pfs_repo_row repo = { .name = "books" };
	struct pfs_branch_row branch = { .name = "master", .folder = "f" };
	struct pfs_txn *txn = NULL;
	struct pfs_meta *m = NULL;
	sqlite3 *db = NULL;

	if (access("/dev/shm", W_OK) == 0)
		setenv("TMPDIR", "/dev/shm", 0);
	dir = scratch_new();
	atexit(clean);
	snprintf(path, sizeof(path), "%s/meta.db", dir.path);
	OK(pfs_meta_open(path, &m, &err));
	OK(pfs_txn_begin(m, &txn, &err));
	OK(pfs_txn_add_repo(txn, &repo, &err));
	branch.repo = repo.id;
	OK(pfs_txn_add_branch(txn, &branch, &err));
	add_commits(txn, &branch);
	add_pipeline(txn);
	OK(pfs_txn_set_cursor(txn, "planner", 2, &err));
	OK(pfs_txn_commit(&txn, &err));
	pfs_meta_close(&m);
	OK(pfs_io_load(AT_FDCWD, path, &good, &err));
	CHECK(sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE, "pfs") == SQLITE_OK, "open");
	for (size_t i = 0; i < sizeof(tables) / sizeof(*tables); i++)
		read_columns(db, tables[i][0], tables[i][1]);
	sqlite3_close(db);
}

static void restore(void)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	char log[320];

	CHECK(fd >= 0 && write(fd, pfs_buf_str(&good), good.len) == (ssize_t)good.len, "%s", path);
	close(fd);
	snprintf(log, sizeof(log), "%s-wal", path);
	unlink(log);
}

static void must_end(const char *text, size_t size)
{
	if (!memchr(text, 0, size))
		abort();
}

static void ask_commits(struct pfs_meta *m, const struct pfs_repo_row *repo)
{
	struct pfs_commit_row *list = NULL, *line = NULL;
	size_t n = 0, n_line = 0;

	if (pfs_meta_list_commits(m, repo->id, 0, &list, &n, &err) < 0)
		return;
	for (size_t i = 0; i < n; i++) {
		struct pfs_provenance_row *from = NULL;
		struct pfs_commit_id other;
		size_t n_from;
		bool reached;

		must_end(list[i].branch, sizeof(list[i].branch));
		if (pfs_meta_list_ancestors(m, repo->id, &list[i].id, 100, &line, &n_line, &err) ==
		    0)
			pfs_commit_rows_free(&line, n_line);
		pfs_meta_find_ancestor(m, repo->id, &list[i].id, 1, &other, &err);
		pfs_meta_reachable(m, repo->id, &list[i].id, 0, &reached, &err);
		if (pfs_meta_list_provenance(m, repo->id, &list[i].id, &from, &n_from, &err) == 0)
			free(from);
	}
	pfs_commit_rows_free(&list, n);
}

static void ask_repos(struct pfs_meta *m)
{
	struct pfs_repo_row *repos = NULL;
	struct pfs_branch_row *branches = NULL;
	size_t n = 0;

	if (pfs_meta_list_branches(m, 0, &branches, &n, &err) == 0)
		for (size_t i = 0; i < n; i++) {
			must_end(branches[i].name, sizeof(branches[i].name));
			must_end(branches[i].folder, sizeof(branches[i].folder));
			must_end(branches[i].owner, sizeof(branches[i].owner));
		}
	free(branches);
	if (pfs_meta_list_repos(m, &repos, &n, &err) < 0)
		return;
	for (size_t i = 0; i < n; i++) {
		must_end(repos[i].name, sizeof(repos[i].name));
		must_end(repos[i].owner, sizeof(repos[i].owner));
		ask_commits(m, &repos[i]);
	}
	free(repos);
}

static void ask_pipelines(struct pfs_meta *m)
{
	struct pfs_pipeline_row *list = NULL;
	struct pfs_job_row *jobs = NULL;
	struct pfs_job_query query = { 0 };
	size_t n = 0;

	if (pfs_meta_list_pipelines(m, &list, &n, &err) == 0)
		pfs_pipeline_rows_free(&list, n);
	if (pfs_meta_list_jobs(m, &query, &jobs, &n, &err) == 0)
		for (size_t i = 0; i < n; i++)
			must_end(jobs[i].reason, sizeof(jobs[i].reason));
	free(jobs);
	jobs = NULL;
	if (pfs_meta_list_next_jobs(m, &jobs, &n, &err) == 0)
		free(jobs);
}

static void note(void *arg, const char *text)
{
	(void)arg;
	if (!text[0])
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct pfs_event_row events[8];
	struct pfs_meta *m = NULL;
	uint64_t cursor;
	size_t n_events;

	if (!good.len)
		make_good();
	restore();
	change_rows(path, data, size);
	memset(&err, 0, sizeof(err));
	if (pfs_meta_open(path, &m, &err) < 0) {
		if (!err.text[0])
			abort();
		return 0;
	}
	ask_repos(m);
	ask_pipelines(m);
	pfs_meta_read_cursor(m, "planner", &cursor, &err);
	pfs_meta_read_events(m, 0, events, 8, &n_events, &err);
	pfs_meta_check_rows(m, note, NULL, &err);
	pfs_meta_close(&m);
	return 0;
}
