/*
 * One bit of a data folder turns over, somewhere: in a pack, in the index, in the
 * superblock, in the metadata, in a journal or in a log. Opening refuses and names
 * the file, or a check does, or nothing is lost by it; never is a byte read that
 * was not written, and never does it end the process.
 *
 * Nothing is lost by a bit of
 *
 *	*.len       how far a pack is durable: a hint, with a checksum; what it says
 *	            is believed only when recovery finds less
 *	index/      follows from the packs, and is made anew
 *	STORE       when the other copy is whole
 *	*-wal       is turned back
 *	*.db        when the log of a crash has the page
 *	*-shm       made anew by whoever comes first after a crash
 *	LOCK        is empty
 *
 * and bytes that were not committed yet, in spool/, have no checksum at all: there
 * a bit that turns over is not noticed, as on any file system without checksums.
 *
 *	PFS_BITROT_FLIPS   how many, instead of the usual number
 *	PFS_BITROT_SEED    which ones
 */
#include "powercut.h"
#include "powerstory.h"
#include "../scratch.h"

#include <dirent.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define FLIPS     (3000 / PFS_FEWER)
#define ROUNDS    3
#define WORKERS   2
#define FILES_MAX 256u

struct file {
	char path[400]; /* below the folder */
	unsigned char *bytes;
	size_t size;
};

struct folder {
	char path[300];
	struct file files[FILES_MAX];
	unsigned n;
};

/* What a worker is at, for whoever finds it dead, and what came of the flips. */
struct progress {
	char at[512];
	unsigned refused, found, harmless;
	bool bad;
};

static uint64_t number_of(const char *name, uint64_t otherwise)
{
	const char *text = getenv(name);

	return text && *text ? strtoull(text, NULL, 10) : otherwise;
}

static void full_path(const struct folder *f, unsigned i, char out[800])
{
	snprintf(out, 800, "%s/%s", f->path, f->files[i].path);
}

/* Whoever writes to a file makes it younger than this. */
static void make_old(const char *path)
{
	static const struct timespec old[2] = { { .tv_sec = 1000 }, { .tv_sec = 1000 } };

	CHECK(utimensat(AT_FDCWD, path, old, 0) == 0, "%s", path);
}

static void write_file(const struct folder *f, unsigned i)
{
	char path[800];
	int fd;

	full_path(f, i, path);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	CHECK(fd >= 0 &&
		      write(fd, f->files[i].bytes, f->files[i].size) == (ssize_t)f->files[i].size,
	      "%s", path);
	close(fd);
	make_old(path);
}

static void load(struct folder *f, const char *below)
{
	struct dirent *e;
	char path[800];
	DIR *d;

	snprintf(path, sizeof(path), "%s/%s", f->path, below);
	d = opendir(path);
	CHECK(d, "%s", path);
	while ((e = readdir(d))) {
		PFS_AUTO(pfs_buf_fini) struct pfs_buf b = PFS_BUF_INIT(64u << 20);
		struct file *file = &f->files[f->n];
		struct stat st;

		if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
			continue;
		CHECK(f->n < FILES_MAX, "too many files");
		CHECK(snprintf(file->path, sizeof(file->path), "%s%s%s", below, *below ? "/" : "",
			       e->d_name) < (int)sizeof(file->path),
		      "path");
		full_path(f, f->n, path);
		CHECK(lstat(path, &st) == 0, "%s", path);
		if (S_ISDIR(st.st_mode)) {
			char deeper[400];

			memcpy(deeper, file->path, sizeof(deeper));
			load(f, deeper);
			continue;
		}
		CHECK(pfs_io_load(AT_FDCWD, path, &b, NULL) == 0, "%s", path);
		file->size = b.len;
		file->bytes = malloc(b.len + 1);
		memcpy(file->bytes, pfs_buf_str(&b), b.len);
		make_old(path);
		f->n++;
	}
	closedir(d);
}

static int find(const struct folder *f, const char *path)
{
	for (unsigned i = 0; i < f->n; i++)
		if (strcmp(f->files[i].path, path) == 0)
			return (int)i;
	return -1;
}

/* What was made meanwhile goes. */
static void remove_new(const struct folder *f, const char *below)
{
	struct dirent *e;
	char path[800];
	DIR *d;

	snprintf(path, sizeof(path), "%s/%s", f->path, below);
	d = opendir(path);
	CHECK(d, "%s", path);
	while ((e = readdir(d))) {
		char name[400];

		if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
			continue;
		snprintf(name, sizeof(name), "%.140s%s%s", below, *below ? "/" : "", e->d_name);
		if (e->d_type == DT_DIR) {
			remove_new(f, name);
		} else if (find(f, name) < 0) {
			snprintf(path, sizeof(path), "%s/%s", f->path, name);
			CHECK(unlink(path) == 0, "%s", path);
		}
	}
	closedir(d);
}

/* As it was: opening may mend, cut, move and make anew. */
static void restore(const struct folder *f)
{
	remove_new(f, "");
	for (unsigned i = 0; i < f->n; i++) {
		struct stat st;
		char path[800];

		full_path(f, i, path);
		if (stat(path, &st) < 0 || st.st_mtime != 1000 ||
		    (size_t)st.st_size != f->files[i].size)
			write_file(f, i);
	}
}

static bool ends_with(const char *path, const char *end)
{
	size_t n = strlen(path), k = strlen(end);

	return n >= k && strcmp(path + n - k, end) == 0;
}

/* Not noticed, and said so. */
static bool has_no_checksum(const struct file *f)
{
	return strstr(f->path, "/spool/") || f->size == 0;
}

