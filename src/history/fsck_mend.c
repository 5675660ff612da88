/*
 * What is lost and still somewhere is stored anew: whole copies in other packs,
 * and what files that are not committed yet still hold.
 */
#include "history/fsck_i.h"
#include "store/health.h"
#include "store/readopt.h"
#include "store/renew.h"
#include "tree/content.h"
#include "base/fault.h"
#include "base/io.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void tell_copy(void *arg, enum pfs_kind kind, const struct pfs_id *id)
{
	char hex[PFS_ID_HEX_SIZE];
	struct pfs_fsck *f = arg;

	pfs_fsck_tell_some(f, &f->copied, PFS_FINDING_MENDED,
			   "object %s: stored anew from a whole copy", pfs_id_format(id, hex));
}

static bool is_whole(const struct pfs_fsck *f, const struct pfs_id *id)
{
	for (int kind = PFS_KIND_CHUNK; kind <= PFS_KIND_XATTRS; kind++)
		if (pfs_store_is_whole(f->h->store, (enum pfs_kind)kind, id))
			return true;
	return false;
}

static size_t count_lost(const struct pfs_fsck *f)
{
	size_t n = 0;

	for (size_t i = 0; i < f->lost.cap; i++)
		if (!pfs_id_is_zero(&f->lost.slots[i]) && !is_whole(f, &f->lost.slots[i]))
			n++;
	return n;
}

/* Of the bytes of a file, only what is lost is stored: on a damaged machine there may be little room. */
static void put_file(struct pfs_fsck *f, int dir, const char *name, const char *shown)
{
	PFS_AUTO(pfs_fd_close) int fd = pfs_io_open_file(dir, name, O_RDONLY | O_NOFOLLOW, NULL);
	uint64_t put = 0;
	struct stat st;

	if (count_lost(f) == 0 || fd < 0 || fstat(fd, &st) < 0 ||
	    pfs_content_refill_fd(f->h->store, fd, (uint64_t)st.st_size, &f->lost, &put, NULL) < 0)
		return;
	if (put > 0)
		pfs_fsck_tell(f, PFS_FINDING_MENDED, "%" PRIu64 " object%s: stored anew from %s/%s",
			      put, put == 1 ? "" : "s", shown, name);
}

/* `levels` of folders below this one may hold files too. */
static void put_files_of(struct pfs_fsck *f, const char *path, unsigned levels)
{
	DIR *dir = opendir(path);
	struct dirent *e;

	while (dir && !pfs_fsck_stopped(f) && (e = readdir(dir))) {
		char *below = NULL;

		if (e->d_name[0] == '.')
			continue;
		put_file(f, dirfd(dir), e->d_name, path);
		if (!levels || asprintf(&below, "%s/%s", path, e->d_name) < 0)
			continue;
		put_files_of(f, below, levels - 1);
		free(below);
	}
	if (dir)
		closedir(dir);
}

static void put_workspaces(struct pfs_fsck *f)
{
	DIR *dir = opendir(f->h->workspaces);
	struct dirent *e;

	while (dir && !pfs_fsck_stopped(f) && (e = readdir(dir))) {
		char *path = NULL;

		if (e->d_name[0] == '.' ||
		    asprintf(&path, "%s/%s/spool", f->h->workspaces, e->d_name) < 0)
			continue;
		put_files_of(f, path, 1);
		free(path);
	}
	if (dir)
		closedir(dir);
}

/* What leans on something that comes to be whole in one round is whole in the next. */
static int mend_from_packs(struct pfs_fsck *f, struct pfs_error *err)
{
	size_t before, left = count_lost(f);
	int rc = 0;

	do {
		before = left;
		rc = pfs_store_mend(f->h->store, &f->lost, tell_copy, f, err);
		left = count_lost(f);
	} while (rc == 0 && left > 0 && left < before);
	return rc;
}

