#include "workspace_fixture.h"

#include <pthread.h>

Test(workspace_file, truncation_cuts_and_fills_with_zeros)
{
	struct fixture f = begin();
	struct pfs_node *n = put(&f, f.root, "f", "0123456789");
	struct pfs_node_attr set = { .size_bytes = 4 };
	struct pfs_open *o;
	char bytes[8];
	size_t got;

	commit(&f);
	OK(pfs_workspace_setattr(f.ws, n, PFS_NODE_SIZE, &set, &err));
	set.size_bytes = 8;
	OK(pfs_workspace_setattr(f.ws, n, PFS_NODE_SIZE, &set, &err));
	OK(pfs_workspace_open_file(f.ws, n, false, false, &o, &err));
	OK(pfs_workspace_read(o, 0, bytes, sizeof(bytes), &got, &err));
	cr_expect_eq(got, 8);
	cr_expect_eq(memcmp(bytes, "0123\0\0\0\0", 8), 0);
	FAILS(PFS_E_DENIED, pfs_workspace_write(o, 0, "x", 1, &err));
	pfs_workspace_close_file(&o);
	set.size_bytes = PFS_FILE_SIZE_MAX + 1;
	FAILS(PFS_E_LIMIT, pfs_workspace_setattr(f.ws, n, PFS_NODE_SIZE, &set, &err));
	FAILS(PFS_E_ISDIR, pfs_workspace_setattr(f.ws, f.root, PFS_NODE_SIZE, &set, &err));
	pfs_node_unref(&n);
	end(&f);
}

Test(workspace_file, who_reads_sees_what_is_written_later_whatever_is_committed_in_between)
{
	struct fixture f = begin();
	struct pfs_node *n = put(&f, f.root, "f", "one");
	struct pfs_open *old, *early, *writer;

	OK(pfs_workspace_open_file(f.ws, n, false, false, &old, &err));
	cr_expect_geq(pfs_workspace_local_fd(old), 0);
	commit(&f);
	cr_expect_not(pfs_workspace_dirty(f.ws), "readers do not keep it dirty");
	cr_expect_str_eq(read_open(old), "one", "its descriptor goes on");
	OK(pfs_workspace_open_file(f.ws, n, true, false, &writer, &err));
	cr_expect_eq(pfs_workspace_local_fd(writer), pfs_workspace_local_fd(old),
		     "everybody has the same file");
	OK(pfs_workspace_write(writer, 0, NAME("two"), &err));
	cr_expect_str_eq(read_open(old), "two");
	pfs_workspace_close_file(&writer);
	pfs_workspace_close_file(&old);
	commit(&f);

	OK(pfs_workspace_open_file(f.ws, n, false, false, &early, &err));
	cr_expect_eq(pfs_workspace_local_fd(early), -1, "clean, read from the store");
	cr_expect_str_eq(read_open(early), "two");
	write_at(&f, n, 0, "six");
	cr_expect_str_eq(read_open(early), "six");
	commit(&f);
	cr_expect_str_eq(read_open(early), "six");
	pfs_workspace_close_file(&early);
	pfs_node_unref(&n);
	end(&f);
}

Test(workspace_file, appending_seeking_and_allocating_do_as_the_kernel_does)
{
	struct fixture f = begin();
	struct pfs_node *n = put(&f, f.root, "f", "abc");
	struct pfs_open *o;
	uint64_t at;

	commit(&f);
	OK(pfs_workspace_open_file(f.ws, n, false, false, &o, &err));
	OK(pfs_workspace_seek(o, 1, SEEK_DATA, &at, &err));
	cr_expect_eq(at, 1);
	OK(pfs_workspace_seek(o, 1, SEEK_HOLE, &at, &err));
	cr_expect_eq(at, 3);
	FAILS(PFS_E_NOTFOUND, pfs_workspace_seek(o, 3, SEEK_DATA, &at, &err));
	FAILS(PFS_E_INVALID, pfs_workspace_seek(o, 0, SEEK_END, &at, &err));
	pfs_workspace_close_file(&o);
	OK(pfs_workspace_open_file(f.ws, n, true, false, &o, &err));
	OK(pfs_workspace_append(o, NAME("def"), &err));
	cr_expect_str_eq(read_open(o), "abcdef");
	FAILS(PFS_E_NOTFOUND, pfs_workspace_seek(o, 6, SEEK_HOLE, &at, &err));
	OK(pfs_workspace_allocate(o, 0, 0, 100, &err));
	cr_expect_eq(attr_of(&f, n).size_bytes, 100);
	FAILS(PFS_E_LIMIT, pfs_workspace_write(o, PFS_FILE_SIZE_MAX, "x", 1, &err));
	pfs_workspace_close_file(&o);
	pfs_node_unref(&n);
	end(&f);
}

