#include "store/codec.h"
#include "base/endian.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <zstd.h>

#define RAW_MAX      64u /* not worth a frame header */
#define PROBE_MIN    4096u
#define PROBE_PIECES 16u
#define PROBE_PIECE  256u
#define LEVEL        1
#define LEVEL_SPARE  6    /* nobody waits: a tenth less than level 1, for three times its time */
#define DELTA_MIN    512u /* shorter ones are bundled better than leaned on others */
#define SCRATCH_MIN  (256u << 10) /* room for every chunk from the start */

/* Contexts of zstd are large: one pair a thread, for the thread's life. */
struct contexts {
	ZSTD_CCtx *compress;
	ZSTD_DCtx *decompress;
	unsigned char *scratch; /* what compressing gives, until its size is known */
	size_t scratch_size;
};

static pthread_key_t contexts_key;
static int setup_failed;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void free_contexts(void *p)
{
	struct contexts *c = p;

	ZSTD_freeCCtx(c->compress);
	ZSTD_freeDCtx(c->decompress);
	free(c->scratch);
	free(c);
}

static void set_up(void)
{
	setup_failed = pthread_key_create(&contexts_key, free_contexts) != 0;
}

static struct contexts *thread_contexts(void)
{
	struct contexts *c;

	pthread_once(&once, set_up);
	if (setup_failed)
		return NULL;
	c = pthread_getspecific(contexts_key);
	if (c)
		return c;
	c = calloc(1, sizeof(*c));
	if (c && pthread_setspecific(contexts_key, c) != 0) {
		free(c);
		return NULL;
	}
	return c;
}

/*
 * The sum of squares of a histogram is least when all values are as frequent.
 * Of n random bytes it is n + n(n-1)/256 in the mean, for n = 4096 69600 or so
 * with a deviation of 0.5 %; text is several times that.
 */
bool pfs_codec_looks_random(const void *data, size_t len)
{
	const unsigned char *p = data;
	const uint64_t n = PROBE_PIECES * PROBE_PIECE;
	uint16_t seen[256] = { 0 };
	uint64_t sum = 0;

	if (len < PROBE_MIN)
		return false;
	for (size_t piece = 0; piece < PROBE_PIECES; piece++) {
		const unsigned char *q = p + (len - PROBE_PIECE) / (PROBE_PIECES - 1) * piece;

		for (size_t i = 0; i < PROBE_PIECE; i++)
			seen[q[i]]++;
	}
	for (size_t b = 0; b < 256; b++)
		sum += (uint64_t)seen[b] * seen[b];
	return sum * 50 <= (n + n * (n - 1) / 256) * 51;
}

static int compress(int level, const void *data, size_t len, void *out, size_t room,
		    size_t *out_len, struct pfs_error *err)
{
	struct contexts *c = thread_contexts();
	size_t n;

	if (c && !c->compress)
		c->compress = ZSTD_createCCtx();
	if (!c || !c->compress)
		return pfs_fail_nomem(err, "a compressor");
	n = ZSTD_compressCCtx(c->compress, out, room, data, len, level);
	/* The one error to expect: it does not fit into what would be a gain. */
	*out_len = ZSTD_isError(n) ? len : n;
	return 0;
}

static int encode(int level, const void *data, size_t len, void *out, size_t *out_len,
		  enum pfs_codec *out_codec, struct pfs_error *err)
{
	size_t worth = len - len / 16; /* fewer than this, or raw */
	size_t n = len;
	int rc = 0;

	if (len > RAW_MAX && !pfs_codec_looks_random(data, len))
		rc = compress(level, data, len, out, worth, &n, err);
	if (rc < 0)
		return rc;
	*out_codec = n < worth ? PFS_CODEC_ZSTD : PFS_CODEC_RAW;
	*out_len = n < worth ? n : len;
	return 0;
}

int pfs_codec_encode(const void *data, size_t len, void *out, size_t *out_len,
		     enum pfs_codec *out_codec, struct pfs_error *err)
{
	return encode(LEVEL, data, len, out, out_len, out_codec, err);
}

int pfs_codec_encode_spare(const void *data, size_t len, void *out, size_t *out_len,
			   enum pfs_codec *out_codec, struct pfs_error *err)
{
	return encode(LEVEL_SPARE, data, len, out, out_len, out_codec, err);
}

static unsigned char *scratch_of(size_t len)
{
	struct contexts *c = thread_contexts();
	unsigned char *wider;

	if (!c || c->scratch_size >= len)
		return c ? c->scratch : NULL;
	wider = malloc(len);
	if (!wider)
		return NULL;
	free(c->scratch);
	c->scratch = wider;
	c->scratch_size = len;
	return wider;
}

/* What is in the scratch, in memory of its size, behind `head`. */
static int keep(const void *head, size_t head_len, const void *packed, size_t len, void **out,
		struct pfs_error *err)
{
	unsigned char *p = malloc(head_len + len);

	if (!p)
		return pfs_fail_nomem(err, "packing an object");
	if (head_len)
		memcpy(p, head, head_len);
	memcpy(p + head_len, packed, len);
	*out = p;
	return 0;
}

int pfs_codec_pack(const void *data, size_t len, void **out, size_t *out_len,
		   enum pfs_codec *out_codec, struct pfs_error *err)
{
	unsigned char *scratch = scratch_of(len < SCRATCH_MIN ? SCRATCH_MIN : len);
	enum pfs_codec codec;
	void *packed = NULL;
	size_t n;
	int rc;

