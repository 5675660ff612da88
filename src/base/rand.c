#include "base/rand.h"

#include <errno.h>
#include <sys/random.h>
#include <time.h>

int pfs_rand_bytes(void *out, size_t len, struct pfs_error *err)
{
	unsigned char *p = out;

	while (len) {
		ssize_t n = getrandom(p, len, 0);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return pfs_fail_errno(err, errno, "random bytes");
		p += n;
		len -= (size_t)n;
	}
	return 0;
}

uint64_t pfs_rand_u64(void)
{
	struct timespec now;
	uint64_t v;

	if (pfs_rand_bytes(&v, sizeof(v), NULL) == 0)
		return v;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_nsec * 0x9e3779b97f4a7c15ULL ^ (uint64_t)now.tv_sec;
}
