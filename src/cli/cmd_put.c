/*
 * put file: local files, directories and standard input to a branch.
 *
 *	no path            the name of the source
 *	a path             one source: exactly that; several, or a trailing slash: a folder
 */
#include "cli/command.h"
#include "base/io.h"
#include "base/path.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SMALL_FILE (1u << 20) /* sent from memory, which keeps the connection */
#define DEPTH_MAX  256u

static int send_small(struct pfs_cli *cli, const struct pfs_target *t, int fd, size_t size,
		      struct pfs_error *err)
{
	PFS_AUTO(pfs_buf_fini) struct pfs_buf b = PFS_BUF_INIT(SMALL_FILE);
	size_t got;
	int rc = pfs_buf_reserve(&b, size + 1, err);

	if (rc == 0)
		rc = pfs_io_pread(fd, b.data, size, 0, &got, err);
	if (rc < 0)
		return rc;
	return pfs_client_call(cli->client, "POST", t, b.data, got, NULL, err);
}

static int put_fd(struct pfs_cli *cli, const struct pfs_object *o, const char *path, int fd,
		  struct pfs_error *err)
{
	PFS_AUTO(pfs_target_fini) struct pfs_target t = PFS_TARGET_INIT;
	struct stat st;

	pfs_target_add(&t, "/file/");
	pfs_target_add_path(&t, path);
	pfs_target_set(&t, "repo", o->repo);
	pfs_target_set(&t, "branch", o->rev);
	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_size < (off_t)SMALL_FILE)
		return send_small(cli, &t, fd, (size_t)st.st_size, err);
	return pfs_client_send(cli->client, &t, fd, NULL, err);
}

static int join(struct pfs_buf *out, const char *folder, const char *name, struct pfs_error *err)
{
	return pfs_buf_printf(out, err, "%s%s%s", folder, *folder ? "/" : "", name);
}

static int put_tree(struct pfs_cli *cli, const struct pfs_object *o, const char *source,
		    const char *path, unsigned depth, struct pfs_error *err);

static void close_dir(DIR **d)
{
	if (*d)
		closedir(*d);
}

static int put_dir(struct pfs_cli *cli, const struct pfs_object *o, const char *source,
		   const char *path, unsigned depth, struct pfs_error *err)
{
	PFS_AUTO(close_dir) DIR *d = opendir(source);
	struct dirent *entry;
	int rc = 0;

	if (!d)
		return pfs_fail_errno(err, errno, "read directory %s", source);
	while (rc == 0 && (errno = 0, entry = readdir(d))) {
		PFS_AUTO(pfs_buf_fini) struct pfs_buf from = PFS_BUF_INIT(2 * PFS_PATH_SIZE_MAX);
		PFS_AUTO(pfs_buf_fini) struct pfs_buf to = PFS_BUF_INIT(2 * PFS_PATH_SIZE_MAX);

		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
			continue;
		rc = pfs_buf_printf(&from, err, "%s/%s", source, entry->d_name);
		if (rc == 0)
			rc = join(&to, path, entry->d_name, err);
		if (rc == 0)
			rc = put_tree(cli, o, pfs_buf_str(&from), pfs_buf_str(&to), depth + 1, err);
	}
	if (rc == 0 && errno)
		rc = pfs_fail_errno(err, errno, "read directory %s", source);
	return rc;
}

/* A file, or all that is in a directory; links are followed, as to a file's bytes. */
static int put_tree(struct pfs_cli *cli, const struct pfs_object *o, const char *source,
		    const char *path, unsigned depth, struct pfs_error *err)
{
	PFS_AUTO(pfs_fd_close) int fd = -1;
	struct stat st;
	int rc;

	if (depth > DEPTH_MAX)
		return pfs_fail(err, PFS_E_LIMIT,
				"%s: more than %u directories deep, is a link a loop?", source,
				DEPTH_MAX);
	if (stat(source, &st) < 0)
		return pfs_fail_errno(err, errno, "%s", source);
	if (S_ISDIR(st.st_mode))
		return put_dir(cli, o, source, path, depth, err);
	fd = pfs_io_open(AT_FDCWD, source, O_RDONLY, 0, err);
	if (fd < 0)
		return fd;
	rc = put_fd(cli, o, path, fd, err);
	return rc < 0 ? pfs_wrap(err, rc, "%s", source) : 0;
}

/* The last component of a source, without the slashes behind it. */
static int add_base_name(struct pfs_buf *out, const char *source, struct pfs_error *err)
{
	size_t end = strlen(source), start;

	while (end > 1 && source[end - 1] == '/')
		end--;
	for (start = end; start > 0 && source[start - 1] != '/'; start--)
		;
	if (pfs_path_check_name(source + start, end - start, NULL) < 0)
		return pfs_fail(err, PFS_E_INVALID,
				"%s has no name of its own: give a path behind the colon", source);
	return pfs_buf_add(out, source + start, end - start, err);
}

static int put_source(struct pfs_cli *cli, const struct pfs_object *o, const char *source,
		      bool several, struct pfs_error *err)
{
	PFS_AUTO(pfs_buf_fini) struct pfs_buf path = PFS_BUF_INIT(2 * PFS_PATH_SIZE_MAX);
	bool is_stdin = strcmp(source, "-") == 0;
	bool into = several || !o->has_path || o->path_is_dir;
	struct stat st;
	int rc;

	if (is_stdin && (into || !o->path[0]))
		return pfs_fail(err, PFS_E_INVALID, "standard input has no name: write %s@%s:/path",
				o->repo, o->rev);
	rc = pfs_buf_add_str(&path, o->path, err);
	if (rc == 0 && into && o->path[0])
		rc = pfs_buf_add_str(&path, "/", err);
	if (rc == 0 && into)
		rc = add_base_name(&path, source, err);
	if (rc < 0)
		return rc;
	if (is_stdin)
		return put_fd(cli, o, pfs_buf_str(&path), STDIN_FILENO, err);
	if (!pfs_args_get(cli->args, 'r') && stat(source, &st) == 0 && S_ISDIR(st.st_mode))
		return pfs_fail(err, PFS_E_ISDIR, "%s is a directory: -r puts all that is in it",
				source);
	return put_tree(cli, o, source, pfs_buf_str(&path), 0, err);
}

int cmd_put_file(struct pfs_cli *cli, struct pfs_error *err)
{
	const char *source;
	struct pfs_object o;
	size_t pos = 0, n = 0;
	int rc = pfs_object_parse_rev(pfs_command_word(cli, 0), &o, err);

	while (pfs_args_next(cli->args, 'f', &pos))
		n++;
	pos = 0;
	if (rc == 0 && n == 0)
		return put_source(cli, &o, "-", false, err);
	while (rc == 0 && (source = pfs_args_next(cli->args, 'f', &pos)))
		rc = put_source(cli, &o, source, n > 1, err);
	return rc;
}
