#include "page/pagewal.h"
#include "base/io.h"

#include <endian.h>
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#define MAGIC       0x377f0682u /* and 1 when sums are made of big-endian words */
#define VERSION     3007000u
#define SUMMED_HEAD 8u /* bytes of a frame's head that its sum covers */
#define SALTS_AT    8u
#define SALTS_SIZE  8u
#define SUM_AT      16u

/* What the log is read with. */
struct walk {
	int fd;
	bool mend;
	bool big;
	uint32_t n; /* frames that the file has room for */
	unsigned char salts[SALTS_SIZE];
	struct pfs_pagewal_sum sum; /* of the last frame that fits */
	struct pfs_pagewal_report report;
};

static uint32_t get_be32(const unsigned char *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof(v));
	return be32toh(v);
}

static struct pfs_pagewal_sum add(struct pfs_pagewal_sum sum, bool big, const unsigned char *p,
				  size_t len)
{
	uint32_t words[2];

	for (const unsigned char *end = p + len / 8 * 8; p < end; p += 8) {
		memcpy(words, p, sizeof(words));
		sum.a += (big ? be32toh(words[0]) : le32toh(words[0])) + sum.b;
		sum.b += (big ? be32toh(words[1]) : le32toh(words[1])) + sum.a;
	}
	return sum;
}

struct pfs_pagewal_sum pfs_pagewal_add_frame(struct pfs_pagewal_sum before, bool big,
					     const unsigned char frame[PFS_PAGEWAL_FRAME_SIZE])
{
	before = add(before, big, frame, SUMMED_HEAD);
	return add(before, big, frame + PFS_PAGEWAL_FRAME_HEAD, PFS_PAGE_SIZE);
}

struct pfs_pagewal_sum pfs_pagewal_load(const unsigned char stored[8])
{
	return (struct pfs_pagewal_sum){ get_be32(stored), get_be32(stored + 4) };
}

void pfs_pagewal_store(unsigned char stored[8], struct pfs_pagewal_sum sum)
{
	sum.a = htobe32(sum.a);
	sum.b = htobe32(sum.b);
	memcpy(stored, &sum.a, sizeof(sum.a));
	memcpy(stored + 4, &sum.b, sizeof(sum.b));
}

uint32_t pfs_pagewal_page(const unsigned char *frame)
{
	return get_be32(frame);
}

static bool same(struct pfs_pagewal_sum x, struct pfs_pagewal_sum y)
{
	return x.a == y.a && x.b == y.b;
}

static struct pfs_pagewal_sum sum_of_frame(const struct walk *w, struct pfs_pagewal_sum before,
					   const unsigned char *frame)
{
	return pfs_pagewal_add_frame(before, w->big, frame);
}

static uint64_t frame_at(uint32_t number)
{
	return PFS_PAGEWAL_HEADER_SIZE + (uint64_t)(number - 1) * PFS_PAGEWAL_FRAME_SIZE;
}

static int read_frame(const struct walk *w, uint32_t number, unsigned char *frame,
		      struct pfs_error *err)
{
	size_t got;
	int rc = pfs_io_pread(w->fd, frame, PFS_PAGEWAL_FRAME_SIZE, frame_at(number), &got, err);

	if (rc == 0 && got != PFS_PAGEWAL_FRAME_SIZE)
		rc = pfs_fail(err, PFS_E_IO, "the log became shorter while it was read");
	return rc;
}

/* Whether the page in the frame has the checksum that it was given, and is the one that the head
 * says. */
static bool has_its_page(const unsigned char *frame)
{
	return pfs_pagesum_check(frame + PFS_PAGEWAL_FRAME_HEAD, get_be32(frame), NULL) == 0;
}

/*
 * Bits of a frame any one of which, turned back, makes its sum fit: there are
 * several, since the sum is weak in the upper bits of words; the page's checksum
 * has the last word.
 */
struct suspects {
	unsigned n;
	size_t at[2]; /* the first one, and the first one with which the checksum fits */
	bool proved;
};

static void flip(unsigned char *frame, size_t bit)
{
	frame[bit / 8] ^= (unsigned char)(1u << bit % 8);
}

static void suspect(struct suspects *s, unsigned char *frame, size_t bit)
{
	if (s->n++ == 0)
		s->at[0] = bit;
	if (s->proved)
		return;
	flip(frame, bit);
	s->proved = has_its_page(frame);
	s->at[1] = bit;
	flip(frame, bit);
}

/* Which bit of the frame is bit `bit` of its word at `byte`. */
static size_t bit_of_word(const struct walk *w, size_t byte, unsigned bit)
{
	return (byte + (w->big ? 3 - bit / 8 : bit / 8)) * 8 + bit % 8;
}

