/*
 * Make a store with an index for the independent reader to read: several packs
 * are sealed, runs are written and merged, and some objects are left in a pack
 * that is being written.
 */
#include "store/packset.h"
#include "store/packwriter.h"
#include "store/store.h"
#include "../scratch.h"

int main(int argc, char **argv)
{
	struct pfs_store *st = NULL;
	struct pfs_error err = { 0 };
	unsigned char data[900];

	CHECK(argc == 2, "make_index FOLDER");
	pfs_packwriter_set_targets(40000, 40000);
	pfs_packset_set_batch(100);
	CHECK(pfs_store_open(argv[1], &st, &err) == 0, "%s", err.text);
	for (unsigned i = 0; i < 1500; i++) {
		size_t len = 100 + i * 31 % 800;
		struct pfs_id id;

		scratch_fill(data, len, i + 1);
		if (i % 5 == 0)
			memset(data + 8, 'x', len - 8);
		CHECK(pfs_store_put(st, i % 3 ? PFS_KIND_CHUNK : PFS_KIND_DIRNODE, data, len, &id,
				    &err) == 0,
		      "%s", err.text);
		if (i % 100 == 99)
			CHECK(pfs_store_sync(st, &err) == 0 && pfs_store_tidy(st, &err) >= 0, "%s",
			      err.text);
	}
	while (pfs_store_tidy(st, &err) == 1)
		;
	pfs_store_close(&st);
	return 0;
}
