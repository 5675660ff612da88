#include "cli/command.h"
#include "base/io.h"
#include "base/path.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void target_of(struct pfs_target *t, const struct pfs_object *o, const char *path,
		      const char *rev_name)
{
	pfs_target_add(t, "/file/");
	pfs_target_add_path(t, path);
	pfs_target_set(t, "repo", o->repo);
	pfs_target_set(t, rev_name, o->rev);
}

/* What is written as a name must not be read as a pattern. */
static void set_literal(struct pfs_target *t)
{
	pfs_target_set(t, "literal", "");
}

/* ---- get ---- */

/* Where the bytes of an answer go. */
struct sink {
	int fd;
	uint64_t taken;
	struct pfs_error err;
};

static int sink_write(void *arg, const void *data, size_t len)
{
	struct sink *s = arg;
	int rc;

	s->taken += len;
	rc = pfs_io_write(s->fd, data, len, &s->err);
	if (rc < 0 && s->fd == STDOUT_FILENO)
		pfs_print_end_if_unread(s->err.sys);
	return rc;
}

static int get_to_fd(struct pfs_cli *cli, const struct pfs_target *t, int fd, struct pfs_error *err)
{
	struct sink s = { .fd = fd };
	int rc = pfs_client_read(cli->client, t, 0, sink_write, &s, err);

	/* Why it was not taken says more than that it was not. */
	if (rc < 0 && s.err.code)
		return pfs_fail(err, rc, "%s", s.err.text);
	/* An answer that is cut off cannot say why: ask for what was not sent any more. */
	return rc == PFS_E_IO && pfs_client_probe(cli->client, t, s.taken, &s.err) == PFS_E_CORRUPT
		       ? pfs_fail(err, PFS_E_CORRUPT, "%s", s.err.text)
		       : rc;
}

/* Into a file that gets its name when it is whole. */
static int get_to_file(struct pfs_cli *cli, const struct pfs_target *t, const char *path,
		       mode_t mode, struct pfs_error *err)
{
	PFS_AUTO(pfs_buf_fini) struct pfs_buf part = PFS_BUF_INIT(3 * PFS_PATH_SIZE_MAX);
	PFS_AUTO(pfs_fd_close) int fd = -1;
	const char *slash = strrchr(path, '/');
	int dir = slash ? (int)(slash + 1 - path) : 0;
	/* Beside it, under a name that is never longer than the file's may be. */
	int rc = pfs_buf_printf(&part, err, "%.*s.pfs-part-%ld", dir, path, (long)getpid());

	if (rc < 0)
		return rc;
	fd = pfs_io_open(AT_FDCWD, pfs_buf_str(&part), O_WRONLY | O_CREAT | O_EXCL, mode, err);
	if (fd < 0)
		return fd;
	rc = get_to_fd(cli, t, fd, err);
	if (rc == 0 && rename(pfs_buf_str(&part), path) < 0)
		rc = pfs_fail_errno(err, errno, "write %s", path);
	if (rc < 0)
		unlink(pfs_buf_str(&part));
	return rc;
}

/* A tree on its way to local disk. */
struct tree {
	struct pfs_cli *cli;
	const struct pfs_object *object;
	const char *out;
};

/* JSON lost what is not UTF-8 in a name; "path_hex" kept it. */
static int get_path(const json_t *v, char out[PFS_PATH_SIZE_MAX + 1], struct pfs_error *err)
{
	const char *hex = pfs_json_str(v, "path_hex"), *path = pfs_command_str(v, "path");
	char raw[PFS_PATH_SIZE_MAX + 1];
	size_t n = hex ? strlen(hex) / 2 : 0;

	if (!hex)
		return pfs_path_normalize(path, out, err);
	if (n > PFS_PATH_SIZE_MAX)
		return pfs_fail(err, PFS_E_NAMETOOLONG, "a path of %zu bytes", n);
	for (size_t i = 0; i < n; i++) {
		char two[3] = { hex[2 * i], hex[2 * i + 1], 0 };

		raw[i] = (char)strtol(two, NULL, 16);
	}
	raw[n] = 0;
	return pfs_path_normalize(raw, out, err);
}

static int make_local_dir(const char *path, struct pfs_error *err)
{
	if (mkdir(path, 0777) == 0 || errno == EEXIST)
		return 0;
	return pfs_fail_errno(err, errno, "make directory %s", path);
}

static int get_entry(struct tree *tr, const json_t *v, const char *path, const char *local,
		     struct pfs_error *err)
{
	PFS_AUTO(pfs_target_fini) struct pfs_target t = PFS_TARGET_INIT;
	const char *type = pfs_command_str(v, "type"), *link = pfs_json_str(v, "target");

	if (strcmp(type, "dir") == 0)
		return make_local_dir(local, err);
	if (strcmp(type, "symlink") == 0 && link)
		return symlink(link, local) == 0
			       ? 0
			       : pfs_fail_errno(err, errno, "make link %s", local);
	if (strcmp(type, "file") != 0)
		return 0;
	target_of(&t, tr->object, path, "commit");
	set_literal(&t);
	return get_to_file(tr->cli, &t, local, (mode_t)pfs_json_int(v, "mode", 0644) & 0777, err);
}

/* The list of a tree first, then its files: one connection carries one thing at a time. */
struct entries {
	json_t *list;
};

