#include "workspace_fixture.h"
#include "workspace/reach.h"

#include <pthread.h>

static void set(struct fixture *f, struct pfs_node *n, const char *name, const char *value)
{
	OK(pfs_workspace_set_xattr(f->ws, n, name, NAME(value), PFS_XATTR_ANY, &err));
}

/* The value, "-" when there is none; static. */
static const char *get(struct fixture *f, struct pfs_node *n, const char *name)
{
	PFS_AUTO(pfs_buf_fini) struct pfs_buf b = PFS_BUF_INIT(1 << 20);
	static char text[64];
	int rc = pfs_workspace_get_xattr(f->ws, n, name, &b, &err);

	if (rc == PFS_E_NOTFOUND)
		return "-";
	OK(rc);
	snprintf(text, sizeof(text), "%.*s", (int)b.len, (const char *)b.data);
	return text;
}

/* All names, each with a space behind it; static. */
static const char *list(struct fixture *f, struct pfs_node *n)
{
	PFS_AUTO(pfs_buf_fini) struct pfs_buf b = PFS_BUF_INIT(1 << 20);
	static char text[256];
	size_t i;

	OK(pfs_workspace_list_xattrs(f->ws, n, &b, &err));
	cr_assert_lt(b.len, sizeof(text));
	for (i = 0; i < b.len; i++)
		text[i] = b.data[i] ? (char)b.data[i] : ' ';
	text[i] = 0;
	return text;
}

Test(workspace_xattr, every_kind_of_node_has_its_own)
{
	static const enum pfs_entry_type types[] = { PFS_ENTRY_FILE, PFS_ENTRY_DIR,
						     PFS_ENTRY_SYMLINK, PFS_ENTRY_FIFO };
	static const char *const names[] = { "file", "dir", "link", "fifo" };
	struct fixture f = begin();

	for (size_t i = 0; i < 4; i++) {
		struct pfs_node *n = make(&f, f.root, types[i], names[i]);

		set(&f, n, "user.b", names[i]);
		set(&f, n, "user.a", "");
		cr_expect_str_eq(list(&f, n), "user.a user.b ");
		pfs_node_unref(&n);
	}
	for (size_t i = 0; i < 4; i++) {
		struct pfs_node *n = find(&f, f.root, names[i]);

		cr_expect_str_eq(get(&f, n, "user.b"), names[i]);
		cr_expect_str_eq(get(&f, n, "user.a"), "");
		pfs_node_unref(&n);
	}
	FAILS(PFS_E_UNSUPPORTED,
	      pfs_workspace_set_xattr(f.ws, f.root, "user.x", "", 0, PFS_XATTR_ANY, &err));
	end(&f);
}

Test(workspace_xattr, create_and_replace_look_first_and_a_failure_changes_nothing)
{
	struct fixture f = begin();
	struct pfs_node *n = make(&f, f.root, PFS_ENTRY_FILE, "f");
	char *large = calloc(1, PFS_XATTR_VALUE_MAX + 1);

	FAILS(PFS_E_NOTFOUND,
	      pfs_workspace_set_xattr(f.ws, n, "user.a", "x", 1, PFS_XATTR_REPLACE, &err));
	OK(pfs_workspace_set_xattr(f.ws, n, "user.a", "1", 1, PFS_XATTR_CREATE, &err));
	FAILS(PFS_E_EXISTS,
	      pfs_workspace_set_xattr(f.ws, n, "user.a", "x", 1, PFS_XATTR_CREATE, &err));
	OK(pfs_workspace_set_xattr(f.ws, n, "user.a", "2", 1, PFS_XATTR_REPLACE, &err));
	FAILS(PFS_E_NOTFOUND, pfs_workspace_remove_xattr(f.ws, n, "user.b", &err));
	FAILS(PFS_E_LIMIT, pfs_workspace_set_xattr(f.ws, n, "user.b", large,
						   PFS_XATTR_VALUE_MAX + 1, PFS_XATTR_ANY, &err));
	FAILS(PFS_E_INVALID, pfs_workspace_set_xattr(f.ws, n, "", "x", 1, PFS_XATTR_ANY, &err));
	cr_expect_str_eq(list(&f, n), "user.a ");
	cr_expect_str_eq(get(&f, n, "user.a"), "2");
	OK(pfs_workspace_set_xattr(f.ws, n, "user.b", large, PFS_XATTR_VALUE_MAX, PFS_XATTR_ANY,
				   &err));
	OK(pfs_workspace_remove_xattr(f.ws, n, "user.a", &err));
	OK(pfs_workspace_remove_xattr(f.ws, n, "user.b", &err));
	cr_expect_str_eq(list(&f, n), "");
	FAILS(PFS_E_NOTFOUND, pfs_workspace_remove_xattr(f.ws, n, "user.b", &err));
	free(large);
	pfs_node_unref(&n);
	end(&f);
}

