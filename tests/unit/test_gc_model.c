/*
 * Collections against a shadow: repos, branches, commits, files that are not
 * committed, commits that fail half way, open files without a name come and go
 * at random. After every few steps garbage is collected: what the shadow knows
 * is there byte for byte, and in the packs is nothing but what somebody names and
 * the bases of that. What a deletion would free is what it then frees.
 */
#include "history/gc.h"
#include "../cold.h"
#include "../world.h"
#include "store/packlist.h"
#include "store/packlog.h"
#include "store/packset.h"
#include "store/packwriter.h"
#include "store/repack.h"
#include "store/store_i.h"
#include "tree/reach.h"
#include "workspace/reach.h"
#include "base/fault.h"
#include "base/idset.h"
#include "base/limits.h"
#include "base/vec.h"

#include <criterion/criterion.h>
#include <sys/stat.h>
#include <unistd.h>

#define SEEDS    12
#define STEPS    120
#define REPOS    3
#define BRANCHES 2
#define FILES    6
#define COMMITS  400
#define OPENS    3
#define NONE     0 /* no such file; a content is a number from 1 */

struct branch {
	bool there;
	unsigned files[FILES]; /* as the workspace has them */
};

struct repo {
	bool there;
	struct branch branches[BRANCHES];
};

struct made {
	unsigned repo;
	struct pfs_commit_id id;
	unsigned files[FILES];
	bool there;
};

struct opened {
	struct pfs_workspace *ws;
	struct pfs_open *open;
	unsigned content, changed; /* a byte of it was, at `changed` - 1; 0: none */
};

static struct scratch dir;
static struct world w;
static struct repo repos[REPOS];
static struct made made[COMMITS];
static unsigned n_made;
static struct opened opened[OPENS];
static unsigned lately[29]; /* the last content of each kind */
static uint64_t seed;
static bool
	failed; /* a pack may have been given up: it is finished when the store is opened next */

static unsigned roll(unsigned below)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return (unsigned)((seed * 0x2545f4914f6cdd1d >> 33) % below);
}

static void must(int rc, const struct pfs_error *err)
{
	cr_assert_eq(rc, 0, "seed: %s", err->text);
}

/* --- contents and names ---------------------------------------------------- */

static size_t content_len(unsigned content)
{
	static const size_t lens[] = { 100, 700, 3000, 14000, 60000, PFS_PATCHED_SIZE_MIN + 1000 };
	unsigned kind = content % 29;

	return lens[kind < 8    ? 0
		    : kind < 16 ? 1
		    : kind < 20 ? 2
		    : kind < 25 ? 3
		    : kind < 28 ? 4
				: 5];
}

/* Those of a kind resemble each other, so that some become deltas of others. */
static char *content_text(unsigned content)
{
	size_t len = content_len(content);
	char *text = malloc(len + 1);

	scratch_fill(text, len, 1 + content % 29);
	for (size_t i = 0; i < len; i++)
		text[i] = (char)('!' + (text[i] & 63));
	for (size_t i = 10; i + 20 < len; i += len / 3) {
		char mark[12];

		snprintf(mark, sizeof(mark), "%08u", content);
		memcpy(text + i, mark, 8);
	}
	text[len] = 0;
	return text;
}

static const char *repo_name(unsigned repo)
{
	static const char *const names[REPOS] = { "alpha", "beta", "gamma" };

	return names[repo];
}

static const char *branch_name(unsigned branch)
{
	return branch ? "side" : "master";
}

static void file_name(unsigned file, char out[16])
{
	snprintf(out, 16, file % 2 ? "d/f%u" : "f%u", file);
}

/* --- up and down ----------------------------------------------------------- */

static void up(void)
{
	struct pfs_error err = { 0 };

	must(world_open(&w, dir.path, &err), &err);
	store_without_cache(w.store);
}

static void close_opened(struct opened *o)
{
	if (!o->open)
		return;
	pfs_workspace_close_file(&o->open);
	pfs_history_release(w.h, &o->ws);
}

static void restart(void)
{
	for (unsigned i = 0; i < OPENS; i++)
		close_opened(&opened[i]);
	world_close(&w);
	up();
	failed = false;
}

/* --- steps ----------------------------------------------------------------- */

static void make_repo(unsigned repo)
{
	struct pfs_error err = { 0 };

	if (repos[repo].there)
		return;
	must(pfs_repo_create(w.h, repo_name(repo), &err), &err);
	must(pfs_branch_create(w.h, repo_name(repo), "master", NULL, &err), &err);
	repos[repo] = (struct repo){ .there = true };
	repos[repo].branches[0].there = true;
}

