/*
 * The recorder. The functions of powercalls.c take the place of the C library's,
 * in this program and in the shared libraries it is linked with; what is here
 * asks the kernel itself and notes what was done. Files are known by their inode
 * numbers, so descriptors can be copied and names changed as anybody likes.
 */
#undef _FILE_OFFSET_BITS /* both open and open64 are to be defined here */
#undef _FORTIFY_SOURCE
#include "powercut_i.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#define ARENA_SIZE  (3ULL << 30) /* of address space; used is what is touched */
#define EVENTS_MAX  400000u
#define OBJECTS_MAX 65536u

/* All of it lies in memory that children share. */
struct recorder {
	size_t used; /* of the arena */
	unsigned n_events, n_flushes;
	uint32_t n_objects;
	uint64_t dev;
	uint64_t inode[OBJECTS_MAX]; /* of an object, 0: none any more */
	struct powercut_event event[EVENTS_MAX];
};

static struct recorder *rec;
static unsigned char *arena;
static bool recording;
static pthread_mutex_t lock = PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP;

/*
 * A sanitizer opens files before it can lock a mutex. Nothing of ours is made
 * before it, so there is one thread only until this is called.
 */
static bool loaded;

__attribute__((constructor)) static void note_loaded(void)
{
	loaded = true;
}

/* What is done and what is noted are one thing, for all threads, until the scope ends. */
static bool enter(void)
{
	return loaded && pthread_mutex_lock(&lock) == 0;
}

static void leave(bool *entered)
{
	if (*entered)
		pthread_mutex_unlock(&lock);
}
#define GUARD __attribute__((cleanup(leave), unused)) bool entered = enter()

/* Failing. */
static bool failing, count_reads;
static unsigned fail_at, operations;
static int fail_with;

static void die(const char *what)
{
	perror(what);
	_exit(99);
}

