/*
 * Any write-ahead log: looked through without a crash; what was mended is whole
 * when it is looked through again, and single bits are always mended.
 *
 * The input is a recipe, since nobody guesses sums: flags, number of frames, for
 * each frame page, size and filling, then bytes to overwrite, four bytes each.
 */
#include "page/pagewal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define FRAMES_MAX 12u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void insist(bool ok, const char *what)
{
	if (ok)
		return;
	fprintf(stderr, "fuzz_pagewal: %s\n", what);
	abort();
}

static void put_be32(unsigned char *p, uint32_t v)
{
	for (int i = 0; i < 4; i++)
		p[i] = (unsigned char)(v >> (24 - 8 * i));
}

/* The header's sum is made as a frame's is, of whole pairs of words. */
static struct pfs_pagewal_sum sum_header(const unsigned char *header, bool big)
{
	struct pfs_pagewal_sum sum = { 0, 0 };

	for (int i = 0; i < 24; i += 8) {
		uint32_t w[2] = { 0, 0 };

		for (int k = 0; k < 8; k++)
			w[k / 4] |= (uint32_t)header[i + k] << 8 * (big ? 3 - k % 4 : k % 4);
		sum.a += w[0] + sum.b;
		sum.b += w[1] + sum.a;
	}
	return sum;
}

static struct pfs_pagewal_sum make_header(unsigned char *header, bool big)
{
	struct pfs_pagewal_sum sum;

	put_be32(header, 0x377f0682u + big);
	put_be32(header + 4, 3007000);
	put_be32(header + 8, PFS_PAGE_SIZE);
	put_be32(header + 12, 3);
	put_be32(header + 16, 0x12345678);
	put_be32(header + 20, 0x9abcdef0);
	sum = sum_header(header, big);
	pfs_pagewal_store(header + 24, sum);
	return sum;
}

static struct pfs_pagewal_sum make_frame(unsigned char *frame, struct pfs_pagewal_sum before,
					 bool big, const uint8_t *how)
{
	put_be32(frame, how[0] % 8u);
	put_be32(frame + 4, how[1] % 16u);
	put_be32(frame + 8, 0x12345678);
	put_be32(frame + 12, 0x9abcdef0);
	memset(frame + PFS_PAGEWAL_FRAME_HEAD, how[2], PFS_PAGE_SIZE);
	pfs_pagesum_stamp(frame + PFS_PAGEWAL_FRAME_HEAD, how[0] % 8u);
	before = pfs_pagewal_add_frame(before, big, frame);
	pfs_pagewal_store(frame + 16, before);
	return before;
}

/* `whole`: no more than one bit of it is wrong, so all must be found. */
static void look(int fd, bool whole, uint32_t frames)
{
	struct pfs_pagewal_report first = { 0 }, second = { 0 };
	struct pfs_error err = { 0 };
	int rc = pfs_pagewal_check(fd, true, &first, &err);

	insist(rc == 0 || (rc == PFS_E_CORRUPT && err.text[0]), "no reason");
	insist(!whole || (rc == 0 && first.frames == frames), "one bit was not turned back");
	if (rc < 0)
		return;
	insist(first.committed <= first.frames && first.frames <= frames, "too many frames");
	insist(pfs_pagewal_check(fd, false, &second, &err) == 0, "still not whole");
	insist(second.frames == first.frames && second.committed == first.committed, "another end");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static unsigned char log[PFS_PAGEWAL_HEADER_SIZE + FRAMES_MAX * PFS_PAGEWAL_FRAME_SIZE];
	struct pfs_pagewal_sum sum;
	unsigned wrong = 0;
	uint32_t frames;
	size_t len, at;
	bool big;
	int fd;

	if (size < 2)
		return 0;
	big = data[0] & 1;
	frames = data[1] % (FRAMES_MAX + 1);
	if (size < 2 + 3 * frames)
		return 0;
	len = PFS_PAGEWAL_HEADER_SIZE + frames * PFS_PAGEWAL_FRAME_SIZE;
	sum = make_header(log, big);
	for (uint32_t i = 0; i < frames; i++)
		sum = make_frame(log + PFS_PAGEWAL_HEADER_SIZE + i * PFS_PAGEWAL_FRAME_SIZE, sum,
				 big, data + 2 + 3 * i);
	for (at = 2 + 3 * frames; at + 4 <= size && frames; at += 4) {
		size_t where =
			(data[at] | (size_t)data[at + 1] << 8 | (size_t)data[at + 2] << 16) % len;

		wrong += (unsigned)__builtin_popcount(data[at + 3]);
		log[where] ^= data[at + 3];
	}
	fd = memfd_create("log", MFD_CLOEXEC);
	insist(fd >= 0 && write(fd, log, len) == (ssize_t)len, "a file in memory");
	look(fd, wrong <= 1, frames);
	close(fd);
	return 0;
}
