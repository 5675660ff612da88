#include "fuse/session.h"

#include "base/endian.h"
#include "fuse/feature.h"
#include "fuse/handover.h"
#include "fuse/mountpoint.h"
#include "fuse/notify.h"
#include "fuse/ops.h"
#include "fuse/serve.h"
#include "fuse/slow.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

/* FUSE_DEV_IOC_BACKING_CLOSE of kernels since 6.9, whose headers Debian 12 does not have. */
#define BACKING_CLOSE _IOW(229, 2, uint32_t)

static void op_init(void *userdata, struct fuse_conn_info *conn)
{
	struct pfs_mount *m = userdata;

	pfs_feature_negotiate(m, conn);
	conn->max_background = m->o.max_background;
	conn->congestion_threshold = m->o.max_background * 3 / 4;
	conn->no_interrupt = 1;
	pfs_lock(&m->lock);
	m->initialized = true;
	pthread_cond_broadcast(&m->hello);
	pfs_unlock(&m->lock);
}

/* ---- mounting ---- */

static const struct fuse_lowlevel_ops all_ops = {
	.init = op_init,
	.lookup = op_lookup,
	.forget = op_forget,
	.forget_multi = op_forget_multi,
	.getattr = op_getattr,
	.setattr = op_setattr,
	.statfs = op_statfs,
	.opendir = op_opendir,
	.readdir = op_readdir,
	.readdirplus = op_readdirplus,
	.releasedir = op_releasedir,
	.fsyncdir = op_fsyncdir,
	.mkdir = op_mkdir,
	.rmdir = op_rmdir,
	.rename = op_rename,
	.create = op_create,
	.tmpfile = op_tmpfile,
	.open = pfs_slow_open,
	.read = op_read,
	.write = op_write,
	.flush = pfs_slow_flush,
	.release = op_release,
	.fsync = op_fsync,
	.fallocate = op_fallocate,
	.lseek = op_lseek,
	.readlink = op_readlink,
	.symlink = op_symlink,
	.link = op_link,
	.unlink = op_unlink,
	.mknod = op_mknod,
	.getxattr = op_getxattr,
	.listxattr = op_listxattr,
	.setxattr = op_setxattr,
	.removexattr = op_removexattr,
	.copy_file_range = op_copy_file_range,
	/* Not here, so that the kernel asks once: access (default_permissions), locks (its own). */
};

/* A comma ends an option, unless it is escaped; so does a backslash escape. */
static int add_source(struct fuse_args *args, const char *source)
{
	char *text = malloc(2 * strlen(source) + sizeof("-ofsname=")), *at;
	int rc;

	if (!text)
		return -1;
	at = stpcpy(text, "-ofsname=");
	for (; *source; *at++ = *source++)
		if (*source == ',' || *source == '\\')
			*at++ = '\\';
	*at = '\0';
	rc = fuse_opt_add_arg(args, text);
	free(text);
	return rc;
}

static int add_options(struct pfs_mount *m, bool others, struct fuse_args *args)
{
	int rc = fuse_opt_add_arg(args, "pfs");

	if (rc == 0)
		rc = fuse_opt_add_arg(args, "-osubtype=pfs,default_permissions");
	if (rc == 0 && others)
		rc = fuse_opt_add_arg(args, "-oallow_other");
	if (rc == 0)
		rc = add_source(args, m->o.source ? m->o.source : "pfs");
	if (rc == 0 && m->o.flags && m->o.flags[0]) {
		rc = fuse_opt_add_arg(args, "-o");
		if (rc == 0)
			rc = fuse_opt_add_arg(args, m->o.flags);
	}
	if (rc == 0 && m->agreed.io_uring)
		rc = fuse_opt_add_arg(args, "-oio_uring");
	return rc;
}

/* `others`: not only who mounts may use it, as modes and owners say. */
static int make_session(struct pfs_mount *m, bool others, struct pfs_error *err)
{
	struct fuse_args args = FUSE_ARGS_INIT(0, NULL);
	struct fuse_lowlevel_ops ops = all_ops;

	if (!m->o.xattr)
		ops.getxattr = NULL, ops.listxattr = NULL, ops.setxattr = NULL,
		ops.removexattr = NULL;
	pfs_feature_want(m);
	if (add_options(m, others, &args) < 0) {
		fuse_opt_free_args(&args);
		return pfs_fail_nomem(err, "the options of the mount");
	}
	m->se = fuse_session_new(&args, &ops, sizeof(ops), m);
	fuse_opt_free_args(&args);
	if (!m->se)
		return pfs_fail(err, PFS_E_IO, "a FUSE session cannot be made");
	return 0;
}

