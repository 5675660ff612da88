#include "format/seqnode.h"
#include "base/endian.h"
#include "base/varint.h"

#define RESTART_SIZE 12u /* u32 offset, u64 bytes before */

static const unsigned char magic[2] = { 'S', 'N' };

uint64_t pfs_seqnode_weight(const struct pfs_seqnode_entry *e)
{
	switch (e->kind) {
	case PFS_SEQNODE_HOLE:
		return 5;
	case PFS_SEQNODE_CHILD:
		return 48;
	default:
		return 36;
	}
}

uint64_t pfs_seqnode_seed(enum pfs_seqnode_kind kind, uint64_t bytes, const struct pfs_id *id)
{
	return kind == PFS_SEQNODE_HOLE ? bytes : pfs_get_le64(id->bytes);
}

/* Why this entry cannot stand here, or NULL: the same list for writing and reading. */
static const char *entry_fault(const struct pfs_seqnode_entry *e, unsigned level, bool after_hole)
{
	if ((e->kind == PFS_SEQNODE_CHILD) != (level > 0))
		return "of a kind that this level does not have";
	if (e->bytes == 0 || e->bytes > PFS_FILE_SIZE_MAX)
		return "of an impossible length";
	switch (e->kind) {
	case PFS_SEQNODE_HOLE:
		if (e->bytes < PFS_HOLE_SIZE_MIN)
			return "hole shorter than holes are";
		return after_hole ? "hole behind a hole" : NULL;
	case PFS_SEQNODE_DATA:
	case PFS_SEQNODE_DATA_FORCED:
		if (e->bytes > PFS_CHUNK_SIZE_MAX)
			return "chunk longer than chunks are";
		return pfs_id_is_zero(&e->id) ? "chunk without an id" : NULL;
	case PFS_SEQNODE_CHILD:
		if (e->chunks > e->bytes)
			return "more chunks than bytes";
		return pfs_id_is_zero(&e->id) ? "child without an id" : NULL;
	}
	return "unknown kind";
}

/* --- writing ------------------------------------------------------------ */

static unsigned char *put_entry(unsigned char *p, const struct pfs_seqnode_entry *e)
{
	if (e->kind == PFS_SEQNODE_CHILD) {
		p += pfs_varint_encode(p, e->bytes);
		p += pfs_varint_encode(p, e->chunks);
		pfs_put_le64(p, e->last_seed);
		p += 8;
	} else {
		p += pfs_varint_encode(p, e->bytes << 2 | (uint64_t)e->kind);
	}
	if (e->kind != PFS_SEQNODE_HOLE) {
		memcpy(p, e->id.bytes, PFS_ID_SIZE);
		p += PFS_ID_SIZE;
	}
	return p;
}

static int check_entries(const struct pfs_seqnode_entry *e, size_t n, unsigned level,
			 uint64_t *bytes, uint64_t *chunks, struct pfs_error *err)
{
	if (n == 0 || n > UINT16_MAX || level > PFS_TREE_LEVEL_MAX)
		return pfs_fail(err, PFS_E_INVALID, "sequence node of %zu entries at level %u", n,
				level);
	for (size_t i = 0; i < n; i++) {
		const char *fault =
			entry_fault(&e[i], level, i && e[i - 1].kind == PFS_SEQNODE_HOLE);

		if (fault)
			return pfs_fail(err, PFS_E_INVALID, "sequence entry %zu: %s", i, fault);
		*bytes += e[i].bytes; /* 2^16 times 2^46 fits */
		*chunks += e[i].chunks;
	}
	if (*bytes > PFS_FILE_SIZE_MAX)
		return pfs_fail(err, PFS_E_LIMIT, "file of %llu bytes, limit %llu",
				(unsigned long long)*bytes, PFS_FILE_SIZE_MAX);
	return 0;
}

int pfs_seqnode_encode(const struct pfs_seqnode_entry *e, size_t n, unsigned level, unsigned flags,
		       struct pfs_buf *out, struct pfs_error *err)
{
	uint64_t bytes = 0, chunks = 0, before = 0;
	unsigned char *start, *p, *table;
	size_t restarts = (n + PFS_SEQNODE_RESTART - 1) / PFS_SEQNODE_RESTART;
	unsigned char restart[(UINT16_MAX / PFS_SEQNODE_RESTART + 1) * RESTART_SIZE];
	int rc;

