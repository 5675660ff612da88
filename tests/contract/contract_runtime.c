/*
 * What a runtime promises, asked of a real containerd that this program
 * starts for itself: own root, own state, own socket, own image.
 *
 * Exit 77 where there is no containerd, no root or no static busybox.
 */
#include "base/clock.h"
#include "base/io.h"
#include "runtime/runtime.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define OWNER "contract"
#define IMAGE "busybox"

struct world {
	char dir[128];
	char socket[160];
	char state[160];
	char archive[160];
	pid_t daemon;
	struct pfs_runtime *rt;
};

static int failures;

static void expect(bool ok, const char *file, int line, const char *claim, const char *fmt, ...)
{
	va_list ap;

	if (ok)
		return;
	failures++;
	fprintf(stderr, "%s:%d: not so: %s: ", file, line, claim);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
}

#define EXPECT(ok, ...) expect((ok), __FILE__, __LINE__, #ok, __VA_ARGS__)

/* ---- the world ---- */

static void skip(const char *why)
{
	printf("SKIP: %s\n", why);
	exit(77);
}

static bool in_path(const char *program)
{
	char command[256];

	snprintf(command, sizeof(command),
		 "PATH=$PATH:/usr/sbin:/sbin; command -v %s >/dev/null 2>&1", program);
	return system(command) == 0;
}

static void write_text(const char *path, const char *text)
{
	FILE *f = fopen(path, "w");

	if (!f || fputs(text, f) < 0 || fclose(f) != 0) {
		fprintf(stderr, "%s: %s\n", path, strerror(errno));
		exit(1);
	}
}

static void write_config(const struct world *w, const char *path)
{
	char text[2048];

	snprintf(
		text, sizeof(text),
		"version = 2\nroot = \"%s/root\"\nstate = \"%s/state\"\n"
		"disabled_plugins = [\"io.containerd.grpc.v1.cri\", "
		"\"io.containerd.snapshotter.v1.btrfs\","
		" \"io.containerd.snapshotter.v1.zfs\", \"io.containerd.snapshotter.v1.devmapper\","
		" \"io.containerd.snapshotter.v1.aufs\"]\n"
		"[grpc]\n  address = \"%s\"\n[ttrpc]\n  address = \"%s.ttrpc\"\n",
		w->dir, w->dir, w->socket, w->socket);
	write_text(path, text);
}

static void start_containerd(struct world *w)
{
	char config[192], log[192];

	snprintf(config, sizeof(config), "%s/config.toml", w->dir);
	snprintf(log, sizeof(log), "%s/containerd.log", w->dir);
	write_config(w, config);
	w->daemon = fork();
	if (w->daemon == 0) {
		int fd = open(log, O_WRONLY | O_CREAT | O_APPEND, 0600);

		dup2(fd, 1);
		dup2(fd, 2);
		setenv("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", 1);
		execlp("containerd", "containerd", "-c", config, "-l", "warn", (char *)NULL);
		_exit(127);
	}
}

static void stop_containerd(struct world *w, int signal)
{
	if (w->daemon > 0) {
		kill(w->daemon, signal);
		waitpid(w->daemon, NULL, 0);
	}
	w->daemon = 0;
}

static int open_runtime(const struct world *w, const char *owner, struct pfs_runtime **out)
{
	struct pfs_error err = { 0 };
	struct timespec pause = { .tv_nsec = 100 * 1000000L };
	int rc = -1;

	for (int i = 0; i < 150 && rc != 0; i++) {
		rc = pfs_runtime_open(w->socket, owner, w->state, out, &err);
		if (rc != 0)
			nanosleep(&pause, NULL);
	}
	if (rc != 0)
		fprintf(stderr, "%s\n", err.text);
	return rc;
}

static void make_image(struct world *w)
{
	const char *source = getenv("PFS_SOURCE");
	char command[512];

	snprintf(w->archive, sizeof(w->archive), "%s/busybox.tar", w->dir);
	snprintf(command, sizeof(command), "sh %s/packaging/busybox-image %s",
		 source ? source : ".", w->archive);
	if (system(command) != 0)
		skip("packaging/busybox-image made no image: is busybox-static installed?");
}

