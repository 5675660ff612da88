#include "store/bundler.h"
#include "store/codec.h"
#include "store/hasher.h"
#include "store/index.h"
#include "store/indexbatch.h"
#include "store/pack.h"
#include "base/crc32c.h"
#include "base/endian.h"
#include "../scratch.h"

#include <criterion/criterion.h>

/* Frozen: what versions 1 and 2 look like. A change that breaks this breaks every store there is. */
#define PACK     "packs/m/a0/a0a1a2a3a4a5a6a7a8a9aaabacadaeaf.pk"
#define PACK_V2  "packs/d/b0/b0b1b2b3b4b5b6b7b8b9babbbcbdbebf.pk"
#define FILE_V2  "packs/a/c0/c0c1c2c3c4c5c6c7c8c9cacbcccdcecf.pk"
#define TABLE_V2 "packs/a/c0/c0c1c2c3c4c5c6c7c8c9cacbcccdcecf.pt"

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

static void load(const char *version, const char *name, struct pfs_buf *out)
{
	char path[600];
	struct pfs_error err = { 0 };

	snprintf(path, sizeof(path), "%s/%s/%s", PFS_GOLDEN, version, name);
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
	load("pack-v1", "STORE", &file);
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
	struct pfs_packhdr h = {
		.version = 1, .kind = PFS_PACK_META, .created_ns = 1700000001000000000u, .seq = 1
	};
	PFS_AUTO(pfs_packfooter_fini) struct pfs_packfooter f = { 0 };
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

	load("pack-v1", PACK, &file);
	cr_assert_eq(file.len, 480);
	cr_assert_eq(write_pack(file.data, out), file.len);
	cr_expect_arr_eq(out, file.data, file.len);
}

