#include "fuse/session.h"

#include "fuse/feature.h"
#include "fuse/notify.h"
#include "fuse/ops.h"
#include "fuse/serve.h"
#include "fuse/slow.h"

#include <errno.h>
#include <signal.h>
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

static int add_options(struct pfs_mount *m, struct fuse_args *args)
{
	int rc = fuse_opt_add_arg(args, "pfs");

	if (rc == 0)
		rc = fuse_opt_add_arg(args, "-osubtype=pfs,allow_other,default_permissions");
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

static int make_session(struct pfs_mount *m, struct pfs_error *err)
{
	struct fuse_args args = FUSE_ARGS_INIT(0, NULL);
	struct fuse_lowlevel_ops ops = all_ops;

	if (!m->o.xattr)
		ops.getxattr = NULL, ops.listxattr = NULL, ops.setxattr = NULL,
		ops.removexattr = NULL;
	pfs_feature_want(m);
	if (add_options(m, &args) < 0) {
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

static void *run_loop(void *arg)
{
	struct pfs_mount *m = arg;

	if (m->serve)
		pfs_serve_run(m->serve);
	else
		run_rings(m);
	m->mounted = false;
	pfs_lock(&m->lock);
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
	if (stat(m->mountpoint, &st) == 0 && m->o.notify && !pfs_notify_can_forget_all(m)) {
		m->branch_timeout_s = TIMEOUT_CAREFUL_S;
		m->agreed.notify = false;
	}
	pfs_feature_describe(m);
}

void pfs_session_stop(struct pfs_mount *m)
{
	if (m->se)
		fuse_session_unmount(m->se);
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
