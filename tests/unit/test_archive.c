#include "base/io.h"
#include "runtime/archive.h"
#include "runtime/imagename.h"
#include "runtime/manifest.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BLOCK 512

/* ---- making tars, honest and hostile ---- */

static void put_checksum(unsigned char *h)
{
	unsigned sum = 0;

	memset(h + 148, ' ', 8);
	for (int i = 0; i < BLOCK; i++)
		sum += h[i];
	snprintf((char *)h + 148, 8, "%06o", sum);
}

static void add_header(struct pfs_buf *tar, const char *name, char type, const char *size)
{
	unsigned char h[BLOCK] = { 0 };

	memcpy(h, name, strnlen(name, 100));
	memcpy(h + 100, "0000644", 8);
	snprintf((char *)h + 124, 12, "%s", size);
	h[156] = (unsigned char)type;
	memcpy(h + 257, "ustar\00000", 8);
	put_checksum(h);
	cr_assert_eq(pfs_buf_add(tar, h, BLOCK, NULL), 0);
}

static void add_entry(struct pfs_buf *tar, const char *name, char type, const void *data,
		      size_t len)
{
	static const char zeros[BLOCK];
	char size[16];

	snprintf(size, sizeof(size), "%011zo", len);
	add_header(tar, name, type, size);
	cr_assert_eq(pfs_buf_add(tar, data, len, NULL), 0);
	cr_assert_eq(pfs_buf_add(tar, zeros, (BLOCK - len % BLOCK) % BLOCK, NULL), 0);
}

static void add_end(struct pfs_buf *tar)
{
	static const char zeros[2 * BLOCK];

	cr_assert_eq(pfs_buf_add(tar, zeros, sizeof(zeros), NULL), 0);
}

/* Open `tar` as an archive by way of a file. */
static int open_tar(const struct pfs_buf *tar, struct pfs_archive **out, struct pfs_error *err)
{
	char path[] = "/tmp/pfs-archive.XXXXXX";
	int fd = mkstemp(path), rc;

	cr_assert_geq(fd, 0);
	cr_assert_eq(pfs_io_write(fd, tar->data, tar->len, NULL), 0);
	close(fd);
	rc = pfs_archive_open(path, out, err);
	unlink(path);
	return rc;
}

#define TAR PFS_AUTO(pfs_buf_fini) struct pfs_buf tar = PFS_BUF_INIT(1 << 20)

Test(archive, finds_files_in_any_order_under_any_kind_of_name)
{
	PFS_AUTO(pfs_archive_close) struct pfs_archive *a = NULL;
	PFS_AUTO(pfs_buf_fini) struct pfs_buf text = PFS_BUF_INIT(100);
	struct pfs_archive_place place;
	char deep[200], pax[300];
	struct pfs_error err = { 0 };
	TAR;

	memset(deep, 'd', sizeof(deep) - 1);
	deep[sizeof(deep) - 1] = 0;
	add_entry(&tar, "./blobs/", '5', "", 0);
	add_entry(&tar, "././@LongLink", 'L', deep, sizeof(deep));
	add_entry(&tar, "ddd", '0', "gnu", 3);
	snprintf(pax, sizeof(pax), "19 path=from-pax/x\n");
	add_entry(&tar, "PaxHeader", 'x', pax, strlen(pax));
	add_entry(&tar, "short", '0', "pax", 3);
	add_entry(&tar, "link", '2', "", 0);
	add_entry(&tar, "./index.json", '0', "old", 3);
	add_entry(&tar, "index.json", '\0', "{}", 2);
	add_end(&tar);
	cr_assert_eq(open_tar(&tar, &a, &err), 0, "%s", err.text);
	cr_expect_eq(pfs_archive_find(a, deep, &place, &err), 0, "%s", err.text);
	cr_expect_eq(pfs_archive_find(a, "from-pax/x", &place, &err), 0, "%s", err.text);
	cr_expect_eq(pfs_archive_find(a, "short", &place, NULL), PFS_E_NOTFOUND);
	cr_expect_eq(pfs_archive_find(a, "link", &place, NULL), PFS_E_NOTFOUND,
		     "a link has no bytes");
	cr_assert_eq(pfs_archive_find(a, "index.json", &place, NULL), 0);
	cr_assert_eq(pfs_archive_load(a, &place, &text, NULL), 0);
	cr_expect_str_eq(pfs_buf_str(&text), "{}", "the last of a name counts");
}

