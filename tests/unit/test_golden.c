#include "store/codec.h"
#include "store/hasher.h"
#include "store/pack.h"
#include "base/crc32c.h"
#include "base/endian.h"
#include "../scratch.h"

#include <criterion/criterion.h>

/* Frozen: what version 1 looks like. A change that breaks this breaks every store there is. */
#define PACK "packs/m/a0/a0a1a2a3a4a5a6a7a8a9aaabacadaeaf.pk"

static const struct {
	enum pfs_kind kind;
	size_t len;
	const char *id;
} objects[] = {
	{ PFS_KIND_CHUNK, 11, "b749166b3269bf02c37502c1780c78df7f095953c52bdf642c3c9d989092f07f" },
	{ PFS_KIND_XATTRS, 0, "cb8c60727669dba0c2217202ce40e8629cb2915c5f6301177866d50f66ac307c" },
	{ PFS_KIND_CHUNK, 1000,
	  "e7ffecc0baa69920949f758b7aa95753f9f1153370337f6ca1afe716239a7923" },
};

static const unsigned char *bytes_of(size_t i)
{
	static unsigned char a[1000];

	memset(a, 'a', sizeof(a));
	return i == 0 ? (const unsigned char *)"hello, pfs\n" : a;
}

static void load(const char *name, struct pfs_buf *out)
{
	char path[600];
	struct pfs_error err = { 0 };

	snprintf(path, sizeof(path), "%s/pack-v1/%s", PFS_GOLDEN, name);
	cr_assert_eq(pfs_io_load(AT_FDCWD, path, out, &err), 0, "%s", err.text);
}

static struct pfs_superblock golden_superblock(void)
{
	struct pfs_superblock s = { .created_ns = 1700000000000000000u,
				    .chunker = pfs_chunker_params_v1 };

	for (unsigned i = 0; i < sizeof(s.uuid); i++)
		s.uuid[i] = (unsigned char)(i * 0x11);
	for (unsigned i = 0; i < sizeof(s.secret); i++)
		s.secret[i] = (unsigned char)i;
	return s;
}

Test(golden, superblock_is_written_as_ever)
{
	PFS_AUTO(pfs_buf_fini) struct pfs_buf file = PFS_BUF_INIT(10000);
	struct pfs_superblock s = golden_superblock();
	unsigned char raw[PFS_SUPERBLOCK_SIZE];

	pfs_superblock_encode(&s, raw);
	load("STORE", &file);
	cr_assert_eq(file.len, 2 * sizeof(raw));
	cr_expect_arr_eq(file.data, raw, sizeof(raw));
	cr_expect_arr_eq(file.data + sizeof(raw), raw, sizeof(raw));
}

/* One record as we write it today; a compressed payload is taken over, zstd may do better one day. */
static size_t write_record(size_t i, const unsigned char *golden, unsigned char *out,
			   const struct pfs_hasher *hasher)
{
	bool packed = golden[5] == PFS_CODEC_ZSTD;
	struct pfs_packrec r = {
		.type = (uint8_t)objects[i].kind,
		.codec = golden[5],
		.ulen = (uint32_t)objects[i].len,
		.clen = packed ? pfs_get_le32(golden + 12) : (uint32_t)objects[i].len,
	};
	const unsigned char *payload = packed ? golden + PFS_PACKREC_SIZE : bytes_of(i);
	char text[PFS_ID_HEX_SIZE];

	cr_assert_eq(
		pfs_hasher_id(hasher, objects[i].kind, bytes_of(i), objects[i].len, &r.id, NULL),
		0);
	cr_expect_str_eq(pfs_id_format(&r.id, text), objects[i].id);
	r.payload_crc = pfs_crc32c(0, payload, r.clen);
	memset(out, 0, (size_t)pfs_packrec_extent(r.clen));
	pfs_packrec_encode(&r, out);
	memcpy(out + PFS_PACKREC_SIZE, payload, r.clen);
	return (size_t)pfs_packrec_extent(r.clen);
}

