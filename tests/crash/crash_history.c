/*
 * The story of a repo, cut off at its n-th fault point for every n: by the
 * process ending there, by an I/O error, by a full disk. A commit that was
 * acknowledged reads back byte for byte; one that was not is absent or whole;
 * every name leads to bytes that are there; and work goes on.
 *
 * Commit number k of a branch holds the files of round k, so whatever is found
 * afterwards says itself what it must be. What was acknowledged is told through
 * a pipe, which outlives the process.
 */
#include "../cutoff.h"
#include "../world.h"
#include "format/commitrec.h"

#include <unistd.h>

#define ROUNDS   3
#define BIG_SIZE 150000 /* several chunks, and past what a small commit is */
#define TRIES    3

struct promise {
	unsigned round;
	struct pfs_commit_id id;
};

/* Store, metadata and history; nothing that stands on them. */
static int up(struct world *w, const char *data, struct pfs_error *err)
{
	char path[300];
	int rc;

	memset(w, 0, sizeof(*w));
	snprintf(path, sizeof(path), "%s/store", data);
	rc = pfs_store_open(path, &w->store, err);
	snprintf(path, sizeof(path), "%s/meta.db", data);
	if (rc == 0)
		rc = pfs_meta_open(path, &w->meta, err);
	if (rc == 0)
		rc = pfs_history_open(w->meta, w->store, data, &w->h, err);
	return rc;
}

static void down(struct world *w)
{
	pfs_history_close(&w->h);
	pfs_meta_close(&w->meta);
	pfs_store_close(&w->store);
}

/* What file number `i` of a round holds; *name is where. False: there is no such file. */
static bool file_of(unsigned round, unsigned i, char *name, unsigned char *data, size_t *len)
{
	switch (i) {
	case 0:
		strcpy(name, "small");
		*len = 20;
		break;
	case 1:
		strcpy(name, "big");
		*len = BIG_SIZE;
		break;
	case 2:
		strcpy(name, "d/e/x");
		*len = 5000;
		break;
	case 3:
		strcpy(name, "odd");
		*len = round % 2 ? 300 : 0;
		break;
	default: /* what former rounds wrote stays */
		sprintf(name, "kept/%u", i - 4);
		*len = i - 4 <= round ? 1000 : 0;
		scratch_fill(data, *len, 500 + i);
		return *len > 0;
	}
	scratch_fill(data, *len, round * 10 + i + 1);
	return *len > 0;
}

static int remove_file(struct world *w, const char *name, struct pfs_error *err)
{
	struct pfs_workspace *ws = NULL;
	struct pfs_node *root;
	int rc = pfs_history_workspace(w->h, "books", "master", &ws, err);

	if (rc < 0)
		return rc;
	root = pfs_workspace_root(ws);
	rc = pfs_workspace_remove_name(ws, root, name, strlen(name), false, err);
	pfs_node_unref(&root);
	pfs_history_release(w->h, &ws);
	return rc == PFS_E_NOTFOUND ? 0 : rc;
}

static int put_bytes(struct world *w, const char *name, const unsigned char *data, size_t len,
		     bool sync, struct pfs_error *err)
{
	struct pfs_workspace *ws = NULL;
	struct pfs_node *dir, *file = NULL;
	struct pfs_open *open = NULL;
	const char *slash;
	int rc = world_write(w, "books", "master", name, "", err);

	if (rc == 0)
		rc = pfs_history_workspace(w->h, "books", "master", &ws, err);
	if (rc < 0)
		return rc;
	dir = pfs_workspace_root(ws);
	while (rc == 0 && (slash = strchr(name, '/'))) {
		rc = world_enter(ws, &dir, name, (size_t)(slash - name), err);
		name = slash + 1;
	}
	if (rc == 0)
		rc = pfs_workspace_lookup(ws, dir, name, strlen(name), &file, err);
	if (rc == 0)
		rc = pfs_workspace_open_file(ws, file, true, false, &open, err);
	if (rc == 0)
		rc = pfs_workspace_write(open, 0, data, len, err);
	if (rc == 0 && sync)
		rc = pfs_workspace_sync_file(open, err);
	if (open)
		pfs_workspace_close_file(&open);
	if (file)
		pfs_node_unref(&file);
	pfs_node_unref(&dir);
	pfs_history_release(w->h, &ws);
	return rc;
}

