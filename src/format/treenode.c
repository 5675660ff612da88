#include "format/treenode.h"
#include "base/endian.h"
#include "base/varint.h"

#include <stdlib.h>

#define HAS_OWNER 0x10u
#define HAS_XATTR 0x20u
#define HAS_NSEC  0x40u
#define HAS_LINK  0x80u

#define MODE_MAX       07777u
#define NSEC_MAX       999999999u
#define CHUNK_SIZE_MAX 262144u /* pfs-tree(5), CHUNKS */
#define WEIGHT_BASE    48u

static const unsigned char magic[2] = { 'D', 'N' };

int pfs_treenode_name_compare(const char *a, size_t a_len, const char *b, size_t b_len)
{
	size_t n = a_len < b_len ? a_len : b_len;
	int c = n ? memcmp(a, b, n) : 0;

	if (c != 0)
		return c;
	return a_len < b_len ? -1 : a_len > b_len;
}

uint64_t pfs_treenode_weight(const struct pfs_treenode_entry *e, unsigned level)
{
	uint64_t w = WEIGHT_BASE + e->name_len;

	if (level == 0 && (e->kind == PFS_TREENODE_INLINE || e->kind == PFS_TREENODE_SYMLINK))
		w += e->size;
	return w;
}

static bool bytes_are_possible(const char *p, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (p[i] == '/' || p[i] == 0)
			return false;
	return true;
}

static bool is_dots(const char *name, size_t len)
{
	return name[0] == '.' && (len == 1 || (len == 2 && name[1] == '.'));
}

static bool name_is_possible(const char *name, size_t len)
{
	return len > 0 && len <= PFS_NAME_SIZE_MAX && !is_dots(name, len) &&
	       bytes_are_possible(name, len);
}

/* Why these values cannot stand in a leaf entry, or NULL: the same list for writing and reading. */
static const char *leaf_fault(const struct pfs_treenode_entry *e)
{
	if (e->mode > MODE_MAX)
		return "mode of more than 12 bits";
	if (e->mtime_nsec > NSEC_MAX)
		return "a second or more of nanoseconds";
	switch (e->kind) {
	case PFS_TREENODE_INLINE:
		return e->size > PFS_INLINE_SIZE_MAX ? "inline file too large" : NULL;
	case PFS_TREENODE_CHUNK:
		if (e->size <= PFS_INLINE_SIZE_MAX || e->size > CHUNK_SIZE_MAX)
			return "one-chunk file of an impossible size";
		return pfs_id_is_zero(&e->id) ? "file without content" : NULL;
	case PFS_TREENODE_SEQ:
		if (e->size <= PFS_INLINE_SIZE_MAX || e->size > PFS_FILE_SIZE_MAX)
			return "sequence file of an impossible size";
		return pfs_id_is_zero(&e->id) ? "file without content" : NULL;
	case PFS_TREENODE_DIR:
		if (e->link)
			return "directory with a hard-link group";
		if (pfs_id_is_zero(&e->id) != (e->entries == 0))
			return "directory whose id and count disagree";
		return e->entries == 0 && e->below_bytes != 0 ? "empty directory with bytes" : NULL;
	case PFS_TREENODE_SYMLINK:
		if (e->size == 0 || e->size > PFS_SYMLINK_SIZE_MAX)
			return "symlink of an impossible length";
		return memchr(e->bytes, 0, e->size) ? "symlink with a NUL in it" : NULL;
	case PFS_TREENODE_FIFO:
	case PFS_TREENODE_SOCKET:
	case PFS_TREENODE_CHR:
	case PFS_TREENODE_BLK:
		return NULL;
	}
	return "unknown kind";
}

static const char *inner_fault(const struct pfs_treenode_entry *e)
{
	if (pfs_id_is_zero(&e->id))
		return "child without a node";
	return e->direct == 0 || e->entries < e->direct ? "child with impossible sums" : NULL;
}

/* What one entry adds to the sums of its node. */
struct sums {
	uint64_t direct, entries, bytes;
};

