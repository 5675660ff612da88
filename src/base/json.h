/*
 * JSON from outside: bounded, duplicates refused, complaints with a place.
 *
 * The values are jansson's own (<jansson.h>); this only guards the gate.
 * Threads: any; a value belongs to one thread at a time.
 */
#ifndef PFS_BASE_JSON_H
#define PFS_BASE_JSON_H

#include "base/buf.h"
#include <jansson.h>

/* json_decref for PFS_AUTO. */
void pfs_json_free(json_t **v);

/* Parse exactly one value of at most PFS_HTTP_JSON_MAX bytes. *out is owned by the caller. */
int pfs_json_parse(const void *data, size_t len, json_t **out, struct pfs_error *err);

/* Append the compact text of `v`. */
int pfs_json_format(const json_t *v, struct pfs_buf *out, struct pfs_error *err);

/* The string at `key`; NULL when it is absent. Borrowed from the object. */
const char *pfs_json_str(const json_t *object, const char *key);

/* The integer at `key`, or `otherwise`. */
int64_t pfs_json_int(const json_t *object, const char *key, int64_t otherwise);

/*
 * Bytes that may not be UTF-8 (file names) as a JSON string: as they are when
 * they are UTF-8, else with every byte past ASCII replaced by U+FFFD.
 * NULL without memory.
 */
json_t *pfs_json_bytes(const char *s, size_t len);

#endif