static void make_branch(unsigned repo)
{
	struct branch *b = &repos[repo].branches[1];
	const struct made *head = NULL;
	struct pfs_error err = { 0 };

	for (unsigned i = 0; i < n_made; i++)
		if (made[i].there && made[i].repo == repo)
			head = &made[i];
	if (b->there || !head)
		return;
	{
		char rev[PFS_COMMIT_ID_HEX_SIZE];

		pfs_commit_id_format(&head->id, rev);
		must(pfs_branch_create(w.h, repo_name(repo), "side", rev, &err), &err);
	}
	b->there = true;
	memcpy(b->files, head->files, sizeof(b->files));
}

static void drop_branch(unsigned repo)
{
	struct pfs_error err = { 0 };

	if (!repos[repo].branches[1].there)
		return;
	must(pfs_branch_delete(w.h, repo_name(repo), "side", true, &err), &err);
	repos[repo].branches[1].there = false;
}

static void drop_repo(unsigned repo)
{
	struct pfs_error err = { 0 };

	must(pfs_repo_delete(w.h, repo_name(repo), true, &err), &err);
	repos[repo].there = false;
	for (unsigned i = 0; i < n_made; i++)
		if (made[i].repo == repo)
			made[i].there = false;
}

/* Stored as a delta before a commit finds it there: of a base that another repo has, or nobody. */
static void put_like(unsigned content, const char *text)
{
	unsigned *last = &lately[content % 29], other = *last;
	struct pfs_store_item item = { .data = text, .len = content_len(content) };
	struct pfs_error err = { 0 };
	struct pfs_id near;
	char *base;

	*last = content;
	if (item.len > 15000 || other == NONE)
		return;
	base = content_text(other);
	pfs_store_id(w.store, PFS_KIND_CHUNK, base, item.len, &near);
	item.near = &near;
	must(pfs_store_put_batch(w.store, PFS_KIND_CHUNK, &item, 1, &err), &err);
	free(base);
}

static void write_file(unsigned repo, unsigned branch)
{
	unsigned file = roll(FILES), content = 1 + roll(300);
	char *text = content_text(content), name[16];
	struct pfs_error err = { 0 };

	file_name(file, name);
	put_like(content, text);
	must(world_write(&w, repo_name(repo), branch_name(branch), name, text, &err), &err);
	repos[repo].branches[branch].files[file] = content;
	free(text);
}

static struct pfs_node *find_dir(struct pfs_workspace *ws, unsigned file)
{
	struct pfs_node *n = pfs_workspace_root(ws);
	struct pfs_error err = { 0 };

	if (file % 2)
		must(world_enter(ws, &n, "d", 1, &err), &err);
	return n;
}

static void remove_file(unsigned repo, unsigned branch, struct pfs_workspace *ws, unsigned file)
{
	struct pfs_node *in = find_dir(ws, file);
	struct pfs_error err = { 0 };
	char name[16];

	snprintf(name, sizeof(name), "f%u", file);
	must(pfs_workspace_remove_name(ws, in, name, strlen(name), false, &err), &err);
	pfs_node_unref(&in);
	repos[repo].branches[branch].files[file] = NONE;
}

/* Held open, changed by a byte, its name removed: one or the other or all. */
static void open_file(unsigned repo, unsigned branch)
{
	struct opened *o = &opened[roll(OPENS)];
	unsigned file = roll(FILES), content = repos[repo].branches[branch].files[file];
	struct pfs_node *in, *n = NULL;
	struct pfs_error err = { 0 };
	char name[16];

	if (content == NONE)
		return;
	close_opened(o);
	must(pfs_history_workspace(w.h, repo_name(repo), branch_name(branch), &o->ws, &err), &err);
	in = find_dir(o->ws, file);
	snprintf(name, sizeof(name), "f%u", file);
	must(pfs_workspace_lookup(o->ws, in, name, strlen(name), &n, &err), &err);
	must(pfs_workspace_open_file(o->ws, n, true, false, &o->open, &err), &err);
	o->content = content;
	o->changed = 0;
	remove_file(repo, branch, o->ws, file);
	if (roll(2)) {
		o->changed = 1 + roll((unsigned)content_len(content));
		must(pfs_workspace_write(o->open, o->changed - 1, "~", 1, &err), &err);
	}
	if (roll(2))
		must(pfs_workspace_tick(o->ws, 0, &err), &err);
	pfs_node_unref(&n);
	pfs_node_unref(&in);
}

