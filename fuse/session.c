#include "fuse/session.h"

#include "fuse/notify.h"
#include "fuse/ops.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/statfs.h>
#include <unistd.h>

#define OVERLAYFS_MAGIC 0x794c7630

/* FUSE_DEV_IOC_BACKING_CLOSE of kernels since 6.9, whose headers Debian 12 does not have. */
#define BACKING_CLOSE _IOW(229, 2, uint32_t)

/* ---- what this kernel does ---- */

static bool data_is_stacked(struct pfs_mount *m)
{
	struct statfs st;

	return statfs(pfs_view_data_dir(m->view), &st) == 0 && st.f_type == OVERLAYFS_MAGIC;
}

static void want(struct fuse_conn_info *conn, uint64_t flag, bool on)
{
	if (on && (conn->capable_ext & flag))
		fuse_set_feature_flag(conn, flag);
	else
		fuse_unset_feature_flag(conn, flag);
}

static bool wanted(const struct fuse_conn_info *conn, uint64_t flag)
{
	return conn->want_ext & flag;
}

static void op_init(void *userdata, struct fuse_conn_info *conn)
{
	struct pfs_mount *m = userdata;

	want(conn, FUSE_CAP_PASSTHROUGH, m->o.passthrough);
	/* Deeper only where it must be: it keeps others from stacking on us. */
	conn->max_backing_stack_depth =
		data_is_stacked(m) ? FUSE_BACKING_STACKED_OVER : FUSE_BACKING_STACKED_UNDER;
	want(conn, FUSE_CAP_READDIRPLUS, m->o.readdirplus);
	want(conn, FUSE_CAP_READDIRPLUS_AUTO, m->o.readdirplus);
	want(conn, FUSE_CAP_OVER_IO_URING, m->io_uring);
	want(conn, FUSE_CAP_PARALLEL_DIROPS, true);
	want(conn, FUSE_CAP_CACHE_SYMLINKS, true);
	/* So that the kernel need not look for capabilities before every write. */
	want(conn, FUSE_CAP_HANDLE_KILLPRIV_V2, true);
	want(conn, FUSE_CAP_HANDLE_KILLPRIV, false);
	/* A file's own writes change its time: that is no reason to drop its pages. We tell. */
	want(conn, FUSE_CAP_AUTO_INVAL_DATA, false);
	conn->max_background = m->o.max_background;
	conn->congestion_threshold = m->o.max_background * 3 / 4;
	conn->no_interrupt = 1;
	m->passthrough = wanted(conn, FUSE_CAP_PASSTHROUGH);
	m->readdirplus = wanted(conn, FUSE_CAP_READDIRPLUS);
	m->io_uring = wanted(conn, FUSE_CAP_OVER_IO_URING);
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
	.open = op_open,
	.read = op_read,
	.write = op_write,
	.flush = op_flush,
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
	/* Not here, so that the kernel asks once: access (default_permissions), locks (its own),
	 * copy_file_range (it copies by splice, through the backing files when it can). */
};