static void start(void)
{
	if (rec)
		return;
	arena = mmap(NULL, ARENA_SIZE, PROT_READ | PROT_WRITE,
		     MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (arena == MAP_FAILED)
		die("powercut: memory");
	rec = (struct recorder *)(void *)arena;
	rec->used = (sizeof(*rec) + 63) / 64 * 64;
}

static void *take(size_t len)
{
	void *p;

	start();
	if (len > ARENA_SIZE - rec->used)
		die("powercut: the story is too long");
	p = arena + rec->used;
	rec->used += (len + 15) / 16 * 16;
	return p;
}

void *powercut_alloc(size_t len)
{
	GUARD;

	return take(len);
}

void powercut_forget(void)
{
	if (rec && munmap(arena, ARENA_SIZE) < 0)
		die("powercut: memory");
	rec = NULL;
	recording = failing = false;
}

struct powercut_tape *powercut_swap(struct powercut_tape *other)
{
	struct powercut_tape *before = (struct powercut_tape *)rec;

	rec = (struct recorder *)other;
	arena = (unsigned char *)other;
	recording = failing = false;
	return before;
}

void *powercut_share(size_t len)
{
	void *p = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		die("powercut: memory");
	return p;
}

static const char *keep_name(const char *name)
{
	return strcpy(take(strlen(name) + 1), name);
}

unsigned powercut_now(void)
{
	return rec->n_events;
}

unsigned powercut_flushes(void)
{
	return rec->n_flushes;
}

const struct powercut_event *powercut_event(unsigned number)
{
	return &rec->event[number];
}

void powercut_fail(unsigned at, int sys, bool reads)
{
	fail_at = at;
	fail_with = sys;
	count_reads = reads;
	operations = 0;
	failing = true;
}

unsigned powercut_operations(void)
{
	return operations;
}

bool powercut_failed(void)
{
	return failing && fail_at && operations >= fail_at;
}

/* An object by its inode; -1: not one of ours. The newest of a number is meant. */
static int64_t object_of(const struct stat *st)
{
	if (st->st_dev != rec->dev)
		return -1;
	for (uint32_t i = rec->n_objects; i > 0; i--)
		if (rec->inode[i - 1] == st->st_ino)
			return i - 1;
	return -1;
}

static int64_t object_of_fd(int fd)
{
	struct stat st;

	return syscall(SYS_fstat, fd, &st) == 0 ? object_of(&st) : -1;
}

static uint32_t new_object(uint64_t inode)
{
	for (uint32_t i = 0; i < rec->n_objects; i++)
		if (rec->inode[i] == inode)
			rec->inode[i] = 0;
	if (rec->n_objects == OBJECTS_MAX)
		die("powercut: too many files");
	rec->inode[rec->n_objects] = inode;
	return rec->n_objects++;
}

/* A path taken apart: the folder it is in, as an object, and the last name. */
struct place {
	int64_t dir;
	char name[NAME_MAX + 1];
	struct stat st; /* what is there now */
	bool there;
	int64_t object; /* that is there, -1: none, or none of ours */
};

static void find_place(int dir, const char *path, struct place *out)
{
	char up[PATH_MAX];
	const char *slash = strrchr(path, '/');
	struct stat st;

	memset(out, 0, sizeof(*out));
	out->dir = out->object = -1;
	if (!slash)
		snprintf(up, sizeof(up), ".");
	else
		snprintf(up, sizeof(up), "%.*s", (int)(slash - path) + 1, path);
	snprintf(out->name, sizeof(out->name), "%s", slash ? slash + 1 : path);
	if (syscall(SYS_newfstatat, dir, up, &st, 0) == 0)
		out->dir = object_of(&st);
	if (out->dir < 0)
		return;
	out->there = syscall(SYS_newfstatat, dir, path, &out->st, AT_SYMLINK_NOFOLLOW) == 0;
	if (out->there)
		out->object = object_of(&out->st);
}

static struct powercut_event *add(enum powercut_op op, int64_t object)
{
	struct powercut_event *e;

	if (rec->n_events == EVENTS_MAX)
		die("powercut: the story has too many operations");
	e = &rec->event[rec->n_events++];
	memset(e, 0, sizeof(*e));
	e->op = op;
	e->object = (uint32_t)object;
	return e;
}

static void add_write(int64_t object, uint64_t off, const void *data, size_t len)
{
	struct powercut_event *e;
	unsigned char *copy;

	if (object < 0 || len == 0)
		return;
	copy = take(len);
	memcpy(copy, data, len);
	e = add(POWERCUT_WRITE, object);
	e->off = off;
	e->len = len;
	e->data = copy;
}

static void add_truncate(int64_t object, uint64_t size)
{
	if (object >= 0)
		add(POWERCUT_TRUNCATE, object)->off = size;
}

static void add_name(const struct place *at, uint32_t object, bool is_folder)
{
	struct powercut_event *e = add(POWERCUT_NAME, object);

	e->dir = (uint32_t)at->dir;
	e->name = keep_name(at->name);
	e->is_folder = is_folder;
}

static void add_unname(const struct place *at)
{
	struct powercut_event *e = add(POWERCUT_UNNAME, 0);

	e->dir = (uint32_t)at->dir;
	e->name = keep_name(at->name);
}

static void add_rename(const struct place *from, const struct place *to, bool is_folder)
{
	struct powercut_event *e = add(POWERCUT_RENAME, from->object);

	e->dir = (uint32_t)from->dir;
	e->name = keep_name(from->name);
	e->to_dir = (uint32_t)to->dir;
	e->to_name = keep_name(to->name);
	e->is_folder = is_folder;
}

/* What is there before anything is done. */

static void note_bytes(const char *path, uint32_t object, size_t len)
{
	int fd = (int)syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC);
	struct powercut_event *e;
	unsigned char *copy;

	if (len == 0)
		return;
	copy = take(len);
	if (fd < 0 || syscall(SYS_pread64, fd, copy, len, 0) != (long)len)
		die(path);
	syscall(SYS_close, fd);
	e = add(POWERCUT_WRITE, object);
	e->len = len;
	e->data = copy;
}

