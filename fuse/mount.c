#include "fuse/mount.h"

#include "base/io.h"
#include "fuse/feature.h"
#include "fuse/hold.h"
#include "fuse/inode.h"
#include "fuse/mountpoint.h"
#include "fuse/notify.h"
#include "fuse/session.h"

#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

/*
 * life of a mount
 *	opened    session made, kernel mounted, inode table has its root
 *	running   loop, notifier and watcher run
 *	ended     somebody unmounted it, or pfs_fuse_unmount does
 *	freed     all threads joined, all inodes given back
 */

void pfs_mount_quiet(void)
{
	pfs_view_quiet(true);
}

struct pfs_mount *pfs_mount_of(fuse_req_t req)
{
	pfs_mount_quiet();
	return fuse_req_userdata(req);
}

void pfs_mount_log(struct pfs_mount *m, const char *fmt, ...)
{
	char line[1024];
	va_list ap;

	if (!m->o.log)
		return;
	va_start(ap, fmt);
	vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	m->o.log(m->o.log_arg, line);
}

void pfs_mount_fail(fuse_req_t req, const char *what, int rc, const struct pfs_error *err)
{
	if (rc == PFS_E_CORRUPT || rc == PFS_E_IO || rc == PFS_E_NOMEM || rc == PFS_E_FAILED)
		pfs_mount_log(fuse_req_userdata(req), "fuse.%s code=%s error=\"%s\"", what,
			      pfs_code_name(rc), err->text);
	fuse_reply_err(req, pfs_code_errno(rc));
}

void pfs_mount_fail_limit(fuse_req_t req, const char *what, int rc, const struct pfs_error *err,
			  int limit)
{
	if (rc == PFS_E_LIMIT)
		fuse_reply_err(req, limit);
	else
		pfs_mount_fail(req, what, rc, err);
}

bool pfs_mount_add_opened(struct pfs_mount *m, struct opened *o)
{
	struct opened **place;

	pfs_lock(&m->lock);
	place = pfs_slots_take(&m->opened, &o->number);
	if (place)
		*place = o;
	pfs_unlock(&m->lock);
	return place;
}

bool pfs_mount_restore_opened(struct pfs_mount *m, struct opened *o, uint32_t number)
{
	struct opened **place;

	pfs_lock(&m->lock);
	place = pfs_slots_take_at(&m->opened, number);
	o->number = number;
	if (place)
		*place = o;
	pfs_unlock(&m->lock);
	return place;
}

void pfs_mount_remove_opened(struct pfs_mount *m, struct opened *o)
{
	pfs_lock(&m->lock);
	pfs_slots_give(&m->opened, o->number);
	pfs_unlock(&m->lock);
}

/* 0 is what a request without an open file has. */
uint64_t pfs_mount_number(const struct opened *o)
{
	return o->number + 1ULL;
}

struct opened *pfs_mount_find_opened(struct pfs_mount *m, uint64_t number, uint32_t magic)
{
	struct opened **place = number ? pfs_slots_find(&m->opened, number - 1) : NULL;

	return place && *place && (*place)->magic == magic ? *place : NULL;
}

/* No thread serves requests any more. */
static void close_left_open(struct pfs_mount *m)
{
	struct opened **place;
	uint32_t number = 0;

	for (; (place = pfs_slots_next(&m->opened, &number)); number++)
		(*place)->close(*place);
	pfs_slots_fini(&m->opened);
}

static int init_mount(struct pfs_mount *m, struct pfs_instance *pfs,
		      const struct pfs_fuse_options *o, struct pfs_error *err)
{
	static const struct pfs_fuse_options defaults = PFS_FUSE_OPTIONS_INIT;

	if (o && o->size != sizeof(*o))
		return pfs_fail(err, PFS_E_INVALID, "mount options of %zu bytes, not %zu", o->size,
				sizeof(*o));
	m->magic = MOUNT_MAGIC;
	m->pfs = pfs;
	m->view = pfs_instance_view(pfs);
	m->o = o ? *o : defaults;
	if (m->o.max_threads < 1)
		m->o.max_threads = 1;
	/* Without notifications nothing that may change is remembered. */
	m->branch_timeout_s = m->o.notify ? TIMEOUT_FOREVER_S : 0;
	sched_getaffinity(0, sizeof(m->processors), &m->processors);
	pfs_lock_init(&m->lock, PFS_RANK_DRIVER);
	if (pfs_cond_init(&m->hello) != 0 || pfs_cond_init(&m->slow_work) != 0)
		return pfs_fail_nomem(err, "a condition");
	return pfs_slots_init(&m->opened, sizeof(struct opened *), err);
}

