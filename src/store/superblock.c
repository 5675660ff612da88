#include "store/superblock.h"
#include "base/clock.h"
#include "base/io.h"
#include "base/publish.h"
#include "base/rand.h"

#include <fcntl.h>

#define FILE_NAME "STORE"

int pfs_superblock_load_copy(int dir, int copy, struct pfs_superblock *out, struct pfs_error *err)
{
	PFS_AUTO(pfs_fd_close) int fd = pfs_io_open_file(dir, FILE_NAME, O_RDONLY, err);
	unsigned char raw[PFS_SUPERBLOCK_SIZE];
	size_t got;
	int rc = fd;

	if (rc >= 0)
		rc = pfs_io_pread(fd, raw, sizeof(raw), (uint64_t)copy * sizeof(raw), &got, err);
	if (rc == 0 && got < sizeof(raw))
		rc = pfs_fail(err, PFS_E_CORRUPT, "superblock is cut short");
	if (rc == 0)
		rc = pfs_superblock_decode(raw, out, err);
	return rc < 0 ? pfs_wrap(err, rc, "%s copy %c", FILE_NAME, 'A' + copy) : 0;
}

int pfs_superblock_load(int dir, struct pfs_superblock *out, struct pfs_error *err)
{
	struct pfs_error a = { 0 }, b = { 0 };
	struct pfs_superblock other;
	int rc = pfs_superblock_load_copy(dir, 0, out, &a);

	if (rc == 0)
		return pfs_superblock_load_copy(dir, 1, &other, NULL) == PFS_E_CORRUPT;
	/* Only damage is a reason to look at B: a version we do not know is not in B either. */
	if (rc == PFS_E_CORRUPT && pfs_superblock_load_copy(dir, 1, out, &b) == 0)
		return 1;
	if (rc == PFS_E_CORRUPT)
		return pfs_fail(err, rc,
				"%.300s; %.300s; both copies are damaged, and nothing else has the "
				"keys of the store: bring store/" FILE_NAME " back from a backup",
				a.text, b.text);
	if (err)
		*err = a;
	return rc;
}

int pfs_superblock_write(int dir, const struct pfs_superblock *s, struct pfs_error *err)
{
	unsigned char raw[2 * PFS_SUPERBLOCK_SIZE];

	pfs_superblock_encode(s, raw);
	pfs_superblock_encode(s, raw + PFS_SUPERBLOCK_SIZE);
	return pfs_publish(dir, FILE_NAME, raw, sizeof(raw), 0600, err);
}

int pfs_superblock_create(int dir, struct pfs_superblock *out, struct pfs_error *err)
{
	struct pfs_superblock s = {
		.created_ns = (uint64_t)pfs_clock_ns(),
		.chunker = pfs_chunker_params_v1,
	};
	int rc = pfs_rand_bytes(s.uuid, sizeof(s.uuid), err);

	if (rc == 0)
		rc = pfs_rand_bytes(s.secret, sizeof(s.secret), err);
	if (rc == 0)
		rc = pfs_superblock_write(dir, &s, err);
	if (rc == 0)
		*out = s;
	return rc;
}
