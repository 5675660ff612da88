/*
 * pfsd: flags, sockets, threads start and stop here.
 *
 *	start                                   stop, in the opposite order
 *	instance, port ─▶ mount ─▶ planner, tick, keeper ─▶ HTTP ─▶ ready ─▶ a signal
 *
 * At the end the mount goes, or somebody holds it for the next pfsd (holder.h). A
 * reload is both at once: stop, exec, start.
 */
#include "daemon/background.h"
#include "daemon/daemon.h"
#include "daemon/holder.h"
#include "daemon/http.h"
#include "daemon/keeper.h"
#include "daemon/options.h"
#include "daemon/socket.h"
#include "base/clock.h"
#include "base/io.h"
#include "base/log.h"
#include "fuse/fuse.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#define EVENTS_BATCH 64
#define PLAN_MS      1000 /* a lost wake-up costs no more than this */
#define RETRY_MS     1000
#define BUSY_MS      10000

/* How it ends. */
enum ending { END, RELOAD };

struct program {
	struct pfs_options options;
	char **argv;
	struct pfs_fuse_held held; /* by nobody but us just now */
	struct pfs_daemon daemon;
	struct pfs_mount *mount;
	struct pfs_http_server *tcp, *local;
	pthread_t planner, ticker;
	bool has_planner, has_ticker;
	bool has_socket_file;
	bool took;              /* the mount from another process, or from ourselves */
	_Atomic bool unmounted; /* by somebody else */
	char mount_path[4096];
	char source[4096]; /* the data folder, as the table of mounts tells it */
	char mount_error[PFS_ERROR_TEXT_SIZE];
	char address[300]; /* "-": nowhere by TCP */
	int listening;     /* what will be answered by `tcp`; -1: nothing */
};

int pfs_daemon_plan(struct pfs_daemon *d, struct pfs_error *err)
{
	int rc;

	pfs_lock(&d->planning);
	do {
		rc = pfs_planner_turn(d->pipelines, err);
	} while (rc > 0 && !d->stopping);
	pfs_unlock(&d->planning);
	return rc < 0 ? pfs_wrap(err, rc, "plan jobs") : 0;
}

static void log_event(const struct pfs_event *e)
{
	char id[PFS_COMMIT_ID_HEX_SIZE] = "-";

	if (!pfs_commit_id_is_zero(&e->commit))
		pfs_commit_id_format(&e->commit, id);
	pfs_log(PFS_LOG_INFO, "%s repo=%s branch=%s commit=%s event=%llu", e->kind, e->repo,
		e->branch[0] ? e->branch : "-", id, (unsigned long long)e->number);
}

static uint64_t log_events(struct pfs_daemon *d, uint64_t after)
{
	struct pfs_event events[EVENTS_BATCH];
	size_t n;

	do {
		if (pfs_event_read(d->history, after, events, EVENTS_BATCH, &n, NULL) < 0)
			return after;
		for (size_t i = 0; i < n; i++) {
			log_event(&events[i]);
			after = events[i].number;
		}
	} while (n == EVENTS_BATCH);
	return after;
}

/* A failure that lasts is told once a minute, not once a second. */
struct complaint {
	int64_t last_ms;
};

static void complain(struct complaint *c, const char *event, const struct pfs_error *err)
{
	int64_t now = pfs_clock_monotonic_ms();

	if (c->last_ms && now - c->last_ms < 60000)
		return;
	c->last_ms = now;
	pfs_log(PFS_LOG_ERROR, "%s why=%s", event, err->text);
}

static void *run_planner(void *arg)
{
	struct pfs_daemon *d = arg;
	struct complaint complaint = { 0 };
	uint64_t logged = pfs_event_newest(d->history);
	struct pfs_error err;

	while (!d->stopping) {
		uint64_t seen = pfs_event_newest(d->history);

		if (pfs_daemon_plan(d, &err) < 0) {
			complain(&complaint, "planner.failed", &err);
			usleep(RETRY_MS * 1000);
		}
		logged = log_events(d, logged);
		pfs_event_wait(d->history, seen, PLAN_MS);
	}
	log_events(d, logged);
	return NULL;
}

static void *run_ticker(void *arg)
{
	struct program *p = arg;
	struct complaint complaint = { 0 };
	struct pfs_error err;

	for (unsigned tenths = 1; !p->daemon.stopping; tenths++) {
		usleep(100 * 1000); /* short, so that nobody waits for it at the end */
		if (p->mount && !pfs_fuse_mounted(p->mount) &&
		    !atomic_exchange(&p->unmounted, true))
			kill(getpid(), SIGTERM);
		if (tenths % 10)
			continue;
		if (pfs_instance_tick(p->daemon.instance, &err) < 0)
			complain(&complaint, "workspace.persist_failed", &err);
	}
	return NULL;
}

