/*
 * A day of abuse in minutes: workers do at random whatever can be done to files
 * and directories, each below a directory of its own, others append to one file
 * together, and all the while the branch is committed. In the end every commit
 * is compared with what was so when it was made.
 *
 *	abuse BRANCH SECONDS WORKERS SEED [EVERY_MSEC]
 *	abuse sum FOLDER
 *
 * With 0 SECONDS it goes on until pfsd is gone; then what was promised has to be
 * there. The second form prints a number for all there is to see of a folder.
 *
 * Without .pfs in it BRANCH is any directory: then nothing is committed, and
 * what is compared are the results of system calls and what is left.
 * A line of standard input is waited for before commits are compared: the moment
 * to start pfsd anew.
 */
#include "abuse.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

#define WORKERS_MAX 16u
#define APPENDERS   2u
#define RECORD_SIZE 32u
#define COMMITS_MAX 20000u

struct worker {
	struct log log;
	struct model m;
	struct model then; /* as it was for the commits compared so far */
	size_t then_at;
	char path[4096];
	int dir, fd[SLOTS];
	uint64_t rng;
	pthread_t thread;
};

struct commit {
	char id[64];
	size_t first[WORKERS_MAX], last[WORKERS_MAX];
	size_t first_record[APPENDERS], last_record[APPENDERS];
};

static const char *branch;
static struct worker *workers;
static unsigned n_workers;
static bool crashing; /* until pfsd is gone */
static _Atomic size_t appended[APPENDERS], appending[APPENDERS], synced[APPENDERS];
static struct commit *commits;
static _Atomic size_t n_commits;
static _Atomic bool stop;

static uint64_t below(struct worker *w, uint64_t n)
{
	return abuse_random(&w->rng) % n;
}

/* --- steps at random ------------------------------------------------------- */

/* Down from the top, mostly along what is there. */
static struct path random_path(struct worker *w)
{
	const struct inode *at = w->m.root;
	struct path p = { 0 };

	do {
		unsigned name = (unsigned)below(w, NAMES);

		for (unsigned i = 0; at && i < NAMES && below(w, 10) < 7 && !at->child[name]; i++)
			name = (name + 1) % NAMES;
		p.name[p.n++] = (uint8_t)name;
		at = at ? at->child[name] : NULL;
	} while (p.n < DEPTH && at && at->type == DIR_TYPE && below(w, 10) < 8);
	return p;
}

static bool random_slot(struct worker *w, bool free, unsigned *out)
{
	unsigned at = (unsigned)below(w, SLOTS);

	for (unsigned i = 0; i < SLOTS; i++, at = (at + 1) % SLOTS)
		if (!w->m.slot[at].inode == free) {
			*out = at;
			return true;
		}
	return false;
}

static uint64_t size_max(const struct inode *i)
{
	return i->large ? LARGE_SIZE : SMALL_SIZE;
}

/* Small ones mostly; into the large ones also a lot at once. */
static bool random_range(struct worker *w, const struct inode *i, struct step *s)
{
	uint64_t limit = size_max(i), lens[] = { 100, 5000, 70000, 300000, 1300000 };

	s->len = 1 + below(w, lens[below(w, i->large ? 5 : below(w, 4) ? 2 : 4)]);
	if (s->len > limit / 2)
		s->len = limit / 2;
	s->off = below(w, 3) ? below(w, i->size + 1) : below(w, limit - s->len);
	if (s->off + s->len > limit)
		s->off = limit - s->len;
	return w->m.bytes + limit < TOTAL_SIZE;
}

static bool random_bytes(struct worker *w, struct step *s)
{
	const struct slot *slot = &w->m.slot[s->slot];
	const struct inode *i = slot->inode;
	bool room = random_range(w, i, s);

	s->at = s->off;
	switch (s->kind) {
	case WRITE:
		return room && (slot->how != APPEND || i->size + s->len <= size_max(i));
	case STORE:
		if (i->size == 0 || slot->how == WRITE_ONLY)
			return false;
		s->off = below(w, i->size);
		s->len = s->off + s->len > i->size ? i->size - s->off : s->len;
		return true;
	case COPY:
		s->off = below(w, i->size + 1);
		return random_slot(w, false, &s->other) && room && slot->how != WRITE_ONLY &&
		       w->m.slot[s->other].how != APPEND && w->m.slot[s->other].inode != i &&
		       s->at + s->len <= size_max(w->m.slot[s->other].inode);
	case RESIZE:
		return room || s->off < i->size;
	case ZERO:
		return room;
	default:
		return true;
	}
}

