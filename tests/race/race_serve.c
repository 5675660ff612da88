/*
 * The threads of a mount, without a mount: the kernel is a socket that we write
 * requests to. Whatever takes its time, nobody else waits for it; each request
 * is answered once; after a stop the rest is still there for who comes next.
 */
#include "fuse/serve.h"

#include <errno.h>
#include <linux/fuse.h>
#include <poll.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define N_THREADS 4u
#define N_MANY    4000u
#define ANSWER_MS 20000

#define MUST(what)                                                                 \
	do {                                                                       \
		if (!(what)) {                                                     \
			fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #what); \
			exit(1);                                                   \
		}                                                                  \
	} while (0)

static sem_t gate;
static _Atomic unsigned n_inside;

struct world {
	int kernel; /* our end */
	struct fuse_session *se;
	struct pfs_serve *serve;
	pthread_t runner;
	uint64_t next;
	unsigned char answered[N_MANY + 16];
};

/* ---- the file system: names say what a look-up does ---- */

static void op_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	(void)parent;
	n_inside++;
	if (strcmp(name, "gate") == 0)
		sem_wait(&gate);
	else if (strcmp(name, "nap") == 0)
		usleep(3000);
	n_inside--;
	fuse_reply_err(req, ENOENT);
}

static void op_fsync(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi)
{
	(void)ino;
	(void)datasync;
	(void)fi;
	usleep(200);
	fuse_reply_err(req, 0);
}

static const struct fuse_lowlevel_ops ops = { .lookup = op_lookup, .fsync = op_fsync };

/* ---- the kernel ---- */

static void ask(struct world *w, uint32_t opcode, const void *args, size_t len)
{
	unsigned char packet[512] = { 0 };
	struct fuse_in_header in = { .len = (uint32_t)(sizeof(in) + len),
				     .opcode = opcode,
				     .unique = ++w->next,
				     .nodeid = 1 };

	memcpy(packet, &in, sizeof(in));
	memcpy(packet + sizeof(in), args, len);
	MUST(send(w->kernel, packet, in.len, 0) == (ssize_t)in.len);
}

static void look_up(struct world *w, const char *name)
{
	ask(w, FUSE_LOOKUP, name, strlen(name) + 1);
}

static void sync_file(struct world *w)
{
	const struct fuse_fsync_in args = { .fh = 0 };

	ask(w, FUSE_FSYNC, &args, sizeof(args));
}

/* The number of the next request that is answered; 0: none within that time. */
static uint64_t hear(struct world *w, int timeout_ms)
{
	struct pollfd p = { .fd = w->kernel, .events = POLLIN };
	struct fuse_out_header out;
	unsigned char packet[4096];

	if (poll(&p, 1, timeout_ms) <= 0)
		return 0;
	MUST(recv(w->kernel, packet, sizeof(packet), 0) >= (ssize_t)sizeof(out));
	memcpy(&out, packet, sizeof(out));
	MUST(out.unique > 0 && out.unique <= w->next);
	MUST(!w->answered[out.unique]);
	w->answered[out.unique] = 1;
	return out.unique;
}

static void *run(void *arg)
{
	struct world *w = arg;

	pfs_serve_run(w->serve);
	return NULL;
}

/* As a mount does before its threads begin. */
static void say_hello(struct world *w)
{
	const struct fuse_init_in hello = { .major = 7, .minor = 31, .max_readahead = 131072 };
	struct fuse_buf buf = { 0 };

	ask(w, FUSE_INIT, &hello, sizeof(hello));
	MUST(fuse_session_receive_buf(w->se, &buf) > 0);
	fuse_session_process_buf(w->se, &buf);
	free(buf.mem);
	MUST(hear(w, ANSWER_MS) == 1);
}

static void begin(struct world *w)
{
	struct fuse_args args = FUSE_ARGS_INIT(0, NULL);
	struct pfs_error err;
	int ends[2], size = 1 << 20;
	char path[32];

	memset(w, 0, sizeof(*w));
	MUST(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends) == 0);
	setsockopt(ends[0], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	w->kernel = ends[0];
	MUST(fuse_opt_add_arg(&args, "race_serve") == 0);
	w->se = fuse_session_new(&args, &ops, sizeof(ops), w);
	fuse_opt_free_args(&args);
	MUST(w->se != NULL);
	snprintf(path, sizeof(path), "/dev/fd/%d", ends[1]);
	MUST(fuse_session_mount(w->se, path) == 0);
	MUST(pfs_serve_new(w->se, N_THREADS, &w->serve, &err) == 0);
	say_hello(w);
	MUST(pthread_create(&w->runner, NULL, run, w) == 0);
}

