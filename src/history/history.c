/* Opening, closing, and finding a branch's workspace. */
#include "history/history_i.h"
#include "base/id.h"
#include "store/repack.h"
#include "base/io.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <uuid.h>

#define JOURNAL_AGE_MS 3000
#define IDLE_MS        60000

void pfs_uuid_new(unsigned char out[16])
{
	uuid_generate_random(out);
}

/*
 * A stop between the end of a branch and of its folder leaves a folder that no
 * row names. Nobody else can want it: the instance is locked and just opening.
 */
static int remove_orphan(struct pfs_history *h, int dir, const char *name, struct pfs_error *err)
{
	bool wanted = true;
	int rc = pfs_meta_has_folder(h->meta, name, &wanted, err);

	return rc < 0 || wanted ? rc : pfs_io_remove_all(dir, name, err);
}

static int remove_orphans(struct pfs_history *h, struct pfs_error *err)
{
	bool lost = false;
	struct dirent *d;
	DIR *dir;
	int rc = pfs_meta_is_new(h->meta, &lost, err);

	/* Metadata that knows of nothing is no reason to remove what it once knew. */
	if (rc < 0 || lost)
		return rc;
	dir = opendir(h->workspaces);
	if (!dir)
		return pfs_fail_errno(err, errno, "list %s", h->workspaces);
	while (rc == 0 && (d = readdir(dir)))
		if (d->d_name[0] != '.')
			rc = remove_orphan(h, dirfd(dir), d->d_name, err);
	closedir(dir);
	return rc;
}

int pfs_history_open(struct pfs_meta *meta, struct pfs_store *store, const char *data,
		     struct pfs_history **out, struct pfs_error *err)
{
	PFS_AUTO(pfs_history_close) struct pfs_history *h = calloc(1, sizeof(*h));
	int rc;

	if (!h)
		return pfs_fail_nomem(err, "the history");
	h->meta = meta;
	h->store = store;
	if (asprintf(&h->workspaces, "%s/workspaces", data) < 0)
		h->workspaces = NULL;
	pfs_seats_init(&h->seats, h->workspaces, store);
	pfs_lock_init(&h->gc_lock, PFS_RANK_HISTORY_GC);
	if (!h->workspaces)
		return pfs_fail_nomem(err, "the history");
	rc = pfs_io_mkdir_all(AT_FDCWD, h->workspaces, err);
	if (rc == 0)
		rc = remove_orphans(h, err);
	if (rc < 0)
		return rc;
	*out = h;
	h = NULL;
	return 0;
}

void pfs_history_close(struct pfs_history **hp)
{
	struct pfs_history *h = *hp;

	if (!h)
		return;
	pfs_seats_fini(&h->seats);
	pfs_repack_free(&h->repack);
	pfs_lock_fini(&h->gc_lock);
	free(h->workspaces);
	free(h);
	*hp = NULL;
}

int pfs_history_tick(struct pfs_history *h, struct pfs_error *err)
{
	return pfs_seats_tick(&h->seats, JOURNAL_AGE_MS, IDLE_MS, err);
}

int pfs_history_flush(struct pfs_history *h, struct pfs_error *err)
{
	return pfs_seats_tick(&h->seats, 0, IDLE_MS, err);
}

struct pfs_store *pfs_history_store(struct pfs_history *h)
{
	return h->store;
}

struct pfs_meta *pfs_history_meta(struct pfs_history *h)
{
	return h->meta;
}

int pfs_place_find(struct pfs_history *h, const char *repo, const char *branch,
		   struct pfs_place *out, struct pfs_error *err)
{
	struct pfs_place at;
	int rc = pfs_meta_find_repo(h->meta, repo, &at.repo, err);

	if (rc < 0)
		return rc;
	rc = pfs_meta_find_branch(h->meta, at.repo.id, branch, &at.branch, err);
	if (rc < 0)
		return pfs_wrap(err, rc, "repo \"%s\"", repo);
	*out = at;
	return 0;
}

int pfs_place_check_owner(const struct pfs_place *at, const char *as_owner, struct pfs_error *err)
{
	const char *owner = at->branch.owner;

	if (strcmp(owner, as_owner ? as_owner : "") == 0)
		return 0;
	if (!*owner)
		return pfs_fail(err, PFS_E_DENIED, "%s@%s is not the output of pipeline \"%s\"",
				at->repo.name, at->branch.name, as_owner);
	return pfs_fail(err, PFS_E_DENIED, "%s@%s is written by pipeline \"%s\" alone",
			at->repo.name, at->branch.name, owner);
}

