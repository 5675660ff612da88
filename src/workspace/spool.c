#include "workspace/spool.h"
#include "base/fault.h"
#include "base/io.h"
#include "base/limits.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define COPY_MAX     (64u << 20) /* at a time */
#define FOLDER_FILES 1024u

#define RESERVE_NAME ".reserve"
#define RESERVE_SIZE (1u << 20) /* some thousand rows of the journal */
#define RESERVE_STEP (1u << 14)

/* Above this many files one flush of the whole file system is cheaper than one each. */
#define SYNC_EACH_MAX 8

/* --- names --------------------------------------------------------------- */

static uint64_t folder_of(const struct pfs_spool_name *name)
{
	return name->serial / FOLDER_FILES;
}

static const char *format_folder(uint64_t folder, char out[PFS_SPOOL_NAME_SIZE])
{
	snprintf(out, PFS_SPOOL_NAME_SIZE, "%" PRIu64, folder);
	return out;
}

const char *pfs_spool_format(const struct pfs_spool_name *name, char out[PFS_SPOOL_NAME_SIZE])
{
	snprintf(out, PFS_SPOOL_NAME_SIZE, "%" PRIu64 "/%016" PRIx64 "-%" PRIu64, folder_of(name),
		 name->ino, name->serial);
	return out;
}

/* A name as it is in its folder. */
static bool parse_name(const char *text, struct pfs_spool_name *out)
{
	char again[PFS_SPOOL_NAME_SIZE];

	if (sscanf(text, "%16" SCNx64 "-%" SCNu64, &out->ino, &out->serial) != 2)
		return false;
	return strcmp(strchr(pfs_spool_format(out, again), '/') + 1, text) == 0;
}

static bool parse_folder(const char *text, uint64_t *out)
{
	char again[PFS_SPOOL_NAME_SIZE];

	return sscanf(text, "%20" SCNu64, out) == 1 &&
	       strcmp(format_folder(*out, again), text) == 0;
}

/* --- opening ------------------------------------------------------------- */

void pfs_spool_init(struct pfs_spool *s)
{
	s->dir = -1;
	pfs_lock_init(&s->lock, PFS_RANK_WORKSPACE_SPOOL);
	atomic_init(&s->next_serial, 1);
	atomic_init(&s->reserved, 0);
	s->unsynced_from = UINT64_MAX;
	s->folders_unsynced = false;
}

int pfs_spool_open(int folder, struct pfs_spool *s, struct pfs_error *err)
{
	int rc = pfs_io_mkdir_all(folder, "spool", err);

	if (rc < 0)
		return rc;
	rc = pfs_io_open(folder, "spool", O_RDONLY | O_DIRECTORY, 0, err);
	if (rc < 0)
		return rc;
	s->dir = rc;
	return 0;
}

void pfs_spool_close(struct pfs_spool *s)
{
	pfs_fd_close(&s->dir);
	pfs_lock_fini(&s->lock);
}

/*
 * Somebody who opens files without end must not take the last descriptors: the
 * rest of the process needs some to answer, and to commit. The lowest free
 * number is the one that is given, so the number tells how many there are.
 */
int pfs_spool_spare(int fd, struct pfs_error *err)
{
	struct rlimit limit;
	rlim_t spare;

	if (fd < 0 || getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur == RLIM_INFINITY)
		return fd;
	spare = limit.rlim_cur / 4 < PFS_SPARE_FILES_MAX ? limit.rlim_cur / 4 : PFS_SPARE_FILES_MAX;
	if ((rlim_t)fd < limit.rlim_cur - spare)
		return fd;
	pfs_fd_close(&fd);
	return pfs_fail(
		err, PFS_E_LIMIT,
		"too many files are open: of %llu descriptors %llu are kept for other things",
		(unsigned long long)limit.rlim_cur, (unsigned long long)spare);
}

/* Who is told of the folder later finds it among those that are not flushed. */
static int make_folder(struct pfs_spool *s, uint64_t folder, struct pfs_error *err)
{
	char text[PFS_SPOOL_NAME_SIZE];
	int rc = pfs_fault("spool.folder", err), sys = 0;

	if (rc < 0)
		return rc;
	pfs_lock(&s->lock);
	if (mkdirat(s->dir, format_folder(folder, text), 0700) < 0)
		sys = errno;
	else
		s->folders_unsynced = true;
	pfs_unlock(&s->lock);
	return sys && sys != EEXIST ? pfs_fail_errno(err, sys, "make folder %s", text) : 0;
}