static int write_round(struct world *w, unsigned round, struct pfs_error *err)
{
	static unsigned char data[BIG_SIZE];
	char name[32];
	size_t len;
	int rc = 0;

	for (unsigned i = 0; i <= 4 + round && rc == 0; i++) {
		if (i >= 4 && i - 4 < round)
			continue; /* nobody writes it again: it has to be there still */
		if (file_of(round, i, name, data, &len))
			/* A commit needs no fsync before it to be whole: every other round has none. */
			rc = put_bytes(w, name, data, len, round % 2, err);
		else
			rc = remove_file(w, name, err);
	}
	return rc;
}

/* Whatever was there before: a repo, a branch, the files, a commit. */
static int play_round(struct world *w, unsigned round, struct pfs_commit_id *out,
		      struct pfs_error *err)
{
	int rc = pfs_repo_create(w->h, "books", err);

	if (rc == PFS_E_EXISTS)
		rc = 0;
	if (rc == 0)
		rc = world_branch(w, "books", "master", err);
	if (rc == 0)
		rc = write_round(w, round, err);
	return rc < 0 ? rc : pfs_commit_branch(w->h, "books", "master", NULL, out, err);
}

/* In the child. A failure is met as a user would meet it: try again. */
static void tell(void *data, int fd)
{
	struct pfs_error err = { 0 };
	struct promise p;
	struct world w;

	for (p.round = 0; p.round < ROUNDS; p.round++) {
		unsigned tries = 0;

		while (up(&w, data, &err) < 0) {
			down(&w);
			CHECK(++tries < TRIES, "does not open again: %s", err.text);
		}
		tries = 0;
		while (play_round(&w, p.round, &p.id, &err) < 0)
			CHECK(++tries < TRIES, "does not work again: %s", err.text);
		CHECK(write(fd, &p, sizeof(p)) == sizeof(p), "pipe");
		down(&w);
	}
}

static void complain(void *arg, const char *damage)
{
	fprintf(stderr, "damage: %s\n", damage);
}

struct sums {
	uint64_t files, bytes;
};

/* Every byte of a file, as a reader without our luck would: through the store. */
static void read_content(struct world *w, const struct pfs_content *content, struct sums *sums)
{
	static unsigned char data[65536];
	PFS_AUTO(pfs_content_reader_close) struct pfs_content_reader *r = NULL;
	struct pfs_error err = { 0 };
	uint64_t off = 0;
	size_t got;

	CHECK(pfs_content_reader_open(w->store, content, &r, &err) == 0, "%s", err.text);
	do {
		CHECK(pfs_content_read(r, off, data, sizeof(data), &got, &err) == 0, "%s",
		      err.text);
		off += got;
	} while (got);
	CHECK(off == content->size, "%llu bytes", (unsigned long long)off);
	sums->bytes += off;
}

static void walk(struct world *w, const struct pfs_id *dir, struct sums *sums)
{
	PFS_AUTO(pfs_cursor_close) struct pfs_cursor *c = NULL;
	const struct pfs_entry *e;
	struct pfs_error err = { 0 };
	int rc;

	CHECK(pfs_cursor_open(w->store, dir, &c, &err) == 0, "%s", err.text);
	while ((rc = pfs_cursor_next(c, &e, &err)) == 1) {
		sums->files++;
		if (e->type == PFS_ENTRY_DIR)
			walk(w, &e->dir, sums);
		else
			read_content(w, &e->content, sums);
	}
	CHECK(rc == 0, "%s", err.text);
}

static void expect_file(struct world *w, const struct pfs_id *root, const char *name,
			const unsigned char *want, size_t len)
{
	static unsigned char got[BIG_SIZE + 1];
	PFS_AUTO(pfs_content_reader_close) struct pfs_content_reader *r = NULL;
	PFS_AUTO(pfs_found_fini) struct pfs_found found = { 0 };
	struct pfs_error err = { 0 };
	size_t n;

	CHECK(pfs_tree_lookup(w->store, root, name, &found, &err) == 0, "%s", err.text);
	CHECK(pfs_content_reader_open(w->store, &found.e.content, &r, &err) == 0, "%s", err.text);
	CHECK(pfs_content_read(r, 0, got, sizeof(got), &n, &err) == 0, "%s", err.text);
	CHECK(n == len && memcmp(got, want, len) == 0, "%s: other bytes", name);
}

static void expect_round(struct world *w, const struct pfs_id *root, unsigned round)
{
	static unsigned char data[BIG_SIZE];
	PFS_AUTO(pfs_found_fini) struct pfs_found found = { 0 };
	char name[32];
	size_t len;

	for (unsigned i = 0; i <= 4 + round; i++) {
		if (file_of(round, i, name, data, &len))
			expect_file(w, root, name, data, len);
		else
			CHECK(pfs_tree_lookup(w->store, root, name, &found, NULL) == PFS_E_NOTFOUND,
			      "%s is there in round %u", name, round);
	}
}