/* io_uring is a switch of the whole kernel, which the administrator turns. */
static bool kernel_has_uring(void)
{
	char state = 'N';
	int fd = open("/sys/module/fuse/parameters/enable_uring", O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return false;
	if (read(fd, &state, 1) != 1)
		state = 'N';
	close(fd);
	return state == 'Y';
}

static int make_session(struct pfs_mount *m, struct pfs_error *err)
{
	struct fuse_args args = FUSE_ARGS_INIT(0, NULL);
	struct fuse_lowlevel_ops ops = all_ops;

	if (!m->o.xattr)
		ops.getxattr = NULL, ops.listxattr = NULL;
	m->io_uring = m->o.io_uring && kernel_has_uring();
	if (fuse_opt_add_arg(&args, "pfs") < 0 ||
	    fuse_opt_add_arg(&args, "-ofsname=pfs,subtype=pfs,allow_other,default_permissions") <
		    0 ||
	    (m->io_uring && fuse_opt_add_arg(&args, "-oio_uring") < 0)) {
		fuse_opt_free_args(&args);
		return pfs_fail_nomem(err, "the options of the mount");
	}
	m->se = fuse_session_new(&args, &ops, sizeof(ops), m);
	fuse_opt_free_args(&args);
	if (!m->se)
		return pfs_fail(err, PFS_E_IO, "a FUSE session cannot be made");
	return 0;
}

int pfs_session_open(struct pfs_mount *m, struct pfs_error *err)
{
	int rc = make_session(m, err);

	if (rc < 0)
		return rc;
	if (fuse_session_mount(m->se, m->mountpoint) == 0)
		return 0;
	rc = errno;
	fuse_session_destroy(m->se);
	m->se = NULL;
	if (access("/dev/fuse", F_OK) < 0)
		return pfs_fail(err, PFS_E_UNSUPPORTED, "mount %s: this machine has no /dev/fuse",
				m->mountpoint);
	if (geteuid() != 0)
		return pfs_fail(err, PFS_E_DENIED, "mount %s: only root may", m->mountpoint);
	return pfs_fail_errno(err, rc ? rc : EIO, "mount %s", m->mountpoint);
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

static void *run_loop(void *arg)
{
	struct pfs_mount *m = arg;
	struct fuse_loop_config *config = fuse_loop_cfg_create();

	if (config) {
		fuse_loop_cfg_set_clone_fd(config, 1);
		fuse_loop_cfg_set_max_threads(config, m->o.max_threads);
		/* As many as serve: starting threads costs more than keeping them. */
		fuse_loop_cfg_set_idle_threads(config, m->o.max_threads);
	}
	fuse_session_loop_mt(m->se, config);
	fuse_loop_cfg_destroy(config);
	m->mounted = false;
	pfs_lock(&m->lock);
	m->ended = true;
	pthread_cond_broadcast(&m->hello);
	pfs_unlock(&m->lock);
	return NULL;
}

static void describe(struct pfs_mount *m)
{
	snprintf(m->features, sizeof(m->features), "%s%s%s%s", m->passthrough ? "passthrough " : "",
		 m->io_uring ? "io_uring " : "", m->readdirplus ? "readdirplus " : "",
		 m->branch_timeout_s >= TIMEOUT_FOREVER_S ? "notify" : "poll");
}

int pfs_session_run(struct pfs_mount *m, struct pfs_error *err)
{
	int rc = pfs_session_thread(&m->loop, run_loop, m, err);
	bool ok;

	if (rc < 0)
		return rc;
	m->loop_runs = true;
	pfs_lock(&m->lock);
	while (!m->initialized && !m->ended)
		pfs_cond_wait(&m->hello, &m->lock, -1);
	ok = m->initialized && !m->ended;
	pfs_unlock(&m->lock);
	if (!ok)
		return pfs_fail(err, PFS_E_IO, "mount %s: the kernel and we do not agree",
				m->mountpoint);
	m->mounted = true;
	return 0;
}

void pfs_session_describe(struct pfs_mount *m)
{
	struct stat st;

	/* The first of all requests: when it is answered, so is init. */
	if (stat(m->mountpoint, &st) == 0 && !pfs_notify_can_forget_all(m))
		m->branch_timeout_s = TIMEOUT_CAREFUL_S;
	describe(m);
}

void pfs_session_stop(struct pfs_mount *m)
{
	if (m->se)
		fuse_session_unmount(m->se);
	if (!m->loop_runs)
		return;
	fuse_session_exit(m->se);
	pthread_join(m->loop, NULL);
	m->loop_runs = false;
}

void pfs_session_close_backing(struct pfs_mount *m, int backing_id)
{
	uint32_t id = (uint32_t)backing_id;

	if (ioctl(fuse_session_fd(m->se), BACKING_CLOSE, &id) < 0)
		pfs_mount_log(m, "fuse.backing id=%d error=\"%s\"", backing_id, strerror(errno));
}

void pfs_session_close(struct pfs_mount *m)
{
	if (m->se)
		fuse_session_destroy(m->se);
	m->se = NULL;
}