static void world_open(struct world *w)
{
	const char *tmp = getenv("TMPDIR");

	if (geteuid() != 0)
		skip("containers need root");
	if (!in_path("containerd") || !in_path("runc"))
		skip("containerd or runc is not installed");
	snprintf(w->dir, sizeof(w->dir), "%.80s/pfs-contract.XXXXXX", tmp ? tmp : "/tmp");
	if (!mkdtemp(w->dir))
		skip("no temporary folder");
	snprintf(w->socket, sizeof(w->socket), "%s/c.sock", w->dir);
	snprintf(w->state, sizeof(w->state), "%s/runner", w->dir);
	make_image(w);
	start_containerd(w);
	if (open_runtime(w, OWNER, &w->rt) != 0)
		exit(1);
}

static void world_close(struct world *w)
{
	struct pfs_error err = { 0 };

	EXPECT(pfs_runtime_sweep(w->rt, &err) == 0, "%s", err.text);
	pfs_runtime_close(&w->rt);
	stop_containerd(w, SIGTERM);
	if (pfs_io_remove_all(AT_FDCWD, w->dir, &err) < 0)
		fprintf(stderr, "left behind: %s\n", err.text);
}

/* ---- one run ---- */

struct talk {
	char text[65536]; /* the beginning of what was said */
	size_t len;
	size_t total;
	atomic_int cancel;
};

static void listen_to(void *arg, const void *data, size_t len)
{
	struct talk *t = arg;
	size_t n = len < sizeof(t->text) - 1 - t->len ? len : sizeof(t->text) - 1 - t->len;

	memcpy(t->text + t->len, data, n);
	t->len += n;
	t->text[t->len] = 0;
	t->total += len;
}

static bool is_cancelled(void *arg)
{
	return atomic_load(&((struct talk *)arg)->cancel);
}

static const char *next_id(void)
{
	static atomic_int n;
	static _Thread_local char id[32];

	snprintf(id, sizeof(id), "t%d", atomic_fetch_add(&n, 1));
	return id;
}

/* Fill in what a test did not say and run. */
static int run(struct world *w, struct pfs_run *r, const char *line, struct talk *t,
	       struct pfs_run_result *out, struct pfs_error *err)
{
	const char *argv[] = { "sh", "-c", line, NULL };

	if (!r->id)
		r->id = next_id();
	if (!r->image)
		r->image = IMAGE;
	if (line)
		r->argv = argv;
	r->output = listen_to;
	r->cancelled = is_cancelled;
	r->arg = t;
	t->len = t->total = 0;
	t->text[0] = 0;
	return pfs_runtime_run(w->rt, r, out, err);
}

/* The exit status of a line, with what it said. */
static int status_of(struct world *w, const char *line, struct talk *t)
{
	struct pfs_run r = { 0 };
	struct pfs_run_result result = { .exit_status = -1 };
	struct pfs_error err = { 0 };
	int rc = run(w, &r, line, t, &result, &err);

	EXPECT(rc == 0, "%s: %s", line, err.text);
	return result.exit_status;
}

/* What containerd still has, as its own tool sees it. */
static void expect_nothing_left(struct world *w, const char *after)
{
	static const char *const lists[] = { "containers ls -q", "tasks ls -q", "leases ls -q",
					     "snapshots ls | grep -E ' Active' || true" };
	char command[512], line[256];

	for (size_t i = 0; i < sizeof(lists) / sizeof(*lists); i++) {
		FILE *p;

		snprintf(command, sizeof(command), "ctr -a %s -n pfs %s 2>&1", w->socket, lists[i]);
		p = popen(command, "r");
		EXPECT(p && !fgets(line, sizeof(line), p), "%s: %s is left after %s", lists[i],
		       line, after);
		if (p)
			pclose(p);
	}
}