static bool sums_add(struct sums *s, const struct pfs_treenode_entry *e, unsigned level)
{
	uint64_t direct = 1, entries = 1, bytes = 0;

	if (level > 0) {
		direct = e->direct;
		entries = e->entries;
		bytes = e->below_bytes;
	} else if (e->kind == PFS_TREENODE_DIR) {
		if (__builtin_add_overflow(entries, e->entries, &entries))
			return false;
		bytes = e->below_bytes;
	} else if (e->kind <= PFS_TREENODE_SEQ) {
		bytes = e->size;
	}
	return !__builtin_add_overflow(s->direct, direct, &s->direct) &&
	       !__builtin_add_overflow(s->entries, entries, &s->entries) &&
	       !__builtin_add_overflow(s->bytes, bytes, &s->bytes);
}

/* Owner as one number, so that order by number is order by uid, then gid. */
static uint64_t owner_of(const struct pfs_treenode_entry *e)
{
	return (uint64_t)e->uid << 32 | e->gid;
}

static int by_number(const void *a, const void *b)
{
	uint64_t x, y;

	memcpy(&x, a, sizeof(x));
	memcpy(&y, b, sizeof(y));
	return x < y ? -1 : x > y;
}

/* The most frequent number, the smallest of several; sorts. */
static uint64_t most_frequent(uint64_t *v, size_t n)
{
	uint64_t best = v[0];
	size_t best_run = 0;

	qsort(v, n, sizeof(*v), by_number);
	for (size_t i = 0, run; i < n; i += run) {
		for (run = 1; i + run < n && v[i + run] == v[i]; run++)
			;
		if (run > best_run) {
			best_run = run;
			best = v[i];
		}
	}
	return best;
}

/* --- writing ------------------------------------------------------------ */

static int default_owner(const struct pfs_treenode_entry *e, size_t n, uint64_t *out,
			 struct pfs_error *err)
{
	uint64_t *owners;
	size_t i;

	for (i = 1; i < n && owner_of(&e[i]) == owner_of(&e[0]); i++)
		;
	if (i == n) {
		*out = owner_of(&e[0]);
		return 0;
	}
	owners = calloc(n, sizeof(*owners));
	if (!owners)
		return pfs_fail_nomem(err, "the owners of a directory node");
	for (i = 0; i < n; i++)
		owners[i] = owner_of(&e[i]);
	*out = most_frequent(owners, n);
	free(owners);
	return 0;
}

static int refuse(const struct pfs_treenode_entry *e, const char *fault, struct pfs_error *err)
{
	int shown = (int)(e->name_len < PFS_NAME_SIZE_MAX ? e->name_len : PFS_NAME_SIZE_MAX);

	return pfs_fail(err, PFS_E_INVALID, "directory entry \"%.*s\": %s", shown, e->name, fault);
}

int pfs_treenode_entry_check(const struct pfs_treenode_entry *e, struct pfs_error *err)
{
	const char *fault = leaf_fault(e);

	if (!name_is_possible(e->name, e->name_len))
		fault = "not a name";
	return fault ? refuse(e, fault, err) : 0;
}

static int check_entries(const struct pfs_treenode_entry *e, size_t n, unsigned level,
			 struct sums *sums, struct pfs_error *err)
{
	if (n == 0 || n > UINT16_MAX || level > PFS_TREE_LEVEL_MAX)
		return pfs_fail(err, PFS_E_INVALID, "directory node of %zu entries at level %u", n,
				level);
	for (size_t i = 0; i < n; i++) {
		const char *fault = level ? inner_fault(&e[i]) : leaf_fault(&e[i]);

		if (!name_is_possible(e[i].name, e[i].name_len))
			fault = "not a name";
		else if (i && pfs_treenode_name_compare(e[i - 1].name, e[i - 1].name_len, e[i].name,
							e[i].name_len) >= 0)
			fault = "name out of order";
		if (fault)
			return refuse(&e[i], fault, err);
		if (!sums_add(sums, &e[i], level))
			return pfs_fail(err, PFS_E_LIMIT, "sums of a directory pass 64 bits");
	}
	return 0;
}

