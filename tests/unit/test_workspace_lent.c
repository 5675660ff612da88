/*
 * Huge new files that the store takes in as they are: from then on nobody
 * changes their spool file, and nobody notices.
 */
#include "workspace_fixture.h"
#include "workspace/workspace_i.h"

#include <pthread.h>
#include <stdatomic.h>
#include <sys/stat.h>

#define HUGE (17u << 20)

static unsigned char bytes[HUGE];

static struct pfs_node *put_huge(struct fixture *f)
{
	struct pfs_node *n = make(f, f->root, PFS_ENTRY_FILE, "huge");
	struct pfs_open *o;

	scratch_fill(bytes, HUGE, 5);
	OK(pfs_workspace_open_file(f->ws, n, true, false, &o, &err));
	OK(pfs_workspace_write(o, 0, bytes, HUGE, &err));
	pfs_workspace_close_file(&o);
	return n;
}

static struct pfs_sealed seal_for(struct fixture *f, unsigned char mark)
{
	struct pfs_commit_id id = { { mark } };
	struct pfs_sealed s;

	OK(pfs_workspace_seal(f->ws, &id, &s, &err));
	OK(pfs_store_sync(f->st, &err));
	return s;
}

static void stat_spool_file(void *arg, int dir, const char *name)
{
	cr_assert_eq(fstatat(dir, name, arg, 0), 0);
}

/* The one spool file there is, and how many names it has. */
static struct stat spool_stat(struct fixture *f)
{
	struct stat st = { 0 };

	each_spool_file(f, stat_spool_file, &st);
	return st;
}

static void check_content(struct fixture *f, const struct pfs_sealed *s)
{
	PFS_AUTO(pfs_content_reader_close) struct pfs_content_reader *r = NULL;
	unsigned char *got = malloc(HUGE + 1);
	struct pfs_found found = { 0 };
	size_t len;

	OK(pfs_tree_find(f->st, &s->root.dir, NAME("huge"), &found, &err));
	OK(pfs_content_reader_open(f->st, &found.e.content, &r, &err));
	OK(pfs_content_read(r, 0, got, HUGE + 1, &len, &err));
	cr_expect_eq(len, HUGE);
	cr_expect_eq(memcmp(got, bytes, HUGE), 0, "what was committed changed");
	pfs_found_fini(&found);
	free(got);
}

static void write_huge(struct fixture *f, struct pfs_node *n, const char *text)
{
	struct pfs_open *o;
	char got[32];
	size_t len;

	write_at(f, n, 12345678, text);
	OK(pfs_workspace_open_file(f->ws, n, false, false, &o, &err));
	OK(pfs_workspace_read(o, 12345678, got, strlen(text), &len, &err));
	cr_expect_eq(memcmp(got, text, len), 0);
	OK(pfs_workspace_read(o, HUGE - 1, got, 10, &len, &err));
	cr_expect_eq(len, 1);
	cr_expect_eq((unsigned char)got[0], bytes[HUGE - 1]);
	pfs_workspace_close_file(&o);
}

Test(workspace_lent, a_huge_new_file_is_not_copied)
{
	struct fixture f = begin_on_disk();
	struct pfs_node *n = put_huge(&f);
	struct pfs_store_stats stats;
	struct pfs_sealed s = seal_for(&f, 1);

	cr_expect_eq(spool_stat(&f).st_nlink, 2, "the store has the file itself");
	OK(pfs_workspace_settle(f.ws, &s, &err));
	OK(pfs_workspace_tick(f.ws, 0, &err));
	cr_expect_eq(spool_files(&f), 0);
	pfs_store_stats(f.st, &stats);
	cr_expect_leq(stats.pack_bytes, HUGE + (1u << 20));
	check_content(&f, &s);
	write_huge(&f, n, "patched");
	check_content(&f, &s);
	pfs_node_unref(&n);
	end(&f);
}

Test(workspace_lent, who_writes_before_the_commit_is_settled_writes_another_file)
{
	struct fixture f = begin_on_disk();
	struct pfs_node *n = put_huge(&f);
	struct pfs_sealed s = seal_for(&f, 1), later;
	struct pfs_open *r;
	char got[8];
	size_t len;

	OK(pfs_workspace_open_file(f.ws, n, false, false, &r, &err));
	cr_expect_eq(pfs_workspace_local_fd(r), -1, "it is not given away");
	write_huge(&f, n, "later");
	OK(pfs_workspace_read(r, 12345678, got, 5, &len, &err));
	cr_expect_eq(memcmp(got, "later", 5), 0, "who had it open sees it");
	OK(pfs_workspace_settle(f.ws, &s, &err));
	cr_expect(pfs_workspace_dirty(f.ws));
	check_content(&f, &s);
	later = seal_for(&f, 2);
	OK(pfs_workspace_settle(f.ws, &later, &err));
	check_content(&f, &s);
	memcpy(bytes + 12345678, "later", 5);
	check_content(&f, &later);
	pfs_workspace_close_file(&r);
	pfs_node_unref(&n);
	end(&f);
}

