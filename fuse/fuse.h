/*
 * The driver: an instance as a file system, by libfuse's low-level interface.
 *
 *	kernel ──requests──▶ ops ──▶ <pfs/view.h>
 *	       ◀─invalidate─ notify ◀─ pfs_view_next_change
 *
 * What never changes is cached for ever; what changes on branches is cached
 * until a notification takes it back; control files are not cached. Bytes of
 * new files go to their local file without us (passthrough). Each of these is
 * negotiated with the kernel at run time and missed by nobody when it is not
 * there.
 *
 * Threads: a mount runs its own: requests, notifications, events.
 */
#ifndef PFS_FUSE_H
#define PFS_FUSE_H

#include <pfs/pfs.h>

struct pfs_mount;

struct pfs_fuse_options {
	size_t size; /* sizeof(struct pfs_fuse_options) */
	/* What is negotiated with the kernel; each can be switched off, see pfs_fuse_switch. */
	bool passthrough;     /* bytes of new files by the kernel alone; needs CAP_SYS_ADMIN */
	bool io_uring;        /* requests by io_uring when the kernel is set to allow it */
	bool readdirplus;     /* a listing brings attributes along */
	bool parallel_dirops; /* look-ups and listings of one directory side by side */
	bool notify; /* what may change is cached until we take it back; else asked for each time */
	bool symlinks; /* their targets are cached */
	bool killpriv; /* the kernel need not look for capabilities before every write */
	bool xattr;    /* extended attributes; cost a request at the first write to each file */

	unsigned max_threads;    /* that serve requests */
	unsigned max_background; /* read-aheads in flight */
	unsigned readahead_kb;   /* ahead of who reads in order; 0: the kernel's own idea */
	const char *source;      /* what the table of mounts says is mounted; NULL: "pfs" */
	const char *flags;       /* as for mount(8): "ro,noexec"; NULL: none */
	/* One line a failure nobody else is told of; NULL: nobody wants it. */
	void (*log)(void *arg, const char *line);
	void *log_arg;
};
#define PFS_FUSE_OPTIONS_INIT                                                                   \
	{                                                                                       \
		.size = sizeof(struct pfs_fuse_options), .passthrough = true, .io_uring = true, \
		.readdirplus = true, .parallel_dirops = true, .notify = true, .symlinks = true, \
		.killpriv = true, .xattr = true, .max_threads = 16, .max_background = 64,       \
		.readahead_kb = 4096                                                            \
	}

/*
 * Switch a feature by its name, which is that of its field; false when there is
 * none. "all" are those without which everything works, more slowly: all but xattr.
 */
bool pfs_fuse_switch(struct pfs_fuse_options *o, const char *name, bool on);

/* Names of all features in a line, for people. */
const char *pfs_fuse_feature_names(void);

/* Whether a word is one that `flags` may have. */
bool pfs_fuse_is_flag(const char *word);

/*
 * Mount at `mountpoint`, an absolute path, made when it is not there; a dead
 * mount of ours there is cleared first. `o` NULL: the defaults. When this
 * returns the mount answers. PFS_E_INVALID, PFS_E_DENIED, PFS_E_BUSY (mounted
 * there already), PFS_E_UNSUPPORTED (no /dev/fuse).
 * `pfs` must outlive the mount.
 */
int pfs_fuse_mount(struct pfs_instance *pfs, const char *mountpoint,
		   const struct pfs_fuse_options *o, struct pfs_mount **out, struct pfs_error *err);

/*
 * Take it away, whoever uses it: they get ENOTCONN. Below what somebody mounted on
 * top of it, it stays, dead. Returns when no thread of the mount runs any more.
 * Stores NULL; NULL inside is fine.
 */
void pfs_fuse_unmount(struct pfs_mount **m);

/*
 * Another process goes on with a mount, and whoever uses it notices a pause: open
 * files stay open. What the kernel has for us waits meanwhile.
 */
struct pfs_fuse_held {
	int device; /* /dev/fuse; when the last of its kind is closed, the mount is dead */
	int state;  /* what the next process has to know: pfs-handover(5) */
};
#define PFS_FUSE_HELD_NONE \
	{                  \
		-1, -1     \
	}

/* PFS_E_UNSUPPORTED: this mount cannot be given away, and why. */
int pfs_fuse_can_hold(const struct pfs_mount *m, struct pfs_error *err);

/*
 * End serving, and give away what is left. The instance has to be closed then; its
 * workspaces are durable. Stores NULL. When it fails, PFS_E_NOSPACE first of all, the
 * mount goes on; were even that to fail, it is taken away, and NULL is stored.
 */
int pfs_fuse_hold(struct pfs_mount **m, struct pfs_fuse_held *out, struct pfs_error *err);

/*
 * As pfs_fuse_mount, with what another process held for the same data folder.
 * Takes `held`. On failure what was held is gone, and left there is a dead mount,
 * which pfs_fuse_mount clears. PFS_E_CORRUPT, PFS_E_UNSUPPORTED (another version),
 * PFS_E_CONFLICT (it was mounted elsewhere, or is not mounted any more).
 * Features are those that were agreed on, whatever `o` says.
 */
int pfs_fuse_take(struct pfs_instance *pfs, const char *mountpoint,
		  const struct pfs_fuse_options *o, struct pfs_fuse_held *held,
		  struct pfs_mount **out, struct pfs_error *err);

/*
 * Nobody is to go on with what is held: take its mount away from where it was, and not
 * what else is mounted there by now. What is damaged is left, dead.
 */
void pfs_fuse_leave(const struct pfs_fuse_held *held);

void pfs_fuse_drop(struct pfs_fuse_held *held); /* closes both; fine when there are none */

/* False when somebody else has unmounted it; pfs_fuse_unmount is due all the same. */
bool pfs_fuse_mounted(const struct pfs_mount *m);

/* One line: the features that this kernel and the options agree on, "none" without any. Borrowed. */
const char *pfs_fuse_features(const struct pfs_mount *m);

#endif
