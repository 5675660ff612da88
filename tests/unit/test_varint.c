#include "base/varint.h"

#include <criterion/criterion.h>

Test(varint, round_trips_every_length_boundary)
{
	for (unsigned bit = 0; bit < 64; bit++) {
		uint64_t around[] = { (1ULL << bit) - 1, 1ULL << bit, (1ULL << bit) + 1 };

		for (size_t i = 0; i < 3; i++) {
			unsigned char p[PFS_VARINT_SIZE_MAX];
			uint64_t got = 0;
			size_t n = pfs_varint_encode(p, around[i]);

			cr_expect_eq(n, pfs_varint_size(around[i]));
			cr_expect_eq(pfs_varint_decode(p, n, &got), n);
			cr_expect_eq(got, around[i]);
			cr_expect_eq(pfs_varint_decode(p, n - 1, &got), 0, "cut short");
		}
	}
}

Test(varint, refuses_what_is_not_the_shortest_form)
{
	static const struct {
		unsigned char bytes[12];
		size_t len;
		const char *why;
	} bad[] = {
		{ { 0x80, 0x00 }, 2, "zero in two bytes" },
		{ { 0xff, 0x80, 0x00 }, 3, "padded" },
		{ { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02 },
		  10,
		  "past 64 bits" },
		{ { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x81, 0x01 },
		  11,
		  "eleven bytes" },
		{ { 0 }, 0, "nothing" },
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		uint64_t got = 77;

		cr_expect_eq(pfs_varint_decode(bad[i].bytes, bad[i].len, &got), 0, "%s",
			     bad[i].why);
		cr_expect_eq(got, 77, "%s: wrote to out", bad[i].why);
	}
}

Test(varint, zigzag_keeps_the_sign)
{
	int64_t v[] = { 0, -1, 1, INT64_MIN, INT64_MAX, -123456789 };

	for (size_t i = 0; i < sizeof(v) / sizeof(*v); i++)
		cr_expect_eq(pfs_unzigzag(pfs_zigzag(v[i])), v[i]);
}