static void remove_some(unsigned repo, unsigned branch)
{
	unsigned file = roll(FILES);
	struct pfs_workspace *ws = NULL;
	struct pfs_error err = { 0 };

	if (repos[repo].branches[branch].files[file] == NONE)
		return;
	must(pfs_history_workspace(w.h, repo_name(repo), branch_name(branch), &ws, &err), &err);
	remove_file(repo, branch, ws, file);
	pfs_history_release(w.h, &ws);
}

static void commit(unsigned repo, unsigned branch)
{
	struct made *m = &made[n_made];
	struct pfs_error err = { 0 };

	cr_assert_lt(n_made, COMMITS);
	must(pfs_commit_branch(w.h, repo_name(repo), branch_name(branch), NULL, &m->id, &err),
	     &err);
	m->repo = repo;
	m->there = true;
	memcpy(m->files, repos[repo].branches[branch].files, sizeof(m->files));
	n_made++;
}

/* Leaves what it had stored until then. */
static void fail_to_commit(unsigned repo, unsigned branch)
{
	struct made *m = &made[n_made];
	int rc;

	cr_assert_lt(n_made, COMMITS);
	failed = true;
	pfs_fault_arm(PFS_FAULT_FAIL, 1 + roll(12));
	rc = pfs_commit_branch(w.h, repo_name(repo), branch_name(branch), NULL, &m->id, NULL);
	pfs_fault_arm(PFS_FAULT_NONE, 0);
	if (rc < 0)
		return;
	m->repo = repo;
	m->there = true;
	memcpy(m->files, repos[repo].branches[branch].files, sizeof(m->files));
	n_made++;
}

static void step(void)
{
	unsigned repo = roll(REPOS), branch = roll(BRANCHES), what = roll(100);
	struct pfs_error err = { 0 };

	make_repo(repo);
	if (!repos[repo].branches[branch].there)
		branch = 0;
	if (what < 45)
		write_file(repo, branch);
	else if (what < 65)
		commit(repo, branch);
	else if (what < 70)
		fail_to_commit(repo, branch);
	else if (what < 75)
		remove_some(repo, branch);
	else if (what < 82)
		open_file(repo, branch);
	else if (what < 87)
		make_branch(repo);
	else if (what < 90)
		drop_branch(repo);
	else if (what < 94)
		drop_repo(repo);
	else if (what < 97)
		restart();
	else
		must(pfs_history_tick(w.h, &err), &err);
}

/* --- what has to be there -------------------------------------------------- */

static void expect_same(const char *got, size_t len, unsigned content, unsigned changed,
			const char *what)
{
	char *want = content_text(content);

	if (changed)
		want[changed - 1] = '~';
	cr_assert_eq(len, content_len(content), "%s: %zu bytes", what, len);
	cr_assert_eq(memcmp(got, want, len), 0, "%s: other bytes", what);
	free(want);
}

#define GOT_MAX (PFS_PATCHED_SIZE_MIN + 2000)

static void expect_commit(const struct made *m)
{
	char *got = malloc(GOT_MAX), name[16];

	for (unsigned i = 0; i < FILES; i++) {
		struct pfs_error err = { 0 };
		int rc;

		file_name(i, name);
		rc = world_read(&w, repo_name(m->repo), &m->id, name, got, GOT_MAX, &err);
		if (m->files[i] == NONE) {
			cr_assert_eq(rc, PFS_E_NOTFOUND, "%s", err.text);
			continue;
		}
		must(rc, &err);
		expect_same(got, strlen(got), m->files[i], 0, "a file of a commit");
	}
	free(got);
}

static void expect_workspace(unsigned repo, unsigned branch)
{
	struct pfs_workspace *ws = NULL;
	struct pfs_error err = { 0 };
	char *got = malloc(GOT_MAX), name[16];

	must(pfs_history_workspace(w.h, repo_name(repo), branch_name(branch), &ws, &err), &err);
	for (unsigned i = 0; i < FILES; i++) {
		unsigned content = repos[repo].branches[branch].files[i];
		struct pfs_node *in, *n = NULL;
		struct pfs_open *open = NULL;
		size_t len;

		if (content == NONE)
			continue;
		in = find_dir(ws, i);
		snprintf(name, sizeof(name), "f%u", i);
		must(pfs_workspace_lookup(ws, in, name, strlen(name), &n, &err), &err);
		must(pfs_workspace_open_file(ws, n, false, false, &open, &err), &err);
		must(pfs_workspace_read(open, 0, got, GOT_MAX, &len, &err), &err);
		expect_same(got, len, content, 0, "a file of a workspace");
		pfs_workspace_close_file(&open);
		pfs_node_unref(&n);
		pfs_node_unref(&in);
	}
	pfs_history_release(w.h, &ws);
	free(got);
}