Test(archive, refuses_tars_that_lie)
{
	static const struct {
		const char *name;
		char type;
		const char *size; /* as written in the header, octal */
		const char *data;
		int want;
		const char *why;
	} rows[] = {
		{ "a", '0', "00000000003", "abc", 0, "an honest one" },
		{ "a", '0', "00000002000", "abc", PFS_E_CORRUPT, "1024 bytes where 512 are" },
		{ "a", '0', "77777777777", "abc", PFS_E_CORRUPT, "8 GiB" },
		{ "a", '0', "0000000000z", "abc", PFS_E_CORRUPT, "a size that is no number" },
		{ "../a", '0', "00000000003", "abc", PFS_E_CORRUPT, "a name that climbs out" },
		{ "x/../../a", '0', "00000000003", "abc", PFS_E_CORRUPT, "the same further in" },
		{ "a/..", '0', "00000000003", "abc", PFS_E_CORRUPT, "the same at the end" },
		{ "..a/b..", '0', "00000000003", "abc", 0, "dots that do not climb" },
		{ "x", 'x', "00000000003", "abc", PFS_E_CORRUPT, "a pax header of no records" },
		{ "x", 'x', "00000000013", "99 path=abc", PFS_E_CORRUPT,
		  "a pax record past its end" },
		{ "x", 'x', "00000000013", "11 path_abc", PFS_E_CORRUPT, "a pax record without =" },
		{ "x", 'x', "00000000014", "12 size=1x2\n", PFS_E_CORRUPT,
		  "a pax size that is no number" },
		{ "x", 'x', "00000000004", "3 =\n", PFS_E_CORRUPT,
		  "a pax record that is too short" },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		PFS_AUTO(pfs_archive_close) struct pfs_archive *a = NULL;
		unsigned char data[BLOCK] = { 0 };
		TAR;

		memcpy(data, rows[i].data, strlen(rows[i].data));
		add_header(&tar, rows[i].name, rows[i].type, rows[i].size);
		cr_assert_eq(pfs_buf_add(&tar, data, BLOCK, NULL), 0);
		cr_expect_eq(open_tar(&tar, &a, NULL), rows[i].want, "%s", rows[i].why);
		cr_expect_eq(a == NULL, rows[i].want < 0, "%s: wrote to out", rows[i].why);
	}
}

Test(archive, refuses_a_size_in_base_256_that_overflows)
{
	PFS_AUTO(pfs_archive_close) struct pfs_archive *a = NULL;
	TAR;

	add_header(&tar, "a", '0', "0");
	memset(tar.data + 124, 0xff, 12);
	tar.data[124] = 0x80;
	put_checksum(tar.data);
	cr_expect_eq(open_tar(&tar, &a, NULL), PFS_E_CORRUPT);
	memset(tar.data + 125, 0, 3); /* 2^64 - 1: fits, but not into the file */
	put_checksum(tar.data);
	cr_expect_eq(open_tar(&tar, &a, NULL), PFS_E_CORRUPT);
}

