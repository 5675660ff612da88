#include "format/packidx.h"
#include "base/crc32c.h"
#include "base/endian.h"
#include "base/limits.h"

#include <inttypes.h>

#define VERSION        1
#define TAIL_CRC       4092u
#define BITS_PER_KEY   12u
#define BITS_PER_ID    6
#define MANIFEST_CRC   4u
#define LEVEL_MAX      15u
#define RESERVED_PAGE  36u
#define RESERVED_HEAD  44u
#define BLOCK_BITS     (PFS_IDXBLOOM_SIZE * 8u)
#define BLOCK_BIT_BITS 9

_Static_assert(PFS_IDXREC_PER *PFS_IDXREC_SIZE <= PFS_IDXPAGE_ROOM, "records fit a page");
_Static_assert(PFS_IDXBLOOM_PER *PFS_IDXBLOOM_SIZE <= PFS_IDXPAGE_ROOM, "blocks fit a page");
_Static_assert(PFS_IDXFENCE_PER *PFS_IDXFENCE_SIZE <= PFS_IDXPAGE_ROOM, "fences fit a page");
_Static_assert(1u << BLOCK_BIT_BITS == BLOCK_BITS, "a bit's number addresses its block");

static bool all_zero(const unsigned char *p, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (p[i])
			return false;
	return true;
}

static uint32_t ceil_div(uint64_t n, uint32_t by)
{
	return (uint32_t)((n + by - 1) / by);
}

void pfs_idxpage_seal(unsigned char raw[PFS_IDXPAGE_SIZE], uint64_t run, uint32_t page)
{
	pfs_put_le64(raw + PFS_IDXPAGE_ROOM, run);
	pfs_put_le32(raw + PFS_IDXPAGE_ROOM + 8, page);
	pfs_put_le32(raw + TAIL_CRC, pfs_crc32c(0, raw, TAIL_CRC));
}

int pfs_idxpage_check(const unsigned char raw[PFS_IDXPAGE_SIZE], uint64_t run, uint32_t page,
		      struct pfs_error *err)
{
	if (pfs_crc32c(0, raw, TAIL_CRC) != pfs_get_le32(raw + TAIL_CRC))
		return pfs_fail(err, PFS_E_CORRUPT, "checksum of page %" PRIu32 " is wrong", page);
	if (pfs_get_le64(raw + PFS_IDXPAGE_ROOM) == run &&
	    pfs_get_le32(raw + PFS_IDXPAGE_ROOM + 8) == page)
		return 0;
	return pfs_fail(err, PFS_E_CORRUPT, "another page is in the place of page %" PRIu32, page);
}

uint32_t pfs_idxhdr_bloom_pages(const struct pfs_idxhdr *h)
{
	return ceil_div(h->blocks, PFS_IDXBLOOM_PER);
}

uint32_t pfs_idxhdr_record_pages(const struct pfs_idxhdr *h)
{
	return ceil_div(h->records, PFS_IDXREC_PER);
}

uint64_t pfs_idxhdr_pages(const struct pfs_idxhdr *h)
{
	uint32_t records = pfs_idxhdr_record_pages(h);

	return 1ull + pfs_idxhdr_bloom_pages(h) + records + ceil_div(records, PFS_IDXFENCE_PER);
}

void pfs_idxhdr_encode(const struct pfs_idxhdr *h, unsigned char out[PFS_IDXPAGE_SIZE])
{
	memset(out, 0, PFS_IDXPAGE_ROOM);
	memcpy(out, "VIX1", 4);
	pfs_put_le16(out + 4, VERSION);
	out[6] = h->level;
	memcpy(out + 8, h->store_uuid, PFS_UUID_SIZE);
	pfs_put_le32(out + 24, h->records);
	pfs_put_le32(out + 28, h->blocks);
	pfs_put_le32(out + 32, (uint32_t)pfs_idxhdr_pages(h));
}

int pfs_idxhdr_decode(const unsigned char in[PFS_IDXPAGE_SIZE], struct pfs_idxhdr *out,
		      struct pfs_error *err)
{
	struct pfs_idxhdr h = {
		.level = in[6],
		.records = pfs_get_le32(in + 24),
		.blocks = pfs_get_le32(in + 28),
	};

