#include "runtime/ctrd.h"
#include "base/clock.h"
#include "base/limits.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define RESTART_MS     10000 /* how long a restarting daemon is waited for */
#define BACKOFF_MS     50
#define BACKOFF_MAX_MS 1000
#define LEASE_SECONDS  86400

void pfs_ctrd_free(ProtobufCMessage **m)
{
	if (*m)
		protobuf_c_message_free_unpacked(*m, NULL);
	*m = NULL;
}

static int pack(const ProtobufCMessage *m, struct pfs_buf *out, struct pfs_error *err)
{
	size_t len = protobuf_c_message_get_packed_size(m);
	int rc = pfs_buf_reserve(out, len, err);

	if (rc == 0)
		out->len = protobuf_c_message_pack(m, out->data);
	return rc;
}

static int unpack(const struct pfs_buf *b, const ProtobufCMessageDescriptor *type,
		  ProtobufCMessage **out, struct pfs_error *err)
{
	ProtobufCMessage *m = protobuf_c_message_unpack(type, NULL, b->len, b->data);

	if (!m)
		return pfs_fail(err, PFS_E_CORRUPT, "a %s that cannot be decoded",
				type->short_name);
	*out = m;
	return 0;
}

int pfs_ctrd_begin(struct pfs_ctrd *c, const struct pfs_ctrd_method *method,
		   const ProtobufCMessage *request, bool last, struct pfs_grpc_call **out,
		   struct pfs_error *err)
{
	PFS_AUTO(pfs_grpc_end) struct pfs_grpc_call *call = NULL;
	struct pfs_grpc_header headers[2] = { { "containerd-namespace", PFS_CTRD_NAMESPACE },
					      { "containerd-lease", method->lease } };
	char path[128];
	int rc;

	snprintf(path, sizeof(path), "/containerd.services.%s", method->name);
	rc = pfs_grpc_begin(c->grpc, path, headers, method->lease ? 2 : 1, method->timeout_ms,
			    &call, err);
	if (rc == 0)
		rc = pfs_ctrd_send(call, request, last, err);
	if (rc < 0)
		return rc;
	*out = call;
	call = NULL;
	return 0;
}

int pfs_ctrd_send(struct pfs_grpc_call *call, const ProtobufCMessage *request, bool last,
		  struct pfs_error *err)
{
	PFS_AUTO(pfs_buf_fini) struct pfs_buf b = PFS_BUF_INIT(PFS_GRPC_MESSAGE_MAX);
	int rc = pack(request, &b, err);

	return rc < 0 ? rc : pfs_grpc_send(call, b.data, b.len, last, err);
}

int pfs_ctrd_receive(struct pfs_grpc_call *call, const ProtobufCMessageDescriptor *type,
		     int64_t wait_ms, ProtobufCMessage **out, struct pfs_error *err)
{
	PFS_AUTO(pfs_buf_fini) struct pfs_buf b = PFS_BUF_INIT(PFS_GRPC_MESSAGE_MAX);
	int rc;

	rc = pfs_grpc_receive(call, &b, wait_ms, err);
	if (rc <= 0)
		return rc;
	rc = unpack(&b, type, out, err);
	return rc < 0 ? rc : 1;
}

static int call_once(struct pfs_ctrd *c, const struct pfs_ctrd_method *method,
		     const ProtobufCMessage *request, const ProtobufCMessageDescriptor *reply_type,
		     ProtobufCMessage **out, struct pfs_error *err)
{
	PFS_AUTO(pfs_grpc_end) struct pfs_grpc_call *call = NULL;
	PFS_AUTO(pfs_ctrd_free) ProtobufCMessage *reply = NULL;
	PFS_AUTO(pfs_ctrd_free) ProtobufCMessage *more = NULL;
	int rc;

	if (!reply_type)
		reply_type = &ctrd__empty__descriptor;
	rc = pfs_ctrd_begin(c, method, request, true, &call, err);
	if (rc == 0)
		rc = pfs_ctrd_receive(call, reply_type, -1, &reply, err);
	if (rc == 0)
		return pfs_fail(err, PFS_E_IO, "%s: no reply", method->name);
	if (rc > 0)
		rc = pfs_ctrd_receive(call, reply_type, -1, &more, err); /* the status */
	if (rc < 0)
		return rc;
	if (out) {
		*out = reply;
		reply = NULL;
	}
	return 0;
}

