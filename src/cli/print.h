/*
 * What people read: aligned tables, sizes and ages; or JSON as it came.
 *
 * Threads: one at a time per object.
 */
#ifndef PFS_CLI_PRINT_H
#define PFS_CLI_PRINT_H

#include "base/buf.h"
#include "base/json.h"

#define PFS_TABLE_COLUMNS_MAX 10u

struct pfs_table {
	const char *titles[PFS_TABLE_COLUMNS_MAX];
	size_t n_columns;
	char **cells; /* owned, and each of them */
	size_t n_cells, cap_cells;
};

/* `titles` ends with NULL; borrowed. */
void pfs_table_init(struct pfs_table *t, const char *const *titles);
void pfs_table_fini(struct pfs_table *t);

/* One cell more, from left to right; shown as base/text.h says. */
int pfs_table_add(struct pfs_table *t, struct pfs_error *err, const char *fmt, ...)
	PFS_PRINTF(3, 4);

/* To standard output. PFS_E_IO when nobody takes it. */
int pfs_table_print(const struct pfs_table *t, struct pfs_error *err);

#define PFS_PRINT_SIZE 48

/* "1.5KiB" */
char *pfs_print_size(uint64_t bytes, char out[PFS_PRINT_SIZE]);

/* "2 minutes ago", of a time as pfsd writes it at `now_s`; "-" for NULL, the text itself when `full`. */
char *pfs_print_age(const char *when, bool full, int64_t now_s, char out[PFS_PRINT_SIZE]);

/* "3s", "2m 5s": from one time to another, NULL: until now. */
char *pfs_print_span(const char *from, const char *to, int64_t now_s, char out[PFS_PRINT_SIZE]);

/* To standard output, shown as base/text.h says. */
void pfs_print_text(const char *text);

/* Nobody reads what is written (EPIPE): end by SIGPIPE without a word, as others do in a pipe. */
void pfs_print_end_if_unread(int error);

/* Standard output, all of it. */
int pfs_print_bytes(const void *data, size_t len, struct pfs_error *err);
int pfs_print_flush(struct pfs_error *err);

#endif