static int make_absolute(const char *path, char *out, size_t size, struct pfs_error *err)
{
	char here[4096];
	int n;

	if (path[0] == '/')
		n = snprintf(out, size, "%s", path);
	else if (getcwd(here, sizeof(here)))
		n = snprintf(out, size, "%s/%s", here, path);
	else
		return pfs_fail_errno(err, errno, "the current directory");
	if (n < 0 || (size_t)n >= size)
		return pfs_fail(err, PFS_E_NAMETOOLONG, "path %.100s...", path);
	for (size_t len = strlen(out); len > 1 && out[len - 1] == '/'; len--)
		out[len - 1] = 0;
	return 0;
}

static void block_signals(sigset_t *out)
{
	sigemptyset(out);
	sigaddset(out, SIGTERM);
	sigaddset(out, SIGINT);
	sigaddset(out, SIGHUP);
	/* Before the first thread, so that none of them is interrupted. */
	pthread_sigmask(SIG_BLOCK, out, NULL);
	signal(SIGPIPE, SIG_IGN);
	/* Past a limit (ulimit -f) a write fails, and ends nobody. */
	signal(SIGXFSZ, SIG_IGN);
	/* We wait for our children, whatever who started us does. */
	signal(SIGCHLD, SIG_DFL);
}

/*
 * From here on a second signal ends the process as it ends any other. After an umount
 * there was none yet: the first is that of a machine that goes down, and waits.
 */
static void unblock_signals(const sigset_t *set, bool unmounted)
{
	signal(SIGTERM, unmounted ? SIG_IGN : SIG_DFL);
	signal(SIGINT, SIG_DFL);
	signal(SIGHUP, SIG_IGN);
	pthread_sigmask(SIG_UNBLOCK, set, NULL);
}

/* Every connection, pack and open file is a descriptor. */
static void raise_descriptor_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return;
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
}

/*
 * umount(8) returns before the pfsd of that mount has ended; whoever mounts
 * anew waits for it, as on any other file system.
 */
static int open_when_free(const struct pfs_options *o, struct pfs_instance **out,
			  struct pfs_error *err)
{
	int64_t until = pfs_clock_monotonic_ms() + (o->background ? BUSY_MS : 0);
	int rc;

	for (;;) {
		rc = pfs_open(o->data, out, err);
		if (rc != PFS_E_BUSY || pfs_clock_monotonic_ms() >= until)
			return rc;
		usleep(100 * 1000);
	}
}

static int open_instance(struct program *p, struct pfs_error *err)
{
	struct pfs_daemon *d = &p->daemon;
	int rc = pfs_io_mkdir_all(AT_FDCWD, p->options.data, err);

	if (rc == 0)
		rc = open_when_free(&p->options, &d->instance, err);
	if (rc < 0)
		return pfs_wrap(err, rc, "data folder %s", p->options.data);
	d->history = pfs_instance_history(d->instance);
	d->view = pfs_instance_view(d->instance);
	d->pipelines = pfs_instance_pipelines(d->instance);
	d->who = (struct pfs_who){ getuid(), getgid() };
	d->started_ns = pfs_clock_ns();
	pfs_lock_init(&d->planning, PFS_RANK_DAEMON);
	return 0;
}

static void log_driver(void *arg, const char *line)
{
	pfs_log(PFS_LOG_WARN, "mount.warning path=%s why=%s", (const char *)arg, line);
}

/* What cannot be taken over is a dead mount from now on, which mounting anew clears. */
static bool take_mount(struct program *p, const struct pfs_fuse_options *o)
{
	struct pfs_error err = { 0 };

	if (p->held.device < 0)
		return false;
	if (pfs_fuse_take(p->daemon.instance, p->mount_path, o, &p->held, &p->mount, &err) == 0) {
		pfs_log(PFS_LOG_INFO, "mount.taken path=%s", p->mount_path);
		p->took = true;
		return true;
	}
	pfs_log(PFS_LOG_ERROR, "mount.lost path=%s why=\"%s\"", p->mount_path, err.text);
	return false;
}

/*
 * Without a mount there is still HTTP: that is a warning, a wrong option is an
 * error. Whoever waits for us in the foreground waits for the mount.
 */