static void expect_opened(const struct opened *o)
{
	struct pfs_error err = { 0 };
	char *got = malloc(GOT_MAX);
	size_t len;

	must(pfs_workspace_read(o->open, 0, got, GOT_MAX, &len, &err), &err);
	expect_same(got, len, o->content, o->changed, "an open file without a name");
	free(got);
}

static void expect_all(void)
{
	for (unsigned i = 0; i < n_made; i++)
		if (made[i].there)
			expect_commit(&made[i]);
	for (unsigned r = 0; r < REPOS; r++)
		for (unsigned b = 0; repos[r].there && b < BRANCHES; b++)
			if (repos[r].branches[b].there)
				expect_workspace(r, b);
	for (unsigned i = 0; i < OPENS; i++)
		if (opened[i].open)
			expect_opened(&opened[i]);
}

/* --- and nothing else ------------------------------------------------------ */

static int note(void *arg, enum pfs_kind kind, const struct pfs_id *id, struct pfs_error *err)
{
	return pfs_idset_add(arg, id, err);
}

static int note_root(void *arg, enum pfs_kind kind, const struct pfs_id *id, struct pfs_error *err)
{
	PFS_AUTO(pfs_reach_fini) struct pfs_reach r = { .st = w.store, .visit = note, .arg = arg };

	return pfs_reach_object(&r, kind, id, err);
}

/* By the shadow's list of commits, not by the metadata's. */
static void note_named(struct pfs_idset *named)
{
	struct pfs_error err = { 0 };

	for (unsigned i = 0; i < n_made; i++) {
		PFS_AUTO(pfs_commit_fini) struct pfs_commit c = { 0 };
		char rev[PFS_COMMIT_ID_HEX_SIZE];

		if (!made[i].there)
			continue;
		pfs_commit_id_format(&made[i].id, rev);
		must(pfs_commit_inspect(w.h, repo_name(made[i].repo), rev, &c, &err), &err);
		must(note_root(named, PFS_KIND_COMMIT, &c.digest, &err), &err);
		must(note_root(named, PFS_KIND_DIRNODE, &c.root, &err), &err);
	}
	for (unsigned r = 0; r < REPOS; r++)
		for (unsigned b = 0; repos[r].there && b < BRANCHES; b++) {
			struct pfs_workspace *ws = NULL;

			if (!repos[r].branches[b].there)
				continue;
			must(pfs_history_workspace(w.h, repo_name(r), branch_name(b), &ws, &err),
			     &err);
			must(pfs_workspace_reach(ws, note_root, named, &err), &err);
			pfs_history_release(w.h, &ws);
		}
	for (unsigned i = 0; i < OPENS; i++)
		if (opened[i].open)
			must(pfs_workspace_reach(opened[i].ws, note_root, named, &err), &err);
}

struct lists PFS_VEC(struct pfs_packlist);
PFS_VEC_DEFINE(push_list, struct lists, struct pfs_packlist, "lists of packs")

static void list_packs(struct lists *out)
{
	struct pfs_store_parts parts;
	struct pfs_pack *pack;
	size_t pos = 0;

	cr_assert(pfs_store_parts(w.store, &parts));
	while ((pack = pfs_packset_next(parts.set, &pos))) {
		struct pfs_packlist list = { 0 };
		struct pfs_error err = { 0 };

		if (!pack->sealed)
			cr_assert_geq(pfs_packlog_seal(parts.log, pack, NULL), 0);
		must(pfs_packlist_load(parts.dir, pack, &list, &err), &err);
		must(push_list(out, list, &err), &err);
	}
}