/* As the kernel has it for somebody who mapped the file and closed it. */
static int put_and_keep(struct fixture *f, struct pfs_node **out)
{
	struct pfs_open *o;
	int fd;

	*out = make(f, f->root, PFS_ENTRY_FILE, "huge");
	scratch_fill(bytes, HUGE, 5);
	OK(pfs_workspace_open_file(f->ws, *out, true, false, &o, &err));
	fd = dup(pfs_workspace_local_fd(o));
	cr_assert_eq(pwrite(fd, bytes, HUGE, 0), HUGE);
	pfs_workspace_close_file(&o);
	return fd;
}

static void write_behind(struct fixture *f, int fd)
{
	struct pfs_sealed s = seal_for(f, 1), later;

	cr_expect_eq(spool_stat(f).st_nlink, 1, "it is not taken in");
	OK(pfs_workspace_settle(f->ws, &s, &err));
	cr_expect(pfs_workspace_dirty(f->ws), "nor is it done with");
	cr_assert_eq(pwrite(fd, "behind", 6, 12345678), 6);
	check_content(f, &s);
	memcpy(bytes + 12345678, "behind", 6);
	later = seal_for(f, 2);
	check_content(f, &later);
	OK(pfs_workspace_settle(f->ws, &later, &err));
	close(fd);
	later = seal_for(f, 3);
	check_content(f, &later);
	OK(pfs_workspace_settle(f->ws, &later, &err));
	cr_expect_not(pfs_workspace_dirty(f->ws));
}

Test(workspace_lent, who_writes_behind_our_back_is_not_cut_off)
{
	struct fixture f = begin_on_disk();
	struct pfs_node *n;
	int fd = put_and_keep(&f, &n);

	write_behind(&f, fd);
	pfs_node_unref(&n);
	end(&f);
}

Test(workspace_lent, nor_is_who_outlived_a_restart)
{
	struct fixture f = begin_on_disk();
	struct pfs_node *n;
	int fd = put_and_keep(&f, &n);

	OK(pfs_workspace_sync(f.ws, &err));
	pfs_node_unref(&n);
	close_ws(&f);
	open_ws(&f);
	write_behind(&f, fd);
	end(&f);
}

struct asking {
	struct pfs_spool *spool;
	struct pfs_spool_name name;
	_Atomic bool stop;
};

static void *ask(void *arg)
{
	struct asking *a = arg;
	int fd = pfs_spool_reopen_read(a->spool, &a->name, NULL);

	while (!a->stop)
		pfs_spool_is_written(fd);
	close(fd);
	return NULL;
}

Test(workspace_lent, to_ask_who_writes_keeps_nobody_from_opening)
{
	struct fixture f = begin_on_disk();
	struct asking a = { .spool = &f.ws->spool };
	pthread_t thread;
	int fd = pfs_spool_create(a.spool, 7, &a.name, NULL);

	cr_assert_geq(fd, 0);
	close(fd);
	cr_assert_eq(pthread_create(&thread, NULL, ask, &a), 0);
	for (int i = 0; i < 20000; i++) {
		fd = pfs_spool_reopen(a.spool, &a.name, &err);
		cr_assert_geq(fd, 0, "%s", err.text);
		close(fd);
	}
	a.stop = true;
	pthread_join(thread, NULL);
	end(&f);
}

Test(workspace_lent, a_restart_remembers_it)
{
	struct pfs_node_attr set = { .attrs.mtime_sec = 1234567890 };
	struct fixture f = begin_on_disk();
	struct pfs_node *n = put_huge(&f);
	struct pfs_sealed s;

	OK(pfs_workspace_sync(f.ws, &err));
	s = seal_for(&f, 1);
	OK(pfs_workspace_setattr(f.ws, n, PFS_NODE_MTIME, &set, &err));
	cr_expect_neq(spool_stat(&f).st_mtim.tv_sec, 1234567890, "the store's file is not touched");
	pfs_node_unref(&n);
	close_ws(&f);
	open_ws(&f);
	n = find(&f, f.root, "huge");
	cr_expect_eq(attr_of(&f, n).attrs.mtime_sec, 1234567890);
	write_huge(&f, n, "again");
	check_content(&f, &s);
	OK(pfs_workspace_tick(f.ws, 0, &err));
	cr_expect_eq(spool_files(&f), 1, "the lent one is not needed any more");
	cr_expect_eq(spool_stat(&f).st_nlink, 1);
	s = seal_for(&f, 2);
	memcpy(bytes + 12345678, "again", 5);
	check_content(&f, &s);
	pfs_node_unref(&n);
	end(&f);
}