static void publish(const struct scratch *dir, const char *version, const char *name)
{
	PFS_AUTO(pfs_buf_fini) struct pfs_buf file = PFS_BUF_INIT(10000);
	char path[600];
	int fd;

	load(version, name, &file);
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
	publish(&dir, "pack-v1", "STORE");
	publish(&dir, "pack-v1", PACK);
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

/* --- version 2 ---------------------------------------------------------- */

static const struct {
	enum pfs_kind kind;
	size_t len;
	const char *id;
} objects_v2[] = {
	{ PFS_KIND_CHUNK, 1024,
	  "e5798ad81334550cb8025a58e32d47d2eb1ecbacc003c11cfb952e0b70480a62" },
	{ PFS_KIND_CHUNK, 1024,
	  "2e783c6312610f221d410e3b2bd37d48d7d682443a3609bc998480ecd9644f6c" },
	{ PFS_KIND_CHUNK, 6, "3c951951a8aaae1d9b97d0e609ef5d7fb78621ae1f1f4ba0a70e7083b86b2c3c" },
	{ PFS_KIND_XATTRS, 7, "708d8a1986ea381c0afa8c60d39d38611b36e097c91b29d37738c99f7115e0de" },
	{ PFS_KIND_CHUNK, 10, "303f8ff24046ee5088c3b8437dc9663fe35c59123b996eb8173df793759bd1af" },
	{ PFS_KIND_CHUNK, 9, "4f4fbeab27f9b35d843a3baab6ba52e4a36bb26d76515ea9beb736aead0d6096" },
};

static const unsigned char *bytes_of_v2(size_t i)
{
	static const char *const small[] = { "first\n", "second\n", "first half", "and more\n" };
	static unsigned char data[1024];

	if (i >= 2)
		return (const unsigned char *)small[i - 2];
	for (size_t k = 0; k < sizeof(data); k++)
		data[k] = (unsigned char)"0123456789abcdef"[k % 16];
	if (i == 1)
		memcpy(data + 500, "edited", 6);
	return data;
}

static struct pfs_packhdr header_v2(uint8_t kind, unsigned char first, uint32_t seq)
{
	struct pfs_superblock s = golden_superblock();
	struct pfs_packhdr h = {
		.version = 2,
		.kind = kind,
		.created_ns = 1700000001000000000u,
		.seq = seq,
	};

	for (unsigned i = 0; i < sizeof(h.pack_uuid); i++)
		h.pack_uuid[i] = (unsigned char)(first + i);
	memcpy(h.store_uuid, s.uuid, sizeof(h.store_uuid));
	return h;
}

static struct pfs_hasher *golden_hasher(void)
{
	struct pfs_superblock s = golden_superblock();
	struct pfs_hasher *hasher = NULL;
	struct pfs_store_keys keys;

	cr_assert_eq(pfs_hasher_derive(s.secret, &keys, NULL), 0);
	cr_assert_eq(pfs_hasher_new(keys.id_key, &hasher, NULL), 0);
	return hasher;
}

/* The bundle as we make it today: two members are not worth compressing, so that is all ours. */
static void expect_bundle(const unsigned char *golden, size_t len)
{
	PFS_AUTO(pfs_bundler_fini) struct pfs_bundler b;
	struct pfs_hasher *hasher = golden_hasher();
	unsigned char *payload, head[PFS_PACKREC_SIZE];
	struct pfs_packrec rec;

	pfs_bundler_init(&b);
	for (size_t i = 2; i < 4; i++) {
		struct pfs_id id;

		cr_assert_eq(pfs_id_parse(objects_v2[i].id, &id, NULL), 0);
		cr_assert_eq(pfs_bundler_add(&b, objects_v2[i].kind, &id, bytes_of_v2(i),
					     objects_v2[i].len, NULL),
			     0);
	}
	cr_assert_eq(pfs_bundler_make(&b, hasher, &rec, &payload, NULL), 0);
	pfs_packrec_encode(&rec, head);
	cr_assert_eq(pfs_packrec_extent(rec.clen), len);
	cr_expect_arr_eq(golden, head, sizeof(head));
	cr_expect_arr_eq(golden + sizeof(head), payload, rec.clen);
	free(payload);
	pfs_hasher_free(&hasher);
}

/* Records are taken over, all that tells of them is made anew. */
Test(golden, pack_of_version_2_is_written_as_ever)
{
	PFS_AUTO(pfs_buf_fini) struct pfs_buf file = PFS_BUF_INIT(10000);
	PFS_AUTO(pfs_packfooter_fini) struct pfs_packfooter f = { 0 };
	struct pfs_packhdr h = header_v2(PFS_PACK_DATA, 0xb0, 1);
	unsigned char head[PFS_PACKHDR_SIZE], *footer;
	static const uint8_t codecs[] = { PFS_CODEC_ZSTD, PFS_CODEC_DELTA, PFS_CODEC_RAW };
	size_t at = PFS_PACKHDR_SIZE, footer_len;

	load("pack-v2", PACK_V2, &file);
	cr_assert_eq(file.len, 776);
	pfs_packhdr_encode(&h, head);
	cr_expect_arr_eq(file.data, head, sizeof(head));
	pfs_packfooter_init(&f, PFS_PACK_DATA);
	for (size_t i = 0; i < 3; i++) {
		struct pfs_packrec r;

		cr_assert_eq(pfs_packrec_check(file.data + at, file.len - at, &r, NULL), 0);
		cr_expect_eq(r.codec, codecs[i]);
		if (r.type == PFS_PACK_BUNDLE)
			expect_bundle(file.data + at, (size_t)pfs_packrec_extent(r.clen));
		cr_assert_eq(
			pfs_packfooter_add(&f, &r, at, file.data + at + PFS_PACKREC_SIZE, NULL), 0);
		at += pfs_packrec_extent(r.clen);
	}
	cr_assert_eq(pfs_pack_make_footer(head, &f, at, &footer, &footer_len, NULL), 0);
	cr_assert_eq(at + footer_len, file.len);
	cr_expect_arr_eq(file.data + at, footer, footer_len);
	free(footer);
}

Test(golden, table_of_an_adopted_file_is_written_as_ever)
{
	PFS_AUTO(pfs_buf_fini) struct pfs_buf file = PFS_BUF_INIT(10000);
	PFS_AUTO(pfs_packfooter_fini) struct pfs_packfooter f = { 0 };
	struct pfs_packhdr h = header_v2(PFS_PACK_ADOPTED, 0xc0, 2);
	unsigned char head[PFS_PACKHDR_SIZE], *footer;
	size_t footer_len;

	h.file_size = 29;
	load("pack-v2", TABLE_V2, &file);
	pfs_packhdr_encode(&h, head);
	pfs_packfooter_init(&f, PFS_PACK_ADOPTED);
	for (size_t i = 4; i < 6; i++) {
		struct pfs_packentry e = { .off = i == 4 ? 0 : 20, .type = PFS_KIND_CHUNK };

		e.clen = e.ulen = (uint32_t)objects_v2[i].len;
		cr_assert_eq(pfs_id_parse(objects_v2[i].id, &e.id, NULL), 0);
		cr_assert_eq(pfs_packfooter_add_piece(&f, &e, NULL), 0);
	}
	cr_assert_eq(pfs_pack_make_footer(head, &f, sizeof(head), &footer, &footer_len, NULL), 0);
	cr_assert_eq(file.len, sizeof(head) + footer_len);
	cr_expect_arr_eq(file.data, head, sizeof(head));
	cr_expect_arr_eq(file.data + sizeof(head), footer, footer_len);
	free(footer);
}

Test(golden, store_of_version_2_is_read_as_ever)
{
	static const char *const files[] = { "STORE", PACK_V2, FILE_V2, TABLE_V2 };
	static const char *const folders[] = { "packs/d/b0", "packs/a/c0" };
	struct scratch dir = scratch_new();
	struct pfs_store *st = NULL;
	struct pfs_error err = { 0 };
	struct pfs_store_stats stats;
	char folder[600];

	for (size_t i = 0; i < 2; i++) {
		snprintf(folder, sizeof(folder), "%s/%s", dir.path, folders[i]);
		cr_assert_eq(pfs_io_mkdir_all(AT_FDCWD, folder, NULL), 0);
	}
	for (size_t i = 0; i < sizeof(files) / sizeof(*files); i++)
		publish(&dir, "pack-v2", files[i]);
	cr_assert_eq(pfs_store_open(dir.path, &st, &err), 0, "%s", err.text);
	for (size_t i = 0; i < sizeof(objects_v2) / sizeof(*objects_v2); i++) {
		PFS_AUTO(pfs_object_unref) const struct pfs_object *o = NULL;
		struct pfs_id id;

		cr_assert_eq(pfs_id_parse(objects_v2[i].id, &id, NULL), 0);
		cr_assert_eq(pfs_store_get(st, objects_v2[i].kind, &id, &o, &err), 0, "%s",
			     err.text);
		cr_assert_eq(o->len, objects_v2[i].len);
		cr_expect_arr_eq(o->data, bytes_of_v2(i), o->len);
	}
	pfs_store_stats(st, &stats);
	cr_expect(stats.objects == 6 && stats.deltas == 1 && stats.bundled == 2 &&
		  stats.adopted_files == 1 && stats.adopted_bytes == 29);
	cr_expect_eq(pfs_store_check(st, NULL, NULL, NULL), 0);
	pfs_store_close(&st);
	scratch_fini(&dir);
}

/* Of the index: one run of three records, and two packs, of which the second is number 2. */
static const struct pfs_idxrec index_records[] = {
	{ .id = { .bytes = { 0x11, 1, 2, 3 } }, .off = 64, .clen = 11, .ulen = 11, .type = 1 },
	{ .id = { .bytes = { 0x7f, 4, 5, 6 } },
	  .pack = 2,
	  .off = 1ull << 32,
	  .clen = 65536,
	  .ulen = 65536,
	  .type = 1 },
	{ .id = { .bytes = { 0xe0, 7, 8, 9 } },
	  .off = 136,
	  .clen = 19,
	  .ulen = 1000,
	  .type = 3,
	  .codec = PFS_CODEC_ZSTD },
};

static struct pfs_idxpack index_pack(uint32_t number)
{
	struct pfs_idxpack p = { .number = number, .seq = number ? 7 : 1 };

	for (unsigned i = 0; i < PFS_UUID_SIZE; i++)
		p.uuid[i] = (unsigned char)((number ? 0xb0 : 0xa0) + i);
	p.kind = number ? PFS_PACK_ADOPTED : PFS_PACK_META;
	p.size = number ? (1ull << 32) + 65536 : 480;
	p.objects = number ? 1 : 2;
	p.object_bytes = number ? 65536 : 1011;
	return p;
}

static void expect_same(int dir, const char *name)
{
	PFS_AUTO(pfs_buf_fini) struct pfs_buf fresh = PFS_BUF_INIT(1 << 20);
	PFS_AUTO(pfs_buf_fini) struct pfs_buf kept = PFS_BUF_INIT(1 << 20);
	char path[600];

	snprintf(path, sizeof(path), "%s/index-v1/%s", PFS_GOLDEN, name);
	cr_assert_eq(pfs_io_load(dir, name, &fresh, NULL), 0);
	cr_assert_eq(pfs_io_load(AT_FDCWD, path, &kept, NULL), 0, "%s", path);
	cr_expect(fresh.len == kept.len && memcmp(fresh.data, kept.data, kept.len) == 0, "%s",
		  name);
}

Test(golden, index_is_written_as_ever)
{
	struct scratch scratch = scratch_new();
	int dir = pfs_io_open(AT_FDCWD, scratch.path, O_RDONLY | O_DIRECTORY, 0, NULL);
	struct pfs_idxpack packs[] = { index_pack(0), index_pack(2) };
	struct pfs_index x = { .next_run = 6, .next_pack = 3, .packs = packs, .n_packs = 2 };
	struct pfs_indexbatch b = { 0 };
	struct pfs_indexrun *run = NULL;
	struct pfs_idxrun what;

	for (unsigned i = 0; i < PFS_UUID_SIZE; i++)
		x.store_uuid[i] = (unsigned char)i;
	cr_assert_eq(pfs_io_mkdir_all(dir, "index", NULL), 0);
	for (size_t i = 0; i < 3; i++)
		cr_assert_eq(pfs_indexbatch_add(&b, &index_records[2 - i], NULL), 0);
	cr_assert_eq(pfs_indexbatch_sort(&b, NULL), 0);
	cr_assert_eq(pfs_indexbatch_write(&b, dir, x.store_uuid, 5, 1, &what, NULL), 0);
	cr_assert_eq(pfs_indexrun_open(dir, &what, x.store_uuid, &run, NULL), 0);
	x.runs = pfs_indexruns_new(&run, 1);
	cr_assert_eq(pfs_index_publish(dir, &x, NULL), 0);
	expect_same(dir, "index/0000000000000005.ix");
	expect_same(dir, "index/manifest");
	pfs_indexruns_unref(&x.runs);
	pfs_indexrun_unref(&run);
	pfs_indexbatch_fini(&b);
	pfs_fd_close(&dir);
	scratch_fini(&scratch);
}