static void sleep_ms(int64_t ms)
{
	struct timespec t = { .tv_sec = (time_t)(ms / 1000),
			      .tv_nsec = (long)(ms % 1000) * 1000000 };

	nanosleep(&t, NULL);
}

int pfs_ctrd_call(struct pfs_ctrd *c, const struct pfs_ctrd_method *method,
		  const ProtobufCMessage *request, const ProtobufCMessageDescriptor *reply_type,
		  ProtobufCMessage **out, struct pfs_error *err)
{
	int64_t until = pfs_clock_monotonic_ms() + RESTART_MS, pause = BACKOFF_MS;
	bool again = false;
	int rc;

	for (;; again = true) {
		rc = call_once(c, method, request, reply_type, out, err);
		if (rc != PFS_E_IO || method->repeat == PFS_CTRD_ONCE ||
		    pfs_clock_monotonic_ms() + pause > until)
			break;
		sleep_ms(pause);
		pause = pause * 2 > BACKOFF_MAX_MS ? BACKOFF_MAX_MS : pause * 2;
	}
	if (rc == PFS_E_NOTFOUND && method->repeat == PFS_CTRD_REMOVE)
		return 0;
	if (rc == PFS_E_EXISTS && method->repeat == PFS_CTRD_CREATE && again && !out)
		return 0;
	return rc < 0 ? pfs_wrap(err, rc, "containerd: %s", method->name) : rc;
}

void pfs_ctrd_label(struct pfs_ctrd_labels *l, const char *key, const char *value)
{
	Ctrd__Label *label;

	assert(l->n < PFS_CTRD_LABELS_MAX && strlen(key) < sizeof(l->keys[0]));
	label = &l->label[l->n];
	ctrd__label__init(label);
	strcpy(l->keys[l->n], key);
	label->key = l->keys[l->n];
	label->value = (char *)(uintptr_t)value;
	l->list[l->n++] = label;
}

void pfs_ctrd_owner_filter(const struct pfs_ctrd *c, char out[PFS_CTRD_FILTER_SIZE])
{
	/* The owner was checked to need no escaping inside quotes. */
	snprintf(out, PFS_CTRD_FILTER_SIZE, "labels.\"%s\"==\"%s\"", PFS_CTRD_OWNER_LABEL,
		 c->owner);
}

int pfs_ctrd_lease(struct pfs_ctrd *c, const char *id, struct pfs_error *err)
{
	static const struct pfs_ctrd_method method = { "leases.v1.Leases/Create", PFS_CTRD_CREATE,
						       PFS_CTRD_QUICK_MS, NULL };
	Ctrd__LeaseCreate request = CTRD__LEASE_CREATE__INIT;
	struct pfs_ctrd_labels labels = { 0 };
	time_t end = time(NULL) + LEASE_SECONDS;
	char expire[32];
	struct tm tm;

	strftime(expire, sizeof(expire), "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&end, &tm));
	pfs_ctrd_label(&labels, "containerd.io/gc.expire", expire);
	pfs_ctrd_label(&labels, PFS_CTRD_OWNER_LABEL, c->owner);
	request.id = (char *)(uintptr_t)id;
	request.n_labels = labels.n;
	request.labels = labels.list;
	return pfs_ctrd_call(c, &method, &request.base, NULL, NULL, err);
}

int pfs_ctrd_unlease(struct pfs_ctrd *c, const char *id, struct pfs_error *err)
{
	static const struct pfs_ctrd_method method = { "leases.v1.Leases/Delete", PFS_CTRD_REMOVE,
						       PFS_CTRD_QUICK_MS, NULL };
	Ctrd__LeaseDelete request = CTRD__LEASE_DELETE__INIT;

	request.id = (char *)(uintptr_t)id;
	return pfs_ctrd_call(c, &method, &request.base, NULL, NULL, err);
}
