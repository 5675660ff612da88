#include "powerstory_i.h"
#include "history/gc.h"
#include "store/packset.h"
#include "store/packwriter.h"
#include "workspace/workspace_i.h"

#include <errno.h>
#include <unistd.h>

#define TRIES    4
#define LENT_MIN 140000u /* files from here on are adopted, not copied */

struct teller {
	struct powerstory *s;
	const char *data;
	struct world w;
	bool up;
	bool unsure; /* whether what was written and not synced is there still */
};

static struct pfs_error err;

/* Repeatable bytes, eight at a time: most of the time of a check goes here. */
static void fill_random(unsigned char *out, size_t len, uint64_t seed)
{
	uint64_t x = seed * 0x9e3779b97f4a7c15u + 1;

	for (size_t i = 0; i < len; i += 8) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		memcpy(out + i, &x, len - i < 8 ? len - i : 8);
	}
}

/* As it was after the first `patches`. */
void powerstory_fill_until(const struct bytes *b, unsigned patches, unsigned char *out)
{
	if (b->seed % 3)
		fill_random(out, b->len, b->seed);
	else /* a text */
		for (uint32_t i = 0; i < b->len; i++)
			out[i] = "one bit in a page of text turns over "[(i + b->seed * (i / 512)) %
									 37];
	for (unsigned i = 0; i < patches; i++)
		fill_random(out + b->patch[i].off, b->patch[i].len, b->patch[i].seed);
}

void powerstory_fill(const struct bytes *b, unsigned char *out)
{
	powerstory_fill_until(b, b->n_patches, out);
}

static bool same_bytes(const struct bytes *a, const struct bytes *b)
{
	return memcmp(a, b, sizeof(*a)) == 0;
}

struct powerstory *powerstory_new(void)
{
	return powercut_alloc(sizeof(struct powerstory));
}

unsigned powerstory_promises(const struct powerstory *s)
{
	return s->n_claims + s->n_commits;
}

struct powerstory_work powerstory_work(const struct powerstory *s)
{
	return s->work;
}

unsigned powerstory_errors(const struct powerstory *s)
{
	return s->errors;
}

/* Packs and runs of the index as small as the story. */
void powerstory_make_small(void)
{
	pfs_packwriter_set_targets(150000, 60000);
	pfs_packset_set_batch(40);
}

/* The model. */

static struct model *model_of(struct powerstory *s, const char *repo, const char *branch)
{
	struct model *m;

	for (unsigned i = 0; i < s->n_models; i++)
		if (strcmp(s->models[i].repo, repo) == 0 &&
		    strcmp(s->models[i].branch, branch) == 0)
			return &s->models[i];
	CHECK(s->n_models < 5, "too many branches");
	m = &s->models[s->n_models++];
	strcpy(m->repo, repo);
	strcpy(m->branch, branch);
	return m;
}

static struct file *file_of(struct model *m, const char *path)
{
	for (unsigned i = 0; i < m->n; i++)
		if (strcmp(m->files[i].path, path) == 0)
			return &m->files[i];
	CHECK(m->n < FILES_MAX, "too many files");
	strcpy(m->files[m->n].path, path);
	m->files[m->n].absent = true;
	return &m->files[m->n++];
}

/* Promises. */

static struct claim *open_claim(struct powerstory *s, const struct model *m, const char *path)
{
	for (unsigned i = s->n_claims; i > 0; i--) {
		struct claim *c = &s->claims[i - 1];

		if (c->until == NEVER && strcmp(c->repo, m->repo) == 0 &&
		    strcmp(c->branch, m->branch) == 0 && strcmp(c->file.path, path) == 0)
			return c;
	}
	return NULL;
}

/* The file is about to be changed: until it is promised again it may be anything. */
static void disturb(struct powerstory *s, const struct model *m, const char *path)
{
	struct claim *c = open_claim(s, m, path);

	if (c)
		c->until = powercut_now();
}