Test(archive, refuses_each_cut_and_each_damaged_header_byte)
{
	struct pfs_buf tar = PFS_BUF_INIT(1 << 20), part = PFS_BUF_INIT(1 << 20);

	add_entry(&tar, "index.json", '0', "{}", 2);
	for (size_t len = 1; len < 2 * BLOCK; len += 13) {
		PFS_AUTO(pfs_archive_close) struct pfs_archive *a = NULL;

		pfs_buf_clear(&part);
		cr_assert_eq(pfs_buf_add(&part, tar.data, len, NULL), 0);
		/* Bytes past the content are padding that nobody needs. */
		cr_expect_eq(open_tar(&part, &a, NULL), len < BLOCK + 2 ? PFS_E_CORRUPT : 0,
			     "%zu bytes", len);
	}
	for (size_t i = 0; i < BLOCK; i++) {
		PFS_AUTO(pfs_archive_close) struct pfs_archive *a = NULL;

		if (i >= 154 && i < 156)
			continue; /* what ends the checksum's digits is not looked at */
		tar.data[i] ^= 1;
		cr_expect_eq(open_tar(&tar, &a, NULL), PFS_E_CORRUPT, "byte %zu", i);
		tar.data[i] ^= 1;
	}
	pfs_buf_fini(&tar);
	pfs_buf_fini(&part);
}

Test(archive, a_compressed_archive_is_named_as_such)
{
	PFS_AUTO(pfs_archive_close) struct pfs_archive *a = NULL;
	struct pfs_error err = { 0 };
	TAR;

	cr_assert_eq(pfs_buf_add(&tar, "\x1f\x8b\x08\x00", 4, NULL), 0);
	cr_expect_eq(open_tar(&tar, &a, &err), PFS_E_UNSUPPORTED);
	cr_expect(strstr(err.text, "compressed"), "%s", err.text);
	cr_expect_eq(pfs_archive_open("/nowhere.tar", &a, NULL), PFS_E_NOTFOUND);
	cr_expect_eq(pfs_archive_open("/tmp", &a, NULL), PFS_E_INVALID);
}

Test(archive, a_blob_must_have_its_size_and_its_digest)
{
	PFS_AUTO(pfs_archive_close) struct pfs_archive *a = NULL;
	PFS_AUTO(pfs_buf_fini) struct pfs_buf text = PFS_BUF_INIT(100);
	struct pfs_archive_place place;
	char digest[PFS_DIGEST_SIZE], name[128], lie[PFS_DIGEST_SIZE], lie_name[128];
	TAR;

	cr_assert_eq(pfs_digest_of("hello", 5, digest, NULL), 0);
	memcpy(lie, digest, sizeof(lie));
	lie[10] = lie[10] == '0' ? '1' : '0';
	snprintf(name, sizeof(name), "blobs/sha256/%s", digest + 7);
	snprintf(lie_name, sizeof(lie_name), "blobs/sha256/%s", lie + 7);
	add_entry(&tar, name, '0', "hello", 5);
	add_entry(&tar, lie_name, '0', "hello", 5);
	add_end(&tar);
	cr_assert_eq(open_tar(&tar, &a, NULL), 0);
	cr_expect_eq(pfs_archive_load_blob(a, digest, 5, &text, NULL), 0);
	cr_expect_str_eq(pfs_buf_str(&text), "hello");
	cr_expect_eq(pfs_archive_load_blob(a, lie, 5, &text, NULL), PFS_E_CORRUPT);
	cr_expect_eq(text.len, 5, "what was refused is not kept");
	cr_expect_eq(pfs_archive_find_blob(a, digest, 6, &place, NULL), PFS_E_CORRUPT);
	cr_expect_eq(pfs_archive_find_blob(a, digest, -1, &place, NULL), PFS_E_CORRUPT);
	cr_expect_eq(pfs_archive_find_blob(a, "sha256:../../x", 5, &place, NULL), PFS_E_CORRUPT);
	cr_expect_eq(pfs_archive_find_blob(a, "md5:abc", 5, &place, NULL), PFS_E_CORRUPT);
}

