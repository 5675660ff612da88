/* Looking at what is left of a story. */
#include "powerstory_i.h"
#include "history/gc.h"

static struct pfs_error err;

static void complain(void *arg, const char *text)
{
	fprintf(stderr, "damage: %s\n", text);
	++*(unsigned *)arg;
}

/* Each byte is as it was before or after one of the patches that were not promised. */
static void expect_some_bytes(const unsigned char *got, size_t n, const struct claim *c)
{
	static unsigned char want[PATCHES_MAX + 1][FILE_MAX];
	const struct bytes *b = &c->file.bytes;

	CHECK(n == b->len, "%s %s: %zu bytes, not %u", c->branch, c->file.path, n, b->len);
	for (unsigned k = c->sure; k <= b->n_patches; k++)
		powerstory_fill_until(b, k, want[k]);
	for (size_t i = 0; i < n; i++) {
		bool known = false;

		for (unsigned k = c->sure; k <= b->n_patches && !known; k++)
			known = got[i] == want[k][i];
		CHECK(known, "%s %s: byte %zu is %02x, which nobody wrote", c->branch, c->file.path,
		      i, got[i]);
	}
}

static void expect_bytes(const unsigned char *got, size_t n, const struct file *f, const char *of)
{
	static unsigned char want[FILE_MAX];

	powerstory_fill(&f->bytes, want);
	CHECK(n == f->bytes.len, "%s %s: %zu bytes, not %u", of, f->path, n, f->bytes.len);
	CHECK(memcmp(got, want, n) == 0, "%s %s: other bytes", of, f->path);
}

static int read_content(struct world *w, const struct pfs_id *root, const char *path,
			unsigned char *out, size_t *out_n)
{
	PFS_AUTO(pfs_content_reader_close) struct pfs_content_reader *r = NULL;
	PFS_AUTO(pfs_found_fini) struct pfs_found found = { 0 };
	int rc = pfs_tree_lookup(w->store, root, path, &found, &err);

	if (rc == 0)
		rc = pfs_content_reader_open(w->store, &found.e.content, &r, &err);
	return rc == 0 ? pfs_content_read(r, 0, out, FILE_MAX, out_n, &err) : rc;
}

static uint64_t expect_tree(struct world *w, const struct pfs_id *root, const struct file *files,
			    unsigned n)
{
	static unsigned char got[FILE_MAX];
	uint64_t sum = 0;

	for (unsigned i = 0; i < n; i++) {
		size_t len = 0;
		int rc = read_content(w, root, files[i].path, got, &len);

		if (files[i].absent) {
			CHECK(rc == PFS_E_NOTFOUND, "a commit has %s, which was removed (%d)",
			      files[i].path, rc);
		} else {
			CHECK(rc == 0, "a commit: %s: %s", files[i].path, err.text);
			expect_bytes(got, len, &files[i], "a commit:");
		}
		sum += len;
	}
	return sum;
}

static const struct promise *promise_of(const struct powerstory *s, const char *repo,
					const struct pfs_commit_id *id, unsigned moment)
{
	for (unsigned i = 0; i < s->n_commits; i++)
		if (s->commits[i].begun <= moment && strcmp(s->commits[i].repo, repo) == 0 &&
		    pfs_commit_id_equal(&s->commits[i].id, id))
			return &s->commits[i];
	return NULL;
}

/* A commit that reported an error, and is there: it must be one of those that were begun. */
static void expect_unpromised(const struct powerstory *s, struct world *w, const char *repo,
			      const struct pfs_commit *c, unsigned moment)
{
	char text[32] = "";

	for (unsigned i = 0; i < s->n_commits; i++) {
		const struct promise *p = &s->commits[i];

		if (p->acked != NEVER || p->begun > moment || strcmp(p->repo, repo) != 0)
			continue;
		if (expect_tree(w, &c->root, p->files, p->n) == c->size_bytes)
			return;
	}
	if (world_read(w, repo, &c->id, "onward/x", text, sizeof(text), &err) == 0 &&
	    strcmp(text, "still here") == 0)
		return; /* by a check */
	CHECK(false, "%s has a commit that nobody made", repo);
}

static void check_repo(const struct powerstory *s, struct world *w, const char *repo,
		       unsigned moment)
{
	struct pfs_commit *list = NULL;
	size_t n = 0;

	CHECK(pfs_commit_list(w->h, repo, NULL, 0, &list, &n, &err) == 0, "%s", err.text);
	for (size_t i = 0; i < n; i++) {
		const struct promise *p = promise_of(s, repo, &list[i].id, moment);

		if (!p)
			expect_unpromised(s, w, repo, &list[i], moment);
		else
			CHECK(expect_tree(w, &list[i].root, p->files, p->n) == list[i].size_bytes ||
				      p->partial,
			      "%s: the size of a commit", repo);
	}
	pfs_commits_free(&list, n);
}

