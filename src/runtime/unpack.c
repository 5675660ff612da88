#include "runtime/unpack.h"
#include "runtime/content.h"
#include "base/rand.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* One layer on its way into a snapshot. */
struct unpacking {
	struct pfs_ctrd *c;
	const char *lease;
	const struct pfs_descriptor *layer;
	const char *diff_id;
	const char *parent; /* chain id, "" for the lowest */
	char chain[PFS_DIGEST_SIZE];
	char key[128]; /* of the snapshot being filled */
	struct pfs_ctrd_labels labels;
};

int pfs_snapshot_check(struct pfs_ctrd *c, const char *lease, const char *name,
		       struct pfs_error *err)
{
	const struct pfs_ctrd_method method = { "snapshots.v1.Snapshots/Stat", PFS_CTRD_REPEAT,
						PFS_CTRD_QUICK_MS, lease };
	Ctrd__SnapshotKey request = CTRD__SNAPSHOT_KEY__INIT;

	request.snapshotter = (char *)(uintptr_t)PFS_CTRD_SNAPSHOTTER;
	request.key = (char *)(uintptr_t)name;
	return pfs_ctrd_call(c, &method, &request.base, NULL, NULL, err);
}

int pfs_snapshot_remove(struct pfs_ctrd *c, const char *key, struct pfs_error *err)
{
	static const struct pfs_ctrd_method method = { "snapshots.v1.Snapshots/Remove",
						       PFS_CTRD_REMOVE, PFS_CTRD_QUICK_MS, NULL };
	Ctrd__SnapshotKey request = CTRD__SNAPSHOT_KEY__INIT;

	request.snapshotter = (char *)(uintptr_t)PFS_CTRD_SNAPSHOTTER;
	request.key = (char *)(uintptr_t)key;
	return pfs_ctrd_call(c, &method, &request.base, NULL, NULL, err);
}

static int prepare(struct unpacking *u, ProtobufCMessage **out_mounts, struct pfs_error *err)
{
	const struct pfs_ctrd_method method = { "snapshots.v1.Snapshots/Prepare", PFS_CTRD_ONCE,
						PFS_CTRD_QUICK_MS, u->lease };
	Ctrd__SnapshotPrepare request = CTRD__SNAPSHOT_PREPARE__INIT;

	request.snapshotter = (char *)(uintptr_t)PFS_CTRD_SNAPSHOTTER;
	request.key = u->key;
	request.parent = (char *)(uintptr_t)u->parent;
	request.n_labels = u->labels.n;
	request.labels = u->labels.list;
	return pfs_ctrd_call(u->c, &method, &request.base, &ctrd__snapshot_mounts__descriptor,
			     out_mounts, err);
}

/* The daemon unpacks; what it unpacked must be what the config says. */
static int apply(struct unpacking *u, const Ctrd__SnapshotMounts *mounts, struct pfs_error *err)
{
	const struct pfs_ctrd_method method = { "diff.v1.Diff/Apply", PFS_CTRD_ONCE,
						PFS_CTRD_APPLY_MS, u->lease };
	PFS_AUTO(pfs_ctrd_free) ProtobufCMessage *m = NULL;
	Ctrd__DiffApply request = CTRD__DIFF_APPLY__INIT;
	Ctrd__Descriptor diff = CTRD__DESCRIPTOR__INIT;
	const Ctrd__Descriptor *applied;
	int rc;

	diff.media_type = (char *)(uintptr_t)u->layer->media_type;
	diff.digest = (char *)(uintptr_t)u->layer->digest;
	diff.size = u->layer->size;
	request.diff = &diff;
	request.n_mounts = mounts->n_mounts;
	request.mounts = mounts->mounts;
	rc = pfs_ctrd_call(u->c, &method, &request.base, &ctrd__diff_apply_reply__descriptor, &m,
			   err);
	if (rc < 0)
		return rc;
	applied = ((Ctrd__DiffApplyReply *)(void *)m)->applied;
	if (!applied || strcmp(applied->digest, u->diff_id) != 0)
		return pfs_fail(err, PFS_E_CORRUPT, "it unpacks to %s, the image config says %s",
				applied ? applied->digest : "nothing", u->diff_id);
	return 0;
}