Test(archive, completes_image_names)
{
	static const struct {
		const char *in, *want; /* NULL: refused */
	} rows[] = {
		{ "busybox", "docker.io/library/busybox:latest" },
		{ "busybox:1.36", "docker.io/library/busybox:1.36" },
		{ "me/tool", "docker.io/me/tool:latest" },
		{ "localhost/x", "localhost/x:latest" },
		{ "localhost:5000/x:y", "localhost:5000/x:y" },
		{ "quay.io/a/b/c:v1", "quay.io/a/b/c:v1" },
		{ "x@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
		  "docker.io/library/"
		  "x@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef" },
		{ "", NULL },
		{ "a b", NULL },
		{ "Busybox", NULL },
		{ "a/", NULL },
		{ "/a", NULL },
		{ "a//b", NULL },
		{ "a:", NULL },
		{ "a:t t", NULL },
		{ "a@sha256:12", NULL },
		{ "a\nb", NULL },
		{ "quay.io/", NULL },
	};
	char out[PFS_IMAGENAME_SIZE];

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		int rc = pfs_imagename_complete(rows[i].in, out, NULL);

		cr_expect_eq(rc, rows[i].want ? 0 : PFS_E_INVALID, "\"%s\"", rows[i].in);
		if (rows[i].want && rc == 0)
			cr_expect_str_eq(out, rows[i].want);
	}
}

#define D "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define M "{\"mediaType\":\"m\",\"digest\":\"" D "\",\"size\":1"

Test(archive, refuses_indexes_and_manifests_that_make_no_sense)
{
	static const struct {
		const char *text;
		int want;
	} rows[] = {
		{ "{\"manifests\":[" M "}]}", 0 },
		{ "{\"manifests\":[]}", PFS_E_NOTFOUND },
		{ "{\"manifests\":[" M ","
		  "\"platform\":{\"os\":\"plan9\",\"architecture\":\"mips\"}}]}",
		  PFS_E_NOTFOUND },
		{ "{\"manifests\":[" M "}," M "}]}", PFS_E_INVALID },
		{ "{}", PFS_E_CORRUPT },
		{ "[]", PFS_E_CORRUPT },
		{ "{\"manifests\":[7]}", PFS_E_CORRUPT },
		{ "{\"manifests\":[{\"mediaType\":\"m\",\"digest\":\"../x\",\"size\":1}]}",
		  PFS_E_CORRUPT },
		{ "{\"manifests\":[{\"digest\":\"" D "\",\"size\":1}]}", PFS_E_CORRUPT },
		{ "{\"manifests\":[{\"mediaType\":\"m\",\"digest\":\"" D "\",\"size\":-1}]}",
		  PFS_E_CORRUPT },
		{ "{\"manifests\"", PFS_E_INVALID },
	};
	struct pfs_manifest *m = calloc(1, sizeof(*m));
	struct pfs_descriptor d;
	char name[PFS_IMAGENAME_SIZE];

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++)
		cr_expect_eq(
			pfs_index_choose(rows[i].text, strlen(rows[i].text), NULL, &d, name, NULL),
			rows[i].want, "%s", rows[i].text);
	cr_expect_eq(
		pfs_manifest_parse("{\"config\":" M "}}", strlen("{\"config\":" M "}}"), m, NULL),
		PFS_E_CORRUPT, "no layers");
	cr_expect_eq(pfs_manifest_parse("{\"layers\":[]}", 13, m, NULL), PFS_E_CORRUPT,
		     "no config");
	free(m);
}

Test(archive, of_several_images_the_named_one_is_taken)
{
	static const char text[] =
		"{\"manifests\":[" M ",\"annotations\":{\"io.containerd.image.name\":\"a:1\"}},"
		"{\"mediaType\":\"second\",\"digest\":\"" D "\",\"size\":2,"
		"\"annotations\":{\"org.opencontainers.image.ref.name\":\"b\"}}]}";
	struct pfs_descriptor d = { 0 };
	char name[PFS_IMAGENAME_SIZE];

	cr_expect_eq(
		pfs_index_choose(text, strlen(text), "docker.io/library/b:latest", &d, name, NULL),
		0);
	cr_expect_str_eq(d.media_type, "second");
	cr_expect_str_eq(name, "b");
	cr_expect_eq(
		pfs_index_choose(text, strlen(text), "docker.io/library/c:latest", &d, name, NULL),
		PFS_E_INVALID);
}
