/* What has changed in a branch, and between commits. */
#include "../history_fixture.h"

static void drop(struct house *s, const char *name)
{
	struct pfs_workspace *ws = NULL;
	struct pfs_error err = { 0 };
	struct pfs_node *root;

	must(pfs_history_workspace(s->h, "books", "master", &ws, &err), &err);
	root = pfs_workspace_root(ws);
	must(pfs_workspace_remove_name(ws, root, name, strlen(name), false, &err), &err);
	pfs_node_unref(&root);
	pfs_history_release(s->h, &ws);
}

/* Who asks what differs leaves nothing in the store. */
static void ask(struct house *s, size_t max, struct pfs_change **list, size_t *n)
{
	struct pfs_store_stats before, after;
	struct pfs_error err = { 0 };

	pfs_store_stats(s->w.store, &before);
	must(pfs_commit_status(s->h, "books", "master", max, list, n, &err), &err);
	pfs_store_stats(s->w.store, &after);
	cr_expect_eq(after.objects, before.objects);
	cr_expect_eq(after.put_objects, before.put_objects);
	cr_expect_eq(after.put_duplicates, before.put_duplicates);
}

Test(diff, status_says_before_what_diff_says_after)
{
	static const char want[] = "Ma -b +d/ +d/x";
	struct pfs_change *list = NULL;
	struct pfs_error err = { 0 };
	struct house s;
	size_t n = 0;

	house_open(&s);
	make(&s, "books", "master");
	put(&s, "books", "master", "a", "1");
	put(&s, "books", "master", "b", "2");
	put(&s, "books", "master", "c", "3");
	ask(&s, 0, &list, &n);
	expect_changes(list, n, "+a +b +c", "before the first commit");
	commit(&s, "books", "master");
	ask(&s, 0, &list, &n);
	expect_changes(list, n, "", "after a commit");
	put(&s, "books", "master", "a", "11");
	put(&s, "books", "master", "d/x", "new");
	put(&s, "books", "master", "c", "3"); /* written again, the same */
	drop(&s, "b");
	ask(&s, 0, &list, &n);
	cr_expect_eq(list[0].size_bytes, 2);
	expect_changes(list, n, want, "status");
	ask(&s, 2, &list, &n);
	expect_changes(list, n, "Ma -b", "at most two");
	commit(&s, "books", "master");
	must(pfs_commit_diff(s.h, "books", NULL, "master", 0, &list, &n, &err), &err);
	expect_changes(list, n, want, "diff");
	must(pfs_commit_diff(s.h, "books", "master", "master^", 0, &list, &n, &err), &err);
	expect_changes(list, n, "Ma +b -d/ -d/x", "backwards");
	must(pfs_commit_diff(s.h, "books", NULL, "master.1", 0, &list, &n, &err), &err);
	expect_changes(list, n, "+a +b +c", "the first against nothing");
	cr_expect_eq(pfs_commit_diff(s.h, "books", "nope", "master", 0, &list, &n, &err),
		     PFS_E_NOTFOUND);
	put(&s, "books", "master", "a", "lost");
	must(pfs_commit_discard(s.h, "books", "master", NULL, &err), &err);
	ask(&s, 0, &list, &n);
	expect_changes(list, n, "", "after discard");
	house_fini(&s);
}

/* Set what `which` says of a file or folder at the top of books@master. */
static void set(struct house *s, const char *name, unsigned which, const struct pfs_node_attr *to)
{
	struct pfs_node *root, *node = NULL;
	struct pfs_workspace *ws = NULL;
	struct pfs_error err = { 0 };

	must(pfs_history_workspace(s->h, "books", "master", &ws, &err), &err);
	root = pfs_workspace_root(ws);
	must(pfs_workspace_lookup(ws, root, name, strlen(name), &node, &err), &err);
	must(pfs_workspace_setattr(ws, node, which, to, &err), &err);
	if (which & PFS_NODE_UID)
		must(pfs_workspace_set_xattr(ws, node, "user.of", "x", 1, PFS_XATTR_ANY, &err),
		     &err);
	pfs_node_unref(&node);
	pfs_node_unref(&root);
	pfs_history_release(s->h, &ws);
}

Test(diff, status_and_diff_tell_of_attributes_but_not_of_times_alone)
{
	const struct pfs_node_attr to = { .attrs = { .mode = 0700, .uid = 7, .mtime_sec = 1 } };
	struct pfs_change *list = NULL;
	struct pfs_error err = { 0 };
	struct house s;
	size_t n = 0;

	house_open(&s);
	make(&s, "books", "master");
	put(&s, "books", "master", "aged", "1");
	put(&s, "books", "master", "d/x", "2");
	put(&s, "books", "master", "mode", "3");
	put(&s, "books", "master", "owned", "4");
	commit(&s, "books", "master");
	set(&s, "aged", PFS_NODE_MTIME, &to);
	set(&s, "d", PFS_NODE_MODE, &to);
	set(&s, "mode", PFS_NODE_MODE, &to);
	set(&s, "owned", PFS_NODE_UID, &to);
	ask(&s, 0, &list, &n);
	expect_changes(list, n, "Md/ Mmode Mowned", "status");
	commit(&s, "books", "master");
	must(pfs_commit_diff(s.h, "books", NULL, "master", 0, &list, &n, &err), &err);
	expect_changes(list, n, "Md/ Mmode Mowned", "diff");
	house_fini(&s);
}