/* `p` has room for any entry; returns past what was written. */
static unsigned char *put_name(unsigned char *p, const struct pfs_treenode_entry *prev,
			       const struct pfs_treenode_entry *e)
{
	size_t shared = 0;

	while (prev && shared < prev->name_len && shared < e->name_len &&
	       prev->name[shared] == e->name[shared])
		shared++;
	p += pfs_varint_encode(p, shared);
	p += pfs_varint_encode(p, e->name_len - shared);
	memcpy(p, e->name + shared, e->name_len - shared);
	return p + e->name_len - shared;
}

static unsigned char *put_id(unsigned char *p, const struct pfs_id *id)
{
	memcpy(p, id->bytes, PFS_ID_SIZE);
	return p + PFS_ID_SIZE;
}

static unsigned char *put_sums(unsigned char *p, const struct pfs_treenode_entry *e)
{
	p += pfs_varint_encode(p, e->entries);
	return p + pfs_varint_encode(p, e->below_bytes);
}

static unsigned char *put_what(unsigned char *p, const struct pfs_treenode_entry *e)
{
	switch (e->kind) {
	case PFS_TREENODE_INLINE:
	case PFS_TREENODE_SYMLINK:
		p += pfs_varint_encode(p, e->size);
		if (e->size)
			memcpy(p, e->bytes, e->size);
		return p + e->size;
	case PFS_TREENODE_CHUNK:
	case PFS_TREENODE_SEQ:
		p += pfs_varint_encode(p, e->size);
		return put_id(p, &e->id);
	case PFS_TREENODE_DIR:
		return put_sums(put_id(p, &e->id), e);
	case PFS_TREENODE_CHR:
	case PFS_TREENODE_BLK:
		return p + pfs_varint_encode(p, e->rdev);
	default:
		return p;
	}
}

static unsigned char *put_leaf(unsigned char *p, const struct pfs_treenode_entry *e,
			       int64_t base_mtime, uint64_t owner)
{
	bool has_xattr = !pfs_id_is_zero(&e->xattrs);
	bool has_owner = owner_of(e) != owner;

	*p++ = (unsigned char)((unsigned)e->kind | (has_owner ? HAS_OWNER : 0) |
			       (has_xattr ? HAS_XATTR : 0) | (e->mtime_nsec ? HAS_NSEC : 0) |
			       (e->link ? HAS_LINK : 0));
	p += pfs_varint_encode(p, e->mode);
	p += pfs_varint_encode(
		p, pfs_zigzag((int64_t)((uint64_t)e->mtime_sec - (uint64_t)base_mtime)));
	if (e->mtime_nsec)
		p += pfs_varint_encode(p, e->mtime_nsec);
	if (has_owner) {
		p += pfs_varint_encode(p, e->uid);
		p += pfs_varint_encode(p, e->gid);
	}
	if (has_xattr)
		p = put_id(p, &e->xattrs);
	if (e->link)
		p += pfs_varint_encode(p, e->link);
	return put_what(p, e);
}

static unsigned char *put_inner(unsigned char *p, const struct pfs_treenode_entry *e)
{
	p = put_id(p, &e->id);
	p += pfs_varint_encode(p, e->direct);
	return put_sums(p, e);
}

static void put_header(unsigned char *p, size_t n, unsigned level, unsigned flags,
		       const struct sums *sums, int64_t base_mtime, uint64_t owner)
{
	memcpy(p, magic, sizeof(magic));
	p[2] = PFS_TREENODE_VERSION;
	p[3] = (unsigned char)level;
	pfs_put_le16(p + 4, (uint16_t)n);
	p[6] = PFS_TREENODE_RESTART;
	p[7] = (unsigned char)flags;
	pfs_put_le64(p + 8, sums->direct);
	pfs_put_le64(p + 16, sums->entries);
	pfs_put_le64(p + 24, sums->bytes);
	pfs_put_le64(p + 32, (uint64_t)base_mtime);
	pfs_put_le32(p + 40, (uint32_t)(owner >> 32));
	pfs_put_le32(p + 44, (uint32_t)owner);
}

/* No entry is longer than this plus its inline bytes. */
#define ENTRY_SIZE_MAX \
	(2u * 2 + PFS_NAME_SIZE_MAX + 1 + 8u * PFS_VARINT_SIZE_MAX + 2u * PFS_ID_SIZE)