/* Where the next data, or the next hole, is; UINT64_MAX: none. */
static uint64_t seek(struct pfs_open *o, uint64_t off, int whence)
{
	uint64_t at = 0;
	int rc = pfs_workspace_seek(o, off, whence, &at, &err);

	cr_assert(rc == 0 || rc == PFS_E_NOTFOUND, "%s", err.text);
	return rc == 0 ? at : UINT64_MAX;
}

Test(workspace_file, holes_are_where_they_are_in_every_state)
{
	const uint64_t MiB = 1 << 20;
	struct fixture f = begin();
	struct pfs_node *n = put(&f, f.root, "f", "abc");
	struct pfs_node_attr set = { .size_bytes = 32 * MiB };
	struct pfs_open *o;

	write_at(&f, n, 8 * MiB, "def");
	OK(pfs_workspace_setattr(f.ws, n, PFS_NODE_SIZE, &set, &err));
	for (int state = 0; state < 4; state++) {
		if (state == 1 || state == 3)
			commit(&f);
		if (state == 2)
			write_at(&f, n, 16 * MiB, "ghi");
		OK(pfs_workspace_open_file(f.ws, n, false, false, &o, &err));
		cr_expect_eq(seek(o, 0, SEEK_DATA), 0, "state %d", state);
		cr_expect_lt(seek(o, 0, SEEK_HOLE), MiB, "state %d", state);
		cr_expect_leq(seek(o, MiB, SEEK_DATA), 8 * MiB, "state %d", state);
		cr_expect_gt(seek(o, MiB, SEEK_DATA), 7 * MiB, "state %d", state);
		cr_expect_eq(seek(o, 8 * MiB, SEEK_DATA), 8 * MiB, "state %d", state);
		cr_expect_lt(seek(o, 8 * MiB, SEEK_HOLE), 9 * MiB, "state %d", state);
		if (state < 2)
			cr_expect_eq(seek(o, 10 * MiB, SEEK_DATA), UINT64_MAX, "state %d", state);
		else
			cr_expect_eq(seek(o, 16 * MiB, SEEK_DATA), 16 * MiB, "state %d", state);
		cr_expect_eq(seek(o, 30 * MiB, SEEK_HOLE), 30 * MiB, "state %d", state);
		cr_expect_eq(seek(o, 32 * MiB, SEEK_HOLE), UINT64_MAX, "state %d", state);
		cr_expect_lt(attr_of(&f, n).blocks, 1000, "state %d", state);
		pfs_workspace_close_file(&o);
	}
	pfs_node_unref(&n);
	end(&f);
}

/* A committed content. */
static struct pfs_content content_of(struct fixture *f, const char *text)
{
	struct pfs_content c;

	OK(pfs_content_from_bytes(f->st, NAME(text), &c, &err));
	return c;
}

Test(workspace_file, a_file_becomes_a_content_when_nobody_else_can_write_it)
{
	struct fixture f = begin();
	struct pfs_content other = content_of(&f, "other"), got;
	struct pfs_node *n = put(&f, f.root, "f", "first");
	struct pfs_open *o, *reader, *writer;

	OK(pfs_workspace_open_file(f.ws, n, false, false, &reader, &err));
	FAILS(PFS_E_DENIED, pfs_workspace_become(reader, &other, &err));
	cr_expect_not(pfs_workspace_content(reader, &got), "it is new");
	OK(pfs_workspace_open_file(f.ws, n, true, false, &o, &err));
	OK(pfs_workspace_open_file(f.ws, n, true, false, &writer, &err));
	FAILS(0, pfs_workspace_become(o, &other, &err));
	pfs_workspace_close_file(&writer);
	FAILS(1, pfs_workspace_become(o, &other, &err));
	cr_expect_str_eq(read_open(o), "other");
	cr_expect_str_eq(read_open(reader), "other", "who reads looks again");
	cr_expect(pfs_workspace_content(reader, &got) && pfs_content_equal(&got, &other));
	cr_expect(attr_of(&f, n).dirty);
	OK(pfs_workspace_append(o, NAME(" and more"), &err));
	cr_expect_str_eq(read_open(reader), "other and more");
	FAILS(0, pfs_workspace_become(o, &other, &err));
	pfs_workspace_close_file(&o);
	pfs_workspace_close_file(&reader);
	commit(&f);
	cr_expect_str_eq(text_at(&f, "f"), "other and more");
	pfs_node_unref(&n);
	end(&f);
}