static int mount_instance(struct program *p, struct pfs_error *err)
{
	struct pfs_fuse_options o = p->options.fuse;
	int rc;

	/* The data folder is ours: nobody else can come for it. And we can take it. */
	if (p->held.device < 0)
		pfs_holder_fetch(p->options.data, &p->held);
	if (p->options.no_mount) {
		if (p->held.device >= 0)
			pfs_fuse_leave(&p->held);
		pfs_fuse_drop(&p->held);
		p->daemon.no_mount_why = "it was started with --no-mount";
		return 0;
	}
	rc = make_absolute(p->options.mount, p->mount_path, sizeof(p->mount_path), err);
	if (rc < 0)
		return rc;
	rc = make_absolute(p->options.data, p->source, sizeof(p->source), err);
	if (rc < 0)
		return rc;
	o.source = p->source;
	o.log = log_driver;
	o.log_arg = p->mount_path;
	rc = take_mount(p, &o)
		     ? 0
		     : pfs_fuse_mount(p->daemon.instance, p->mount_path, &o, &p->mount, err);
	if (rc == 0) {
		p->daemon.mount = p->mount_path;
		p->daemon.features = pfs_fuse_features(p->mount);
		return 0;
	}
	if ((rc != PFS_E_UNSUPPORTED && rc != PFS_E_DENIED) || p->options.background)
		return pfs_wrap(err, rc, "mount %s", p->mount_path);
	snprintf(p->mount_error, sizeof(p->mount_error), "%s", err->text);
	p->daemon.no_mount_why = p->mount_error;
	pfs_log(PFS_LOG_WARN, "mount.failed path=%s why=%s serving=http-only", p->mount_path,
		p->mount_error);
	return 0;
}

static int start_threads(struct program *p, struct pfs_error *err)
{
	int sys = pthread_create(&p->planner, NULL, run_planner, &p->daemon);

	p->has_planner = sys == 0;
	if (sys == 0) {
		sys = pthread_create(&p->ticker, NULL, run_ticker, p);
		p->has_ticker = sys == 0;
	}
	if (sys)
		return pfs_fail_errno(err, sys, "start a thread");
	return pfs_keeper_start(p->daemon.instance, &p->options.keeper, &p->daemon.keeper, err);
}

static int listen_tcp(struct program *p, struct pfs_error *err)
{
	char *host = p->daemon.listen_host;
	uint16_t port;

	if (strcmp(p->options.listen, "none") == 0) {
		snprintf(p->address, sizeof(p->address), "-");
		return 0;
	}
	p->listening = pfs_socket_listen_tcp(p->options.listen, host, &port, err);
	if (p->listening < 0)
		return p->listening;
	snprintf(p->address, sizeof(p->address), strchr(host, ':') ? "[%s]:%u" : "%s:%u", host,
		 port);
	return 0;
}

static int serve_tcp(struct program *p, struct pfs_error *err)
{
	int fd = p->listening;

	p->listening = -1; /* the server's */
	return fd < 0 ? 0 : pfs_http_serve(&p->daemon, fd, false, &p->tcp, err);
}

static int serve_unix(struct program *p, struct pfs_error *err)
{
	PFS_AUTO(pfs_buf_fini) struct pfs_buf folder = PFS_BUF_INIT(4096);
	const char *path = p->options.socket, *slash = strrchr(path, '/');
	int rc = 0, fd;

	if (slash && slash > path) {
		rc = pfs_buf_add(&folder, path, (size_t)(slash - path), err);
		if (rc == 0)
			rc = pfs_io_mkdir_all(AT_FDCWD, pfs_buf_str(&folder), err);
	}
	if (rc < 0)
		return pfs_wrap(err, rc, "folder of socket %s", path);
	fd = pfs_socket_listen_unix(path, err);
	if (fd < 0)
		return fd;
	p->has_socket_file = true;
	return pfs_http_serve(&p->daemon, fd, true, &p->local, err);
}

/* All that others ask us by. */
static int serve_others(struct program *p, struct pfs_error *err)
{
	int rc = start_threads(p, err);

	if (rc == 0)
		rc = serve_tcp(p, err);
	return rc == 0 ? serve_unix(p, err) : rc;
}

static void tell_ready(const struct program *p)
{
	pfs_log(PFS_LOG_INFO, "pfsd.ready mount=%s listen=%s socket=%s features=%s version=%s",
		p->daemon.mount ? p->daemon.mount : "-", p->address, p->options.socket,
		p->mount ? pfs_fuse_features(p->mount) : "-", pfs_version());
	pfs_socket_notify("READY=1");
}