/* ---- claims ---- */

static void brings_an_image_in_and_knows_it_by_its_short_name(struct world *w)
{
	char name[256] = "", digest[PFS_IMAGE_DIGEST_SIZE] = "", again[PFS_IMAGE_DIGEST_SIZE] = "";
	struct pfs_error err = { 0 };

	EXPECT(pfs_runtime_import(w->rt, w->archive, NULL, name, sizeof(name), &err) == 0, "%s",
	       err.text);
	EXPECT(strcmp(name, "docker.io/library/busybox:latest") == 0, "%s", name);
	EXPECT(pfs_runtime_resolve(w->rt, "busybox", digest, &err) == 0, "%s", err.text);
	EXPECT(pfs_runtime_import(w->rt, w->archive, "other:1", NULL, 0, &err) == 0, "%s",
	       err.text);
	EXPECT(pfs_runtime_resolve(w->rt, "docker.io/library/other:1", again, &err) == 0, "%s",
	       err.text);
	EXPECT(strncmp(digest, "sha256:", 7) == 0 && strcmp(digest, again) == 0, "%s, %s", digest,
	       again);
	expect_nothing_left(w, "an import");
}

static void refuses_a_damaged_archive_and_leaves_nothing(struct world *w)
{
	char path[192], command[1024];
	struct pfs_error err = { 0 };
	int rc;

	snprintf(path, sizeof(path), "%s/bad.tar", w->dir);
	/* One byte in the middle of the layer: only its digest can tell. */
	snprintf(command, sizeof(command),
		 "cp %s %s && printf X | dd of=%s bs=1 seek=500000 conv=notrunc 2>/dev/null",
		 w->archive, path, path);
	EXPECT(system(command) == 0, "%s", command);
	/* Known blobs are not read again, so the good ones must go first. */
	snprintf(command, sizeof(command),
		 "ctr -a %s -n pfs images rm --sync $(ctr -a %s -n pfs images ls -q) >/dev/null",
		 w->socket, w->socket);
	EXPECT(system(command) == 0, "%s", command);
	rc = pfs_runtime_import(w->rt, path, NULL, NULL, 0, &err);
	EXPECT(rc == PFS_E_CORRUPT && strstr(err.text, "digest"), "%d %s", rc, err.text);
	rc = pfs_runtime_resolve(w->rt, "busybox", (char[PFS_IMAGE_DIGEST_SIZE]){ 0 }, NULL);
	EXPECT(rc == PFS_E_NOTFOUND, "%d", rc);
	expect_nothing_left(w, "a refused import");
	rc = pfs_runtime_import(w->rt, w->archive, NULL, NULL, 0, &err);
	EXPECT(rc == 0, "%s", err.text);
}

static void says_how_to_bring_a_missing_image_in(struct world *w)
{
	struct pfs_run r = { .image = "nosuch" };
	struct pfs_run_result result;
	struct pfs_error err = { 0 };
	struct talk t = { 0 };
	int rc = run(w, &r, "true", &t, &result, &err);

	EXPECT(rc == PFS_E_NOTFOUND, "%d", rc);
	EXPECT(strstr(err.text, "\"nosuch\" (docker.io/library/nosuch:latest)"), "%s", err.text);
	EXPECT(strstr(err.text, "import FILE"), "%s", err.text);
}

static void tells_the_exit_status(struct world *w)
{
	static const struct {
		const char *line;
		int want;
	} rows[] = {
		{ "true", 0 },
		{ "false", 1 },
		{ "exit 3", 3 },
		{ "no-such-program", 127 },
		{ "sh -c 'kill -9 $$'; exit $?", 137 },
	};
	struct talk t = { 0 };

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		int got = status_of(w, rows[i].line, &t);

		EXPECT(got == rows[i].want, "%s: %d", rows[i].line, got);
	}
	expect_nothing_left(w, "five runs");
}