/* Every object in every pack is named, once, or the base of one that is. */
static void expect_nothing_else(void)
{
	struct pfs_idset named = { 0 }, bases = { 0 }, seen = { 0 };
	struct lists lists = { 0 };
	struct pfs_error err = { 0 };

	note_named(&named);
	list_packs(&lists);
	for (size_t i = 0; i < lists.n; i++)
		for (size_t k = 0; k < lists.items[i].n_deltas; k++)
			cr_assert_geq(pfs_idset_add(&bases, &lists.items[i].deltas[k].base, &err),
				      0);
	for (size_t i = 0; i < lists.n; i++)
		for (size_t k = 0; k < lists.items[i].n; k++) {
			const struct pfs_packlist_item *item = &lists.items[i].items[k];

			cr_assert_eq(pfs_idset_add(&seen, &item->id, &err), 1, "twice");
			cr_assert(pfs_idset_has(&named, &item->id) ||
					  pfs_idset_has(&bases, &item->id),
				  "an object of %u bytes that nobody names", item->place.ulen);
		}
	for (size_t i = 0; i < lists.n; i++)
		pfs_packlist_fini(&lists.items[i]);
	free(lists.items);
	pfs_idset_fini(&named);
	pfs_idset_fini(&bases);
	pfs_idset_fini(&seen);
}

static struct pfs_gc_report collect(bool dry_run, bool thorough)
{
	struct pfs_gc_options o = PFS_GC_OPTIONS_INIT;
	struct pfs_gc_report r;
	struct pfs_error err = { 0 };

	o.dry_run = dry_run;
	o.thorough = thorough;
	must(pfs_gc_run(w.h, &o, &r, &err), &err);
	return r;
}

static bool is_held(unsigned repo)
{
	struct pfs_workspace *ws = NULL;
	struct pfs_error err = { 0 };
	bool held = false;

	for (unsigned b = 0; b < BRANCHES; b++) {
		if (!repos[repo].branches[b].there)
			continue;
		must(pfs_history_workspace(w.h, repo_name(repo), branch_name(b), &ws, &err), &err);
		for (unsigned i = 0; i < OPENS; i++)
			held |= opened[i].open && opened[i].ws == ws;
		pfs_history_release(w.h, &ws);
	}
	return held;
}

/* Whoever has a file of it open goes on keeping some: not asked then. */
static void expect_share(unsigned repo)
{
	struct pfs_gc_report before, after;
	struct pfs_gc_share share;
	struct pfs_error err = { 0 };

	if (!repos[repo].there || is_held(repo))
		return;
	must(pfs_gc_would_free(w.h, repo_name(repo), NULL, &share, &err), &err);
	before = collect(true, true);
	drop_repo(repo);
	collect(false, true);
	after = collect(true, true);
	cr_assert_eq(before.live_bytes - after.live_bytes, share.store_bytes,
		     "said %llu, freed %llu bytes", (unsigned long long)share.store_bytes,
		     (unsigned long long)(before.live_bytes - after.live_bytes));
	cr_assert_eq(before.live_objects - after.live_objects, share.objects);
}

static void expect_exact(void)
{
	struct pfs_gc_report r;

	if (failed)
		restart();
	collect(false, true);
	r = collect(true, true);
	cr_assert_eq(r.dead_bytes + r.double_bytes, 0, "%llu dead, %llu double bytes are left",
		     (unsigned long long)r.dead_bytes, (unsigned long long)r.double_bytes);
	expect_nothing_else();
}

static void repack(void)
{
	const struct pfs_repack_options o = { .budget = 16u << 20 };
	struct pfs_repack_done done = { 0 };
	struct pfs_repack *r = NULL;
	struct pfs_error err = { 0 };

	must(pfs_repack_new(w.store, 0, &r, &err), &err);
	while (pfs_repack_step(r, &o, &done, &err) == 1)
		;
	pfs_repack_free(&r);
}

static void play(void)
{
	for (unsigned i = 1; i <= STEPS; i++) {
		step();
		if (i % 8)
			continue;
		if (roll(3) == 0)
			repack();
		collect(roll(4) == 0, false);
		expect_all();
		if (i % 24 == 0) {
			expect_exact();
			expect_all();
		}
		if (i % 48 == 0) {
			expect_share(roll(REPOS));
			expect_nothing_else();
			expect_all();
		}
	}
}

Test(gc_model, what_the_shadow_knows_is_there_and_nothing_else)
{
	const char *only = getenv("GC_SEED");
	uint64_t first = only ? strtoull(only, NULL, 10) : 1;

	pfs_packwriter_set_targets(200000, 30000);
	pfs_packset_set_batch(300);
	for (uint64_t s = first; s < first + (only ? 1 : SEEDS); s++) {
		seed = s * 0x9e3779b97f4a7c15u;
		memset(repos, 0, sizeof(repos));
		memset(lately, 0, sizeof(lately));
		n_made = 0;
		failed = false;
		dir = scratch_new();
		up();
		play();
		for (unsigned i = 0; i < OPENS; i++)
			close_opened(&opened[i]);
		world_close(&w);
		scratch_fini(&dir);
	}
}
