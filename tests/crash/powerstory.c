#include "powerstory.h"
#include "powercut.h"
#include "../world.h"
#include "base/limits.h"
#include "history/gc.h"
#include "store/packset.h"
#include "store/packwriter.h"
#include "workspace/workspace_i.h"

#include <errno.h>
#include <limits.h>
#include <unistd.h>

#define FILES_MAX   64u
#define CLAIMS_MAX  4096u
#define COMMITS_MAX 256u
#define FILE_MAX    (PFS_PATCHED_SIZE_MIN + 150000u)
#define PATCHES_MAX 4u
#define LENT_MIN    140000u /* files from here on are adopted, not copied */
#define TRIES       4
#define NEVER       UINT_MAX

/* Bytes that say themselves what they are, with other pieces in the middle, the later ones on top. */
struct piece {
	uint64_t seed;
	uint32_t off, len;
};

struct bytes {
	uint64_t seed;
	uint32_t len, n_patches;
	struct piece patch[PATCHES_MAX];
};

struct file {
	char path[40];
	bool absent; /* was removed: a promise as good as any other */
	struct bytes bytes;
};

/* What a branch holds as its user sees it. */
struct model {
	char repo[16], branch[16];
	unsigned n;
	struct file files[FILES_MAX];
};

/*
 * From one moment until another this file is so. Patches behind the first `sure`
 * were not promised: each byte is as before one of them, or as after it.
 */
struct claim {
	const char *repo, *branch;
	struct file file;
	unsigned from, until, sure;
};

struct promise {
	const char *repo;
	struct pfs_commit_id id;
	unsigned begun, acked, until;
	bool partial; /* the commit has other files too */
	unsigned n;
	struct file *files;
};

struct powerstory {
	unsigned n_claims, n_commits, n_models, errors;
	struct powerstory_work work;
	struct claim claims[CLAIMS_MAX];
	struct promise commits[COMMITS_MAX];
	struct model models[5];
};

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
static void fill_until(const struct bytes *b, unsigned patches, unsigned char *out)
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

static void fill(const struct bytes *b, unsigned char *out)
{
	fill_until(b, b->n_patches, out);
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
static void make_small(void)
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

	fill(b, data);
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

	fill(b, data);
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

	make_small();
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

/* What is left of it. */

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
		fill_until(b, k, want[k]);
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

	fill(&f->bytes, want);
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

	make_small();
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
	make_small();
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