static size_t write_pack(const unsigned char *golden, unsigned char *out)
{
	struct pfs_superblock s = golden_superblock();
	struct pfs_packhdr h = { .version = 1,
				 .kind = PFS_PACK_META,
				 .created_ns = 1700000001000000000u,
				 .seq = 1 };
	PFS_AUTO(pfs_packfooter_fini) struct pfs_packfooter f;
	unsigned char *footer;
	struct pfs_hasher *hasher = NULL;
	struct pfs_store_keys keys;
	size_t len = PFS_PACKHDR_SIZE, footer_len;

	for (unsigned i = 0; i < sizeof(h.pack_uuid); i++)
		h.pack_uuid[i] = (unsigned char)(0xa0 + i);
	memcpy(h.store_uuid, s.uuid, sizeof(h.store_uuid));
	pfs_packhdr_encode(&h, out);
	cr_assert_eq(pfs_hasher_derive(s.secret, &keys, NULL), 0);
	cr_assert_eq(pfs_hasher_new(keys.id_key, &hasher, NULL), 0);
	pfs_packfooter_init(&f, PFS_PACK_META);
	for (size_t i = 0; i < 3; i++) {
		struct pfs_packrec r;
		size_t n = write_record(i, golden + len, out + len, hasher);

		cr_assert_eq(pfs_packrec_check(out + len, n, &r, NULL), 0);
		cr_assert_eq(pfs_packfooter_add(&f, &r, len, out + len + PFS_PACKREC_SIZE, NULL),
			     0);
		len += n;
	}
	pfs_hasher_free(&hasher);
	cr_assert_eq(pfs_pack_make_footer(out, &f, len, &footer, &footer_len, NULL), 0);
	memcpy(out + len, footer, footer_len);
	free(footer);
	return len + footer_len;
}

Test(golden, pack_is_written_as_ever)
{
	PFS_AUTO(pfs_buf_fini) struct pfs_buf file = PFS_BUF_INIT(10000);
	unsigned char out[1000];

	load(PACK, &file);
	cr_assert_eq(file.len, 480);
	cr_assert_eq(write_pack(file.data, out), file.len);
	cr_expect_arr_eq(out, file.data, file.len);
}

static void publish(const struct scratch *dir, const char *name)
{
	PFS_AUTO(pfs_buf_fini) struct pfs_buf file = PFS_BUF_INIT(10000);
	char path[600];
	int fd;

	load(name, &file);
	snprintf(path, sizeof(path), "%s/%s", dir->path, name);
	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	cr_assert(fd >= 0, "%s", path);
	cr_assert_eq(pfs_io_write(fd, file.data, file.len, NULL), 0);
	pfs_fd_close(&fd);
}

Test(golden, store_is_read_as_ever)
{
	struct scratch dir = scratch_new();
	struct pfs_store *st = NULL;
	struct pfs_error err = { 0 };
	char folder[600];

	snprintf(folder, sizeof(folder), "%s/packs/m/a0", dir.path);
	cr_assert_eq(pfs_io_mkdir_all(AT_FDCWD, folder, NULL), 0);
	publish(&dir, "STORE");
	publish(&dir, PACK);
	cr_assert_eq(pfs_store_open(dir.path, &st, &err), 0, "%s", err.text);
	for (size_t i = 0; i < 3; i++) {
		PFS_AUTO(pfs_object_unref) const struct pfs_object *o = NULL;
		struct pfs_id id;

		cr_assert_eq(pfs_id_parse(objects[i].id, &id, NULL), 0);
		cr_assert_eq(pfs_store_get(st, objects[i].kind, &id, &o, &err), 0, "%s", err.text);
		cr_assert_eq(o->len, objects[i].len);
		cr_expect(o->len == 0 || memcmp(o->data, bytes_of(i), o->len) == 0);
	}
	cr_expect_eq(pfs_store_check(st, NULL, NULL, NULL), 0);
	pfs_store_close(&st);
	scratch_fini(&dir);
}