static unsigned n_large(const struct model *m)
{
	unsigned n = 0;

	for (unsigned i = 0; i < m->n; i++)
		n += m->all[i] && m->all[i]->large;
	return n;
}

static enum kind random_kind(struct worker *w)
{
	static const unsigned char weight[KINDS] = {
		[CREATE] = 30, [OPEN] = 20,  [CLOSE] = 45,  [WRITE] = 60,  [RESIZE] = 6,
		[CUT] = 4,     [PUNCH] = 6,  [ZERO] = 4,    [STORE] = 10,  [COPY] = 12,
		[FSYNC] = 4,   [MKDIR] = 16, [RMDIR] = 8,   [SYNCDIR] = 1, [UNLINK] = 16,
		[RENAME] = 30, [LINK] = 12,  [SYMLINK] = 6, [CHMOD] = 6,   [SETXATTR] = 8,
		[RMXATTR] = 4, [UTIMES] = 8, [LOOK] = 16,
	};
	enum kind kind = CREATE;
	unsigned at, total = 0;

	for (unsigned k = 0; k < KINDS; k++)
		total += weight[k];
	at = (unsigned)below(w, total);
	while (at >= weight[kind])
		at -= weight[kind++];
	return kind;
}

/* False when it would make no sense now. */
static bool random_step(struct worker *w, struct step *s)
{
	const struct inode *i;
	int error;

	*s = (struct step){ .kind = random_kind(w), .a = random_path(w) };
	s->seed = abuse_random(&w->rng) | 1; /* never 0 */
	s->seed += s->seed % 8 == 1 ? 3 : 0; /* some can be compressed */
	i = model_find(&w->m, &s->a, &error);
	switch (s->kind) {
	case CREATE:
		s->len = below(w, 12) == 0 && n_large(&w->m) < 2;
		/* fallthrough */
	case OPEN:
		s->how = (unsigned)below(w, 3);
		if (s->kind == OPEN)
			s->len = below(w, 6) == 0;
		return random_slot(w, true, &s->slot) &&
		       (s->kind == CREATE || i || below(w, 8) == 0);
	case CLOSE:
	case FSYNC:
		return random_slot(w, false, &s->slot);
	case WRITE:
	case RESIZE:
	case PUNCH:
	case ZERO:
	case STORE:
	case COPY:
		return random_slot(w, false, &s->slot) && random_bytes(w, s);
	case CUT:
		s->off = i && i->type == FILE_TYPE ? below(w, i->size + 1) : 0;
		return true;
	case SYNCDIR:
		return i && i->type == DIR_TYPE;
	case RENAME:
	case LINK:
		s->b = random_path(w);
		s->how = s->kind == RENAME && below(w, 4) == 0 ? 1 + (unsigned)below(w, 2) : 0;
		return s->kind == RENAME || !i || i->type != SYMLINK_TYPE;
	case CHMOD:
		s->off = below(w, 01000);
		return true;
	case SETXATTR:
	case RMXATTR:
		s->slot = (unsigned)below(w, ATTRS);
		s->len = 1 + below(w, below(w, 4) ? 60 : 1200);
		return true;
	default:
		return true;
	}
}

/* --- doing them ------------------------------------------------------------ */

static void text_of(const struct path *p, char *out, size_t size)
{
	size_t len = 0;

	out[0] = '\0';
	for (unsigned i = 0; i < p->n; i++)
		len += (size_t)snprintf(out + len, size - len, "%s%s", i ? "/" : "",
					abuse_name[p->name[i]]);
}

static int do_open(struct worker *w, const struct step *s, const char *name)
{
	static const int how[] = { O_RDWR, O_RDWR | O_APPEND, O_WRONLY };
	int flags = how[s->how] | O_CLOEXEC | O_NOFOLLOW;
	int fd;

	if (s->kind == CREATE)
		flags |= O_CREAT | O_EXCL;
	else if (s->len)
		flags |= O_TRUNC;
	fd = openat(w->dir, name, flags, 0644);
	if (fd >= 0)
		w->fd[s->slot] = fd;
	return fd < 0 ? -1 : 0;
}