static void suspect_word(const struct walk *w, struct suspects *s, unsigned char *frame,
			 size_t byte, struct pfs_pagewal_sum weight, struct pfs_pagewal_sum missing)
{
	uint32_t word;

	memcpy(&word, frame + byte, sizeof(word));
	word = w->big ? be32toh(word) : le32toh(word);
	for (unsigned bit = 0; bit < 32; bit++) {
		uint32_t d = word >> bit & 1 ? -(1u << bit) : 1u << bit;

		if (weight.a * d == missing.a && weight.b * d == missing.b)
			suspect(s, frame, bit_of_word(w, byte, bit));
	}
}

static void suspect_stored(struct suspects *s, unsigned char *frame, struct pfs_pagewal_sum got,
			   struct pfs_pagewal_sum want)
{
	uint64_t wrong = (uint64_t)(got.a ^ want.a) << 32 | (got.b ^ want.b);
	unsigned bit;

	if (!wrong || wrong & (wrong - 1))
		return;
	bit = 63 - (unsigned)__builtin_ctzll(wrong); /* from the first byte's upper end */
	suspect(s, frame, (SUM_AT + bit / 8) * 8 + 7 - bit % 8);
}

/*
 * A word that is greater by d makes the sum greater by d times two numbers, its
 * weight, that depend on how many words follow it. So every bit of every word is
 * tried with two multiplications.
 */
static bool turn_back(const struct walk *w, unsigned char *frame, struct pfs_pagewal_sum got)
{
	struct pfs_pagewal_sum first = { 1, 1 }, second = { 0, 1 }, want, missing;
	struct suspects s = { 0 };

	want = pfs_pagewal_load(frame + SUM_AT);
	missing = (struct pfs_pagewal_sum){ want.a - got.a, want.b - got.b };
	suspect_stored(&s, frame, got, want);
	for (size_t pair = PFS_PAGEWAL_FRAME_SIZE; pair > 0;) {
		pair -= pair == PFS_PAGEWAL_FRAME_HEAD ? PFS_PAGEWAL_FRAME_HEAD : 8;
		suspect_word(w, &s, frame, pair, first, missing);
		suspect_word(w, &s, frame, pair + 4, second, missing);
		first.a += first.b;
		first.b += first.a;
		second.a += second.b;
		second.b += second.a;
	}
	/* Pages of older databases have no checksum: then it must be the only one. */
	if (!s.proved && s.n != 1)
		return false;
	flip(frame, s.at[s.proved]);
	return true;
}

static int write_back(struct walk *w, const void *data, size_t len, uint64_t at, uint32_t number,
		      struct pfs_error *err)
{
	int rc;

	if (!w->mend)
		return pfs_fail(err, PFS_E_CORRUPT, "frame %u of the log has a wrong bit", number);
	rc = pfs_io_pwrite(w->fd, data, len, at, err);
	if (rc == 0)
		rc = pfs_io_fdatasync(w->fd, "the log", err);
	if (rc == 0)
		w->report.mended++;
	return rc;
}

/* 1: the frame fits now, or did; 0: it does not. */
static int mend_frame(struct walk *w, uint32_t number, unsigned char *frame, struct pfs_error *err)
{
	struct pfs_pagewal_sum want = pfs_pagewal_load(frame + SUM_AT);
	struct pfs_pagewal_sum got = sum_of_frame(w, w->sum, frame);
	bool salted = memcmp(frame + SALTS_AT, w->salts, SALTS_SIZE) == 0;
	int rc;

	if (same(got, want) && salted)
		return 1;
	if (same(got, want)) /* the sum is of exactly these bytes, so they belong here */
		memcpy(frame + SALTS_AT, w->salts, SALTS_SIZE);
	else if (!salted || !turn_back(w, frame, got))
		return 0;
	rc = write_back(w, frame, PFS_PAGEWAL_FRAME_SIZE, frame_at(number), number, err);
	return rc < 0 ? rc : 1;
}

/*
 * Frame `bad` does not fit. A transaction is durable before the next one is begun,
 * so a frame behind the end of the one that `bad` belongs to proves that all of it
 * was there once. Each frame is held against the sum its predecessor has stored.
 */