static void note_folder(const char *path, uint32_t folder)
{
	struct place at = { .dir = folder };
	struct dirent *entry;
	char child[PATH_MAX];
	DIR *d = opendir(path);

	if (!d)
		die(path);
	while ((entry = readdir(d))) {
		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
			continue;
		snprintf(at.name, sizeof(at.name), "%s", entry->d_name);
		snprintf(child, sizeof(child), "%s/%s", path, entry->d_name);
		if (syscall(SYS_newfstatat, AT_FDCWD, child, &at.st, AT_SYMLINK_NOFOLLOW) < 0)
			die(child);
		at.object = object_of(&at.st);
		if (at.object >= 0) { /* another name of it */
			add_name(&at, (uint32_t)at.object, false);
			continue;
		}
		at.object = new_object(at.st.st_ino);
		add_name(&at, (uint32_t)at.object, S_ISDIR(at.st.st_mode));
		if (S_ISDIR(at.st.st_mode))
			note_folder(child, (uint32_t)at.object);
		else
			note_bytes(child, (uint32_t)at.object, (size_t)at.st.st_size);
	}
	closedir(d);
}

void powercut_record(const char *folder)
{
	struct stat st;

	start();
	if (syscall(SYS_newfstatat, AT_FDCWD, folder, &st, 0) < 0)
		die(folder);
	rec->n_events = rec->n_flushes = 0;
	rec->n_objects = 1;
	rec->dev = st.st_dev;
	rec->inode[0] = st.st_ino;
	note_folder(folder, 0);
	add(POWERCUT_FLUSH_ALL, 0);
	recording = true;
}

void powercut_resume(void)
{
	failing = false;
	recording = true;
}

void powercut_stop(void)
{
	recording = false;
}

/*
 * Every operation goes through begin and end. begin answers with the errno that
 * was ordered for it, or 0; SHORT lets a write end early.
 */
#define SHORT (-1)

static int begin(bool ours, bool is_read)
{
	if (!failing || !ours || (is_read && !count_reads))
		return 0;
	if (++operations != fail_at)
		return 0;
	if (fail_with == POWERCUT_DIE)
		_exit(0);
	return fail_with ? fail_with : SHORT;
}

bool powercut_busy(void)
{
	return recording || failing;
}

static bool is_ours(int fd)
{
	return powercut_busy() && object_of_fd(fd) >= 0;
}

/* What the C library's functions are made of. */

int powercut_do_open(int dir, const char *path, int flags, unsigned mode)
{
	struct place at;
	int fd, sys;
	GUARD;

	if (!powercut_busy())
		return (int)syscall(SYS_openat, dir, path, flags, mode);
	find_place(dir, path, &at);
	sys = begin(at.dir >= 0, !(flags & (O_CREAT | O_TRUNC)));
	if (sys > 0) {
		errno = sys;
		return -1;
	}
	fd = (int)syscall(SYS_openat, dir, path, flags, mode);
	sys = errno;
	if (fd >= 0 && at.dir >= 0 && (flags & O_TMPFILE) == O_TMPFILE)
		die("powercut: a file without a name is not modelled");
	if (fd >= 0 && at.dir >= 0 && (flags & O_CREAT) && !at.there) {
		syscall(SYS_fstat, fd, &at.st);
		add_name(&at, new_object(at.st.st_ino), false);
	} else if (fd >= 0 && at.object >= 0 && (flags & O_TRUNC) && at.st.st_size > 0) {
		add_truncate(at.object, 0);
	}
	errno = sys;
	return fd;
}