static int do_write(int fd, const struct step *s, bool append)
{
	unsigned char *bytes = malloc(s->len);
	size_t at = 0;

	abuse_fill(s->seed, bytes, s->len);
	while (at < s->len) {
		ssize_t n = append ? write(fd, bytes + at, s->len - at)
				   : pwrite(fd, bytes + at, s->len - at, (off_t)(s->off + at));

		if (n <= 0)
			break;
		at += (size_t)n;
	}
	free(bytes);
	return at == s->len ? 0 : -1;
}

/* What is mapped of a file goes with pfsd. */
static _Thread_local sigjmp_buf bus;

static void on_bus(int number)
{
	(void)number;
	siglongjmp(bus, 1);
}

static int do_store(int fd, const struct step *s)
{
	uint64_t start = s->off / 4096 * 4096;
	volatile size_t size = s->off + s->len - start;
	unsigned char *volatile map =
		mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, (off_t)start);
	int rc;

	if (map == MAP_FAILED)
		return -1;
	if (sigsetjmp(bus, 1)) {
		munmap(map, size);
		errno = EIO;
		return -1;
	}
	abuse_fill(s->seed, map + (s->off - start), s->len);
	rc = msync(map, size, MS_SYNC);
	return munmap(map, size) < 0 ? -1 : rc;
}

static int do_copy(int from, int to, const struct step *s)
{
	loff_t off = (loff_t)s->off, at = (loff_t)s->at;
	size_t left = s->len;
	ssize_t n;

	do {
		n = copy_file_range(from, &off, to, &at, left, 0);
		left -= n > 0 ? (size_t)n : 0;
	} while (n > 0 && left);
	return n < 0 ? -1 : 0;
}

static int do_bytes(struct worker *w, const struct step *s)
{
	int fd = w->fd[s->slot];

	switch (s->kind) {
	case WRITE:
		return do_write(fd, s, w->m.slot[s->slot].how == APPEND);
	case RESIZE:
		return ftruncate(fd, (off_t)s->off);
	case PUNCH:
		return fallocate(fd, 3 /* punch, keep size */, (off_t)s->off, (off_t)s->len);
	case ZERO:
		return fallocate(fd, 0x10 /* zero range */, (off_t)s->off, (off_t)s->len);
	case STORE:
		return do_store(fd, s);
	default:
		return do_copy(fd, w->fd[s->other], s);
	}
}

static int do_attribute(struct worker *w, const struct step *s, const char *name)
{
	char path[8192], attr[] = "user.a0";
	unsigned char value[5000];
	struct timespec times[2] = { { .tv_nsec = UTIME_OMIT } };

	snprintf(path, sizeof(path), "%s/%s", w->path, name);
	attr[6] = (char)('0' + s->slot);
	switch (s->kind) {
	case CUT:
		return truncate(path, (off_t)s->off);
	case CHMOD:
		return fchmodat(w->dir, name, (mode_t)s->off, 0);
	case SETXATTR:
		abuse_fill(s->seed, value, s->len);
		return lsetxattr(path, attr, value, s->len, 0);
	case RMXATTR:
		return lremovexattr(path, attr);
	default:
		times[1].tv_sec = (time_t)(s->seed % 1000000000000000000u / 1000000000);
		times[1].tv_nsec = (long)(s->seed % 1000000000000000000u % 1000000000);
		return utimensat(w->dir, name, times, AT_SYMLINK_NOFOLLOW);
	}
}

static int sync_dir(int dir, const char *name)
{
	int fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC), rc;

	if (fd < 0)
		return -1;
	rc = fsync(fd);
	close(fd);
	return rc;
}