Test(workspace_file, whose_descriptor_was_borrowed_becomes_nothing)
{
	struct fixture f = begin();
	struct pfs_content other = content_of(&f, "other");
	struct pfs_node *n = make(&f, f.root, PFS_ENTRY_FILE, "f");
	struct pfs_open *o;

	OK(pfs_workspace_open_file(f.ws, n, true, false, &o, &err));
	cr_expect_geq(pfs_workspace_local_fd(o), 0);
	FAILS(0, pfs_workspace_become(o, &other, &err));
	cr_expect_eq(pwrite(pfs_workspace_local_fd(o), "mine", 4, 0), 4);
	cr_expect_str_eq(read_open(o), "mine");
	pfs_workspace_close_file(&o);
	pfs_node_unref(&n);
	end(&f);
}

Test(workspace_file, what_became_a_content_is_in_the_journal_and_in_commits)
{
	struct fixture f = begin();
	struct pfs_content other = content_of(&f, "other");
	struct pfs_node *n = make(&f, f.root, PFS_ENTRY_FILE, "f");
	struct pfs_open *o;

	OK(pfs_workspace_open_file(f.ws, n, true, false, &o, &err));
	FAILS(1, pfs_workspace_become(o, &other, &err));
	OK(pfs_workspace_sync_file(o, &err));
	pfs_workspace_close_file(&o);
	pfs_node_unref(&n);
	close_ws(&f);
	open_ws(&f);
	cr_expect_str_eq(text_at(&f, "f"), "other");
	cr_expect_eq(spool_files(&f), 0);
	commit(&f);
	cr_expect_not(pfs_workspace_dirty(f.ws));
	cr_expect_str_eq(text_at(&f, "f"), "other");
	end(&f);
}

#define TURNS 1000

static void *write_behind(void *arg)
{
	return pfs_workspace_write(arg, 100, "x", 1, NULL) < 0 ? arg : NULL;
}

/* A file that is longer does not become a shorter content, so whichever comes first the byte stays. */
Test(workspace_file, a_write_meanwhile_is_never_lost)
{
	struct fixture f = begin();
	struct pfs_content other = content_of(&f, "other");
	struct pfs_node *n = put(&f, f.root, "f", "first");
	struct pfs_node_attr set = { .size_bytes = 0 };
	struct pfs_open *o;
	unsigned became = 0;

	OK(pfs_workspace_open_file(f.ws, n, true, false, &o, &err));
	for (int i = 0; i < TURNS; i++) {
		pthread_t thread;
		void *failed;
		int rc;

		OK(pfs_workspace_setattr(f.ws, n, PFS_NODE_SIZE, &set, &err));
		cr_assert_eq(pthread_create(&thread, NULL, write_behind, o), 0);
		for (int wait = i % 100 * 200; wait > 0; wait--)
			__asm__ volatile("" ::: "memory");
		rc = pfs_workspace_become(o, &other, &err);
		cr_assert_geq(rc, 0, "%s", err.text);
		became += (unsigned)rc;
		pthread_join(thread, &failed);
		cr_assert_null(failed);
		cr_assert_eq(attr_of(&f, n).size_bytes, 101, "turn %d, %d", i, rc);
	}
	cr_expect_gt(became, 0);
	pfs_workspace_close_file(&o);
	pfs_node_unref(&n);
	end(&f);
}

Test(workspace_file, times_that_were_set_stay_set)
{
	struct fixture f = begin();
	struct pfs_node *n = put(&f, f.root, "f", "abc");
	struct pfs_node_attr set = { .attrs = { .mtime_sec = 1234567890,
						.mtime_nsec = 123456789 } };

	OK(pfs_workspace_setattr(f.ws, n, PFS_NODE_MTIME, &set, &err));
	pfs_node_unref(&n);
	close_ws(&f);
	open_ws(&f);
	for (int round = 0; round < 3; round++) {
		n = find(&f, f.root, "f");
		cr_expect_eq(attr_of(&f, n).attrs.mtime_sec, 1234567890, "round %d", round);
		cr_expect_eq(attr_of(&f, n).attrs.mtime_nsec, 123456789u, "round %d", round);
		if (round == 1) {
			struct pfs_open *o;

			OK(pfs_workspace_open_file(f.ws, n, true, false, &o, &err));
			pfs_workspace_close_file(&o);
		}
		pfs_node_unref(&n);
		commit(&f);
	}
	end(&f);
}

