#include "workspace_fixture.h"
#include "base/fault.h"

#include <sys/stat.h>

/* What another process would see: all of memory is gone, what was held is not given back. */
static void go_on(struct fixture *f)
{
	OK(pfs_workspace_hold(f->ws, &err));
	close_ws(f);
	open_ws(f);
}

static struct pfs_node *find_held(struct fixture *f, uint64_t ino)
{
	struct pfs_node *n;

	OK(pfs_workspace_find_held(f->ws, ino, &n, &err));
	return n;
}

static const char *read_node(struct fixture *f, struct pfs_node *n)
{
	static char bytes[64];
	struct pfs_open *o;
	size_t got;

	OK(pfs_workspace_open_file(f->ws, n, false, false, &o, &err));
	OK(pfs_workspace_read(o, 0, bytes, sizeof(bytes) - 1, &got, &err));
	bytes[got] = 0;
	pfs_workspace_close_file(&o);
	return bytes;
}

static unsigned count_spooled(const struct fixture *f)
{
	char command[400];
	unsigned n = 0;
	FILE *p;

	snprintf(command, sizeof(command), "find %s/spool -type f -name '*-*' | wc -l", f->folder);
	p = popen(command, "r");
	cr_assert_eq(fscanf(p, "%u", &n), 1);
	pclose(p);
	return n;
}

static void tick(struct fixture *f)
{
	OK(pfs_workspace_tick(f->ws, 0, &err));
	OK(pfs_workspace_sync(f->ws, &err));
	OK(pfs_workspace_tick(f->ws, 0, &err));
}

/* A file of each state that lost its name while somebody has it; the reference is the caller's. */
static struct pfs_node *lose(struct fixture *f, const char *name, const char *bytes, bool committed)
{
	struct pfs_node *n = put(f, f->root, name, bytes);

	if (committed)
		commit(f);
	OK(pfs_workspace_remove_name(f->ws, f->root, NAME(name), false, &err));
	return n;
}

Test(workspace_hold, what_has_no_name_is_found_by_its_number)
{
	struct fixture f = begin();
	struct pfs_node *fresh = lose(&f, "new", "of the spool", false);
	struct pfs_node *clean = lose(&f, "clean", "of the store", true);
	uint64_t inos[] = { pfs_node_ino(fresh), pfs_node_ino(clean) };
	struct pfs_node_attr a;

	go_on(&f);
	fresh = find_held(&f, inos[0]);
	clean = find_held(&f, inos[1]);
	tick(&f);
	cr_expect_str_eq(read_node(&f, fresh), "of the spool");
	cr_expect_str_eq(read_node(&f, clean), "of the store");
	OK(pfs_workspace_getattr(f.ws, fresh, &a, &err));
	cr_expect_eq(a.nlink, 0);
	FAILS(PFS_E_NOTFOUND, pfs_workspace_link(f.ws, fresh, f.root, NAME("again"), &err));
	cr_expect_eq(count_spooled(&f), 1);
	pfs_node_unref(&fresh);
	pfs_node_unref(&clean);
	tick(&f);
	cr_expect_eq(count_spooled(&f), 0, "its bytes go with its last user");
	end(&f);
}

Test(workspace_hold, what_nobody_goes_on_with_goes_with_the_first_tick)
{
	struct fixture f = begin();
	struct pfs_node *n = lose(&f, "new", "bytes", false);
	uint64_t ino = pfs_node_ino(n);

	go_on(&f);
	cr_expect_eq(count_spooled(&f), 1);
	/* Opened and closed without a tick, it is still there. */
	close_ws(&f);
	open_ws(&f);
	cr_expect_eq(count_spooled(&f), 1);
	tick(&f);
	cr_expect_eq(count_spooled(&f), 0);
	FAILS(PFS_E_NOTFOUND, pfs_workspace_find_held(f.ws, ino, &n, &err));
	close_ws(&f);
	open_ws(&f);
	FAILS(PFS_E_NOTFOUND, pfs_workspace_find_held(f.ws, ino, &n, &err));
	end(&f);
}

