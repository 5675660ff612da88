/* Small packs, repos that come and go, and a collection that is held against what is on the disk. */
#ifndef PFS_GC_FIXTURE_H
#define PFS_GC_FIXTURE_H

#include "history/gc.h"
#include "house.h"
#include "store/adoption.h"
#include "store/packlog.h"
#include "store/packset.h"
#include "store/repack.h"
#include "store/store_i.h"
#include "base/limits.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

/* Packs small enough that a test fills several. */
#define DATA_TARGET (256u << 10)
#define META_TARGET (32u << 10)

static inline void house_open(struct house *s)
{
	pfs_packwriter_set_targets(DATA_TARGET, META_TARGET);
	house_make(s, true);
}

/* Text that is always the same for a seed and does not compress by much. */
static inline char *text_of(unsigned seed, size_t len)
{
	static const char digits[] =
		"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ+-";
	char *text = malloc(len + 1);

	scratch_fill(text, len, seed + 1);
	for (size_t i = 0; i < len; i++)
		text[i] = digits[text[i] & 63];
	text[len] = 0;
	return text;
}

static inline void put(struct house *s, const char *repo, const char *path, unsigned seed,
		       size_t len)
{
	struct pfs_error err = { 0 };
	char *text = text_of(seed, len);

	must(world_write(&s->w, repo, "master", path, text, &err), &err);
	free(text);
}

static inline struct pfs_commit_id commit(struct house *s, const char *repo)
{
	struct pfs_commit_id id = { { 0 } };
	struct pfs_error err = { 0 };

	must(pfs_commit_branch(s->h, repo, "master", NULL, &id, &err), &err);
	return id;
}

static inline void make(struct house *s, const char *repo)
{
	struct pfs_error err = { 0 };

	must(pfs_repo_create(s->h, repo, &err), &err);
	must(pfs_branch_create(s->h, repo, "master", NULL, &err), &err);
}

static inline void drop(struct house *s, const char *repo)
{
	struct pfs_error err = { 0 };

	must(pfs_repo_delete(s->h, repo, true, &err), &err);
}

static inline void expect(struct house *s, const char *repo, const struct pfs_commit_id *id,
			  const char *path, unsigned seed, size_t len)
{
	struct pfs_error err = { 0 };
	char *want = text_of(seed, len), *got = malloc(len + 2);

	must(world_read(&s->w, repo, id, path, got, len + 2, &err), &err);
	cr_assert_eq(strcmp(got, want), 0, "%s of %s is another one", path, repo);
	free(want);
	free(got);
}

static inline struct pfs_gc_report run(struct house *s, bool dry_run, bool thorough)
{
	struct pfs_gc_options o = PFS_GC_OPTIONS_INIT;
	struct pfs_gc_report r;
	struct pfs_error err = { 0 };

	o.dry_run = dry_run;
	o.thorough = thorough;
	must(pfs_gc_run(s->h, &o, &r, &err), &err);
	cr_assert_not(r.stopped);
	return r;
}

static inline void complain(void *arg, const char *damage)
{
	cr_log_error("%s", damage);
}

static inline void check(struct house *s)
{
	struct pfs_error err = { 0 };

	must(pfs_store_check(s->w.store, complain, NULL, &err), &err);
}

/* Bytes of records and of what footers say of them, by the sizes of files alone: all packs are sealed first. */
static inline uint64_t bytes_on_disk(struct house *s)
{
	struct pfs_store_parts parts;
	struct pfs_pack *pack;
	uint64_t bytes = 0;
	size_t pos = 0;

	cr_assert(pfs_store_parts(s->w.store, &parts));
	while ((pack = pfs_packset_next(parts.set, &pos))) {
		char path[PFS_PACK_PATH_SIZE];
		struct stat st;

		if (!pack->sealed)
			cr_assert_geq(pfs_packlog_seal(parts.log, pack, NULL), 0);
		pfs_pack_path(pack->uuid, pack->kind, true, path);
		cr_assert_eq(fstatat(parts.dir, path, &st, 0), 0, "%s", path);
		bytes += (uint64_t)st.st_size - PFS_PACKHDR_SIZE - PFS_PACKTRAILER_SIZE;
	}
	return bytes;
}

#endif