static void note_name(struct pfs_spool *s, const struct pfs_spool_name *name)
{
	pfs_lock(&s->lock);
	if (folder_of(name) < s->unsynced_from)
		s->unsynced_from = folder_of(name);
	pfs_unlock(&s->lock);
}

/* A folder goes when it is empty, so it may have to be made again. */
static int create(struct pfs_spool *s, const struct pfs_spool_name *name, struct pfs_error *err)
{
	char text[PFS_SPOOL_NAME_SIZE];
	int fd, rc = 0;

	pfs_spool_format(name, text);
	do {
		fd = pfs_io_open(s->dir, text, O_RDWR | O_CREAT | O_EXCL, 0600, err);
		if (fd == PFS_E_NOTFOUND)
			rc = make_folder(s, folder_of(name), err);
	} while (fd == PFS_E_NOTFOUND && rc == 0);
	return rc < 0 ? rc : fd;
}

int pfs_spool_create(struct pfs_spool *s, uint64_t ino, struct pfs_spool_name *out,
		     struct pfs_error *err)
{
	struct pfs_spool_name name = { ino, atomic_fetch_add(&s->next_serial, 1) };
	int fd = pfs_fault("spool.create", err);

	if (fd < 0)
		return fd;
	fd = create(s, &name, err);
	if (fd < 0)
		return pfs_wrap(err, fd, "spool");
	fd = pfs_spool_spare(fd, err);
	if (fd < 0) {
		pfs_spool_unlink(s, &name);
		return pfs_wrap(err, fd, "spool");
	}
	note_name(s, &name);
	*out = name;
	return fd;
}

static int reopen(struct pfs_spool *s, const struct pfs_spool_name *name, int flags,
		  struct pfs_error *err)
{
	char text[PFS_SPOOL_NAME_SIZE];
	int fd = pfs_io_open_file(s->dir, pfs_spool_format(name, text), flags | O_NOFOLLOW, err);

	if (fd == PFS_E_NOTFOUND)
		return pfs_fail(err, PFS_E_CORRUPT,
				"spool file %s is gone; `pfs fsck` says what is lost", text);
	return fd < 0 ? pfs_wrap(err, fd, "spool") : fd;
}

int pfs_spool_reopen(struct pfs_spool *s, const struct pfs_spool_name *name, struct pfs_error *err)
{
	return reopen(s, name, O_RDWR, err);
}

int pfs_spool_reopen_read(struct pfs_spool *s, const struct pfs_spool_name *name,
			  struct pfs_error *err)
{
	return reopen(s, name, O_RDONLY, err);
}

/*
 * A lease for reading is refused while there is a writer. Whoever opens the file
 * for writing in the moment we have it waits for us to give it back, and we are
 * told by a signal that nobody minds.
 */
bool pfs_spool_is_written(int fd)
{
	bool written;

	if (fcntl(fd, F_SETSIG, SIGURG) < 0)
		return false;
	written = fcntl(fd, F_SETLEASE, F_RDLCK) < 0 && errno == EAGAIN;
	if (!written)
		fcntl(fd, F_SETLEASE, F_UNLCK);
	return written;
}

int pfs_spool_stat(struct pfs_spool *s, const struct pfs_spool_name *name, int fd,
		   struct pfs_spool_stat *out, struct pfs_error *err)
{
	char text[PFS_SPOOL_NAME_SIZE];
	struct stat st;
	int rc;

	pfs_spool_format(name, text);
	if (fd >= 0)
		rc = fstat(fd, &st);
	else
		rc = fstatat(s->dir, text, &st, AT_SYMLINK_NOFOLLOW);
	if (rc < 0 && errno == ENOENT)
		return pfs_fail(err, PFS_E_CORRUPT, "spool file %s is missing", text);
	if (rc < 0)
		return pfs_fail_errno(err, errno, "look at spool file %s", text);
	if (!S_ISREG(st.st_mode))
		return pfs_fail(err, PFS_E_CORRUPT, "spool file %s is no file", text);
	out->size = (uint64_t)st.st_size;
	out->blocks = (uint64_t)st.st_blocks;
	out->links = (uint64_t)st.st_nlink;
	out->mtime_sec = st.st_mtim.tv_sec;
	out->mtime_nsec = (uint32_t)st.st_mtim.tv_nsec;
	return 0;
}

