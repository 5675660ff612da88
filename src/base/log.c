#include "base/log.h"
#include "base/clock.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static enum pfs_log_level loudest = PFS_LOG_INFO;

void pfs_log_set_level(enum pfs_log_level level)
{
	loudest = level;
}

void pfs_log(enum pfs_log_level level, const char *fmt, ...)
{
	static const char *const names[] = { "error", "warn", "info", "debug" };
	char line[2048];
	char when[PFS_CLOCK_TEXT_SIZE];
	va_list ap;
	int used;

	if (level > loudest)
		return;
	used = snprintf(line, sizeof(line), "%s %s ", pfs_clock_format(pfs_clock_ns(), when),
			names[level]);
	va_start(ap, fmt);
	used += vsnprintf(line + used, sizeof(line) - (size_t)used, fmt, ap);
	va_end(ap);
	if (used > (int)sizeof(line) - 2)
		used = (int)sizeof(line) - 2;
	/* A line is one line, whatever names and messages are in it. */
	for (char *p = line; p < line + used; p++)
		if (*p == '\n' || *p == '\r')
			*p = ' ';
	line[used] = '\n';
	if (write(STDERR_FILENO, line, (size_t)used + 1) < 0)
		return; /* nobody is left to tell */
}
