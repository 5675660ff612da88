/*
 * SQLite's write-ahead log, looked through before SQLite recovers from it.
 *
 *	header | frame 1 | frame 2 | ...      frame: 24 bytes, then a page
 *
 * Each frame has a sum over all frames up to it, and its page the checksum of
 * pagesum.h. Recovery ends at the first frame whose sum does not fit, without a
 * word: a bit that turned over takes with it all transactions from there on. So
 * before recovery:
 *
 *	- one wrong bit in the header or in a frame is turned back: sum and checksum
 *	  together tell which one;
 *	- a frame that is wrong otherwise, with a transaction behind the one it
 *	  belongs to, is damage: the later one was begun after it was durable;
 *	- any other end is what a power cut leaves of the last transaction.
 *
 * What cannot be told: two or more wrong bits in one frame of the very last
 * transaction look like the power cut.
 *
 * Threads: any; nobody else may have the database open.
 */
#ifndef PFS_PAGE_PAGEWAL_H
#define PFS_PAGE_PAGEWAL_H

#include "page/pagesum.h"

#define PFS_PAGEWAL_HEADER_SIZE 32u
#define PFS_PAGEWAL_FRAME_HEAD  24u
#define PFS_PAGEWAL_FRAME_SIZE  (PFS_PAGEWAL_FRAME_HEAD + PFS_PAGE_SIZE)

struct pfs_pagewal_report {
	uint32_t frames;    /* that fit, one after the other, from the first */
	uint32_t committed; /* of these: up to the last that ends a transaction */
	uint32_t mended;    /* bits that were turned back */
	bool has_page_one;  /* among the committed ones */
};

/*
 * Look through the log `fd`, turning back single bits in the file when `mend`.
 * PFS_E_CORRUPT: transactions that were durable cannot be recovered; also, without
 * `mend`, a single wrong bit.
 */
int pfs_pagewal_check(int fd, bool mend, struct pfs_pagewal_report *out, struct pfs_error *err);

/* The running sum of a log; `big`: it adds big-endian words. */
struct pfs_pagewal_sum {
	uint32_t a, b;
};
struct pfs_pagewal_sum pfs_pagewal_add_frame(struct pfs_pagewal_sum before, bool big,
					     const unsigned char frame[PFS_PAGEWAL_FRAME_SIZE]);
/* Stored sums are big-endian always. */
struct pfs_pagewal_sum pfs_pagewal_load(const unsigned char stored[8]);
void pfs_pagewal_store(unsigned char stored[8], struct pfs_pagewal_sum sum);

/* The number of the page whose frame begins so. */
uint32_t pfs_pagewal_page(const unsigned char *frame);

#endif
