/* The inside of a story: what it remembers. For who tells it and who looks at what is left. */
#ifndef PFS_TESTS_POWERSTORY_I_H
#define PFS_TESTS_POWERSTORY_I_H

#include "powercut.h"
#include "powerstory.h"
#include "../world.h"
#include "base/limits.h"

#include <limits.h>

#define FILES_MAX   64u
#define CLAIMS_MAX  4096u
#define COMMITS_MAX 256u
#define FILE_MAX    (PFS_PATCHED_SIZE_MIN + 150000u)
#define PATCHES_MAX 4u
#define NEVER       UINT_MAX

/* Bytes that say themselves what they are, with other pieces in the middle, the later ones on top. */
struct piece {
	uint64_t seed;
	uint32_t off, len;
};

struct bytes {
	uint64_t seed;
	uint32_t len, n_patches;
	struct piece patch[PATCHES_MAX];
};

struct file {
	char path[40];
	bool absent; /* was removed: a promise as good as any other */
	struct bytes bytes;
};

/* What a branch holds as its user sees it. */
struct model {
	char repo[16], branch[16];
	unsigned n;
	struct file files[FILES_MAX];
};

/*
 * From one moment until another this file is so. Patches behind the first `sure`
 * were not promised: each byte is as before one of them, or as after it.
 */
struct claim {
	const char *repo, *branch;
	struct file file;
	unsigned from, until, sure;
};

struct promise {
	const char *repo;
	struct pfs_commit_id id;
	unsigned begun, acked, until;
	bool partial; /* the commit has other files too */
	unsigned n;
	struct file *files;
};

struct powerstory {
	unsigned n_claims, n_commits, n_models, errors;
	struct powerstory_work work;
	struct claim claims[CLAIMS_MAX];
	struct promise commits[COMMITS_MAX];
	struct model models[5];
};

/* The bytes as they were after the first `patches` of them, and after all. */
void powerstory_fill_until(const struct bytes *b, unsigned patches, unsigned char *out);
void powerstory_fill(const struct bytes *b, unsigned char *out);

/* Packs and runs of the index as small as the story; in each process. */
void powerstory_make_small(void);

#endif