int pfs_spool_set_mtime(struct pfs_spool *s, const struct pfs_spool_name *name, int fd,
			const struct pfs_attrs *attrs, struct pfs_error *err)
{
	struct timespec times[2] = {
		{ .tv_nsec = UTIME_OMIT },
		{ .tv_sec = attrs->mtime_sec, .tv_nsec = (long)attrs->mtime_nsec },
	};
	char text[PFS_SPOOL_NAME_SIZE];
	int rc;

	if (fd >= 0)
		rc = futimens(fd, times);
	else
		rc = utimensat(s->dir, pfs_spool_format(name, text), times, AT_SYMLINK_NOFOLLOW);
	return rc < 0 ? pfs_fail_errno(err, errno, "set the time of a spool file") : 0;
}

int pfs_spool_copy(int from, uint64_t max, int to, uint64_t *out_size, struct pfs_error *err)
{
	off_t in = 0, out = 0;
	int rc = pfs_fault("spool.copy", err);

	while (rc == 0 && (uint64_t)in < max) {
		uint64_t left = max - (uint64_t)in;
		size_t len = left < COPY_MAX ? (size_t)left : COPY_MAX;
		ssize_t n = copy_file_range(from, &in, to, &out, len, 0);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return pfs_fail_errno(err, errno, "copy a spool file");
		if (n == 0)
			break;
	}
	if (rc == 0)
		*out_size = (uint64_t)out;
	return rc;
}

/* The times of a spool file are the file's own, so fsync and not fdatasync. */
static int sync_one(struct pfs_spool *s, const struct pfs_spool_name *name, struct pfs_error *err)
{
	PFS_AUTO(pfs_fd_close) int fd = -1;
	char text[PFS_SPOOL_NAME_SIZE];

	fd = pfs_io_open_file(s->dir, pfs_spool_format(name, text), O_RDONLY | O_NOFOLLOW, err);
	if (fd == PFS_E_NOTFOUND)
		return 0; /* removed meanwhile: the journal will not name it either */
	if (fd < 0)
		return pfs_wrap(err, fd, "spool");
	return pfs_io_fsync(fd, "a spool file", err);
}

/* Names that were made and not flushed: in these folders, and those of folders. */
struct unsynced {
	uint64_t first, last;
	bool folders;
};

static bool take_unsynced(struct pfs_spool *s, struct unsynced *out)
{
	pfs_lock(&s->lock);
	*out = (struct unsynced){ s->unsynced_from,
				  (atomic_load(&s->next_serial) - 1) / FOLDER_FILES,
				  s->folders_unsynced };
	s->unsynced_from = UINT64_MAX;
	s->folders_unsynced = false;
	pfs_unlock(&s->lock);
	return out->first != UINT64_MAX || out->folders;
}

static void give_back(struct pfs_spool *s, const struct unsynced *u)
{
	pfs_lock(&s->lock);
	if (u->first < s->unsynced_from)
		s->unsynced_from = u->first;
	s->folders_unsynced = s->folders_unsynced || u->folders;
	pfs_unlock(&s->lock);
}

static int sync_all(struct pfs_spool *s, struct pfs_error *err)
{
	int rc = pfs_fault("spool.syncfs", err);

	if (rc < 0)
		return rc;
	if (syncfs(s->dir) < 0)
		return pfs_fail_errno(err, errno, "flush the file system of the spool");
	return 0;
}

static int sync_folder(struct pfs_spool *s, uint64_t folder, struct pfs_error *err)
{
	PFS_AUTO(pfs_fd_close) int fd = -1;
	char text[PFS_SPOOL_NAME_SIZE];

	fd = openat(s->dir, format_folder(folder, text), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 && errno == ENOENT)
		return 0; /* all of it was removed */
	if (fd < 0)
		return pfs_fail_errno(err, errno, "open spool folder %s", text);
	return pfs_io_fsync(fd, "a spool folder", err);
}

static int sync_names(struct pfs_spool *s, const struct unsynced *u, struct pfs_error *err)
{
	int rc = 0;

	for (uint64_t i = u->first; rc == 0 && i <= u->last; i++)
		rc = sync_folder(s, i, err);
	if (rc == 0 && u->folders)
		rc = pfs_io_fsync(s->dir, "the spool", err);
	return rc;
}

static int fill(int fd, const char *text, uint64_t size, struct pfs_error *err)
{
	struct stat st;
	int rc = pfs_fault("spool.fill", err);

	if (rc < 0)
		return rc;
	if (fstat(fd, &st) < 0 || ((uint64_t)st.st_size < size && ftruncate(fd, (off_t)size) < 0))
		return pfs_fail_errno(err, errno, "spool file %s", text);
	return pfs_io_fsync(fd, "a spool file", err);
}

