#include "abuse.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#define EARLIER_SIZE (256u * 1024)
#define LOOSE_MAX    256u

/* --- what is there --------------------------------------------------------- */

struct found {
	struct stat st;
	unsigned char *data; /* of a file */
	char target[64];
	unsigned char *attr[ATTRS]; /* NULL: it has none */
	size_t attr_len[ATTRS];
	struct found *child[NAMES];
	uint64_t same_version;  /* the bytes are as in this version of the model ... */
	uint64_t other_version; /* ... and not as in this one */
};

static unsigned number_of(const char *path, const char *name)
{
	for (unsigned i = 0; i < NAMES; i++)
		if (strcmp(name, abuse_name[i]) == 0)
			return i;
	WRONG("%s: has a name that nobody gave: %s", path, name);
}

static void read_bytes(int dir, const char *name, const char *path, struct found *f)
{
	size_t at = 0, size = (size_t)f->st.st_size;
	int fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);

	f->data = malloc(size + 1);
	if (fd < 0 || !f->data)
		WRONG("%s: open: %s", path, strerror(errno));
	while (at <= size) {
		ssize_t n = read(fd, f->data + at, size + 1 - at);

		if (n < 0)
			WRONG("%s: read: %s", path, strerror(errno));
		if (n == 0)
			break;
		at += (size_t)n;
	}
	if (at != size)
		WRONG("%s: %zu bytes, not %zu", path, at, size);
	close(fd);
}

static void read_attrs(const char *path, struct found *f)
{
	for (unsigned i = 0; i < ATTRS; i++) {
		char name[] = "user.a0";
		ssize_t len;

		name[6] = (char)('0' + i);
		len = lgetxattr(path, name, NULL, 0);
		if (len < 0 && errno == ENODATA)
			continue;
		if (len < 0)
			WRONG("%s: %s: %s", path, name, strerror(errno));
		f->attr[i] = malloc((size_t)len + 1);
		f->attr_len[i] = (size_t)len;
		if (lgetxattr(path, name, f->attr[i], (size_t)len) != len)
			WRONG("%s: %s: %s", path, name, strerror(errno));
	}
}

/* The path may be longer than PATH_MAX allows: names go by their directory. */
static struct found *look(int at, const char *name, const char *path)
{
	struct found *f = calloc(1, sizeof(*f));
	char below[8192];
	struct dirent *e;
	DIR *d;
	int fd;

	if (fstatat(at, name, &f->st, AT_SYMLINK_NOFOLLOW) < 0)
		WRONG("%s: stat: %s", path, strerror(errno));
	if (at == AT_FDCWD)
		snprintf(below, sizeof(below), "%s", name);
	else
		snprintf(below, sizeof(below), "/proc/self/fd/%d/%s", at, name);
	if (S_ISLNK(f->st.st_mode)) {
		if (readlinkat(at, name, f->target, sizeof(f->target) - 1) < 0)
			WRONG("%s: readlink: %s", path, strerror(errno));
		return f;
	}
	read_attrs(below, f);
	if (S_ISREG(f->st.st_mode)) {
		read_bytes(at, name, path, f);
		return f;
	}
	fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	d = fd < 0 ? NULL : fdopendir(fd);
	if (!d)
		WRONG("%s: opendir: %s", path, strerror(errno));
	while (errno = 0, (e = readdir(d)) != NULL) {
		if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
			continue;
		snprintf(below, sizeof(below), "%s/%s", path, e->d_name);
		if (f->child[number_of(path, e->d_name)])
			WRONG("%s: is listed twice", below);
		f->child[number_of(path, e->d_name)] = look(fd, e->d_name, below);
	}
	if (errno)
		WRONG("%s: readdir: %s", path, strerror(errno));
	closedir(d);
	return f;
}

static void forget(struct found *f)
{
	if (!f)
		return;
	for (unsigned i = 0; i < NAMES; i++)
		forget(f->child[i]);
	for (unsigned i = 0; i < ATTRS; i++)
		free(f->attr[i]);
	free(f->data);
	free(f);
}

uint64_t digest(const char *path)
{
	struct found *f = look(AT_FDCWD, path, path);
	uint64_t sum = 0;
	struct found *stack[4096] = { f };

	for (size_t n = 1; n > 0;) {
		struct found *at = stack[--n];

		sum = sum * 31 + at->st.st_mode + (uint64_t)at->st.st_size;
		sum = sum * 31 + (uint64_t)at->st.st_mtim.tv_nsec + at->st.st_nlink;
		for (size_t i = 0; at->data && i < (size_t)at->st.st_size; i++)
			sum = sum * 31 + at->data[i];
		for (unsigned i = 0; i < NAMES; i++)
			if (at->child[i] && n < 4096)
				stack[n++] = at->child[i];
	}
	forget(f);
	return sum;
}

