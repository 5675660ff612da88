/*
 * A sealed pack of which only header and footer are written: what it says it
 * holds. Its records are a hole, for whoever asks where objects are and never
 * for their bytes.
 */
#ifndef PFS_TESTS_FOOTPACK_H
#define PFS_TESTS_FOOTPACK_H

#include "scratch.h"
#include "store/pack.h"

#include <unistd.h>

/* Work in memory, if there is some: for who flushes much and lets processes end, not the power. */
static inline void footpack_in_memory(void)
{
	if (!getenv("TMPDIR") && access("/dev/shm", W_OK) == 0)
		setenv("TMPDIR", "/dev/shm", 1);
}

#define FOOTPACK_RECORD 72u /* bytes of each record, with a payload of ... */
#define FOOTPACK_CLEN   10u

static inline uint64_t footpack_off(uint32_t i)
{
	return PFS_PACKHDR_SIZE + (uint64_t)i * FOOTPACK_RECORD;
}

static inline void footpack_add(struct pfs_packfooter *f, const struct pfs_id *id)
{
	const struct pfs_packrec rec = {
		.type = 1,
		.codec = PFS_CODEC_RAW,
		.ulen = FOOTPACK_CLEN,
		.clen = FOOTPACK_CLEN,
		.id = *id,
	};
	static const unsigned char payload[FOOTPACK_CLEN];

	CHECK(pfs_packfooter_add(f, &rec, footpack_off(pfs_packfooter_records(f)), payload, NULL) ==
		      0,
	      "memory");
}

/* The size of the file. */
static inline uint64_t footpack_write(int dir, const unsigned char uuid[PFS_UUID_SIZE],
				      const unsigned char store_uuid[PFS_UUID_SIZE], uint32_t seq,
				      const struct pfs_packfooter *f)
{
	uint64_t off = footpack_off(pfs_packfooter_records(f));
	char path[PFS_PACK_PATH_SIZE], folder[PFS_PACK_PATH_SIZE];
	unsigned char header[PFS_PACKHDR_SIZE], *footer;
	struct pfs_packhdr h = {
		.version = PFS_PACK_VERSION,
		.kind = PFS_PACK_DATA,
		.seq = seq,
	};
	size_t len;
	int fd;

	memcpy(h.pack_uuid, uuid, PFS_UUID_SIZE);
	memcpy(h.store_uuid, store_uuid, PFS_UUID_SIZE);
	pfs_packhdr_encode(&h, header);
	pfs_pack_path(uuid, PFS_PACK_DATA, true, path);
	snprintf(folder, sizeof(folder), "%.10s", path);
	CHECK(pfs_io_mkdir_all(dir, folder, NULL) == 0, "%s", folder);
	fd = pfs_io_open(dir, path, O_RDWR | O_CREAT | O_TRUNC, 0600, NULL);
	CHECK(fd >= 0 && pfs_pack_make_footer(header, f, off, &footer, &len, NULL) == 0, "%s",
	      path);
	CHECK(pfs_io_pwrite(fd, header, sizeof(header), 0, NULL) == 0 &&
		      pfs_io_pwrite(fd, footer, len, off, NULL) == 0,
	      "%s", path);
	free(footer);
	pfs_fd_close(&fd);
	return off + len;
}

#endif