/* What is there now, against the model: steps of one's own are over. */
static int do_look(struct worker *w, const struct step *s, const char *name)
{
	char path[8192];
	struct stat st;
	int error;
	const struct inode *i = model_find(&w->m, &s->a, &error);

	if (fstatat(w->dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return -1;
	snprintf(path, sizeof(path), "%s/%s", w->path, name);
	if (i)
		compare(w->dir, name, path, &w->m, i);
	return 0;
}

static int perform(struct worker *w, const struct step *s)
{
	char a[4096], b[4096], target[64];

	text_of(&s->a, a, sizeof(a));
	text_of(&s->b, b, sizeof(b));
	switch (s->kind) {
	case CREATE:
	case OPEN:
		return do_open(w, s, a);
	case CLOSE:
		return close(w->fd[s->slot]);
	case FSYNC:
		return fsync(w->fd[s->slot]);
	case SYNCDIR:
		return sync_dir(w->dir, a);
	case MKDIR:
		return mkdirat(w->dir, a, 0755);
	case RMDIR:
		return unlinkat(w->dir, a, AT_REMOVEDIR);
	case UNLINK:
		return unlinkat(w->dir, a, 0);
	case RENAME:
		return renameat2(w->dir, a, w->dir, b, s->how);
	case LINK:
		return linkat(w->dir, a, w->dir, b, 0);
	case SYMLINK:
		snprintf(target, sizeof(target), "nowhere/%llu", (unsigned long long)s->seed);
		return symlinkat(target, w->dir, a);
	case LOOK:
		return do_look(w, s, a);
	case CUT:
	case CHMOD:
	case SETXATTR:
	case RMXATTR:
	case UTIMES:
		return do_attribute(w, s, a);
	default:
		return do_bytes(w, s);
	}
}

/* --- workers --------------------------------------------------------------- */

/* Whoever sees it first tells all: the next pfsd may be there in no time. */
static bool is_gone(int error)
{
	bool gone = crashing && (error == ENOTCONN || error == ECONNABORTED || error == EIO ||
				 error == ENODEV || error == EINTR);

	/* Where the mount was there is a folder with nothing in it. */
	gone = gone || (crashing && error == ENOENT && access(branch, F_OK) < 0);

	if (gone)
		stop = true;
	return gone;
}

/* False when pfsd is gone: whether the step was taken nobody knows. */
static bool take_step(struct worker *w, const struct step *s)
{
	struct log *log = &w->log;
	size_t at = log->done;
	int error, want;
	char a[4096], b[4096];

	if (at == log->cap) {
		log->cap = log->cap ? 2 * log->cap : 4096;
		log->steps = realloc(log->steps, log->cap * sizeof(*log->steps));
		if (!log->steps)
			WRONG("out of memory");
	}
	log->steps[at] = *s;
	atomic_store(&log->started, at + 1);
	error = perform(w, s) < 0 ? errno : 0;
	if (is_gone(error))
		return false;
	want = model_step(&w->m, s);
	if (error != want) {
		text_of(&s->a, a, sizeof(a));
		text_of(&s->b, b, sizeof(b));
		WRONG("%s: step %zu, %s %s %s: %s, not %s", w->path, at, abuse_kind[s->kind], a, b,
		      strerror(error), strerror(want));
	}
	atomic_store(&log->done, at + 1);
	return true;
}

static void *work(void *arg)
{
	struct worker *w = arg;
	struct step s;

	while (!stop)
		if (random_step(w, &s) && !(crashing && s.kind == LOOK) && !take_step(w, &s))
			return NULL;
	for (unsigned i = 0; i < SLOTS; i++) {
		s = (struct step){ .kind = CLOSE, .slot = i };
		if (w->m.slot[i].inode)
			take_step(w, &s);
	}
	return NULL;
}

static void start_worker(struct worker *w, unsigned number, uint64_t seed)
{
	w->rng = seed * 1000 + number;
	model_init(&w->m);
	model_init(&w->then);
	snprintf(w->path, sizeof(w->path), "%s/w%u", branch, number);
	if (mkdir(w->path, 0755) < 0)
		WRONG("%s: %s", w->path, strerror(errno));
	if (sync_dir(AT_FDCWD, w->path) < 0)
		WRONG("%s: fsync: %s", w->path, strerror(errno));
	w->dir = open(w->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	pthread_create(&w->thread, NULL, work, w);
}

/* Each adds records of its own to one file. */
static void *append(void *arg)
{
	unsigned self = (unsigned)(uintptr_t)arg;
	char path[4096], record[RECORD_SIZE + 1];
	int fd;

	snprintf(path, sizeof(path), "%s/records", branch);
	fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644);
	for (size_t i = 0; !stop; i++) {
		snprintf(record, sizeof(record), "%u %*zu\n", self, (int)RECORD_SIZE - 3, i);
		atomic_store(&appending[self], i + 1);
		if (write(fd, record, RECORD_SIZE) != RECORD_SIZE) {
			if (is_gone(errno))
				break;
			WRONG("%s: append: %s", path, strerror(errno));
		}
		atomic_store(&appended[self], i + 1);
		if (crashing && i % 32 == 0 && fsync(fd) == 0)
			atomic_store(&synced[self], i + 1);
		usleep(500);
	}
	close(fd);
	return NULL;
}

/* --- commits --------------------------------------------------------------- */

/* False when pfsd is gone. */
static bool commit(void)
{
	struct commit *c = &commits[n_commits];
	char path[4096];
	int fd;

	for (unsigned i = 0; i < n_workers; i++)
		c->first[i] = workers[i].log.done;
	for (unsigned i = 0; i < APPENDERS; i++)
		c->first_record[i] = appended[i];
	snprintf(path, sizeof(path), "%s/.pfs/commit", branch);
	fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd < 0 || write(fd, "abuse", 5) != 5 || close(fd) < 0) {
		if (is_gone(errno))
			return false;
		WRONG("%s: %s", path, strerror(errno));
	}
	for (unsigned i = 0; i < n_workers; i++)
		c->last[i] = workers[i].log.started;
	for (unsigned i = 0; i < APPENDERS; i++)
		c->last_record[i] = appending[i];
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || read(fd, c->id, sizeof(c->id) - 1) < 32) {
		if (is_gone(errno))
			return false;
		WRONG("%s: read: %s", path, strerror(errno));
	}
	c->id[32] = '\0';
	close(fd);
	n_commits++;
	return true;
}