static int commit(struct unpacking *u, struct pfs_error *err)
{
	const struct pfs_ctrd_method method = { "snapshots.v1.Snapshots/Commit", PFS_CTRD_ONCE,
						PFS_CTRD_QUICK_MS, u->lease };
	Ctrd__SnapshotCommit request = CTRD__SNAPSHOT_COMMIT__INIT;

	request.snapshotter = (char *)(uintptr_t)PFS_CTRD_SNAPSHOTTER;
	request.name = u->chain;
	request.key = u->key;
	request.n_labels = u->labels.n;
	request.labels = u->labels.list;
	return pfs_ctrd_call(u->c, &method, &request.base, NULL, NULL, err);
}

static int fill(struct unpacking *u, struct pfs_error *err)
{
	PFS_AUTO(pfs_ctrd_free) ProtobufCMessage *mounts = NULL;
	int rc;

	rc = prepare(u, &mounts, err);
	if (rc < 0)
		return rc;
	rc = apply(u, (const Ctrd__SnapshotMounts *)(void *)mounts, err);
	if (rc == 0)
		rc = commit(u, err);
	if (rc < 0)
		pfs_snapshot_remove(u->c, u->key, NULL);
	return rc == PFS_E_EXISTS ? 0 : rc; /* somebody else was quicker */
}

static int unpack_layer(struct unpacking *u, struct pfs_error *err)
{
	struct pfs_ctrd_labels uncompressed = { 0 };
	int rc;

	rc = pfs_chain_id(u->parent, u->diff_id, u->chain, err);
	if (rc < 0)
		return rc;
	u->labels.n = 0;
	pfs_ctrd_label(&u->labels, "containerd.io/snapshot.ref", u->chain);
	pfs_ctrd_label(&u->labels, PFS_CTRD_OWNER_LABEL, u->c->owner);
	snprintf(u->key, sizeof(u->key), "extract-%016" PRIx64 " %s", pfs_rand_u64(), u->chain);
	rc = pfs_snapshot_check(u->c, u->lease, u->chain, err);
	if (rc != PFS_E_NOTFOUND)
		return rc;
	rc = fill(u, err);
	if (rc < 0)
		return pfs_wrap(err, rc, "layer %s", u->layer->digest);
	pfs_ctrd_label(&uncompressed, "containerd.io/uncompressed", u->diff_id);
	return pfs_content_label(u->c, u->lease, u->layer->digest, &uncompressed, err);
}

int pfs_unpack(struct pfs_ctrd *c, const char *lease, const struct pfs_manifest *manifest,
	       const struct pfs_imageconfig *config, struct pfs_error *err)
{
	struct unpacking u = { .c = c, .lease = lease };
	struct pfs_ctrd_labels keep = { 0 };
	char parent[PFS_DIGEST_SIZE] = "";
	int rc = 0;

	if (manifest->n_layers != config->n_layers)
		return pfs_fail(err, PFS_E_CORRUPT, "%zu layers in the manifest, %zu in the config",
				manifest->n_layers, config->n_layers);
	for (size_t i = 0; i < manifest->n_layers && rc == 0; i++) {
		u.layer = &manifest->layers[i];
		u.diff_id = pfs_imageconfig_diff_id(config, i);
		u.parent = parent;
		rc = unpack_layer(&u, err);
		memcpy(parent, u.chain, sizeof(parent));
	}
	if (rc < 0 || manifest->n_layers == 0)
		return rc;
	pfs_ctrd_label(&keep, "containerd.io/gc.ref.snapshot." PFS_CTRD_SNAPSHOTTER,
		       config->top_chain);
	return pfs_content_label(c, lease, manifest->config.digest, &keep, err);
}