static int mount_session(struct pfs_mount *m, bool others, struct pfs_error *err)
{
	int rc = make_session(m, others, err);

	if (rc < 0)
		return rc;
	if (fuse_session_mount(m->se, m->mountpoint) == 0)
		return 0;
	rc = errno;
	fuse_session_destroy(m->se);
	m->se = NULL;
	if (access("/dev/fuse", F_OK) < 0)
		return pfs_fail(err, PFS_E_UNSUPPORTED, "this machine has no /dev/fuse");
	if (geteuid() != 0)
		return pfs_fail(
			err, PFS_E_DENIED,
			"fusermount3 is not there, or refuses: who is not root needs it, and "
			"a folder of his own");
	return pfs_fail_errno(err, rc ? rc : EIO, "the kernel refuses");
}

int pfs_session_open(struct pfs_mount *m, struct pfs_error *err)
{
	int rc = mount_session(m, true, err);

	if (rc != PFS_E_DENIED || mount_session(m, false, err) < 0)
		return rc;
	pfs_mount_log(m, "nobody else can use it, not even root: that needs the line "
			 "user_allow_other in /etc/fuse.conf");
	return 0;
}

/* ---- taking over ---- */

/* Of struct fuse_init_in, behind the header of 40 bytes. */
#define HELLO_FLAGS2_AT 56u
#define HELLO_SIZE_MIN  60u
#define HAS_RESEND      (1u << 7) /* FUSE_HAS_RESEND, of the upper half */
#define NOTIFY_RESEND   7

bool pfs_session_can_resend(const struct pfs_mount *m)
{
	return m->hello_len >= HELLO_SIZE_MIN &&
	       (pfs_get_le32(m->hello_data + HELLO_FLAGS2_AT) & HAS_RESEND);
}

/* What the last process read and did not answer comes once more. */
static int ask_again(struct pfs_mount *m, struct pfs_error *err)
{
	const struct {
		uint32_t len;
		int32_t code;
		uint64_t unique;
	} out = { sizeof(out), NOTIFY_RESEND, 0 };

	if (write(fuse_session_fd(m->se), &out, sizeof(out)) == sizeof(out))
		return 0;
	return pfs_fail_errno(err, errno, "ask for what was not answered");
}

static int replay_hello(struct pfs_mount *m, struct pfs_error *err)
{
	struct fuse_buf buf = { .size = m->hello_len, .mem = malloc(m->hello_len) };

	if (!buf.mem)
		return pfs_fail_nomem(err, "a request");
	memcpy(buf.mem, m->hello_data, m->hello_len);
	/* The answer is for nobody: the kernel does not know the request any more. */
	fuse_session_process_buf(m->se, &buf);
	free(buf.mem);
	return m->initialized
		       ? 0
		       : pfs_fail(err, PFS_E_CORRUPT, "the kernel's first request is damaged");
}

int pfs_session_take(struct pfs_mount *m, int device, const void *hello, size_t len,
		     struct pfs_error *err)
{
	char path[32];
	int fd, rc;

	m->hello_data = malloc(len + 1);
	if (!m->hello_data)
		return pfs_fail_nomem(err, "a request");
	memcpy(m->hello_data, hello, len);
	m->hello_len = len;
	if (!pfs_session_can_resend(m))
		return pfs_fail(err, PFS_E_CORRUPT, "the kernel's first request is damaged");
	rc = make_session(m, true, err);
	if (rc < 0)
		return rc;
	fd = fcntl(device, F_DUPFD_CLOEXEC, 3);
	if (fd < 0)
		return pfs_fail_errno(err, errno, "the descriptor of the mount");
	snprintf(path, sizeof(path), "/dev/fd/%d", fd);
	if (fuse_session_mount(m->se, path) < 0) {
		close(fd);
		return pfs_fail(err, PFS_E_IO, "the descriptor of the mount is none");
	}
	rc = replay_hello(m, err);
	return rc < 0 ? rc : ask_again(m, err);
}

/* ---- serving ---- */

int pfs_session_thread(pthread_t *out, void *(*run)(void *), void *arg, struct pfs_error *err)
{
	sigset_t all, old;
	int sys;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	sys = pthread_create(out, NULL, run, arg);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return sys ? pfs_fail_errno(err, sys, "start a thread of the mount") : 0;
}

/* The kernel's first request is kept: it does not send it again when another process goes on. */
static bool hear_hello(struct pfs_mount *m)
{
	struct pollfd p = { .fd = fuse_session_fd(m->se), .events = POLLIN };
	struct fuse_buf buf = { 0 };
	int n;

	do {
		poll(&p, 1, -1);
		n = fuse_session_receive_buf(m->se, &buf);
	} while (n == -EINTR || n == -EAGAIN);
	if (n > 0 && (size_t)n <= PFS_HANDOVER_HELLO_MAX)
		m->hello_data = malloc((size_t)n);
	if (m->hello_data) {
		m->hello_len = (size_t)n;
		memcpy(m->hello_data, buf.mem, (size_t)n);
	}
	if (n > 0)
		fuse_session_process_buf(m->se, &buf);
	free(buf.mem);
	return n > 0;
}

