/*
 * How an object lies in a pack: zstd level 1, or as it is when that gains
 * less than a sixteenth; or what it has beyond another object. Ids name the object, never what lies in the pack.
 *
 * Threads: any; each works in contexts of its own.
 */
#ifndef PFS_STORE_CODEC_H
#define PFS_STORE_CODEC_H

#include "store/room.h"
#include "base/error.h"
#include "base/id.h"
#include "format/packhdr.h"

/* Whether a sample of the bytes looks random, so that trying to compress is a waste. */
bool pfs_codec_looks_random(const void *data, size_t len);

/*
 * Compress into out[0..len). *out_len < len and PFS_CODEC_ZSTD when that was
 * worth it; else PFS_CODEC_RAW, *out_len = len, and `out` is not to be used.
 */
int pfs_codec_encode(const void *data, size_t len, void *out, size_t *out_len,
		     enum pfs_codec *out_codec, struct pfs_error *err);

/* The same with less haste, for the spare time: level 6. */
int pfs_codec_encode_spare(const void *data, size_t len, void *out, size_t *out_len,
			   enum pfs_codec *out_codec, struct pfs_error *err);

/*
 * As the first, into memory of the right size: *out is owned by the caller, NULL
 * when the bytes are best kept as they are.
 */
int pfs_codec_pack(const void *data, size_t len, void **out, size_t *out_len,
		   enum pfs_codec *out_codec, struct pfs_error *err);

/* Bytes that others resemble. */
struct pfs_codec_base {
	const struct pfs_id *id;
	const void *data;
	size_t len;
};

/*
 * The same, but against a base when that pays: an eighth of the bytes, or a good
 * deal less than without it. PFS_CODEC_DELTA then, the base's id in front.
 */
int pfs_codec_pack_near(const void *data, size_t len, const struct pfs_codec_base *base, void **out,
			size_t *out_len, enum pfs_codec *out_codec, struct pfs_error *err);

/* What follows the base's id in the payload of a delta; as pfs_codec_decode(). */
int pfs_codec_decode_delta(const void *base, size_t base_len, const void *data, size_t len,
			   void *out, size_t out_len, struct pfs_error *err);

/* Exactly `out_len` bytes into `out`, or PFS_E_CORRUPT. */
int pfs_codec_decode(enum pfs_codec codec, const void *data, size_t len, void *out, size_t out_len,
		     struct pfs_error *err);

#endif