static void hands_on_ten_megabytes_and_both_streams(struct world *w)
{
	struct talk t = { 0 };

	EXPECT(status_of(w, "dd if=/dev/zero bs=1024 count=10240 2>/dev/null", &t) == 0, "dd");
	EXPECT(t.total == 10240 * 1024, "%zu bytes", t.total);
	EXPECT(status_of(w, "echo out; echo err >&2", &t) == 0, "echo");
	EXPECT(strstr(t.text, "out\n") && strstr(t.text, "err\n"), "%s", t.text);
	EXPECT(status_of(w, "exec >/dev/null 2>&1 </dev/null; sleep 0.3; exit 4", &t) == 4,
	       "a command that closed its output");
}

static void gives_the_images_environment_and_ours_wins(struct world *w)
{
	static const char *const env[] = { "PATH=/bin:/mine", "GREETING=hello world", NULL };
	struct pfs_run r = { .env = env, .cwd = "/tmp" };
	struct pfs_run_result result = { .exit_status = -1 };
	struct pfs_error err = { 0 };
	struct talk t = { 0 };

	EXPECT(run(w, &r, "echo $PATH; echo $GREETING; echo $HOME; pwd", &t, &result, &err) == 0,
	       "%s", err.text);
	EXPECT(strcmp(t.text, "/bin:/mine\nhello world\n/root\n/tmp\n") == 0, "%s", t.text);
	EXPECT(status_of(w, "echo $PATH", &t) == 0 && strncmp(t.text, "/usr/local/sbin:", 16) == 0,
	       "%s", t.text);
}

static void a_read_only_mount_refuses_writes_and_a_writable_one_takes_them(struct world *w)
{
	char in[192], out[192], file[256];
	const struct pfs_run_mount mounts[] = { { in, "/in/text", true }, { out, "/out", false } };
	struct pfs_run r = { .mounts = mounts, .n_mounts = 2 };
	struct pfs_run_result result = { .exit_status = -1 };
	struct pfs_error err = { 0 };
	struct talk t = { 0 };

	snprintf(in, sizeof(in), "%s/in", w->dir);
	snprintf(out, sizeof(out), "%s/out", w->dir);
	mkdir(in, 0755);
	mkdir(out, 0755);
	snprintf(file, sizeof(file), "%s/a", in);
	write_text(file, "words\n");
	EXPECT(run(w, &r,
		   "cp /in/text/a /out/b || exit 1; echo x 2>/dev/null >/in/text/a && exit 2;"
		   " touch /in/text/new 2>/dev/null && exit 3; rm /in/text/a 2>/dev/null && exit "
		   "4; exit 0",
		   &t, &result, &err) == 0,
	       "%s", err.text);
	EXPECT(result.exit_status == 0, "%d %s", result.exit_status, t.text);
	snprintf(file, sizeof(file), "%s/b", out);
	EXPECT(access(file, F_OK) == 0, "%s", file);
}

static void a_mount_source_that_is_gone_is_no_fault_of_the_command(struct world *w)
{
	const struct pfs_run_mount mount = { "/nowhere/at/all", "/in", true };
	struct pfs_run r = { .mounts = &mount, .n_mounts = 1 };
	struct pfs_run_result result;
	struct pfs_error err = { 0 };
	struct talk t = { 0 };
	int rc = run(w, &r, "true", &t, &result, &err);

	EXPECT(rc == PFS_E_IO && strstr(err.text, "/nowhere/at/all"), "%d %s", rc, err.text);
}

static void kills_what_takes_too_long(struct world *w)
{
	struct pfs_run r = { .timeout_ms = 300 };
	struct pfs_run polite = { .timeout_ms = 300 };
	struct pfs_run_result result = { 0 };
	struct pfs_error err = { 0 };
	struct talk t = { 0 };

	EXPECT(run(w, &r, "sleep 60; true", &t, &result, &err) == 0, "%s", err.text);
	EXPECT(result.timed_out && result.exit_status == 137, "%d", result.exit_status);
	EXPECT(result.total_ms < 15000, "%lld ms", (long long)result.total_ms);
	EXPECT(run(w, &polite, "trap 'exit 7' TERM; while :; do sleep 0.05; done", &t, &result,
		   &err) == 0,
	       "%s", err.text);
	EXPECT(result.timed_out && result.exit_status == 7, "%d", result.exit_status);
}

