#include "pipeline/pipelines.h"

#include "base/clock.h"
#include "base/io.h"
#include "pipeline/finish.h"
#include "pipeline/joblog.h"
#include "pipeline/pipelines_i.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

int pfs_pipelines_open(struct pfs_history *h, const char *log_dir, struct pfs_pipelines **out,
		       struct pfs_error *err)
{
	PFS_AUTO(pfs_pipelines_close) struct pfs_pipelines *p = calloc(1, sizeof(*p));
	int rc;

	if (!p)
		return pfs_fail_nomem(err, "pipelines");
	p->history = h;
	p->meta = pfs_history_meta(h);
	pfs_lock_init(&p->lock, PFS_RANK_PIPELINE);
	pfs_lock_init(&p->log_lock, PFS_RANK_PIPELINE);
	pfs_cond_init(&p->left);
	pfs_map_init(&p->inside);
	p->log_dir = strdup(log_dir);
	if (!p->log_dir)
		return pfs_fail_nomem(err, "pipelines");
	rc = pfs_io_mkdir_all(AT_FDCWD, log_dir, err);
	if (rc == 0)
		rc = pfs_joblog_sweep(p, err);
	if (rc < 0)
		return pfs_wrap(err, rc, "logs of jobs");
	rc = pfs_finish_recover(p, err);
	if (rc < 0)
		return pfs_wrap(err, rc, "jobs of the last run");
	*out = p;
	p = NULL;
	return 0;
}

void pfs_pipelines_close(struct pfs_pipelines **p)
{
	struct pfs_pipelines *gone = *p;

	*p = NULL;
	if (!gone)
		return;
	pfs_map_fini(&gone->inside);
	pthread_cond_destroy(&gone->left);
	pfs_lock_fini(&gone->log_lock);
	pfs_lock_fini(&gone->lock);
	free(gone->log_dir);
	free(gone);
}

int pfs_pipelines_enter(struct pfs_pipelines *p, const char *name, int64_t timeout_ms,
			struct pfs_error *err)
{
	int64_t until = pfs_clock_monotonic_ms() + timeout_ms, left;
	size_t len = strlen(name);
	char *copy = strdup(name);
	int rc = 0;

	if (!copy)
		return pfs_fail_nomem(err, "a pipeline");
	pfs_lock(&p->lock);
	while (rc == 0 && pfs_map_find(&p->inside, name, len)) {
		left = until - pfs_clock_monotonic_ms();
		if (left <= 0)
			rc = pfs_fail(err, PFS_E_BUSY,
				      "pipeline %s: a job is just starting or being committed; "
				      "try again",
				      name);
		else
			pfs_cond_wait(&p->left, &p->lock, left);
	}
	if (rc == 0)
		rc = pfs_map_set(&p->inside, copy, len, copy, err);
	pfs_unlock(&p->lock);
	if (rc < 0)
		free(copy);
	return rc;
}

void pfs_pipelines_leave(struct pfs_pipelines *p, const char *name)
{
	char *copy;

	pfs_lock(&p->lock);
	copy = pfs_map_remove(&p->inside, name, strlen(name));
	pthread_cond_broadcast(&p->left);
	pfs_unlock(&p->lock);
	free(copy);
}
