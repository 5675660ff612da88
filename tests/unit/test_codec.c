#include "store/codec.h"
#include "../scratch.h"

#include <criterion/criterion.h>

#define SIZE 65536

Test(codec, compresses_text_and_leaves_noise_alone)
{
	static unsigned char data[SIZE], out[SIZE], back[SIZE];
	enum pfs_codec codec;
	size_t len;

	for (size_t i = 0; i < SIZE; i++)
		data[i] = (unsigned char)"a line of text, again and again\n"[i % 32];
	cr_assert_eq(pfs_codec_encode(data, SIZE, out, &len, &codec, NULL), 0);
	cr_expect_eq(codec, PFS_CODEC_ZSTD);
	cr_expect_lt(len, SIZE / 10);
	cr_assert_eq(pfs_codec_decode(codec, out, len, back, SIZE, NULL), 0);
	cr_expect_arr_eq(back, data, SIZE);
	scratch_fill(data, SIZE, 1);
	cr_assert_eq(pfs_codec_encode(data, SIZE, out, &len, &codec, NULL), 0);
	cr_expect_eq(codec, PFS_CODEC_RAW);
	cr_expect_eq(len, SIZE);
}

Test(codec, keeps_raw_what_gains_less_than_a_sixteenth)
{
	static unsigned char data[SIZE], out[SIZE];
	enum pfs_codec codec;
	size_t len;

	/* Every length near the border: zstd never has to be believed beyond it. */
	for (size_t zeros = 0; zeros < 600; zeros += 20) {
		scratch_fill(data, 4000, zeros + 1);
		memset(data, 0, zeros);
		cr_assert_eq(pfs_codec_encode(data, 4000, out, &len, &codec, NULL), 0);
		if (codec == PFS_CODEC_ZSTD)
			cr_expect_lt(len, 4000 - 4000 / 16);
		else
			cr_expect_eq(len, 4000);
		cr_expect(zeros > 200 || codec == PFS_CODEC_RAW, "%zu zeros", zeros);
		cr_expect(zeros < 350 || codec == PFS_CODEC_ZSTD, "%zu zeros", zeros);
	}
	memset(data, 'a', 64);
	cr_assert_eq(pfs_codec_encode(data, 64, out, &len, &codec, NULL), 0);
	cr_expect_eq(codec, PFS_CODEC_RAW, "64 bytes are not worth a frame");
	cr_assert_eq(pfs_codec_encode(NULL, 0, out, &len, &codec, NULL), 0);
	cr_expect_eq(codec, PFS_CODEC_RAW, "nothing");
}

Test(codec, takes_text_numbers_and_base64_for_compressible_and_noise_for_noise)
{
	static unsigned char data[SIZE];

	for (unsigned seed = 0; seed < 50; seed++) {
		size_t len = 4096 + seed * 1001;

		scratch_fill(data, len, seed + 1);
		cr_expect(pfs_codec_looks_random(data, len), "seed %u", seed);
		for (size_t i = 0; i < len; i++)
			data[i] = (unsigned char)('0' + data[i] % 64);
		cr_expect_not(pfs_codec_looks_random(data, len), "seed %u, 64 letters", seed);
	}
	cr_expect_not(pfs_codec_looks_random(data, 4095), "too few to tell");
}

Test(codec, refuses_a_payload_that_is_not_what_the_header_says)
{
	static unsigned char data[SIZE], out[SIZE], back[SIZE];
	enum pfs_codec codec;
	size_t len;

	cr_assert_eq(pfs_codec_encode(data, SIZE, out, &len, &codec, NULL), 0);
	cr_assert_eq(codec, PFS_CODEC_ZSTD);
	cr_expect_eq(pfs_codec_decode(codec, out, len, back, SIZE - 1, NULL), PFS_E_CORRUPT,
		     "longer");
	cr_expect_eq(pfs_codec_decode(codec, out, len - 1, back, SIZE, NULL), PFS_E_CORRUPT, "cut");
	cr_expect_eq(pfs_codec_decode(codec, data, 100, back, 100, NULL), PFS_E_CORRUPT,
		     "no frame");
	cr_expect_eq(pfs_codec_decode(PFS_CODEC_RAW, data, 9, back, 10, NULL), PFS_E_CORRUPT,
		     "raw");
	cr_expect_eq(pfs_codec_decode((enum pfs_codec)3, data, 9, back, 10, NULL), PFS_E_CORRUPT,
		     "codec");
}
