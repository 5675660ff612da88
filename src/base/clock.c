#include "base/clock.h"

#include <stdio.h>
#include <time.h>

static int64_t now_of(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

int64_t pfs_clock_ns(void)
{
	return now_of(CLOCK_REALTIME);
}

int64_t pfs_clock_monotonic_ns(void)
{
	return now_of(CLOCK_MONOTONIC);
}

int64_t pfs_clock_monotonic_ms(void)
{
	return pfs_clock_monotonic_ns() / 1000000;
}

char *pfs_clock_format(int64_t ns, char out[PFS_CLOCK_TEXT_SIZE])
{
	int64_t rest = ns % 1000000000;
	time_t sec = (time_t)(ns / 1000000000);
	struct tm tm;
	char text[24];

	if (rest < 0) {
		rest += 1000000000;
		sec--;
	}
	gmtime_r(&sec, &tm);
	strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(out, PFS_CLOCK_TEXT_SIZE, "%s.%06d+00:00", text, (int)(rest / 1000));
	return out;
}
