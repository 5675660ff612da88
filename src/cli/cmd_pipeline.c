#include "cli/command.h"
#include "base/io.h"
#include "base/limits.h"
#include "base/path.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Checked here: a name with a slash in it would be another route. */
static int target_of(struct pfs_cli *cli, struct pfs_target *t, struct pfs_error *err)
{
	const char *name = pfs_command_word(cli, 0);
	int rc = pfs_path_check_repo(name, err);

	pfs_target_add(t, "/pipeline/");
	pfs_target_add_path(t, name);
	return rc < 0 ? pfs_wrap(err, rc, "pipeline \"%.100s\" has an output repo", name) : 0;
}

static int load(const char *path, struct pfs_buf *out, struct pfs_error *err)
{
	char piece[4096];
	ssize_t got;
	int rc = 0;

	if (strcmp(path, "-") != 0)
		return pfs_io_load(AT_FDCWD, path, out, err);
	while (rc == 0 && (got = read(STDIN_FILENO, piece, sizeof(piece))) > 0)
		rc = pfs_buf_add(out, piece, (size_t)got, err);
	if (rc == 0 && got < 0)
		rc = pfs_fail_errno(err, errno, "read standard input");
	return rc;
}

/* What pfsd says behind the line that it is done. */
static void tell_notes(struct pfs_buf *reply)
{
	const char *first = pfs_buf_str(reply), *end = strchr(first, '\n');

	if (end)
		fputs(end + 1, stderr);
}

/* "create pipeline" and "update pipeline": both put the text in place. */
int cmd_create_pipeline(struct pfs_cli *cli, struct pfs_error *err)
{
	PFS_AUTO(pfs_target_fini) struct pfs_target t = PFS_TARGET_INIT;
	PFS_AUTO(pfs_buf_fini) struct pfs_buf text = PFS_BUF_INIT(PFS_PACHFILE_SIZE_MAX);
	PFS_AUTO(pfs_buf_fini) struct pfs_buf reply = PFS_BUF_INIT(65536);
	const char *file = pfs_args_get(cli->args, 'f');
	int rc;

	if (!file)
		return pfs_fail(err, PFS_E_INVALID,
				"which Pachfile? name it with -f, or - for standard input");
	rc = load(file, &text, err);
	if (rc < 0)
		return pfs_wrap(err, rc, "Pachfile %s", file);
	rc = target_of(cli, &t, err);
	if (rc < 0)
		return rc;
	pfs_target_set(&t, "repo", pfs_args_get(cli->args, 'R'));
	pfs_target_set(&t, "branch", pfs_args_get(cli->args, 'B'));
	rc = pfs_client_call(cli->client, "POST", &t, text.len ? pfs_buf_str(&text) : "", text.len,
			     &reply, err);
	if (rc == 0)
		tell_notes(&reply);
	return rc;
}

static int add_pipeline(struct pfs_cli *cli, struct pfs_table *table, const json_t *v,
			struct pfs_error *err)
{
	char age[PFS_PRINT_SIZE];
	int rc = pfs_table_add(table, err, "%s", pfs_command_str(v, "name"));

	if (rc == 0)
		rc = pfs_table_add(table, err, "%lld", (long long)pfs_json_int(v, "version", 0));
	if (rc == 0)
		rc = pfs_table_add(table, err, "%s@%s", pfs_command_str(v, "repo"),
				   pfs_command_str(v, "branch"));
	if (rc == 0)
		rc = pfs_table_add(table, err, "%s",
				   pfs_print_age(pfs_json_str(v, "created"), cli->full_times,
						 cli->now_s, age));
	return rc;
}

int cmd_list_pipeline(struct pfs_cli *cli, struct pfs_error *err)
{
	static const char *const titles[] = { "NAME", "VERSION", "INPUT", "CREATED", NULL };
	PFS_AUTO(pfs_target_fini) struct pfs_target t = PFS_TARGET_INIT;

	pfs_target_add(&t, "/pipeline");
	return pfs_command_list(cli, &t, titles, add_pipeline, err);
}

int cmd_inspect_pipeline(struct pfs_cli *cli, struct pfs_error *err)
{
	PFS_AUTO(pfs_target_fini) struct pfs_target t = PFS_TARGET_INIT;
	int rc = target_of(cli, &t, err);

	if (rc < 0)
		return rc;
	pfs_target_set(&t, "inspect", "");
	return pfs_command_inspect(cli, &t, err);
}

int cmd_delete_pipeline(struct pfs_cli *cli, struct pfs_error *err)
{
	PFS_AUTO(pfs_target_fini) struct pfs_target t = PFS_TARGET_INIT;
	int rc = target_of(cli, &t, err);

	return rc < 0 ? rc : pfs_command_act(cli, "DELETE", &t, false, err);
}
