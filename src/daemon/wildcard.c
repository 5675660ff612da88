#include "daemon/wildcard.h"

#include <string.h>

bool pfs_wildcard_is_pattern(const char *pattern, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (strchr("*?[\\", pattern[i]))
			return true;
	return false;
}

/*
 * One "[...]" from behind its bracket: whether it takes `c`, and where it ends;
 * NULL when it is not well formed.
 */
static const char *match_class(const char *p, const char *end, unsigned char c, bool *out)
{
	bool negated = p < end && (*p == '^' || *p == '!');
	bool hit = false;
	size_t n = 0;

	for (p += negated; p < end && (*p != ']' || n == 0); n++) {
		unsigned char low, high;

		if (*p == '\\' && ++p == end)
			return NULL;
		low = high = (unsigned char)*p++;
		if (end - p >= 2 && p[0] == '-' && p[1] != ']') {
			p++;
			if (*p == '\\' && ++p == end)
				return NULL;
			high = (unsigned char)*p++;
			if (high < low)
				return NULL;
		}
		hit = hit || (c >= low && c <= high);
	}
	if (p >= end)
		return NULL;
	*out = hit != negated;
	return p + 1;
}

int pfs_wildcard_check(const char *pattern, size_t len, struct pfs_error *err)
{
	const char *p = pattern, *end = pattern + len;
	bool ignored;

	while (p < end) {
		if (*p == '[') {
			p = match_class(p + 1, end, 0, &ignored);
			if (!p)
				return pfs_fail(err, PFS_E_INVALID,
						"pattern \"%.*s\": the \"[\" is not closed, or a "
						"range in it is empty",
						(int)len, pattern);
		} else if (*p == '\\') {
			if (end - p < 2)
				return pfs_fail(err, PFS_E_INVALID,
						"pattern \"%.*s\" ends with a backslash", (int)len,
						pattern);
			p += 2;
		} else {
			p++;
		}
	}
	return 0;
}

/* One step that is not '*': the end of what it used of the pattern, or NULL. */
static const char *match_one(const char *p, const char *end, unsigned char c)
{
	bool hit = false;

	if (p == end)
		return NULL;
	if (*p == '?')
		return p + 1;
	if (*p == '[') {
		p = match_class(p + 1, end, c, &hit);
		return hit ? p : NULL;
	}
	if (*p == '\\' && p + 1 < end)
		p++;
	return (unsigned char)*p == c ? p + 1 : NULL;
}

bool pfs_wildcard_match(const char *pattern, size_t len, const char *name)
{
	const char *p = pattern, *end = pattern + len;
	const char *star = NULL, *resume = NULL;

	/*
	 * Only the last star is ever taken back: what an earlier one took can
	 * always be given to the later one. That keeps the cost at the product
	 * of the lengths, whatever pattern somebody sends.
	 */
	while (*name) {
		const char *next;

		if (p < end && *p == '*') {
			star = ++p;
			resume = name;
			continue;
		}
		next = match_one(p, end, (unsigned char)*name);
		if (next) {
			p = next;
			name++;
		} else if (star) {
			p = star;
			name = ++resume;
		} else {
			return false;
		}
	}
	while (p < end && *p == '*')
		p++;
	return p == end;
}
