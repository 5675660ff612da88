#include "page/pagesum.h"
#include "base/crc32c.h"
#include "base/endian.h"

#define NUMBER_AT (PFS_PAGE_SIZE - PFS_PAGE_SUM_SIZE)
#define SUM_AT    (NUMBER_AT + 4)

void pfs_pagesum_stamp(unsigned char page[PFS_PAGE_SIZE], uint32_t number)
{
	pfs_put_le32(page + NUMBER_AT, number);
	pfs_put_le32(page + SUM_AT, pfs_crc32c(0, page, SUM_AT));
}

uint32_t pfs_pagesum_number(const unsigned char page[PFS_PAGE_SIZE])
{
	return pfs_get_le32(page + NUMBER_AT);
}

int pfs_pagesum_check(const unsigned char page[PFS_PAGE_SIZE], uint32_t number,
		      struct pfs_error *err)
{
	uint32_t stored = pfs_get_le32(page + SUM_AT), sum = pfs_crc32c(0, page, SUM_AT);

	if (stored != sum)
		return pfs_fail(err, PFS_E_CORRUPT,
				"page %u is damaged: its checksum is %08x, it should be %08x",
				number, sum, stored);
	if (pfs_get_le32(page + NUMBER_AT) != number)
		return pfs_fail(err, PFS_E_CORRUPT, "page %u is damaged: it is a copy of page %u",
				number, pfs_get_le32(page + NUMBER_AT));
	return 0;
}