static void add_claim(struct powerstory *s, const struct model *m, const struct file *f,
		      unsigned sure)
{
	CHECK(s->n_claims < CLAIMS_MAX, "too many promises");
	s->claims[s->n_claims++] = (struct claim){ .repo = m->repo,
						   .branch = m->branch,
						   .file = *f,
						   .from = powercut_now(),
						   .until = NEVER,
						   .sure = sure };
}

static void claim(struct powerstory *s, const struct model *m, const struct file *f)
{
	struct claim *c = open_claim(s, m, f->path);

	if (c && c->file.absent == f->absent && same_bytes(&c->file.bytes, &f->bytes)) {
		if (c->sure == f->bytes.n_patches)
			return;
		c->until = powercut_now();
		c = NULL;
	}
	CHECK(!c, "%s was changed behind our back", f->path);
	add_claim(s, m, f, f->bytes.n_patches);
}

/* A piece of the file is about to be written over: what it was is still promised around it. */
static void disturb_piece(struct powerstory *s, const struct model *m, const struct file *patched)
{
	struct claim *c = open_claim(s, m, patched->path);

	if (!c)
		return;
	c->until = powercut_now();
	add_claim(s, m, patched, c->sure);
}

static void claim_all(struct powerstory *s, const struct model *m)
{
	for (unsigned i = 0; i < m->n; i++)
		claim(s, m, &m->files[i]);
}

static void disturb_repo(struct powerstory *s, const char *repo)
{
	for (unsigned i = 0; i < s->n_claims; i++)
		if (strcmp(s->claims[i].repo, repo) == 0 && s->claims[i].until == NEVER)
			s->claims[i].until = powercut_now();
	for (unsigned i = 0; i < s->n_commits; i++)
		if (strcmp(s->commits[i].repo, repo) == 0 && s->commits[i].until == NEVER)
			s->commits[i].until = powercut_now();
}

/* The world. */

static void up(struct teller *t)
{
	for (unsigned tries = 0; !t->up; tries++) {
		t->up = world_open(&t->w, t->data, &err) == 0;
		if (t->up)
			break;
		t->s->errors++;
		CHECK(tries < TRIES, "does not open again: %s", err.text);
	}
}

static void down(struct teller *t)
{
	bool failed = powercut_failed();

	if (t->up)
		world_close(&t->w);
	t->up = false;
	/* Closing tells nobody of an error: what was not synced may be gone. */
	t->unsure = t->unsure || failed != powercut_failed();
}

/* A step until it works; the second time in a process that was started anew. */
#define INSIST(t, step)                                                               \
	do {                                                                          \
		unsigned tries_ = 0;                                                  \
		up(t);                                                                \
		while ((step) < 0) {                                                  \
			(t)->s->errors++;                                             \
			CHECK(++tries_ < TRIES, "does not work again: %s", err.text); \
			if (tries_ > 1)                                               \
				down(t);                                              \
			up(t);                                                        \
		}                                                                     \
	} while (0)

/* The workspace of a branch, and the folder of a path in it, made where it is not there; *path
 * becomes the last name. */
static int enter(struct world *w, const struct model *m, const char **path,
		 struct pfs_workspace **ws, struct pfs_node **dir)
{
	const char *slash;
	int rc = pfs_history_workspace(w->h, m->repo, m->branch, ws, &err);

	if (rc < 0)
		return rc;
	(*ws)->lent_size_min = LENT_MIN;
	*dir = pfs_workspace_root(*ws);
	while (rc == 0 && (slash = strchr(*path, '/'))) {
		rc = world_enter(*ws, dir, *path, (size_t)(slash - *path), &err);
		*path = slash + 1;
	}
	return rc;
}

static void leave(struct world *w, struct pfs_workspace **ws, struct pfs_node **dir)
{
	pfs_node_unref(dir);
	if (*ws)
		pfs_history_release(w->h, ws);
}

