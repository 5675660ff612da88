#include "format/commitrec.h"
#include "base/endian.h"
#include "base/io.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

static void number_bytes(void *out, size_t len, unsigned char first)
{
	unsigned char *p = out;

	for (size_t i = 0; i < len; i++)
		p[i] = (unsigned char)(first + i);
}

/* The record of pfs-commit(5), EXAMPLES, and of golden/commit-v1/record. */
static struct pfs_commitrec_source sources[2];
static struct pfs_commitrec sample(void)
{
	static const char message[] = "count words";
	static const char error[] = "line 1: exit status 1";
	struct pfs_commitrec rec = {
		.has_parent = true,
		.root_mode = 0755,
		.root_uid = 1000,
		.root_gid = 100,
		.root_mtime_sec = 1795219200,
		.root_mtime_nsec = 123456789,
		.origin = 2,
		.started_ns = 1795219201000000000,
		.finished_ns = 1795219202500000000,
		.number = 7,
		.files = 3,
		.bytes = 5000000000,
		.repo = "wordcount",
		.branch = "master",
		.message = message,
		.message_len = sizeof(message) - 1,
		.error = error,
		.error_len = sizeof(error) - 1,
		.sources = sources,
		.n_sources = 2,
	};

	number_bytes(&rec.id, 16, 0x10);
	number_bytes(&rec.parent, 16, 0x20);
	number_bytes(&rec.parent_digest, 32, 0x30);
	number_bytes(&rec.root, 32, 0x50);
	strcpy(sources[0].repo, "books");
	strcpy(sources[1].repo, "stopwords");
	number_bytes(&sources[0].id, 16, 0x10);
	number_bytes(&sources[0].digest, 32, 0x70);
	number_bytes(&sources[1].id, 16, 0x90);
	number_bytes(&sources[1].digest, 32, 0xa0);
	return rec;
}

static struct pfs_buf encoded(const struct pfs_commitrec *rec)
{
	struct pfs_buf b = PFS_BUF_INIT(PFS_COMMITREC_SIZE_MAX);
	struct pfs_error err = { 0 };

	cr_assert_eq(pfs_commitrec_encode(rec, &b, &err), 0, "%s", err.text);
	return b;
}

Test(commitrec, writes_the_golden_bytes)
{
	PFS_AUTO(pfs_buf_fini) struct pfs_buf golden = PFS_BUF_INIT(PFS_COMMITREC_SIZE_MAX);
	PFS_AUTO(pfs_buf_fini) struct pfs_buf b = { 0 };
	struct pfs_commitrec rec = sample();
	struct pfs_error err = { 0 };

	b = encoded(&rec);
	cr_assert_eq(pfs_io_load(AT_FDCWD, PFS_GOLDEN "/commit-v1/record", &golden, &err), 0, "%s",
		     err.text);
	cr_expect_eq(b.len, golden.len);
	cr_expect_eq(memcmp(b.data, golden.data, golden.len), 0);
}

Test(commitrec, reads_back_every_field)
{
	PFS_AUTO(pfs_commitrec_fini) struct pfs_commitrec got = { 0 };
	PFS_AUTO(pfs_buf_fini) struct pfs_buf b = { 0 };
	struct pfs_commitrec rec = sample();
	struct pfs_error err = { 0 };

	b = encoded(&rec);
	cr_assert_eq(pfs_commitrec_decode(b.data, b.len, &got, &err), 0, "%s", err.text);
	cr_expect(pfs_commit_id_equal(&got.id, &rec.id));
	cr_expect(got.has_parent && pfs_commit_id_equal(&got.parent, &rec.parent));
	cr_expect(pfs_id_equal(&got.parent_digest, &rec.parent_digest));
	cr_expect(pfs_id_equal(&got.root, &rec.root));
	cr_expect_eq(got.root_mode, 0755);
	cr_expect_eq(got.root_uid, 1000);
	cr_expect_eq(got.root_gid, 100);
	cr_expect_eq(got.root_mtime_sec, 1795219200);
	cr_expect_eq(got.root_mtime_nsec, 123456789);
	cr_expect_eq(got.origin, 2);
	cr_expect_eq(got.started_ns, rec.started_ns);
	cr_expect_eq(got.finished_ns, rec.finished_ns);
	cr_expect_eq(got.number, 7);
	cr_expect_eq(got.files, 3);
	cr_expect_eq(got.bytes, 5000000000);
	cr_expect_str_eq(got.repo, "wordcount");
	cr_expect_str_eq(got.branch, "master");
	cr_expect_eq(got.message_len, 11);
	cr_expect_eq(memcmp(got.message, "count words", 11), 0);
	cr_expect_eq(memcmp(got.error, rec.error, rec.error_len), 0);
	cr_assert_eq(got.n_sources, 2);
	for (size_t i = 0; i < 2; i++) {
		cr_expect_eq(pfs_commitrec_compare_sources(&got.sources[i], &sources[i]), 0);
		cr_expect(pfs_id_equal(&got.sources[i].digest, &sources[i].digest));
	}
}

