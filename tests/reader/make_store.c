/*
 * Make a store for the independent reader to read, and print what is in it:
 * a line "type id length seed" an object. Its bytes: see fill().
 */
#include "store/adoption.h"
#include "store/bundler.h"
#include "store/packlog.h"
#include "store/recover.h"
#include "store/superblock.h"
#include "../scratch.h"

#include <unistd.h>

/* A linear congruence that a few lines of any language repeat; even seeds compress. */
static void fill(unsigned char *data, size_t len, unsigned seed)
{
	uint32_t x = seed;

	for (size_t i = 0; i < len; i++) {
		x = x * 1103515245u + 12345u;
		data[i] = (unsigned char)(seed % 2 ? x >> 16 : 'a' + (x >> 28));
	}
}

static void tell(enum pfs_kind kind, const struct pfs_id *id, size_t len, unsigned seed)
{
	char text[PFS_ID_HEX_SIZE];

	printf("%d %s %zu %u\n", (int)kind, pfs_id_format(id, text), len, seed);
}

static struct pfs_id put_near(struct pfs_store *st, enum pfs_kind kind, size_t len, unsigned seed,
			      const struct pfs_id *near)
{
	static unsigned char data[1 << 20];
	struct pfs_store_item item = { .data = data, .len = len, .near = near };
	struct pfs_error err = { 0 };

	fill(data, len, seed);
	CHECK(pfs_store_put_batch(st, kind, &item, 1, &err) == 0, "%s", err.text);
	tell(kind, &item.id, len, seed);
	return item.id;
}

static struct pfs_id put(struct pfs_store *st, enum pfs_kind kind, size_t len, unsigned seed)
{
	return put_near(st, kind, len, seed, NULL);
}

/* A file of pieces with a hole in front of each. */
static void adopt(struct pfs_store *st, const char *folder)
{
	static unsigned char data[100000];
	struct pfs_adoption *a = NULL;
	struct pfs_error err = { 0 };
	char path[400];
	uint64_t off = 0;
	int fd;

	snprintf(path, sizeof(path), "%s/incoming", folder);
	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	CHECK(fd >= 0 && pfs_adoption_begin(st, &a, NULL) == 0, "%s", path);
	for (unsigned i = 0; i < 6; i++) {
		struct pfs_store_item item = { .data = data, .len = 40001 + i * 7777 };

		off += 1001 * i;
		fill(data, item.len, 901 + i);
		CHECK(pwrite(fd, data, item.len, (off_t)off) == (ssize_t)item.len, "write");
		CHECK(pfs_adoption_add(a, off, &item, 1, &err) == 0, "%s", err.text);
		tell(PFS_KIND_CHUNK, &item.id, item.len, 901 + i);
		off += item.len;
	}
	close(fd);
	CHECK(pfs_adoption_commit(&a, AT_FDCWD, path, &err) == 0, "%s", err.text);
	unlink(path);
}

/* Small objects that lie in the packs by themselves are put together, as sweep does it. */
static void bundle(const char *folder)
{
	enum { N = 40 };
	PFS_AUTO(pfs_bundler_fini) struct pfs_bundler b = { 0 };
	struct pfs_move moves[N] = { 0 };
	struct pfs_packset *set = NULL;
	struct pfs_packlog *log = NULL;
	struct pfs_hasher *hasher = NULL;
	struct pfs_superblock super;
	struct pfs_store_keys keys;
	struct pfs_packrec rec;
	unsigned char data[1000], *payload;
	uint32_t seq = 1;
	int dir = pfs_io_open(AT_FDCWD, folder, O_RDONLY | O_DIRECTORY, 0, NULL);

	CHECK(pfs_superblock_load(dir, &super, NULL) == 0, "superblock");
	CHECK(pfs_hasher_derive(super.secret, &keys, NULL) == 0, "keys");
	CHECK(pfs_hasher_new(keys.id_key, &hasher, NULL) == 0, "hasher");
	CHECK(pfs_packset_new(dir, super.uuid, &set, NULL) == 0, "packs");
	CHECK(pfs_recover_sealed(dir, set, super.uuid, &seq, NULL) == 0, "packs");
	CHECK(pfs_packlog_new(dir, set, hasher, super.uuid, seq, &log, NULL) == 0, "log");
	CHECK(pfs_recover_open(dir, set, super.uuid, log, NULL) == 0, "packs");
	pfs_bundler_init(&b);
	for (unsigned i = 0; i < N; i++) {
		size_t len = 100 + i * 20;

		fill(data, len, 2000 + i);
		CHECK(pfs_hasher_id(hasher, PFS_KIND_CHUNK, data, len, &moves[i].id, NULL) == 0,
		      "id");
		CHECK(pfs_packset_find(set, &moves[i].id, &moves[i].from), "object %u", i);
		CHECK(pfs_bundler_add(&b, PFS_KIND_CHUNK, &moves[i].id, data, len, NULL) == 0,
		      "add");
	}
	CHECK(pfs_bundler_make(&b, hasher, &rec, &payload, NULL) == 0, "bundle");
	CHECK(pfs_packlog_move(log, &rec, payload, moves, N, NULL) == 1, "move");
	CHECK(pfs_packlog_sync(log, NULL) == 0, "sync");
	free(payload);
	pfs_packlog_free(&log);
	pfs_packset_free(&set);
	pfs_hasher_free(&hasher);
	pfs_fd_close(&dir);
}

int main(int argc, char **argv)
{
	static const enum pfs_kind kinds[] = { PFS_KIND_CHUNK, PFS_KIND_SEQNODE, PFS_KIND_DIRNODE,
					       PFS_KIND_COMMIT, PFS_KIND_XATTRS };
	struct pfs_store *st = NULL;
	struct pfs_error err = { 0 };
	struct pfs_id base;

	CHECK(argc == 2, "make_store FOLDER");
	pfs_packwriter_set_targets(1 << 20, 1 << 20);
	CHECK(pfs_store_open(argv[1], &st, &err) == 0, "%s", err.text);
	/* More than a pack is to hold, so that one is sealed; then every kind and size class. */
	for (unsigned i = 0; i < 5; i++)
		put(st, PFS_KIND_DIRNODE, 250000, 2 * i + 1);
	for (unsigned i = 0; i < 40; i++)
		put(st, kinds[i % 5], (size_t)i * i * 13, 100 + i);
	base = put(st, PFS_KIND_CHUNK, 50000, 777);
	for (unsigned i = 0; i < 40; i++)
		put(st, PFS_KIND_CHUNK, 100 + i * 20, 2000 + i);
	adopt(st, argv[1]);
	CHECK(pfs_store_sync(st, &err) == 0, "%s", err.text);
	put_near(st, PFS_KIND_CHUNK, 50100, 777, &base);
	put_near(st, PFS_KIND_CHUNK, 49900, 777, &base);
	CHECK(pfs_store_sync(st, &err) == 0, "%s", err.text);
	pfs_store_close(&st);
	bundle(argv[1]);
	return 0;
}