Test(workspace_xattr, they_are_in_the_journal_and_in_commits)
{
	struct fixture f = begin();
	struct pfs_node *d = make(&f, f.root, PFS_ENTRY_DIR, "d"), *n = put(&f, d, "f", "text");

	set(&f, d, "user.d", "1");
	set(&f, n, "user.f", "1");
	for (int round = 0; round < 3; round++) {
		pfs_node_unref(&n);
		pfs_node_unref(&d);
		if (round == 1) {
			commit(&f);
			cr_expect_not(pfs_workspace_dirty(f.ws));
		}
		close_ws(&f);
		open_ws(&f);
		d = find(&f, f.root, "d");
		n = find(&f, d, "f");
		cr_expect_str_eq(get(&f, d, "user.d"), "1", "round %d", round);
		cr_expect_str_eq(get(&f, n, "user.f"), "1", "round %d", round);
		cr_expect_eq(attr_of(&f, n).dirty, round == 0, "round %d", round);
	}
	set(&f, n, "user.f", "2");
	cr_expect(attr_of(&f, n).dirty);
	cr_expect_str_eq(text_of(&f, n), "text");
	OK(pfs_workspace_remove_xattr(f.ws, d, "user.d", &err));
	commit(&f);
	cr_expect_not(pfs_workspace_dirty(f.ws));
	cr_expect_str_eq(get(&f, n, "user.f"), "2");
	cr_expect_str_eq(list(&f, d), "");
	pfs_node_unref(&n);
	pfs_node_unref(&d);
	end(&f);
}

Test(workspace_xattr, what_is_set_between_seal_and_settle_is_in_the_next_commit)
{
	struct fixture f = begin();
	struct pfs_node *n = put(&f, f.root, "f", "text");
	struct pfs_found found = { 0 };
	struct pfs_sealed sealed;
	struct pfs_id first;

	set(&f, n, "user.a", "1");
	sealed = seal(&f);
	set(&f, n, "user.a", "2");
	OK(pfs_workspace_settle(f.ws, &sealed, &err));
	cr_expect(attr_of(&f, n).dirty);
	OK(pfs_tree_find(f.st, &sealed.root.dir, NAME("f"), &found, &err));
	first = found.e.xattrs;
	pfs_found_fini(&found);
	cr_expect_str_eq(get(&f, n, "user.a"), "2");
	sealed = commit(&f);
	OK(pfs_tree_find(f.st, &sealed.root.dir, NAME("f"), &found, &err));
	cr_expect_not(pfs_id_equal(&first, &found.e.xattrs));
	pfs_found_fini(&found);
	cr_expect_not(pfs_workspace_dirty(f.ws));
	pfs_node_unref(&n);
	end(&f);
}

Test(workspace_xattr, starting_anew_gives_back_what_the_base_has)
{
	struct fixture f = begin();
	struct pfs_node *n = put(&f, f.root, "f", "text");
	struct pfs_sealed base;

	set(&f, n, "user.a", "base");
	base = commit(&f);
	set(&f, n, "user.a", "changed");
	set(&f, n, "user.b", "more");
	OK(pfs_workspace_reset(f.ws, &base.root, &err));
	cr_expect_str_eq(list(&f, n), "user.a ");
	cr_expect_str_eq(get(&f, n, "user.a"), "base");
	pfs_node_unref(&n);
	end(&f);
}

static int count_sets(void *arg, enum pfs_kind kind, const struct pfs_id *id, struct pfs_error *e)
{
	(void)id;
	(void)e;
	*(unsigned *)arg += kind == PFS_KIND_XATTRS;
	return 0;
}

Test(workspace_xattr, a_collection_is_told_of_each_set_that_a_node_names)
{
	struct fixture f = begin();
	struct pfs_node *n = put(&f, f.root, "f", "text");
	unsigned sets = 0;

	set(&f, n, "user.a", "1");
	set(&f, n, "user.a", "2");
	OK(pfs_workspace_reach(f.ws, count_sets, &sets, &err));
	cr_expect_eq(sets, 1);
	pfs_node_unref(&n);
	close_ws(&f);
	sets = 0;
	OK(pfs_workspace_reach_closed(f.folder, count_sets, &sets, &err));
	cr_expect_eq(sets, 1);
	open_ws(&f);
	end(&f);
}

#define THREADS 4
#define EACH    50

struct setter {
	struct fixture *f;
	struct pfs_node *n;
	int number;
};

static void *set_many(void *arg)
{
	struct setter *s = arg;
	char name[32];

	for (int i = 0; i < EACH; i++) {
		snprintf(name, sizeof(name), "user.%d.%d", s->number, i);
		if (pfs_workspace_set_xattr(s->f->ws, s->n, name, "x", 1, PFS_XATTR_CREATE, NULL))
			return arg;
	}
	return NULL;
}

Test(workspace_xattr, of_many_who_set_some_none_is_lost)
{
	struct fixture f = begin();
	struct pfs_node *n = put(&f, f.root, "f", "text");
	PFS_AUTO(pfs_buf_fini) struct pfs_buf names = PFS_BUF_INIT(1 << 20);
	struct setter setters[THREADS];
	pthread_t threads[THREADS];
	unsigned found = 0;

	for (int i = 0; i < THREADS; i++) {
		setters[i] = (struct setter){ &f, n, i };
		cr_assert_eq(pthread_create(&threads[i], NULL, set_many, &setters[i]), 0);
	}
	for (int i = 0; i < THREADS; i++) {
		void *failed;

		pthread_join(threads[i], &failed);
		cr_expect_null(failed);
	}
	OK(pfs_workspace_list_xattrs(f.ws, n, &names, &err));
	for (size_t i = 0; i < names.len; i++)
		found += names.data[i] == 0;
	cr_expect_eq(found, THREADS * EACH);
	pfs_node_unref(&n);
	end(&f);
}
