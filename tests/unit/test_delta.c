#include "store/codec.h"
#include "store/store.h"
#include "../scratch.h"

#include <criterion/criterion.h>
#include <glob.h>
#include <unistd.h>

#define SIZE 65536

static struct pfs_store *must_open(const struct scratch *dir)
{
	struct pfs_store *st = NULL;
	struct pfs_error err = { 0 };

	cr_assert_eq(pfs_store_open(dir->path, &st, &err), 0, "%s", err.text);
	return st;
}

static void must_sync(struct pfs_store *st)
{
	struct pfs_error err = { 0 };

	cr_assert_eq(pfs_store_sync(st, &err), 0, "%s", err.text);
}

/* Noise number `base`, changed a little in `edit` ways. */
static const unsigned char *bytes(unsigned base, unsigned edit)
{
	static unsigned char data[SIZE];

	scratch_fill(data, SIZE, base + 1);
	for (unsigned i = 0; i < edit; i++)
		memcpy(data + 1000 + 3000 * i, "edited", 6);
	return data;
}

static struct pfs_id put(struct pfs_store *st, unsigned base, unsigned edit,
			 const struct pfs_id *near)
{
	struct pfs_store_item item = { .data = bytes(base, edit), .len = SIZE, .near = near };
	struct pfs_error err = { 0 };

	cr_assert_eq(pfs_store_put_batch(st, PFS_KIND_CHUNK, &item, 1, &err), 0, "%s", err.text);
	return item.id;
}

static bool readable(struct pfs_store *st, unsigned base, unsigned edit)
{
	PFS_AUTO(pfs_object_unref) const struct pfs_object *o = NULL;
	struct pfs_id id;

	pfs_store_id(st, PFS_KIND_CHUNK, bytes(base, edit), SIZE, &id);
	if (pfs_store_get(st, PFS_KIND_CHUNK, &id, &o, NULL) < 0)
		return false;
	cr_assert(o->len == SIZE && memcmp(o->data, bytes(base, edit), SIZE) == 0, "wrong bytes");
	return true;
}

static uint64_t deltas(struct pfs_store *st)
{
	struct pfs_store_stats stats;

	pfs_store_stats(st, &stats);
	return stats.deltas;
}

static int check(struct pfs_store *st)
{
	return pfs_store_check(st, NULL, NULL, NULL);
}

/* Overwrite what lies at `off` of the one open pack. */
static void damage(const struct scratch *dir, uint64_t off)
{
	char pattern[400];
	glob_t found;
	int fd;

	snprintf(pattern, sizeof(pattern), "%s/open/*.pk", dir->path);
	cr_assert_eq(glob(pattern, 0, NULL, &found), 0);
	cr_assert_eq(found.gl_pathc, 1);
	fd = open(found.gl_pathv[0], O_WRONLY | O_CLOEXEC);
	cr_assert_eq(pwrite(fd, "damage", 6, (off_t)off), 6);
	close(fd);
	globfree(&found);
}

Test(delta, keeps_of_an_edited_chunk_what_is_new)
{
	struct scratch dir = scratch_new();
	struct pfs_store *st = must_open(&dir);
	struct pfs_store_stats before, after;
	struct pfs_id id = put(st, 1, 0, NULL);

	must_sync(st);
	pfs_store_stats(st, &before);
	/* Each against the version before it, which is a delta itself from the third on. */
	for (unsigned edit = 1; edit < 8; edit++)
		id = put(st, 1, edit, &id);
	must_sync(st);
	pfs_store_stats(st, &after);
	cr_expect_eq(after.deltas, 7, "%llu deltas", (unsigned long long)after.deltas);
	cr_expect_lt(after.pack_bytes - before.pack_bytes, 7 * 500, "%llu bytes",
		     (unsigned long long)(after.pack_bytes - before.pack_bytes));
	for (int restart = 0; restart < 2; restart++) {
		for (unsigned edit = 0; edit < 8; edit++)
			cr_expect(readable(st, 1, edit), "edit %u", edit);
		cr_expect_eq(check(st), 0);
		pfs_store_close(&st);
		st = must_open(&dir);
		cr_expect_eq(deltas(st), 7);
	}
	pfs_store_close(&st);
	scratch_fini(&dir);
}

