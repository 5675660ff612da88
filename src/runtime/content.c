#include "runtime/content.h"
#include "base/limits.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PIECE (1u << 20)

int pfs_content_load(struct pfs_ctrd *c, const char *digest, struct pfs_buf *out,
		     struct pfs_error *err)
{
	static const struct pfs_ctrd_method method = { "content.v1.Content/Read", PFS_CTRD_ONCE,
						       PFS_CTRD_QUICK_MS, NULL };
	PFS_AUTO(pfs_grpc_end) struct pfs_grpc_call *call = NULL;
	Ctrd__ContentRead request = CTRD__CONTENT_READ__INIT;
	char got[PFS_DIGEST_SIZE];
	size_t before = out->len;
	int rc;

	request.digest = (char *)(uintptr_t)digest;
	rc = pfs_ctrd_begin(c, &method, &request.base, true, &call, err);
	if (rc == 0)
		rc = 1;
	while (rc > 0) {
		PFS_AUTO(pfs_ctrd_free) ProtobufCMessage *m = NULL;

		rc = pfs_ctrd_receive(call, &ctrd__content_read_reply__descriptor, -1, &m, err);
		if (rc > 0) {
			const ProtobufCBinaryData *data =
				&((Ctrd__ContentReadReply *)(void *)m)->data;

			if (pfs_buf_add(out, data->data, data->len, err) < 0)
				rc = PFS_E_LIMIT;
		}
	}
	if (rc == 0)
		rc = pfs_digest_of(out->data + before, out->len - before, got, err);
	if (rc == 0 && strcmp(got, digest) != 0)
		rc = pfs_fail(err, PFS_E_CORRUPT, "containerd's blob has the digest %s", got);
	if (rc < 0) {
		out->len = before;
		return pfs_wrap(err, rc, "read %s", digest);
	}
	return 0;
}

/* An upload on its way. */
struct upload {
	struct pfs_grpc_call *call;
	const struct pfs_archive *archive;
	const struct pfs_descriptor *blob;
	struct pfs_archive_place place;
	struct pfs_digest *digest;
	char ref[96];
};

static void end_upload(struct upload *u)
{
	pfs_grpc_end(&u->call);
	pfs_digest_free(&u->digest);
}

static void fill_write(const struct upload *u, Ctrd__ContentWrite *w, int64_t off)
{
	ctrd__content_write__init(w);
	w->action = CTRD__WRITE_ACTION__WRITE;
	w->ref = (char *)(uintptr_t)u->ref;
	w->total = u->blob->size;
	w->expected = (char *)(uintptr_t)u->blob->digest;
	w->offset = off;
}

/* Each piece is answered: so at most one is under way, and a refusal is seen at once. */
static int take_answer(struct upload *u, struct pfs_error *err)
{
	PFS_AUTO(pfs_ctrd_free) ProtobufCMessage *m = NULL;
	int rc = pfs_ctrd_receive(u->call, &ctrd__content_write_reply__descriptor, -1, &m, err);

	return rc == 0  ? pfs_fail(err, PFS_E_IO, "containerd ended an upload early")
	       : rc < 0 ? rc
			: 0;
}

static int send_pieces(struct upload *u, struct pfs_error *err)
{
	PFS_AUTO(pfs_buf_fini) struct pfs_buf piece = PFS_BUF_INIT(PIECE);
	uint64_t off = 0;
	int rc;

	rc = pfs_buf_reserve(&piece, PIECE, err);
	while (rc == 0 && off < u->place.size) {
		size_t len = u->place.size - off < PIECE ? (size_t)(u->place.size - off) : PIECE;
		Ctrd__ContentWrite w;

		fill_write(u, &w, (int64_t)off);
		w.data.data = piece.data;
		w.data.len = len;
		rc = pfs_archive_read(u->archive, &u->place, off, piece.data, len, err);
		if (rc == 0)
			rc = pfs_digest_add(u->digest, piece.data, len, err);
		if (rc == 0)
			rc = pfs_ctrd_send(u->call, &w.base, false, err);
		if (rc == 0)
			rc = take_answer(u, err);
		off += len;
	}
	return rc;
}

