#include "runtime/container.h"
#include "runtime/host.h"
#include "runtime/image.h"
#include "runtime/imageuser.h"
#include "runtime/outpipe.h"
#include "runtime/unpack.h"
#include "base/clock.h"
#include "base/limits.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#define SPEC_TYPE     "types.containerd.io/opencontainers/runtime-spec/1/Spec"
#define RUNTIME_NAME  "io.containerd.runc.v2"
#define SPEC_SIZE_MAX (1u << 20)

#define MEMORY_LIMIT (4LL << 30)
#define PIDS_LIMIT   4096
#define NOFILE_LIMIT 65536

#define TURN_MS      100   /* how often the caller is asked whether to go on */
#define GRACE_MS     2000  /* between TERM and KILL */
#define KILL_MS      30000 /* for a killed container to be seen dead, then its containerd is lost */
#define DRAIN_MS     2000  /* for output that is still in the pipe */
#define DELETE_TRIES 20    /* the shim may need a moment to see what we saw */

struct container {
	struct pfs_ctrd *c;
	const struct pfs_run *run;
	struct pfs_imageconfig image;
	struct pfs_ocispec_user user;
	struct pfs_outpipe out;
	ProtobufCMessage *mounts; /* Ctrd__SnapshotMounts of its root */
	struct pfs_grpc_call *wait;
	int64_t began_ms;
	int64_t started_ms;
	int64_t killed_ms; /* TERM was sent; 0: not */
	bool killed_hard;
	bool exited;
	bool mount_gone; /* why it did not start; containerd itself is there */
	struct pfs_run_result result;
};

static void fini_container(struct container *k)
{
	pfs_grpc_end(&k->wait);
	pfs_ctrd_free(&k->mounts);
	pfs_outpipe_close(&k->out);
	pfs_imageconfig_fini(&k->image);
}

/* ---- before the start ---- */