ssize_t powercut_do_write(int fd, const void *data, size_t len, off_t off)
{
	int64_t object;
	ssize_t n;
	int sys;
	GUARD;

	if (!powercut_busy())
		return off < 0 ? syscall(SYS_write, fd, data, len)
			       : syscall(SYS_pwrite64, fd, data, len, off);
	object = object_of_fd(fd);
	sys = begin(object >= 0, false);
	if (sys > 0) {
		errno = sys;
		return -1;
	}
	if (sys == SHORT && len > 1)
		len /= 2;
	n = off < 0 ? syscall(SYS_write, fd, data, len) : syscall(SYS_pwrite64, fd, data, len, off);
	sys = errno;
	if (n > 0 && object >= 0)
		add_write(object, (uint64_t)(off >= 0 ? off : lseek(fd, 0, SEEK_CUR) - n), data,
			  (size_t)n);
	errno = sys;
	return n;
}

ssize_t powercut_do_writev(int fd, const struct iovec *iov, int n_iov, off_t off)
{
	size_t len = 0;
	char *data;
	ssize_t n;

	for (int i = 0; i < n_iov; i++)
		len += iov[i].iov_len;
	data = malloc(len ? len : 1);
	if (!data)
		die("powercut: memory");
	len = 0;
	for (int i = 0; i < n_iov; i++) {
		memcpy(data + len, iov[i].iov_base, iov[i].iov_len);
		len += iov[i].iov_len;
	}
	n = powercut_do_write(fd, data, len, off);
	free(data);
	return n;
}

ssize_t powercut_do_read(int fd, void *data, size_t len, off_t off)
{
	GUARD;

	if (failing && count_reads && is_ours(fd)) {
		int sys = begin(true, true);

		if (sys > 0) {
			errno = sys;
			return -1;
		}
		if (sys == SHORT && len > 1)
			len /= 2;
	}
	return off < 0 ? syscall(SYS_read, fd, data, len)
		       : syscall(SYS_pread64, fd, data, len, off);
}

/* One call that has no more to it than its result: begin, the kernel, and a note. */
#define CALL(ours, syscall_, note)             \
	do {                                   \
		int sys_ = begin(ours, false); \
		long rc_ = -1;                 \
		if (sys_ <= 0) {               \
			rc_ = syscall_;        \
			sys_ = errno;          \
			if (rc_ == 0) {        \
				note;          \
			}                      \
		}                              \
		errno = sys_;                  \
		return (int)rc_;               \
	} while (0)

int powercut_do_ftruncate(int fd, off_t size)
{
	GUARD;

	if (!powercut_busy())
		return (int)syscall(SYS_ftruncate, fd, size);
	CALL(object_of_fd(fd) >= 0, syscall(SYS_ftruncate, fd, size),
	     add_truncate(object_of_fd(fd), (uint64_t)size));
}

int powercut_do_truncate(const char *path, off_t size)
{
	struct place at;
	GUARD;

	if (!powercut_busy())
		return (int)syscall(SYS_truncate, path, size);
	find_place(AT_FDCWD, path, &at);
	CALL(at.object >= 0, syscall(SYS_truncate, path, size),
	     add_truncate(at.object, (uint64_t)size));
}

static void note_allocation(int fd, int mode, off_t off, off_t len)
{
	int64_t object = object_of_fd(fd);
	struct powercut_event *e;

	if (object < 0)
		return;
	if (mode & ~(FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE))
		die("powercut: this fallocate is not modelled");
	if (mode == FALLOC_FL_KEEP_SIZE)
		return; /* nothing that can be read */
	e = add(POWERCUT_ZERO, object);
	e->off = (uint64_t)off;
	/* Without a mode it only makes the file longer. */
	e->len = (uint64_t)len;
	e->is_folder = mode == 0;
	e->keep = (mode & FALLOC_FL_KEEP_SIZE) != 0;
}

int powercut_do_fallocate(int fd, int mode, off_t off, off_t len)
{
	GUARD;

	if (!powercut_busy())
		return (int)syscall(SYS_fallocate, fd, mode, off, len);
	CALL(object_of_fd(fd) >= 0, syscall(SYS_fallocate, fd, mode, off, len),
	     note_allocation(fd, mode, off, len));
}

