#include "workspace_fixture.h"

static int wakes;

static void count_wake(void *arg)
{
	wakes++;
}

Test(workspace_feed, changes_are_told_but_for_those_of_quiet_threads)
{
	struct fixture f = begin();
	struct pfs_node_change c;

	pfs_workspace_watch(f.ws, count_wake, NULL);
	pfs_workspace_quiet(true);
	make_only(&f, f.root, PFS_ENTRY_FILE, "unheard");
	pfs_workspace_quiet(false);
	cr_expect_eq(wakes, 0);
	cr_expect_eq(pfs_workspace_next_change(f.ws, &c), 0);
	make_only(&f, f.root, PFS_ENTRY_FILE, "heard");
	cr_expect_eq(wakes, 1);
	cr_assert_eq(pfs_workspace_next_change(f.ws, &c), 1);
	cr_expect_eq(c.node, f.root);
	cr_expect_str_eq(c.name, "heard");
	pfs_node_unref(&c.node);
	end(&f);
}

Test(workspace_feed, a_reader_of_changes_that_is_too_slow_is_told_once)
{
	struct fixture f = begin();
	struct pfs_node_change c;
	char name[32];

	pfs_workspace_watch(f.ws, NULL, NULL);
	for (int i = 0; i < 6000; i++) {
		snprintf(name, sizeof(name), "%d", i);
		make_only(&f, f.root, PFS_ENTRY_FILE, name);
	}
	cr_assert_eq(pfs_workspace_next_change(f.ws, &c), 1);
	cr_expect(c.lost);
	cr_expect_eq(pfs_workspace_next_change(f.ws, &c), 0);
	end(&f);
}
