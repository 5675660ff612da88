/*
 * Bytes from a disk that lies: every decoder of a store's fixed pieces, the
 * payload decoder, and a walk over records as recovery does it. What a decoder
 * accepts, its encoder has to write back bit for bit.
 *
 * The first byte chooses the piece; the rest is the piece.
 */
#include "format/packhdr.h"
#include "store/codec.h"
#include "base/crc32c.h"
#include "base/endian.h"
#include "base/limits.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must_equal(const unsigned char *a, const unsigned char *b, size_t len)
{
	if (memcmp(a, b, len) != 0)
		abort();
}

/* A copy filled up with zeros; with `crc_off`, its checksum is made right first. */
static unsigned char *piece(const uint8_t *data, size_t size, size_t want, size_t crc_off)
{
	unsigned char *p = calloc(1, want);

	if (!p)
		abort();
	if (size)
		memcpy(p, data, size < want ? size : want);
	if (crc_off)
		pfs_put_le32(p + crc_off, pfs_crc32c(0, p, crc_off));
	return p;
}

static void try_header(const uint8_t *data, size_t size)
{
	unsigned char *p = piece(data, size, PFS_PACKHDR_SIZE, 60), again[PFS_PACKHDR_SIZE];
	struct pfs_packhdr h;

	if (pfs_packhdr_decode(p, &h, NULL) == 0) {
		pfs_packhdr_encode(&h, again);
		must_equal(p, again, sizeof(again));
	}
	free(p);
}

static void try_record(const uint8_t *data, size_t size)
{
	unsigned char *p = piece(data, size, PFS_PACKREC_SIZE, 52), again[PFS_PACKREC_SIZE];
	struct pfs_packrec r;

	if (pfs_packrec_decode(p, &r, NULL) == 0) {
		pfs_packrec_encode(&r, again);
		must_equal(p, again, sizeof(again));
	}
	free(p);
}

static void try_entry(const uint8_t *data, size_t size)
{
	unsigned char *p = piece(data, size, PFS_PACKENTRY_SIZE, 0), again[PFS_PACKENTRY_SIZE];
	struct pfs_packentry e;

	if (pfs_packentry_decode(p, &e, NULL) == 0) {
		pfs_packentry_encode(&e, again);
		must_equal(p, again, sizeof(again));
	}
	free(p);
}

static void try_trailer(const uint8_t *data, size_t size)
{
	unsigned char *p = piece(data, size, PFS_PACKTRAILER_SIZE + 8, 0);
	unsigned char again[PFS_PACKTRAILER_SIZE];
	uint64_t file_size = pfs_get_le64(p + PFS_PACKTRAILER_SIZE);
	struct pfs_packtrailer t;

	if (pfs_packtrailer_decode(p, file_size, &t, NULL) == 0) {
		pfs_packtrailer_encode(&t, again);
		must_equal(p, again, sizeof(again));
		if (t.footer_off + (uint64_t)t.n_entries * PFS_PACKENTRY_SIZE > file_size)
			abort();
	}
	free(p);
}

static void try_piece(const uint8_t *data, size_t size)
{
	unsigned char *p = piece(data, size, PFS_PACKENTRY_SIZE, 0), again[PFS_PACKENTRY_SIZE];
	struct pfs_packentry e;

	if (pfs_packentry_decode_piece(p, &e, NULL) == 0) {
		pfs_packentry_encode_piece(&e, again);
		must_equal(p, again, sizeof(again));
		if (e.off + e.ulen > PFS_ADOPTION_SIZE_MAX)
			abort();
	}
	free(p);
}

static void try_superblock(const uint8_t *data, size_t size)
{
	unsigned char *p = piece(data, size, PFS_SUPERBLOCK_SIZE, 4092), again[PFS_SUPERBLOCK_SIZE];
	struct pfs_superblock s;

	if (pfs_superblock_decode(p, &s, NULL) == 0) {
		pfs_superblock_encode(&s, again);
		must_equal(p, again, sizeof(again));
	}
	free(p);
}

/* Records one behind the other, and what is in those that are whole. */
static void try_records(const uint8_t *data, size_t size)
{
	static unsigned char plain[PFS_OBJECT_SIZE_MAX];
	struct pfs_packrec r;

	while (pfs_packrec_check(data, size, &r, NULL) == 0) {
		uint64_t extent = pfs_packrec_extent(r.clen);

		if (extent > size)
			abort();
		pfs_codec_decode((enum pfs_codec)r.codec, data + PFS_PACKREC_SIZE, r.clen, plain,
				 r.ulen, NULL);
		data += extent;
		size -= extent;
	}
}

static void try_payload(const uint8_t *data, size_t size)
{
	static unsigned char plain[PFS_OBJECT_SIZE_MAX];

	if (size >= 4)
		pfs_codec_decode(PFS_CODEC_ZSTD, data + 4, size - 4, plain,
				 pfs_get_le32(data) % (PFS_OBJECT_SIZE_MAX + 1), NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static void (*const tries[])(const uint8_t *data, size_t size) = {
		try_header,     try_record,  try_entry,   try_trailer,
		try_superblock, try_records, try_payload, try_piece,
	};

	if (size)
		tries[data[0] % (sizeof(tries) / sizeof(*tries))](data + 1, size - 1);
	return 0;
}