static void note_flush(int fd)
{
	int64_t object = object_of_fd(fd);

	if (object < 0)
		return;
	add(POWERCUT_FLUSH, object);
	rec->n_flushes++;
}

/* The disk need not really do it: that there is a cut is our doing. */
int powercut_do_fsync(int fd, long number)
{
	int sys;
	GUARD;

	if (!powercut_busy() || object_of_fd(fd) < 0)
		return (int)syscall(number, fd);
	sys = begin(true, false);
	if (sys <= 0) {
		note_flush(fd);
		return 0;
	}
	add(POWERCUT_FLUSH_FAILED, object_of_fd(fd));
	errno = sys;
	return -1;
}

int powercut_do_syncfs(int fd)
{
	GUARD;

	if (!powercut_busy() || object_of_fd(fd) < 0)
		return (int)syscall(SYS_syncfs, fd);
	CALL(true, 0L, (add(POWERCUT_FLUSH_ALL, 0), rec->n_flushes++));
}

int powercut_do_unlink(int dir, const char *path, int flags)
{
	struct place at;
	GUARD;

	if (!powercut_busy())
		return (int)syscall(SYS_unlinkat, dir, path, flags);
	find_place(dir, path, &at);
	CALL(at.dir >= 0 && at.there, syscall(SYS_unlinkat, dir, path, flags),
	     if (at.object >= 0) add_unname(&at));
}

int powercut_do_mkdir(int dir, const char *path, unsigned mode)
{
	struct place at;
	GUARD;

	if (!powercut_busy())
		return (int)syscall(SYS_mkdirat, dir, path, mode);
	find_place(dir, path, &at);
	CALL(at.dir >= 0, syscall(SYS_mkdirat, dir, path, mode),
	     if (at.dir >= 0 && syscall(SYS_newfstatat, dir, path, &at.st, 0) == 0)
		     add_name(&at, new_object(at.st.st_ino), true));
}

int powercut_do_rename(int dir, const char *path, int to, const char *to_path, unsigned flags)
{
	struct place from, target;
	GUARD;

	if (!powercut_busy())
		return (int)syscall(SYS_renameat2, dir, path, to, to_path, flags);
	find_place(dir, path, &from);
	find_place(to, to_path, &target);
	if (from.object >= 0 && (target.dir < 0 || flags & ~1u))
		die("powercut: this rename is not modelled");
	CALL(from.object >= 0, syscall(SYS_renameat2, dir, path, to, to_path, flags),
	     if (from.object >= 0) add_rename(&from, &target, S_ISDIR(from.st.st_mode)));
}

int powercut_do_link(int dir, const char *path, int to, const char *to_path, int flags)
{
	struct place from, target;
	GUARD;

	if (!powercut_busy())
		return (int)syscall(SYS_linkat, dir, path, to, to_path, flags);
	find_place(dir, path, &from);
	find_place(to, to_path, &target);
	if (target.dir >= 0 && (from.object < 0 || flags))
		die("powercut: this link is not modelled");
	CALL(from.object >= 0, syscall(SYS_linkat, dir, path, to, to_path, flags),
	     if (target.dir >= 0) add_name(&target, (uint32_t)from.object, false));
}

ssize_t powercut_do_copy(int in, off_t *in_off, int out, off_t *out_off, size_t len, unsigned flags)
{
	GUARD;
	off_t at = out_off ? *out_off : lseek(out, 0, SEEK_CUR);
	ssize_t n = syscall(SYS_copy_file_range, in, in_off, out, out_off, len, flags);
	void *data;

	if (n <= 0 || !is_ours(out))
		return n;
	data = malloc((size_t)n);
	if (!data || syscall(SYS_pread64, out, data, n, at) != n)
		die("powercut: read what was copied");
	add_write(object_of_fd(out), (uint64_t)at, data, (size_t)n);
	free(data);
	return n;
}
