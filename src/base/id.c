#include "base/id.h"
#include "base/endian.h"

#include <string.h>

void pfs_hex_format(const void *data, size_t len, char *out)
{
	static const char digits[] = "0123456789abcdef";
	const unsigned char *p = data;

	for (size_t i = 0; i < len; i++) {
		*out++ = digits[p[i] >> 4];
		*out++ = digits[p[i] & 15];
	}
	*out = 0;
}

int pfs_hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

int pfs_hex_parse(const char *text, void *out, size_t len, struct pfs_error *err)
{
	unsigned char bytes[PFS_ID_SIZE];

	if (len > sizeof(bytes) || strlen(text) != 2 * len)
		return pfs_fail(err, PFS_E_INVALID,
				"\"%.80s\" is not an id of %zu hexadecimal digits", text, 2 * len);
	for (size_t i = 0; i < len; i++) {
		int hi = pfs_hex_digit(text[2 * i]);
		int lo = pfs_hex_digit(text[2 * i + 1]);

		if (hi < 0 || lo < 0)
			return pfs_fail(err, PFS_E_INVALID, "\"%.80s\" is not hexadecimal", text);
		bytes[i] = (unsigned char)(hi << 4 | lo);
	}
	memcpy(out, bytes, len);
	return 0;
}

char *pfs_id_format(const struct pfs_id *id, char out[PFS_ID_HEX_SIZE])
{
	pfs_hex_format(id->bytes, sizeof(id->bytes), out);
	return out;
}

char *pfs_commit_id_format(const struct pfs_commit_id *id, char out[PFS_COMMIT_ID_HEX_SIZE])
{
	pfs_hex_format(id->bytes, sizeof(id->bytes), out);
	return out;
}

int pfs_id_parse(const char *text, struct pfs_id *out, struct pfs_error *err)
{
	return pfs_hex_parse(text, out->bytes, sizeof(out->bytes), err);
}

int pfs_commit_id_parse(const char *text, struct pfs_commit_id *out, struct pfs_error *err)
{
	return pfs_hex_parse(text, out->bytes, sizeof(out->bytes), err);
}

bool pfs_id_equal(const struct pfs_id *a, const struct pfs_id *b)
{
	return memcmp(a, b, sizeof(*a)) == 0;
}

int pfs_id_compare(const struct pfs_id *a, const struct pfs_id *b)
{
	return memcmp(a, b, sizeof(*a));
}

bool pfs_commit_id_equal(const struct pfs_commit_id *a, const struct pfs_commit_id *b)
{
	return memcmp(a, b, sizeof(*a)) == 0;
}

bool pfs_id_is_zero(const struct pfs_id *id)
{
	static const struct pfs_id zero;

	return pfs_id_equal(id, &zero);
}

bool pfs_commit_id_is_zero(const struct pfs_commit_id *id)
{
	static const struct pfs_commit_id zero;

	return pfs_commit_id_equal(id, &zero);
}

uint64_t pfs_id_hash(const struct pfs_id *id)
{
	return pfs_get_le64(id->bytes);
}
