#include "cli/print.h"
#include "base/text.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

void pfs_table_init(struct pfs_table *t, const char *const *titles)
{
	*t = (struct pfs_table){ 0 };
	while (titles[t->n_columns]) {
		t->titles[t->n_columns] = titles[t->n_columns];
		t->n_columns++;
	}
}

void pfs_table_fini(struct pfs_table *t)
{
	for (size_t i = 0; i < t->n_cells; i++)
		free(t->cells[i]);
	free(t->cells);
	t->cells = NULL;
	t->n_cells = t->cap_cells = 0;
}

void pfs_print_text(const char *text)
{
	for (; *text; text++)
		putchar(pfs_text_shown(*text));
}

int pfs_table_add(struct pfs_table *t, struct pfs_error *err, const char *fmt, ...)
{
	char *text;
	va_list ap;
	int n;

	if (t->n_cells == t->cap_cells) {
		size_t cap = t->cap_cells ? 2 * t->cap_cells : 64;
		char **more = reallocarray(t->cells, cap, sizeof(*more));

		if (!more)
			return pfs_fail_nomem(err, "a table");
		t->cells = more;
		t->cap_cells = cap;
	}
	va_start(ap, fmt);
	n = vasprintf(&text, fmt, ap);
	va_end(ap);
	if (n < 0)
		return pfs_fail_nomem(err, "a table");
	pfs_text_tame(text, (size_t)n);
	t->cells[t->n_cells++] = text;
	return 0;
}

/* Columns of a terminal: bytes that begin a character. */
static size_t width_of(const char *s)
{
	size_t n = 0;

	for (; *s; s++)
		n += ((unsigned char)*s & 0xc0) != 0x80;
	return n;
}

static void print_cell(const char *text, size_t width, bool last)
{
	size_t have = width_of(text);

	fputs(text, stdout);
	if (last)
		putchar('\n');
	else
		printf("%*s", (int)(width > have ? width - have + 2 : 2), "");
}

int pfs_table_print(const struct pfs_table *t, struct pfs_error *err)
{
	size_t width[PFS_TABLE_COLUMNS_MAX];

	for (size_t c = 0; c < t->n_columns; c++)
		width[c] = width_of(t->titles[c]);
	for (size_t i = 0; i < t->n_cells; i++)
		if (width_of(t->cells[i]) > width[i % t->n_columns])
			width[i % t->n_columns] = width_of(t->cells[i]);
	for (size_t c = 0; c < t->n_columns; c++)
		print_cell(t->titles[c], width[c], c + 1 == t->n_columns);
	for (size_t i = 0; i < t->n_cells; i++)
		print_cell(t->cells[i], width[i % t->n_columns],
			   i % t->n_columns + 1 == t->n_columns);
	return pfs_print_flush(err);
}

char *pfs_print_size(uint64_t bytes, char out[PFS_PRINT_SIZE])
{
	static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB" };
	double n = (double)bytes;
	size_t u = 0;

	while (n >= 1024 && u + 1 < sizeof(units) / sizeof(*units)) {
		n /= 1024;
		u++;
	}
	snprintf(out, PFS_PRINT_SIZE, u && n < 100 ? "%.1f%s" : "%.0f%s", n, units[u]);
	return out;
}

/* Seconds since 1970 of "2026-11-21T00:36:47.123456+00:00"; negative when it is not that. */
static int64_t parse_time(const char *text)
{
	struct tm tm = { 0 };
	const char *rest = text ? strptime(text, "%Y-%m-%dT%H:%M:%S", &tm) : NULL;

	return rest ? (int64_t)timegm(&tm) : -1;
}

char *pfs_print_age(const char *when, bool full, int64_t now_s, char out[PFS_PRINT_SIZE])
{
	static const struct {
		int64_t seconds;
		const char *name;
	} units[] = { { 31557600, "year" }, { 2629800, "month" }, { 604800, "week" },
		      { 86400, "day" },     { 3600, "hour" },     { 60, "minute" },
		      { 1, "second" } };
	int64_t then = parse_time(when), age = now_s - then;

	if (then < 0 || full) {
		snprintf(out, PFS_PRINT_SIZE, "%s", when ? when : "-");
		return out;
	}
	for (size_t i = 0; i < sizeof(units) / sizeof(*units); i++)
		if (age >= units[i].seconds) {
			long long n = age / units[i].seconds;

			snprintf(out, PFS_PRINT_SIZE, "%lld %s%s ago", n, units[i].name,
				 n == 1 ? "" : "s");
			return out;
		}
	snprintf(out, PFS_PRINT_SIZE, "just now");
	return out;
}

char *pfs_print_span(const char *from, const char *to, int64_t now_s, char out[PFS_PRINT_SIZE])
{
	int64_t a = parse_time(from), b = to ? parse_time(to) : now_s;
	long long s = b - a;

	if (a < 0 || b < 0)
		snprintf(out, PFS_PRINT_SIZE, "-");
	else if (s < 60)
		snprintf(out, PFS_PRINT_SIZE, "%llds", s < 0 ? 0 : s);
	else if (s < 3600)
		snprintf(out, PFS_PRINT_SIZE, "%lldm %llds", s / 60, s % 60);
	else
		snprintf(out, PFS_PRINT_SIZE, "%lldh %lldm", s / 3600, s % 3600 / 60);
	return out;
}

void pfs_print_end_if_unread(int error)
{
	if (error != EPIPE)
		return;
	signal(SIGPIPE, SIG_DFL);
	raise(SIGPIPE);
}

int pfs_print_bytes(const void *data, size_t len, struct pfs_error *err)
{
	if (fwrite(data, 1, len, stdout) == len)
		return 0;
	pfs_print_end_if_unread(errno);
	return pfs_fail_errno(err, errno, "write to standard output");
}

int pfs_print_flush(struct pfs_error *err)
{
	if (fflush(stdout) == 0 && !ferror(stdout))
		return 0;
	pfs_print_end_if_unread(errno);
	return pfs_fail_errno(err, errno, "write to standard output");
}