	rc = check_entries(e, n, level, &bytes, &chunks, err);
	if (rc == 0)
		rc = pfs_buf_reserve(out,
				     PFS_SEQNODE_HEADER_SIZE + n * (PFS_ID_SIZE + 8 + 20) +
					     restarts * RESTART_SIZE,
				     err);
	if (rc < 0)
		return rc;
	start = out->data + out->len;
	memcpy(start, magic, sizeof(magic));
	start[2] = PFS_SEQNODE_VERSION;
	start[3] = (unsigned char)level;
	pfs_put_le16(start + 4, (uint16_t)n);
	start[6] = PFS_SEQNODE_CHUNKER;
	start[7] = (unsigned char)flags;
	pfs_put_le64(start + 8, bytes);
	pfs_put_le64(start + 16, chunks);

	p = start + PFS_SEQNODE_HEADER_SIZE;
	table = restart;
	for (size_t i = 0; i < n; i++) {
		if (i % PFS_SEQNODE_RESTART == 0) {
			pfs_put_le32(table, (uint32_t)(p - start));
			pfs_put_le64(table + 4, before);
			table += RESTART_SIZE;
		}
		p = put_entry(p, &e[i]);
		before += e[i].bytes;
	}
	memcpy(p, restart, restarts * RESTART_SIZE);
	p += restarts * RESTART_SIZE;
	out->len += (size_t)(p - start);
	out->data[out->len] = 0;
	return 0;
}

/* --- reading ------------------------------------------------------------ */

static size_t restarts_of(const struct pfs_seqnode *node)
{
	return (node->count + PFS_SEQNODE_RESTART - 1) / PFS_SEQNODE_RESTART;
}

static const unsigned char *restart_at(const struct pfs_seqnode *node, size_t i)
{
	return node->data + node->entries_end + RESTART_SIZE * i;
}

static int check_restarts(const struct pfs_seqnode *node, struct pfs_error *err)
{
	size_t off = 0;
	uint64_t before = 0;

	for (size_t i = 0; i < restarts_of(node); i++) {
		size_t o = pfs_get_le32(restart_at(node, i));
		uint64_t b = pfs_get_le64(restart_at(node, i) + 4);
		bool first = i == 0;

		if (first ? o != PFS_SEQNODE_HEADER_SIZE || b != 0 : o <= off || b <= before)
			return pfs_fail(err, PFS_E_CORRUPT,
					"sequence node: restart %zu is out of place", i);
		if (o >= node->entries_end || b >= node->bytes)
			return pfs_fail(err, PFS_E_CORRUPT,
					"sequence node: restart %zu is past the end", i);
		off = o;
		before = b;
	}
	return 0;
}

int pfs_seqnode_open(const void *data, size_t len, struct pfs_seqnode *out, struct pfs_error *err)
{
	const unsigned char *p = data;
	struct pfs_seqnode node = { .data = p };

	if (len <= PFS_SEQNODE_HEADER_SIZE || len > PFS_OBJECT_SIZE_MAX)
		return pfs_fail(err, PFS_E_CORRUPT, "sequence node of %zu bytes", len);
	if (memcmp(p, magic, sizeof(magic)) != 0 || p[2] != PFS_SEQNODE_VERSION)
		return pfs_fail(err, PFS_E_CORRUPT, "not a sequence node of version %u",
				PFS_SEQNODE_VERSION);
	node.level = p[3];
	node.count = pfs_get_le16(p + 4);
	node.flags = p[7];
	node.bytes = pfs_get_le64(p + 8);
	node.chunks = pfs_get_le64(p + 16);
	if (node.level > PFS_TREE_LEVEL_MAX || node.count == 0 || p[6] != PFS_SEQNODE_CHUNKER ||
	    node.flags & ~PFS_SEQNODE_FORCED || node.bytes > PFS_FILE_SIZE_MAX)
		return pfs_fail(err, PFS_E_CORRUPT,
				"sequence node: level %u, %u entries, chunker %u, flags %#x",
				node.level, node.count, p[6], node.flags);
	if (RESTART_SIZE * restarts_of(&node) >= len - PFS_SEQNODE_HEADER_SIZE)
		return pfs_fail(err, PFS_E_CORRUPT, "sequence node: %u entries in %zu bytes",
				node.count, len);
	node.entries_end = len - RESTART_SIZE * restarts_of(&node);
	if (check_restarts(&node, err) < 0)
		return PFS_E_CORRUPT;
	*out = node;
	return 0;
}

void pfs_seqnode_iter_init(struct pfs_seqnode_iter *it, const struct pfs_seqnode *node)
{
	memset(it, 0, sizeof(*it));
	it->node = node;
	it->off = PFS_SEQNODE_HEADER_SIZE;
}

