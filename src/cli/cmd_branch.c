#include "cli/command.h"

#include <string.h>

/* --head is a revision of the same repo, written alone or behind "repo@". */
static int parse_head(const char *text, const struct pfs_object *branch, struct pfs_object *out,
		      struct pfs_error *err)
{
	PFS_AUTO(pfs_buf_fini) struct pfs_buf full = PFS_BUF_INIT(4096);
	int rc = 0;

	if (!strchr(text, '@'))
		rc = pfs_buf_printf(&full, err, "%s@%s", branch->repo, text);
	else
		rc = pfs_buf_add_str(&full, text, err);
	if (rc == 0)
		rc = pfs_object_parse_branch(pfs_buf_str(&full), out, err);
	if (rc == 0 && strcmp(out->repo, branch->repo) != 0)
		rc = pfs_fail(err, PFS_E_INVALID,
			      "--head %s: a branch of %s starts from a commit of %s", text,
			      branch->repo, branch->repo);
	return rc;
}

int cmd_create_branch(struct pfs_cli *cli, struct pfs_error *err)
{
	PFS_AUTO(pfs_target_fini) struct pfs_target t = PFS_TARGET_INIT;
	const char *head = pfs_args_get(cli->args, 'H');
	struct pfs_object o, from = { 0 };
	int rc = pfs_object_parse_branch(pfs_command_word(cli, 0), &o, err);

	if (rc == 0 && head)
		rc = parse_head(head, &o, &from, err);
	if (rc < 0)
		return rc;
	pfs_target_add(&t, "/branch");
	pfs_target_set(&t, "repo", o.repo);
	pfs_target_set(&t, "branch", o.rev);
	pfs_target_set(&t, "commit", from.rev);
	return pfs_command_act(cli, "POST", &t, false, err);
}

static int add_branch(struct pfs_cli *cli, struct pfs_table *table, const json_t *v,
		      struct pfs_error *err)
{
	char age[PFS_PRINT_SIZE];
	const char *head = pfs_json_str(v, "head");
	int rc = pfs_table_add(table, err, "%s", pfs_command_str(v, "name"));

	if (rc == 0)
		rc = pfs_table_add(table, err, "%s", head ? head : "-");
	if (rc == 0)
		rc = pfs_table_add(
			table, err, "%s",
			pfs_print_age(pfs_json_str(v, "tstamp"), cli->full_times, cli->now_s, age));
	return rc;
}

int cmd_list_branch(struct pfs_cli *cli, struct pfs_error *err)
{
	static const char *const titles[] = { "BRANCH", "HEAD", "CREATED", NULL };
	PFS_AUTO(pfs_target_fini) struct pfs_target t = PFS_TARGET_INIT;

	pfs_target_add(&t, "/branch");
	pfs_target_set(&t, "repo", pfs_command_word(cli, 0));
	return pfs_command_list(cli, &t, titles, add_branch, err);
}

static void target_of(struct pfs_target *t, const struct pfs_object *o)
{
	pfs_target_add(t, "/branch/");
	pfs_target_add_path(t, o->rev);
	pfs_target_set(t, "repo", o->repo);
}

int cmd_rename_branch(struct pfs_cli *cli, struct pfs_error *err)
{
	PFS_AUTO(pfs_target_fini) struct pfs_target t = PFS_TARGET_INIT;
	struct pfs_object o;
	int rc = pfs_object_parse_branch(pfs_command_word(cli, 0), &o, err);

	if (rc < 0)
		return rc;
	target_of(&t, &o);
	pfs_target_set(&t, "rename", pfs_command_word(cli, 1));
	return pfs_command_act(cli, "POST", &t, false, err);
}

int cmd_delete_branch(struct pfs_cli *cli, struct pfs_error *err)
{
	PFS_AUTO(pfs_target_fini) struct pfs_target t = PFS_TARGET_INIT;
	struct pfs_object o;
	int rc = pfs_object_parse_branch(pfs_command_word(cli, 0), &o, err);

	if (rc < 0)
		return rc;
	target_of(&t, &o);
	pfs_target_set(&t, "force", pfs_args_get(cli->args, 'f'));
	return pfs_command_delete(cli, &t, "with --force it goes, and its commits stay", err);
}
