/*
 * A disk that is really full: a file system of a few MiB, filled to the brim.
 * Puts fail with NOSPACE and nothing else happens; what was synced is whole;
 * once there is room, the same store goes on.
 */
#include "store/store.h"
#include "../scratch.h"

#include <errno.h>
#include <sched.h>
#include <sys/mount.h>
#include <unistd.h>

#define SIZE 50000

static void complain(void *arg, const char *damage)
{
	fprintf(stderr, "damage: %s\n", damage);
}

static int put(struct pfs_store *st, unsigned i, struct pfs_error *err)
{
	unsigned char data[SIZE];
	struct pfs_id id;

	scratch_fill(data, sizeof(data), i + 1);
	return pfs_store_put(st, i % 2 ? PFS_KIND_CHUNK : PFS_KIND_DIRNODE, data, sizeof(data), &id,
			     err);
}

static bool has(struct pfs_store *st, unsigned i)
{
	PFS_AUTO(pfs_object_unref) const struct pfs_object *o = NULL;
	enum pfs_kind kind = i % 2 ? PFS_KIND_CHUNK : PFS_KIND_DIRNODE;
	unsigned char data[SIZE];
	struct pfs_id id;

	scratch_fill(data, sizeof(data), i + 1);
	pfs_store_id(st, kind, data, sizeof(data), &id);
	if (pfs_store_get(st, kind, &id, &o, NULL) < 0)
		return false;
	CHECK(o->len == SIZE && memcmp(o->data, data, SIZE) == 0, "wrong bytes of %u", i);
	return true;
}

/* Put and sync until one fails; the number that is durable. */
static unsigned fill_up(struct pfs_store *st, unsigned from)
{
	struct pfs_error err = { 0 };
	unsigned durable = from;

	for (unsigned i = from;; i++) {
		int rc = put(st, i, &err);

		if (rc == 0 && i % 3 == 0) {
			rc = pfs_store_sync(st, &err);
			durable = rc == 0 ? i + 1 : durable;
		}
		if (rc < 0) {
			CHECK(rc == PFS_E_NOSPACE, "another error: %s", err.text);
			CHECK(strstr(err.text, "No space left"), "unclear: %s", err.text);
			return durable;
		}
		CHECK(i < 10000, "the disk does not fill");
	}
}

static void expect_whole(struct pfs_store *st, unsigned n)
{
	struct pfs_error err = { 0 };

	for (unsigned i = 0; i < n; i++)
		CHECK(has(st, i), "object %u of %u is gone", i, n);
	CHECK(pfs_store_check(st, complain, NULL, &err) == 0, "check: %s", err.text);
}

static void make_ballast(const char *path, size_t len)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	CHECK(fd >= 0 && posix_fallocate(fd, 0, (off_t)len) == 0, "ballast");
	close(fd);
}

static void story(const char *folder)
{
	char path[400], ballast[400];
	struct pfs_store *st = NULL;
	struct pfs_error err = { 0 };
	unsigned durable, more;

	snprintf(path, sizeof(path), "%s/store", folder);
	snprintf(ballast, sizeof(ballast), "%s/ballast", folder);
	make_ballast(ballast, 3 << 20);
	CHECK(pfs_store_open(path, &st, &err) == 0, "%s", err.text);
	durable = fill_up(st, 0);
	CHECK(durable > 10, "only %u", durable);
	for (unsigned i = 0; i < durable; i++)
		CHECK(has(st, i), "object %u of %u is gone", i, durable);
	CHECK(pfs_store_sync(st, &err) == PFS_E_NOSPACE, "a sync on a full disk: %s", err.text);

	CHECK(unlink(ballast) == 0, "ballast");
	CHECK(pfs_store_sync(st, &err) == 0, "sync with room again: %s", err.text);
	expect_whole(st, durable);
	more = fill_up(st, durable);
	CHECK(more > durable + 10, "only %u more", more - durable);

	/* Full again, and closed like that: it opens, reads, and says so. */
	pfs_store_close(&st);
	CHECK(pfs_store_open(path, &st, &err) == 0, "open on a full disk: %s", err.text);
	expect_whole(st, more);
	pfs_store_close(&st);
	printf("%u objects, then %u with room again: all whole\n", durable, more);
}

int main(void)
{
	struct scratch dir = scratch_new();

	/* A name space of our own: whatever happens, the mount goes with us. */
	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    mount("none", dir.path, "tmpfs", 0, "size=9m") < 0) {
		fprintf(stderr, "not permitted to mount: %s\n", strerror(errno));
		scratch_fini(&dir);
		return 77;
	}
	story(dir.path);
	umount2(dir.path, MNT_DETACH);
	scratch_fini(&dir);
	return 0;
}
