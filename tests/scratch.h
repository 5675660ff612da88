/* A folder of one's own for a test, gone afterwards. */
#ifndef PFS_TESTS_SCRATCH_H
#define PFS_TESTS_SCRATCH_H

#include "base/io.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct scratch {
	char path[256];
};

static inline struct scratch scratch_new(void)
{
	const char *base = getenv("TMPDIR");
	struct scratch s;

	snprintf(s.path, sizeof(s.path), "%s/pfs-test-XXXXXX", base && *base ? base : "/tmp");
	if (!mkdtemp(s.path)) {
		perror(s.path);
		exit(99);
	}
	return s;
}

static inline void scratch_fini(struct scratch *s)
{
	if (s->path[0])
		pfs_io_remove_all(AT_FDCWD, s->path, NULL);
	s->path[0] = 0;
}

/* Repeatable bytes: the same seed gives the same, another one others. */
static inline void scratch_fill(void *out, size_t len, uint64_t seed)
{
	unsigned char *p = out;
	uint64_t x = seed * 0x9e3779b97f4a7c15u + 1;

	for (size_t i = 0; i < len; i++) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		p[i] = (unsigned char)(x >> 32);
	}
}

/* Say what was expected and fail the program: for tests without Criterion. */
#define CHECK(condition, ...)                                                           \
	do {                                                                            \
		if (!(condition)) {                                                     \
			fprintf(stderr, "%s:%d: %s: ", __FILE__, __LINE__, #condition); \
			fprintf(stderr, __VA_ARGS__);                                   \
			fputc('\n', stderr);                                            \
			exit(1);                                                        \
		}                                                                       \
	} while (0)

#endif
