#include "runtime/runtime_i.h"
#include "base/io.h"
#include "base/rand.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define ID_MAX    76u /* of containerd */
#define OWNER_MAX 40u

/* [A-Za-z0-9]+([._-][A-Za-z0-9]+)*, as containerd wants its ids. */
static int check_id(const char *what, const char *id, size_t max, struct pfs_error *err)
{
	static const char letters[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
	bool after_letter = false;

	if (!id[0] || strlen(id) > max)
		return pfs_fail(err, PFS_E_INVALID, "%s \"%.100s\": 1 to %zu characters", what, id,
				max);
	for (const char *p = id; *p; p++) {
		bool letter = strchr(letters, *p) != NULL;

		if (!letter && (!strchr("._-", *p) || !after_letter))
			return pfs_fail(
				err, PFS_E_INVALID,
				"%s \"%s\": letters and digits, with single ._- between them", what,
				id);
		after_letter = letter;
	}
	if (!after_letter)
		return pfs_fail(err, PFS_E_INVALID, "%s \"%s\" ends in ._-", what, id);
	return 0;
}

int pfs_runtime_open(const char *address, const char *owner, const char *state_dir,
		     struct pfs_runtime **out, struct pfs_error *err)
{
	struct pfs_runtime *rt = NULL;
	int rc;

	rc = check_id("owner", owner, OWNER_MAX, err);
	if (rc == 0)
		rc = pfs_io_mkdir_all(AT_FDCWD, state_dir, err);
	if (rc == 0)
		rc = pfs_runtime_open_containerd(address, owner, state_dir, &rt, err);
	if (rc < 0)
		return rc;
	pfs_lock_init(&rt->lock, PFS_RANK_RUNTIME);
	pfs_map_init(&rt->alive);
	*out = rt;
	return 0;
}

void pfs_runtime_close(struct pfs_runtime **runtime)
{
	struct pfs_runtime *rt = *runtime;

	*runtime = NULL;
	if (!rt)
		return;
	pfs_map_fini(&rt->alive);
	pfs_lock_fini(&rt->lock);
	rt->ops->close(rt);
}

const char *pfs_runtime_version(const struct pfs_runtime *rt)
{
	return rt->version;
}

/* From now on a sweep spares `id`, which the caller keeps until leave(). */
static int enter(struct pfs_runtime *rt, const char *id, struct pfs_error *err)
{
	int rc = 0;

	pfs_lock(&rt->lock);
	if (pfs_map_find(&rt->alive, id, strlen(id)))
		rc = pfs_fail(err, PFS_E_EXISTS, "container %s runs already", id);
	else
		rc = pfs_map_set(&rt->alive, id, strlen(id), rt, err);
	pfs_unlock(&rt->lock);
	return rc;
}

static void leave(struct pfs_runtime *rt, const char *id)
{
	pfs_lock(&rt->lock);
	pfs_map_remove(&rt->alive, id, strlen(id));
	pfs_unlock(&rt->lock);
}

static bool is_alive(void *arg, const char *id)
{
	struct pfs_runtime *rt = arg;
	bool alive;

	pfs_lock(&rt->lock);
	alive = pfs_map_find(&rt->alive, id, strlen(id)) != NULL;
	pfs_unlock(&rt->lock);
	return alive;
}

int pfs_runtime_import(struct pfs_runtime *rt, const char *archive, const char *name,
		       char *out_name, size_t size, struct pfs_error *err)
{
	char task[40];
	int rc;

	snprintf(task, sizeof(task), "pfs-import-%016" PRIx64, pfs_rand_u64());
	rc = enter(rt, task, err);
	if (rc < 0)
		return rc;
	rc = rt->ops->import(rt, task, archive, name, out_name, size, err);
	leave(rt, task);
	return rc;
}

int pfs_runtime_resolve(struct pfs_runtime *rt, const char *image,
			char out_digest[PFS_IMAGE_DIGEST_SIZE], struct pfs_error *err)
{
	return rt->ops->resolve(rt, image, out_digest, err);
}

int pfs_runtime_images(struct pfs_runtime *rt,
		       void (*each)(void *arg, const char *name, const char *digest), void *arg,
		       struct pfs_error *err)
{
	return rt->ops->images(rt, each, arg, err);
}

int pfs_runtime_run(struct pfs_runtime *rt, const struct pfs_run *run, struct pfs_run_result *out,
		    struct pfs_error *err)
{
	struct pfs_run_result result;
	int rc;

	rc = check_id("container id", run->id, ID_MAX, err);
	if (rc == 0)
		rc = enter(rt, run->id, err);
	if (rc < 0)
		return rc;
	rc = rt->ops->run(rt, run, &result, err);
	leave(rt, run->id);
	if (rc == 0)
		*out = result;
	return rc;
}

int pfs_runtime_sweep(struct pfs_runtime *rt, struct pfs_error *err)
{
	return rt->ops->sweep(rt, is_alive, rt, err);
}