static void check_commits(const struct powerstory *s, struct world *w, unsigned moment)
{
	struct pfs_repo *repos = NULL;
	struct pfs_root root;
	size_t n = 0;

	CHECK(pfs_repo_list(w->h, &repos, &n, &err) == 0, "%s", err.text);
	for (size_t i = 0; i < n; i++)
		check_repo(s, w, repos[i].name, moment);
	free(repos);
	for (unsigned i = 0; i < s->n_commits; i++) {
		const struct promise *p = &s->commits[i];

		if (p->acked != NEVER && p->acked <= moment && moment <= p->until)
			CHECK(pfs_history_commit_root(w->h, p->repo, &p->id, &root, &err) == 0,
			      "a commit that was acknowledged: %s", err.text);
	}
}

static int read_file(struct pfs_workspace *ws, const char *path, unsigned char *out, size_t *out_n)
{
	struct pfs_node *n = pfs_workspace_root(ws), *next = NULL;
	struct pfs_open *open = NULL;
	int rc = 0;

	while (rc == 0 && *path) {
		size_t len = strcspn(path, "/");

		rc = pfs_workspace_lookup(ws, n, path, len, &next, &err);
		if (rc == 0) {
			pfs_node_unref(&n);
			n = next;
		}
		path += len + (path[len] == '/');
	}
	if (rc == 0)
		rc = pfs_workspace_open_file(ws, n, false, false, &open, &err);
	if (rc == 0)
		rc = pfs_workspace_read(open, 0, out, FILE_MAX, out_n, &err);
	if (open)
		pfs_workspace_close_file(&open);
	pfs_node_unref(&n);
	return rc;
}

static void check_claim(struct world *w, const struct claim *c)
{
	static unsigned char got[FILE_MAX];
	struct pfs_workspace *ws = NULL;
	size_t n = 0;
	int rc;

	CHECK(pfs_history_workspace(w->h, c->repo, c->branch, &ws, &err) == 0, "%s@%s: %s", c->repo,
	      c->branch, err.text);
	rc = read_file(ws, c->file.path, got, &n);
	if (c->file.absent) {
		CHECK(rc == PFS_E_NOTFOUND, "%s@%s has %s, which was removed (%d)", c->repo,
		      c->branch, c->file.path, rc);
	} else {
		CHECK(rc == 0, "%s@%s: %s: %s", c->repo, c->branch, c->file.path, err.text);
		if (c->sure < c->file.bytes.n_patches)
			expect_some_bytes(got, n, c);
		else
			expect_bytes(got, n, &c->file, c->branch);
	}
	pfs_history_release(w->h, &ws);
}

/* Every file that is there can be read, whatever it holds. */
static void read_all(struct world *w, const struct model *m)
{
	static unsigned char got[FILE_MAX];
	struct pfs_workspace *ws = NULL;
	unsigned damages = 0;
	size_t n;
	int rc = pfs_history_workspace(w->h, m->repo, m->branch, &ws, &err);

	if (rc == PFS_E_NOTFOUND)
		return;
	CHECK(rc == 0, "%s@%s: %s", m->repo, m->branch, err.text);
	for (unsigned i = 0; i < m->n; i++) {
		rc = read_file(ws, m->files[i].path, got, &n);
		CHECK(rc == 0 || rc == PFS_E_NOTFOUND || rc == PFS_E_NOTDIR, "%s@%s: %s: %s",
		      m->repo, m->branch, m->files[i].path, err.text);
	}
	CHECK(pfs_workspace_check(ws, complain, &damages) == 0, "the journal of %s@%s", m->repo,
	      m->branch);
	pfs_history_release(w->h, &ws);
}

static void go_on(struct world *w, struct powerstory_onward *out)
{
	struct pfs_commit_id id;
	char text[32] = "";
	int rc = pfs_repo_create(w->h, "books", &err);

	CHECK(rc == 0 || rc == PFS_E_EXISTS, "goes on: %s", err.text);
	CHECK(world_branch(w, "books", "master", &err) == 0, "goes on: %s", err.text);
	CHECK(world_write(w, "books", "master", "onward/x", "still here", &err) == 0, "goes on: %s",
	      err.text);
	CHECK(pfs_commit_branch(w->h, "books", "master", NULL, &id, &err) == 0, "goes on: %s",
	      err.text);
	if (out)
		*out = (struct powerstory_onward){ .id = id, .acked = powercut_now() };
	CHECK(world_read(w, "books", &id, "onward/x", text, sizeof(text), &err) == 0 &&
		      strcmp(text, "still here") == 0,
	      "goes on: %s", err.text);
}

/* Of what a check before this one was promised. */
static void check_onward(struct world *w, const struct powerstory_onward *before)
{
	char text[32] = "";

	CHECK(world_read(w, "books", &before->id, "onward/x", text, sizeof(text), &err) == 0 &&
		      strcmp(text, "still here") == 0,
	      "what was committed after the first cut: %s", err.text);
}

/* But for the copy of the superblock that the story itself damaged. */
static void complain_of(void *arg, const struct pfs_finding *f)
{
	if (strstr(f->text, "STORE copy A"))
		return;
	if (f->kind == PFS_FINDING_DAMAGE || f->kind == PFS_FINDING_MISSING ||
	    f->kind == PFS_FINDING_NAMES || f->kind == PFS_FINDING_AFFECTED)
		complain(arg, f->text);
}