static void wait_for_end(struct world *w)
{
	MUST(pthread_join(w->runner, NULL) == 0);
	pfs_serve_free(&w->serve);
	fuse_session_destroy(w->se);
	if (w->kernel >= 0)
		close(w->kernel);
}

static void end(struct world *w)
{
	pfs_serve_stop(w->serve);
	wait_for_end(w);
}

static void wait_inside(unsigned n)
{
	for (unsigned ms = 0; n_inside != n; ms++) {
		MUST(ms < ANSWER_MS);
		usleep(1000);
	}
}

/* ---- what is promised ---- */

/* All threads but one are kept; what comes then does not wait for them. */
static void who_takes_long_keeps_nobody(void)
{
	struct world w;
	unsigned held = N_THREADS - 1;

	begin(&w);
	for (unsigned i = 0; i < held; i++) {
		look_up(&w, "gate");
		wait_inside(i + 1);
		look_up(&w, "other");
		MUST(hear(&w, ANSWER_MS) == w.next);
	}
	for (unsigned i = 0; i < held; i++)
		sem_post(&gate);
	for (unsigned i = 0; i < held; i++)
		MUST(hear(&w, ANSWER_MS) != 0);
	end(&w);
}

/* When all are kept, the first that is free goes on. */
static void who_is_free_goes_on(void)
{
	struct world w;
	unsigned n = N_THREADS + 3;

	begin(&w);
	for (unsigned i = 0; i < n; i++)
		look_up(&w, "gate");
	wait_inside(N_THREADS);
	MUST(hear(&w, 20) == 0);
	for (unsigned i = 0; i < n; i++)
		sem_post(&gate);
	for (unsigned i = 0; i < n; i++)
		MUST(hear(&w, ANSWER_MS) != 0);
	MUST(n_inside == 0);
	end(&w);
}

/* Short ones, long ones and naps, in bursts and one by one. */
static void ask_something(struct world *w, unsigned i)
{
	if (i % 7 == 0)
		sync_file(w);
	else
		look_up(w, i % 301 == 5 ? "nap" : "short");
}

static void each_is_answered_once(void)
{
	struct world w;
	unsigned waiting = 0;

	begin(&w);
	for (unsigned i = 0; i < N_MANY; i++) {
		unsigned burst = 1 + i / 64 % 8;

		ask_something(&w, i);
		for (waiting++; waiting >= burst; waiting--)
			MUST(hear(&w, ANSWER_MS) != 0);
	}
	for (; waiting > 0; waiting--)
		MUST(hear(&w, ANSWER_MS) != 0);
	MUST(hear(&w, 5) == 0);
	end(&w);
}

/* Read but not answered by anybody: how many requests are left on the device. */
static unsigned count_left(struct world *w)
{
	unsigned char packet[512];
	unsigned n = 0;

	while (recv(fuse_session_fd(w->se), packet, sizeof(packet), MSG_DONTWAIT) > 0)
		n++;
	return n;
}

static void a_stop_loses_nothing(void)
{
	for (unsigned round = 0; round < 50; round++) {
		struct world w;
		unsigned n = 40, answered = 0;

		begin(&w);
		for (unsigned i = 0; i < n; i++)
			ask_something(&w, i + round);
		usleep(round * 37 % 700);
		pfs_serve_stop(w.serve);
		MUST(pthread_join(w.runner, NULL) == 0);
		while (hear(&w, 0))
			answered++;
		MUST(answered + count_left(&w) == n);
		pfs_serve_free(&w.serve);
		fuse_session_destroy(w.se);
		close(w.kernel);
	}
}

static void without_a_kernel_it_ends(void)
{
	struct world w;

	begin(&w);
	look_up(&w, "short");
	MUST(hear(&w, ANSWER_MS) != 0);
	close(w.kernel);
	w.kernel = -1;
	wait_for_end(&w);
}

int main(void)
{
	sem_init(&gate, 0, 0);
	who_takes_long_keeps_nobody();
	who_is_free_goes_on();
	each_is_answered_once();
	a_stop_loses_nothing();
	without_a_kernel_it_ends();
	return 0;
}