Test(workspace_lent, what_is_open_or_only_looked_at_is_copied)
{
	struct fixture f = begin_on_disk();
	struct pfs_node *n = put_huge(&f);
	struct pfs_sealed s;
	struct pfs_open *o;

	seal(&f);
	cr_expect_eq(spool_stat(&f).st_nlink, 1, "a look at what would be committed takes nothing");
	OK(pfs_workspace_open_file(f.ws, n, false, false, &o, &err));
	s = seal_for(&f, 1);
	cr_expect_eq(spool_stat(&f).st_nlink, 1, "somebody may have it passed through");
	check_content(&f, &s);
	OK(pfs_workspace_settle(f.ws, &s, &err));
	cr_expect_geq(pfs_workspace_local_fd(o), 0);
	pfs_workspace_close_file(&o);
	pfs_node_unref(&n);
	end(&f);
}

/* Programs write a whole file where a few of its bytes changed. */
Test(workspace_lent, written_anew_with_few_changes_it_is_kept_as_those)
{
	struct fixture f = begin_on_disk();
	struct pfs_node *n = put_huge(&f);
	struct pfs_store_stats before, after;
	struct pfs_sealed s = seal_for(&f, 1);
	struct pfs_open *o;

	OK(pfs_workspace_settle(f.ws, &s, &err));
	pfs_store_stats(f.st, &before);
	for (unsigned i = 0; i < 40; i++)
		bytes[i * (HUGE / 40) + 1000] ^= 1;
	OK(pfs_workspace_open_file(f.ws, n, true, true, &o, &err));
	OK(pfs_workspace_write(o, 0, bytes, HUGE, &err));
	pfs_workspace_close_file(&o);
	s = seal_for(&f, 2);
	pfs_store_stats(f.st, &after);
	cr_expect_geq(after.deltas - before.deltas, 35, "%llu deltas",
		      (unsigned long long)(after.deltas - before.deltas));
	cr_expect_leq(after.pack_bytes - before.pack_bytes, 400000, "grown by %llu",
		      (unsigned long long)(after.pack_bytes - before.pack_bytes));
	check_content(&f, &s);
	pfs_node_unref(&n);
	end(&f);
}

Test(workspace_lent, cut_it_is_another_file)
{
	struct fixture f = begin_on_disk();
	struct pfs_node *n = put_huge(&f);
	struct pfs_node_attr set = { .size_bytes = HUGE / 2 };
	struct pfs_sealed s = seal_for(&f, 1);

	OK(pfs_workspace_setattr(f.ws, n, PFS_NODE_SIZE, &set, &err));
	check_content(&f, &s);
	cr_expect_eq(attr_of(&f, n).size_bytes, HUGE / 2);
	set.size_bytes = 0;
	OK(pfs_workspace_setattr(f.ws, n, PFS_NODE_SIZE, &set, &err));
	OK(pfs_workspace_settle(f.ws, &s, &err));
	check_content(&f, &s);
	cr_expect_eq(attr_of(&f, n).size_bytes, 0);
	pfs_node_unref(&n);
	end(&f);
}

/* As a backup by hard links makes it. */
static void link_spool_file(void *arg, int dir, const char *name)
{
	struct fixture *f = arg;
	char to[640];

	snprintf(to, sizeof(to), "%s/%s", f->dir.path, name);
	cr_assert_eq(linkat(dir, name, AT_FDCWD, to, 0), 0);
}

Test(workspace_lent, a_patched_file_is_not_taken_for_one)
{
	struct fixture f = begin_on_disk();
	struct pfs_node *n = put_huge(&f);
	struct pfs_node_attr set = { .size_bytes = HUGE };
	struct pfs_sealed s = seal_for(&f, 1);

	OK(pfs_workspace_settle(f.ws, &s, &err));
	write_huge(&f, n, "patched");
	memcpy(bytes + 12345678, "patched", 7);
	pfs_node_unref(&n);
	close_ws(&f);
	each_spool_file(&f, link_spool_file, &f);
	open_ws_on(&f, &s.root);
	n = find(&f, f.root, "huge");
	OK(pfs_workspace_setattr(f.ws, n, PFS_NODE_SIZE, &set, &err));
	s = seal_for(&f, 2);
	check_content(&f, &s);
	pfs_node_unref(&n);
	end(&f);
}
