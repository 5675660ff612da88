/* A workspace on a store in memory, and short ways to use it: for Criterion tests of what is in it. */
#ifndef PFS_TESTS_WORKSPACE_FIXTURE_H
#define PFS_TESTS_WORKSPACE_FIXTURE_H

#include "scratch.h"
#include "tree/content.h"
#include "tree/tree.h"
#include "workspace/workspace.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <fcntl.h>
#include <unistd.h>

struct fixture {
	struct scratch dir;
	char folder[300];
	struct pfs_store *st;
	struct pfs_workspace *ws;
	struct pfs_node *root;
};

static struct pfs_error err;

#define OK(call)          cr_assert_eq((call), 0, "%s: %s", #call, err.text)
#define FAILS(code, call) cr_expect_eq((call), (code), "%s: %s", #call, err.text)
#define NAME(s)           (s), strlen(s)

static inline void open_ws_on(struct fixture *f, const struct pfs_root *base)
{
	OK(pfs_workspace_open(f->folder, f->st, base, &f->ws, &err));
	f->root = pfs_workspace_root(f->ws);
}

static inline void open_ws(struct fixture *f)
{
	struct pfs_root base = { .attrs.mode = 0755 };

	open_ws_on(f, &base);
}

static inline void close_ws(struct fixture *f)
{
	pfs_node_unref(&f->root);
	pfs_workspace_close(&f->ws);
}

static inline struct fixture begin(void)
{
	struct fixture f = { .dir = scratch_new() };

	snprintf(f.folder, sizeof(f.folder), "%s/ws", f.dir.path);
	OK(pfs_store_open_mem(&f.st, &err));
	open_ws(&f);
	return f;
}

/* The same on a store in files, which may take in others. */
static inline struct fixture begin_on_disk(void)
{
	struct fixture f = { .dir = scratch_new() };
	char path[300];

	snprintf(f.folder, sizeof(f.folder), "%s/ws", f.dir.path);
	snprintf(path, sizeof(path), "%s/store", f.dir.path);
	OK(pfs_store_open(path, &f.st, &err));
	open_ws(&f);
	return f;
}

static inline void end(struct fixture *f)
{
	close_ws(f);
	pfs_store_close(&f->st);
	scratch_fini(&f->dir);
}

static inline struct pfs_node *make(struct fixture *f, struct pfs_node *dir,
				    enum pfs_entry_type type, const char *name)
{
	struct pfs_node_make m = { .type = type, .mode = 0644, .target = "to", .target_len = 2 };
	struct pfs_node *n = NULL;

	OK(pfs_workspace_make(f->ws, dir, NAME(name), &m, &n, &err));
	return n;
}

static inline void make_only(struct fixture *f, struct pfs_node *dir, enum pfs_entry_type type,
			     const char *name)
{
	struct pfs_node *n = make(f, dir, type, name);

	pfs_node_unref(&n);
}

static inline void write_at(struct fixture *f, struct pfs_node *n, uint64_t off, const char *text)
{
	struct pfs_open *o;

	OK(pfs_workspace_open_file(f->ws, n, true, false, &o, &err));
	OK(pfs_workspace_write(o, off, NAME(text), &err));
	pfs_workspace_close_file(&o);
}

static inline struct pfs_node *put(struct fixture *f, struct pfs_node *dir, const char *name,
				   const char *text)
{
	struct pfs_node *n = make(f, dir, PFS_ENTRY_FILE, name);

	write_at(f, n, 0, text);
	return n;
}

static inline void put_only(struct fixture *f, struct pfs_node *dir, const char *name,
			    const char *text)
{
	struct pfs_node *n = put(f, dir, name, text);

	pfs_node_unref(&n);
}

static inline struct pfs_node *find(struct fixture *f, struct pfs_node *dir, const char *name)
{
	struct pfs_node *n = NULL;

	OK(pfs_workspace_lookup(f->ws, dir, NAME(name), &n, &err));
	return n;
}

static inline bool has(struct fixture *f, struct pfs_node *dir, const char *name)
{
	struct pfs_node *n = NULL;
	int rc = pfs_workspace_lookup(f->ws, dir, NAME(name), &n, &err);

	pfs_node_unref(&n);
	cr_assert(rc == 0 || rc == PFS_E_NOTFOUND, "%s", err.text);
	return rc == 0;
}

static inline const char *read_open(struct pfs_open *o)
{
	static char text[512];
	size_t got;

	OK(pfs_workspace_read(o, 0, text, sizeof(text) - 1, &got, &err));
	text[got] = 0;
	return text;
}

static inline const char *text_of(struct fixture *f, struct pfs_node *n)
{
	struct pfs_open *o;
	const char *text;

	OK(pfs_workspace_open_file(f->ws, n, false, false, &o, &err));
	text = read_open(o);
	pfs_workspace_close_file(&o);
	return text;
}

static inline const char *text_at(struct fixture *f, const char *name)
{
	struct pfs_node *n = find(f, f->root, name);
	const char *text = text_of(f, n);

	pfs_node_unref(&n);
	return text;
}

static inline struct pfs_sealed seal(struct fixture *f)
{
	struct pfs_sealed s;

	OK(pfs_workspace_seal(f->ws, NULL, &s, &err));
	return s;
}

static inline struct pfs_sealed commit(struct fixture *f)
{
	struct pfs_sealed s = seal(f);

	OK(pfs_workspace_settle(f->ws, &s, &err));
	return s;
}

/* Each file of the spool, in its folder or beside them. */
static inline void each_spool_file(struct fixture *f,
				   void (*each)(void *arg, int dir, const char *name), void *arg)
{
	char path[320];
	struct dirent *e;
	DIR *d, *below;

	snprintf(path, sizeof(path), "%s/spool", f->folder);
	d = opendir(path);
	cr_assert(d);
	while ((e = readdir(d))) {
		int fd = e->d_name[0] != '.' ? openat(dirfd(d), e->d_name, O_RDONLY) : -1;

		if (fd < 0)
			continue;
		below = fdopendir(fd);
		if (!below)
			each(arg, dirfd(d), e->d_name);
		while (below && (e = readdir(below)))
			if (e->d_name[0] != '.')
				each(arg, dirfd(below), e->d_name);
		if (below)
			closedir(below);
		else
			close(fd);
	}
	closedir(d);
}

static inline void count_spool_file(void *arg, int dir, const char *name)
{
	(void)dir;
	(void)name;
	++*(unsigned *)arg;
}

static inline unsigned spool_files(struct fixture *f)
{
	unsigned n = 0;

	each_spool_file(f, count_spool_file, &n);
	return n;
}

static inline struct pfs_node_attr attr_of(struct fixture *f, struct pfs_node *n)
{
	struct pfs_node_attr a;

	OK(pfs_workspace_getattr(f->ws, n, &a, &err));
	return a;
}

#endif