Test(workspace_file, what_is_made_in_a_setgid_directory_has_its_group)
{
	struct fixture f = begin();
	struct pfs_node *d = make(&f, f.root, PFS_ENTRY_DIR, "d"), *n;
	struct pfs_node_attr set = { .attrs = { .mode = 02775, .gid = 77 } };

	OK(pfs_workspace_setattr(f.ws, d, PFS_NODE_MODE | PFS_NODE_GID, &set, &err));
	n = make(&f, d, PFS_ENTRY_FILE, "f");
	cr_expect_eq(attr_of(&f, n).attrs.gid, 77);
	pfs_node_unref(&n);
	n = make(&f, d, PFS_ENTRY_DIR, "sub");
	cr_expect_eq(attr_of(&f, n).attrs.mode & 02000, 02000);
	pfs_node_unref(&n);
	pfs_node_unref(&d);
	end(&f);
}

Test(workspace_file, an_access_time_stays_until_it_is_set_and_makes_no_change)
{
	struct fixture f = begin();
	struct pfs_node *n = put(&f, f.root, "f", "abc");
	struct pfs_node_attr set = { .atime_ns = -5, .attrs = { .mtime_sec = 9 } };

	OK(pfs_workspace_setattr(f.ws, n, PFS_NODE_MTIME, &set, &err));
	cr_expect_gt(attr_of(&f, n).atime_ns, INT64_C(9000000000));
	OK(pfs_workspace_setattr(f.ws, n, PFS_NODE_ATIME, &set, &err));
	cr_expect_eq(attr_of(&f, n).atime_ns, -5);
	cr_expect_eq(attr_of(&f, n).attrs.mtime_sec, 9);
	commit(&f);
	set.atime_ns = 7;
	OK(pfs_workspace_setattr(f.ws, n, PFS_NODE_ATIME, &set, &err));
	cr_expect_eq(attr_of(&f, n).atime_ns, 7);
	cr_expect_not(attr_of(&f, n).dirty);
	pfs_node_unref(&n);
	n = find(&f, f.root, "f");
	cr_expect_eq(attr_of(&f, n).atime_ns, INT64_C(9000000000), "that of the commit");
	pfs_node_unref(&n);
	end(&f);
}

static void set_mode(struct fixture *f, struct pfs_node *n, uint16_t mode)
{
	struct pfs_node_attr set = { .attrs.mode = mode };

	OK(pfs_workspace_setattr(f->ws, n, PFS_NODE_MODE, &set, &err));
}

Test(workspace_file, who_writes_past_us_takes_set_id_bits_away)
{
	static const struct {
		uint16_t set, left;
	} modes[] = { { 04755, 0755 }, { 02775, 0775 }, { 02745, 02745 }, { 01644, 01644 } };
	struct fixture f = begin();

	for (size_t i = 0; i < sizeof(modes) / sizeof(*modes); i++) {
		struct pfs_node *n = put(&f, f.root, "f", "abc");
		struct pfs_open *o;
		int fd;

		OK(pfs_workspace_open_file(f.ws, n, true, false, &o, &err));
		fd = pfs_workspace_local_fd(o);
		cr_assert_eq(pwrite(fd, "x", 1, 0), 1);
		set_mode(&f, n, modes[i].set);
		cr_expect_eq(attr_of(&f, n).attrs.mode, modes[i].set, "written before");
		cr_assert_eq(pwrite(fd, "y", 1, 0), 1);
		cr_expect_eq(attr_of(&f, n).attrs.mode, modes[i].left);
		if (i % 2)
			commit(&f);
		pfs_workspace_close_file(&o);
		cr_expect_eq(attr_of(&f, n).attrs.mode, modes[i].left);
		pfs_node_unref(&n);
		OK(pfs_workspace_remove_name(f.ws, f.root, "f", 1, false, &err));
	}
	end(&f);
}

Test(workspace_file, a_file_with_set_id_bits_is_not_written_past_us)
{
	struct fixture f = begin();
	struct pfs_node *n = put(&f, f.root, "f", "abc");
	struct pfs_open *o;

	set_mode(&f, n, 04755);
	OK(pfs_workspace_open_file(f.ws, n, true, false, &o, &err));
	cr_expect_eq(pfs_workspace_local_fd(o), -1);
	OK(pfs_workspace_write(o, 0, "x", 1, &err));
	pfs_workspace_close_file(&o);
	cr_expect_eq(attr_of(&f, n).attrs.mode, 04755, "who says that it is to go is asked for it");
	pfs_node_unref(&n);
	end(&f);
}
