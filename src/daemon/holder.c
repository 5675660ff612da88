#include "daemon/holder.h"
#include "base/clock.h"
#include "base/io.h"
#include "daemon/socket.h"
#include "fuse/handover.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define GO_ON_ENV   "PFSD_GOES_ON" /* "device,state" of the process that we were */
#define FD_NAME     "pfs-mount"    /* "pfs-mount:pfs-mount": the device, then the state */
#define FIRST_FD    3
#define SOCKET_NAME "hold.sock"
#define CHECK_MS    10000
#define GIVE_MS     5000

static char program[4096];
static bool goes_on;

bool pfs_holder_goes_on(void)
{
	return goes_on;
}

static bool is_open(int fd)
{
	return fd < 0 || fcntl(fd, F_SETFD, FD_CLOEXEC) == 0;
}

static bool inherit_own(struct pfs_fuse_held *out)
{
	const char *text = getenv(GO_ON_ENV);
	int device, state;

	if (!text || sscanf(text, "%d,%d", &device, &state) != 2)
		return false;
	unsetenv(GO_ON_ENV);
	goes_on = true;
	if (is_open(device) && is_open(state))
		*out = (struct pfs_fuse_held){ device, state };
	return true;
}

/* Those of the service manager come in the order in which it got them. */
static void inherit_stored(struct pfs_fuse_held *out)
{
	const char *pid = getenv("LISTEN_PID"), *n = getenv("LISTEN_FDS");
	const char *names = getenv("LISTEN_FDNAMES");
	struct stat st;

	if (pid && n && names && atol(pid) == (long)getpid() && atoi(n) == 2 &&
	    strcmp(names, FD_NAME ":" FD_NAME) == 0 && is_open(FIRST_FD) && is_open(FIRST_FD + 1)) {
		bool swapped = fstat(FIRST_FD, &st) == 0 && S_ISREG(st.st_mode);

		*out = (struct pfs_fuse_held){ FIRST_FD + swapped, FIRST_FD + !swapped };
		/* They are ours now: when we are killed nobody is to go on with what we left. */
		pfs_socket_notify("FDSTOREREMOVE=1\nFDNAME=" FD_NAME);
	}
	unsetenv("LISTEN_PID");
	unsetenv("LISTEN_FDS");
	unsetenv("LISTEN_FDNAMES");
}

void pfs_holder_inherit(struct pfs_fuse_held *out)
{
	*out = (struct pfs_fuse_held)PFS_FUSE_HELD_NONE;
	if (!inherit_own(out))
		inherit_stored(out);
}

/* ---- a process that holds ---- */

/* By the folder's descriptor, since a path in an address is short. */
static int address_in(int dir, struct sockaddr_un *out)
{
	*out = (struct sockaddr_un){ .sun_family = AF_UNIX };
	return snprintf(out->sun_path, sizeof(out->sun_path), "/proc/self/fd/%d/" SOCKET_NAME, dir);
}

static bool is_mine(int conn)
{
	struct ucred who;
	socklen_t len = sizeof(who);

	return getsockopt(conn, SOL_SOCKET, SO_PEERCRED, &who, &len) == 0 &&
	       (who.uid == geteuid() || who.uid == 0);
}

/* One byte, and both descriptors. */
static bool give(int conn, const struct pfs_fuse_held *held)
{
	union {
		struct cmsghdr head;
		char room[CMSG_SPACE(2 * sizeof(int))];
	} control = { 0 };
	char data = 'h';
	struct iovec byte = { &data, 1 };
	struct msghdr m = { .msg_iov = &byte,
			    .msg_iovlen = 1,
			    .msg_control = control.room,
			    .msg_controllen = sizeof(control.room) };
	const int fds[2] = { held->device, held->state };

	control.head.cmsg_level = SOL_SOCKET;
	control.head.cmsg_type = SCM_RIGHTS;
	control.head.cmsg_len = CMSG_LEN(sizeof(fds));
	memcpy(CMSG_DATA(&control.head), fds, sizeof(fds));
	return sendmsg(conn, &m, MSG_NOSIGNAL) == 1;
}

static bool receive(int conn, struct pfs_fuse_held *out)
{
	union {
		struct cmsghdr head;
		char room[CMSG_SPACE(2 * sizeof(int))];
	} control = { 0 };
	char data;
	struct iovec byte = { &data, 1 };
	struct msghdr m = { .msg_iov = &byte,
			    .msg_iovlen = 1,
			    .msg_control = control.room,
			    .msg_controllen = sizeof(control.room) };
	int fds[2];

	if (recvmsg(conn, &m, MSG_CMSG_CLOEXEC) != 1 || !CMSG_FIRSTHDR(&m) ||
	    control.head.cmsg_type != SCM_RIGHTS || control.head.cmsg_len != CMSG_LEN(sizeof(fds)))
		return false;
	memcpy(fds, CMSG_DATA(&control.head), sizeof(fds));
	*out = (struct pfs_fuse_held){ fds[0], fds[1] };
	return true;
}