static size_t encoded_size_max(const struct pfs_treenode_entry *e, size_t n, unsigned level)
{
	size_t size = PFS_TREENODE_HEADER_SIZE + 8 + n / 4;

	for (size_t i = 0; i < n; i++)
		size += ENTRY_SIZE_MAX - PFS_NAME_SIZE_MAX + pfs_treenode_weight(&e[i], level);
	return size;
}

int pfs_treenode_encode(const struct pfs_treenode_entry *e, size_t n, unsigned level,
			unsigned flags, struct pfs_buf *out, struct pfs_error *err)
{
	struct sums sums = { 0 };
	uint64_t owner = 0;
	int64_t base_mtime = 0;
	unsigned char *start, *p;
	uint32_t restart_off[UINT16_MAX / PFS_TREENODE_RESTART + 1];
	uint32_t restarts = 0;
	int rc;

	rc = check_entries(e, n, level, &sums, err);
	if (rc == 0 && level == 0)
		rc = default_owner(e, n, &owner, err);
	if (rc == 0)
		rc = pfs_buf_reserve(out, encoded_size_max(e, n, level) + 4 * (n / 16 + 2), err);
	if (rc < 0)
		return rc;
	for (size_t i = 0; i < n && level == 0; i++)
		if (i == 0 || e[i].mtime_sec < base_mtime)
			base_mtime = e[i].mtime_sec;

	start = out->data + out->len;
	put_header(start, n, level, flags, &sums, base_mtime, owner);
	p = start + PFS_TREENODE_HEADER_SIZE;
	for (size_t i = 0; i < n; i++) {
		bool restart = i % PFS_TREENODE_RESTART == 0;

		if (restart)
			restart_off[restarts++] = (uint32_t)(p - start);
		p = put_name(p, restart ? NULL : &e[i - 1], &e[i]);
		p = level ? put_inner(p, &e[i]) : put_leaf(p, &e[i], base_mtime, owner);
	}
	for (uint32_t end = (uint32_t)(p - start), i = 0; i <= restarts; i++, p += 4)
		pfs_put_le32(p, i < restarts ? restart_off[i] : end);
	out->len += (size_t)(p - start);
	out->data[out->len] = 0;
	return 0;
}

/* --- reading ------------------------------------------------------------ */

static size_t restarts_of(const struct pfs_treenode *node)
{
	return (node->count + PFS_TREENODE_RESTART - 1) / PFS_TREENODE_RESTART;
}

static size_t restart_offset(const struct pfs_treenode *node, size_t i)
{
	return pfs_get_le32(node->data + node->entries_end + 4 * i);
}

static int check_restarts(const struct pfs_treenode *node, struct pfs_error *err)
{
	size_t before = 0;

	for (size_t i = 0; i < restarts_of(node); i++) {
		size_t off = restart_offset(node, i);

		if (i == 0 ? off != PFS_TREENODE_HEADER_SIZE : off <= before)
			return pfs_fail(err, PFS_E_CORRUPT,
					"directory node: restart %zu at byte %zu is out of place",
					i, off);
		if (off >= node->entries_end)
			return pfs_fail(
				err, PFS_E_CORRUPT,
				"directory node: restart %zu at byte %zu is past the entries", i,
				off);
		before = off;
	}
	return 0;
}

