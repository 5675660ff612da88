#include "runtime/sweep.h"
#include "runtime/container.h"
#include "runtime/unpack.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

struct sweep {
	struct pfs_ctrd *c;
	bool (*is_alive)(void *arg, const char *id);
	void *arg;
	char filter[PFS_CTRD_FILTER_SIZE];
	int rc; /* the first failure, with err filled */
	struct pfs_error *err;
};

/* The error of the first failure is kept, the sweep goes on. */
static struct pfs_error *error_slot(struct sweep *s)
{
	return s->rc == 0 ? s->err : NULL;
}

static void note(struct sweep *s, int rc)
{
	if (rc < 0 && s->rc == 0)
		s->rc = rc;
}

/* Ask for a streamed list and hand each message to `each`. */
static int list(struct sweep *s, const char *name, const ProtobufCMessage *request,
		const ProtobufCMessageDescriptor *type,
		void (*each)(struct sweep *s, const ProtobufCMessage *m))
{
	const struct pfs_ctrd_method method = { name, PFS_CTRD_ONCE, PFS_CTRD_QUICK_MS, NULL };
	PFS_AUTO(pfs_grpc_end) struct pfs_grpc_call *call = NULL;
	int rc;

	rc = pfs_ctrd_begin(s->c, &method, request, true, &call, error_slot(s));
	if (rc == 0)
		rc = 1;
	while (rc > 0) {
		PFS_AUTO(pfs_ctrd_free) ProtobufCMessage *m = NULL;

		rc = pfs_ctrd_receive(call, type, PFS_CTRD_QUICK_MS, &m, error_slot(s));
		if (rc > 0)
			each(s, m);
	}
	return rc;
}

static void sweep_container(struct sweep *s, const ProtobufCMessage *m)
{
	const Ctrd__Container *k = ((const Ctrd__ContainerStreamed *)(const void *)m)->container;

	if (k && !s->is_alive(s->arg, k->id))
		note(s, pfs_container_destroy(s->c, k->id, error_slot(s)));
}

static void sweep_snapshots(struct sweep *s, const ProtobufCMessage *m)
{
	const Ctrd__SnapshotListReply *reply = (const Ctrd__SnapshotListReply *)(const void *)m;

	for (size_t i = 0; i < reply->n_info; i++) {
		const Ctrd__SnapshotInfo *info = reply->info[i];
		/* Layers being unpacked belong to a lease, and go with it. */
		bool layer = info->kind != CTRD__SNAPSHOT_KIND__KIND_ACTIVE ||
			     strncmp(info->name, "extract-", 8) == 0;

		if (!layer && !s->is_alive(s->arg, info->name))
			note(s, pfs_container_destroy(s->c, info->name, error_slot(s)));
	}
}

static int sweep_leases(struct sweep *s)
{
	static const struct pfs_ctrd_method method = { "leases.v1.Leases/List", PFS_CTRD_REPEAT,
						       PFS_CTRD_QUICK_MS, NULL };
	PFS_AUTO(pfs_ctrd_free) ProtobufCMessage *m = NULL;
	Ctrd__LeaseList request = CTRD__LEASE_LIST__INIT;
	const Ctrd__LeaseListReply *reply;
	char *filter = s->filter;
	int rc;

	request.n_filters = 1;
	request.filters = &filter;
	rc = pfs_ctrd_call(s->c, &method, &request.base, &ctrd__lease_list_reply__descriptor, &m,
			   error_slot(s));
	if (rc < 0)
		return rc;
	reply = (const Ctrd__LeaseListReply *)(void *)m;
	for (size_t i = 0; i < reply->n_leases; i++)
		if (!s->is_alive(s->arg, reply->leases[i]->id))
			note(s, pfs_ctrd_unlease(s->c, reply->leases[i]->id, error_slot(s)));
	return 0;
}

int pfs_sweep(struct pfs_ctrd *c, bool (*is_alive)(void *arg, const char *id), void *arg,
	      struct pfs_error *err)
{
	struct sweep s = { .c = c, .is_alive = is_alive, .arg = arg, .err = err };
	Ctrd__ContainerList containers = CTRD__CONTAINER_LIST__INIT;
	Ctrd__SnapshotList snapshots = CTRD__SNAPSHOT_LIST__INIT;
	char *filter = s.filter;

	pfs_ctrd_owner_filter(c, s.filter);
	containers.n_filters = 1;
	containers.filters = &filter;
	snapshots.snapshotter = (char *)(uintptr_t)PFS_CTRD_SNAPSHOTTER;
	snapshots.n_filters = 1;
	snapshots.filters = &filter;
	/* Containers first: each takes its snapshot along. */
	note(&s, list(&s, "containers.v1.Containers/ListStream", &containers.base,
		      &ctrd__container_streamed__descriptor, sweep_container));
	note(&s, list(&s, "snapshots.v1.Snapshots/List", &snapshots.base,
		      &ctrd__snapshot_list_reply__descriptor, sweep_snapshots));
	note(&s, sweep_leases(&s));
	return s.rc < 0 ? pfs_wrap(err, s.rc, "sweep") : 0;
}

int pfs_sweep_pipes(const char *state_dir, bool (*is_alive)(void *arg, const char *id), void *arg,
		    struct pfs_error *err)
{
	DIR *dir = opendir(state_dir);
	struct dirent *entry;

	if (!dir)
		return pfs_fail_errno(err, errno, "open %s", state_dir);
	while ((entry = readdir(dir))) {
		size_t len = strlen(entry->d_name);
		char id[256];

		if (len <= 4 || strcmp(entry->d_name + len - 4, ".out") != 0)
			continue;
		snprintf(id, sizeof(id), "%.*s", (int)(len - 4), entry->d_name);
		if (!is_alive(arg, id))
			unlinkat(dirfd(dir), entry->d_name, 0);
	}
	closedir(dir);
	return 0;
}