/* What is held as `held` goes on here, at the same place. */
static int take(struct pfs_mount *m, const char *mountpoint, const struct pfs_fuse_held *held,
		struct pfs_error *err)
{
	PFS_AUTO(pfs_handover_fini) struct pfs_handover h = { 0 };
	void *data = NULL;
	int rc = pfs_hold_read(held->state, &data, &h, err);

	if (rc == 0)
		rc = pfs_mountpoint_take(m, mountpoint, &h, held->device, err);
	if (rc == 0) {
		pfs_feature_set_bits(&m->o, h.features);
		m->taken = true;
		rc = pfs_session_take(m, held->device, h.hello, h.hello_len, err);
	}
	if (rc == 0)
		rc = pfs_hold_restore(m, &h, err);
	free(data);
	if (rc == 0)
		rc = pfs_session_run(m, err);
	if (rc == 0)
		pfs_session_describe(m);
	return rc < 0 ? rc : pfs_notify_start(m, err);
}

static int start(struct pfs_mount *m, const char *mountpoint, struct pfs_error *err)
{
	int rc = pfs_mountpoint_prepare(m, mountpoint, err);

	if (rc == 0)
		rc = pfs_inodes_init(m, err);
	if (rc == 0)
		rc = pfs_session_open(m, err);
	if (rc == 0)
		rc = pfs_session_run(m, err);
	if (rc == 0)
		pfs_session_describe(m);
	return rc < 0 ? rc : pfs_notify_start(m, err);
}

/*
 * The kernel reads 128 KiB ahead on a FUSE mount and lets no request ask for
 * more; root can. Several requests are then under way at once, and as many
 * threads check and decompress chunks: cold reads in order were 1.8 times as
 * fast on two processors. Without the right to it nothing else is lost.
 */
static void set_readahead(const struct pfs_mount *m)
{
	char path[64], text[16];
	FILE *f;

	if (!m->o.readahead_kb || !m->dev)
		return;
	snprintf(path, sizeof(path), "/sys/class/bdi/%u:%u/read_ahead_kb", major(m->dev),
		 minor(m->dev));
	snprintf(text, sizeof(text), "%u", m->o.readahead_kb);
	f = fopen(path, "we");
	if (!f)
		return;
	fputs(text, f);
	fclose(f);
}

/* `held` NULL: anew. */
static int mount_at(struct pfs_instance *pfs, const char *mountpoint,
		    const struct pfs_fuse_options *o, const struct pfs_fuse_held *held,
		    struct pfs_mount **out, struct pfs_error *err)
{
	struct pfs_mount *m = calloc(1, sizeof(*m));
	int rc;

	if (!m)
		return pfs_fail_nomem(err, "a mount");
	rc = init_mount(m, pfs, o, err);
	if (rc < 0) {
		free(m);
		return rc;
	}
	rc = held ? take(m, mountpoint, held, err) : start(m, mountpoint, err);
	if (rc < 0) {
		pfs_fuse_unmount(&m);
		return rc;
	}
	set_readahead(m);
	*out = m;
	return 0;
}

int pfs_fuse_mount(struct pfs_instance *pfs, const char *mountpoint,
		   const struct pfs_fuse_options *o, struct pfs_mount **out, struct pfs_error *err)
{
	return mount_at(pfs, mountpoint, o, NULL, out, err);
}

int pfs_fuse_take(struct pfs_instance *pfs, const char *mountpoint,
		  const struct pfs_fuse_options *o, struct pfs_fuse_held *held,
		  struct pfs_mount **out, struct pfs_error *err)
{
	int rc = mount_at(pfs, mountpoint, o, held, out, err);

