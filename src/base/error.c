#include "base/error.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

struct code_row {
	int code;
	const char *name;
	int sys;
	int http;
	int exit_status;
};

static const struct code_row codes[] = {
	{ PFS_OK, "ok", 0, 200, 0 },
	{ PFS_E_INVALID, "invalid", EINVAL, 400, 2 },
	{ PFS_E_NOTFOUND, "notfound", ENOENT, 404, 3 },
	{ PFS_E_EXISTS, "exists", EEXIST, 409, 4 },
	{ PFS_E_CONFLICT, "conflict", EAGAIN, 409, 5 },
	{ PFS_E_DENIED, "denied", EPERM, 403, 6 },
	{ PFS_E_BUSY, "busy", EBUSY, 409, 7 },
	{ PFS_E_TIMEOUT, "timeout", ETIMEDOUT, 504, 8 },
	{ PFS_E_LIMIT, "limit", EFBIG, 413, 9 },
	{ PFS_E_UNSUPPORTED, "unsupported", EOPNOTSUPP, 501, 10 },
	{ PFS_E_CORRUPT, "corrupt", EIO, 500, 11 },
	{ PFS_E_IO, "io", EIO, 500, 12 },
	{ PFS_E_NOMEM, "nomem", ENOMEM, 503, 13 },
	{ PFS_E_FAILED, "failed", EIO, 500, 1 },
	{ PFS_E_NOTDIR, "notdir", ENOTDIR, 409, 14 },
	{ PFS_E_ISDIR, "isdir", EISDIR, 409, 15 },
	{ PFS_E_NOTEMPTY, "notempty", ENOTEMPTY, 409, 16 },
	{ PFS_E_NAMETOOLONG, "nametoolong", ENAMETOOLONG, 400, 17 },
	{ PFS_E_READONLY, "readonly", EROFS, 403, 18 },
	{ PFS_E_NOSPACE, "nospace", ENOSPC, 507, 19 },
	/* Not EINTR: whoever reads that tries again, for ever. */
	{ PFS_E_CANCELLED, "cancelled", ECANCELED, 503, 20 },
};

static const struct code_row *find_code(int code)
{
	static const struct code_row unknown = { PFS_E_IO, "io", EIO, 500, 12 };

	for (size_t i = 0; i < sizeof(codes) / sizeof(*codes); i++)
		if (codes[i].code == code)
			return &codes[i];
	return &unknown;
}

const char *pfs_code_name(int code)
{
	return find_code(code)->name;
}

int pfs_code_errno(int code)
{
	return find_code(code)->sys;
}

int pfs_code_http(int code)
{
	return find_code(code)->http;
}

int pfs_code_exit(int code)
{
	return find_code(code)->exit_status;
}

int pfs_code_parse(const char *name)
{
	for (size_t i = 0; i < sizeof(codes) / sizeof(*codes); i++)
		if (strcmp(codes[i].name, name) == 0)
			return codes[i].code;
	return PFS_E_IO;
}

int pfs_code_of_errno(int sys)
{
	switch (sys) {
	case ENOSPC:
	case EDQUOT:
		return PFS_E_NOSPACE;
	case ENOMEM:
		return PFS_E_NOMEM;
	case EINVAL:
		return PFS_E_INVALID;
	case ENOENT:
		return PFS_E_NOTFOUND;
	case EEXIST:
		return PFS_E_EXISTS;
	case EACCES:
	case EPERM:
		return PFS_E_DENIED;
	case EBUSY:
		return PFS_E_BUSY;
	case ETIMEDOUT:
		return PFS_E_TIMEOUT;
	case EFBIG:
	case EMFILE:
	case ENFILE:
		return PFS_E_LIMIT;
	case EOPNOTSUPP:
	case ENOSYS:
		return PFS_E_UNSUPPORTED;
	case ENOTDIR:
		return PFS_E_NOTDIR;
	case EISDIR:
		return PFS_E_ISDIR;
	case ENOTEMPTY:
		return PFS_E_NOTEMPTY;
	case ENAMETOOLONG:
		return PFS_E_NAMETOOLONG;
	case EROFS:
		return PFS_E_READONLY;
	default:
		return PFS_E_IO;
	}
}

int pfs_fail(struct pfs_error *err, int code, const char *fmt, ...)
{
	va_list ap;

	if (!err)
		return code;
	err->code = code;
	err->sys = 0;
	va_start(ap, fmt);
	vsnprintf(err->text, sizeof(err->text), fmt, ap);
	va_end(ap);
	return code;
}

/* Behind what `used` bytes say already; of a reason that is too long the end is left out. */
static void add_reason(struct pfs_error *err, int used, const char *reason)
{
	const size_t least = sizeof(": ");
	size_t room = used < 0 || (size_t)used > sizeof(err->text) ? 0 : sizeof(err->text) - used;

	if (room > least)
		snprintf(err->text + used, room, ": %.*s", (int)(room - least), reason);
}

int pfs_fail_errno(struct pfs_error *err, int sys, const char *fmt, ...)
{
	int code = pfs_code_of_errno(sys);
	va_list ap;
	int used;

	if (!err)
		return code;
	err->code = code;
	err->sys = sys;
	va_start(ap, fmt);
	used = vsnprintf(err->text, sizeof(err->text), fmt, ap);
	va_end(ap);
	add_reason(err, used, strerror(sys));
	return code;
}

int pfs_wrap(struct pfs_error *err, int rc, const char *fmt, ...)
{
	char inner[PFS_ERROR_TEXT_SIZE];
	va_list ap;
	int used;

	if (!err)
		return rc;
	memcpy(inner, err->text, sizeof(inner));
	va_start(ap, fmt);
	used = vsnprintf(err->text, sizeof(err->text), fmt, ap);
	va_end(ap);
	add_reason(err, used, inner);
	return rc;
}

int pfs_fail_nomem(struct pfs_error *err, const char *what)
{
	return pfs_fail(err, PFS_E_NOMEM, "out of memory for %s", what);
}