/* --- against one state ----------------------------------------------------- */

struct loose {
	unsigned serial;
	struct found *found;
};

struct comparison {
	const struct model *m;
	char why[9000];
	bool crashed;
	bool live; /* a branch: numbers of its files may change; but nobody else is at work */
	struct loose loose[LOOSE_MAX];
	unsigned n_loose;
	ino_t *ino; /* of each inode of the model, 0: not met yet */
};

static bool differs(struct comparison *c, const char *path, const char *why)
{
	snprintf(c->why, sizeof(c->why), "%s: %s", path, why);
	return false;
}

static bool same_attrs(struct comparison *c, const struct inode *i, const struct found *f,
		       const char *path)
{
	for (unsigned a = 0; a < ATTRS && i->type != SYMLINK_TYPE; a++) {
		unsigned char want[5000];

		if (!i->attr_seed[a] != !f->attr[a])
			return differs(c, path,
				       f->attr[a] ? "an attribute too many"
						  : "an attribute is missing");
		if (!i->attr_seed[a])
			continue;
		abuse_fill(i->attr_seed[a], want, i->attr_len[a]);
		if (f->attr_len[a] != i->attr_len[a] ||
		    memcmp(want, f->attr[a], f->attr_len[a]) != 0)
			return differs(c, path, "another value of an attribute");
	}
	return true;
}

static bool same_bytes(const struct inode *i, struct found *f)
{
	bool same;

	if (f->same_version == i->version || f->other_version == i->version)
		return f->same_version == i->version;
	same = (size_t)f->st.st_size == i->size &&
	       (i->size == 0 || memcmp(f->data, i->data, i->size) == 0);
	if (same)
		f->same_version = i->version;
	else
		f->other_version = i->version;
	return same;
}

static bool same_file(struct comparison *c, const struct inode *i, struct found *f,
		      const char *path, bool *exact)
{
	*exact = same_bytes(i, f);
	if (f->st.st_nlink != i->names)
		return differs(c, path, "another number of names");
	if (!c->live && !c->crashed && c->ino[i->serial] && c->ino[i->serial] != f->st.st_ino)
		return differs(c, path, "not the same file as at its other name");
	c->ino[i->serial] = f->st.st_ino;
	if (*exact)
		return true;
	if (c->live || !(c->crashed || model_is_open(c->m, i) || i->large) ||
	    c->n_loose == LOOSE_MAX)
		return differs(c, path, "other bytes");
	c->loose[c->n_loose++] = (struct loose){ i->serial, f };
	return true;
}

static bool same(struct comparison *c, const struct inode *i, struct found *f, const char *path)
{
	static const mode_t type[] = { S_IFREG, S_IFDIR, S_IFLNK };
	int64_t mtime = f->st.st_mtim.tv_sec * 1000000000 + f->st.st_mtim.tv_nsec;
	char below[8192];
	bool exact = true;

	if ((f->st.st_mode & S_IFMT) != type[i->type])
		return differs(c, path, "another type");
	if (i->type != SYMLINK_TYPE && (f->st.st_mode & 07777) != i->mode)
		return differs(c, path, "another mode");
	if (!same_attrs(c, i, f, path))
		return false;
	if (i->type == FILE_TYPE && !same_file(c, i, f, path, &exact))
		return false;
	if (i->mtime_known && exact && !(c->crashed && i->type == FILE_TYPE) &&
	    mtime != i->mtime_nsec)
		return differs(c, path, "another time");
	if (i->type == SYMLINK_TYPE) {
		snprintf(below, sizeof(below), "nowhere/%llu", (unsigned long long)i->target);
		return strcmp(below, f->target) == 0 || differs(c, path, "another target");
	}
	for (unsigned n = 0; i->type == DIR_TYPE && n < NAMES; n++) {
		snprintf(below, sizeof(below), "%s/%s", path, abuse_name[n]);
		if (!i->child[n] != !f->child[n])
			return differs(c, below,
				       f->child[n] ? "should not be there" : "is not there");
		if (i->child[n] && !same(c, i->child[n], f->child[n], below))
			return false;
	}
	return true;
}

/* --- bytes of several moments ---------------------------------------------- */

/* What a commit, or a crash, is judged by. */
struct moments {
	const struct model *start; /* after `first` steps */
	const struct log *log;
	size_t first, last;
	bool crashed;
};

struct mix {
	const struct found *found;
	size_t size, least, most;
	uint64_t seen;
	bool *good; /* bytes that are as at one of the moments */
};

static void mix_reset(struct mix *x)
{
	memset(x->good, 0, x->size + 1);
	x->least = SIZE_MAX;
	x->most = 0;
	x->seen = 0;
}

