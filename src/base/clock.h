/* Time: of day in ns since 1970, and since some start for measuring. */
#ifndef PFS_BASE_CLOCK_H
#define PFS_BASE_CLOCK_H

#include "base/room.h"

int64_t pfs_clock_ns(void); /* real time */
int64_t pfs_clock_monotonic_ns(void);
int64_t pfs_clock_monotonic_ms(void);

#define PFS_CLOCK_TEXT_SIZE 40

/* RFC 3339 with microseconds and a numeric zone (UTC): 2026-11-21T00:36:47.123456+00:00. */
char *pfs_clock_format(int64_t ns, char out[PFS_CLOCK_TEXT_SIZE]);

#endif