Test(commitrec, the_least_there_can_be)
{
	PFS_AUTO(pfs_commitrec_fini) struct pfs_commitrec got = { 0 };
	PFS_AUTO(pfs_buf_fini) struct pfs_buf b = { 0 };
	struct pfs_commitrec rec = { .origin = 1, .number = 1, .repo = "a", .branch = "b" };

	rec.id.bytes[0] = 1;
	b = encoded(&rec);
	cr_expect_eq(b.len, PFS_COMMITREC_FIXED_SIZE + 2);
	cr_assert_eq(pfs_commitrec_decode(b.data, b.len, &got, NULL), 0);
	cr_expect_eq(got.message_len, 0);
	cr_expect_null(got.error);
	cr_expect_eq(got.n_sources, 0);
}

/* One byte of the golden record turned into another. */
static const struct {
	size_t off;
	unsigned char value;
	int want;
	const char *why;
} damage[] = {
	{ 0, 'X', PFS_E_CORRUPT, "magic" },
	{ 4, 2, PFS_E_UNSUPPORTED, "a version to come" },
	{ 6, 0, PFS_E_CORRUPT, "no origin" },
	{ 6, 3, PFS_E_CORRUPT, "unknown origin" },
	{ 7, 7, PFS_E_CORRUPT, "unknown flag" },
	{ 7, 2, PFS_E_CORRUPT, "a parent without its flag" },
	{ 7, 1, PFS_E_CORRUPT, "an error without its flag" },
	{ 105, 0x11, PFS_E_CORRUPT, "mode past 07777" },
	{ 106, 1, PFS_E_CORRUPT, "reserved" },
	{ 107, 1, PFS_E_CORRUPT, "reserved" },
	{ 119, 0x40, PFS_E_CORRUPT, "nanoseconds past a second" },
	{ 144, 1, PFS_E_CORRUPT, "first of its line, with a parent" },
	{ 144, 0, PFS_E_CORRUPT, "numbers begin at 1" },
	{ 168, 8, PFS_E_CORRUPT, "repo shorter: branch is \"tmaste\", what is left over moves" },
	{ 169, 1, PFS_E_CORRUPT, "repo longer than the record" },
	{ 170, 0, PFS_E_CORRUPT, "no branch" },
	{ 172, 12, PFS_E_CORRUPT, "message into the error, the error into a source" },
	{ 175, 0xff, PFS_E_CORRUPT, "message past the end" },
	{ 176, 0, PFS_E_CORRUPT, "error flag without an error" },
	{ 179, 0xff, PFS_E_CORRUPT, "error past the end" },
	{ 180, 1, PFS_E_CORRUPT, "bytes left over" },
	{ 180, 3, PFS_E_CORRUPT, "a source missing" },
	{ 183, 0xff, PFS_E_CORRUPT, "more sources than can be" },
	{ 184, '/', PFS_E_CORRUPT, "a slash in the repo" },
	{ 184, 0, PFS_E_CORRUPT, "a NUL in the repo" },
	{ 193, '.', PFS_E_CORRUPT, "a dot in the branch" },
	{ 200, 0, PFS_E_CORRUPT, "a NUL in the message" },
	{ 215, 0, PFS_E_CORRUPT, "a NUL in the error" },
	{ 231, 64, PFS_E_CORRUPT, "a source's name too long" },
	{ 232, 'z', PFS_E_CORRUPT, "sources out of order" },
};

Test(commitrec, refuses_each_damaged_byte_and_leaves_out_untouched)
{
	PFS_AUTO(pfs_buf_fini) struct pfs_buf b = { 0 };
	struct pfs_commitrec rec = sample();

	b = encoded(&rec);
	for (size_t i = 0; i < sizeof(damage) / sizeof(*damage); i++) {
		struct pfs_commitrec got = { .number = 99 };
		struct pfs_error err = { 0 };
		unsigned char was = b.data[damage[i].off];
		int rc;

		b.data[damage[i].off] = damage[i].value;
		rc = pfs_commitrec_decode(b.data, b.len, &got, &err);
		b.data[damage[i].off] = was;
		cr_expect_eq(rc, damage[i].want, "%s: %d %s", damage[i].why, rc, err.text);
		cr_expect_eq(err.code, damage[i].want, "%s: %s", damage[i].why, err.text);
		cr_expect_eq(got.number, 99, "%s: wrote to out", damage[i].why);
		if (rc == 0)
			pfs_commitrec_fini(&got);
	}
}