static int mend_all(struct pfs_fsck *f, struct pfs_error *err)
{
	int rc = mend_from_packs(f, err);
	size_t left = rc == 0 ? count_lost(f) : 0;

	if (left == 0)
		return rc;
	put_workspaces(f);
	return count_lost(f) < left ? mend_from_packs(f, err) : 0;
}

int pfs_fsck_mend_content(struct pfs_fsck *f, struct pfs_error *err)
{
	int rc = f->lost.len ? mend_all(f, err) : 0;

	pfs_fsck_tell_rest(f, f->copied, PFS_FINDING_MENDED, "object likewise", "objects likewise");
	return rc;
}

static void tell_renewed(void *arg, const char *what)
{
	pfs_fsck_tell(arg, PFS_FINDING_MENDED, "%s", what);
}

static void tell_kept(void *arg, const char *what)
{
	pfs_fsck_tell(arg, PFS_FINDING_NOTE, "%s", what);
}

/* The nodes above the pieces come to be stored on the way; whoever needs them has them already. */
static int survey(void *arg, int fd, uint64_t size, struct pfs_adoption *a, struct pfs_error *err)
{
	struct pfs_fsck *f = arg;
	struct pfs_content content;

	return pfs_content_survey_fd(f->h->store, fd, size, NULL, a, &content, err);
}

int pfs_fsck_mend_tables(struct pfs_fsck *f, struct pfs_error *err)
{
	const struct pfs_readoption how = {
		.survey = survey, .mended = tell_renewed, .kept = tell_kept, .arg = f
	};

	return f->out->damages ? pfs_store_readopt(f->h->store, &how, err) : 0;
}

static bool told_to_stop(void *arg)
{
	return pfs_fsck_stopped(arg);
}

int pfs_fsck_renew(struct pfs_fsck *f, struct pfs_error *err)
{
	const struct pfs_renewal how = {
		.complete = f->complete,
		.renewed = tell_renewed,
		.kept = tell_kept,
		.arg = f,
		.stop = told_to_stop,
		.stop_arg = f,
	};

	return pfs_store_renew(f->h->store, &how, err);
}

static int move(const char *from, const char *to, struct pfs_error *err)
{
	int rc = pfs_fault("fsck.put_aside", err);

	if (rc == 0 && rename(from, to) < 0)
		rc = pfs_fail_errno(err, errno, "rename %s", from);
	if (rc == 0)
		rc = pfs_io_sync_folder(AT_FDCWD, to, err);
	return rc < 0 ? rc : pfs_io_sync_folder(AT_FDCWD, from, err);
}

/* <lost>/<folder>, or with a number behind it when one of it was moved there before; the caller's. */
static char *free_name(const char *lost, const char *folder)
{
	char *name = NULL;

	if (asprintf(&name, "%s/%s", lost, folder) < 0)
		return NULL;
	for (unsigned n = 2; access(name, F_OK) == 0; n++) {
		free(name);
		if (asprintf(&name, "%s/%s.%u", lost, folder, n) < 0)
			return NULL;
	}
	return name;
}

int pfs_fsck_put_aside(struct pfs_fsck *f, const char *folder, char **out_to, struct pfs_error *err)
{
	const char *spaces = f->h->workspaces;
	char *lost = NULL, *from = NULL, *to = NULL;
	int rc;

	if (asprintf(&lost, "%.*s/lost", (int)(strrchr(spaces, '/') - spaces), spaces) < 0)
		lost = NULL;
	if (asprintf(&from, "%s/%s", spaces, folder) < 0)
		from = NULL;
	if (lost)
		to = free_name(lost, folder);
	rc = from && to ? pfs_io_mkdir_all(AT_FDCWD, lost, err) : pfs_fail_nomem(err, "a name");
	if (rc == 0)
		rc = move(from, to, err);
	free(lost);
	free(from);
	if (rc == 0)
		*out_to = to;
	else
		free(to);
	return rc;
}