static void check_whole(struct world *w)
{
	struct pfs_fsck_options options = PFS_FSCK_OPTIONS_INIT;
	struct pfs_fsck_report report;
	unsigned damages = 0;

	options.level = PFS_FSCK_FULL;
	options.report = complain_of;
	options.arg = &damages;
	CHECK(pfs_fsck_run(w->h, &options, &report, &err) == 0, "check: %s", err.text);
	CHECK(damages == 0, "a check finds damage");
}

void powerstory_check_on(const struct powerstory *s, const char *data, unsigned moment,
			 const struct powerstory_onward *before, struct powerstory_onward *after)
{
	struct world w;

	powerstory_make_small();
	CHECK(world_open(&w, data, &err) == 0, "open: %s", err.text);
	check_whole(&w);
	check_commits(s, &w, moment);
	for (unsigned i = 0; i < s->n_claims; i++)
		if (s->claims[i].from <= moment && moment <= s->claims[i].until)
			check_claim(&w, &s->claims[i]);
	for (unsigned i = 0; i < s->n_models; i++)
		read_all(&w, &s->models[i]);
	if (before)
		check_onward(&w, before);
	go_on(&w, after);
	world_close(&w);
}

void powerstory_check(const struct powerstory *s, const char *data, unsigned moment)
{
	powerstory_check_on(s, data, moment, NULL, NULL);
}

/* Damage, and what is said of it. */

static void remember(struct powerstory_findings *f, const char *text)
{
	size_t used = strlen(f->text);

	snprintf(f->text + used, sizeof(f->text) - used, "%s\n", text);
}

static void note_complaint(void *arg, const char *text)
{
	struct powerstory_findings *f = arg;

	f->complaints++;
	remember(f, text);
}

static void miss(struct powerstory_findings *f)
{
	f->missing++;
	remember(f, err.text);
}

static void probe_tree(struct world *w, const struct pfs_id *root, const struct promise *p,
		       struct powerstory_findings *f)
{
	static unsigned char got[FILE_MAX];

	for (unsigned i = 0; i < p->n; i++) {
		size_t len = 0;
		int rc = read_content(w, root, p->files[i].path, got, &len);

		if (rc == 0) {
			CHECK(!p->files[i].absent, "a commit has %s", p->files[i].path);
			expect_bytes(got, len, &p->files[i], "a commit:");
		} else if (!p->files[i].absent || rc != PFS_E_NOTFOUND) {
			miss(f);
		}
	}
}

static void probe_commits(const struct powerstory *s, struct world *w,
			  struct powerstory_findings *f)
{
	struct pfs_root root;

	for (unsigned i = 0; i < s->n_commits; i++) {
		const struct promise *p = &s->commits[i];

		if (p->acked == NEVER || p->until != NEVER)
			continue;
		if (pfs_history_commit_root(w->h, p->repo, &p->id, &root, &err) == 0)
			probe_tree(w, &root.dir, p, f);
		else
			miss(f);
	}
}

static void probe_branch(const struct powerstory *s, struct world *w, const struct model *m,
			 struct powerstory_findings *f)
{
	static unsigned char got[FILE_MAX];
	struct pfs_workspace *ws = NULL;

	if (m->n == 0)
		return;
	if (pfs_history_workspace(w->h, m->repo, m->branch, &ws, &err) < 0) {
		f->refused = true;
		remember(f, err.text);
		return;
	}
	pfs_workspace_check(ws, note_complaint, f);
	for (unsigned i = 0; i < s->n_claims; i++) {
		const struct claim *c = &s->claims[i];
		size_t n = 0;
		int rc;

		if (c->until != NEVER || strcmp(c->repo, m->repo) || strcmp(c->branch, m->branch))
			continue;
		rc = read_file(ws, c->file.path, got, &n);
		if (rc == 0) {
			CHECK(!c->file.absent, "%s has %s", c->branch, c->file.path);
			if (c->sure < c->file.bytes.n_patches)
				expect_some_bytes(got, n, c);
			else
				expect_bytes(got, n, &c->file, c->branch);
		} else if (!c->file.absent || rc != PFS_E_NOTFOUND) {
			miss(f);
		}
	}
	pfs_history_release(w->h, &ws);
}

void powerstory_probe(const struct powerstory *s, const char *data, struct powerstory_findings *out)
{
	struct world w;

	memset(out, 0, sizeof(*out));
	powerstory_make_small();
	if (world_open(&w, data, &err) < 0) {
		out->refused = true;
		remember(out, err.text);
		return;
	}
	if (pfs_store_check(w.store, note_complaint, out, &err) < 0)
		remember(out, err.text);
	pfs_meta_check(w.meta, note_complaint, out);
	probe_commits(s, &w, out);
	for (unsigned i = 0; i < s->n_models; i++)
		probe_branch(s, &w, &s->models[i], out);
	world_close(&w);
}
