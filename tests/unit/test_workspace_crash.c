/*
 * A crash between a commit and the next flush of the journal. What a process
 * that dies leaves is what its folder holds, so a copy of the folder is opened
 * while the workspace goes on.
 */
#include "scratch.h"
#include "workspace/workspace.h"

#include <criterion/criterion.h>
#include <stdlib.h>

static struct pfs_error err;

#define OK(call) cr_assert_eq((call), 0, "%s: %s", #call, err.text)

struct fixture {
	struct scratch dir;
	char folder[300];
	struct pfs_store *st;
	struct pfs_workspace *ws;
};

static struct fixture begin(void)
{
	struct fixture f = { .dir = scratch_new() };
	struct pfs_root base = { .attrs.mode = 0755 };

	snprintf(f.folder, sizeof(f.folder), "%s/ws", f.dir.path);
	OK(pfs_store_open_mem(&f.st, &err));
	OK(pfs_workspace_open(f.folder, f.st, &base, &f.ws, &err));
	return f;
}

static void end(struct fixture *f)
{
	pfs_workspace_close(&f->ws);
	pfs_store_close(&f->st);
	scratch_fini(&f->dir);
}

static void put(struct pfs_workspace *ws, const char *name, const char *text)
{
	struct pfs_node_make m = { .type = PFS_ENTRY_FILE, .mode = 0644 };
	struct pfs_node *root = pfs_workspace_root(ws), *n = NULL;
	struct pfs_open *o;

	if (pfs_workspace_lookup(ws, root, name, strlen(name), &n, &err) < 0)
		OK(pfs_workspace_make(ws, root, name, strlen(name), &m, &n, &err));
	OK(pfs_workspace_open_file(ws, n, true, true, &o, &err));
	OK(pfs_workspace_write(o, 0, text, strlen(text), &err));
	pfs_workspace_close_file(&o);
	pfs_node_unref(&n);
	pfs_node_unref(&root);
}

/* The bytes at `name`, or "absent". */
static const char *get(struct pfs_workspace *ws, const char *name)
{
	struct pfs_node *root = pfs_workspace_root(ws), *n = NULL;
	static char text[64];
	struct pfs_open *o;
	size_t got = 0;

	if (pfs_workspace_lookup(ws, root, name, strlen(name), &n, &err) < 0) {
		strcpy(text, "absent");
	} else {
		OK(pfs_workspace_open_file(ws, n, false, false, &o, &err));
		OK(pfs_workspace_read(o, 0, text, sizeof(text) - 1, &got, &err));
		text[got] = 0;
		pfs_workspace_close_file(&o);
	}
	pfs_node_unref(&n);
	pfs_node_unref(&root);
	return text;
}

static struct pfs_sealed seal(struct fixture *f, unsigned char mark)
{
	struct pfs_commit_id id = { { mark } };
	struct pfs_sealed s;

	OK(pfs_workspace_seal(f->ws, &id, &s, &err));
	return s;
}

/* What a process that died now would find, its newest commit being `head`. */
static struct pfs_workspace *after_crash(struct fixture *f, const struct pfs_root *head)
{
	struct pfs_workspace *ws;
	char command[1000], copy[320];

	snprintf(copy, sizeof(copy), "%s-copy", f->folder);
	snprintf(command, sizeof(command), "rm -rf '%s' && cp -a '%s' '%s'", copy, f->folder, copy);
	cr_assert_eq(system(command), 0);
	OK(pfs_workspace_open(copy, f->st, head, &ws, &err));
	return ws;
}

Test(workspace_crash, starts_from_the_head_when_the_journal_is_older)
{
	struct fixture f = begin();
	struct pfs_workspace *again;
	struct pfs_sealed s;

	put(f.ws, "a", "old");
	OK(pfs_workspace_sync(f.ws, &err));
	put(f.ws, "a", "committed");
	put(f.ws, "b", "never flushed");
	s = seal(&f, 1);
	again = after_crash(&f, &s.root);
	cr_expect_str_eq(get(again, "a"), "committed");
	cr_expect_str_eq(get(again, "b"), "never flushed");
	cr_expect(!pfs_workspace_dirty(again));
	pfs_workspace_close(&again);

	OK(pfs_workspace_settle(f.ws, &s, &err));
	again = after_crash(&f, &s.root);
	cr_expect_str_eq(get(again, "b"), "never flushed");
	pfs_workspace_close(&again);
	end(&f);
}

Test(workspace_crash, keeps_what_was_flushed_after_the_seal)
{
	struct fixture f = begin();
	struct pfs_workspace *again;
	struct pfs_sealed s;

	put(f.ws, "a", "committed");
	s = seal(&f, 1);
	put(f.ws, "a", "later");
	put(f.ws, "c", "promised");
	OK(pfs_workspace_sync(f.ws, &err));
	again = after_crash(&f, &s.root);
	cr_expect_str_eq(get(again, "a"), "later");
	cr_expect_str_eq(get(again, "c"), "promised");
	pfs_workspace_close(&again);

	OK(pfs_workspace_settle(f.ws, &s, &err));
	again = after_crash(&f, &s.root);
	cr_expect_str_eq(get(again, "c"), "promised");
	pfs_workspace_close(&again);
	end(&f);
}

Test(workspace_crash, keeps_what_was_flushed_when_the_seal_came_to_nothing)
{
	struct fixture f = begin();
	struct pfs_root none = { .attrs.mode = 0755 };
	struct pfs_workspace *again;

	put(f.ws, "a", "promised");
	OK(pfs_workspace_sync(f.ws, &err));
	seal(&f, 1);
	put(f.ws, "b", "promised too");
	OK(pfs_workspace_sync(f.ws, &err));
	again = after_crash(&f, &none);
	cr_expect_str_eq(get(again, "a"), "promised");
	cr_expect_str_eq(get(again, "b"), "promised too");
	pfs_workspace_close(&again);
	end(&f);
}

Test(workspace_crash, tells_two_commits_of_the_same_bytes_apart)
{
	struct fixture f = begin();
	struct pfs_workspace *again;
	struct pfs_sealed s;

	put(f.ws, "a", "one");
	s = seal(&f, 1);
	OK(pfs_workspace_settle(f.ws, &s, &err));
	put(f.ws, "a", "two");
	OK(pfs_workspace_sync(f.ws, &err));
	s = seal(&f, 2);
	OK(pfs_workspace_settle(f.ws, &s, &err));
	put(f.ws, "a", "one");
	s = seal(&f, 3);
	OK(pfs_workspace_settle(f.ws, &s, &err));
	again = after_crash(&f, &s.root);
	cr_expect_str_eq(get(again, "a"), "one");
	cr_expect(!pfs_workspace_dirty(again));
	pfs_workspace_close(&again);
	end(&f);
}
