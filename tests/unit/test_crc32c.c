#include "base/crc32c.h"

#include <criterion/criterion.h>
#include <string.h>

Test(crc32c, gives_the_published_numbers)
{
	unsigned char zeros[32] = { 0 }, ones[32], up[32];

	memset(ones, 0xff, sizeof(ones));
	for (unsigned i = 0; i < sizeof(up); i++)
		up[i] = (unsigned char)i;
	/* RFC 3720, B.4. */
	cr_expect_eq(pfs_crc32c(0, zeros, sizeof(zeros)), 0x8a9136aau);
	cr_expect_eq(pfs_crc32c(0, ones, sizeof(ones)), 0x62a8ab43u);
	cr_expect_eq(pfs_crc32c(0, up, sizeof(up)), 0x46dd794eu);
	cr_expect_eq(pfs_crc32c(0, "123456789", 9), 0xe3069283u);
	cr_expect_eq(pfs_crc32c(0, "", 0), 0u);
}

Test(crc32c, is_the_same_by_table_and_by_hardware_at_every_length_and_alignment)
{
	unsigned char data[400];

	for (unsigned i = 0; i < sizeof(data); i++)
		data[i] = (unsigned char)(i * i * 31 + i);
	if (!pfs_crc32c_has_hardware())
		cr_skip_test("no such instruction here");
	for (size_t from = 0; from < 9; from++)
		for (size_t len = 0; len < 300; len++)
			cr_assert_eq(pfs_crc32c_table(7, data + from, len),
				     pfs_crc32c_hardware(7, data + from, len), "%zu bytes from %zu",
				     len, from);
}

Test(crc32c, is_the_same_where_three_stretches_are_worked_on_at_once)
{
	static const size_t lengths[] = { 4096,  12287, 12288, 12289, 12295, 12296, 16384,
					  24575, 24576, 24583, 36864, 65536, 100001 };
	static unsigned char data[100100];

	for (unsigned i = 0; i < sizeof(data); i++)
		data[i] = (unsigned char)(i * i * 31 + i + (i >> 9));
	if (!pfs_crc32c_has_hardware())
		cr_skip_test("no such instruction here");
	for (size_t i = 0; i < sizeof(lengths) / sizeof(*lengths); i++)
		for (size_t from = 0; from < 9; from++)
			cr_expect_eq(pfs_crc32c_table(99, data + from, lengths[i]),
				     pfs_crc32c_hardware(99, data + from, lengths[i]),
				     "%zu bytes from %zu", lengths[i], from);
}

Test(crc32c, goes_on_where_it_stopped)
{
	const char *text = "the same number however it is cut";
	size_t len = strlen(text);
	uint32_t whole = pfs_crc32c_table(0, text, len);

	for (size_t cut = 0; cut <= len; cut++) {
		cr_expect_eq(pfs_crc32c(pfs_crc32c(0, text, cut), text + cut, len - cut), whole);
		cr_expect_eq(
			pfs_crc32c_table(pfs_crc32c_table(0, text, cut), text + cut, len - cut),
			whole);
	}
}