/* True when somebody has it now. */
static bool serve(int listener, const struct pfs_fuse_held *held)
{
	int conn = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	bool given = conn >= 0 && is_mine(conn) && give(conn, held);

	pfs_fd_close(&conn);
	return given;
}

/* Until it was given away (true), nobody came, or somebody took the mount away. */
static bool wait_for_next(int listener, int signals, const struct pfs_fuse_held *held,
			  int64_t until_ms)
{
	struct pollfd p[3] = { { .fd = listener, .events = POLLIN },
			       { .fd = signals, .events = POLLIN },
			       { .fd = held->device } };

	for (;;) {
		int64_t left = until_ms - pfs_clock_monotonic_ms();

		if (left <= 0)
			return false;
		if (poll(p, 3, left < INT32_MAX ? (int)left : INT32_MAX) < 0 && errno != EINTR)
			return false;
		if (p[1].revents || (p[2].revents & POLLERR))
			return false;
		if (p[0].revents && serve(listener, held))
			return true;
	}
}

/* What of our descriptors it needs moves to the front; all others are closed. */
static void close_others(int dir, int listener, const struct pfs_fuse_held *held)
{
	const int keep[] = { held->device, held->state, listener, dir };
	int null = open("/dev/null", O_RDWR), high[4];

	for (int i = 0; i < 4; i++)
		high[i] = fcntl(keep[i], F_DUPFD, 16);
	for (int i = 0; i < 3; i++)
		dup2(null, i);
	for (int i = 0; i < 4; i++)
		dup3(high[i], FIRST_FD + i, O_CLOEXEC);
	close_range(FIRST_FD + 4, ~0U, 0);
}

static ino_t number_of_socket(int dir)
{
	struct stat st;

	return fstatat(dir, SOCKET_NAME, &st, AT_SYMLINK_NOFOLLOW) == 0 ? st.st_ino : 0;
}

static _Noreturn void hold(int dir, int listener, unsigned seconds,
			   const struct pfs_fuse_held *held)
{
	const struct pfs_fuse_held moved = { FIRST_FD, FIRST_FD + 1 };
	ino_t ours = number_of_socket(dir);
	sigset_t set;
	int signals;

	setsid();
	prctl(PR_SET_NAME, "pfsd-hold");
	close_others(dir, listener, held);
	if (chdir("/") < 0)
		_exit(1);
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigprocmask(SIG_SETMASK, &set, NULL);
	signals = signalfd(-1, &set, SFD_CLOEXEC);
	if (!wait_for_next(FIRST_FD + 2, signals, &moved,
			   pfs_clock_monotonic_ms() + (int64_t)seconds * 1000))
		pfs_fuse_leave(&moved);
	/* Whoever has it may hold it again by now, by a socket of its own: of another number, while we listen. */
	if (number_of_socket(FIRST_FD + 3) == ours)
		unlinkat(FIRST_FD + 3, SOCKET_NAME, 0);
	_exit(0);
}

static int listen_in(int dir, struct pfs_error *err)
{
	struct sockaddr_un a;
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	mode_t old;
	int rc;

	if (fd < 0)
		return pfs_fail_errno(err, errno, "a socket");
	address_in(dir, &a);
	unlinkat(dir, SOCKET_NAME, 0);
	old = umask(0177);
	rc = bind(fd, (struct sockaddr *)&a, sizeof(a));
	umask(old);
	if (rc == 0)
		rc = listen(fd, 4);
	if (rc == 0)
		return fd;
	rc = pfs_fail_errno(err, errno, "listen on " SOCKET_NAME);
	close(fd);
	return rc;
}

static int start_holder(const char *data, unsigned seconds, const struct pfs_fuse_held *held,
			struct pfs_error *err)
{
	PFS_AUTO(pfs_fd_close) int listener = -1;
	PFS_AUTO(pfs_fd_close) int dir = -1;
	pid_t pid;

	dir = pfs_io_open(AT_FDCWD, data, O_RDONLY | O_DIRECTORY, 0, err);
	if (dir < 0)
		return dir;
	listener = listen_in(dir, err);
	if (listener < 0)
		return listener;
	pid = fork();
	if (pid < 0)
		return pfs_fail_errno(err, errno, "fork");
	if (pid == 0)
		hold(dir, listener, seconds, held);
	return 0;
}