static int prepare_snapshot(struct container *k, struct pfs_error *err)
{
	static const struct pfs_ctrd_method method = { "snapshots.v1.Snapshots/Prepare",
						       PFS_CTRD_REPEAT, PFS_CTRD_QUICK_MS, NULL };
	Ctrd__SnapshotPrepare request = CTRD__SNAPSHOT_PREPARE__INIT;
	struct pfs_ctrd_labels labels = { 0 };
	time_t now = time(NULL);
	char when[32];
	struct tm tm;

	/* A root of its own: until the record refers to it nothing else would keep it. */
	strftime(when, sizeof(when), "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&now, &tm));
	pfs_ctrd_label(&labels, "containerd.io/gc.root", when);
	pfs_ctrd_label(&labels, PFS_CTRD_OWNER_LABEL, k->c->owner);
	request.snapshotter = (char *)(uintptr_t)PFS_CTRD_SNAPSHOTTER;
	request.key = (char *)(uintptr_t)k->run->id;
	request.parent = k->image.top_chain;
	request.n_labels = labels.n;
	request.labels = labels.list;
	return pfs_ctrd_call(k->c, &method, &request.base, &ctrd__snapshot_mounts__descriptor,
			     &k->mounts, err);
}

static int find_user(struct container *k, struct pfs_error *err)
{
	const Ctrd__SnapshotMounts *m = (const Ctrd__SnapshotMounts *)(void *)k->mounts;
	const char *layers = "";

	for (size_t i = 0; m->n_mounts == 1 && i < m->mounts[0]->n_options; i++)
		if (strncmp(m->mounts[0]->options[i], "lowerdir=", 9) == 0)
			layers = m->mounts[0]->options[i] + 9;
	return pfs_imageuser_find(k->image.user, layers, &k->user, err);
}

static int format_spec(struct container *k, struct pfs_buf *out, struct pfs_error *err)
{
	char cgroup[96];
	struct pfs_ocispec spec = {
		.run = k->run,
		.image = &k->image,
		.user = &k->user,
		.cgroup = cgroup,
		.memory_limit = pfs_host_memory_limit(
			k->run->memory_limit > 0 ? k->run->memory_limit : MEMORY_LIMIT),
		.pids_limit = PIDS_LIMIT,
		.nofile = pfs_host_nofile_limit(k->c->address, NOFILE_LIMIT),
		.cgroup_v2 = pfs_host_has_cgroup_v2(),
	};

	snprintf(cgroup, sizeof(cgroup), "/pfs/%s", k->run->id);
	return pfs_ocispec_format(&spec, out, err);
}

static int create_record(struct container *k, struct pfs_error *err)
{
	static const struct pfs_ctrd_method method = { "containers.v1.Containers/Create",
						       PFS_CTRD_CREATE, PFS_CTRD_QUICK_MS, NULL };
	PFS_AUTO(pfs_buf_fini) struct pfs_buf spec = PFS_BUF_INIT(SPEC_SIZE_MAX);
	Ctrd__ContainerCreate request = CTRD__CONTAINER_CREATE__INIT;
	Ctrd__ContainerRuntime runtime = CTRD__CONTAINER_RUNTIME__INIT;
	Ctrd__Container record = CTRD__CONTAINER__INIT;
	struct pfs_ctrd_labels labels = { 0 };
	Ctrd__Any any = CTRD__ANY__INIT;
	int rc;

	rc = format_spec(k, &spec, err);
	if (rc < 0)
		return rc;
	pfs_ctrd_label(&labels, PFS_CTRD_OWNER_LABEL, k->c->owner);
	any.type_url = (char *)(uintptr_t)SPEC_TYPE;
	any.value.data = spec.data;
	any.value.len = spec.len;
	runtime.name = (char *)(uintptr_t)RUNTIME_NAME;
	record.id = (char *)(uintptr_t)k->run->id;
	record.n_labels = labels.n;
	record.labels = labels.list;
	record.image = (char *)(uintptr_t)k->run->image;
	record.runtime = &runtime;
	record.spec = &any;
	record.snapshotter = (char *)(uintptr_t)PFS_CTRD_SNAPSHOTTER;
	record.snapshot_key = record.id;
	request.container = &record;
	return pfs_ctrd_call(k->c, &method, &request.base, NULL, NULL, err);
}

/* A mount source that went away is this machine's trouble, not the command's. */
static int explain_failure(struct container *k, int rc, struct pfs_error *err)
{
	struct stat st;

	for (size_t i = 0; i < k->run->n_mounts; i++)
		if (stat(k->run->mounts[i].source, &st) < 0) {
			k->mount_gone = true;
			return pfs_fail(err, PFS_E_IO, "mount source %s: %s",
					k->run->mounts[i].source, strerror(errno));
		}
	return pfs_wrap(err, rc, "start in image %s", k->run->image);
}

static int create_task(struct container *k, struct pfs_error *err)
{
	static const struct pfs_ctrd_method method = { "tasks.v1.Tasks/Create", PFS_CTRD_ONCE,
						       PFS_CTRD_TASK_MS, NULL };
	const Ctrd__SnapshotMounts *root = (const Ctrd__SnapshotMounts *)(void *)k->mounts;
	Ctrd__TaskCreate request = CTRD__TASK_CREATE__INIT;
	int rc;

	request.container_id = (char *)(uintptr_t)k->run->id;
	request.n_rootfs = root->n_mounts;
	request.rootfs = root->mounts;
	if (k->run->output)
		request.stdout = request.stderr = k->out.path;
	rc = pfs_ctrd_call(k->c, &method, &request.base, NULL, NULL, err);
	return rc == PFS_E_FAILED ? explain_failure(k, rc, err) : rc;
}

static int ask_wait(struct container *k, struct pfs_error *err)
{
	static const struct pfs_ctrd_method method = { "tasks.v1.Tasks/Wait", PFS_CTRD_ONCE, 0,
						       NULL };
	Ctrd__TaskId request = CTRD__TASK_ID__INIT;

	pfs_grpc_end(&k->wait);
	request.container_id = (char *)(uintptr_t)k->run->id;
	return pfs_ctrd_begin(k->c, &method, &request.base, true, &k->wait, err);
}

/* Did a start whose answer was lost happen? */
static int look_at_task(struct container *k, bool *out_started, struct pfs_error *err)
{
	static const struct pfs_ctrd_method method = { "tasks.v1.Tasks/Get", PFS_CTRD_REPEAT,
						       PFS_CTRD_QUICK_MS, NULL };
	PFS_AUTO(pfs_ctrd_free) ProtobufCMessage *m = NULL;
	Ctrd__TaskId request = CTRD__TASK_ID__INIT;
	const Ctrd__TaskProcess *p;
	int rc;

	request.container_id = (char *)(uintptr_t)k->run->id;
	rc = pfs_ctrd_call(k->c, &method, &request.base, &ctrd__task_get_reply__descriptor, &m,
			   err);
	if (rc < 0)
		return rc;
	p = ((Ctrd__TaskGetReply *)(void *)m)->process;
	*out_started = p && p->status >= CTRD__TASK_STATUS__RUNNING;
	return 0;
}

static int start_task(struct container *k, struct pfs_error *err)
{
	static const struct pfs_ctrd_method method = { "tasks.v1.Tasks/Start", PFS_CTRD_ONCE,
						       PFS_CTRD_TASK_MS, NULL };
	Ctrd__TaskId request = CTRD__TASK_ID__INIT;
	bool started = false;
	int rc;

	request.container_id = (char *)(uintptr_t)k->run->id;
	rc = pfs_ctrd_call(k->c, &method, &request.base, NULL, NULL, err);
	if (rc != PFS_E_IO)
		return rc == PFS_E_FAILED ? explain_failure(k, rc, err) : rc;
	rc = look_at_task(k, &started, err);
	if (rc == 0 && !started)
		rc = pfs_ctrd_call(k->c, &method, &request.base, NULL, NULL, err);
	return rc;
}

/* What a crashed run of ours left under this name; a stranger's is not touched. */
static int remove_leftover(struct container *k, struct pfs_error *err)
{
	static const struct pfs_ctrd_method method = { "snapshots.v1.Snapshots/Stat",
						       PFS_CTRD_REPEAT, PFS_CTRD_QUICK_MS, NULL };
	PFS_AUTO(pfs_ctrd_free) ProtobufCMessage *m = NULL;
	Ctrd__SnapshotKey request = CTRD__SNAPSHOT_KEY__INIT;
	const Ctrd__SnapshotInfo *info;
	bool ours = false;
	int rc;

	request.snapshotter = (char *)(uintptr_t)PFS_CTRD_SNAPSHOTTER;
	request.key = (char *)(uintptr_t)k->run->id;
	rc = pfs_ctrd_call(k->c, &method, &request.base, &ctrd__snapshot_stat_reply__descriptor, &m,
			   err);
	if (rc < 0)
		return rc;
	info = ((Ctrd__SnapshotStatReply *)(void *)m)->info;
	for (size_t i = 0; info && i < info->n_labels; i++)
		ours |= strcmp(info->labels[i]->key, PFS_CTRD_OWNER_LABEL) == 0 &&
			strcmp(info->labels[i]->value, k->c->owner) == 0;
	if (!ours)
		return pfs_fail(err, PFS_E_EXISTS, "a container %s of somebody else exists",
				k->run->id);
	return pfs_container_destroy(k->c, k->run->id, err);
}

static int create(struct container *k, const char *state_dir, struct pfs_error *err)
{
	int rc;

	rc = prepare_snapshot(k, err);
	if (rc == PFS_E_EXISTS) {
		rc = remove_leftover(k, err);
		if (rc == 0)
			rc = prepare_snapshot(k, err);
	}
	if (rc == 0)
		rc = find_user(k, err);
	if (rc == 0 && k->run->output)
		rc = pfs_outpipe_open(&k->out, state_dir, k->run->id, err);
	if (rc == 0)
		rc = create_record(k, err);
	if (rc == 0)
		rc = create_task(k, err);
	if (rc == 0)
		rc = ask_wait(k, err); /* before Start: no exit is missed */
	if (rc == 0)
		rc = start_task(k, err);
	return rc;
}

/* ---- while it runs ---- */

static int kill_task(struct pfs_ctrd *c, const char *id, uint32_t signal,
		     enum pfs_ctrd_repeat repeat)
{
	const struct pfs_ctrd_method method = { "tasks.v1.Tasks/Kill", repeat, PFS_CTRD_QUICK_MS,
						NULL };
	Ctrd__TaskKill request = CTRD__TASK_KILL__INIT;

	request.container_id = (char *)(uintptr_t)id;
	request.signal = signal;
	return pfs_ctrd_call(c, &method, &request.base, NULL, NULL, NULL);
}

/*
 * TERM when the caller or the clock says so, KILL when that did not help.
 * PFS_E_IO when even that is not seen to work: containerd is not there.
 */
static int check_end(struct container *k, struct pfs_error *err)
{
	int64_t now = pfs_clock_monotonic_ms();

	if (!k->killed_ms) {
		if (k->run->cancelled && k->run->cancelled(k->run->arg))
			k->result.cancelled = true;
		else if (k->run->timeout_ms > 0 && now - k->started_ms >= k->run->timeout_ms)
			k->result.timed_out = true;
		else
			return 0;
		k->killed_ms = now;
		kill_task(k->c, k->run->id, SIGTERM, PFS_CTRD_ONCE);
	} else if (now - k->killed_ms >= KILL_MS) {
		return pfs_fail(err, PFS_E_IO,
				"containerd does not say that container %s, which was killed, "
				"ended",
				k->run->id);
	} else if (!k->killed_hard && now - k->killed_ms >= GRACE_MS) {
		/* Asked again every turn until containerd took it once. */
		k->killed_hard = kill_task(k->c, k->run->id, SIGKILL, PFS_CTRD_ONCE) == 0;
	}
	return 0;
}

/* The answer to Wait, if it is there; asked again when the connection was lost. */
static int check_exit(struct container *k, int64_t wait_ms, struct pfs_error *err)
{
	PFS_AUTO(pfs_ctrd_free) ProtobufCMessage *m = NULL;
	struct timespec pause = { .tv_nsec = TURN_MS * 1000000L };
	int rc = PFS_E_IO;

	if (k->wait)
		rc = pfs_ctrd_receive(k->wait, &ctrd__task_wait_reply__descriptor, wait_ms, &m,
				      err);
	if (rc == PFS_E_BUSY)
		return 0;
	if (rc == PFS_E_IO) { /* a daemon that was restarted still knows its containers */
		pfs_grpc_end(&k->wait);
		nanosleep(&pause, NULL);
		ask_wait(k, NULL);
		return 0;
	}
	if (rc == 0)
		return pfs_fail(err, PFS_E_IO, "containerd: no answer to Wait");
	if (rc < 0)
		return pfs_wrap(err, rc, "containerd: wait for %s", k->run->id);
	k->result.exit_status = (int)((Ctrd__TaskWaitReply *)(void *)m)->exit_status;
	k->exited = true;
	return 0;
}

static int follow(struct container *k, struct pfs_error *err)
{
	bool talking = k->run->output != NULL;
	int rc = 0;

	while (rc == 0 && !k->exited) {
		/* The pipe ends with the container, so waiting for it first costs the exit no time. */
		if (talking)
			talking = pfs_outpipe_pump(&k->out, TURN_MS, k->run->output, k->run->arg);
		rc = check_exit(k, talking ? 0 : TURN_MS, err);
		if (rc == 0 && !k->exited)
			rc = check_end(k, err);
	}
	for (int64_t end = pfs_clock_monotonic_ms() + DRAIN_MS;
	     talking && pfs_clock_monotonic_ms() < end;)
		talking = pfs_outpipe_pump(&k->out, TURN_MS, k->run->output, k->run->arg);
	return rc;
}

/* ---- after the end ---- */

static int delete_task(struct pfs_ctrd *c, const char *id, struct pfs_error *err)
{
	static const struct pfs_ctrd_method method = { "tasks.v1.Tasks/Delete", PFS_CTRD_REMOVE,
						       PFS_CTRD_TASK_MS, NULL };
	struct timespec pause = { .tv_nsec = 50 * 1000000L };
	Ctrd__TaskDelete request = CTRD__TASK_DELETE__INIT;
	int rc = 0;

	request.container_id = (char *)(uintptr_t)id;
	for (int tries = 0; tries < DELETE_TRIES; tries++) {
		rc = pfs_ctrd_call(c, &method, &request.base, NULL, NULL, err);
		if (rc != PFS_E_CONFLICT && rc != PFS_E_FAILED)
			break;
		nanosleep(&pause, NULL);
	}
	return rc;
}

static int delete_record(struct pfs_ctrd *c, const char *id, struct pfs_error *err)
{
	static const struct pfs_ctrd_method method = { "containers.v1.Containers/Delete",
						       PFS_CTRD_REMOVE, PFS_CTRD_QUICK_MS, NULL };
	Ctrd__ContainerId request = CTRD__CONTAINER_ID__INIT;

	request.id = (char *)(uintptr_t)id;
	return pfs_ctrd_call(c, &method, &request.base, NULL, NULL, err);
}

static int remove_all(struct pfs_ctrd *c, const char *id, struct pfs_error *err)
{
	int rc;

	rc = delete_task(c, id, err);
	if (rc == 0)
		rc = delete_record(c, id, err);
	if (rc == 0)
		rc = pfs_snapshot_remove(c, id, err);
	return rc < 0 ? pfs_wrap(err, rc, "remove container %s", id) : 0;
}

/* Wait for the end of a task that was told to die; no task is an end too. */
static int wait_dead(struct pfs_ctrd *c, const char *id, struct pfs_error *err)
{
	static const struct pfs_ctrd_method method = { "tasks.v1.Tasks/Wait", PFS_CTRD_REMOVE,
						       KILL_MS, NULL };
	Ctrd__TaskId request = CTRD__TASK_ID__INIT;

	request.container_id = (char *)(uintptr_t)id;
	return pfs_ctrd_call(c, &method, &request.base, NULL, NULL, err);
}

static int is_created_only(struct pfs_ctrd *c, const char *id, bool *out, struct pfs_error *err)
{
	struct pfs_run run = { .id = id };
	struct container k = { .c = c, .run = &run };
	bool started = true;
	int rc = look_at_task(&k, &started, err);

	*out = !started;
	return rc == PFS_E_NOTFOUND ? 0 : rc;
}

int pfs_container_destroy(struct pfs_ctrd *c, const char *id, struct pfs_error *err)
{
	bool created_only;
	int rc;

	rc = is_created_only(c, id, &created_only, err);
	if (rc < 0)
		return rc;
	/* Nobody waits for a task that never started: it is deleted as it is. */
	if (!created_only) {
		kill_task(c, id, SIGKILL, PFS_CTRD_REMOVE);
		rc = wait_dead(c, id, err);
	}
	return rc < 0 ? rc : remove_all(c, id, err);
}

int pfs_container_run(struct pfs_ctrd *c, const char *state_dir, const struct pfs_run *run,
		      struct pfs_run_result *out, struct pfs_error *err)
{
	PFS_AUTO(fini_container) struct container k = { .c = c, .run = run, .out = { .fd = -1 } };
	struct pfs_error unheard;
	int rc;

	k.began_ms = pfs_clock_monotonic_ms();
	rc = pfs_image_load(c, run->id, run->image, &k.image, err);
	if (rc < 0)
		return rc;
	rc = create(&k, state_dir, err);
	if (rc == 0) {
		k.started_ms = pfs_clock_monotonic_ms();
		k.result.start_ms = k.started_ms - k.began_ms;
		rc = follow(&k, err);
	}
	if (k.exited) /* the cgroup with the count goes away with the task */
		k.result.out_of_memory = pfs_host_oom_killed(run->id);
	pfs_grpc_end(&k.wait);
	if (k.exited)
		rc = remove_all(c, run->id, err);
	else if (rc != PFS_E_EXISTS &&
		 (rc != PFS_E_IO || k.mount_gone)) /* what cannot be reached is swept later */
		pfs_container_destroy(c, run->id, &unheard);
	if (k.exited && rc < 0)
		rc = 0; /* it ran: what is left of it is for the sweep */
	if (rc < 0)
		return rc;
	k.result.total_ms = pfs_clock_monotonic_ms() - k.began_ms;
	*out = k.result;
	return 0;
}
