/* A view of an instance of its own, and short words for what is done in it. */
#ifndef PFS_VIEW_FIXTURE_H
#define PFS_VIEW_FIXTURE_H

#include "scratch.h"

#include "base/limits.h"

#include <pfs/pfs.h>

#include <criterion/criterion.h>
#include <string.h>
#include <unistd.h>

static struct scratch dir;
static struct pfs_instance *pfs;
static struct pfs_view *v;
static struct pfs_history *h;
static struct pfs_error err;
static const struct pfs_who me = { 7, 8 };

#define OK(call) cr_assert_geq((call), 0, "%s", err.text)

static inline void setup(void)
{
	dir = scratch_new();
	OK(pfs_open(dir.path, &pfs, &err));
	v = pfs_instance_view(pfs);
	h = pfs_instance_history(pfs);
}

static inline void teardown(void)
{
	pfs_close(&pfs);
	scratch_fini(&dir);
}

/* ---- short words ---- */

static inline struct pfs_handle *at(const char *path)
{
	struct pfs_handle *out = NULL;

	OK(pfs_view_walk(v, path, &out, NULL, &err));
	return out;
}

static inline int walk(const char *path)
{
	struct pfs_handle *out = NULL;
	int rc = pfs_view_walk(v, path, &out, NULL, &err);

	pfs_handle_unref(&out);
	return rc;
}

static inline struct pfs_attr attr(const char *path)
{
	struct pfs_handle *out = NULL;
	struct pfs_attr a = { 0 };

	OK(pfs_view_walk(v, path, &out, &a, &err));
	pfs_handle_unref(&out);
	return a;
}

static inline int make_dir(const char *parent, const char *name)
{
	struct pfs_handle *d = at(parent);
	struct pfs_handle *out = NULL;
	int rc = pfs_view_mkdir(v, d, name, 0755, &me, &out, NULL, &err);

	pfs_handle_unref(&out);
	pfs_handle_unref(&d);
	return rc;
}

static inline int put_in(struct pfs_handle *d, const char *name, const char *text)
{
	struct pfs_handle *out = NULL;
	struct pfs_file *f = NULL;
	int rc = pfs_view_create(v, d, name, PFS_OPEN_WRITE | PFS_OPEN_TRUNCATE, 0644, &me, &out,
				 NULL, &f, &err);

	if (rc == 0)
		rc = pfs_file_write(f, 0, text, strlen(text), &err);
	pfs_file_close(&f, NULL);
	pfs_handle_unref(&out);
	return rc;
}

static inline int put(const char *parent, const char *name, const char *text)
{
	struct pfs_handle *d = at(parent);
	int rc = put_in(d, name, text);

	pfs_handle_unref(&d);
	return rc;
}

/* The bytes of a file; static. */
static inline const char *text_of(const char *path)
{
	static char text[8192];
	struct pfs_handle *f = at(path);
	struct pfs_file *file = NULL;
	size_t n = 0;

	OK(pfs_view_open(v, f, PFS_OPEN_READ, &file, &err));
	OK(pfs_file_read(file, 0, text, sizeof(text) - 1, &n, &err));
	text[n] = '\0';
	OK(pfs_file_close(&file, &err));
	pfs_handle_unref(&f);
	return text;
}

/* The names of a directory, each with a space behind it; static. */
static inline const char *names_of(const char *path)
{
	static char text[4096];
	struct pfs_handle *d = at(path);
	struct pfs_listing *l = NULL;
	struct pfs_list_item item;
	size_t n = 0;
	int rc;

	OK(pfs_view_list(v, d, &l, &err));
	text[0] = '\0';
	while ((rc = pfs_listing_next(l, &item, &err)) > 0)
		n += (size_t)snprintf(text + n, sizeof(text) - n, "%s ", item.name);
	OK(rc);
	pfs_listing_close(&l);
	pfs_handle_unref(&d);
	return text;
}

static inline void commit(const char *path, const char *message)
{
	struct pfs_handle *c = at(path);
	struct pfs_file *f = NULL;

	OK(pfs_view_open(v, c, PFS_OPEN_WRITE, &f, &err));
	OK(pfs_file_write(f, 0, message, strlen(message), &err));
	OK(pfs_file_close(&f, &err));
	pfs_handle_unref(&c);
}

/* A repo "r" with branch "b" that holds a/f and g, committed once; the id is returned. */
static inline const char *first_commit(void)
{
	static char id[PFS_COMMIT_ID_HEX_SIZE];

	OK(make_dir("/", "r"));
	OK(make_dir("/r", "b"));
	OK(make_dir("/r/b", "a"));
	OK(put("/r/b/a", "f", "one"));
	OK(put("/r/b", "g", "two"));
	commit("/r/b/.pfs/commit", "first\n");
	snprintf(id, sizeof(id), "%.32s", text_of("/r/b/.pfs/head"));
	return id;
}

static char path_text[512];
static inline const char *below(const char *rev, const char *rest)
{
	snprintf(path_text, sizeof(path_text), "/r/%s%s", rev, rest);
	return path_text;
}

#endif