static int keep_entry(void *arg, json_t *v, struct pfs_error *err)
{
	struct entries *e = arg;

	return json_array_append(e->list, v) < 0 ? pfs_fail_nomem(err, "a list of files") : 0;
}

static int get_tree_entries(struct tree *tr, json_t *list, struct pfs_error *err)
{
	size_t skip = strlen(tr->object->path);
	size_t i;
	json_t *v;
	int rc = make_local_dir(tr->out, err);

	json_array_foreach(list, i, v)
	{
		PFS_AUTO(pfs_buf_fini) struct pfs_buf local = PFS_BUF_INIT(2 * PFS_PATH_SIZE_MAX);
		char path[PFS_PATH_SIZE_MAX + 1];

		if (rc == 0)
			rc = get_path(v, path, err);
		if (rc == 0 && strlen(path) <= skip)
			rc = pfs_fail(err, PFS_E_IO, "pfsd listed \"%s\" below \"%s\"", path,
				      tr->object->path);
		if (rc == 0)
			rc = pfs_buf_printf(&local, err, "%s/%s", tr->out,
					    path + skip + (skip ? 1 : 0));
		if (rc == 0)
			rc = get_entry(tr, v, path, pfs_buf_str(&local), err);
		if (rc < 0)
			return rc;
	}
	return rc;
}

static int get_tree(struct pfs_cli *cli, const struct pfs_object *o, const char *out,
		    struct pfs_error *err)
{
	PFS_AUTO(pfs_target_fini) struct pfs_target t = PFS_TARGET_INIT;
	struct tree tr = { cli, o, out };
	struct entries e = { json_array() };
	int rc;

	if (!e.list)
		return pfs_fail_nomem(err, "a list of files");
	target_of(&t, o, o->path, "commit");
	pfs_target_set(&t, "list", "");
	pfs_target_set(&t, "recursive", "");
	set_literal(&t);
	rc = pfs_client_each(cli->client, &t, keep_entry, &e, err);
	if (rc == 0)
		rc = get_tree_entries(&tr, e.list, err);
	json_decref(e.list);
	return rc;
}

int cmd_get_file(struct pfs_cli *cli, struct pfs_error *err)
{
	PFS_AUTO(pfs_target_fini) struct pfs_target t = PFS_TARGET_INIT;
	const char *out = pfs_args_get(cli->args, 'o');
	struct pfs_object o;
	int rc = pfs_object_parse_rev(pfs_command_word(cli, 0), &o, err);

	if (rc < 0)
		return rc;
	if (pfs_args_get(cli->args, 'r'))
		return out ? get_tree(cli, &o, out, err)
			   : pfs_fail(err, PFS_E_INVALID,
				      "-r needs a directory to write to: -o DIR");
	if (!o.path[0])
		return pfs_fail(err, PFS_E_INVALID, "which file? write %s@%s:/path", o.repo, o.rev);
	target_of(&t, &o, o.path, "commit");
	if (!out || strcmp(out, "-") == 0)
		return get_to_fd(cli, &t, STDOUT_FILENO, err);
	return get_to_file(cli, &t, out, 0666, err);
}

/* ---- list ---- */

static int add_file(struct pfs_cli *cli, struct pfs_table *table, const json_t *v,
		    struct pfs_error *err)
{
	char size[PFS_PRINT_SIZE];
	const char *type = pfs_command_str(v, "type"), *target = pfs_json_str(v, "target");
	bool is_dir = strcmp(type, "dir") == 0;
	int rc = pfs_table_add(table, err, "%s",
			       pfs_print_size((uint64_t)pfs_json_int(v, "size", 0), size));

	if (rc == 0)
		rc = pfs_table_add(table, err, "/%s%s%s%s", pfs_command_str(v, "path"),
				   is_dir ? "/" : "", target ? " -> " : "", target ? target : "");
	return rc;
}

int cmd_list_file(struct pfs_cli *cli, struct pfs_error *err)
{
	static const char *const titles[] = { "SIZE", "NAME", NULL };
	PFS_AUTO(pfs_target_fini) struct pfs_target t = PFS_TARGET_INIT;
	struct pfs_object o;
	int rc = pfs_object_parse_rev(pfs_command_word(cli, 0), &o, err);

	if (rc < 0)
		return rc;
	target_of(&t, &o, o.path, "commit");
	pfs_target_set(&t, "list", "");
	if (pfs_args_get(cli->args, 'r'))
		pfs_target_set(&t, "recursive", "");
	return pfs_command_list(cli, &t, titles, add_file, err);
}

/* ---- delete ---- */

int cmd_delete_file(struct pfs_cli *cli, struct pfs_error *err)
{
	PFS_AUTO(pfs_target_fini) struct pfs_target t = PFS_TARGET_INIT;
	struct pfs_object o;
	int rc = pfs_object_parse_rev(pfs_command_word(cli, 0), &o, err);

	if (rc < 0)
		return rc;
	if (!o.path[0])
		return pfs_fail(err, PFS_E_INVALID, "which file? write %s@%s:/path", o.repo, o.rev);
	target_of(&t, &o, o.path, "branch");
	if (pfs_args_get(cli->args, 'r'))
		pfs_target_set(&t, "recursive", "");
	return pfs_command_delete(cli, &t, "with -r all that is in it goes", err);
}