static void commit_path(const struct commit *c, const char *name, char *out, size_t size)
{
	const char *slash = strrchr(branch, '/');

	snprintf(out, size, "%.*s/%s/%s", (int)(slash - branch), branch, c->id, name);
}

/* What a commit holds never changes, whatever happens on the branch. */
static void *read_again(void *arg)
{
	uint64_t *sums = calloc(COMMITS_MAX, sizeof(*sums)), rng = 1, sum;
	char path[4096], name[32];

	(void)arg;
	while (!stop) {
		size_t n = n_commits, at = n ? abuse_random(&rng) % n : 0;

		usleep(20000);
		if (n == 0)
			continue;
		snprintf(name, sizeof(name), "w%zu", at % n_workers);
		commit_path(&commits[at], name, path, sizeof(path));
		sum = digest(path);
		if (sums[at] && sums[at] != sum)
			WRONG("%s: is not as it was", path);
		sums[at] = sum;
	}
	free(sums);
	return NULL;
}

/* --- the end of the day ---------------------------------------------------- */

/* Every record that was there, in order, and nothing else but the start of one. */
static void judge_records(const char *path, const size_t *least, const size_t *most)
{
	char record[RECORD_SIZE + 1] = "";
	size_t n[APPENDERS] = { 0 }, at;
	unsigned self;
	FILE *f = fopen(path, "re");

	while (f && fread(record, 1, RECORD_SIZE, f) == RECORD_SIZE) {
		if (sscanf(record, "%u %zu\n", &self, &at) != 2 || self >= APPENDERS ||
		    at != n[self])
			WRONG("%s: has \"%s\", not record %zu", path, record, n[0]);
		n[self]++;
	}
	for (unsigned i = 0; i < APPENDERS; i++)
		if (n[i] < least[i] || n[i] > most[i])
			WRONG("%s: %zu records of %u, not %zu to %zu", path, n[i], i, least[i],
			      most[i]);
	if (f)
		fclose(f);
}

static void replay(struct worker *w, size_t to)
{
	for (; w->then_at < to; w->then_at++)
		model_step(&w->then, &w->log.steps[w->then_at]);
}

/* Of fsync of a directory all of the branch may be expected, of that of a file all names. */
static void judge_what_is_left(struct worker *w)
{
	const struct log *log = &w->log;
	size_t promised;

	for (promised = log->done; promised > w->then_at; promised--)
		if (log->steps[promised - 1].kind == SYNCDIR)
			break;
	replay(w, promised);
	for (promised = log->done; promised > w->then_at; promised--)
		if (log->steps[promised - 1].kind == FSYNC)
			break;
	judge_crash(w->path, &w->then, log, w->then_at, promised, log->started);
}