void pfs_root_from_row(const struct pfs_commit_row *row, struct pfs_root *out)
{
	*out = (struct pfs_root){
		.dir = row->root,
		.attrs = { .mode = row->root_mode,
			   .uid = row->root_uid,
			   .gid = row->root_gid,
			   .mtime_sec = row->root_mtime_sec,
			   .mtime_nsec = row->root_mtime_nsec },
		.mark = row->id,
	};
}

int pfs_place_root(struct pfs_history *h, const struct pfs_branch_row *branch, struct pfs_root *out,
		   struct pfs_error *err)
{
	PFS_AUTO(pfs_commit_row_fini) struct pfs_commit_row row = { 0 };
	int rc;

	if (!branch->has_head) {
		*out = (struct pfs_root){
			.attrs = { .mode = 0755,
				   .uid = (uint32_t)geteuid(),
				   .gid = (uint32_t)getegid(),
				   .mtime_sec = branch->created_ns / 1000000000,
				   .mtime_nsec = (uint32_t)(branch->created_ns % 1000000000) },
		};
		return 0;
	}
	rc = pfs_meta_find_commit(h->meta, branch->repo, &branch->head, &row, err);
	if (rc == 0)
		pfs_root_from_row(&row, out);
	return rc;
}

struct base_of {
	struct pfs_history *h;
	const struct pfs_place *at;
};

static int base_of_branch(void *arg, struct pfs_root *out, struct pfs_error *err)
{
	struct base_of *b = arg;
	struct pfs_branch_row now;
	struct pfs_error why = { 0 };
	int rc;

	/*
	 * The seat is ours alone while it is opened, so nobody commits there now;
	 * but somebody may have since `at` was read.
	 */
	rc = pfs_meta_find_branch(b->h->meta, b->at->branch.repo, b->at->branch.name, &now, &why);
	if (rc == PFS_E_NOTFOUND || (rc == 0 && strcmp(now.folder, b->at->branch.folder) != 0))
		now = b->at->branch; /* renamed or deleted meanwhile */
	else if (rc < 0)
		return pfs_fail(err, rc, "%s", why.text);
	return pfs_place_root(b->h, &now, out, err);
}

/* Whether the branch was deleted while its workspace was being opened: then nobody else removes it. */
static int check_still_there(struct pfs_history *h, const struct pfs_place *at,
			     struct pfs_error *err)
{
	bool there = true;
	int rc = pfs_meta_has_folder(h->meta, at->branch.folder, &there, err);

	if (rc < 0 || there)
		return rc;
	pfs_seats_doom(&h->seats, at->branch.folder);
	return pfs_fail(err, PFS_E_NOTFOUND, "branch \"%s\" of repo \"%s\" was deleted",
			at->branch.name, at->repo.name);
}

/* What cannot be opened was not touched. */
static int advise(struct pfs_history *h, struct pfs_error *err)
{
	const struct pfs_error why = *err;

	return pfs_fail(err, PFS_E_CORRUPT,
			"%.600s; `pfs fsck` says what is lost, and with --repair the branch can "
			"be used again: a workspace that cannot be opened is moved to %.*s/lost",
			why.text, (int)(strrchr(h->workspaces, '/') - h->workspaces),
			h->workspaces);
}

int pfs_place_seat(struct pfs_history *h, const struct pfs_place *at, struct pfs_seat **out,
		   struct pfs_error *err)
{
	struct base_of base = { h, at };
	struct pfs_seat *seat;
	bool opened;
	int rc = pfs_seats_take(&h->seats, at->branch.folder, base_of_branch, &base, &seat, &opened,
				err);

	if (rc == 0 && opened) {
		rc = check_still_there(h, at, err);
		if (rc < 0)
			pfs_seats_drop(&h->seats, &seat);
	}
	if (rc == PFS_E_CORRUPT && err)
		rc = advise(h, err);
	if (rc < 0)
		return pfs_wrap(err, rc, "workspace of %s@%s", at->repo.name, at->branch.name);
	*out = seat;
	return 0;
}

int pfs_history_workspace(struct pfs_history *h, const char *repo, const char *branch,
			  struct pfs_workspace **out, struct pfs_error *err)
{
	struct pfs_place at;
	struct pfs_seat *seat;
	int rc = pfs_place_find(h, repo, branch, &at, err);

	if (rc == 0)
		rc = pfs_place_seat(h, &at, &seat, err);
	if (rc == 0)
		*out = seat->ws;
	return rc;
}

void pfs_history_release(struct pfs_history *h, struct pfs_workspace **ws)
{
	if (*ws)
		pfs_seats_drop_workspace(&h->seats, *ws);
	*ws = NULL;
}