/* What comes by io_uring is served by threads of libfuse, which only its own loop can end. */
static void run_rings(struct pfs_mount *m)
{
	struct fuse_loop_config *config = fuse_loop_cfg_create();

	if (config) {
		fuse_loop_cfg_set_clone_fd(config, 1);
		fuse_loop_cfg_set_max_threads(config, m->o.max_threads);
		/* As many as serve: starting threads costs more than keeping them. */
		fuse_loop_cfg_set_idle_threads(config, m->o.max_threads);
	}
	fuse_session_loop_mt(m->se, config);
	fuse_loop_cfg_destroy(config);
}

/*
 * Descriptors are not cloned, one for each thread, as libfuse can: what was read
 * from a clone fails when that is closed. What was read from the one that is held
 * can be asked for again.
 */
static void *run_loop(void *arg)
{
	struct pfs_mount *m = arg;
	bool heard = m->hello_len > 0 || hear_hello(m);

	if (heard && m->serve)
		pfs_serve_run(m->serve);
	else if (heard)
		run_rings(m);
	pfs_lock(&m->lock);
	m->mounted = false;
	m->ended = true;
	pthread_cond_broadcast(&m->hello);
	pfs_unlock(&m->lock);
	return NULL;
}

int pfs_session_run(struct pfs_mount *m, struct pfs_error *err)
{
	int rc = 0;
	bool ok;

	if (!m->agreed.io_uring)
		rc = pfs_serve_new(m->se, m->o.max_threads, &m->serve, err);
	if (rc == 0)
		rc = pfs_session_thread(&m->loop, run_loop, m, err);
	if (rc < 0)
		return rc;
	m->loop_runs = true;
	pfs_lock(&m->lock);
	while (!m->initialized && !m->ended)
		pfs_cond_wait(&m->hello, &m->lock, -1);
	ok = m->initialized && !m->ended;
	m->mounted = ok;
	pfs_unlock(&m->lock);
	if (!ok)
		return pfs_fail(err, PFS_E_IO, "mount %s: the kernel and we do not agree",
				m->mountpoint);
	return 0;
}

void pfs_session_describe(struct pfs_mount *m)
{
	struct stat st;

	/* The first of all requests: when it is answered, so is init. */
	if (!m->taken && stat(m->mountpoint, &st) == 0)
		m->dev = st.st_dev;
	if (m->dev && m->o.notify && !pfs_notify_can_forget_all(m)) {
		m->branch_timeout_s = TIMEOUT_CAREFUL_S;
		m->agreed.notify = false;
	}
	pfs_feature_describe(m);
}

int pfs_session_go_on(struct pfs_mount *m, struct pfs_error *err)
{
	/* Before anything is read: what is being answered must not come twice. */
	int rc = ask_again(m, err);

	if (rc < 0)
		return rc;
	pfs_serve_free(&m->serve);
	pfs_lock(&m->lock);
	m->ended = false;
	pfs_unlock(&m->lock);
	return pfs_session_run(m, err);
}

void pfs_session_rest(struct pfs_mount *m)
{
	if (!m->loop_runs)
		return;
	pfs_slow_stop(m);
	if (m->serve)
		pfs_serve_stop(m->serve);
	else
		fuse_session_exit(m->se);
	pthread_join(m->loop, NULL);
	m->loop_runs = false;
}

/*
 * By ourselves: libfuse would close the descriptor that threads read from, and of
 * a session that was taken over it does not know where it is mounted.
 */
static void unmount(struct pfs_mount *m)
{
	if (m->se && pfs_mountpoint_leave(m->mountpoint, m->dev, fuse_session_fd(m->se)) < 0)
		pfs_mount_log(m, "fuse.unmount error=\"%s\"", strerror(errno));
}

void pfs_session_stop(struct pfs_mount *m)
{
	unmount(m);
	pfs_session_rest(m);
}

int pfs_session_detach(struct pfs_mount *m, struct pfs_error *err)
{
	int fd = fcntl(fuse_session_fd(m->se), F_DUPFD_CLOEXEC, 3);

	return fd < 0 ? pfs_fail_errno(err, errno, "the descriptor of the mount") : fd;
}

void pfs_session_close_backing(struct pfs_mount *m, int backing_id)
{
	uint32_t id = (uint32_t)backing_id;

	if (ioctl(fuse_session_fd(m->se), BACKING_CLOSE, &id) < 0)
		pfs_mount_log(m, "fuse.backing id=%d error=\"%s\"", backing_id, strerror(errno));
}

void pfs_session_close(struct pfs_mount *m)
{
	pfs_serve_free(&m->serve);
	if (m->se)
		fuse_session_destroy(m->se);
	m->se = NULL;
}
