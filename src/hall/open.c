/*
 * One instance is one data folder:
 *
 *	<data>/lock         held while a process has the instance
 *	<data>/store/       content, pfs-pack(5)
 *	<data>/meta.db      names, pfs-metadata(5)
 *	<data>/workspaces/  what is not committed yet, a folder for each branch
 *	<data>/logs/        of jobs
 */
#include "hall/room.h"
#include "hall/version.h"
#include "base/io.h"
#include "history/history.h"
#include "meta/meta.h"
#include "pipeline/pipelines.h"
#include "store/store.h"
#include "view/view.h"
#include <pfs/pfs.h>

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#define PATH_SIZE (PATH_MAX + 16) /* realpath's, and the longest name below */

struct pfs_instance {
	char *data; /* absolute */
	int lock_fd;
	struct pfs_store *store;
	struct pfs_meta *meta;
	struct pfs_history *history;
	struct pfs_view *view;
	struct pfs_pipelines *pipelines;
};

/* Our own lock goes when we do, however we end: nothing to clean up after a crash. */
static int take_lock(struct pfs_instance *pfs, struct pfs_error *err)
{
	char path[PATH_SIZE];

	snprintf(path, sizeof(path), "%s/lock", pfs->data);
	pfs->lock_fd = pfs_io_open(AT_FDCWD, path, O_RDWR | O_CREAT, 0600, err);
	if (pfs->lock_fd < 0)
		return pfs->lock_fd;
	if (flock(pfs->lock_fd, LOCK_EX | LOCK_NB) == 0)
		return 0;
	if (errno == EWOULDBLOCK)
		return pfs_fail(
			err, PFS_E_BUSY,
			"another process, perhaps a pfsd, has it open; stop that one first");
	return pfs_fail_errno(err, errno, "lock %s", path);
}

static int find_data(struct pfs_instance *pfs, const char *data, struct pfs_error *err)
{
	int rc = pfs_io_mkdir_all(AT_FDCWD, data, err);

	if (rc < 0)
		return rc;
	pfs->data = realpath(data, NULL);
	return pfs->data ? take_lock(pfs, err) : pfs_fail_errno(err, errno, "%s", data);
}

/*
 * Content that nothing names, and names that never were: the database was lost.
 * Going on would take every workspace for one that nobody wants.
 */
static int check_names(struct pfs_instance *pfs, struct pfs_error *err)
{
	struct pfs_store_stats stats;
	bool empty;
	int rc = pfs_meta_is_new(pfs->meta, &empty, err);

	pfs_store_stats(pfs->store, &stats);
	if (rc < 0 || !empty || stats.objects == 0)
		return rc;
	return pfs_fail(err, PFS_E_CORRUPT,
			"the store has %llu objects, but meta.db knows of no repo and never did; "
			"bring meta.db back from a backup, or let `pfs fsck --data %s --repair` "
			"restore commits from their records",
			(unsigned long long)stats.objects, pfs->data);
}

static int open_names_and_content(struct pfs_instance *pfs, struct pfs_error *err)
{
	char path[PATH_SIZE];
	int rc;

	snprintf(path, sizeof(path), "%s/store", pfs->data);
	rc = pfs_store_open(path, &pfs->store, err);
	if (rc < 0)
		return rc;
	snprintf(path, sizeof(path), "%s/meta.db", pfs->data);
	rc = pfs_meta_open(path, &pfs->meta, err);
	if (rc == 0)
		rc = check_names(pfs, err);
	if (rc == 0)
		rc = pfs_history_open(pfs->meta, pfs->store, pfs->data, &pfs->history, err);
	return rc;
}

static int open_upper_floor(struct pfs_instance *pfs, struct pfs_error *err)
{
	char path[PATH_SIZE];
	int rc = pfs_view_new(pfs->history, pfs->data, &pfs->view, err);

	if (rc < 0)
		return rc;
	snprintf(path, sizeof(path), "%s/logs", pfs->data);
	rc = pfs_io_mkdir_all(AT_FDCWD, path, err);
	return rc < 0 ? rc : pfs_pipelines_open(pfs->history, path, &pfs->pipelines, err);
}

int pfs_open(const char *data, struct pfs_instance **out, struct pfs_error *err)
{
	PFS_AUTO(pfs_close) struct pfs_instance *pfs = calloc(1, sizeof(*pfs));
	int rc;

	if (!pfs)
		return pfs_fail_nomem(err, "an instance");
	pfs->lock_fd = -1;
	rc = find_data(pfs, data, err);
	if (rc == 0)
		rc = open_names_and_content(pfs, err);
	if (rc == 0)
		rc = open_upper_floor(pfs, err);
	if (rc < 0)
		return pfs_wrap(err, rc, "open %s", data);
	*out = pfs;
	pfs = NULL;
	return 0;
}

void pfs_close(struct pfs_instance **pp)
{
	struct pfs_instance *pfs = *pp;

	if (!pfs)
		return;
	pfs_pipelines_close(&pfs->pipelines);
	pfs_view_free(&pfs->view);
	pfs_history_close(&pfs->history);
	pfs_meta_close(&pfs->meta);
	pfs_store_close(&pfs->store);
	pfs_fd_close(&pfs->lock_fd);
	free(pfs->data);
	free(pfs);
	*pp = NULL;
}

struct pfs_history *pfs_instance_history(struct pfs_instance *pfs)
{
	return pfs->history;
}

