#include "runtime/runtime_i.h"
#include "runtime/container.h"
#include "runtime/image.h"
#include "runtime/sweep.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static_assert(PFS_IMAGE_DIGEST_SIZE == PFS_DIGEST_SIZE, "the door and the room agree on digests");

struct containerd {
	struct pfs_runtime rt; /* first: the façade knows us by it */
	struct pfs_ctrd ctrd;
	char state_dir[400];
};

static struct containerd *self(struct pfs_runtime *rt)
{
	return (struct containerd *)(void *)rt;
}

static void ctrd_close(struct pfs_runtime *rt)
{
	pfs_grpc_close(&self(rt)->ctrd.grpc);
	free(self(rt));
}

static int ctrd_import(struct pfs_runtime *rt, const char *task, const char *archive,
		       const char *name, char *out_name, size_t size, struct pfs_error *err)
{
	char full[PFS_IMAGENAME_SIZE];
	int rc = pfs_image_import(&self(rt)->ctrd, task, archive, name, full, err);

	if (rc == 0 && out_name)
		snprintf(out_name, size, "%s", full);
	return rc;
}

static int ctrd_resolve(struct pfs_runtime *rt, const char *image,
			char out_digest[PFS_IMAGE_DIGEST_SIZE], struct pfs_error *err)
{
	return pfs_image_resolve(&self(rt)->ctrd, image, out_digest, err);
}

static int ctrd_images(struct pfs_runtime *rt,
		       void (*each)(void *arg, const char *name, const char *digest), void *arg,
		       struct pfs_error *err)
{
	return pfs_image_list(&self(rt)->ctrd, each, arg, err);
}

static int ctrd_run(struct pfs_runtime *rt, const struct pfs_run *run, struct pfs_run_result *out,
		    struct pfs_error *err)
{
	return pfs_container_run(&self(rt)->ctrd, self(rt)->state_dir, run, out, err);
}

static int ctrd_sweep(struct pfs_runtime *rt, bool (*is_alive)(void *arg, const char *id),
		      void *arg, struct pfs_error *err)
{
	int rc = pfs_sweep_pipes(self(rt)->state_dir, is_alive, arg, err);

	return rc < 0 ? rc : pfs_sweep(&self(rt)->ctrd, is_alive, arg, err);
}

static const struct pfs_runtime_ops containerd_ops = {
	.name = "containerd",
	.close = ctrd_close,
	.import = ctrd_import,
	.resolve = ctrd_resolve,
	.images = ctrd_images,
	.run = ctrd_run,
	.sweep = ctrd_sweep,
};

/* Is somebody there, and who? */
static int ask_version(struct pfs_ctrd *c, struct pfs_error *err)
{
	static const struct pfs_ctrd_method method = { "version.v1.Version/Version", PFS_CTRD_ONCE,
						       PFS_CTRD_QUICK_MS, NULL };
	PFS_AUTO(pfs_ctrd_free) ProtobufCMessage *m = NULL;
	Ctrd__Empty request = CTRD__EMPTY__INIT;
	int rc;

	rc = pfs_ctrd_call(c, &method, &request.base, &ctrd__version_reply__descriptor, &m, err);
	if (rc < 0)
		return pfs_wrap(err, rc, "nobody answers at %s: is containerd running?",
				c->address);
	snprintf(c->version, sizeof(c->version), "%s", ((Ctrd__VersionReply *)(void *)m)->version);
	return 0;
}

int pfs_runtime_open_containerd(const char *address, const char *owner, const char *state_dir,
				struct pfs_runtime **out, struct pfs_error *err)
{
	struct containerd *d;
	int rc;

	if (strlen(state_dir) >= sizeof(d->state_dir) || strlen(address) >= sizeof(d->ctrd.address))
		return pfs_fail(err, PFS_E_NAMETOOLONG, "%s or %s is too long a path", address,
				state_dir);
	d = calloc(1, sizeof(*d));
	if (!d)
		return pfs_fail_nomem(err, "a runtime");
	snprintf(d->ctrd.address, sizeof(d->ctrd.address), "%s", address);
	snprintf(d->ctrd.owner, sizeof(d->ctrd.owner), "%s", owner);
	snprintf(d->state_dir, sizeof(d->state_dir), "%s", state_dir);
	rc = pfs_grpc_open(address, &d->ctrd.grpc, err);
	if (rc == 0)
		rc = ask_version(&d->ctrd, err);
	if (rc < 0) {
		pfs_grpc_close(&d->ctrd.grpc);
		free(d);
		return rc;
	}
	d->rt.ops = &containerd_ops;
	d->rt.version = d->ctrd.version;
	*out = &d->rt;
	return 0;
}