static void *cancel_soon(void *arg)
{
	struct timespec pause = { .tv_nsec = 400 * 1000000L };

	nanosleep(&pause, NULL);
	atomic_store(&((struct talk *)arg)->cancel, 1);
	return NULL;
}

static void kills_what_is_cancelled(struct world *w)
{
	struct pfs_run r = { 0 };
	struct pfs_run_result result = { 0 };
	struct pfs_error err = { 0 };
	struct talk t = { 0 };
	pthread_t thread;

	pthread_create(&thread, NULL, cancel_soon, &t);
	EXPECT(run(w, &r, "while :; do echo x; done", &t, &result, &err) == 0, "%s", err.text);
	pthread_join(thread, NULL);
	EXPECT(result.cancelled && !result.timed_out && result.exit_status == 137, "%d",
	       result.exit_status);
	expect_nothing_left(w, "a cancelled run");
}

static void names_a_command_that_cannot_be_started(struct world *w)
{
	const char *argv[] = { "/no/such/program", NULL };
	struct pfs_run r = { .argv = argv };
	struct pfs_run_result result;
	struct pfs_error err = { 0 };
	struct talk t = { 0 };
	int rc = run(w, &r, NULL, &t, &result, &err);

	EXPECT(rc == PFS_E_FAILED && strstr(err.text, "/no/such/program"), "%d %s", rc, err.text);
	expect_nothing_left(w, "a bad command");
}

static void refuses_ids_and_mounts_that_make_no_sense(struct world *w)
{
	static const char *const ids[] = { "",
					   "a b",
					   "../x",
					   "a..b",
					   "-a",
					   "a-",
					   "0123456789012345678901234567890123456789"
					   "0123456789012345678901234567890123456789" };
	const struct pfs_run_mount mount = { "/tmp", "/in/../etc", true };
	struct pfs_run r = { .mounts = &mount, .n_mounts = 1 };
	struct pfs_run_result result;
	struct talk t = { 0 };

	for (size_t i = 0; i < sizeof(ids) / sizeof(*ids); i++) {
		struct pfs_run bad = { .id = ids[i] };

		EXPECT(run(w, &bad, "true", &t, &result, NULL) == PFS_E_INVALID, "%s", ids[i]);
	}
	EXPECT(run(w, &r, "true", &t, &result, NULL) == PFS_E_INVALID, "target with ..");
	expect_nothing_left(w, "refused runs");
}

static uint64_t mask_in(const char *text, const char *key)
{
	const char *p = strstr(text, key);

	return p ? strtoull(p + strlen(key), NULL, 16) : UINT64_MAX;
}

static void walls_the_command_in(struct world *w)
{
	/* chown dac_override fowner fsetid kill setgid setuid setpcap net_bind_service setfcap */
	const uint64_t want = 1 << 0 | 1 << 1 | 1 << 3 | 1 << 4 | 1 << 5 | 1 << 6 | 1 << 7 |
			      1 << 8 | 1 << 10 | 1u << 31;
	static const char *const refused[] = {
		"mount -t tmpfs x /tmp",
		"unshare -m true",
		"hostname x",
		"mknod /tmp/d b 8 0",
		"ping -c1 127.0.0.1",
		"chroot / true",
		"dmesg",
		"nsenter -t 1 -m true",
		"echo 1 >/proc/sys/kernel/panic",
		"cat /proc/kcore | head -c1 | grep .",
		"ifconfig lo down",
	};
	char line[256];
	struct talk t = { 0 };

	EXPECT(status_of(w, "cat /proc/self/status; echo limit $(ulimit -n); ls /sys/class/net",
			 &t) == 0,
	       "status");
	EXPECT(mask_in(t.text, "CapEff:\t") == want, "%s", t.text);
	EXPECT(mask_in(t.text, "CapBnd:\t") == want, "%s", t.text);
	EXPECT(mask_in(t.text, "CapInh:\t") == 0 && mask_in(t.text, "CapAmb:\t") == 0, "%s",
	       t.text);
	EXPECT(strstr(t.text, "NoNewPrivs:\t1") && strstr(t.text, "Seccomp:\t2"), "%s", t.text);
	EXPECT(strstr(t.text, "\nlo\n") && !strstr(t.text, "eth"), "%s", t.text);
	for (size_t i = 0; i < sizeof(refused) / sizeof(*refused); i++) {
		snprintf(line, sizeof(line), "(%s) 2>/dev/null >/dev/null && exit 1; exit 0",
			 refused[i]);
		EXPECT(status_of(w, line, &t) == 0, "%s was allowed", refused[i]);
	}
}