void pfs_holder_fetch(const char *data, struct pfs_fuse_held *out)
{
	const struct timeval patience = { GIVE_MS / 1000, 0 };
	PFS_AUTO(pfs_fd_close)
	int dir = pfs_io_open(AT_FDCWD, data, O_RDONLY | O_DIRECTORY, 0, NULL);
	PFS_AUTO(pfs_fd_close) int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	struct sockaddr_un a;

	if (dir < 0 || fd < 0)
		return;
	address_in(dir, &a);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	if (connect(fd, (struct sockaddr *)&a, sizeof(a)) == 0)
		receive(fd, out);
}

/* ---- the service manager ---- */

/*
 * From version 254 on systemd says how many it takes; before that, whoever sets
 * --hold in a unit sets FileDescriptorStoreMax= too.
 */
static bool has_store(void)
{
	const char *max = getenv("FDSTORE");

	return getenv("NOTIFY_SOCKET") && (!max || atoi(max) >= 2);
}

int pfs_holder_keep(const char *data, unsigned seconds, struct pfs_fuse_held *held,
		    struct pfs_error *err)
{
	int rc = 0;

	if (has_store())
		rc = pfs_socket_notify_with("FDSTORE=1\nFDNAME=" FD_NAME, &held->device, 2, err);
	else
		rc = start_holder(data, seconds, held, err);
	pfs_fuse_drop(held);
	return rc < 0 ? pfs_wrap(err, rc, "hold the mount") : 0;
}

/* ---- the next program ---- */

int pfs_holder_find_program(const char *argv0, struct pfs_error *err)
{
	ssize_t n = -1;

	/* By the name it was started by: a link may lead to a newer one tomorrow. */
	if (argv0[0] == '/')
		n = snprintf(program, sizeof(program), "%s", argv0);
	else if (!strchr(argv0, '/') || !realpath(argv0, program))
		n = readlink("/proc/self/exe", program, sizeof(program) - 1);
	else
		n = (ssize_t)strlen(program);
	if (n < 0 || (size_t)n >= sizeof(program))
		return pfs_fail_errno(err, n < 0 ? errno : ENAMETOOLONG,
				      "the path of this program");
	program[n] = '\0';
	return 0;
}

/* Exit status 0 in time. */
static int wait_for_check(pid_t pid, struct pfs_error *err)
{
	int64_t until = pfs_clock_monotonic_ms() + CHECK_MS;
	int status = 0;
	pid_t ended;

	while ((ended = waitpid(pid, &status, WNOHANG)) == 0 && pfs_clock_monotonic_ms() < until)
		usleep(2000);
	if (ended == 0) {
		kill(pid, SIGKILL);
		waitpid(pid, &status, 0);
		return pfs_fail(err, PFS_E_FAILED, "%s does not say whether it can go on", program);
	}
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return 0;
	return pfs_fail(err, PFS_E_FAILED, "%s cannot go on: it ends with %s %d", program,
			WIFSIGNALED(status) ? "signal" : "status",
			WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
}

static size_t count(char **argv)
{
	size_t n = 0;

	while (argv[n])
		n++;
	return n;
}

int pfs_holder_check_program(char **argv, struct pfs_error *err)
{
	size_t n = count(argv);
	char **more = calloc(n + 2, sizeof(*more));
	char version[64];
	posix_spawnattr_t attr;
	sigset_t none;
	pid_t pid;
	int sys;

	if (!more)
		return pfs_fail_nomem(err, "a list of arguments");
	memcpy(more, argv, n * sizeof(*more));
	snprintf(version, sizeof(version), "--check-handover=%u", PFS_HANDOVER_VERSION);
	/* Before what may end the options. */
	memmove(more + 2, more + 1, (n - 1) * sizeof(*more));
	more[1] = version;
	sigemptyset(&none);
	posix_spawnattr_init(&attr);
	posix_spawnattr_setsigmask(&attr, &none);
	posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK);
	sys = posix_spawn(&pid, program, NULL, &attr, more, environ);
	posix_spawnattr_destroy(&attr);
	free(more);
	return sys ? pfs_fail_errno(err, sys, "start %s", program) : wait_for_check(pid, err);
}

static void set_inherited(const struct pfs_fuse_held *held, bool on)
{
	int flags = on ? 0 : FD_CLOEXEC;

	if (held->device < 0)
		return;
	fcntl(held->device, F_SETFD, flags);
	fcntl(held->state, F_SETFD, flags);
}

int pfs_holder_become_program(char **argv, const struct pfs_fuse_held *held, struct pfs_error *err)
{
	char text[32];
	int sys;

	snprintf(text, sizeof(text), "%d,%d", held->device, held->state);
	if (setenv(GO_ON_ENV, text, 1) < 0)
		return pfs_fail_nomem(err, "the environment");
	set_inherited(held, true);
	execv(program, argv);
	sys = errno;
	set_inherited(held, false);
	unsetenv(GO_ON_ENV);
	return pfs_fail_errno(err, sys, "start %s", program);
}
