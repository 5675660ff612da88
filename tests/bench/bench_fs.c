/*
 * One operation on files, timed from inside: the same program runs on our
 * mount and on the native file system beside it.
 *
 *	bench_fs write FILE MIB        new file in 1 MiB blocks, closed; no fsync
 *	bench_fs read FILE             the whole file in 1 MiB blocks
 *	bench_fs randread FILE COUNT   4 KiB at random places
 *	bench_fs create DIR N BYTES    N files, 1000 to a folder
 *	bench_fs stat DIR N            stat each of those
 *	bench_fs names DIR N           N empty files, all in one folder
 *
 * Prints seconds.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define BLOCK (1 << 20)

static uint64_t state = 88172645463325252ULL;

static uint64_t next_random(void)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state;
}

static void fill(unsigned char *p, size_t len)
{
	for (size_t i = 0; i + 8 <= len; i += 8) {
		uint64_t v = next_random();

		memcpy(p + i, &v, 8);
	}
}

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void must(int ok, const char *what)
{
	if (ok)
		return;
	fprintf(stderr, "bench_fs: %s: %s\n", what, strerror(errno));
	exit(1);
}

static void bench_write(const char *path, long mib)
{
	unsigned char *blocks = malloc((size_t)BLOCK * 16);
	int fd;
	double start;

	must(blocks != NULL, "memory");
	fill(blocks,
	     (size_t)BLOCK *
		     16); /* repeats every 16 MiB with a counter in it: not compressible, never equal */
	start = now();
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
	must(fd >= 0, path);
	for (long i = 0; i < mib; i++) {
		unsigned char *b = blocks + (size_t)(i % 16) * BLOCK;

		for (size_t at = 0; at < BLOCK; at += 4096)
			memcpy(b + at, &i, sizeof(i));
		must(write(fd, b, BLOCK) == BLOCK, "write");
	}
	must(close(fd) == 0, "close");
	printf("%.6f\n", now() - start);
	free(blocks);
}

static void bench_read(const char *path)
{
	unsigned char *block = malloc(BLOCK);
	double start = now();
	int fd = open(path, O_RDONLY);
	ssize_t n;

	must(fd >= 0 && block, path);
	while ((n = read(fd, block, BLOCK)) > 0)
		;
	must(n == 0, "read");
	close(fd);
	printf("%.6f\n", now() - start);
	free(block);
}

static void bench_randread(const char *path, long count)
{
	unsigned char block[4096];
	int fd = open(path, O_RDONLY);
	struct stat st;
	double start;

	must(fd >= 0 && fstat(fd, &st) == 0, path);
	start = now();
	for (long i = 0; i < count; i++) {
		off_t at = (off_t)(next_random() % (uint64_t)(st.st_size / 4096)) * 4096;

		must(pread(fd, block, sizeof(block), at) == sizeof(block), "pread");
	}
	printf("%.6f\n", now() - start);
	close(fd);
}

static void file_name(char *out, size_t size, const char *dir, long i)
{
	snprintf(out, size, "%s/%03ld/%06ld", dir, i / 1000, i);
}

static void bench_create(const char *dir, long n, long bytes)
{
	unsigned char *data = malloc((size_t)bytes + 8);
	double start = now();
	char path[4096];

	must(data != NULL, "memory");
	fill(data, (size_t)bytes);
	for (long i = 0; i < n; i++) {
		int fd;

		if (i % 1000 == 0) {
			snprintf(path, sizeof(path), "%s/%03ld", dir, i / 1000);
			must(mkdir(path, 0755) == 0 || errno == EEXIST, path);
		}
		memcpy(data, &i, sizeof(i));
		file_name(path, sizeof(path), dir, i);
		fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
		must(fd >= 0, path);
		must(write(fd, data, (size_t)bytes) == bytes, "write");
		must(close(fd) == 0, "close");
	}
	printf("%.6f\n", now() - start);
	free(data);
}

static void bench_names(const char *dir, long n)
{
	double start = now();
	char path[4096];

	for (long i = 0; i < n; i++) {
		snprintf(path, sizeof(path), "%s/file-%08ld.txt", dir, i);
		must(mknod(path, S_IFREG | 0644, 0) == 0, path);
	}
	printf("%.6f\n", now() - start);
}

/* From within, as find and git do: how deep the folder lies is not what is measured. */
static void bench_stat(const char *dir, long n)
{
	char path[4096];
	struct stat st;
	double start;

	must(chdir(dir) == 0, dir);
	start = now();
	for (long i = 0; i < n; i++) {
		file_name(path, sizeof(path), ".", i);
		must(stat(path, &st) == 0, path);
	}
	printf("%.6f\n", now() - start);
}

int main(int argc, char **argv)
{
	if (argc == 4 && strcmp(argv[1], "write") == 0)
		bench_write(argv[2], atol(argv[3]));
	else if (argc == 3 && strcmp(argv[1], "read") == 0)
		bench_read(argv[2]);
	else if (argc == 4 && strcmp(argv[1], "randread") == 0)
		bench_randread(argv[2], atol(argv[3]));
	else if (argc == 5 && strcmp(argv[1], "create") == 0 && atol(argv[4]) >= 8)
		bench_create(argv[2], atol(argv[3]), atol(argv[4]));
	else if (argc == 4 && strcmp(argv[1], "stat") == 0)
		bench_stat(argv[2], atol(argv[3]));
	else if (argc == 4 && strcmp(argv[1], "names") == 0)
		bench_names(argv[2], atol(argv[3]));
	else {
		fprintf(stderr,
			"usage: bench_fs write FILE MIB | read FILE | randread FILE COUNT | "
			"create DIR N BYTES | stat DIR N | names DIR N\n");
		return 2;
	}
	return 0;
}