static int start(struct program *p, struct pfs_error *err)
{
	/* Who cannot have the port leaves no new folder behind; that of an old one may be with the
	 * pfsd whose end is waited for. */
	bool port_first = access(p->options.data, F_OK) < 0;
	const char *warning;
	int rc = port_first ? listen_tcp(p, err) : 0;

	if (rc == 0)
		rc = open_instance(p, err);
	if (rc == 0 && !port_first)
		rc = listen_tcp(p, err);
	if (rc == 0)
		rc = mount_instance(p, err);
	if (rc == 0)
		rc = serve_others(p, err);
	if (rc < 0)
		return rc;
	warning = pfs_instance_warning(p->daemon.instance);
	if (warning)
		pfs_log(PFS_LOG_WARN, "pfsd.warning why=\"%s\"", warning);
	pfs_background_ready();
	if (pfs_instance_is_new(p->daemon.instance))
		pfs_log(PFS_LOG_INFO, "instance.created data=%s", p->options.data);
	tell_ready(p);
	return 0;
}

/* Whether somebody else is to go on with the mount. */
static bool is_held(const struct program *p, enum ending how)
{
	struct pfs_error err = { 0 };

	if (!p->mount || !pfs_fuse_mounted(p->mount) || (how == END && !p->options.hold_s))
		return false;
	if (pfs_fuse_can_hold(p->mount, &err) == 0)
		return true;
	pfs_log(PFS_LOG_WARN, "mount.not_held path=%s why=\"%s\"", p->mount_path, err.text);
	return false;
}

static void end_mount(struct program *p, bool hold)
{
	struct pfs_error err = { 0 };

	if (hold && pfs_fuse_hold(&p->mount, &p->held, &err) < 0)
		pfs_log(PFS_LOG_ERROR, "mount.lost path=%s why=\"%s\"", p->mount_path, err.text);
	pfs_fuse_unmount(&p->mount);
}

/* Nobody asks us by anything but the mount any more. */
static void stop_serving_others(struct program *p)
{
	struct pfs_daemon *d = &p->daemon;

	d->stopping = true;
	if (d->history)
		pfs_event_wake(d->history);
	pfs_keeper_tell(d->keeper);
	pfs_fd_close(&p->listening);
	pfs_http_stop(&p->tcp);
	pfs_http_stop(&p->local);
	if (p->has_socket_file)
		unlink(p->options.socket);
	if (p->has_planner)
		pthread_join(p->planner, NULL);
	if (p->has_ticker)
		pthread_join(p->ticker, NULL);
	pfs_keeper_stop(&d->keeper);
	p->has_socket_file = p->has_planner = p->has_ticker = false;
}

/* Nothing of what ran is there after it; what is held is in p->held. */
static void stop(struct program *p, bool hold)
{
	struct pfs_daemon *d = &p->daemon;
	struct pfs_error err = { 0 };

	stop_serving_others(p);
	end_mount(p, hold);
	if (d->instance) {
		/* What is held was written down with it, files without names too, which a flush would let go. */
		if (p->held.device < 0 && pfs_instance_flush(d->instance, &err) < 0)
			pfs_log(PFS_LOG_ERROR, "pfsd.not_written why=\"%s\"", err.text);
		pfs_lock_fini(&d->planning);
		pfs_close(&d->instance);
	}
	p->unmounted = false;
	*d = (struct pfs_daemon){ 0 };
}

/*
 * Nothing is let go before the program that is there now says that it can go on,
 * nor while the disk has no room to write down what it would have to know.
 */
static bool may_reload(struct program *p)
{
	struct pfs_error err = { 0 };
	int rc = p->mount ? pfs_fuse_can_hold(p->mount, &err) : 0;

	if (rc == 0)
		rc = pfs_holder_check_program(p->argv, &err);
	/* Last, since everybody goes on writing. */
	if (rc == 0)
		rc = pfs_instance_flush(p->daemon.instance, &err);
	if (rc == 0)
		return true;
	pfs_log(PFS_LOG_ERROR, "pfsd.not_reloaded why=\"%s\"", err.text);
	return false;
}

static void tell_reloading(void)
{
	char text[64];

	snprintf(text, sizeof(text), "RELOADING=1\nMONOTONIC_USEC=%lld",
		 (long long)pfs_clock_monotonic_ms() * 1000);
	pfs_socket_notify(text);
}

/* As before, with the mount as it is. */
static int go_on(struct program *p, struct pfs_error *err)
{
	int rc;

	p->daemon.stopping = false;
	pfs_event_resume(p->daemon.history);
	/* Somebody uses it: if we cannot serve the others any more, the next pfsd may. */
	p->took = true;
	rc = listen_tcp(p, err);
	if (rc == 0)
		rc = serve_others(p, err);
	if (rc == 0)
		tell_ready(p);
	return rc;
}