static void tells_when_memory_ran_out(struct world *w)
{
	struct pfs_run r = { .memory_limit = 16 << 20 };
	struct pfs_run_result result = { 0 };
	struct pfs_error err = { 0 };
	struct talk t = { 0 };

	EXPECT(run(w, &r, "tail /dev/zero", &t, &result, &err) == 0, "%s", err.text);
	EXPECT(result.out_of_memory && result.exit_status == 137, "%d", result.exit_status);
	EXPECT(status_of(w, "true", &t) == 0, "the next one");
}

struct background {
	struct world *w;
	const char *line;
	struct pfs_run run;
	struct pfs_run_result result;
	struct pfs_error err;
	struct talk talk;
	int rc;
};

static void *run_background(void *arg)
{
	struct background *b = arg;

	b->rc = run(b->w, &b->run, b->line, &b->talk, &b->result, &b->err);
	return NULL;
}

/* As containerd's own tool sees it, however long a busy machine takes to start it. */
static void wait_until_running(const struct world *w, const char *id)
{
	char command[512];

	snprintf(command, sizeof(command),
		 "end=$(($(date +%%s) + 30)); while [ $(date +%%s) -lt $end ]; do ctr -a %s -n pfs "
		 "tasks ls | grep -q '^%s .*RUNNING' && "
		 "exit 0; sleep 0.1; done; exit 1",
		 w->socket, id);
	EXPECT(system(command) == 0, "%s does not run", id);
}

static pthread_t start_in_background(struct background *b, struct world *w, const char *id,
				     const char *line)
{
	pthread_t thread;

	b->w = w;
	b->run.id = id;
	b->line = line;
	pthread_create(&thread, NULL, run_background, b);
	wait_until_running(w, id);
	return thread;
}

static void does_not_notice_that_containerd_was_killed(struct world *w)
{
	struct timespec second = { .tv_sec = 1 };
	struct background *b = calloc(1, sizeof(*b));
	pthread_t thread = start_in_background(b, w, "survivor", "sleep 8; echo survived; exit 5");

	stop_containerd(w, SIGKILL);
	nanosleep(&second, NULL);
	start_containerd(w);
	pthread_join(thread, NULL);
	EXPECT(b->rc == 0 && b->result.exit_status == 5, "%d %s: status %d", b->rc, b->err.text,
	       b->result.exit_status);
	EXPECT(strcmp(b->talk.text, "survived\n") == 0, "%s", b->talk.text);
	free(b);
	expect_nothing_left(w, "a restart");
}

static void an_absent_containerd_is_an_io_error(struct world *w)
{
	struct pfs_run r = { 0 };
	struct pfs_run_result result;
	struct pfs_error err = { 0 };
	struct pfs_runtime *rt = NULL;
	struct talk t = { 0 };
	int rc;

	stop_containerd(w, SIGTERM);
	rc = run(w, &r, "true", &t, &result, &err);
	EXPECT(rc == PFS_E_IO && strstr(err.text, w->socket), "%d %s", rc, err.text);
	rc = pfs_runtime_open(w->socket, OWNER, w->state, &rt, &err);
	EXPECT(rc == PFS_E_IO && !rt, "%d", rc);
	start_containerd(w);
	EXPECT(open_runtime(w, OWNER, &rt) == 0, "again");
	pfs_runtime_close(&rt);
	EXPECT(status_of(w, "exit 6", &t) == 6, "the same object after the restart");
}