static int write_some(struct pfs_workspace *ws, struct pfs_node *dir, const char *name,
		      const unsigned char *data, uint64_t off, size_t len, bool truncate, bool sync)
{
	const struct pfs_node_make make = { .type = PFS_ENTRY_FILE, .mode = 0644 };
	struct pfs_node *file = NULL;
	struct pfs_open *open = NULL;
	int rc = pfs_workspace_lookup(ws, dir, name, strlen(name), &file, &err);

	if (rc == PFS_E_NOTFOUND)
		rc = pfs_workspace_make(ws, dir, name, strlen(name), &make, &file, &err);
	if (rc == 0)
		rc = pfs_workspace_open_file(ws, file, true, truncate, &open, &err);
	/* In pieces, as programs write. */
	for (size_t at = 0; rc == 0 && at < len; at += 48000)
		rc = pfs_workspace_write(open, off + at, data + at,
					 len - at < 48000 ? len - at : 48000, &err);
	if (rc == 0 && sync)
		rc = pfs_workspace_sync_file(open, &err);
	if (open)
		pfs_workspace_close_file(&open);
	if (file)
		pfs_node_unref(&file);
	return rc;
}

static int try_write(struct teller *t, const struct model *m, const char *path,
		     const struct bytes *b, bool patch, bool sync)
{
	static unsigned char data[FILE_MAX];
	const struct piece *last = &b->patch[patch ? b->n_patches - 1 : 0];
	struct pfs_workspace *ws = NULL;
	struct pfs_node *dir = NULL;
	int rc = enter(&t->w, m, &path, &ws, &dir);

	powerstory_fill(b, data);
	if (rc == 0 && patch)
		rc = write_some(ws, dir, path, data + last->off, last->off, last->len, false, sync);
	else if (rc == 0)
		rc = write_some(ws, dir, path, data, 0, b->len, true, sync);
	leave(&t->w, &ws, &dir);
	return rc;
}

static void put(struct teller *t, struct model *m, const char *path, uint32_t len, uint64_t seed,
		bool sync)
{
	struct file *f = file_of(m, path);

	disturb(t->s, m, path);
	f->bytes = (struct bytes){ .seed = seed, .len = len };
	f->absent = false;
	INSIST(t, try_write(t, m, path, &f->bytes, false, sync));
	if (sync)
		claim(t->s, m, f);
}

/* As a program does that has opened a file with O_SYNC, when its writes pass through to the spool. */
static int try_synchronous(struct teller *t, const struct model *m, const char *path,
			   const struct bytes *b)
{
	const struct pfs_node_make make = { .type = PFS_ENTRY_FILE, .mode = 0644 };
	static unsigned char data[FILE_MAX];
	struct pfs_workspace *ws = NULL;
	struct pfs_node *dir = NULL, *file = NULL;
	struct pfs_open *open = NULL;
	int rc = enter(&t->w, m, &path, &ws, &dir);

	powerstory_fill(b, data);
	if (rc == 0)
		rc = pfs_workspace_lookup(ws, dir, path, strlen(path), &file, &err);
	if (rc == PFS_E_NOTFOUND)
		rc = pfs_workspace_make(ws, dir, path, strlen(path), &make, &file, &err);
	if (rc == 0)
		rc = pfs_workspace_open_file(ws, file, true, true, &open, &err);
	if (rc == 0)
		rc = pfs_workspace_sync_file(open, &err);
	if (rc == 0 && (pwrite(pfs_workspace_local_fd(open), data, b->len, 0) != b->len ||
			fdatasync(pfs_workspace_local_fd(open)) < 0))
		rc = pfs_fail_errno(&err, errno ? errno : EIO, "write through");
	if (open)
		pfs_workspace_close_file(&open);
	if (file)
		pfs_node_unref(&file);
	leave(&t->w, &ws, &dir);
	return rc;
}

static void put_synchronous(struct teller *t, struct model *m, const char *path, uint32_t len,
			    uint64_t seed)
{
	struct file *f = file_of(m, path);

	disturb(t->s, m, path);
	f->bytes = (struct bytes){ .seed = seed, .len = len };
	f->absent = false;
	INSIST(t, try_synchronous(t, m, path, &f->bytes));
	claim(t->s, m, f);
}

