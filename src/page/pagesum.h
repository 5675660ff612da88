/*
 * The checksum at the end of a page.
 *
 *	offset 0      what SQLite keeps in the page
 *	offset 4088   u32 number of the page, from 1
 *	offset 4092   u32 CRC32C of all before it
 *
 * The number is in it, so that a page that was written to another's place does
 * not pass. An older state of the same page does.
 *
 * Threads: any.
 */
#ifndef PFS_PAGE_PAGESUM_H
#define PFS_PAGE_PAGESUM_H

#include "page/room.h"
#include "base/error.h"

#define PFS_PAGE_SIZE     4096u
#define PFS_PAGE_SUM_SIZE 8u /* what SQLite leaves free for it: byte 20 of the file */

void pfs_pagesum_stamp(unsigned char page[PFS_PAGE_SIZE], uint32_t number);

/* The number that stands in it. */
uint32_t pfs_pagesum_number(const unsigned char page[PFS_PAGE_SIZE]);

/* PFS_E_CORRUPT with what is wrong: "page 7: ...". */
int pfs_pagesum_check(const unsigned char page[PFS_PAGE_SIZE], uint32_t number,
		      struct pfs_error *err);

#endif