static int commit_upload(struct upload *u, struct pfs_error *err)
{
	char got[PFS_DIGEST_SIZE];
	Ctrd__ContentWrite w;
	int rc;

	rc = pfs_digest_finish(u->digest, got, err);
	if (rc == 0 && strcmp(got, u->blob->digest) != 0)
		rc = pfs_fail(err, PFS_E_CORRUPT, "its digest is %s", got);
	if (rc < 0)
		return rc;
	fill_write(u, &w, u->blob->size);
	w.action = CTRD__WRITE_ACTION__COMMIT;
	rc = pfs_ctrd_send(u->call, &w.base, true, err);
	return rc < 0 ? rc : take_answer(u, err);
}

/* The first message takes the place; PFS_E_EXISTS when the blob is there. */
static int start_upload(struct upload *u, struct pfs_ctrd *c, const char *lease,
			struct pfs_error *err)
{
	const struct pfs_ctrd_method method = { "content.v1.Content/Write", PFS_CTRD_ONCE,
						PFS_CTRD_APPLY_MS, lease };
	Ctrd__ContentWrite w;
	int rc;

	/* A name of its own: what an upload that died left behind goes with its lease. */
	snprintf(u->ref, sizeof(u->ref), "%.24s-%.32s", lease, u->blob->digest + 7);
	fill_write(u, &w, 0);
	w.action = CTRD__WRITE_ACTION__STAT;
	rc = pfs_ctrd_begin(c, &method, &w.base, false, &u->call, err);
	return rc < 0 ? rc : take_answer(u, err);
}

int pfs_content_write(struct pfs_ctrd *c, const char *lease, const struct pfs_archive *a,
		      const struct pfs_descriptor *d, struct pfs_error *err)
{
	PFS_AUTO(end_upload) struct upload u = { .archive = a, .blob = d };
	int rc;

	rc = pfs_archive_find_blob(a, d->digest, d->size, &u.place, err);
	if (rc == 0)
		rc = pfs_digest_new(&u.digest, err);
	if (rc == 0)
		rc = start_upload(&u, c, lease, err);
	if (rc == 0)
		rc = send_pieces(&u, err);
	if (rc == 0)
		rc = commit_upload(&u, err);
	if (rc == PFS_E_EXISTS)
		return 0;
	return rc < 0 ? pfs_wrap(err, rc, "blob %s", d->digest) : 0;
}

int pfs_content_label(struct pfs_ctrd *c, const char *lease, const char *digest,
		      const struct pfs_ctrd_labels *labels, struct pfs_error *err)
{
	const struct pfs_ctrd_method method = { "content.v1.Content/Update", PFS_CTRD_REPEAT,
						PFS_CTRD_QUICK_MS, lease };
	Ctrd__ContentUpdate request = CTRD__CONTENT_UPDATE__INIT;
	Ctrd__ContentInfo info = CTRD__CONTENT_INFO__INIT;
	Ctrd__FieldMask mask = CTRD__FIELD_MASK__INIT;
	char paths[PFS_CTRD_LABELS_MAX][72];
	char *list[PFS_CTRD_LABELS_MAX];

	for (size_t i = 0; i < labels->n; i++) {
		snprintf(paths[i], sizeof(paths[i]), "labels.%s", labels->keys[i]);
		list[i] = paths[i];
	}
	info.digest = (char *)(uintptr_t)digest;
	info.n_labels = labels->n;
	info.labels = (Ctrd__Label **)(uintptr_t)labels->list;
	mask.n_paths = labels->n;
	mask.paths = list;
	request.info = &info;
	request.update_mask = &mask;
	return pfs_ctrd_call(c, &method, &request.base, NULL, NULL, err);
}