static void expect_record(struct world *w, const struct pfs_commit *c)
{
	PFS_AUTO(pfs_object_unref) const struct pfs_object *o = NULL;
	PFS_AUTO(pfs_commitrec_fini) struct pfs_commitrec rec = { 0 };
	struct pfs_error err = { 0 };

	CHECK(pfs_store_get(w->store, PFS_KIND_COMMIT, &c->digest, &o, &err) == 0, "%s", err.text);
	CHECK(pfs_commitrec_decode(o->data, o->len, &rec, &err) == 0, "%s", err.text);
	CHECK(pfs_commit_id_equal(&rec.id, &c->id) && pfs_id_equal(&rec.root, &c->root),
	      "the record is of another commit");
}

/* One commit that has a name: it is commit `number` of the branch. */
static void expect_commit(struct world *w, const struct pfs_commit *c, unsigned number)
{
	struct sums sums = { 0 };

	walk(w, &c->root, &sums);
	CHECK(sums.files == c->files && sums.bytes == c->size_bytes, "sums of commit %u", number);
	expect_record(w, c);
	expect_round(w, &c->root, number - 1);
}

static size_t expect_line(struct world *w, const struct promise *promises, size_t n)
{
	struct pfs_commit *list = NULL;
	struct pfs_error err = { 0 };
	struct pfs_repo repo;
	size_t found = 0;
	int rc = pfs_repo_inspect(w->h, "books", &repo, &err);

	if (rc == PFS_E_NOTFOUND && n == 0)
		return 0;
	CHECK(rc == 0, "%s", err.text);
	CHECK(pfs_commit_list(w->h, "books", NULL, 0, &list, &found, &err) == 0, "%s", err.text);
	CHECK(found >= n && found <= n + 1, "%zu commits, %zu were acknowledged", found, n);
	for (size_t i = 0; i < found; i++)
		expect_commit(w, &list[i], (unsigned)(found - i));
	for (size_t i = 0; i < n; i++)
		CHECK(pfs_commit_id_equal(&promises[i].id, &list[found - 1 - i].id),
		      "commit %zu is another one", i + 1);
	pfs_commits_free(&list, found);
	return found;
}

static void check_after(const char *data, const struct promise *promises, size_t n)
{
	PFS_AUTO(pfs_commit_fini) struct pfs_commit c = { 0 };
	struct pfs_error err = { 0 };
	struct pfs_commit_id id;
	struct world w;
	size_t found;

	CHECK(up(&w, data, &err) == 0, "open: %s", err.text);
	CHECK(pfs_store_check(w.store, complain, NULL, &err) == 0, "check: %s", err.text);
	found = expect_line(&w, promises, n);
	CHECK(play_round(&w, (unsigned)found, &id, &err) == 0, "goes on: %s", err.text);
	CHECK(pfs_commit_inspect(w.h, "books", "master", &c, &err) == 0, "%s", err.text);
	CHECK(pfs_commit_id_equal(&c.id, &id), "the head is another one");
	expect_commit(&w, &c, (unsigned)found + 1);
	down(&w);
}

/* True while the story did reach fault point `at`. */
static int story(enum pfs_fault_mode mode, unsigned at)
{
	struct scratch dir = scratch_new();
	struct promise promises[ROUNDS];
	struct cutoff_heard heard = { promises, sizeof(promises), 0 };
	bool reached = cutoff(mode, at, tell, dir.path, &heard);
	size_t n = heard.len / sizeof(*promises);

	if (mode != PFS_FAULT_STOP)
		CHECK(n == ROUNDS, "point %u: only %zu of %d rounds", at, n, ROUNDS);
	check_after(dir.path, promises, n);
	scratch_fini(&dir);
	return reached;
}

int main(void)
{
#ifdef NDEBUG
	return 77; /* a release build has no fault points */
#endif
	/* Fault points stand for the disk: waiting for a real one would prove nothing more. */
	if (access("/dev/shm", W_OK) == 0)
		setenv("TMPDIR", "/dev/shm", 0);
	for (size_t m = 0; m < CUTOFF_MODES; m++) {
		unsigned at = 1;

		while (story(cutoff_modes[m].mode, at))
			at++;
		printf("%s: %u points, all whole\n", cutoff_modes[m].name, at - 1);
		fflush(stdout);
		CHECK(at > 40, "the story has hardly any fault points");
	}
	return 0;
}
