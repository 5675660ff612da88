/*
 * Somebody who writes a file where pfsd does not see it:
 *
 *	stranger mapped FILE SIZE    through a mapping, with the file closed
 *	stranger open FILE SIZE      through a descriptor, whatever becomes of pfsd
 *
 * Makes the file of bytes that do not compress, says "ready", waits for a line,
 * changes a byte in each 4096, and says "written".
 */
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGE 4096u

static int must(int rc, const char *what)
{
	if (rc >= 0)
		return rc;
	perror(what);
	exit(1);
}

static void change_mapped(unsigned char *map, size_t size)
{
	for (size_t i = 0; i < size; i += PAGE)
		map[i] = (unsigned char)~map[i];
	must(msync(map, size, MS_SYNC), "msync");
}

static void change_open(int fd, size_t size)
{
	unsigned char byte;

	for (size_t i = 0; i < size; i += PAGE) {
		must((int)pread(fd, &byte, 1, (off_t)i), "pread");
		byte = (unsigned char)~byte;
		must((int)pwrite(fd, &byte, 1, (off_t)i), "pwrite");
	}
}

int main(int argc, char **argv)
{
	bool mapped = argc == 4 && strcmp(argv[1], "mapped") == 0;
	size_t size = argc == 4 ? strtoul(argv[3], NULL, 10) : 0;
	unsigned char *map;
	uint64_t x = 88172645463325252u;
	int fd;

	if (!size)
		return 2;
	fd = must(open(argv[2], O_RDWR | O_CREAT | O_CLOEXEC, 0644), argv[2]);
	must(ftruncate(fd, (off_t)size), "ftruncate");
	map = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	must(map == MAP_FAILED ? -1 : 0, "mmap");
	for (size_t i = 0; i < size; i++) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		map[i] = (unsigned char)(x >> 32);
	}
	must(msync(map, size, MS_SYNC), "msync");
	must(fsync(fd), "fsync");
	must(mapped ? close(fd) : munmap(map, size), "close");
	puts("ready");
	fflush(stdout);
	getchar();
	if (mapped)
		change_mapped(map, size);
	else
		change_open(fd, size);
	puts("written");
	return 0;
}
