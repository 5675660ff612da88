/*
 * pfs-runner: takes jobs from pfsd and runs them in containers.
 *
 * A program of its own, so that a container problem never takes the file
 * system down. See pfs-runner(8).
 */
#include "runner/lane.h"
#include "base/io.h"
#include "base/log.h"
#include "runtime/digest.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#define DEFAULT_SOCKET     "/run/pfs/pfsd.sock"
#define DEFAULT_CONTAINERD "/run/containerd/containerd.sock"
#define DEFAULT_ROOT       "/run/pfs/runner"
#define JOBS_MAX           64
#define DEFAULT_JOBS_MIN   2
#define DEFAULT_JOBS_MAX   16
#define IMPORT_OWNER       "pfs-import" /* no runner's sweep may touch an import under way */

struct options {
	const char *socket;
	const char *containerd;
	const char *root;
	long jobs;
	bool verbose;
};

static const char usage_text[] = "usage: pfs-runner [--socket PATH] [--containerd ADDRESS] [--root "
				 "DIR] [--jobs N] [--verbose]\n"
				 "       pfs-runner [--containerd ADDRESS] import FILE [NAME]\n"
				 "       pfs-runner [--containerd ADDRESS] images\n";

static int fail(int rc, const struct pfs_error *err)
{
	fprintf(stderr, "pfs-runner: %s\n", err->text);
	return pfs_code_exit(rc);
}

static int usage(FILE *to)
{
	fputs(usage_text, to);
	return to == stdout ? 0 : pfs_code_exit(PFS_E_INVALID);
}

/* ---- images ---- */

static int open_images(const struct options *o, struct pfs_runtime **out, struct pfs_error *err)
{
	return pfs_runtime_open(o->containerd, IMPORT_OWNER, o->root, out, err);
}

static int cmd_import(const struct options *o, const char *file, const char *name)
{
	PFS_AUTO(pfs_runtime_close) struct pfs_runtime *rt = NULL;
	char digest[PFS_IMAGE_DIGEST_SIZE], full[512];
	struct pfs_error err = { 0 };
	int rc;

	rc = open_images(o, &rt, &err);
	if (rc == 0)
		rc = pfs_runtime_import(rt, file, name, full, sizeof(full), &err);
	if (rc == 0)
		rc = pfs_runtime_resolve(rt, full, digest, &err);
	if (rc < 0)
		return fail(rc, &err);
	printf("%s\t%s\n", full, digest);
	return 0;
}

static void print_image(void *arg, const char *name, const char *digest)
{
	printf("%s\t%s\n", name, digest);
}

static int cmd_images(const struct options *o)
{
	PFS_AUTO(pfs_runtime_close) struct pfs_runtime *rt = NULL;
	struct pfs_error err = { 0 };
	int rc;

	rc = open_images(o, &rt, &err);
	if (rc == 0)
		rc = pfs_runtime_images(rt, print_image, NULL, &err);
	return rc < 0 ? fail(rc, &err) : 0;
}

/* ---- the daemon ---- */

/* One runner a state folder: two would sweep each other's containers away. */
static int lock_root(const char *root, int *out_fd, struct pfs_error *err)
{
	PFS_AUTO(pfs_fd_close) int dir = -1;
	int fd, rc;

	rc = pfs_io_mkdir_all(AT_FDCWD, root, err);
	if (rc < 0)
		return pfs_wrap(err, rc, "state folder %s", root);
	dir = pfs_io_open(AT_FDCWD, root, O_RDONLY | O_DIRECTORY, 0, err);
	if (dir < 0)
		return dir;
	fd = pfs_io_open(dir, "lock", O_RDWR | O_CREAT, 0600, err);
	if (fd < 0)
		return fd;
	if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
		close(fd);
		return pfs_fail(err, PFS_E_BUSY,
				"another pfs-runner works in %s: give this one its own --root",
				root);
	}
	*out_fd = fd;
	return 0;
}

/*
 * The same folder on the same machine is the same runner, also after a reboot
 * that emptied it: what it left in containerd is still found under this name.
 */
static int make_owner(const char *root, char *out, size_t size, struct pfs_error *err)
{
	char digest[PFS_DIGEST_SIZE];
	int rc = pfs_digest_of(root, strlen(root), digest, err);

	if (rc == 0)
		snprintf(out, size, "r%.15s", strchr(digest, ':') + 1);
	return rc;
}

/* Until containerd answers or we are told to end: 0, or 1 for the latter. */
static int connect_patiently(struct runner *r, const struct options *o, const char *owner,
			     struct pfs_error *err)
{
	bool told = false;
	int rc;

	while ((rc = pfs_runtime_open(o->containerd, owner, o->root, &r->runtime, err)) ==
		       PFS_E_IO ||
	       rc == PFS_E_TIMEOUT) {
		if (!told)
			pfs_log(PFS_LOG_WARN, "containerd.lost: %s", err->text);
		told = true;
		if (!lane_sleep(r, 1000))
			return 1;
	}
	return rc;
}

static void sweep(struct runner *r)
{
	struct pfs_error err = { 0 };

	if (pfs_runtime_sweep(r->runtime, &err) < 0)
		pfs_log(PFS_LOG_WARN, "runner.sweep: %s", err.text);
}

