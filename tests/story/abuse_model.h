/*
 * What a worker of abuse.c did, and what its directory holds after each step.
 *
 * A step is one system call. The model is told of the same steps and says how
 * each must end, so that it can be replayed up to any of them: what a commit
 * holds is compared with what was so at that time.
 *
 *	model --> root --> child[name] --> inode <-- slot (an open descriptor)
 *
 * Threads: one a model.
 */
#ifndef PFS_ABUSE_MODEL_H
#define PFS_ABUSE_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define NAMES      12u /* of the names an entry can have */
#define DEPTH      8u
#define SLOTS      4u
#define ATTRS      3u
#define SMALL_SIZE (400u * 1024)
#define LARGE_SIZE (2300u * 1024) /* committed ones are changed in place */
#define TOTAL_SIZE (7u << 20)

struct path {
	uint8_t n; /* 0: the directory of the worker */
	uint8_t name[DEPTH];
};

enum kind {
	CREATE,   /* a, slot, how */
	OPEN,     /* a, slot, how, len: truncate */
	CLOSE,    /* slot */
	WRITE,    /* slot, off, len, seed; `how` of the slot may be APPEND */
	RESIZE,   /* slot, off */
	CUT,      /* a, off: truncate(2) */
	PUNCH,    /* slot, off, len */
	ZERO,     /* slot, off, len */
	STORE,    /* slot, off, len, seed: through a shared mapping */
	COPY,     /* slot, off to other slot, at */
	FSYNC,    /* slot */
	MKDIR,    /* a */
	RMDIR,    /* a */
	SYNCDIR,  /* a */
	UNLINK,   /* a */
	RENAME,   /* a, b, how: flags */
	LINK,     /* a, b */
	SYMLINK,  /* a, seed */
	CHMOD,    /* a, off: mode */
	SETXATTR, /* a, slot: which, len, seed */
	RMXATTR,  /* a, slot: which */
	UTIMES,   /* a, seed */
	LOOK,     /* a: whether all of it is as it should be */
	KINDS
};

enum how { BOTH, APPEND, WRITE_ONLY };

struct step {
	enum kind kind;
	unsigned slot, other, how;
	struct path a, b;
	uint64_t off, len, seed, at;
};

enum type { FILE_TYPE, DIR_TYPE, SYMLINK_TYPE };

struct inode {
	unsigned serial, refs, names, n_children;
	enum type type;
	unsigned mode;
	bool mtime_known, large;
	int64_t mtime_nsec;
	uint64_t version;                           /* of the bytes */
	uint64_t attr_seed[ATTRS], attr_len[ATTRS]; /* seed 0: it has none */
	uint64_t target;                            /* of a symbolic link: the number in it */
	unsigned char *data;
	size_t size, cap;
	struct inode *child[NAMES];
};

struct slot {
	struct inode *inode; /* NULL: free */
	enum how how;
};

struct model {
	struct inode *root;
	struct slot slot[SLOTS];
	struct inode **all; /* by serial; NULL: gone */
	unsigned n, cap;
	uint64_t versions, bytes;
};

extern const char *const abuse_name[NAMES];
extern const char *const abuse_kind[KINDS];

void model_init(struct model *m);
void model_fini(struct model *m);
void model_copy(struct model *out, const struct model *m);

/* 0 or the errno with which the step has to fail; then nothing changed. */
int model_step(struct model *m, const struct step *s);
/* The inode at a path, NULL with errno when there is none. */
struct inode *model_find(struct model *m, const struct path *p, int *error);
bool model_is_open(const struct model *m, const struct inode *i);

/* The bytes of a seed. */
void abuse_fill(uint64_t seed, unsigned char *out, size_t len);
uint64_t abuse_random(uint64_t *state);

#endif