static bool may_be_harmless(const struct file *f, bool crashed)
{
	return (crashed && ends_with(f->path, ".db")) || ends_with(f->path, ".len") ||
	       strstr(f->path, "/index/") || ends_with(f->path, "/STORE") ||
	       ends_with(f->path, "-wal") || ends_with(f->path, "-shm");
}

/* Half anywhere, half in the first and last bytes, where the structure is dense. */
static uint64_t pick(uint64_t size, uint64_t random)
{
	uint64_t edge = size < 4096 ? size : 4096;

	switch (random % 4) {
	case 0:
		return (random >> 8) % edge;
	case 1:
		return size - 1 - (random >> 8) % edge;
	default:
		return (random >> 8) % size;
	}
}

/* The word that tells people which file it is: of a pack its id. */
static bool names(const char *text, const struct file *f)
{
	const char *slash = strrchr(f->path, '/');
	char word[400];

	snprintf(word, sizeof(word), "%s", slash ? slash + 1 : f->path);
	word[strcspn(word, ".")] = 0;
	return strstr(text, word);
}

static bool judge(const struct file *f, bool crashed, const struct powerstory_findings *found,
		  struct progress *p)
{
	if (found->refused)
		p->refused++;
	else if (found->complaints)
		p->found++;
	else if (!found->missing && may_be_harmless(f, crashed))
		p->harmless++;
	else
		return false;
	return (!found->refused && !found->complaints) || names(found->text, f);
}

static void flip(const struct folder *f, unsigned i, uint64_t at, unsigned bit)
{
	unsigned char byte = f->files[i].bytes[at] ^ (unsigned char)(1u << bit);
	char path[800];
	int fd;

	full_path(f, i, path);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	CHECK(fd >= 0 && pwrite(fd, &byte, 1, (off_t)at) == 1, "%s", path);
	close(fd);
}

static void work(const struct powerstory *s, const struct folder *f, bool crashed, unsigned worker,
		 uint64_t flips, uint64_t seed, struct progress *p)
{
	static struct powerstory_findings found;

	for (uint64_t i = worker; i < flips; i += WORKERS) {
		unsigned which, bit;
		uint64_t random[2], at;

		scratch_fill(random, sizeof(random), seed + i);
		which = (unsigned)(random[0] % f->n);
		while (has_no_checksum(&f->files[which]))
			which = (which + 1) % f->n;
		at = pick(f->files[which].size, random[1] >> 3);
		bit = random[1] & 7;
		snprintf(p->at, sizeof(p->at), "%.400s byte %llu bit %u", f->files[which].path,
			 (unsigned long long)at, bit);
		flip(f, which, at, bit);
		powerstory_probe(s, f->path, &found);
		if (!judge(&f->files[which], crashed, &found, p)) {
			fprintf(stderr, "%s: %s, %u not readable\n%s", p->at,
				found.complaints ? "found, but not named" : "not noticed",
				found.missing, found.text);
			p->bad = true;
			return;
		}
		restore(f);
	}
	p->at[0] = 0;
}

static struct powerstory *tell(const char *folder, bool die)
{
	struct powerstory *s = powerstory_new();
	int status;
	pid_t pid = fork();

	CHECK(pid >= 0, "fork");
	if (pid == 0) {
		powercut_record(folder); /* moments of promises; and nothing waits for a disk */
		if (die)
			powerstory_tell_and_die(s, folder, ROUNDS);
		powerstory_tell(s, folder, ROUNDS);
		_exit(0);
	}
	CHECK(waitpid(pid, &status, 0) == pid && status == 0, "the story: status %x", status);
	return s;
}

/* One worker: a folder of its own, where everything was closed or where it was not. */
static void start(bool crashed, unsigned worker, uint64_t flips, uint64_t seed, struct progress *p)
{
	static struct folder f;
	struct scratch dir = scratch_new();
	struct powerstory_findings found;
	struct powerstory *s;

	powercut_forget();
	snprintf(f.path, sizeof(f.path), "%s", dir.path);
	s = tell(f.path, crashed);
	load(&f, "");
	powerstory_probe(s, f.path, &found);
	CHECK(!found.refused && !found.complaints && !found.missing, "before any flip: %s",
	      found.text);
	restore(&f);
	work(s, &f, crashed, worker, flips, seed, p);
	if (!p->bad)
		scratch_fini(&dir);
	_exit(p->bad);
}

static void run(const char *what, bool crashed, uint64_t flips, uint64_t seed)
{
	struct progress *p = powercut_share(WORKERS * sizeof(*p)), sum = { 0 };
	pid_t pid[WORKERS];

	for (unsigned i = 0; i < WORKERS; i++) {
		pid[i] = fork();
		CHECK(pid[i] >= 0, "fork");
		if (pid[i] == 0)
			start(crashed, i, flips, seed, &p[i]);
	}
	for (unsigned i = 0; i < WORKERS; i++) {
		int status;

		CHECK(waitpid(pid[i], &status, 0) == pid[i], "wait");
		CHECK(status == 0, "%s: status %x, at %s; seed %llu", what, status, p[i].at,
		      (unsigned long long)seed);
		sum.refused += p[i].refused;
		sum.found += p[i].found;
		sum.harmless += p[i].harmless;
	}
	printf("%s: %llu flips, %u refused when opened, %u found by a check, %u without harm\n",
	       what, (unsigned long long)flips, sum.refused, sum.found, sum.harmless);
	fflush(stdout);
}

int main(void)
{
	uint64_t flips = number_of("PFS_BITROT_FLIPS", FLIPS);
	uint64_t seed = number_of("PFS_BITROT_SEED", 1);

	if (access("/dev/shm", W_OK) == 0)
		setenv("TMPDIR", "/dev/shm", 0);
	run("closed", false, flips - flips / 8, seed);
	run("after a crash", true, flips / 8, seed + flips);
	return 0;
}
