/*
 * Make a store for the independent reader to read, and print what is in it:
 * a line "type id length seed" an object. Its bytes: see fill().
 */
#include "store/packwriter.h"
#include "store/store.h"
#include "../scratch.h"

/* A linear congruence that a few lines of any language repeat; even seeds compress. */
static void fill(unsigned char *data, size_t len, unsigned seed)
{
	uint32_t x = seed;

	for (size_t i = 0; i < len; i++) {
		x = x * 1103515245u + 12345u;
		data[i] = (unsigned char)(seed % 2 ? x >> 16 : 'a' + (x >> 28));
	}
}

static void put(struct pfs_store *st, enum pfs_kind kind, size_t len, unsigned seed)
{
	static unsigned char data[1 << 20];
	char text[PFS_ID_HEX_SIZE];
	struct pfs_error err = { 0 };
	struct pfs_id id;

	fill(data, len, seed);
	CHECK(pfs_store_put(st, kind, data, len, &id, &err) == 0, "%s", err.text);
	printf("%d %s %zu %u\n", (int)kind, pfs_id_format(&id, text), len, seed);
}

int main(int argc, char **argv)
{
	static const enum pfs_kind kinds[] = { PFS_KIND_CHUNK, PFS_KIND_SEQNODE, PFS_KIND_DIRNODE,
					       PFS_KIND_COMMIT, PFS_KIND_XATTRS };
	struct pfs_store *st = NULL;
	struct pfs_error err = { 0 };

	CHECK(argc == 2, "make_store FOLDER");
	pfs_packwriter_set_targets(1 << 20, 1 << 20);
	CHECK(pfs_store_open(argv[1], &st, &err) == 0, "%s", err.text);
	/* More than a pack is to hold, so that one is sealed; then every kind and size class. */
	for (unsigned i = 0; i < 5; i++)
		put(st, PFS_KIND_DIRNODE, 250000, 2 * i + 1);
	for (unsigned i = 0; i < 40; i++)
		put(st, kinds[i % 5], (size_t)i * i * 13, 100 + i);
	CHECK(pfs_store_sync(st, &err) == 0, "%s", err.text);
	pfs_store_close(&st);
	return 0;
}