static void *judge_worker(void *arg)
{
	struct worker *w = arg;
	unsigned self = (unsigned)(w - workers);
	char path[4096], name[32];

	snprintf(name, sizeof(name), "w%u", self);
	for (size_t i = 0; i < n_commits; i++) {
		const struct commit *c = &commits[i];

		replay(w, c->first[self]);
		commit_path(c, name, path, sizeof(path));
		judge(path, &w->then, &w->log, c->first[self], c->last[self]);
		commit_path(c, "records", path, sizeof(path));
		if (self == 0)
			judge_records(path, c->first_record, c->last_record);
	}
	if (crashing)
		judge_what_is_left(w);
	else
		judge(w->path, &w->m, &w->log, w->log.done, w->log.done);
	return NULL;
}

static void judge_the_rest(void)
{
	size_t least[APPENDERS], most[APPENDERS];
	char path[4096];

	for (unsigned i = 0; i < APPENDERS; i++) {
		least[i] = crashing ? synced[i] : appended[i];
		most[i] = appending[i];
	}
	snprintf(path, sizeof(path), "%s/records", branch);
	judge_records(path, least, most);
}

static void judge_all(void)
{
	for (unsigned i = 0; i < n_workers; i++)
		pthread_create(&workers[i].thread, NULL, judge_worker, &workers[i]);
	for (unsigned i = 0; i < n_workers; i++)
		pthread_join(workers[i].thread, NULL);
	judge_the_rest();
}

static void spend(double seconds, unsigned every_msec, bool committing)
{
	struct timespec start, now;

	clock_gettime(CLOCK_MONOTONIC, &start);
	do {
		usleep(every_msec * 1000);
		if (stop || (committing && n_commits < COMMITS_MAX && !commit()))
			break;
		clock_gettime(CLOCK_MONOTONIC, &now);
	} while (!stop && (crashing || (double)(now.tv_sec - start.tv_sec) < seconds));
	stop = true;
}

int main(int argc, char **argv)
{
	unsigned every_msec = argc > 5 ? (unsigned)atoi(argv[5]) : 100;
	pthread_t appender[APPENDERS], reader;
	size_t steps = 0;
	char path[4096];
	bool committing;

	if (argc == 3 && strcmp(argv[1], "sum") == 0)
		return printf("%llx\n", (unsigned long long)digest(argv[2])) < 0;
	if (argc < 5 || atoi(argv[3]) < 1 || atoi(argv[3]) > (int)WORKERS_MAX) {
		fprintf(stderr, "usage: abuse BRANCH SECONDS WORKERS SEED [EVERY_MSEC]\n");
		return 2;
	}
	branch = argv[1];
	n_workers = (unsigned)atoi(argv[3]);
	workers = calloc(n_workers, sizeof(*workers));
	commits = calloc(COMMITS_MAX + 1, sizeof(*commits));
	crashing = atof(argv[2]) == 0;
	if (crashing)
		signal(SIGBUS, on_bus);
	umask(0);
	snprintf(path, sizeof(path), "%s/.pfs/commit", branch);
	committing = access(path, F_OK) == 0;
	for (unsigned i = 0; i < n_workers; i++)
		start_worker(&workers[i], i, strtoull(argv[4], NULL, 10));
	for (unsigned i = 0; i < APPENDERS; i++)
		pthread_create(&appender[i], NULL, append, (void *)(uintptr_t)i);
	printf("at work\n");
	fflush(stdout);
	if (!crashing)
		pthread_create(&reader, NULL, read_again, NULL);
	spend(atof(argv[2]), every_msec, committing);
	for (unsigned i = 0; i < n_workers; i++)
		pthread_join(workers[i].thread, NULL);
	for (unsigned i = 0; i < APPENDERS; i++)
		pthread_join(appender[i], NULL);
	if (!crashing)
		pthread_join(reader, NULL);
	if (committing && !crashing)
		commit();
	for (unsigned i = 0; i < n_workers; i++) {
		steps += workers[i].log.done;
		close(workers[i].dir);
	}
	printf("done: %zu steps, %zu commits\n", steps, (size_t)n_commits);
	fflush(stdout);
	getchar();
	judge_all();
	printf("each commit is as its branch was\n");
	return 0;
}
