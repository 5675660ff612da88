/*
 * The index of a store on disk, pfs-index(5): pages of runs, and the manifest.
 *
 *	run       | header | bloom ... | records ... | fences ... |     pages of 4096 bytes
 *	manifest  | head | runs | packs | crc |
 *
 * Pure: decoders never trust bytes and write `out` on success only.
 * Threads: any.
 */
#ifndef PFS_FORMAT_PACKIDX_H
#define PFS_FORMAT_PACKIDX_H

#include "format/packhdr.h"

#define PFS_IDXPAGE_SIZE  4096u
#define PFS_IDXPAGE_ROOM  4080u /* what a page holds; its tail follows */
#define PFS_IDXREC_SIZE   48u
#define PFS_IDXREC_PER    85u /* records a page */
#define PFS_IDXBLOOM_SIZE 64u /* a block */
#define PFS_IDXBLOOM_PER  63u /* blocks a page */
#define PFS_IDXFENCE_SIZE 4u
#define PFS_IDXFENCE_PER  1020u
#define PFS_IDXHEAD_SIZE  64u /* of a manifest */
#define PFS_IDXRUN_SIZE   16u
#define PFS_IDXPACK_SIZE  48u

/* Write the tail of page number `page` of run `run`; what is before it has to be filled in. */
void pfs_idxpage_seal(unsigned char raw[PFS_IDXPAGE_SIZE], uint64_t run, uint32_t page);

/* PFS_E_CORRUPT unless it is that page, whole. */
int pfs_idxpage_check(const unsigned char raw[PFS_IDXPAGE_SIZE], uint64_t run, uint32_t page,
		      struct pfs_error *err);

struct pfs_idxhdr {
	uint8_t level;
	unsigned char store_uuid[PFS_UUID_SIZE];
	uint32_t records, blocks;
};

/* How many pages of each kind, and all of them with the header. */
uint32_t pfs_idxhdr_bloom_pages(const struct pfs_idxhdr *h);
uint32_t pfs_idxhdr_record_pages(const struct pfs_idxhdr *h);
uint64_t pfs_idxhdr_pages(const struct pfs_idxhdr *h);

/* Page 0, all but its tail. */
void pfs_idxhdr_encode(const struct pfs_idxhdr *h, unsigned char out[PFS_IDXPAGE_SIZE]);
int pfs_idxhdr_decode(const unsigned char in[PFS_IDXPAGE_SIZE], struct pfs_idxhdr *out,
		      struct pfs_error *err);

/* Where an object is. */
struct pfs_idxrec {
	struct pfs_id id;
	uint32_t pack;
	uint64_t off; /* below 2^40 */
	uint32_t clen, ulen;
	uint8_t type, codec;
};

void pfs_idxrec_encode(const struct pfs_idxrec *r, unsigned char out[PFS_IDXREC_SIZE]);

/* Every 48 bytes are some record: a page's checksum is what vouches for it. */
void pfs_idxrec_decode(const unsigned char in[PFS_IDXREC_SIZE], struct pfs_idxrec *out);

/* Bloom filters of `blocks` blocks: which block an id belongs to, rising with the id; its bits there. */
uint32_t pfs_idxbloom_blocks(uint32_t records);
uint32_t pfs_idxbloom_block(const struct pfs_id *id, uint32_t blocks);
void pfs_idxbloom_add(unsigned char block[PFS_IDXBLOOM_SIZE], const struct pfs_id *id);
bool pfs_idxbloom_may_hold(const unsigned char block[PFS_IDXBLOOM_SIZE], const struct pfs_id *id);

/* The number that stands for an id in the fences: they rise as ids do. */
uint32_t pfs_idxfence(const struct pfs_id *id);

struct pfs_idxmanifest {
	unsigned char store_uuid[PFS_UUID_SIZE];
	uint64_t next_run;
	uint32_t next_pack;
	uint32_t n_runs, n_packs;
};

struct pfs_idxrun {
	uint64_t number;
	uint32_t records;
	uint8_t level;
};

struct pfs_idxpack {
	uint32_t number; /* in records */
	uint32_t seq;    /* of its header */
	unsigned char uuid[PFS_UUID_SIZE];
	uint64_t size;
	uint8_t kind;
	uint32_t objects; /* found here and not in a newer pack */
	uint64_t object_bytes;
};

/*
 * The head of a whole manifest of `len` bytes, whose size and checksum it
 * checks; the rest of the bytes may then be decoded piece by piece.
 */
int pfs_idxmanifest_decode(const unsigned char *in, size_t len, struct pfs_idxmanifest *out,
			   struct pfs_error *err);
void pfs_idxmanifest_encode(const struct pfs_idxmanifest *m, unsigned char out[PFS_IDXHEAD_SIZE]);
size_t pfs_idxmanifest_size(const struct pfs_idxmanifest *m);

void pfs_idxrun_encode(const struct pfs_idxrun *r, unsigned char out[PFS_IDXRUN_SIZE]);
int pfs_idxrun_decode(const unsigned char in[PFS_IDXRUN_SIZE], const struct pfs_idxmanifest *m,
		      struct pfs_idxrun *out, struct pfs_error *err);
void pfs_idxpack_encode(const struct pfs_idxpack *p, unsigned char out[PFS_IDXPACK_SIZE]);
int pfs_idxpack_decode(const unsigned char in[PFS_IDXPACK_SIZE], const struct pfs_idxmanifest *m,
		       struct pfs_idxpack *out, struct pfs_error *err);

#endif