static int look_behind(struct walk *w, uint32_t bad, unsigned char *frame, struct pfs_error *err)
{
	struct pfs_pagewal_sum before = pfs_pagewal_load(frame + SUM_AT);
	bool ended = false;

	for (uint32_t i = bad + 1; i <= w->n; i++) {
		struct pfs_pagewal_sum stored;
		int rc = read_frame(w, i, frame, err);

		if (rc < 0)
			return rc;
		stored = pfs_pagewal_load(frame + SUM_AT);
		if (memcmp(frame + SALTS_AT, w->salts, SALTS_SIZE) == 0 &&
		    same(sum_of_frame(w, before, frame), stored)) {
			if (ended)
				return pfs_fail(err, PFS_E_CORRUPT,
						"frame %u of the log is damaged, and durable "
						"transactions follow it",
						bad);
			ended = get_be32(frame + 4) != 0;
		}
		before = stored;
	}
	return 0;
}

static int check_frames(struct walk *w, struct pfs_error *err)
{
	unsigned char frame[PFS_PAGEWAL_FRAME_SIZE];
	bool page_one = false;

	for (uint32_t i = 1; i <= w->n; i++) {
		int rc = read_frame(w, i, frame, err);

		if (rc == 0)
			rc = mend_frame(w, i, frame, err);
		if (rc < 0)
			return rc;
		if (rc == 0)
			return look_behind(w, i, frame, err);
		w->sum = pfs_pagewal_load(frame + SUM_AT);
		w->report.frames = i;
		page_one = page_one || get_be32(frame) == 1;
		if (get_be32(frame + 4)) {
			w->report.committed = i;
			w->report.has_page_one = page_one;
		}
	}
	return 0;
}

static bool is_header(struct walk *w, const unsigned char *header)
{
	w->big = get_be32(header) & 1;
	w->sum = pfs_pagewal_load(header + PFS_PAGEWAL_HEADER_SIZE - 8);
	memcpy(w->salts, header + 16, SALTS_SIZE);
	return (get_be32(header) & ~1u) == MAGIC && get_be32(header + 4) == VERSION &&
	       same(add((struct pfs_pagewal_sum){ 0, 0 }, w->big, header,
			PFS_PAGEWAL_HEADER_SIZE - 8),
		    w->sum);
}

static bool leads_to(const struct walk *w, const unsigned char *frame)
{
	return memcmp(frame + SALTS_AT, w->salts, SALTS_SIZE) == 0 &&
	       same(sum_of_frame(w, w->sum, frame), pfs_pagewal_load(frame + SUM_AT));
}

/* Several bits may make a header of it; the one is right with which the first frame fits. */
static bool mend_header(struct walk *w, unsigned char *header, const unsigned char *frame)
{
	size_t bits = PFS_PAGEWAL_HEADER_SIZE * 8, any = bits;

	for (size_t bit = 0; bit < bits; bit++) {
		flip(header, bit);
		if (is_header(w, header)) {
			any = bit;
			if (leads_to(w, frame))
				return true;
		}
		flip(header, bit);
	}
	if (any == bits)
		return false;
	flip(header, any);
	return is_header(w, header);
}

/* It is durable before the first frame is written and lies in one sector, so a power cut leaves no
 * half of it in front of frames. */
static int check_header(struct walk *w, struct pfs_error *err)
{
	unsigned char header[PFS_PAGEWAL_HEADER_SIZE], frame[PFS_PAGEWAL_FRAME_SIZE];
	size_t got;
	int rc = pfs_io_pread(w->fd, header, sizeof(header), 0, &got, err);

	if (rc == 0)
		rc = read_frame(w, 1, frame, err);
	if (rc == 0 && !is_header(w, header)) {
		if (!mend_header(w, header, frame))
			return pfs_fail(err, PFS_E_CORRUPT, "the header of the log is damaged");
		rc = write_back(w, header, sizeof(header), 0, 0, err);
	}
	if (get_be32(header + 8) != PFS_PAGE_SIZE)
		w->n = 0;
	return rc;
}

int pfs_pagewal_check(int fd, bool mend, struct pfs_pagewal_report *out, struct pfs_error *err)
{
	struct walk w = { .fd = fd, .mend = mend };
	struct stat st;
	uint64_t size;
	int rc = 0;

	if (fstat(fd, &st) < 0)
		return pfs_fail_errno(err, errno, "stat the log");
	size = (uint64_t)st.st_size;
	if (size >= PFS_PAGEWAL_HEADER_SIZE)
		size = (size - PFS_PAGEWAL_HEADER_SIZE) / PFS_PAGEWAL_FRAME_SIZE;
	else
		size = 0;
	w.n = size > UINT32_MAX - 1 ? UINT32_MAX - 1 : (uint32_t)size;
	if (w.n > 0)
		rc = check_header(&w, err);
	if (rc == 0)
		rc = check_frames(&w, err);
	if (rc == 0)
		*out = w.report;
	return rc;
}
