/* Ids as keys: hashing and ordering. Printing and parsing are in <pfs/id.h>. */
#ifndef PFS_BASE_ID_H
#define PFS_BASE_ID_H

#include "base/error.h"
#include <pfs/id.h>

/* Two hexadecimal digits a byte, lower case, terminated. */
void pfs_hex_format(const void *data, size_t len, char *out);

/* The value of a hexadecimal digit of either case, -1 for any other byte. */
int pfs_hex_digit(char c);

/* Exactly 2*len digits, either case, then the end; PFS_E_INVALID otherwise. */
int pfs_hex_parse(const char *text, void *out, size_t len, struct pfs_error *err);

/* A word of the id: ids are uniform already, so this is a hash of it. */
uint64_t pfs_id_hash(const struct pfs_id *id);

#endif
