/*
 * One containerd, spoken to in its own messages: a call, its lease, what may
 * be repeated when the daemon was restarted in between.
 *
 * Threads: any.
 */
#ifndef PFS_RUNTIME_CTRD_H
#define PFS_RUNTIME_CTRD_H

#include "runtime/room.h"
#include "net/grpc.h"
#include "runtime/containerd.pb-c.h"
#include "runtime/manifest.h"

#define PFS_CTRD_NAMESPACE   "pfs"
#define PFS_CTRD_SNAPSHOTTER "overlayfs"
#define PFS_CTRD_OWNER_LABEL "pfs.owner"
#define PFS_CTRD_QUICK_MS    10000  /* what only touches its database */
#define PFS_CTRD_TASK_MS     120000 /* what starts or ends processes */
#define PFS_CTRD_APPLY_MS    1800000

struct pfs_ctrd {
	struct pfs_grpc *grpc;
	char owner[48];
	char version[64];
	char address[256];
};

/* What a lost connection means for a call. */
enum pfs_ctrd_repeat {
	PFS_CTRD_ONCE,   /* only the caller knows */
	PFS_CTRD_REPEAT, /* it only reads, or twice is as good as once */
	PFS_CTRD_CREATE, /* PFS_E_EXISTS on a repetition: the first try did it */
	PFS_CTRD_REMOVE, /* PFS_E_NOTFOUND, also on the first try: done */
};

/* Where a call goes: the method behind "/containerd.services.", the lease it works under. */
struct pfs_ctrd_method {
	const char *name; /* "images.v1.Images/Get" */
	enum pfs_ctrd_repeat repeat;
	int64_t timeout_ms; /* 0: none */
	const char *lease;  /* NULL: none */
};

/*
 * Call and wait. The reply is of type `reply_type` (NULL: not wanted) and
 * owned by the caller: pfs_ctrd_free(). A lost connection is repaired for up
 * to ten seconds as the method allows; after that PFS_E_IO.
 */
int pfs_ctrd_call(struct pfs_ctrd *c, const struct pfs_ctrd_method *method,
		  const ProtobufCMessage *request, const ProtobufCMessageDescriptor *reply_type,
		  ProtobufCMessage **out, struct pfs_error *err);

/* The same for whoever waits or streams: the request is sent, more follow unless `last`. */
int pfs_ctrd_begin(struct pfs_ctrd *c, const struct pfs_ctrd_method *method,
		   const ProtobufCMessage *request, bool last, struct pfs_grpc_call **out,
		   struct pfs_error *err);
int pfs_ctrd_send(struct pfs_grpc_call *call, const ProtobufCMessage *request, bool last,
		  struct pfs_error *err);

/* 1 and a message, 0 at the end; as pfs_grpc_receive(). */
int pfs_ctrd_receive(struct pfs_grpc_call *call, const ProtobufCMessageDescriptor *type,
		     int64_t wait_ms, ProtobufCMessage **out, struct pfs_error *err);

/* A destroyer for PFS_AUTO. */
void pfs_ctrd_free(ProtobufCMessage **m);

/* Labels for a request: keys are copied, values borrowed until it is sent. */
#define PFS_CTRD_LABELS_MAX (PFS_MANIFEST_LAYERS_MAX + 8)

struct pfs_ctrd_labels {
	size_t n;
	Ctrd__Label *list[PFS_CTRD_LABELS_MAX];
	Ctrd__Label label[PFS_CTRD_LABELS_MAX];
	char keys[PFS_CTRD_LABELS_MAX][64];
};

void pfs_ctrd_label(struct pfs_ctrd_labels *l, const char *key, const char *value);

/* "labels.<key>==<value>" quoted as a filter. */
#define PFS_CTRD_FILTER_SIZE 160
void pfs_ctrd_owner_filter(const struct pfs_ctrd *c, char out[PFS_CTRD_FILTER_SIZE]);

/* A lease labelled with our owner that containerd itself drops after a day. */
int pfs_ctrd_lease(struct pfs_ctrd *c, const char *id, struct pfs_error *err);
int pfs_ctrd_unlease(struct pfs_ctrd *c, const char *id, struct pfs_error *err);

#endif
