/*
 * The fixed-size pieces of a store on disk, pfs-pack(5): the superblock, and a
 * pack's header, record headers, footer entries and trailer.
 *
 *	| header | record | record | ... | entry | entry | ... | trailer |
 *	  64       56 + payload + pad      48                    64
 *
 * Decoders read exactly the size of the piece and write `out` on success only.
 * Threads: any.
 */
#ifndef PFS_FORMAT_PACKHDR_H
#define PFS_FORMAT_PACKHDR_H

#include "format/room.h"
#include "base/error.h"
#include "base/id.h"

#define PFS_PACKHDR_SIZE     64u
#define PFS_PACKREC_SIZE     56u
#define PFS_PACKENTRY_SIZE   48u
#define PFS_PACKTRAILER_SIZE 64u
#define PFS_PACK_ALIGN       8u
#define PFS_SUPERBLOCK_SIZE  4096u /* one of the two copies */
#define PFS_UUID_SIZE        16

/* What a pack mostly holds. */
enum pfs_pack_kind {
	PFS_PACK_DATA = 1,
	PFS_PACK_META = 2,
	PFS_PACK_ADOPTED = 3, /* a file as it was, with a table of what it holds beside it */
};

enum pfs_codec {
	PFS_CODEC_RAW = 0,
	PFS_CODEC_ZSTD = 1,
	PFS_CODEC_DELTA = 3,   /* zstd with another object as prefix, whose id stands in front */
	PFS_CODEC_BUNDLED = 5, /* within a bundle; only ever said of a place, never of a record */
	/* 2 zstd with a dictionary, 4 shuffled zstd: kept for later versions */
};

#define PFS_PACK_VERSION 2 /* what we write; version 1 knows no deltas, bundles and adopted packs */
#define PFS_PACK_BUNDLE  5 /* type of a record that holds many small objects, pfs-pack(5) */

struct pfs_packhdr {
	uint8_t version; /* 1 or 2 */
	uint8_t kind;    /* enum pfs_pack_kind */
	uint64_t created_ns;
	unsigned char store_uuid[PFS_UUID_SIZE];
	unsigned char pack_uuid[PFS_UUID_SIZE];
	uint32_t seq;
	uint64_t file_size; /* of an adopted file; else 0 */
};

void pfs_packhdr_encode(const struct pfs_packhdr *h, unsigned char out[PFS_PACKHDR_SIZE]);
int pfs_packhdr_decode(const unsigned char in[PFS_PACKHDR_SIZE], struct pfs_packhdr *out,
		       struct pfs_error *err);

/* What stands before a payload. */
struct pfs_packrec {
	uint8_t type;  /* 1 chunk 2 seqnode 3 dirnode 4 commit 5 bundle 6 xattrs */
	uint8_t codec; /* enum pfs_codec */
	uint32_t ulen; /* bytes of the object, of a bundle those of its members together */
	uint32_t clen; /* bytes of the payload; equal for raw, fewer for zstd */
	struct pfs_id id;
	uint32_t payload_crc;
};

void pfs_packrec_encode(const struct pfs_packrec *r, unsigned char out[PFS_PACKREC_SIZE]);
int pfs_packrec_decode(const unsigned char in[PFS_PACKREC_SIZE], struct pfs_packrec *out,
		       struct pfs_error *err);

/* Bytes of a record with a payload of `clen`: header, payload, zeros up to a multiple of 8. */
uint64_t pfs_packrec_extent(uint32_t clen);

/* Check a whole record: the header, its place in `len` bytes, the payload's CRC, the zeros behind. */
int pfs_packrec_check(const unsigned char *in, uint64_t len, struct pfs_packrec *out,
		      struct pfs_error *err);

/* One record as the footer tells it. */
struct pfs_packentry {
	struct pfs_id id;
	uint64_t off; /* of the record header, a multiple of 8; in an adopted pack of the bytes */
	uint32_t clen, ulen;
	uint8_t type, codec;
};

void pfs_packentry_encode(const struct pfs_packentry *e, unsigned char out[PFS_PACKENTRY_SIZE]);
int pfs_packentry_decode(const unsigned char in[PFS_PACKENTRY_SIZE], struct pfs_packentry *out,
			 struct pfs_error *err);

/* The same of an adopted pack: its pieces lie anywhere and have no records. */
void pfs_packentry_encode_piece(const struct pfs_packentry *e,
				unsigned char out[PFS_PACKENTRY_SIZE]);
int pfs_packentry_decode_piece(const unsigned char in[PFS_PACKENTRY_SIZE],
			       struct pfs_packentry *out, struct pfs_error *err);

#define PFS_PACKDELTA_SIZE  40u /* a row of the delta table: base[32], entry, 0 */
#define PFS_PACKBUNDLE_SIZE 8u  /* a row of the bundle table: entry, members */

struct pfs_packtrailer {
	uint8_t version; /* 1 or 2 */
	uint64_t footer_off;
	uint32_t n_entries, n_deltas, n_bundles;
	uint32_t n_members; /* of all bundles; follows from the sizes */
	uint32_t footer_crc;
	unsigned char digest[32]; /* SHA-256 of header and footer */
};

void pfs_packtrailer_encode(const struct pfs_packtrailer *t,
			    unsigned char out[PFS_PACKTRAILER_SIZE]);

/* `file_size` is that of the whole pack: the footer has to fill it up exactly. */
int pfs_packtrailer_decode(const unsigned char in[PFS_PACKTRAILER_SIZE], uint64_t file_size,
			   struct pfs_packtrailer *out, struct pfs_error *err);

/* How a store cuts files: chunker 1 of pfs-tree(5). */
struct pfs_chunker_params {
	uint8_t id;             /* 1 */
	uint8_t candidate_bits; /* 10 */
	uint32_t reach;         /* h, 32768 */
	uint32_t max;           /* 262144 */
	uint32_t tail;          /* 8192 */
	uint32_t hole;          /* 65536 */
};

extern const struct pfs_chunker_params pfs_chunker_params_v1;

struct pfs_superblock {
	unsigned char uuid[PFS_UUID_SIZE];
	uint64_t created_ns;
	struct pfs_chunker_params chunker;
	unsigned char secret[32];
};

void pfs_superblock_encode(const struct pfs_superblock *s, unsigned char out[PFS_SUPERBLOCK_SIZE]);
int pfs_superblock_decode(const unsigned char in[PFS_SUPERBLOCK_SIZE], struct pfs_superblock *out,
			  struct pfs_error *err);

#endif
