#include "store/bundler.h"
#include "store/packlog.h"
#include "store/store.h"
#include "store/superblock.h"
#include "base/crc32c.h"
#include "base/fault.h"
#include "base/limits.h"
#include "../scratch.h"

#include <criterion/criterion.h>
#include <unistd.h>

#define N 150

/* Small objects, much alike; every seventh is a node, one is empty. */
static size_t fill(unsigned char data[1000], unsigned i)
{
	size_t len = i == 49 ? 0 : 200 + i % 300;

	memset(data, 'a' + (int)(i % 3), 1000);
	snprintf((char *)data, 1000, "{\"name\": \"object %u\", \"value\": %u}", i, i * 7919);
	return len;
}

static enum pfs_kind kind_of(unsigned i)
{
	return i % 7 == 3 ? PFS_KIND_DIRNODE : PFS_KIND_CHUNK;
}

/* A store's folder from the inside, while nobody has the store open. */
struct inside {
	int dir;
	struct pfs_superblock super;
	struct pfs_hasher *hasher;
	struct pfs_packset *set;
	struct pfs_packlog *log;
};

static void enter(struct inside *s, const struct scratch *dir)
{
	struct pfs_store *st = NULL;
	struct pfs_store_keys keys;

	cr_assert_eq(pfs_store_open(dir->path, &st, NULL), 0);
	pfs_store_close(&st);
	s->dir = pfs_io_open(AT_FDCWD, dir->path, O_RDONLY | O_DIRECTORY, 0, NULL);
	cr_assert_geq(s->dir, 0);
	cr_assert_eq(pfs_superblock_load(s->dir, &s->super, NULL), 0);
	cr_assert_eq(pfs_hasher_derive(s->super.secret, &keys, NULL), 0);
	cr_assert_eq(pfs_hasher_new(keys.id_key, &s->hasher, NULL), 0);
	cr_assert_eq(pfs_packset_new(s->dir, s->super.uuid, &s->set, NULL), 0);
	cr_assert_eq(pfs_packlog_new(s->dir, s->set, s->hasher, s->super.uuid, 1, &s->log, NULL),
		     0);
}

static void leave(struct inside *s)
{
	pfs_packlog_free(&s->log);
	pfs_packset_free(&s->set);
	pfs_hasher_free(&s->hasher);
	pfs_fd_close(&s->dir);
}

static struct pfs_id id_of(const struct inside *s, unsigned i)
{
	unsigned char data[1000];
	struct pfs_id id;
	size_t len = fill(data, i);

	cr_assert_eq(pfs_hasher_id(s->hasher, kind_of(i), data, len, &id, NULL), 0);
	return id;
}

static void append_all(struct inside *s)
{
	unsigned char data[1000];

	for (unsigned i = 0; i < N; i++) {
		struct pfs_packrec rec = { .type = (uint8_t)kind_of(i) };

		rec.ulen = rec.clen = (uint32_t)fill(data, i);
		rec.id = id_of(s, i);
		rec.payload_crc = pfs_crc32c(0, data, rec.clen);
		cr_assert_eq(pfs_packlog_append(s->log, &rec, data, NULL), 0);
	}
}

/* Objects [from, to) into one bundle. */
static void bundle(struct inside *s, unsigned from, unsigned to)
{
	PFS_AUTO(pfs_bundler_fini) struct pfs_bundler b;
	struct pfs_move moves[N] = { 0 };
	struct pfs_error err = { 0 };
	unsigned char data[1000], *payload;
	struct pfs_packrec rec;

	pfs_bundler_init(&b);
	for (unsigned i = from; i < to; i++) {
		struct pfs_id id = id_of(s, i);
		size_t len = fill(data, i);

		cr_assert(pfs_bundler_fits(&b, len));
		cr_assert_eq(pfs_bundler_add(&b, kind_of(i), &id, data, len, &err), 0, "%s",
			     err.text);
		moves[i - from].id = id;
		cr_assert(pfs_packset_find(s->set, &id, &moves[i - from].from));
	}
	cr_assert_eq(pfs_bundler_members(&b), to - from);
	cr_assert_eq(pfs_bundler_make(&b, s->hasher, &rec, &payload, &err), 0, "%s", err.text);
	cr_expect_lt(rec.clen, 4000 + (to - from) * 60, "%u bytes in %u", rec.ulen, rec.clen);
	cr_assert_eq(pfs_packlog_move(s->log, &rec, payload, moves, to - from, &err), 1, "%s",
		     err.text);
	free(payload);
}

static unsigned readable(struct pfs_store *st)
{
	unsigned char data[1000];
	unsigned n = 0;

	for (unsigned i = 0; i < N; i++) {
		PFS_AUTO(pfs_object_unref) const struct pfs_object *o = NULL;
		size_t len = fill(data, i);
		struct pfs_id id;

		pfs_store_id(st, kind_of(i), data, len, &id);
		if (pfs_store_get(st, kind_of(i), &id, &o, NULL) < 0)
			continue;
		cr_assert(o->len == len && (len == 0 || memcmp(o->data, data, len) == 0),
			  "wrong bytes of %u", i);
		n++;
	}
	return n;
}

static void last_damage(void *arg, const char *damage)
{
	snprintf(arg, 1000, "%s", damage);
}