	pfs_fuse_drop(held);
	return rc < 0 ? pfs_wrap(err, rc, "go on with the mount of the last pfsd") : 0;
}

void pfs_fuse_leave(const struct pfs_fuse_held *held)
{
	PFS_AUTO(pfs_handover_fini) struct pfs_handover h = { 0 };
	char path[PATH_MAX];
	void *data = NULL;

	if (pfs_hold_read(held->state, &data, &h, NULL) < 0)
		return;
	snprintf(path, sizeof(path), "%.*s", (int)h.mountpoint_len, (const char *)h.mountpoint);
	pfs_mountpoint_leave(path, (dev_t)h.device, held->device);
	free(data);
}

void pfs_fuse_drop(struct pfs_fuse_held *held)
{
	pfs_fd_close(&held->device);
	pfs_fd_close(&held->state);
}

/* After all threads: what is left is memory. */
static void free_mount(struct pfs_mount *m)
{
	pfs_session_close(m);
	close_left_open(m);
	pfs_inodes_fini(m);
	pthread_cond_destroy(&m->hello);
	pthread_cond_destroy(&m->slow_work);
	pfs_lock_fini(&m->lock);
	free(m->hello_data);
	free(m->mountpoint);
	m->magic = 0;
	free(m);
}

int pfs_fuse_can_hold(const struct pfs_mount *m, struct pfs_error *err)
{
	if (m->agreed.io_uring)
		return pfs_fail(err, PFS_E_UNSUPPORTED,
				"requests come by io_uring, whose rings end with their process: "
				"start pfsd with --without io_uring");
	if (!pfs_session_can_resend(m))
		return pfs_fail(err, PFS_E_UNSUPPORTED,
				"this kernel cannot send requests again: Linux 6.9 can");
	return 0;
}

/* No thread of it runs after this, and nothing that was read has no answer, but for what was given up. */
static void rest(struct pfs_mount *m)
{
	pfs_view_begin_hold(m->view);
	m->holding = true;
	m->cancel_slow = true;
	pfs_notify_stop(m);
	pfs_session_rest(m);
}

/* It could not be given away: serve it as before. */
static int go_on(struct pfs_mount *m, struct pfs_error *err)
{
	int rc;

	pfs_view_end_hold(m->view);
	m->holding = false;
	m->cancel_slow = false;
	m->stopping = false;
	rc = pfs_session_go_on(m, err);
	return rc < 0 ? rc : pfs_notify_start(m, err);
}

static int give_away(struct pfs_mount *m, struct pfs_fuse_held *out, struct pfs_error *err)
{
	PFS_AUTO(pfs_fd_close) int state = -1;
	int device;

	state = pfs_hold_write(m, err);
	if (state < 0)
		return state;
	device = pfs_session_detach(m, err);
	if (device < 0)
		return device;
	*out = (struct pfs_fuse_held){ .device = device, .state = state };
	state = -1;
	return 0;
}

int pfs_fuse_hold(struct pfs_mount **mp, struct pfs_fuse_held *out, struct pfs_error *err)
{
	struct pfs_mount *m = *mp;
	int rc = pfs_fuse_can_hold(m, err);

	if (rc < 0)
		return rc;
	rest(m);
	rc = give_away(m, out, err);
	if (rc == 0) {
		free_mount(m);
		*mp = NULL;
	} else if (go_on(m, NULL) < 0) {
		pfs_fuse_unmount(mp);
	}
	return rc;
}

void pfs_fuse_unmount(struct pfs_mount **mp)
{
	struct pfs_mount *m = *mp;

	*mp = NULL;
	if (!m)
		return;
	/* What takes long gives up at once: a notification may have to wait for it. */
	m->cancel_slow = true;
	/*
	 * Notifications first, while requests are still served: one that waits
	 * for a directory gets it when a request that has it is answered.
	 */
	pfs_notify_stop(m);
	pfs_session_stop(m);
	free_mount(m);
}

bool pfs_fuse_mounted(const struct pfs_mount *m)
{
	return m->mounted;
}

const char *pfs_fuse_features(const struct pfs_mount *m)
{
	return m->features;
}
