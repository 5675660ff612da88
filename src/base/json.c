#include "base/json.h"
#include "base/limits.h"

#include <string.h>

void pfs_json_free(json_t **v)
{
	if (*v)
		json_decref(*v);
	*v = NULL;
}

int pfs_json_parse(const void *data, size_t len, json_t **out, struct pfs_error *err)
{
	json_error_t where;
	json_t *v;

	if (len > PFS_HTTP_JSON_MAX)
		return pfs_fail(err, PFS_E_LIMIT, "JSON of %zu bytes, at most %u are read", len,
				PFS_HTTP_JSON_MAX);
	v = json_loadb(data, len, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &where);
	if (!v)
		return pfs_fail(err, PFS_E_INVALID, "JSON, line %d column %d: %s", where.line,
				where.column, where.text);
	*out = v;
	return 0;
}

static int append(const char *piece, size_t len, void *buf)
{
	return pfs_buf_add(buf, piece, len, NULL);
}

int pfs_json_format(const json_t *v, struct pfs_buf *out, struct pfs_error *err)
{
	if (json_dump_callback(v, append, out, JSON_COMPACT | JSON_ENCODE_ANY) != 0)
		return pfs_fail(err, PFS_E_LIMIT, "JSON text passes %zu bytes", out->limit);
	return 0;
}

const char *pfs_json_str(const json_t *object, const char *key)
{
	return json_string_value(json_object_get(object, key));
}

int64_t pfs_json_int(const json_t *object, const char *key, int64_t otherwise)
{
	const json_t *v = json_object_get(object, key);

	return json_is_integer(v) ? json_integer_value(v) : otherwise;
}

json_t *pfs_json_bytes(const char *s, size_t len)
{
	static const char replacement[] = "\xef\xbf\xbd";
	PFS_AUTO(pfs_buf_fini) struct pfs_buf text = PFS_BUF_INIT(SIZE_MAX / 4);
	json_t *v = json_stringn(s, len);

	if (v)
		return v;
	for (size_t i = 0; i < len; i++) {
		const char *piece = (unsigned char)s[i] < 0x80 ? s + i : replacement;
		size_t n = piece == replacement ? 3 : 1;

		if (pfs_buf_add(&text, piece, n, NULL) < 0)
			return NULL;
	}
	return json_stringn(pfs_buf_str(&text), text.len);
}