static void *wait_for_signal(void *arg)
{
	struct runner *r = arg;
	sigset_t set;
	int sig;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	if (sigwait(&set, &sig) == 0)
		pfs_log(PFS_LOG_INFO, "runner.ending signal=%d", sig);
	atomic_store(&r->stopping, true);
	return NULL;
}

static void block_signals(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGPIPE);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
}

static void run_lanes(struct runner *r, long jobs)
{
	pthread_t lanes[JOBS_MAX];
	long n = 0;

	for (; n < jobs; n++) {
		int sys = pthread_create(&lanes[n], NULL, lane_run, r);

		if (sys != 0) {
			pfs_log(PFS_LOG_ERROR, "lane.failed: thread: %s", strerror(sys));
			break;
		}
	}
	while (n-- > 0)
		pthread_join(lanes[n], NULL);
}

/* containerd's shims open what is in the state folder, and stand in another directory. */
static int resolve_root(struct options *o, char full[PATH_MAX], struct pfs_error *err)
{
	if (!realpath(o->root, full))
		return pfs_fail_errno(err, errno, "state folder %s", o->root);
	o->root = full;
	return 0;
}

static int serve(struct runner *r, struct options *o, struct pfs_error *err)
{
	PFS_AUTO(pfs_fd_close) int lock = -1;
	char owner[41], root[PATH_MAX];
	int rc;

	rc = lock_root(o->root, &lock, err);
	if (rc == 0)
		rc = resolve_root(o, root, err);
	if (rc == 0)
		rc = make_owner(o->root, owner, sizeof(owner), err);
	if (rc == 0)
		rc = connect_patiently(r, o, owner, err);
	if (rc != 0)
		return rc < 0 ? rc : 0;
	r->name = owner;
	sweep(r);
	pfs_log(PFS_LOG_INFO, "runner.ready name=%s containerd=%s jobs=%ld pfsd=%s", owner,
		pfs_runtime_version(r->runtime), o->jobs, o->socket);
	run_lanes(r, o->jobs);
	pfs_runtime_close(&r->runtime);
	return 0;
}

static int cmd_serve(struct options *o)
{
	struct runner r = { .socket = o->socket };
	struct pfs_error err = { 0 };
	pthread_t signals;
	int rc;

	block_signals();
	rc = pthread_create(&signals, NULL, wait_for_signal, &r);
	if (rc != 0) {
		fprintf(stderr, "pfs-runner: thread: %s\n", strerror(rc));
		return pfs_code_exit(PFS_E_NOMEM);
	}
	rc = serve(&r, o, &err);
	/* Lanes end only when told to, or when there is nothing to run them with. */
	if (!atomic_load(&r.stopping))
		pthread_kill(signals, SIGTERM);
	pthread_join(signals, NULL);
	return rc < 0 ? fail(rc, &err) : 0;
}

static bool parse_options(int argc, char **argv, struct options *o, int *out_status)
{
	static const struct option long_options[] = {
		{ "socket", required_argument, NULL, 's' },
		{ "containerd", required_argument, NULL, 'c' },
		{ "root", required_argument, NULL, 'r' },
		{ "jobs", required_argument, NULL, 'j' },
		{ "verbose", no_argument, NULL, 'v' },
		{ "help", no_argument, NULL, 'h' },
		{ 0 },
	};
	char *end;
	int c;

	while ((c = getopt_long(argc, argv, "s:c:r:j:vh", long_options, NULL)) != -1) {
		switch (c) {
		case 's':
			o->socket = optarg;
			break;
		case 'c':
			o->containerd = optarg;
			break;
		case 'r':
			o->root = optarg;
			break;
		case 'j':
			o->jobs = strtol(optarg, &end, 10);
			if (*end || o->jobs < 1 || o->jobs > JOBS_MAX) {
				fprintf(stderr, "pfs-runner: --jobs %s: a number from 1 to %d\n",
					optarg, JOBS_MAX);
				*out_status = pfs_code_exit(PFS_E_INVALID);
				return false;
			}
			break;
		case 'v':
			o->verbose = true;
			break;
		default:
			*out_status = usage(c == 'h' ? stdout : stderr);
			return false;
		}
	}
	return true;
}

/* As many as there are processors; two at least, or one endless job would stop all pipelines. */
static long default_jobs(void)
{
	long n = sysconf(_SC_NPROCESSORS_ONLN);

	if (n < DEFAULT_JOBS_MIN)
		return DEFAULT_JOBS_MIN;
	return n < DEFAULT_JOBS_MAX ? n : DEFAULT_JOBS_MAX;
}

int main(int argc, char **argv)
{
	struct options o = { .socket = DEFAULT_SOCKET,
			     .containerd = DEFAULT_CONTAINERD,
			     .root = DEFAULT_ROOT,
			     .jobs = default_jobs() };
	int status, left;

	if (!parse_options(argc, argv, &o, &status))
		return status;
	if (o.verbose)
		pfs_log_set_level(PFS_LOG_DEBUG);
	left = argc - optind;
	if (left == 0)
		return cmd_serve(&o);
	if (strcmp(argv[optind], "import") == 0 && (left == 2 || left == 3))
		return cmd_import(&o, argv[optind + 1], left == 3 ? argv[optind + 2] : NULL);
	if (strcmp(argv[optind], "images") == 0 && left == 1)
		return cmd_images(&o);
	return usage(stderr);
}