/* What is in the place of a file is somebody's: it gets a name that nobody judges. */
static int put_aside(struct pfs_spool *s, const char *text, struct pfs_error *err)
{
	char to[PFS_SPOOL_NAME_SIZE + 16];
	struct stat st;

	for (unsigned n = 1; n < 1000; n++) {
		snprintf(to, sizeof(to), "%s.aside-%u", text, n);
		if (fstatat(s->dir, to, &st, AT_SYMLINK_NOFOLLOW) == 0)
			continue;
		return renameat(s->dir, text, s->dir, to) < 0
			       ? pfs_fail_errno(err, errno, "rename %s", text)
			       : 0;
	}
	return pfs_fail(err, PFS_E_LIMIT, "%s: too much was put aside", text);
}

int pfs_spool_fill(struct pfs_spool *s, const struct pfs_spool_name *name, uint64_t size,
		   struct pfs_error *err)
{
	char text[PFS_SPOOL_NAME_SIZE];
	PFS_AUTO(pfs_fd_close)
	int fd = pfs_io_open_file(s->dir, pfs_spool_format(name, text), O_RDWR | O_NOFOLLOW, err);
	int rc;

	if (fd == PFS_E_CORRUPT) {
		rc = put_aside(s, text, err);
		fd = rc < 0 ? rc : PFS_E_NOTFOUND;
	}
	if (fd == PFS_E_NOTFOUND)
		fd = create(s, name, err);
	if (fd < 0)
		return pfs_wrap(err, fd, "spool");
	rc = fill(fd, text, size, err);
	if (rc == 0)
		rc = sync_folder(s, folder_of(name), err);
	return rc < 0 ? rc : pfs_io_fsync(s->dir, "the spool", err);
}

int pfs_spool_sync(struct pfs_spool *s, const struct pfs_spool_name *names, size_t n,
		   struct pfs_error *err)
{
	struct unsynced u;
	bool some;
	int rc = 0;

	if (n == 0)
		return 0;
	some = take_unsynced(s, &u);
	if (n > SYNC_EACH_MAX || (u.first <= u.last && u.last - u.first >= SYNC_EACH_MAX)) {
		rc = sync_all(s, err);
	} else {
		for (size_t i = 0; rc == 0 && i < n; i++)
			rc = sync_one(s, &names[i], err);
		if (rc == 0 && some)
			rc = sync_names(s, &u, err);
	}
	if (rc < 0)
		give_back(s, &u);
	return rc;
}

static int open_reserve(struct pfs_spool *s, int flags)
{
	return openat(s->dir, RESERVE_NAME, O_WRONLY | O_CLOEXEC | O_NOFOLLOW | flags, 0600);
}

/* The largest that there is room for is found by halves: each try on a full disk costs. */
void pfs_spool_reserve(struct pfs_spool *s)
{
	PFS_AUTO(pfs_fd_close) int fd = -1;
	unsigned have = atomic_load_explicit(&s->reserved, memory_order_relaxed);
	unsigned size = RESERVE_SIZE, none = RESERVE_SIZE + RESERVE_STEP;

	if (have == RESERVE_SIZE)
		return;
	fd = open_reserve(s, O_CREAT);
	while (fd >= 0 && size > have) {
		if (fallocate(fd, 0, 0, size) == 0)
			have = size;
		else if (errno == ENOSPC || errno == EDQUOT)
			none = size;
		else
			break;
		size = have + (none - have) / 2 / RESERVE_STEP * RESERVE_STEP;
	}
	atomic_store(&s->reserved, have);
}

bool pfs_spool_release(struct pfs_spool *s)
{
	atomic_store(&s->reserved, 0);
	return unlinkat(s->dir, RESERVE_NAME, 0) == 0;
}

bool pfs_spool_release_half(struct pfs_spool *s)
{
	PFS_AUTO(pfs_fd_close) int fd = -1;

	if (atomic_load_explicit(&s->reserved, memory_order_relaxed) <= RESERVE_SIZE / 2)
		return false;
	fd = open_reserve(s, 0);
	if (fd < 0 || ftruncate(fd, RESERVE_SIZE / 2) < 0)
		return false;
	atomic_store(&s->reserved, RESERVE_SIZE / 2);
	return true;
}

uint64_t pfs_spool_free_bytes(const struct pfs_spool *s)
{
	struct statvfs st;

	return fstatvfs(s->dir, &st) == 0 ? (uint64_t)st.f_bavail * st.f_frsize : 0;
}

