/*
 * Any bytes as a commit record: refused with a reason, or decoded, and then
 * encoded back to the very same bytes.
 */
#include "format/commitrec.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void insist(bool ok, const char *what)
{
	if (ok)
		return;
	fprintf(stderr, "fuzz_commitrec: %s\n", what);
	abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct pfs_buf back = PFS_BUF_INIT(PFS_COMMITREC_SIZE_MAX);
	struct pfs_commitrec rec = { 0 };
	struct pfs_error err = { 0 };
	int rc = pfs_commitrec_decode(data, size, &rec, &err);

	if (rc < 0) {
		insist(err.code == rc && err.text[0], "no reason");
		insist(rc == PFS_E_CORRUPT || rc == PFS_E_UNSUPPORTED, "an odd reason");
		insist(!rec.sources, "wrote to out");
		return 0;
	}
	insist(pfs_commitrec_encode(&rec, &back, &err) == 0, err.text);
	insist(back.len == size && memcmp(back.data, data, size) == 0, "not canonical");
	pfs_commitrec_fini(&rec);
	pfs_buf_fini(&back);
	return 0;
}
