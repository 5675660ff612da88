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
#include <sys/file.h>

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
		return pfs_fail(err, PFS_E_BUSY, "another process has the instance in %s",
				pfs->data);
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

const char *pfs_version(void)
{
	return PFS_VERSION_TEXT;
}