/* A runner that dies while its container runs. */
static void die_while_running(struct world *w, const char *id)
{
	pid_t child = fork();

	if (child == 0) {
		struct world own = *w;
		struct pfs_run r = { .id = id };
		struct pfs_run_result result;
		struct talk t = { 0 };

		if (open_runtime(&own, OWNER, &own.rt) == 0)
			run(&own, &r, "sleep 1000", &t, &result, NULL);
		_exit(1);
	}
	wait_until_running(w, id);
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
	wait_until_running(w, id); /* it outlives its runner */
}

static void sweeps_what_a_dead_runner_left_and_spares_the_living(struct world *w)
{
	struct background *b = calloc(1, sizeof(*b));
	struct pfs_error err = { 0 };
	pthread_t thread;

	die_while_running(w, "orphan");
	thread = start_in_background(b, w, "living", "sleep 8; exit 8");
	EXPECT(pfs_runtime_sweep(w->rt, &err) == 0, "%s", err.text);
	pthread_join(thread, NULL);
	EXPECT(b->rc == 0 && b->result.exit_status == 8, "%d %s: status %d", b->rc, b->err.text,
	       b->result.exit_status);
	free(b);
	expect_nothing_left(w, "a sweep");
}

static void takes_over_an_id_that_a_dead_runner_left(struct world *w)
{
	struct pfs_run r = { .id = "again" };
	struct pfs_run_result result = { 0 };
	struct pfs_error err = { 0 };
	struct talk t = { 0 };

	die_while_running(w, "again");
	EXPECT(run(w, &r, "exit 9", &t, &result, &err) == 0, "%s", err.text);
	EXPECT(result.exit_status == 9, "%d", result.exit_status);
	expect_nothing_left(w, "a second life");
}

static void does_not_touch_what_somebody_else_owns(struct world *w)
{
	struct world other = *w;
	struct background *b = calloc(1, sizeof(*b));
	struct pfs_run r = { .id = "theirs" };
	struct pfs_run_result result;
	struct pfs_error err = { 0 };
	struct talk t = { 0 };
	pthread_t thread;
	int rc;

	snprintf(other.state, sizeof(other.state), "%s/stranger", w->dir);
	EXPECT(open_runtime(&other, "stranger", &other.rt) == 0, "open");
	thread = start_in_background(b, &other, "theirs", "sleep 8; exit 2");
	EXPECT(pfs_runtime_sweep(w->rt, &err) == 0, "%s", err.text);
	rc = run(w, &r, "true", &t, &result, &err);
	EXPECT(rc == PFS_E_EXISTS, "%d %s", rc, err.text);
	pthread_join(thread, NULL);
	EXPECT(b->rc == 0 && b->result.exit_status == 2, "%d %s", b->rc, b->err.text);
	free(b);
	pfs_runtime_close(&other.rt);
}

static void runs_many_at_once(struct world *w)
{
	enum { N = 8 };
	struct background *b = calloc(N, sizeof(*b));
	char lines[N][64];
	pthread_t threads[N];

	for (int i = 0; i < N; i++) {
		snprintf(lines[i], sizeof(lines[i]), "echo number %d; exit %d", i, i);
		b[i].w = w;
		b[i].line = lines[i];
		pthread_create(&threads[i], NULL, run_background, &b[i]);
	}
	for (int i = 0; i < N; i++) {
		char want[64];

		pthread_join(threads[i], NULL);
		snprintf(want, sizeof(want), "number %d\n", i);
		EXPECT(b[i].rc == 0 && b[i].result.exit_status == i &&
			       strcmp(b[i].talk.text, want) == 0,
		       "%d: %d %s, status %d, said %s", i, b[i].rc, b[i].err.text,
		       b[i].result.exit_status, b[i].talk.text);
	}
	free(b);
	expect_nothing_left(w, "many at once");
}