Test(workspace_hold, what_could_not_be_given_away_is_held_as_before)
{
#ifdef NDEBUG
	cr_skip_test("no fault points in this build");
#endif
	struct fixture f = begin();
	struct pfs_node *n = lose(&f, "new", "bytes", false);
	uint64_t ino = pfs_node_ino(n);
	unsigned failed = 0;
	bool whole = false;
	int rc;

	/* At each point at which a full disk may stop it, and when it was somebody else who could not. */
	for (unsigned point = 1; !whole; point++) {
		pfs_fault_arm(PFS_FAULT_NOSPACE, point);
		rc = pfs_workspace_hold(f.ws, &err);
		whole = pfs_fault_count() < point;
		pfs_fault_arm(PFS_FAULT_NONE, 0);
		failed += rc == PFS_E_NOSPACE;
		cr_expect(rc == 0 || rc == PFS_E_NOSPACE, "%s", err.text);
		pfs_workspace_end_hold(f.ws);
		cr_expect_str_eq(read_node(&f, n), "bytes");
		write_at(&f, n, 0, "other");
		tick(&f);
		cr_expect_str_eq(read_node(&f, n), "other");
		write_at(&f, n, 0, "bytes");
	}
	cr_expect_geq(failed, 2);
	cr_expect_eq(count_spooled(&f), 1);
	/* It is not written down any more: gone with its last user, or with the process. */
	close_ws(&f);
	open_ws(&f);
	FAILS(PFS_E_NOTFOUND, pfs_workspace_find_held(f.ws, ino, &n, &err));
	tick(&f);
	cr_expect_eq(count_spooled(&f), 0);
	end(&f);
}

Test(workspace_hold, a_file_made_without_a_name_may_get_one_later)
{
	const struct pfs_node_make how = { .type = PFS_ENTRY_FILE, .mode = 0600 };
	struct fixture f = begin();
	struct pfs_node *n;
	uint64_t ino;

	OK(pfs_workspace_make_unnamed(f.ws, &how, &n, &err));
	ino = pfs_node_ino(n);
	write_at(&f, n, 0, "tmp");
	for (int process = 0; process < 3; process++) {
		go_on(&f);
		n = find_held(&f, ino);
	}
	/* Before the tick, which must not take it for one that nobody has. */
	OK(pfs_workspace_link(f.ws, n, f.root, NAME("named"), &err));
	tick(&f);
	pfs_node_unref(&n);
	close_ws(&f);
	open_ws(&f);
	OK(pfs_workspace_lookup(f.ws, f.root, NAME("named"), &n, &err));
	cr_expect_str_eq(read_node(&f, n), "tmp");
	pfs_node_unref(&n);
	end(&f);
}

Test(workspace_hold, a_removed_directory_stays_empty)
{
	struct fixture f = begin();
	struct pfs_node *dir = make(&f, f.root, PFS_ENTRY_DIR, "d"), *n;
	uint64_t ino = pfs_node_ino(dir);

	n = put(&f, dir, "x", "in the base");
	pfs_node_unref(&n);
	commit(&f);
	OK(pfs_workspace_remove_name(f.ws, dir, NAME("x"), false, &err));
	OK(pfs_workspace_remove_name(f.ws, f.root, NAME("d"), true, &err));
	go_on(&f);
	dir = find_held(&f, ino);
	FAILS(PFS_E_NOTFOUND, pfs_workspace_lookup(f.ws, dir, NAME("x"), &n, &err));
	FAILS(PFS_E_NOTFOUND,
	      pfs_workspace_make(f.ws, dir, NAME("y"),
				 &(struct pfs_node_make){ .type = PFS_ENTRY_DIR }, &n, &err));
	tick(&f);
	pfs_node_unref(&dir);
	end(&f);
}

Test(workspace_hold, a_lent_descriptor_goes_on_showing_what_is_written)
{
	struct fixture f = begin();
	struct pfs_node *n = put(&f, f.root, "f", "one");
	struct pfs_open *reader;
	struct stat before, after;
	int fd;

	OK(pfs_workspace_open_file(f.ws, n, false, false, &reader, &err));
	fd = dup(pfs_workspace_local_fd(reader));
	cr_assert_eq(fstat(fd, &before), 0);
	commit(&f);
	OK(pfs_workspace_hold(f.ws, &err));
	pfs_workspace_close_file(&reader);
	pfs_node_unref(&n);
	close_ws(&f);
	open_ws(&f);
	OK(pfs_workspace_lookup(f.ws, f.root, NAME("f"), &n, &err));
	OK(pfs_workspace_open_file(f.ws, n, true, false, &reader, &err));
	cr_assert_eq(fstat(pfs_workspace_local_fd(reader), &after), 0);
	cr_expect_eq(before.st_ino, after.st_ino, "the same spool file");
	pfs_workspace_close_file(&reader);
	pfs_node_unref(&n);
	close(fd);
	end(&f);
}