	if (!scratch)
		return pfs_fail_nomem(err, "packing an object");
	rc = pfs_codec_encode(data, len, scratch, &n, &codec, err);
	if (rc == 0 && codec != PFS_CODEC_RAW)
		rc = keep(NULL, 0, scratch, n, &packed, err);
	if (rc < 0)
		return rc;
	*out = packed;
	*out_len = n;
	*out_codec = codec;
	return 0;
}

/* *out is NULL when it does not fit into `most` bytes, the id of the base counted. */
static int pack_delta(const void *data, size_t len, const struct pfs_codec_base *base, size_t most,
		      void **out, size_t *out_len, struct pfs_error *err)
{
	unsigned char *scratch = scratch_of(len < SCRATCH_MIN ? SCRATCH_MIN : len);
	struct contexts *c = thread_contexts();
	size_t n;

	*out = NULL;
	if (c && !c->compress)
		c->compress = ZSTD_createCCtx();
	if (!c || !c->compress || !scratch)
		return pfs_fail_nomem(err, "a compressor");
	if (most <= PFS_ID_SIZE ||
	    ZSTD_isError(ZSTD_CCtx_setParameter(c->compress, ZSTD_c_compressionLevel, LEVEL)) ||
	    ZSTD_isError(ZSTD_CCtx_refPrefix(c->compress, base->data, base->len)))
		return 0;
	n = ZSTD_compress2(c->compress, scratch, most - PFS_ID_SIZE, data, len);
	if (ZSTD_isError(n)) {
		ZSTD_CCtx_reset(c->compress, ZSTD_reset_session_only);
		return 0;
	}
	*out_len = PFS_ID_SIZE + n;
	return keep(base->id->bytes, PFS_ID_SIZE, scratch, n, out, err);
}

int pfs_codec_pack_near(const void *data, size_t len, const struct pfs_codec_base *base, void **out,
			size_t *out_len, enum pfs_codec *out_codec, struct pfs_error *err)
{
	void *delta = NULL, *plain;
	size_t delta_len = 0, plain_len;
	enum pfs_codec codec;
	int rc = 0;

	if (len >= DELTA_MIN)
		rc = pack_delta(data, len, base, len - len * 2 / 5, &delta, &delta_len, err);
	if (rc == 0 && (!delta || delta_len > len / 8)) {
		rc = pfs_codec_pack(data, len, &plain, &plain_len, &codec, err);
		if (rc == 0 && (!delta || delta_len >= plain_len - plain_len * 2 / 5)) {
			free(delta);
			*out = plain;
			*out_len = plain_len;
			*out_codec = codec;
			return 0;
		}
		if (rc == 0)
			free(plain);
	}
	if (rc < 0) {
		free(delta);
		return rc;
	}
	*out = delta;
	*out_len = delta_len;
	*out_codec = PFS_CODEC_DELTA;
	return 0;
}

static int decompress(const void *prefix, size_t prefix_len, const void *data, size_t len,
		      void *out, size_t out_len, struct pfs_error *err)
{
	struct contexts *c = thread_contexts();
	size_t n;

	if (c && !c->decompress)
		c->decompress = ZSTD_createDCtx();
	if (!c || !c->decompress)
		return pfs_fail_nomem(err, "a decompressor");
	/* One frame that tells its size: there is one way to write a payload, not several. */
	if (ZSTD_findFrameCompressedSize(data, len) != len ||
	    ZSTD_getFrameContentSize(data, len) != out_len)
		return pfs_fail(err, PFS_E_CORRUPT, "payload is not one frame of %zu bytes",
				out_len);
	/* Also when there is none: one that a failed call left must not be used. */
	n = ZSTD_DCtx_refPrefix(c->decompress, prefix, prefix_len);
	if (ZSTD_isError(n))
		return pfs_fail_nomem(err, "a decompressor");
	n = ZSTD_decompressDCtx(c->decompress, out, out_len, data, len);
	if (ZSTD_isError(n))
		return pfs_fail(err, PFS_E_CORRUPT, "payload does not decompress: %s",
				ZSTD_getErrorName(n));
	if (n != out_len)
		return pfs_fail(err, PFS_E_CORRUPT,
				"payload decompresses to %zu bytes instead of %zu", n, out_len);
	return 0;
}

int pfs_codec_decode_delta(const void *base, size_t base_len, const void *data, size_t len,
			   void *out, size_t out_len, struct pfs_error *err)
{
	return decompress(base, base_len, data, len, out, out_len, err);
}

int pfs_codec_decode(enum pfs_codec codec, const void *data, size_t len, void *out, size_t out_len,
		     struct pfs_error *err)
{
	switch (codec) {
	case PFS_CODEC_RAW:
		if (len != out_len)
			return pfs_fail(err, PFS_E_CORRUPT,
					"raw payload of %zu bytes instead of %zu", len, out_len);
		if (len)
			memcpy(out, data, len);
		return 0;
	case PFS_CODEC_ZSTD:
		return decompress(NULL, 0, data, len, out, out_len, err);
	default:
		return pfs_fail(err, PFS_E_CORRUPT, "payload with unknown codec %d", (int)codec);
	}
}