/* Open the store, look at everything, close it. */
static void expect_whole(const struct scratch *dir, unsigned bundled)
{
	struct pfs_store *st = NULL;
	struct pfs_store_stats stats;
	struct pfs_error err = { 0 };
	char text[1000] = "";

	cr_assert_eq(pfs_store_open(dir->path, &st, &err), 0, "%s", err.text);
	pfs_store_stats(st, &stats);
	cr_expect_eq(stats.bundled, bundled, "%llu", (unsigned long long)stats.bundled);
	cr_expect_eq(stats.objects, N);
	cr_expect_eq(readable(st), N);
	pfs_store_stats(st, &stats);
	cr_expect_leq(stats.cache_misses, N - bundled + bundled / 25 + 1, "%llu times read",
		      (unsigned long long)stats.cache_misses);
	cr_expect_eq(pfs_store_check(st, last_damage, text, NULL), 0, "%s", text);
	pfs_store_close(&st);
}

Test(bundle, gives_back_its_members_and_reads_them_together)
{
	struct scratch dir = scratch_new();
	struct inside s;

	enter(&s, &dir);
	append_all(&s);
	bundle(&s, 0, 50);
	bundle(&s, 50, 100);
	cr_assert_eq(pfs_packlog_sync(s.log, NULL), 0);
	leave(&s);
	expect_whole(&dir, 100); /* from an open pack, by its records */
	expect_whole(&dir, 100);
	scratch_fini(&dir);
}

Test(bundle, is_known_from_the_footer_of_a_sealed_pack)
{
	struct scratch dir = scratch_new();
	struct inside s;

	pfs_packwriter_set_targets(4000, 4000);
	enter(&s, &dir);
	append_all(&s);
	bundle(&s, 25, 125);
	cr_assert_eq(pfs_packlog_sync(s.log, NULL), 0);
	leave(&s);
	expect_whole(&dir, 100);
	scratch_fini(&dir);
}

Test(bundle, is_rescued_with_all_its_members)
{
	struct scratch dir = scratch_new();
	struct pfs_place place;
	struct pfs_error err = { 0 };
	struct pfs_id id;
	struct inside s;

#ifdef NDEBUG
	cr_skip_test("no fault points in this build");
#endif
	enter(&s, &dir);
	append_all(&s);
	cr_assert_eq(pfs_packlog_sync(s.log, NULL), 0);
	bundle(&s, 0, 100);
	pfs_fault_arm(PFS_FAULT_FAIL, 2); /* 1 the write, 2 the flush */
	cr_expect_eq(pfs_packlog_sync(s.log, &err), 0, "%s", err.text);
	pfs_fault_arm(PFS_FAULT_NONE, 0);
	for (unsigned i = 0; i < 100; i++) {
		id = id_of(&s, i);
		cr_assert(pfs_packset_find(s.set, &id, &place), "%u is gone", i);
		cr_expect(place.codec == PFS_CODEC_BUNDLED && place.pack == 2,
			  "%u is in pack %u with codec %d", i, place.pack, place.codec);
	}
	leave(&s);
	expect_whole(&dir, 200); /* the record in the pack that was left alone is there too */
	scratch_fini(&dir);
}

Test(bundle, tells_which_members_its_damage_takes)
{
	struct scratch dir = scratch_new();
	struct pfs_store *st = NULL;
	char path[600], uuid[PFS_PACK_TEXT_SIZE], text[1000] = "";
	unsigned char data[1000];
	struct pfs_place place;
	struct inside s;
	struct pfs_id id;
	int fd;

	enter(&s, &dir);
	append_all(&s);
	bundle(&s, 0, 100);
	cr_assert_eq(pfs_packlog_sync(s.log, NULL), 0);
	id = id_of(&s, 5);
	cr_assert(pfs_packset_find(s.set, &id, &place));
	snprintf(path, sizeof(path), "%s/open/%s.pk", dir.path,
		 pfs_pack_format(pfs_packset_pack(s.set, place.pack)->uuid, uuid));
	leave(&s);
	cr_assert_eq(pfs_store_open(dir.path, &st, NULL), 0);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	cr_assert_eq(pwrite(fd, "damage", 6, (off_t)(place.off + place.clen)), 6);
	close(fd);
	cr_expect_eq(readable(st), N - 100);
	cr_expect_eq(pfs_store_check(st, last_damage, text, NULL), 1);
	cr_expect(strstr(text, uuid), "%s", text);
	for (unsigned i = 0; i < N; i++) {
		size_t len = fill(data, i);

		pfs_store_id(st, kind_of(i), data, len, &id);
		cr_expect_eq(pfs_store_has(st, kind_of(i), &id), i >= 100, "object %u", i);
		cr_assert_eq(pfs_store_put(st, kind_of(i), data, len, &id, NULL), 0);
	}
	cr_expect_eq(readable(st), N);
	pfs_store_close(&st);
	scratch_fini(&dir);
}

Test(bundle, has_room_for_so_much)
{
	PFS_AUTO(pfs_bundler_fini) struct pfs_bundler b;
	static unsigned char data[PFS_BUNDLE_SIZE_MAX + 1];
	const struct pfs_id id = { { 1 } };

	pfs_bundler_init(&b);
	cr_expect_not(pfs_bundler_fits(&b, sizeof(data)));
	cr_expect_eq(pfs_bundler_add(&b, PFS_KIND_CHUNK, &id, data, sizeof(data), NULL),
		     PFS_E_LIMIT);
	cr_expect_eq(pfs_bundler_members(&b), 0);
	cr_assert_eq(pfs_bundler_add(&b, PFS_KIND_CHUNK, &id, data, sizeof(data) - 1, NULL), 0);
	cr_expect_not(pfs_bundler_fits(&b, 1));
	cr_expect(pfs_bundler_fits(&b, 0));
	pfs_bundler_clear(&b);
	for (unsigned i = 0; i < 1024; i++)
		cr_assert_eq(pfs_bundler_add(&b, PFS_KIND_CHUNK, &id, data, 1, NULL), 0);
	cr_expect_not(pfs_bundler_fits(&b, 1));
}
