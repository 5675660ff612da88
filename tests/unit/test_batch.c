#include "store/batch.h"
#include "store/packwriter.h"
#include "base/pool.h"
#include "../scratch.h"

#include <criterion/criterion.h>
#include <glob.h>
#include <sys/stat.h>
#include <unistd.h>

#define N 120

/* Text, noise and repetitions of every size; some twice. */
static size_t fill(unsigned char *data, unsigned i)
{
	size_t len = i % 11 == 0 ? i : (i * 7919u) % 90000;

	scratch_fill(data, len, 1 + i % 100);
	if (i % 3 == 0)
		memset(data, 'a' + (int)(i % 7), len / 2);
	return len;
}

static void put_all(const char *path)
{
	static unsigned char data[N][90000];
	static struct pfs_store_item items[N];
	struct pfs_store *st = NULL;
	struct pfs_error err = { 0 };

	for (unsigned i = 0; i < N; i++)
		items[i] = (struct pfs_store_item){ .data = data[i], .len = fill(data[i], i) };
	cr_assert_eq(pfs_store_open(path, &st, &err), 0, "%s", err.text);
	for (unsigned from = 0; from < N; from += 40)
		cr_assert_eq(pfs_store_put_batch(st, PFS_KIND_CHUNK, items + from, 40, &err), 0,
			     "%s", err.text);
	cr_assert_eq(pfs_store_sync(st, NULL), 0);
	pfs_store_close(&st);
}

static void copy(const char *from, const char *to)
{
	PFS_AUTO(pfs_buf_fini) struct pfs_buf b = PFS_BUF_INIT(10000);
	int fd = open(to, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	cr_assert_eq(pfs_io_load(AT_FDCWD, from, &b, NULL), 0);
	cr_assert(fd >= 0 && pfs_io_write(fd, b.data, b.len, NULL) == 0);
	close(fd);
}

/* Records of the pack whose name comes first or last by size: a store has two here. */
static void load_records(const char *path, bool larger, struct pfs_buf *out)
{
	struct stat st, best = { .st_size = larger ? 0 : 1 << 30 };
	const char *name = NULL;
	char pattern[400];
	glob_t found;

	snprintf(pattern, sizeof(pattern), "%s/open/*.pk", path);
	cr_assert_eq(glob(pattern, 0, NULL, &found), 0);
	cr_assert_eq(found.gl_pathc, 2);
	for (size_t i = 0; i < 2; i++) {
		cr_assert_eq(stat(found.gl_pathv[i], &st), 0);
		if (larger ? st.st_size > best.st_size : st.st_size < best.st_size) {
			best = st;
			name = found.gl_pathv[i];
		}
	}
	cr_assert_eq(pfs_io_load(AT_FDCWD, name, out, NULL), 0);
	globfree(&found);
}

Test(batch, makes_the_same_packs_on_any_number_of_processors)
{
	static const unsigned processors[] = { 1, 2, 3, 16 };
	struct scratch first = scratch_new();

	pfs_pool_set_processors(1);
	put_all(first.path);
	for (size_t i = 0; i < sizeof(processors) / sizeof(*processors); i++) {
		struct scratch dir = scratch_new();
		char from[300], to[300];

		/* The same secret, so that ids are the same. */
		snprintf(from, sizeof(from), "%s/STORE", first.path);
		snprintf(to, sizeof(to), "%s/STORE", dir.path);
		copy(from, to);
		pfs_pool_set_processors(processors[i]);
		put_all(dir.path);
		for (int larger = 0; larger < 2; larger++) {
			PFS_AUTO(pfs_buf_fini) struct pfs_buf a = PFS_BUF_INIT(64u << 20);
			PFS_AUTO(pfs_buf_fini) struct pfs_buf b = PFS_BUF_INIT(64u << 20);

			load_records(first.path, larger, &a);
			load_records(dir.path, larger, &b);
			cr_expect(a.len == b.len && memcmp(a.data + PFS_PACKHDR_SIZE,
							   b.data + PFS_PACKHDR_SIZE,
							   a.len - PFS_PACKHDR_SIZE) == 0,
				  "%u processors", processors[i]);
		}
		scratch_fini(&dir);
	}
	pfs_pool_set_processors(0);
	scratch_fini(&first);
}

Test(batch, gives_ids_only_when_all_is_stored)
{
	static unsigned char data[40][70000];
	struct pfs_store_item items[40];
	struct pfs_store *st = NULL;
	struct pfs_batch *batch;
	struct pfs_id id;

	pfs_pool_set_processors(4);
	cr_assert_eq(pfs_store_open_mem(&st, NULL), 0);
	for (unsigned i = 0; i < 40; i++) {
		scratch_fill(data[i], sizeof(data[i]), i + 1);
		items[i] = (struct pfs_store_item){ .data = data[i], .len = sizeof(data[i]) };
	}
	for (unsigned round = 0; round < 30; round++) {
		cr_assert_eq(pfs_batch_begin(st, PFS_KIND_CHUNK, items, 40, &batch, NULL), 0);
		pfs_batch_abort(&batch);
		cr_expect_null(batch);
		pfs_batch_abort(&batch);
	}
	for (unsigned i = 0; i < 40; i++)
		cr_expect(pfs_id_is_zero(&items[i].id), "a batch that was given up set id %u", i);
	cr_assert_eq(pfs_batch_name(st, PFS_KIND_CHUNK, items, 40, NULL), 0);
	for (unsigned i = 0; i < 40; i++) {
		pfs_store_id(st, PFS_KIND_CHUNK, data[i], sizeof(data[i]), &id);
		cr_expect(pfs_id_equal(&id, &items[i].id), "id %u", i);
		cr_expect_not(pfs_store_has(st, PFS_KIND_CHUNK, &id), "naming stored %u", i);
	}
	pfs_store_close(&st);
}