/* --- removing ------------------------------------------------------------ */

void pfs_spool_unlink(struct pfs_spool *s, const struct pfs_spool_name *name)
{
	char text[PFS_SPOOL_NAME_SIZE];

	unlinkat(s->dir, pfs_spool_format(name, text), 0);
}

void pfs_spool_unlink_many(struct pfs_spool *s, const struct pfs_spool_name *names, size_t n)
{
	uint64_t current = atomic_load(&s->next_serial) / FOLDER_FILES;
	char text[PFS_SPOOL_NAME_SIZE];

	for (size_t i = 0; i < n; i++) {
		uint64_t folder = folder_of(&names[i]);

		pfs_spool_unlink(s, &names[i]);
		/* As long as it is not empty this fails. */
		if (folder < current && (i + 1 == n || folder_of(&names[i + 1]) != folder))
			unlinkat(s->dir, format_folder(folder, text), AT_REMOVEDIR);
	}
}

/* --- what is there ------------------------------------------------------- */

struct walk {
	struct pfs_spool *s;
	bool (*wanted)(void *arg, const struct pfs_spool_name *name);
	void *arg;
	uint64_t folder;
	bool met; /* a file */
};

/* Every name in a folder of the spool, or in the spool itself. */
static int list(struct walk *w, const char *path,
		int (*each)(struct walk *w, const char *text, struct pfs_error *err),
		struct pfs_error *err)
{
	int rc = 0, fd = pfs_io_open(w->s->dir, path, O_RDONLY | O_DIRECTORY, 0, err);
	DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
	struct dirent *e;

	if (fd < 0)
		return fd;
	if (!d) {
		int sys = errno;

		pfs_fd_close(&fd);
		return pfs_fail_errno(err, sys, "list the spool");
	}
	while (rc == 0 && (e = readdir(d)))
		rc = each(w, e->d_name, err);
	closedir(d);
	return rc;
}

static int sweep_file(struct walk *w, const char *text, struct pfs_error *err)
{
	struct pfs_spool_name name;

	(void)err;
	if (!parse_name(text, &name) || folder_of(&name) != w->folder)
		return 0; /* not ours to judge */
	if (name.serial >= atomic_load(&w->s->next_serial))
		atomic_store(&w->s->next_serial, name.serial + 1);
	if (!w->wanted(w->arg, &name))
		pfs_spool_unlink(w->s, &name);
	return 0;
}

static int sweep_folder(struct walk *w, const char *text, struct pfs_error *err)
{
	int rc;

	if (!parse_folder(text, &w->folder))
		return 0;
	rc = list(w, text, sweep_file, err);
	if (rc == 0)
		unlinkat(w->s->dir, text, AT_REMOVEDIR);
	return rc;
}

int pfs_spool_sweep(struct pfs_spool *s,
		    bool (*wanted)(void *arg, const struct pfs_spool_name *name), void *arg,
		    struct pfs_error *err)
{
	struct walk w = { .s = s, .wanted = wanted, .arg = arg };

	return list(&w, ".", sweep_folder, err);
}

static int move_in(struct walk *w, const char *text, struct pfs_error *err)
{
	struct pfs_spool_name name;
	char to[PFS_SPOOL_NAME_SIZE];
	int rc;

	if (!parse_name(text, &name))
		return 0;
	rc = make_folder(w->s, folder_of(&name), err);
	if (rc < 0)
		return rc;
	if (renameat(w->s->dir, text, w->s->dir, pfs_spool_format(&name, to)) < 0)
		return pfs_fail_errno(err, errno, "rename spool file %s", text);
	note_name(w->s, &name);
	return 0;
}

int pfs_spool_upgrade(struct pfs_spool *s, struct pfs_error *err)
{
	struct walk w = { .s = s };

	return list(&w, ".", move_in, err);
}

static int meet_file(struct walk *w, const char *text, struct pfs_error *err)
{
	struct pfs_spool_name name;

	(void)err;
	w->met |= parse_name(text, &name);
	return 0;
}

static int meet(struct walk *w, const char *text, struct pfs_error *err)
{
	if (parse_folder(text, &w->folder))
		return list(w, text, meet_file, err);
	return meet_file(w, text, err);
}

int pfs_spool_has_files(struct pfs_spool *s, bool *out, struct pfs_error *err)
{
	struct walk w = { .s = s };
	int rc = list(&w, ".", meet, err);

	if (rc == 0)
		*out = w.met;
	return rc;
}