static void patch(struct teller *t, struct model *m, const char *path, uint32_t off, uint32_t len,
		  bool sync)
{
	struct file *f = file_of(m, path);
	unsigned i = f->bytes.n_patches++;

	CHECK(!f->absent && i < PATCHES_MAX && off + len <= f->bytes.len, "%s", path);
	f->bytes.patch[i] = (struct piece){ .seed = f->bytes.seed + 7 + i, .off = off, .len = len };
	disturb_piece(t->s, m, f);
	INSIST(t, try_write(t, m, path, &f->bytes, true, sync));
	if (sync)
		claim(t->s, m, f);
}

static int try_remove(struct teller *t, const struct model *m, const char *path)
{
	struct pfs_workspace *ws = NULL;
	struct pfs_node *dir = NULL;
	int rc = enter(&t->w, m, &path, &ws, &dir);

	if (rc == 0)
		rc = pfs_workspace_remove_name(ws, dir, path, strlen(path), false, &err);
	leave(&t->w, &ws, &dir);
	return rc == PFS_E_NOTFOUND ? 0 : rc;
}

static void drop(struct teller *t, struct model *m, const char *path)
{
	struct file *f = file_of(m, path);

	disturb(t->s, m, path);
	f->absent = true;
	INSIST(t, try_remove(t, m, path));
}

/* A second try finds nothing to rename when the first one did it and an error came later. */
static int try_rename(struct teller *t, const struct model *m, const char *from, const char *to)
{
	struct pfs_workspace *ws = NULL;
	struct pfs_node *dir = NULL, *root;
	int rc = enter(&t->w, m, &to, &ws, &dir);

	if (rc == 0) {
		root = pfs_workspace_root(ws);
		rc = pfs_workspace_rename(ws, root, from, strlen(from), dir, to, strlen(to), false,
					  false, &err);
		pfs_node_unref(&root);
	}
	leave(&t->w, &ws, &dir);
	return rc;
}

/* `from` is a name of the root. A try that fails may have been done, or have lost the file that was
 * not promised: it is written again. */
static void move(struct teller *t, struct model *m, const char *from, const char *to)
{
	struct file *f = file_of(m, from), *g = file_of(m, to);
	struct bytes b = f->bytes;

	disturb(t->s, m, from);
	disturb(t->s, m, to);
	g->bytes = f->bytes;
	g->absent = false;
	f->absent = true;
	up(t);
	if (try_rename(t, m, from, to) == 0)
		return;
	t->s->errors++;
	INSIST(t, try_write(t, m, to, &b, false, false));
	INSIST(t, try_remove(t, m, from));
}

static int try_sync(struct teller *t, const struct model *m)
{
	struct pfs_workspace *ws = NULL;
	int rc = pfs_history_workspace(t->w.h, m->repo, m->branch, &ws, &err);

	if (rc == 0)
		rc = pfs_workspace_sync(ws, &err);
	if (ws)
		pfs_history_release(t->w.h, &ws);
	return rc;
}

/* What was not synced may be gone after an error: all of it is written again before it is
 * promised. */
static void write_again(struct teller *t, const struct model *m)
{
	for (unsigned i = 0; i < m->n; i++)
		disturb(t->s, m, m->files[i].path);
	for (unsigned i = 0; i < m->n; i++) {
		const struct file *f = &m->files[i];

		if (f->absent)
			INSIST(t, try_remove(t, m, f->path));
		else
			INSIST(t, try_write(t, m, f->path, &f->bytes, false, false));
	}
}

static void make_sure(struct teller *t)
{
	if (!t->unsure)
		return;
	t->unsure = false;
	for (unsigned i = 0; i < t->s->n_models; i++)
		write_again(t, &t->s->models[i]);
}

static void sync_all(struct teller *t, struct model *m)
{
	unsigned errors;

	do {
		make_sure(t);
		errors = t->s->errors;
		INSIST(t, try_sync(t, m));
		t->unsure = t->unsure || errors != t->s->errors;
	} while (t->unsure);
	claim_all(t->s, m);
}

static struct promise *begin_commit(struct powerstory *s, const struct model *m)
{
	struct promise *p = &s->commits[s->n_commits];