struct pfs_view *pfs_instance_view(struct pfs_instance *pfs)
{
	return pfs->view;
}

struct pfs_pipelines *pfs_instance_pipelines(struct pfs_instance *pfs)
{
	return pfs->pipelines;
}

int pfs_instance_tick(struct pfs_instance *pfs, struct pfs_error *err)
{
	return pfs_history_tick(pfs->history, err);
}

int pfs_instance_scrub(struct pfs_instance *pfs, const struct pfs_scrub_options *options,
		       struct pfs_scrub_state *out, struct pfs_error *err)
{
	return pfs_history_scrub(pfs->history, options, out, err);
}

int pfs_instance_tidy(struct pfs_instance *pfs, const struct pfs_tidy_options *options,
		      struct pfs_tidy_report *out, struct pfs_error *err)
{
	return pfs_history_tidy(pfs->history, options, out, err);
}

int pfs_instance_upkeep(struct pfs_instance *pfs, struct pfs_upkeep *out, struct pfs_error *err)
{
	return pfs_history_upkeep(pfs->history, out, err);
}

/* --- a folder that nobody has open ------------------------------------------ */

static void tell(const struct pfs_fsck_options *how, enum pfs_finding_kind kind, const char *text,
		 struct pfs_fsck_report *count)
{
	const struct pfs_finding finding = { .kind = kind, .text = text };

	count->damages += kind == PFS_FINDING_DAMAGE;
	if (how->report)
		how->report(how->arg, &finding);
}

/* Out of the way, and kept: whatever is in it may be of use to somebody. */
static int put_database_aside(const char *path, struct pfs_error *err)
{
	static const char *const ends[] = { "", "-wal", "-shm" };
	char from[PATH_SIZE + 8], to[PATH_SIZE + 16];

	for (size_t i = 0; i < sizeof(ends) / sizeof(*ends); i++) {
		snprintf(from, sizeof(from), "%s%s", path, ends[i]);
		snprintf(to, sizeof(to), "%s.broken%s", path, ends[i]);
		if (rename(from, to) < 0 && errno != ENOENT)
			return pfs_fail_errno(err, errno, "rename %s", from);
	}
	return 0;
}

/* The database, or, when there is none or it cannot be read, an empty one: in memory but for repair. */
static int open_names(struct pfs_instance *pfs, const struct pfs_fsck_options *how,
		      struct pfs_fsck_report *count, struct pfs_error *err)
{
	struct pfs_error why = { 0 };
	char path[PATH_SIZE];
	int rc = 0;

	snprintf(path, sizeof(path), "%s/meta.db", pfs->data);
	if (access(path, F_OK) < 0) {
		tell(how, PFS_FINDING_DAMAGE, "meta.db is missing", count);
		return pfs_meta_open(how->repair ? path : ":memory:", &pfs->meta, err);
	}
	rc = pfs_meta_open(path, &pfs->meta, &why);
	if (rc == 0 || (rc != PFS_E_CORRUPT && rc != PFS_E_IO)) {
		if (rc < 0 && err)
			*err = why;
		return rc;
	}
	tell(how, PFS_FINDING_DAMAGE, why.text, count);
	if (!how->repair)
		return pfs_meta_open(":memory:", &pfs->meta, err);
	rc = put_database_aside(path, err);
	return rc < 0 ? rc : pfs_meta_open(path, &pfs->meta, err);
}

static int open_to_look(struct pfs_instance *pfs, const char *data,
			const struct pfs_fsck_options *how, struct pfs_fsck_report *count,
			struct pfs_error *err)
{
	char path[PATH_SIZE];
	int rc;

	pfs->data = realpath(data, NULL);
	if (!pfs->data)
		return pfs_fail_errno(err, errno, "%s", data);
	snprintf(path, sizeof(path), "%s/store", pfs->data);
	if (access(path, F_OK) < 0)
		return pfs_fail(err, PFS_E_NOTFOUND, "%s is no data folder of pfs: it has no store",
				data);
	rc = take_lock(pfs, err);
	if (rc == 0)
		rc = pfs_store_open(path, &pfs->store, err);
	if (rc == 0)
		rc = open_names(pfs, how, count, err);
	return rc < 0 ? rc : pfs_history_open(pfs->meta, pfs->store, pfs->data, &pfs->history, err);
}

int pfs_fsck_data(const char *data, const struct pfs_fsck_options *options,
		  struct pfs_fsck_report *out, struct pfs_error *err)
{
	PFS_AUTO(pfs_close) struct pfs_instance *pfs = calloc(1, sizeof(*pfs));
	struct pfs_fsck_options how = PFS_FSCK_OPTIONS_INIT;
	struct pfs_fsck_report before = { 0 }, report;
	int rc;

	if (!pfs)
		return pfs_fail_nomem(err, "an instance");
	pfs->lock_fd = -1;
	if (options)
		memcpy(&how, options, options->size < sizeof(how) ? options->size : sizeof(how));
	rc = open_to_look(pfs, data, &how, &before, err);
	if (rc < 0)
		return pfs_wrap(err, rc, "open %s", data);
	rc = pfs_fsck_run(pfs->history, &how, &report, err);
	if (rc < 0)
		return rc;
	report.damages += before.damages;
	*out = report;
	return 0;
}

const char *pfs_version(void)
{
	return PFS_VERSION_TEXT;
}