/* ---- figures, for whoever asks ---- */

static int by_value(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return x < y ? -1 : x > y;
}

static void measure(struct world *w)
{
	enum { N = 20 };
	int64_t total[N], start[N], ctr[N];
	char command[256];

	for (int i = 0; i < N; i++) {
		struct pfs_run r = { 0 };
		struct pfs_run_result result = { 0 };
		struct talk t = { 0 };
		int64_t began;

		EXPECT(run(w, &r, "true", &t, &result, NULL) == 0, "run");
		total[i] = result.total_ms;
		start[i] = result.start_ms;
		snprintf(command, sizeof(command),
			 "ctr -a %s -n pfs run --rm docker.io/library/busybox:latest m%d true",
			 w->socket, i);
		began = pfs_clock_monotonic_ms();
		EXPECT(system(command) == 0, "%s", command);
		ctr[i] = pfs_clock_monotonic_ms() - began;
	}
	qsort(total, N, sizeof(*total), by_value);
	qsort(start, N, sizeof(*start), by_value);
	qsort(ctr, N, sizeof(*ctr), by_value);
	printf("pfs_runtime_run of true: total %lld ms, start %lld ms; ctr run --rm: %lld ms "
	       "(medians of %d)\n",
	       (long long)total[N / 2], (long long)start[N / 2], (long long)ctr[N / 2], N);
}

static const struct {
	const char *name;
	void (*claim)(struct world *w);
} claims[] = {
#define CLAIM(f)      \
	{             \
#f, f \
	}
	CLAIM(brings_an_image_in_and_knows_it_by_its_short_name),
	CLAIM(refuses_a_damaged_archive_and_leaves_nothing),
	CLAIM(says_how_to_bring_a_missing_image_in),
	CLAIM(tells_the_exit_status),
	CLAIM(hands_on_ten_megabytes_and_both_streams),
	CLAIM(gives_the_images_environment_and_ours_wins),
	CLAIM(a_read_only_mount_refuses_writes_and_a_writable_one_takes_them),
	CLAIM(a_mount_source_that_is_gone_is_no_fault_of_the_command),
	CLAIM(kills_what_takes_too_long),
	CLAIM(kills_what_is_cancelled),
	CLAIM(names_a_command_that_cannot_be_started),
	CLAIM(refuses_ids_and_mounts_that_make_no_sense),
	CLAIM(walls_the_command_in),
	CLAIM(tells_when_memory_ran_out),
	CLAIM(does_not_notice_that_containerd_was_killed),
	CLAIM(an_absent_containerd_is_an_io_error),
	CLAIM(sweeps_what_a_dead_runner_left_and_spares_the_living),
	CLAIM(takes_over_an_id_that_a_dead_runner_left),
	CLAIM(does_not_touch_what_somebody_else_owns),
	CLAIM(runs_many_at_once),
};

int main(int argc, char **argv)
{
	struct world w = { 0 };

	setvbuf(stdout, NULL, _IOLBF, 0);
	world_open(&w);
	printf("containerd %s\n", pfs_runtime_version(w.rt));
	for (size_t i = 0; i < sizeof(claims) / sizeof(*claims); i++) {
		int before = failures;
		int64_t began = pfs_clock_monotonic_ms();

		if (argc > 1 && i > 0 && !strstr(claims[i].name, argv[1]))
			continue;
		claims[i].claim(&w);
		printf("%s %s (%lld ms)\n", failures == before ? "ok" : "NOT OK", claims[i].name,
		       (long long)(pfs_clock_monotonic_ms() - began));
	}
	if (argc > 1 && strcmp(argv[1], "measure") == 0)
		measure(&w);
	world_close(&w);
	return failures ? 1 : 0;
}