/* False: it goes on, since it cannot be held after all; everybody went on writing until now. */
static bool let_go(struct program *p)
{
	struct pfs_error err = { 0 };

	if (pfs_fuse_hold(&p->mount, &p->held, &err) == 0)
		return true;
	if (p->mount)
		pfs_log(PFS_LOG_ERROR, "pfsd.not_reloaded why=\"%s\"", err.text);
	else
		pfs_log(PFS_LOG_ERROR, "mount.lost path=%s why=\"%s\"", p->mount_path, err.text);
	return !p->mount;
}

/* Be the program that is there now; when that fails at last, we go on. */
static int reload(struct program *p, struct pfs_error *err)
{
	bool hold = is_held(p, RELOAD);

	pfs_log(PFS_LOG_INFO, "pfsd.reloading version=%s", pfs_version());
	tell_reloading();
	stop_serving_others(p);
	if (hold && !let_go(p))
		return go_on(p, err);
	stop(p, false);
	pfs_holder_become_program(p->argv, &p->held, err);
	pfs_log(PFS_LOG_ERROR, "pfsd.not_reloaded why=\"%s\"", err->text);
	return start(p, err);
}

/* Until a signal ends it, which is told. */
static int serve(struct program *p, const sigset_t *signals, int *got, struct pfs_error *err)
{
	int rc = start(p, err);

	while (rc == 0) {
		sigwait(signals, got);
		if (*got != SIGHUP)
			break;
		if (may_reload(p))
			rc = reload(p, err);
	}
	return rc;
}

static void leave_mount(struct program *p)
{
	struct pfs_error err = { 0 };

	if (p->held.device < 0)
		return;
	if (pfs_holder_keep(p->options.data, p->options.hold_s, &p->held, &err) < 0)
		pfs_log(PFS_LOG_ERROR, "mount.lost path=%s why=\"%s\"", p->mount_path, err.text);
	else
		pfs_log(PFS_LOG_INFO, "mount.held path=%s seconds=%u", p->mount_path,
			p->options.hold_s);
}

/* What was left to us and we could not take, or serve: for the next one, or away, so that no dead mount is left. */
static void give_up_mount(struct program *p)
{
	if (p->held.device < 0 ||
	    make_absolute(p->options.mount, p->mount_path, sizeof(p->mount_path), NULL) < 0)
		return;
	if (p->options.hold_s)
		leave_mount(p);
	else
		pfs_fuse_leave(&p->held);
}

static int run(struct program *p)
{
	struct pfs_error err = { 0 };
	sigset_t signals;
	bool unmounted, hold;
	int rc, got = 0;

	pfs_holder_inherit(&p->held);
	rc = pfs_holder_find_program(p->argv[0], &err);
	if (rc == 0 && p->options.background && !pfs_holder_goes_on())
		rc = pfs_background_enter(&err);
	if (rc == 0 && p->options.log)
		rc = pfs_background_log_to(p->options.log, &err);
	block_signals(&signals);
	raise_descriptor_limit();
	if (rc == 0)
		rc = serve(p, &signals, &got, &err);
	if (rc < 0) {
		stop(p, p->took && is_held(p, END));
		give_up_mount(p);
		fprintf(stderr, "pfsd: %s\n", err.text);
		return pfs_code_exit(rc);
	}
	/* From here on the ticker does not tell us. */
	unmounted =
		atomic_exchange(&p->unmounted, true) || (p->mount && !pfs_fuse_mounted(p->mount));
	if (unmounted)
		pfs_log(PFS_LOG_INFO, "pfsd.stopping why=\"somebody unmounted %s\"", p->mount_path);
	else
		pfs_log(PFS_LOG_INFO, "pfsd.stopping signal=%s", got == SIGTERM ? "TERM" : "INT");
	pfs_socket_notify("STOPPING=1");
	hold = !unmounted && is_held(p, END);
	unblock_signals(&signals, unmounted);
	stop(p, hold);
	leave_mount(p);
	pfs_log(PFS_LOG_INFO, "pfsd.stopped");
	return 0;
}

static char **copy_arguments(int argc, char **argv)
{
	char **copy = calloc((size_t)argc + 1, sizeof(*copy));

	if (!copy)
		exit(pfs_code_exit(PFS_E_NOMEM));
	memcpy(copy, argv, (size_t)argc * sizeof(*copy));
	return copy;
}

int main(int argc, char **argv)
{
	static struct program p = { .options = PFS_OPTIONS_INIT, .listening = -1 };

	/* What is parsed is put into another order; what is started anew is not to be. */
	p.argv = copy_arguments(argc, argv);
	pfs_options_parse(argc, argv, &p.options);
	return run(&p);
}