	if (memcmp(in, "VIX1", 4) != 0)
		return pfs_fail(err, PFS_E_CORRUPT, "run does not start with VIX1");
	if (pfs_get_le16(in + 4) != VERSION)
		return pfs_fail(err, PFS_E_UNSUPPORTED, "run has version %d, this program knows %d",
				pfs_get_le16(in + 4), VERSION);
	if (in[7] || !all_zero(in + RESERVED_PAGE, PFS_IDXPAGE_ROOM - RESERVED_PAGE))
		return pfs_fail(err, PFS_E_CORRUPT, "reserved bytes of a run are not zero");
	if (h.level > LEVEL_MAX || h.records == 0 || h.blocks == 0 ||
	    pfs_idxhdr_pages(&h) != pfs_get_le32(in + 32))
		return pfs_fail(err, PFS_E_CORRUPT,
				"run of %" PRIu32 " records and %" PRIu32 " blocks in %" PRIu32
				" pages at level %d",
				h.records, h.blocks, pfs_get_le32(in + 32), h.level);
	memcpy(h.store_uuid, in + 8, PFS_UUID_SIZE);
	*out = h;
	return 0;
}

static void put_le24(unsigned char *p, uint32_t v)
{
	pfs_put_le16(p, (uint16_t)v);
	p[2] = (unsigned char)(v >> 16);
}

static uint32_t get_le24(const unsigned char *p)
{
	return pfs_get_le16(p) | (uint32_t)p[2] << 16;
}

void pfs_idxrec_encode(const struct pfs_idxrec *r, unsigned char out[PFS_IDXREC_SIZE])
{
	memcpy(out, r->id.bytes, PFS_ID_SIZE);
	pfs_put_le32(out + 32, r->pack);
	pfs_put_le32(out + 36, (uint32_t)r->off);
	out[40] = (unsigned char)(r->off >> 32);
	put_le24(out + 41, r->clen);
	put_le24(out + 44, r->ulen);
	out[47] = (unsigned char)(r->type | r->codec << 4);
}

void pfs_idxrec_decode(const unsigned char in[PFS_IDXREC_SIZE], struct pfs_idxrec *out)
{
	*out = (struct pfs_idxrec){
		.pack = pfs_get_le32(in + 32),
		.off = pfs_get_le32(in + 36) | (uint64_t)in[40] << 32,
		.clen = get_le24(in + 41),
		.ulen = get_le24(in + 44),
		.type = in[47] & 15,
		.codec = in[47] >> 4,
	};
	memcpy(out->id.bytes, in, PFS_ID_SIZE);
}

uint32_t pfs_idxbloom_blocks(uint32_t records)
{
	return records ? ceil_div((uint64_t)records * BITS_PER_KEY, BLOCK_BITS) : 1;
}

static uint64_t get_be64(const unsigned char *p)
{
	uint64_t v;

	memcpy(&v, p, sizeof(v));
	return be64toh(v);
}

uint32_t pfs_idxbloom_block(const struct pfs_id *id, uint32_t blocks)
{
	return (uint32_t)((unsigned __int128)get_be64(id->bytes) * blocks >> 64);
}

void pfs_idxbloom_add(unsigned char block[PFS_IDXBLOOM_SIZE], const struct pfs_id *id)
{
	uint64_t h = pfs_get_le64(id->bytes + 8);

	for (int i = 0; i < BITS_PER_ID; i++, h >>= BLOCK_BIT_BITS)
		block[h % BLOCK_BITS / 8] |= (unsigned char)(1u << h % 8);
}

bool pfs_idxbloom_may_hold(const unsigned char block[PFS_IDXBLOOM_SIZE], const struct pfs_id *id)
{
	uint64_t h = pfs_get_le64(id->bytes + 8);

	for (int i = 0; i < BITS_PER_ID; i++, h >>= BLOCK_BIT_BITS)
		if (!(block[h % BLOCK_BITS / 8] & 1u << h % 8))
			return false;
	return true;
}

uint32_t pfs_idxfence(const struct pfs_id *id)
{
	return (uint32_t)(get_be64(id->bytes) >> 32);
}

size_t pfs_idxmanifest_size(const struct pfs_idxmanifest *m)
{
	return PFS_IDXHEAD_SIZE + (size_t)m->n_runs * PFS_IDXRUN_SIZE +
	       (size_t)m->n_packs * PFS_IDXPACK_SIZE + MANIFEST_CRC;
}

void pfs_idxmanifest_encode(const struct pfs_idxmanifest *m, unsigned char out[PFS_IDXHEAD_SIZE])
{
	memset(out, 0, PFS_IDXHEAD_SIZE);
	memcpy(out, "VIM1", 4);
	pfs_put_le16(out + 4, VERSION);
	memcpy(out + 8, m->store_uuid, PFS_UUID_SIZE);
	pfs_put_le64(out + 24, m->next_run);
	pfs_put_le32(out + 32, m->next_pack);
	pfs_put_le32(out + 36, m->n_runs);
	pfs_put_le32(out + 40, m->n_packs);
}