	CHECK(s->n_commits < COMMITS_MAX, "too many commits");
	memset(p, 0, sizeof(*p));
	p->repo = m->repo;
	p->begun = powercut_now();
	p->acked = p->until = NEVER;
	p->files = powercut_alloc(m->n * sizeof(*p->files) + 1);
	p->n = m->n;
	memcpy(p->files, m->files, m->n * sizeof(*p->files));
	s->n_commits++;
	return p;
}

static void commit(struct teller *t, struct model *m)
{
	struct pfs_store_stats stats;
	struct promise *p;
	struct pfs_commit_id id;

	for (;;) {
		make_sure(t);
		p = begin_commit(t->s, m);
		up(t);
		if (pfs_commit_branch(t->w.h, m->repo, m->branch, NULL, &id, &err) == 0)
			break;
		CHECK(++t->s->errors < 20, "does not commit: %s", err.text);
		if (t->s->errors % 2)
			down(t);
		t->unsure = true;
	}
	p->id = id;
	p->acked = powercut_now();
	claim_all(t->s, m);
	pfs_store_stats(t->w.store, &stats);
	if (stats.adopted_files > t->s->work.adopted)
		t->s->work.adopted = (unsigned)stats.adopted_files;
}

static int try_repo(struct teller *t, const struct model *m, const char *from)
{
	int rc = pfs_repo_create(t->w.h, m->repo, &err);

	if (rc == 0 || rc == PFS_E_EXISTS)
		rc = pfs_branch_create(t->w.h, m->repo, m->branch, from, &err);
	return rc == PFS_E_EXISTS ? 0 : rc;
}

static struct model *make_branch(struct teller *t, const char *repo, const char *branch,
				 const struct model *from)
{
	struct model *m = model_of(t->s, repo, branch);

	INSIST(t, try_repo(t, m, from ? from->branch : NULL));
	if (from) {
		m->n = from->n;
		memcpy(m->files, from->files, sizeof(m->files));
		claim_all(t->s, m);
	}
	return m;
}

static int try_delete(struct teller *t, const char *repo)
{
	int rc = pfs_repo_delete(t->w.h, repo, true, &err);

	return rc == PFS_E_NOTFOUND ? 0 : rc;
}

static void delete_repo(struct teller *t, struct model *m)
{
	disturb_repo(t->s, m->repo);
	m->n = 0;
	INSIST(t, try_delete(t, m->repo));
}

/* What deleted repos leave goes, all of it. */
static int try_collect(struct teller *t)
{
	struct pfs_gc_options options = PFS_GC_OPTIONS_INIT;
	struct pfs_gc_report report = { 0 };
	int rc;

	options.thorough = true;
	rc = pfs_gc_run(t->w.h, &options, &report, &err);
	t->s->work.collected += (unsigned)report.packs_removed;
	return rc;
}

/* Runs of the index are merged, adopted files compressed, small chunks bundled. */
static int try_tidy(struct teller *t)
{
	struct pfs_tidy_options options = PFS_TIDY_OPTIONS_INIT;
	struct pfs_tidy_report report = { 0 };
	int rc;

	do
		rc = pfs_history_tidy(t->w.h, &options, &report, &err);
	while (rc == 0 && report.more);
	t->s->work.repacked += (unsigned)report.packs_rewritten;
	return rc;
}

/* One copy of the superblock is not as it was written, and is mended from the other one. */
static int try_repair(struct teller *t)
{
	struct pfs_fsck_options options = PFS_FSCK_OPTIONS_INIT;
	struct pfs_fsck_report report;
	char path[300];
	int fd;

	snprintf(path, sizeof(path), "%s/store/STORE", t->data);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd >= 0 && pwrite(fd, "damage", 6, 40) == 6)
		fsync(fd);
	if (fd >= 0)
		close(fd);
	options.level = PFS_FSCK_REACH;
	options.repair = true;
	return pfs_fsck_run(t->w.h, &options, &report, &err);
}