int pfs_treenode_open(const void *data, size_t len, struct pfs_treenode *out, struct pfs_error *err)
{
	const unsigned char *p = data;
	struct pfs_treenode node = { .data = p };

	if (len < PFS_TREENODE_HEADER_SIZE + 8 || len > PFS_OBJECT_SIZE_MAX)
		return pfs_fail(err, PFS_E_CORRUPT, "directory node of %zu bytes", len);
	if (memcmp(p, magic, sizeof(magic)) != 0 || p[2] != PFS_TREENODE_VERSION)
		return pfs_fail(err, PFS_E_CORRUPT, "not a directory node of version %u",
				PFS_TREENODE_VERSION);
	node.level = p[3];
	node.count = pfs_get_le16(p + 4);
	node.flags = p[7];
	node.direct = pfs_get_le64(p + 8);
	node.entries = pfs_get_le64(p + 16);
	node.bytes = pfs_get_le64(p + 24);
	node.base_mtime = (int64_t)pfs_get_le64(p + 32);
	node.uid = pfs_get_le32(p + 40);
	node.gid = pfs_get_le32(p + 44);
	if (node.level > PFS_TREE_LEVEL_MAX || node.count == 0 || p[6] != PFS_TREENODE_RESTART ||
	    node.flags & ~PFS_TREENODE_FORCED)
		return pfs_fail(err, PFS_E_CORRUPT,
				"directory node: level %u, %u entries, restart %u, flags %#x",
				node.level, node.count, p[6], node.flags);
	if (node.level > 0 && (node.base_mtime || node.uid || node.gid))
		return pfs_fail(err, PFS_E_CORRUPT, "inner directory node with attributes");
	node.entries_end = pfs_get_le32(p + len - 4);
	if (4 * restarts_of(&node) + 4 > len - PFS_TREENODE_HEADER_SIZE ||
	    node.entries_end != len - 4 - 4 * restarts_of(&node))
		return pfs_fail(err, PFS_E_CORRUPT,
				"directory node: entries end at %zu of %zu bytes, %u entries",
				node.entries_end, len, node.count);
	if (check_restarts(&node, err) < 0)
		return PFS_E_CORRUPT;
	*out = node;
	return 0;
}

/* Bytes of entries that are still to be read; `bad` sticks. */
struct reader {
	const unsigned char *p, *end;
	bool bad;
};

static uint64_t get_varint(struct reader *r)
{
	uint64_t v = 0;
	size_t used;

	if (r->p < r->end && *r->p < 0x80) /* nearly all of them */
		return *r->p++;
	used = r->bad ? 0 : pfs_varint_decode(r->p, (size_t)(r->end - r->p), &v);
	if (used == 0)
		r->bad = true;
	r->p += used;
	return v;
}

static const unsigned char *get_bytes(struct reader *r, uint64_t len)
{
	const unsigned char *p = r->p;

	if (r->bad || len > (uint64_t)(r->end - r->p)) {
		r->bad = true;
		return NULL;
	}
	r->p += len;
	return p;
}

static void get_id(struct reader *r, struct pfs_id *out)
{
	const unsigned char *p = get_bytes(r, PFS_ID_SIZE);

	if (p)
		memcpy(out->bytes, p, PFS_ID_SIZE);
}

static uint32_t get_varint32(struct reader *r)
{
	uint64_t v = get_varint(r);

	if (v > UINT32_MAX)
		r->bad = true;
	return (uint32_t)v;
}

/* A field that is only written when it is not its default has to differ from it. */
static void get_optional(struct reader *r, unsigned bits, const struct pfs_treenode *node,
			 struct pfs_treenode_entry *e)
{
	if (bits & HAS_NSEC) {
		e->mtime_nsec = get_varint32(r);
		r->bad |= e->mtime_nsec == 0;
	}
	e->uid = node->uid;
	e->gid = node->gid;
	if (bits & HAS_OWNER) {
		e->uid = get_varint32(r);
		e->gid = get_varint32(r);
		r->bad |= e->uid == node->uid && e->gid == node->gid;
	}
	if (bits & HAS_XATTR) {
		get_id(r, &e->xattrs);
		r->bad |= pfs_id_is_zero(&e->xattrs);
	}
	if (bits & HAS_LINK) {
		e->link = get_varint(r);
		r->bad |= e->link == 0;
	}
}

static void get_sums(struct reader *r, struct pfs_treenode_entry *e)
{
	e->entries = get_varint(r);
	e->below_bytes = get_varint(r);
}

static void get_what(struct reader *r, struct pfs_treenode_entry *e)
{
	switch (e->kind) {
	case PFS_TREENODE_INLINE:
	case PFS_TREENODE_SYMLINK:
		e->size = get_varint(r);
		e->bytes = get_bytes(r, e->size);
		break;
	case PFS_TREENODE_CHUNK:
	case PFS_TREENODE_SEQ:
		e->size = get_varint(r);
		get_id(r, &e->id);
		break;
	case PFS_TREENODE_DIR:
		get_id(r, &e->id);
		get_sums(r, e);
		break;
	case PFS_TREENODE_CHR:
	case PFS_TREENODE_BLK:
		e->rdev = get_varint(r);
		break;
	default:
		break;
	}
}

