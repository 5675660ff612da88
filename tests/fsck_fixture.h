/*
 * An instance of small packs with one branch, ways to damage it, and what fsck says of it.
 */
#ifndef PFS_FSCK_FIXTURE_H
#define PFS_FSCK_FIXTURE_H

#include "world.h"
#include "history/history_i.h"
#include "meta/meta_i.h"
#include "store/packwriter.h"
#include <pfs/pfs.h>

#include <criterion/criterion.h>
#include <dirent.h>
#include <sys/stat.h>
#include <unistd.h>

static struct scratch dir;
static struct world w;

static inline void must(int rc, const struct pfs_error *err)
{
	cr_assert_geq(rc, 0, "%s", err->text);
}

static inline void setup(void)
{
	struct pfs_error err = { 0 };

	/* Small packs, so that some are sealed. */
	pfs_packwriter_set_targets(20000, 3000);
	dir = scratch_new();
	must(world_open(&w, dir.path, &err), &err);
	must(pfs_repo_create(w.h, "books", &err), &err);
	must(world_branch(&w, "books", "master", &err), &err);
}

static inline void teardown(void)
{
	world_close(&w);
	scratch_fini(&dir);
}

static inline void reopen(void)
{
	struct pfs_error err = { 0 };

	world_close(&w);
	must(world_open(&w, dir.path, &err), &err);
}

/* A text of its own, too long to be inline, that does not compress to nothing. */
static inline const char *text_of(unsigned n)
{
	static char text[3000];

	scratch_fill(text, sizeof(text) - 1, n);
	for (size_t i = 0; i < sizeof(text) - 1; i++)
		text[i] = (char)('!' + (unsigned char)text[i] % 90);
	memcpy(text, "text ", 5);
	return text;
}

static inline void write_text(const char *path, unsigned n)
{
	struct pfs_error err = { 0 };

	must(world_write(&w, "books", "master", path, text_of(n), &err), &err);
}

static inline struct pfs_commit_id commit(void)
{
	struct pfs_commit_id id;
	struct pfs_error err = { 0 };

	must(pfs_commit_branch(w.h, "books", "master", NULL, &id, &err), &err);
	return id;
}

/* --- what fsck said --------------------------------------------------------- */

static struct {
	unsigned n[8]; /* by kind */
	char all[20000];
} said;

static inline void hear(void *arg, const struct pfs_finding *f)
{
	size_t len = strlen(said.all);

	said.n[f->kind]++;
	snprintf(said.all + len, sizeof(said.all) - len, "%s\n", f->text);
	if (f->kind == PFS_FINDING_AFFECTED)
		cr_expect(f->repo && f->path && (f->commits > 0) == !f->branch);
}

static inline struct pfs_fsck_report fsck(enum pfs_fsck_level level, bool repair)
{
	struct pfs_fsck_options how = PFS_FSCK_OPTIONS_INIT;
	struct pfs_fsck_report r;
	struct pfs_error err = { 0 };

	memset(&said, 0, sizeof(said));
	how.level = level;
	how.repair = repair;
	how.report = hear;
	must(pfs_fsck_run(w.h, &how, &r, &err), &err);
	cr_expect_eq(r.damages, said.n[PFS_FINDING_DAMAGE]);
	cr_expect(r.missing == said.n[PFS_FINDING_MISSING] || said.n[PFS_FINDING_MISSING] >= 20);
	cr_expect_eq(r.names, said.n[PFS_FINDING_NAMES]);
	cr_expect(r.mended == said.n[PFS_FINDING_MENDED] || said.n[PFS_FINDING_MENDED] >= 20);
	return r;
}

static inline void expect_said(const char *text)
{
	cr_expect(strstr(said.all, text), "\"%s\" is not in:\n%s", text, said.all);
}

/* --- damage ------------------------------------------------------------------ */

static char damaged[800]; /* the file that was damaged last */

static inline bool damage_file(const char *path, const void *bytes, size_t len)
{
	static char all[1 << 20];
	FILE *f = fopen(path, "r+");
	size_t n;
	char *at;

	cr_assert(f, "%s", path);
	n = fread(all, 1, sizeof(all), f);
	/* The id of the record, not of an entry that names it: its payload is 40 bytes further. */
	for (at = all; (at = memmem(at, n - (size_t)(at - all), bytes, len)); at++)
		if (at - all >= 16 && memcmp(at - 16, "VREC", 4) == 0)
			break;
	if (at) {
		fseek(f, at - all + 40, SEEK_SET);
		fputc(at[40] ^ 1, f);
		snprintf(damaged, sizeof(damaged), "%s", path);
	}
	fclose(f);
	return at;
}

/* Do something to the first file below a folder that it can be done to. */
static inline bool below(const char *folder,
			 bool (*act)(const char *path, const void *arg, size_t len),
			 const void *arg, size_t len)
{
	DIR *d = opendir(folder);
	bool done = false;
	struct dirent *e;

	while (d && !done && (e = readdir(d))) {
		char path[800];

		snprintf(path, sizeof(path), "%.500s/%s", folder, e->d_name);
		if (e->d_name[0] != '.')
			done = e->d_type == DT_DIR ? below(path, act, arg, len)
						   : act(path, arg, len);
	}
	if (d)
		closedir(d);
	return done;
}

static inline void damage(const void *bytes, size_t len)
{
	char packs[400];

	snprintf(packs, sizeof(packs), "%s/store", dir.path);
	cr_assert(below(packs, damage_file, bytes, len), "not in any pack");
}

static inline bool remove_pack(const char *path, const void *part, size_t len)
{
	return strstr(path, part) && unlink(path) == 0;
}

/* Texts compress: what stands in the pack is found by the record's id. */
static inline void damage_text(unsigned n)
{
	struct pfs_id id;

	pfs_store_id(w.store, PFS_KIND_CHUNK, text_of(n), strlen(text_of(n)), &id);
	damage(&id, sizeof(id));
}

/* Enough other files that the packs of what came before are sealed. */
static inline void fill_up(unsigned from)
{
	for (unsigned i = from; i < from + 12; i++) {
		char name[32];

		snprintf(name, sizeof(name), "filler/%u", i);
		write_text(name, i);
	}
	commit();
}

static inline void expect_text(const struct pfs_commit_id *id, const char *path, unsigned n)
{
	char text[3000];
	struct pfs_error err = { 0 };

	must(world_read(&w, "books", id, path, text, sizeof(text), &err), &err);
	cr_expect_str_eq(text, text_of(n), "%s", path);
}

/* Repaired, and from then on there is nothing to tell of, now and after the next start. */

/* To the database, behind everybody's back. */
static inline void sql(const char *text)
{
	struct pfs_error err = { 0 };

	must(pfs_db_exec(&w.meta->writer, text, &err), &err);
}

#endif
