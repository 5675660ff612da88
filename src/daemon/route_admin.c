#include "daemon/facts_admin.h"
#include "daemon/route.h"
#include "daemon/keeper.h"
#include "base/clock.h"
#include "base/io.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

int route_ping(struct pfs_request *rq, struct pfs_reply *rp, struct pfs_error *err)
{
	return pfs_reply_printf(rp, err, "pong\n");
}

int route_version(struct pfs_request *rq, struct pfs_reply *rp, struct pfs_error *err)
{
	return pfs_reply_printf(rp, err, "%s\n", pfs_version());
}

int route_welcome(struct pfs_request *rq, struct pfs_reply *rp, struct pfs_error *err)
{
	const char *host = pfs_request_header(rq, "Host");
	const char *mount = rq->daemon->mount;
	int rc;

	if (!host)
		host = "localhost";
	rc = pfs_reply_printf(
		rp, err,
		"Welcome to pfs!\n\n"
		"write a file      curl -XPOST %s/file/hello -T local_file\n"
		"read it           curl %s/file/hello\n"
		"read a directory  curl \"%s/file/directory/*\"\n"
		"commit            curl -XPOST %s/commit\n"
		"list commits      curl %s/commit\n"
		"read an old file  curl \"%s/file/hello?commit=<commit>\"\n"
		"run a program on every commit\n"
		"                  curl -XPOST %s/pipeline/<name> -T <name>.Pachfile\n"
		"read its output   curl \"%s/pipeline/<name>/file/*\"\n\n",
		host, host, host, host, host, host, host, host);
	if (rc == 0 && mount)
		rc = pfs_reply_printf(rp, err, "The same files are in %s/data/master.\n", mount);
	if (rc == 0)
		rc = pfs_reply_printf(rp, err, "All routes are in pfs-http(7): man pfs-http\n");
	return rc;
}

/* Pages that are in memory, from the kernel; 0 when it does not tell. */
static int64_t resident_bytes(void)
{
	PFS_AUTO(pfs_buf_fini) struct pfs_buf text = PFS_BUF_INIT(4096);
	char *end;

	if (pfs_io_load(AT_FDCWD, "/proc/self/statm", &text, NULL) < 0)
		return 0;
	strtoll(pfs_buf_str(&text), &end, 10);
	return strtoll(end, NULL, 10) * sysconf(_SC_PAGESIZE);
}

static int add_figures(struct pfs_daemon *d, json_t *v, struct pfs_error *err)
{
	struct pfs_upkeep upkeep;
	struct pfs_stats stats;
	int rc = pfs_stats_read(d->history, &stats, err);

	if (rc == 0)
		rc = pfs_instance_upkeep(d->instance, &upkeep, err);
	return rc < 0 ? rc : pfs_facts_stats(&stats, &upkeep, v, err);
}

int route_stats(struct pfs_request *rq, struct pfs_reply *rp, struct pfs_error *err)
{
	struct pfs_daemon *d = rq->daemon;
	PFS_AUTO(pfs_json_free)
	json_t *v = json_pack("{s:s, s:I, s:I, s:I, s:i, s:I, s:I, s:s?, s:s?, s:s}", "version",
			      pfs_version(), "uptime_seconds",
			      (json_int_t)((pfs_clock_ns() - d->started_ns) / 1000000000),
			      "requests", (json_int_t)d->n_requests, "errors",
			      (json_int_t)d->n_errors, "connections", (int)d->n_connections,
			      "events", (json_int_t)pfs_event_newest(d->history), "resident_bytes",
			      (json_int_t)resident_bytes(), "mount", d->mount, "features",
			      d->features, "data", pfs_view_data_dir(d->view));
	int rc;

	if (!v || json_object_set_new(v, "upkeep", pfs_keeper_json(d->keeper)) < 0)
		return pfs_fail_nomem(err, "statistics");
	rc = add_figures(d, v, err);
	rp->content_type = "application/json";
	if (rc == 0)
		rc = pfs_json_format(v, &rp->body, err);
	return rc < 0 ? rc : pfs_buf_add_u8(&rp->body, '\n', err);
}