static const char *get_leaf(struct reader *r, const struct pfs_treenode *node,
			    struct pfs_treenode_entry *e)
{
	const unsigned char *bits = get_bytes(r, 1);
	uint64_t mode;

	if (!bits)
		return "cut short";
	e->kind = (enum pfs_treenode_kind)(*bits & 15u);
	mode = get_varint(r);
	if (mode > MODE_MAX)
		return "mode of more than 12 bits";
	e->mode = (uint16_t)mode;
	e->mtime_sec =
		(int64_t)((uint64_t)node->base_mtime + (uint64_t)pfs_unzigzag(get_varint(r)));
	get_optional(r, *bits, node, e);
	get_what(r, e);
	return r->bad ? "not well formed" : leaf_fault(e);
}

static const char *get_inner(struct reader *r, struct pfs_treenode_entry *e)
{
	get_id(r, &e->id);
	e->direct = get_varint(r);
	get_sums(r, e);
	return r->bad ? "not well formed" : inner_fault(e);
}

/* The next name, put together in it->name. Checks order and that the shared part is the longest. */
static const char *get_name(struct reader *r, struct pfs_treenode_iter *it, bool restart)
{
	uint64_t shared = get_varint(r);
	uint64_t more = get_varint(r);
	const char *suffix = (const char *)get_bytes(r, more);

	if (!suffix || more == 0)
		return "name not well formed";
	if (restart ? shared != 0 : shared > it->name_len)
		return "shares more of a name than there is";
	if (shared + more > PFS_NAME_SIZE_MAX)
		return "name too long";
	if (it->known && restart &&
	    pfs_treenode_name_compare(it->name, it->name_len, suffix, more) >= 0)
		return "name out of order";
	if (!restart && shared < it->name_len &&
	    (unsigned char)suffix[0] <= (unsigned char)it->name[shared])
		return "name out of order, or shares more than it says";
	memcpy(it->name + shared, suffix, more);
	it->name_len = shared + more;
	it->known = true;
	/* The shared part was looked at with the name it came from. */
	return bytes_are_possible(suffix, more) && !is_dots(it->name, it->name_len) ? NULL
										    : "not a name";
}

void pfs_treenode_iter_init(struct pfs_treenode_iter *it, const struct pfs_treenode *node)
{
	it->node = node;
	it->off = PFS_TREENODE_HEADER_SIZE;
	it->index = 0;
	it->known = false;
	it->name_len = 0;
}

int pfs_treenode_iter_next(struct pfs_treenode_iter *it, struct pfs_error *err)
{
	const struct pfs_treenode *node = it->node;
	struct reader r = { node->data + it->off, node->data + node->entries_end, false };
	bool restart = it->index % PFS_TREENODE_RESTART == 0;
	const char *fault = NULL;

	if (it->index == node->count && it->off == node->entries_end)
		return 0;
	memset(&it->e, 0, sizeof(it->e));
	if (it->index == node->count)
		fault = "bytes behind the last entry";
	else if (restart && it->off != restart_offset(node, it->index / PFS_TREENODE_RESTART))
		fault = "not where its restart points";
	if (!fault)
		fault = get_name(&r, it, restart);
	if (!fault)
		fault = node->level ? get_inner(&r, &it->e) : get_leaf(&r, node, &it->e);
	if (fault)
		return pfs_fail(err, PFS_E_CORRUPT, "directory node, entry %u at byte %zu: %s",
				it->index, it->off, fault);
	it->e.name = it->name;
	it->e.name_len = it->name_len;
	it->off = (size_t)(r.p - node->data);
	it->index++;
	return 1;
}

