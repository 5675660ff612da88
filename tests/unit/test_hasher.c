#include "store/hasher.h"
#include "../scratch.h"

#include <criterion/criterion.h>

Test(hasher, derives_the_keys_that_hkdf_gives)
{
	/* HKDF-SHA256 without salt, made with Python's hmac from secret 00 01 .. 1f. */
	static const char *const gear =
		"d7a1de9bcb1384c0b3e71264f9c7221f6a7738be6475fe433f131caaef5f4615";
	static const char *const tree = "bbe1cee7bcab357dabd2817b7a0839fe";
	static const char *const id =
		"7bdf26e324a3251daf27a67c4b7ecbc8db171739d94d72bf93db7f16a61ff75e";
	unsigned char secret[PFS_KEY_SECRET_SIZE];
	struct pfs_store_keys keys;
	char text[65];

	for (unsigned i = 0; i < sizeof(secret); i++)
		secret[i] = (unsigned char)i;
	cr_assert_eq(pfs_hasher_derive(secret, &keys, NULL), 0);
	pfs_hex_format(keys.gear_key, 32, text);
	cr_expect_str_eq(text, gear);
	pfs_hex_format(keys.tree_key, 16, text);
	cr_expect_str_eq(text, tree);
	pfs_hex_format(keys.id_key, 32, text);
	cr_expect_str_eq(text, id);
}

/* The slow way: domain block and bytes in one buffer. */
static void hash_plainly(const char *tag, const unsigned char key[32], const void *data, size_t len,
			 struct pfs_id *out)
{
	unsigned char domain[64] = { 0 };

	memcpy(domain, tag, strlen(tag));
	memcpy(domain + 32, key, 32);
	cr_assert_eq(pfs_hasher_digest(domain, 64, data, len, out->bytes, NULL), 0);
}

Test(hasher, hashes_the_domain_block_and_the_bytes)
{
	static const struct {
		enum pfs_kind kind;
		const char *tag;
	} kinds[] = { { PFS_KIND_CHUNK, "pfs1 chunk" },
		      { PFS_KIND_SEQNODE, "pfs1 seq" },
		      { PFS_KIND_DIRNODE, "pfs1 dir" },
		      { PFS_KIND_COMMIT, "pfs1 commit" },
		      { PFS_KIND_XATTRS, "pfs1 xattrs" } };
	unsigned char key[32], data[1000];
	struct pfs_hasher *h = NULL;

	scratch_fill(key, sizeof(key), 5);
	scratch_fill(data, sizeof(data), 6);
	cr_assert_eq(pfs_hasher_new(key, &h, NULL), 0);
	for (size_t k = 0; k < sizeof(kinds) / sizeof(*kinds); k++)
		for (size_t len = 0; len < sizeof(data); len += 37) {
			struct pfs_id got, want;

			cr_assert_eq(pfs_hasher_id(h, kinds[k].kind, data, len, &got, NULL), 0);
			hash_plainly(kinds[k].tag, key, data, len, &want);
			cr_assert(pfs_id_equal(&got, &want), "%s, %zu bytes", kinds[k].tag, len);
		}
	pfs_hasher_free(&h);
}

Test(hasher, hashes_a_batch_as_one_by_one)
{
	unsigned char key[32] = { 1 }, data[300];
	struct pfs_store_item items[300];
	struct pfs_hasher *h = NULL;
	struct pfs_id ids[300];

	scratch_fill(data, sizeof(data), 9);
	cr_assert_eq(pfs_hasher_new(key, &h, NULL), 0);
	for (size_t i = 0; i < 300; i++)
		items[i] = (struct pfs_store_item){ .data = data, .len = i };
	cr_assert_eq(pfs_hasher_batch(h, PFS_KIND_CHUNK, items, 300, ids, NULL), 0);
	for (size_t i = 0; i < 300; i++) {
		struct pfs_id one;

		cr_assert_eq(pfs_hasher_id(h, PFS_KIND_CHUNK, data, i, &one, NULL), 0);
		cr_expect(pfs_id_equal(&one, &ids[i]), "length %zu", i);
	}
	cr_expect_eq(pfs_hasher_id(h, (enum pfs_kind)5, data, 1, ids, NULL), PFS_E_INVALID);
	pfs_hasher_free(&h);
}