static void mix_add(struct mix *x, const struct inode *i)
{
	if (x->seen == i->version)
		return;
	x->seen = i->version;
	x->least = i->size < x->least ? i->size : x->least;
	x->most = i->size > x->most ? i->size : x->most;
	for (size_t b = 0; b < x->size; b++)
		x->good[b] |= x->found->data[b] == (b < i->size ? i->data[b] : 0);
}

static bool mix_is_good(const struct mix *x)
{
	for (size_t b = 0; b < x->size; b++)
		if (!x->good[b])
			return false;
	return x->size >= x->least && x->size <= x->most;
}

static struct inode *inode_of(const struct model *m, unsigned serial)
{
	return serial < m->n ? m->all[serial] : NULL;
}

/* Whether a seal may have read the file before it looked at names. */
static bool read_early(const struct moments *t, unsigned serial)
{
	bool early = t->crashed;
	struct model m;

	model_copy(&m, t->start);
	for (size_t k = t->first; !early && k <= t->last; k++) {
		const struct inode *i = inode_of(&m, serial);

		early = i && (i->large || i->size > EARLIER_SIZE);
		if (k < t->last)
			model_step(&m, &t->log->steps[k]);
	}
	model_fini(&m);
	return early;
}

static bool is_sync_of(const struct model *m, const struct step *s, const struct inode *i)
{
	return s->kind == FSYNC && m->slot[s->slot].inode == i;
}

/* Each byte is as at one of the moments. A write that is cut off has an end in between. */
static bool mixed(const struct loose *l, const struct moments *t, size_t from)
{
	struct mix x = { .found = l->found, .size = (size_t)l->found->st.st_size };
	bool early = read_early(t, l->serial), good;
	struct model m;

	x.good = malloc(x.size + 1);
	mix_reset(&x);
	model_copy(&m, t->start);
	for (size_t k = t->first; k <= t->last; k++) {
		const struct inode *i = inode_of(&m, l->serial);

		if (i && t->crashed && k > t->first && k <= t->log->done &&
		    is_sync_of(&m, &t->log->steps[k - 1], i))
			mix_reset(&x);
		if (i && (early || k >= from))
			mix_add(&x, i);
		if (k < t->last)
			model_step(&m, &t->log->steps[k]);
	}
	model_fini(&m);
	good = mix_is_good(&x);
	free(x.good);
	return good;
}

void compare(int dir, const char *name, const char *path, const struct model *m,
	     const struct inode *i)
{
	struct found *f = look(dir, name, path);
	struct comparison *c = calloc(1, sizeof(*c));

	c->m = m;
	c->live = true;
	c->ino = calloc(m->n, sizeof(*c->ino));
	if (!same(c, i, f, path))
		WRONG("now %s", c->why);
	free(c->ino);
	free(c);
	forget(f);
}

/* --- a commit -------------------------------------------------------------- */

static bool as_after(const struct model *now, struct found *f, const char *path,
		     const struct moments *t, size_t k, struct comparison *c)
{
	bool alike;

	*c = (struct comparison){ .m = now, .crashed = t->crashed };
	c->ino = calloc(now->n, sizeof(*c->ino));
	alike = same(c, now->root, f, path);
	free(c->ino);
	for (unsigned i = 0; alike && i < c->n_loose; i++)
		if (!mixed(&c->loose[i], t, k))
			alike = differs(c, path, "a file has bytes that were never in it");
	return alike;
}

/* The step after which the model is as what was found; past the last when there is none. */
static size_t find_step(struct found *f, const char *path, const struct moments *t, size_t least,
			bool tell)
{
	struct comparison *c = malloc(sizeof(*c));
	struct model now;
	size_t k;

	model_copy(&now, t->start);
	for (k = t->first; k <= t->last; k++) {
		if (k >= least && as_after(&now, f, path, t, k, c))
			break;
		if (tell && k >= least)
			fprintf(stderr, "after %zu steps: %s; next: %s\n", k, c->why,
				k < t->last ? abuse_kind[t->log->steps[k].kind] : "none");
		if (k < t->last)
			model_step(&now, &t->log->steps[k]);
	}
	model_fini(&now);
	free(c);
	return k;
}

static void judge_moments(const char *path, const struct moments *t, size_t least)
{
	struct found *f = look(AT_FDCWD, path, path);

	if (find_step(f, path, t, least, false) > t->last) {
		find_step(f, path, t, least, true);
		WRONG("%s: is as after none of the steps from %zu to %zu", path, least, t->last);
	}
	forget(f);
}

void judge(const char *path, const struct model *start, const struct log *log, size_t first,
	   size_t last)
{
	struct moments t = { start, log, first, last, false };

	judge_moments(path, &t, first);
}

void judge_crash(const char *path, const struct model *start, const struct log *log, size_t first,
		 size_t promised, size_t last)
{
	struct moments t = { start, log, first, last, true };

	judge_moments(path, &t, promised);
}