/* Decode the entry at it->off into it->e; the bytes it took, 0 when it is not well formed. */
static size_t get_entry(struct pfs_seqnode_iter *it)
{
	const unsigned char *start = it->node->data + it->off, *p = start;
	const unsigned char *end = it->node->data + it->node->entries_end;
	struct pfs_seqnode_entry *e = &it->e;
	uint64_t first;
	size_t used;

	memset(e, 0, sizeof(*e));
	used = pfs_varint_decode(p, (size_t)(end - p), &first);
	if (used == 0)
		return 0;
	p += used;
	if (it->node->level > 0) {
		e->kind = PFS_SEQNODE_CHILD;
		e->bytes = first;
		used = pfs_varint_decode(p, (size_t)(end - p), &e->chunks);
		p += used;
		if (used == 0 || end - p < 8)
			return 0;
		e->last_seed = pfs_get_le64(p);
		p += 8;
	} else {
		e->kind = (enum pfs_seqnode_kind)(first & 3);
		e->bytes = first >> 2;
		e->chunks = e->kind != PFS_SEQNODE_HOLE;
	}
	if (e->kind != PFS_SEQNODE_HOLE) {
		if (end - p < PFS_ID_SIZE)
			return 0;
		memcpy(e->id.bytes, p, PFS_ID_SIZE);
		p += PFS_ID_SIZE;
	}
	if (it->node->level == 0)
		e->last_seed = pfs_seqnode_seed(e->kind, e->bytes, &e->id);
	return (size_t)(p - start);
}

static int finish_walk(const struct pfs_seqnode_iter *it, struct pfs_error *err)
{
	if (it->off != it->node->entries_end || it->next != it->node->bytes)
		return pfs_fail(err, PFS_E_CORRUPT,
				"sequence node: its entries do not add up to %llu bytes",
				(unsigned long long)it->node->bytes);
	return 0;
}

int pfs_seqnode_iter_next(struct pfs_seqnode_iter *it, struct pfs_error *err)
{
	const struct pfs_seqnode *node = it->node;
	const char *fault = NULL;
	size_t used;

	if (it->index == node->count)
		return finish_walk(it, err);
	if (it->index % PFS_SEQNODE_RESTART == 0) {
		const unsigned char *r = restart_at(node, it->index / PFS_SEQNODE_RESTART);

		if (it->off != pfs_get_le32(r) || it->next != pfs_get_le64(r + 4))
			fault = "not where its restart points";
	}
	used = get_entry(it);
	if (used == 0)
		fault = "not well formed";
	if (!fault)
		fault = entry_fault(&it->e, node->level, it->after_hole);
	if (!fault && it->e.bytes > node->bytes - it->next)
		fault = "past the bytes of its node";
	if (fault)
		return pfs_fail(err, PFS_E_CORRUPT, "sequence node, entry %u at byte %zu: %s",
				it->index, it->off, fault);
	it->start = it->next;
	it->next += it->e.bytes;
	it->off += used;
	it->index++;
	it->after_hole = it->e.kind == PFS_SEQNODE_HOLE;
	return 1;
}

int pfs_seqnode_iter_seek(struct pfs_seqnode_iter *it, uint64_t at, struct pfs_error *err)
{
	const struct pfs_seqnode *node = it->node;
	size_t low = 0, high = restarts_of(node); /* the group is in [low, high) */
	int rc;

	if (at >= node->bytes)
		return pfs_fail(err, PFS_E_INVALID, "byte %llu of a sequence of %llu",
				(unsigned long long)at, (unsigned long long)node->bytes);
	while (high - low > 1) {
		size_t mid = low + (high - low) / 2;

		if (pfs_get_le64(restart_at(node, mid) + 4) <= at)
			low = mid;
		else
			high = mid;
	}
	pfs_seqnode_iter_init(it, node);
	it->index = (unsigned)(low * PFS_SEQNODE_RESTART);
	it->off = pfs_get_le32(restart_at(node, low));
	it->next = pfs_get_le64(restart_at(node, low) + 4);
	do
		rc = pfs_seqnode_iter_next(it, err);
	while (rc > 0 && it->next <= at);
	if (rc == 0)
		return pfs_fail(err, PFS_E_CORRUPT, "sequence node: no entry holds byte %llu",
				(unsigned long long)at);
	return rc < 0 ? rc : 0;
}

int pfs_seqnode_check(const void *data, size_t len, struct pfs_error *err)
{
	struct pfs_seqnode node;
	struct pfs_seqnode_iter it;
	uint64_t chunks = 0;
	int rc;

	rc = pfs_seqnode_open(data, len, &node, err);
	if (rc < 0)
		return rc;
	pfs_seqnode_iter_init(&it, &node);
	while ((rc = pfs_seqnode_iter_next(&it, err)) > 0)
		if (__builtin_add_overflow(chunks, it.e.chunks, &chunks))
			break;
	if (rc >= 0 && chunks != node.chunks)
		return pfs_fail(err, PFS_E_CORRUPT,
				"sequence node: its entries do not add up to %llu chunks",
				(unsigned long long)node.chunks);
	return rc < 0 ? rc : 0;
}
