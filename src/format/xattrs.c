#include "format/xattrs.h"
#include "base/endian.h"
#include "base/varint.h"

static const unsigned char magic[2] = { 'X', 'A' };

/* Why this cannot be in a set, or NULL: the same list for writing and reading. */
static const char *fault_of(const struct pfs_xattr *x)
{
	if (x->name_len == 0)
		return "attribute without a name";
	if (x->name_len > PFS_NAME_SIZE_MAX)
		return "name of an attribute longer than names are";
	if (memchr(x->name, 0, x->name_len))
		return "zero byte in the name of an attribute";
	if (x->value_len > PFS_XATTR_VALUE_MAX)
		return "value of an attribute longer than values are";
	return NULL;
}

int pfs_xattr_check(const struct pfs_xattr *x, struct pfs_error *err)
{
	const char *fault = fault_of(x);
	bool too_long = x->name_len > PFS_NAME_SIZE_MAX || x->value_len > PFS_XATTR_VALUE_MAX;

	if (!fault)
		return 0;
	return pfs_fail(err, too_long ? PFS_E_LIMIT : PFS_E_INVALID,
			"%s: a name of %zu bytes (1 to %u) and a value of %zu (up to %u)", fault,
			x->name_len, PFS_NAME_SIZE_MAX, x->value_len, PFS_XATTR_VALUE_MAX);
}

static int compare_names(const struct pfs_xattr *a, const struct pfs_xattr *b)
{
	size_t both = a->name_len < b->name_len ? a->name_len : b->name_len;
	int c = memcmp(a->name, b->name, both);

	return c ? c : (a->name_len > b->name_len) - (a->name_len < b->name_len);
}

/* --- writing ------------------------------------------------------------ */

static int check_list(const struct pfs_xattr *list, size_t n, size_t *out_size,
		      struct pfs_error *err)
{
	size_t names = 0, size = PFS_XATTRS_HEADER_SIZE;
	int rc = n ? 0 : pfs_fail(err, PFS_E_INVALID, "a set without attributes is no set");

	for (size_t i = 0; rc == 0 && i < n; i++) {
		rc = pfs_xattr_check(&list[i], err);
		if (rc == 0 && i && compare_names(&list[i - 1], &list[i]) >= 0)
			rc = pfs_fail(err, PFS_E_INVALID, "attributes out of order");
		names += list[i].name_len + 1;
		size += pfs_varint_size(list[i].name_len) + list[i].name_len +
			pfs_varint_size(list[i].value_len) + list[i].value_len;
		if (rc == 0 && (names > PFS_XATTR_NAMES_MAX || size > PFS_OBJECT_SIZE_MAX))
			rc = pfs_fail(err, PFS_E_LIMIT,
				      "attributes of more than %u bytes of names or %u in all",
				      PFS_XATTR_NAMES_MAX, PFS_OBJECT_SIZE_MAX);
	}
	*out_size = size;
	return rc;
}

static unsigned char *put_bytes(unsigned char *p, const void *data, size_t len)
{
	p += pfs_varint_encode(p, len);
	if (len)
		memcpy(p, data, len);
	return p + len;
}

int pfs_xattrs_encode(const struct pfs_xattr *list, size_t n, struct pfs_buf *out,
		      struct pfs_error *err)
{
	unsigned char *p;
	size_t size;
	int rc = check_list(list, n, &size, err);

	if (rc == 0)
		rc = pfs_buf_reserve(out, size + PFS_VARINT_SIZE_MAX, err);
	if (rc < 0)
		return rc;
	p = out->data + out->len;
	memcpy(p, magic, sizeof(magic));
	p[2] = PFS_XATTRS_VERSION;
	p[3] = 0;
	pfs_put_le32(p + 4, (uint32_t)n);
	p += PFS_XATTRS_HEADER_SIZE;
	for (size_t i = 0; i < n; i++) {
		p = put_bytes(p, list[i].name, list[i].name_len);
		p = put_bytes(p, list[i].value, list[i].value_len);
	}
	out->len += size;
	out->data[out->len] = 0;
	return 0;
}

/* --- reading ------------------------------------------------------------ */

/* A length and so many bytes; false when they are not all there. */
static bool get_bytes(const struct pfs_xattrs *set, size_t *off, const void **out, size_t *out_len)
{
	uint64_t len;
	size_t used = pfs_varint_decode(set->data + *off, set->len - *off, &len);

	if (used == 0 || len > set->len - *off - used)
		return false;
	*out = set->data + *off + used;
	*out_len = (size_t)len;
	*off += used + (size_t)len;
	return true;
}

static bool get_attribute(const struct pfs_xattrs *set, size_t *off, struct pfs_xattr *out)
{
	const void *name;

	if (!get_bytes(set, off, &name, &out->name_len) ||
	    !get_bytes(set, off, &out->value, &out->value_len))
		return false;
	out->name = name;
	return true;
}

/* Everything behind the header. */
static const char *fault_of_list(const struct pfs_xattrs *set)
{
	struct pfs_xattr x, before = { 0 };
	size_t names = 0, off = PFS_XATTRS_HEADER_SIZE;

	for (size_t i = 0; i < set->count; i++) {
		const char *fault;

		if (!get_attribute(set, &off, &x))
			return "cut short";
		fault = fault_of(&x);
		if (fault)
			return fault;
		if (i && compare_names(&before, &x) >= 0)
			return "attributes out of order";
		names += x.name_len + 1;
		if (names > PFS_XATTR_NAMES_MAX)
			return "more names than can be listed";
		before = x;
	}
	return off < set->len ? "bytes left over" : NULL;
}

int pfs_xattrs_open(const void *data, size_t len, struct pfs_xattrs *out, struct pfs_error *err)
{
	const unsigned char *p = data;
	struct pfs_xattrs set = { .data = p, .len = len };
	const char *fault;

	if (len < PFS_XATTRS_HEADER_SIZE || memcmp(p, magic, sizeof(magic)) != 0)
		return pfs_fail(err, PFS_E_CORRUPT, "not a set of attributes");
	if (p[2] != PFS_XATTRS_VERSION)
		return pfs_fail(err, PFS_E_CORRUPT, "set of attributes of unknown version %u",
				p[2]);
	set.count = pfs_get_le32(p + 4);
	if (p[3] != 0 || set.count == 0 || len > PFS_OBJECT_SIZE_MAX)
		return pfs_fail(err, PFS_E_CORRUPT,
				"set of attributes with a header that cannot be");
	fault = fault_of_list(&set);
	if (fault)
		return pfs_fail(err, PFS_E_CORRUPT, "set of attributes: %s", fault);
	*out = set;
	return 0;
}

bool pfs_xattrs_next(const struct pfs_xattrs *set, size_t *off, struct pfs_xattr *out)
{
	if (*off == 0)
		*off = PFS_XATTRS_HEADER_SIZE;
	return *off < set->len && get_attribute(set, off, out);
}
