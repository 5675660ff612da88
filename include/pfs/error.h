/*
 * What went wrong, for callers and for people.
 *
 * Every function that can fail returns an int, zero or negative, and takes a
 * `struct pfs_error *err` last. Outputs are written on success only, `err` on
 * failure only. `err` may be NULL. The struct owns no memory, so reporting an
 * error cannot fail, not even for want of memory.
 *
 * Threads: any; one pfs_error belongs to one call at a time.
 */
#ifndef PFS_ERROR_H
#define PFS_ERROR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define PFS_API __attribute__((visibility("default")))

/* A new code needs a caller that would act differently; all else is text. */
enum pfs_code {
	PFS_OK = 0,
	PFS_E_INVALID = -1,     /* the request makes no sense as written */
	PFS_E_NOTFOUND = -2,    /* the thing named does not exist */
	PFS_E_EXISTS = -3,      /* the thing named exists already */
	PFS_E_CONFLICT = -4,    /* the state moved on; look again and retry */
	PFS_E_DENIED = -5,      /* not allowed, whoever asks or for this caller */
	PFS_E_BUSY = -6,        /* in use; try later */
	PFS_E_TIMEOUT = -7,     /* no answer within the time allowed */
	PFS_E_LIMIT = -8,       /* one of our own maxima is reached */
	PFS_E_UNSUPPORTED = -9, /* we do not do this */
	PFS_E_CORRUPT = -10,    /* stored bytes are not what was stored */
	PFS_E_IO = -11,         /* the disk, the network or a peer failed */
	PFS_E_NOMEM = -12,      /* out of memory */
	PFS_E_FAILED = -13,     /* work that was asked for ran and failed */
	/* What POSIX owes its callers. */
	PFS_E_NOTDIR = -14,
	PFS_E_ISDIR = -15,
	PFS_E_NOTEMPTY = -16,
	PFS_E_NAMETOOLONG = -17,
	PFS_E_READONLY = -18,
	PFS_E_NOSPACE = -19,
	PFS_E_CANCELLED = -20, /* whoever asked for it does not want it any more */
};

#define PFS_ERROR_TEXT_SIZE 768

struct pfs_error {
	int code; /* enum pfs_code */
	int sys;  /* errno of the cause, for the reader of the text; 0 if none */
	char text[PFS_ERROR_TEXT_SIZE];
};

/* The one table of what a code means outside. */
PFS_API const char *pfs_code_name(int code); /* "notfound", for machines */
PFS_API int pfs_code_errno(int code);        /* positive errno */
PFS_API int pfs_code_http(int code);         /* HTTP status */
PFS_API int pfs_code_exit(int code);         /* exit status of a program */

/* The code with this name, PFS_E_IO for a name we do not know. */
PFS_API int pfs_code_parse(const char *name);

#ifdef __cplusplus
}
#endif
#endif