Test(delta, leans_on_nothing_that_may_go)
{
	struct scratch dir = scratch_new();
	struct pfs_store *st = must_open(&dir);
	struct pfs_id a = put(st, 1, 0, NULL), unknown = { { 7 } }, dir_node;

	put(st, 1, 1, &a);
	cr_expect_eq(deltas(st), 0, "its base is not durable");
	put(st, 1, 2, &unknown);
	cr_expect_eq(deltas(st), 0, "its base is not stored");
	cr_assert_eq(pfs_store_put(st, PFS_KIND_DIRNODE, bytes(1, 0), SIZE, &dir_node, NULL), 0);
	must_sync(st);
	put(st, 1, 3, &dir_node);
	cr_expect_eq(deltas(st), 0, "its base is of another kind");
	put(st, 2, 0, &a);
	cr_expect_eq(deltas(st), 0, "they have nothing in common");
	put(st, 1, 4, &a);
	cr_expect_eq(deltas(st), 1);
	pfs_store_close(&st);
	st = must_open(&dir);
	damage(&dir, 64 + 56 + 100);
	cr_expect_not(readable(st, 1, 0));
	put(st, 1, 5, &a);
	cr_expect_eq(deltas(st), 1, "its base is damaged");
	put(st, 1, 6, &a);
	pfs_store_close(&st);
	scratch_fini(&dir);
}

Test(delta, comes_back_when_it_and_its_base_are_put_again)
{
	for (int base_first = 0; base_first < 2; base_first++) {
		struct scratch dir = scratch_new();
		struct pfs_store *st = must_open(&dir);
		struct pfs_id a = put(st, 1, 0, NULL), other = put(st, 1, 7, NULL);

		must_sync(st);
		put(st, 1, 1, &a);
		must_sync(st);
		cr_expect_eq(deltas(st), 1);
		pfs_store_close(&st);
		st = must_open(&dir);
		damage(&dir, 64 + 56 + 100);
		cr_expect_not(readable(st, 1, 1), "without its base");
		cr_expect_not(pfs_store_has(st, PFS_KIND_CHUNK, &a), "the base is what is damaged");
		cr_expect_eq(check(st), 1);
		/* Others lean on what is put again: it is not to lean on anything, whatever it resembles. */
		if (base_first)
			put(st, 1, 0, &other);
		put(st, 1, 1, &other);
		if (!base_first)
			put(st, 1, 0, &other);
		cr_expect_eq(deltas(st), 1, "one more is a delta now");
		must_sync(st);
		for (int restart = 0; restart < 2; restart++) {
			cr_expect(readable(st, 1, 0) && readable(st, 1, 1));
			pfs_store_close(&st);
			st = must_open(&dir);
		}
		pfs_store_close(&st);
		scratch_fini(&dir);
	}
}

Test(delta, is_taken_when_it_pays)
{
	static unsigned char base[SIZE], data[SIZE], back[SIZE];
	const struct pfs_id id = { { 42 } };
	const struct pfs_codec_base b = { &id, base, SIZE };
	enum pfs_codec codec;
	size_t len;
	void *out;

	scratch_fill(base, SIZE, 1);
	for (unsigned equal = 0; equal <= 16; equal++) { /* sixteenths */
		scratch_fill(data, SIZE, 2);
		memcpy(data, base, equal * (SIZE / 16));
		out = NULL;
		cr_assert_eq(pfs_codec_pack_near(data, SIZE, &b, &out, &len, &codec, NULL), 0);
		cr_expect_eq(codec == PFS_CODEC_DELTA, equal > 6, "%u sixteenths", equal);
		if (codec == PFS_CODEC_DELTA) {
			cr_expect_eq(memcmp(out, &id, sizeof(id)), 0);
			cr_assert_eq(pfs_codec_decode_delta(base, SIZE, (unsigned char *)out + 32,
							    len - 32, back, SIZE, NULL),
				     0);
			cr_expect_arr_eq(back, data, SIZE);
			cr_expect_eq(pfs_codec_decode(PFS_CODEC_ZSTD, (unsigned char *)out + 32,
						      len - 32, back, SIZE, NULL),
				     PFS_E_CORRUPT, "without its base");
		}
		free(out);
	}
	/* Text compresses by itself: then a delta has to be much less than that. */
	memset(data, 'x', SIZE);
	memcpy(data, base, 4000);
	cr_assert_eq(pfs_codec_pack_near(data, SIZE, &b, &out, &len, &codec, NULL), 0);
	cr_expect_eq(codec, PFS_CODEC_DELTA);
	free(out);
	memcpy(data, base + 1000, 20);
	scratch_fill(data + 20, 3980, 9);
	cr_assert_eq(pfs_codec_pack_near(data, SIZE, &b, &out, &len, &codec, NULL), 0);
	cr_expect_lt(len, SIZE / 8);
	free(out);
	cr_assert_eq(pfs_codec_pack_near("short", 5, &b, &out, &len, &codec, NULL), 0);
	cr_expect(codec == PFS_CODEC_RAW && !out && len == 5);
}
