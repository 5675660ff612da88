/*
 * What is inside a record and behind the records: payloads of all codecs,
 * bundles, and the tables of a footer with the walk over them.
 *
 * The first byte chooses; the rest is the piece.
 */
#include "format/bundle.h"
#include "format/packfooter.h"
#include "store/codec.h"
#include "base/endian.h"
#include "base/limits.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static unsigned char plain[PFS_OBJECT_SIZE_MAX];

static void try_zstd(const uint8_t *data, size_t size)
{
	if (size >= 4)
		pfs_codec_decode(PFS_CODEC_ZSTD, data + 4, size - 4, plain,
				 pfs_get_le32(data) % (PFS_OBJECT_SIZE_MAX + 1), NULL);
}

/* Two lengths, the base, the frame. */
static void try_delta(const uint8_t *data, size_t size)
{
	size_t base_len;

	if (size < 8)
		return;
	base_len = pfs_get_le32(data + 4) % (size - 7);
	pfs_codec_decode_delta(data + 8, base_len, data + 8 + base_len, size - 8 - base_len, plain,
			       pfs_get_le32(data) % (PFS_OBJECT_SIZE_MAX + 1), NULL);
}

/* The length of all members, the codec, the payload; as a reader takes it apart. */
static void try_bundle(const uint8_t *data, size_t size)
{
	uint32_t ulen, n, table;
	size_t at = 0;

	if (size < 5 || size > PFS_OBJECT_SIZE_MAX)
		return;
	ulen = pfs_get_le32(data) % (PFS_BUNDLE_SIZE_MAX + 1);
	if (pfs_bundle_decode(data + 5, (uint32_t)size - 5, ulen, &n, &table, NULL) < 0)
		return;
	if (table > size - 5)
		abort();
	for (uint32_t i = 0; i < n; i++) {
		const unsigned char *row =
			data + 5 + PFS_BUNDLE_HEAD_SIZE + i * PFS_BUNDLE_MEMBER_SIZE;
		unsigned char again[PFS_BUNDLE_MEMBER_SIZE];
		struct pfs_bundle_member m;

		if (pfs_bundle_decode_member(row, &m, NULL) < 0)
			abort(); /* the table was checked */
		pfs_bundle_encode_member(&m, again);
		if (memcmp(row, again, sizeof(again)) != 0)
			abort();
		at += m.len;
	}
	if (at != ulen)
		abort();
	pfs_codec_decode(data[4] % 2 ? PFS_CODEC_ZSTD : PFS_CODEC_RAW, data + 5 + table,
			 size - 5 - table, plain, ulen, NULL);
}

/* Numbers of entries, deltas and bundles, the kind, then the tables; the rest are members. */
static void try_footer(const uint8_t *data, size_t size)
{
	PFS_AUTO(pfs_packfooter_fini) struct pfs_packfooter f = { 0 };
	struct pfs_packtrailer t = { .version = 2, .footer_off = PFS_PACKHDR_SIZE };
	struct pfs_packwalk walk = { 0 };
	struct pfs_packentry e;
	struct pfs_id id, base;
	size_t len = size - 4, tables;
	unsigned char *again;
	uint32_t objects = 0;
	uint8_t kind;

	if (size < 4)
		return;
	t.n_entries = data[0];
	t.n_deltas = data[1];
	t.n_bundles = data[2];
	kind = (uint8_t)(1 + data[3] % 3);
	tables = t.n_entries * PFS_PACKENTRY_SIZE + t.n_deltas * PFS_PACKDELTA_SIZE +
		 t.n_bundles * PFS_PACKBUNDLE_SIZE;
	t.n_members = tables > len ? 0 : (uint32_t)((len - tables) / PFS_BUNDLE_MEMBER_SIZE);
	pfs_packfooter_init(&f, kind);
	if (pfs_packfooter_decode(data + 4, len, &t, kind, &f, NULL) < 0)
		return;
	while (pfs_packfooter_next(&f, &walk, &e))
		objects++;
	for (uint32_t i = 0; i < pfs_packfooter_deltas(&f); i++)
		pfs_packfooter_delta(&f, i, &id, &base);
	if (objects != pfs_packfooter_objects(&f) || pfs_packfooter_size(&f) > len)
		abort();
	again = malloc(len ? len : 1);
	if (!again)
		abort();
	pfs_packfooter_encode(&f, again);
	if (memcmp(again, data + 4, pfs_packfooter_size(&f)) != 0)
		abort();
	free(again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static void (*const tries[])(const uint8_t *data, size_t size) = {
		try_zstd,
		try_delta,
		try_bundle,
		try_footer,
	};

	if (size)
		tries[data[0] % (sizeof(tries) / sizeof(*tries))](data + 1, size - 1);
	return 0;
}