/* How the first name of a restart group compares with `name`; 2 when it cannot be read. */
static int compare_restart(const struct pfs_treenode *node, size_t i, const char *name,
			   size_t name_len)
{
	struct reader r = { node->data + restart_offset(node, i), node->data + node->entries_end,
			    false };
	const char *first;
	uint64_t len;
	int c;

	if (get_varint(&r) != 0)
		return 2;
	len = get_varint(&r);
	first = (const char *)get_bytes(&r, len);
	if (!first)
		return 2;
	c = pfs_treenode_name_compare(first, len, name, name_len);
	return c < 0 ? -1 : c > 0;
}

int pfs_treenode_iter_seek(struct pfs_treenode_iter *it, const char *name, size_t name_len,
			   bool after, struct pfs_error *err)
{
	const struct pfs_treenode *node = it->node;
	size_t low = 0, high = restarts_of(node); /* the group is in [low, high) */
	int rc;

	while (high - low > 1) {
		size_t mid = low + (high - low) / 2;
		int c = compare_restart(node, mid, name, name_len);

		if (c == 2)
			return pfs_fail(err, PFS_E_CORRUPT,
					"directory node: restart %zu is no name", mid);
		if (c <= 0)
			low = mid;
		else
			high = mid;
	}
	pfs_treenode_iter_init(it, node);
	it->index = (unsigned)(low * PFS_TREENODE_RESTART);
	it->off = restart_offset(node, low);
	while ((rc = pfs_treenode_iter_next(it, err)) > 0) {
		int c = pfs_treenode_name_compare(it->name, it->name_len, name, name_len);

		if (c > 0 || (c == 0 && !after))
			return 1;
	}
	return rc;
}

int pfs_treenode_iter_at(struct pfs_treenode_iter *it, unsigned index, struct pfs_error *err)
{
	unsigned group = index / PFS_TREENODE_RESTART;
	int rc = 1;

	pfs_treenode_iter_init(it, it->node);
	it->index = group * PFS_TREENODE_RESTART;
	it->off = restart_offset(it->node, group);
	while (rc > 0 && it->index <= index)
		rc = pfs_treenode_iter_next(it, err);
	return rc < 0 ? rc : 0;
}

/* --- the whole ---------------------------------------------------------- */

/* What a walk over all entries finds out about the header. */
struct census {
	struct sums sums;
	int64_t base_mtime;
	uint64_t *owners;
	size_t n;
};

static const char *header_fault(const struct pfs_treenode *node, struct census *c)
{
	if (c->sums.direct != node->direct || c->sums.entries != node->entries ||
	    c->sums.bytes != node->bytes)
		return "sums are not those of its entries";
	if (node->level > 0)
		return NULL;
	if (c->base_mtime != node->base_mtime)
		return "base time is not the smallest";
	if (most_frequent(c->owners, c->n) != ((uint64_t)node->uid << 32 | node->gid))
		return "default owner is not the most frequent";
	return NULL;
}

static int take_census(const struct pfs_treenode *node, struct census *c, struct pfs_error *err)
{
	struct pfs_treenode_iter it;
	int rc;

	pfs_treenode_iter_init(&it, node);
	while ((rc = pfs_treenode_iter_next(&it, err)) > 0) {
		if (!sums_add(&c->sums, &it.e, node->level))
			return pfs_fail(err, PFS_E_CORRUPT, "directory node: sums pass 64 bits");
		if (c->n == 0 || it.e.mtime_sec < c->base_mtime)
			c->base_mtime = it.e.mtime_sec;
		c->owners[c->n++] = owner_of(&it.e);
	}
	return rc;
}

int pfs_treenode_check(const void *data, size_t len, struct pfs_error *err)
{
	struct pfs_treenode node;
	struct census c = { 0 };
	const char *fault;
	int rc;

	rc = pfs_treenode_open(data, len, &node, err);
	if (rc < 0)
		return rc;
	c.owners = calloc(node.count, sizeof(*c.owners));
	if (!c.owners)
		return pfs_fail_nomem(err, "the owners of a directory node");
	rc = take_census(&node, &c, err);
	fault = rc < 0 ? NULL : header_fault(&node, &c);
	free(c.owners);
	if (fault)
		return pfs_fail(err, PFS_E_CORRUPT, "directory node: %s", fault);
	return rc;
}
