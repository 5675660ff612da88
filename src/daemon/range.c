#include "daemon/range.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

/* Digits only, no sign; what does not fit is as good as the largest number. */
static const char *parse_number(const char *p, uint64_t *out)
{
	uint64_t n = 0;

	if (!isdigit((unsigned char)*p))
		return NULL;
	for (; isdigit((unsigned char)*p); p++) {
		uint64_t digit = (uint64_t)(*p - '0');

		n = n > (UINT64_MAX - digit) / 10 ? UINT64_MAX : n * 10 + digit;
	}
	*out = n;
	return p;
}

static enum pfs_range_kind parse_suffix(const char *p, uint64_t size, uint64_t *out_off,
					uint64_t *out_len)
{
	uint64_t n;

	p = parse_number(p, &n);
	if (!p || *p)
		return PFS_RANGE_WHOLE;
	if (n == 0 || size == 0)
		return PFS_RANGE_UNSATISFIABLE;
	*out_len = n < size ? n : size;
	*out_off = size - *out_len;
	return PFS_RANGE_PART;
}

enum pfs_range_kind pfs_range_parse(const char *text, uint64_t size, uint64_t *out_off,
				    uint64_t *out_len)
{
	uint64_t first, last = UINT64_MAX;

	if (!text || strncasecmp(text, "bytes=", 6) != 0)
		return PFS_RANGE_WHOLE;
	text += 6;
	if (*text == '-')
		return parse_suffix(text + 1, size, out_off, out_len);
	text = parse_number(text, &first);
	if (!text || *text++ != '-')
		return PFS_RANGE_WHOLE;
	if (*text)
		text = parse_number(text, &last);
	if (!text || *text || last < first)
		return PFS_RANGE_WHOLE;
	if (first >= size)
		return PFS_RANGE_UNSATISFIABLE;
	if (last > size - 1)
		last = size - 1;
	*out_off = first;
	*out_len = last - first + 1;
	return PFS_RANGE_PART;
}
