#include "pipeline/joblog.h"

#include "base/io.h"
#include "base/path.h"
#include "pipeline/pipelines_i.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

static const char cut_notice[] = "\n[the log is full; what came after this is not kept]\n";

#define LOG_NAME_SIZE (PFS_NAME_TEXT_SIZE + PFS_COMMIT_ID_HEX_SIZE + 8)

/* The log's path below the log folder. The name goes into a path, so it is checked here. */
static int format_name(const char *pipeline, const struct pfs_commit_id *id,
		       char out[LOG_NAME_SIZE], struct pfs_error *err)
{
	char hex[PFS_COMMIT_ID_HEX_SIZE];
	int rc;

	rc = pfs_path_check_repo(pipeline, err);
	if (rc < 0)
		return rc;
	snprintf(out, LOG_NAME_SIZE, "%.63s/%s.log", pipeline, pfs_commit_id_format(id, hex));
	return 0;
}

static int open_folder(struct pfs_pipelines *p, struct pfs_error *err)
{
	return pfs_io_open(AT_FDCWD, p->log_dir, O_RDONLY | O_DIRECTORY, 0, err);
}

static int open_for_append(struct pfs_pipelines *p, const char *pipeline,
			   const struct pfs_commit_id *id, struct pfs_error *err)
{
	PFS_AUTO(pfs_fd_close) int dir = -1;
	char name[LOG_NAME_SIZE];
	int rc;

	rc = format_name(pipeline, id, name, err);
	if (rc < 0)
		return rc;
	dir = open_folder(p, err);
	if (dir < 0)
		return dir;
	if (mkdirat(dir, pipeline, 0700) < 0 && errno != EEXIST)
		return pfs_fail_errno(err, errno, "make folder %s for logs", pipeline);
	return pfs_io_open(dir, name, O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW, 0600, err);
}

/* A log past its maximum has its notice already. */
static int append_bounded(int fd, const void *data, size_t len, struct pfs_error *err)
{
	struct stat st;
	uint64_t room;
	int rc;

	if (fstat(fd, &st) < 0)
		return pfs_fail_errno(err, errno, "size of a log");
	if ((uint64_t)st.st_size > PFS_LOG_SIZE_MAX)
		return 0;
	room = PFS_LOG_SIZE_MAX - (uint64_t)st.st_size;
	rc = pfs_io_write(fd, data, len < room ? len : (size_t)room, err);
	if (rc == 0 && len > room)
		rc = pfs_io_write(fd, cut_notice, sizeof(cut_notice) - 1, err);
	return rc;
}

int pfs_job_log_append(struct pfs_pipelines *p, const char *pipeline,
		       const struct pfs_commit_id *id, uint32_t attempt, const void *data,
		       size_t len, struct pfs_error *err)
{
	PFS_AUTO(pfs_fd_close) int fd = -1;
	struct pfs_job job;
	int rc;

	rc = pfs_job_inspect(p, pipeline, id, &job, err);
	if (rc < 0)
		return rc;
	if (job.attempt != attempt)
		return pfs_fail(err, PFS_E_CONFLICT,
				"log of pipeline %s: attempt %u is over, this is attempt %u",
				pipeline, attempt, job.attempt);
	pfs_lock(&p->log_lock);
	fd = open_for_append(p, pipeline, id, err);
	rc = fd < 0 ? fd : append_bounded(fd, data, len, err);
	pfs_unlock(&p->log_lock);
	return rc < 0 ? pfs_wrap(err, rc, "log of pipeline %s", pipeline) : 0;
}

int pfs_job_log_read(struct pfs_pipelines *p, const char *pipeline, const struct pfs_commit_id *id,
		     uint64_t off, void *data, size_t len, size_t *out_len, struct pfs_error *err)
{
	PFS_AUTO(pfs_fd_close) int dir = -1;
	PFS_AUTO(pfs_fd_close) int fd = -1;
	char name[LOG_NAME_SIZE];
	struct pfs_job job;
	int rc;

	rc = pfs_job_inspect(p, pipeline, id, &job, err);
	if (rc == 0)
		rc = format_name(pipeline, id, name, err);
	if (rc < 0)
		return rc;
	dir = open_folder(p, err);
	if (dir < 0)
		return dir;
	fd = openat(dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0 && errno != ENOENT)
		return pfs_fail_errno(err, errno, "log of pipeline %s", pipeline);
	if (fd >= 0)
		return pfs_io_pread(fd, data, len, off, out_len, err);
	*out_len = 0; /* a job that has printed nothing yet */
	return 0;
}

int pfs_joblog_remove(struct pfs_pipelines *p, const char *pipeline, struct pfs_error *err)
{
	PFS_AUTO(pfs_fd_close) int dir = open_folder(p, err);

	return dir < 0 ? dir : pfs_io_remove_all(dir, pipeline, err);
}

static void close_folder(DIR **d)
{
	if (*d)
		closedir(*d);
	*d = NULL;
}

/* Anything here that does not bear the name of a pipeline is not ours to keep, nor to remove. */
static int sweep_one(struct pfs_pipelines *p, const char *name, struct pfs_error *err)
{
	struct pfs_pipeline_row row = { 0 };
	struct pfs_error why;
	int rc;

	if (pfs_path_check_repo(name, &why) < 0)
		return 0;
	rc = pfs_meta_find_pipeline(p->meta, name, &row, &why);
	pfs_pipeline_row_fini(&row);
	if (rc == PFS_E_NOTFOUND)
		return pfs_joblog_remove(p, name, err);
	return rc < 0 ? pfs_fail(err, rc, "%s", why.text) : 0;
}

int pfs_joblog_sweep(struct pfs_pipelines *p, struct pfs_error *err)
{
	PFS_AUTO(close_folder) DIR *d = opendir(p->log_dir);
	struct dirent *e;
	int rc = 0;

	if (!d)
		return pfs_fail_errno(err, errno, "open %s", p->log_dir);
	while (rc == 0 && (e = readdir(d)))
		rc = sweep_one(p, e->d_name, err);
	return rc;
}