/* A large file is committed, and then changed in place. */
static void tell_large(struct teller *t, unsigned round, struct model *m)
{
	switch (round % 4) {
	case 0:
		put(t, m, "huge", PFS_PATCHED_SIZE_MIN + 100000 + round, 5000 + round, false);
		commit(t, m);
		patch(t, m, "huge", 300000, 5000, true);
		break;
	case 1:
		patch(t, m, "huge", 302000, 60000, false);
		INSIST(t, pfs_history_tick(t->w.h, &err));
		patch(t, m, "huge", 10, 100, true);
		commit(t, m);
		break;
	case 2:
		patch(t, m, "huge", 0, 70000, false);
		sync_all(t, m);
		break;
	default:
		commit(t, m);
	}
}

static void tell_round(struct teller *t, unsigned round, struct model *m)
{
	char path[32];

	for (unsigned i = 0; i < 3; i++) {
		sprintf(path, "d%u/e/f%u", (round + i) % 3, i);
		put(t, m, path, 100 + 700 * i + round, round * 100 + i, i == 1);
	}
	if (round % 2 == 0)
		put(t, m, "big", 150000 + 40000 * (round % 3), round * 100 + 10, round % 4 == 0);
	else
		patch(t, m, "big", 60000, 3000, round % 4 == 1);
	put(t, m, "tmp", 5000, round * 100 + 11, false);
	put_synchronous(t, m, round % 2 ? "through/a" : "through/b", 3000 + round,
			round * 100 + 12);
	/* More at once than are flushed one by one. */
	for (unsigned i = 0; round % 5 == 2 && i < 12; i++) {
		sprintf(path, "many/%u", i);
		put(t, m, path, 40 + i * 300, round * 100 + 20 + i, false);
	}
	if (round % 3 == 1)
		sync_all(t, m);
	sprintf(path, "kept/%u", round);
	move(t, m, "tmp", path);
	if (round % 3 == 2)
		drop(t, m, "d0/e/f0");
	if (round % 4 == 3)
		INSIST(t, pfs_history_tick(t->w.h, &err));
	commit(t, m);
}

static void tell_all(struct teller *t, unsigned rounds)
{
	struct model *master, *large, *side = NULL, *gone = NULL;

	powerstory_make_small();
	master = make_branch(t, "books", "master", NULL);
	large = make_branch(t, "large", "master", NULL);
	for (unsigned round = 0; round < rounds; round++) {
		tell_round(t, round, master);
		if (round == 1)
			side = make_branch(t, "books", "side", master);
		if (side && round % 2)
			tell_round(t, 100 + round - 1, side);
		tell_large(t, round, large);
		if (round % 5 == 0) {
			gone = make_branch(t, "gone", "master", NULL);
			put(t, gone, "x", 90000, 900 + round, false);
			commit(t, gone);
		} else if (round % 5 == 1) {
			delete_repo(t, gone);
			INSIST(t, try_collect(t));
		}
		if (round % 3 != 0)
			INSIST(t, try_tidy(t));
		if (round % 6 == 1)
			INSIST(t, try_repair(t));
		if (round % 3 == 2)
			down(t);
	}
	put(t, master, "last", 3000, 999, true);
}

void powerstory_tell(struct powerstory *s, const char *data, unsigned rounds)
{
	struct teller t = { .s = s, .data = data };

	tell_all(&t, rounds);
	down(&t);
}

void powerstory_tell_and_die(struct powerstory *s, const char *data, unsigned rounds)
{
	struct teller t = { .s = s, .data = data };

	tell_all(&t, rounds);
	_exit(0);
}

void powerstory_continue(struct powerstory *s, const char *data)
{
	struct teller t = { .s = s, .data = data };
	struct model *m = powercut_alloc(sizeof(*m));
	struct file *f;
	struct promise *p;

	strcpy(m->repo, "books");
	strcpy(m->branch, "master");
	up(&t);
	INSIST(&t, try_repo(&t, m, NULL));
	f = file_of(m, "later/file");
	f->absent = false;
	f->bytes = (struct bytes){ .seed = 4711, .len = 120000 };
	INSIST(&t, try_write(&t, m, f->path, &f->bytes, false, false));
	p = begin_commit(s, m);
	p->partial = true;
	INSIST(&t, pfs_commit_branch(t.w.h, m->repo, m->branch, NULL, &p->id, &err));
	p->acked = powercut_now();
	claim_all(s, m);
}