int pfs_idxmanifest_decode(const unsigned char *in, size_t len, struct pfs_idxmanifest *out,
			   struct pfs_error *err)
{
	struct pfs_idxmanifest m;

	if (len < PFS_IDXHEAD_SIZE + MANIFEST_CRC)
		return pfs_fail(err, PFS_E_CORRUPT, "manifest of %zu bytes", len);
	if (memcmp(in, "VIM1", 4) != 0)
		return pfs_fail(err, PFS_E_CORRUPT, "manifest does not start with VIM1");
	if (pfs_crc32c(0, in, len - MANIFEST_CRC) != pfs_get_le32(in + len - MANIFEST_CRC))
		return pfs_fail(err, PFS_E_CORRUPT, "checksum of the manifest is wrong");
	if (pfs_get_le16(in + 4) != VERSION)
		return pfs_fail(err, PFS_E_UNSUPPORTED,
				"manifest has version %d, this program knows %d",
				pfs_get_le16(in + 4), VERSION);
	if (pfs_get_le16(in + 6) || !all_zero(in + RESERVED_HEAD, PFS_IDXHEAD_SIZE - RESERVED_HEAD))
		return pfs_fail(err, PFS_E_CORRUPT, "reserved bytes of a manifest are not zero");
	memcpy(m.store_uuid, in + 8, PFS_UUID_SIZE);
	m.next_run = pfs_get_le64(in + 24);
	m.next_pack = pfs_get_le32(in + 32);
	m.n_runs = pfs_get_le32(in + 36);
	m.n_packs = pfs_get_le32(in + 40);
	if (m.n_runs > PFS_INDEX_RUNS_MAX || m.n_packs > m.next_pack ||
	    m.next_pack > PFS_PACKS_MAX || len != pfs_idxmanifest_size(&m))
		return pfs_fail(err, PFS_E_CORRUPT,
				"manifest of %" PRIu32 " runs and %" PRIu32 " packs below %" PRIu32
				" in %zu bytes",
				m.n_runs, m.n_packs, m.next_pack, len);
	*out = m;
	return 0;
}

void pfs_idxrun_encode(const struct pfs_idxrun *r, unsigned char out[PFS_IDXRUN_SIZE])
{
	memset(out, 0, PFS_IDXRUN_SIZE);
	pfs_put_le64(out, r->number);
	pfs_put_le32(out + 8, r->records);
	out[12] = r->level;
}

int pfs_idxrun_decode(const unsigned char in[PFS_IDXRUN_SIZE], const struct pfs_idxmanifest *m,
		      struct pfs_idxrun *out, struct pfs_error *err)
{
	struct pfs_idxrun r = {
		.number = pfs_get_le64(in),
		.records = pfs_get_le32(in + 8),
		.level = in[12],
	};

	if (r.number >= m->next_run || r.records == 0 || r.level > LEVEL_MAX ||
	    !all_zero(in + 13, 3))
		return pfs_fail(err, PFS_E_CORRUPT,
				"manifest names a run %" PRIu64 " that cannot be", r.number);
	*out = r;
	return 0;
}

void pfs_idxpack_encode(const struct pfs_idxpack *p, unsigned char out[PFS_IDXPACK_SIZE])
{
	memset(out, 0, PFS_IDXPACK_SIZE);
	pfs_put_le32(out, p->number);
	pfs_put_le32(out + 4, p->seq);
	memcpy(out + 8, p->uuid, PFS_UUID_SIZE);
	pfs_put_le64(out + 24, p->size);
	pfs_put_le32(out + 32, p->objects);
	out[36] = p->kind;
	pfs_put_le64(out + 40, p->object_bytes);
}

int pfs_idxpack_decode(const unsigned char in[PFS_IDXPACK_SIZE], const struct pfs_idxmanifest *m,
		       struct pfs_idxpack *out, struct pfs_error *err)
{
	struct pfs_idxpack p = {
		.number = pfs_get_le32(in),
		.seq = pfs_get_le32(in + 4),
		.size = pfs_get_le64(in + 24),
		.objects = pfs_get_le32(in + 32),
		.kind = in[36],
		.object_bytes = pfs_get_le64(in + 40),
	};

	if (p.number >= m->next_pack || p.kind == 0 || p.kind > PFS_PACK_ADOPTED ||
	    !all_zero(in + 37, 3))
		return pfs_fail(err, PFS_E_CORRUPT,
				"manifest names a pack %" PRIu32 " that cannot be", p.number);
	memcpy(p.uuid, in + 8, PFS_UUID_SIZE);
	*out = p;
	return 0;
}
