/*
 * One mounted instance: what every request gets as its userdata.
 *
 * Threads: any; what changes says its lock.
 */
#ifndef PFS_FUSE_MOUNT_H
#define PFS_FUSE_MOUNT_H

#define FUSE_USE_VERSION 318
#include <fuse_lowlevel.h>

#include "base/error.h"
#include "base/lock.h"
#include "fuse/fuse.h"
#include "fuse/slots.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

/* Longer than anybody's patience: until a notification takes it back. */
#define TIMEOUT_FOREVER_S 1e9

/* Without notifications for everything cached, branches are asked about again after this. */
#define TIMEOUT_CAREFUL_S 1.0

/*
 * While the kernel writes past us it drops size and times by itself, but for
 * what is written by mmap. Zero would cost a request at the first write to
 * every new file.
 */
#define TIMEOUT_THROUGH_S 1.0

#define N_SOURCES   1024u
#define N_LOOKED_UP 256u

struct dir;
struct inode;
struct pfs_serve;
struct slow;
struct pfs_handover_open;

/* Requests that may take long, at once; more keep a thread of the session busy each. */
#define SLOW_MAX 32u

/* Parts of listings, of up to a megabyte each, that are prepared at once. */
#define AHEAD_MAX 32u

/*
 * An open file or directory. The kernel tells of the end of each, but not when
 * the mount is taken away under those who use it: what is left is closed then.
 */
struct opened {
	uint32_t number; /* the kernel's, less one */
	uint32_t magic;  /* of what it is */
	uint32_t inode;  /* its number */
	void (*close)(struct opened *o);
	/* For another process to go on with; what is allocated in `out` is the caller's. */
	int (*hold)(struct opened *o, struct pfs_handover_open *out, struct pfs_error *err);
};

struct pfs_mount {
	uint32_t magic; /* MOUNT_MAGIC */
	struct pfs_instance *pfs;
	struct pfs_view *view;
	struct pfs_fuse_options o;
	char *mountpoint;
	dev_t dev; /* of what is mounted there; 0: not known */
	struct fuse_session *se;

	struct pfs_serve *serve; /* NULL: libfuse's own loop serves */
	pthread_t loop, notifier, watcher;
	bool loop_runs, notifier_runs, watcher_runs;
	_Atomic bool mounted; /* the loop runs and the kernel has said hello */
	_Atomic bool stopping;

	/* What this kernel does; written by init, before other requests. */
	_Atomic bool passthrough;
	struct pfs_fuse_options agreed; /* its switches: what both sides want */
	double branch_timeout_s;
	char features[160];

	/* The kernel's first request, which it sends to one process only; never changes after that. */
	unsigned char *hello_data;
	size_t hello_len;
	bool taken;           /* from another process */
	_Atomic bool holding; /* for another process: what is given up is not answered */

	struct pfs_lock lock;    /* PFS_RANK_DRIVER */
	pthread_cond_t hello;    /* with lock: init was answered, or the loop ended */
	bool initialized, ended; /* protected by lock */
	struct inode *root;
	struct pfs_slots inodes; /* all; protected by lock */
	uint32_t generation;     /* of the newest; protected by lock */
	struct pfs_slots opened; /* pointers to struct opened; protected by lock */

	/* Of slow.c; protected by lock. */
	pthread_t slow[SLOW_MAX];
	cpu_set_t processors;         /* those that we may use; never changes */
	unsigned n_slow, n_slow_idle; /* threads */
	struct slow *slow_jobs;
	pthread_cond_t slow_work; /* there is a job, or no more will be */
	_Atomic bool cancel_slow; /* read without the lock */

	/* Open files that a thread may copy from, by its number: several may share a place. */
	_Atomic unsigned sources[N_SOURCES];

	/* Directories whose names are asked for one by one: several may share a place. */
	_Atomic fuse_ino_t looked_up[N_LOOKED_UP];

	/* A directory whose kept listing the kernel is to drop; 0: none. */
	_Atomic fuse_ino_t bare;

	/* Directories of which an answer is prepared before it is asked for; protected by lock. */
	struct dir *ahead[AHEAD_MAX];
	unsigned n_ahead; /* and those that are being prepared; protected by lock */

	/* Inodes that the kernel forgot since memory was given back. */
	_Atomic size_t n_forgotten;
};

#define MOUNT_MAGIC 0x70667366u /* "fsfp" */

/* Give it a number; false without memory. */
bool pfs_mount_add_opened(struct pfs_mount *m, struct opened *o);
/* The same with the number it had; false also when that is taken. */
bool pfs_mount_restore_opened(struct pfs_mount *m, struct opened *o, uint32_t number);
void pfs_mount_remove_opened(struct pfs_mount *m, struct opened *o);

/* What the kernel calls an open file or directory, and what it means by that; NULL: nothing of that kind. */
uint64_t pfs_mount_number(const struct opened *o);
struct opened *pfs_mount_find_opened(struct pfs_mount *m, uint64_t number, uint32_t magic);

/*
 * This thread answers requests: what they change the kernel knows, and is not told.
 * To be said before anything is changed, by every operation that may be a thread's first.
 */
void pfs_mount_quiet(void);

/* The mount a request belongs to; its thread is quiet. */
struct pfs_mount *pfs_mount_of(fuse_req_t req);

/* Answer with what `rc` means to the kernel; what is nobody's fault but ours is logged. */
void pfs_mount_fail(fuse_req_t req, const char *what, int rc, const struct pfs_error *err);

/* The same where reaching a limit of ours is `limit` and not "too large". */
void pfs_mount_fail_limit(fuse_req_t req, const char *what, int rc, const struct pfs_error *err,
			  int limit);

void pfs_mount_log(struct pfs_mount *m, const char *fmt, ...) PFS_PRINTF(2, 3);

#endif