Test(commitrec, refuses_every_cut_and_every_tail)
{
	PFS_AUTO(pfs_buf_fini) struct pfs_buf b = { 0 };
	struct pfs_commitrec rec = sample(), got = { .number = 99 };

	b = encoded(&rec);
	for (size_t len = 0; len < b.len; len++) {
		unsigned char *exact = malloc(len + 1); /* the sanitizer sees a read past the end */

		memcpy(exact, b.data, len);
		cr_expect_eq(pfs_commitrec_decode(exact, len, &got, NULL), PFS_E_CORRUPT, "%zu",
			     len);
		free(exact);
	}
	pfs_buf_add_u8(&b, 0, NULL);
	cr_expect_eq(pfs_commitrec_decode(b.data, b.len, &got, NULL), PFS_E_CORRUPT);
	cr_expect_eq(got.number, 99);
}

static void no_id(struct pfs_commitrec *r)
{
	memset(&r->id, 0, sizeof(r->id));
}
static void half_parent(struct pfs_commitrec *r)
{
	memset(&r->parent, 0, sizeof(r->parent));
}
static void no_digest(struct pfs_commitrec *r)
{
	memset(&r->parent_digest, 0, 32);
}
static void origin(struct pfs_commitrec *r)
{
	r->origin = 9;
}
static void first(struct pfs_commitrec *r)
{
	r->number = 1;
}
static void bad_repo(struct pfs_commitrec *r)
{
	strcpy(r->repo, "../x");
}
static void bad_branch(struct pfs_commitrec *r)
{
	r->branch[0] = 0;
}
static void long_message(struct pfs_commitrec *r)
{
	r->message_len = PFS_MESSAGE_SIZE_MAX + 1;
}
static void empty_error(struct pfs_commitrec *r)
{
	r->error_len = 0;
}
static void twice(struct pfs_commitrec *r)
{
	r->sources[1] = r->sources[0];
}
static void many(struct pfs_commitrec *r)
{
	r->n_sources = PFS_PROVENANCE_MAX + 1;
}
static void nsec(struct pfs_commitrec *r)
{
	r->root_mtime_nsec = 1000000000;
}

Test(commitrec, writes_nothing_that_it_would_not_read)
{
	static const struct {
		void (*spoil)(struct pfs_commitrec *r);
		const char *why;
	} table[] = {
		{ no_id, "no id" },
		{ half_parent, "flag without parent" },
		{ no_digest, "parent without digest" },
		{ origin, "unknown origin" },
		{ first, "number 1 with a parent" },
		{ bad_repo, "a repo that is a path" },
		{ bad_branch, "no branch" },
		{ long_message, "message too long" },
		{ empty_error, "an error without words" },
		{ twice, "a source twice" },
		{ many, "too many sources" },
		{ nsec, "nanoseconds" },
	};

	for (size_t i = 0; i < sizeof(table) / sizeof(*table); i++) {
		PFS_AUTO(pfs_buf_fini) struct pfs_buf b = PFS_BUF_INIT(PFS_COMMITREC_SIZE_MAX);
		struct pfs_commitrec rec = sample();
		struct pfs_error err = { 0 };

		table[i].spoil(&rec);
		cr_expect_eq(pfs_commitrec_encode(&rec, &b, &err), PFS_E_INVALID, "%s",
			     table[i].why);
		cr_expect_eq(err.code, PFS_E_INVALID, "%s", table[i].why);
		cr_expect_eq(b.len, 0, "%s", table[i].why);
	}
}

Test(commitrec, the_largest_record_is_an_object)
{
	static struct pfs_commitrec_source list[PFS_PROVENANCE_MAX];
	PFS_AUTO(pfs_buf_fini) struct pfs_buf b = { 0 };
	PFS_AUTO(pfs_commitrec_fini) struct pfs_commitrec got = { 0 };
	char *text = malloc(PFS_MESSAGE_SIZE_MAX);
	struct pfs_commitrec rec = sample();

	memset(text, 'm', PFS_MESSAGE_SIZE_MAX);
	for (size_t i = 0; i < PFS_PROVENANCE_MAX; i++) {
		memset(list[i].repo, 'r', PFS_REPO_NAME_MAX);
		pfs_put_le16(list[i].digest.bytes, 1);
		list[i].id.bytes[0] = (unsigned char)(i >> 8);
		list[i].id.bytes[1] = (unsigned char)i;
		list[i].id.bytes[2] = 1;
	}
	memset(rec.repo, 'r', PFS_REPO_NAME_MAX);
	memset(rec.branch, 'b', PFS_BRANCH_NAME_MAX);
	rec.message = text;
	rec.error = text;
	rec.message_len = PFS_MESSAGE_SIZE_MAX;
	rec.error_len = PFS_MESSAGE_SIZE_MAX;
	rec.sources = list;
	rec.n_sources = PFS_PROVENANCE_MAX;
	b = encoded(&rec);
	cr_expect_eq(b.len, PFS_COMMITREC_SIZE_MAX);
	cr_expect_leq(b.len, PFS_OBJECT_SIZE_MAX);
	cr_expect_eq(pfs_commitrec_decode(b.data, b.len, &got, NULL), 0);
	free(text);
}
