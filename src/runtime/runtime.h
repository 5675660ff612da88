/*
 * Containers: bring an image in, run a command in it, learn how it ended.
 *
 * Every object made on the other side carries a label with `owner`, so that
 * what a crash left behind is found and removed by pfs_runtime_sweep().
 *
 * Threads: any; each run blocks its caller until the container is gone.
 */
#ifndef PFS_RUNTIME_RUNTIME_H
#define PFS_RUNTIME_RUNTIME_H

#include "runtime/room.h"
#include "base/error.h"

struct pfs_runtime;

/*
 * Connect to containerd's unix socket at `address`. `owner` ([A-Za-z0-9._-],
 * at most 40 bytes) labels what we make; `state_dir` is a folder for FIFOs,
 * made when missing, of this owner alone: a sweep empties it of what does not
 * run here. Connecting is lazy and repeated when the daemon was
 * restarted; this call itself checks that somebody answers.
 */
int pfs_runtime_open(const char *address, const char *owner, const char *state_dir,
		     struct pfs_runtime **out, struct pfs_error *err);
void pfs_runtime_close(struct pfs_runtime **rt);

/* Version text of the daemon; borrowed until close. */
const char *pfs_runtime_version(const struct pfs_runtime *rt);

#define PFS_IMAGE_DIGEST_SIZE 72 /* "sha256:" and 64 digits, terminated */

/*
 * Import an OCI archive (a tar with oci-layout and index.json) and unpack its
 * layers. The name comes from `name`, else from the archive's annotations.
 * Digests of all blobs are checked. Doing it twice does no harm. On success
 * the full name is written to `out_name` (size bytes) when it is not NULL.
 */
int pfs_runtime_import(struct pfs_runtime *rt, const char *archive, const char *name,
		       char *out_name, size_t size, struct pfs_error *err);

/*
 * The digest that an image reference stands for now. Short names are completed
 * as everywhere: "busybox" is docker.io/library/busybox:latest. PFS_E_NOTFOUND
 * says how to bring the image in.
 */
int pfs_runtime_resolve(struct pfs_runtime *rt, const char *image,
			char out_digest[PFS_IMAGE_DIGEST_SIZE], struct pfs_error *err);

/* Call `each` for every image that is in; both texts are borrowed for the call. */
int pfs_runtime_images(struct pfs_runtime *rt,
		       void (*each)(void *arg, const char *name, const char *digest), void *arg,
		       struct pfs_error *err);

struct pfs_run_mount {
	const char *source; /* absolute path on this machine */
	const char *target; /* absolute path in the container */
	bool readonly;
};

struct pfs_run {
	const char *id; /* [A-Za-z0-9._-], at most 76 bytes, unique among the living */
	const char *image;
	const char *const *argv; /* NULL-terminated; NULL: entry point and command of the image */
	const char *const
		*env;    /* "KEY=value", NULL-terminated; may be NULL; wins over the image's */
	const char *cwd; /* NULL: the image's, else "/" */
	const struct pfs_run_mount *mounts;
	size_t n_mounts;
	int64_t timeout_ms;   /* kill after this long; 0: never */
	int64_t memory_limit; /* bytes; 0: 4 GiB, or less when the machine has less */

	/* Output of the container, stdout and stderr as they come; may be NULL. */
	void (*output)(void *arg, const void *data, size_t len);
	/* Asked a few times a second; true kills the container. May be NULL. */
	bool (*cancelled)(void *arg);
	void *arg;
};

struct pfs_run_result {
	int exit_status; /* of the command; 128 + signal when it was killed */
	bool timed_out;
	bool cancelled;
	bool out_of_memory;
	int64_t start_ms; /* from the call to the first instruction of the command */
	int64_t total_ms;
};

/*
 * Run a command in a fresh container and remove the container. Zero when it
 * ran, whatever its exit status; negative when it could not be run, with the
 * reason: PFS_E_IO and PFS_E_TIMEOUT when containerd or a mount source is not
 * there, so that the same may work later; else it is about the request.
 * A restart of containerd while the container runs goes unnoticed. Capabilities are dropped, seccomp and no_new_privs are set, memory
 * and pids limited, no network but loopback.
 */
int pfs_runtime_run(struct pfs_runtime *rt, const struct pfs_run *run, struct pfs_run_result *out,
		    struct pfs_error *err);

/* Remove containers, snapshots and leases labelled with our owner that no run of this process holds. */
int pfs_runtime_sweep(struct pfs_runtime *rt, struct pfs_error *err);

#endif
