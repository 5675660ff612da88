#include "cli/command.h"
#include "base/path.h"

/* Checked here: a name with a slash in it would be another route. */
static int target_of(struct pfs_cli *cli, struct pfs_target *t, struct pfs_error *err)
{
	const char *repo = pfs_command_word(cli, 0);

	pfs_target_add(t, "/repo/");
	pfs_target_add_path(t, repo);
	return pfs_path_check_repo(repo, err);
}

int cmd_create_repo(struct pfs_cli *cli, struct pfs_error *err)
{
	PFS_AUTO(pfs_target_fini) struct pfs_target t = PFS_TARGET_INIT;
	int rc = target_of(cli, &t, err);

	return rc < 0 ? rc : pfs_command_act(cli, "POST", &t, false, err);
}

static int add_repo(struct pfs_cli *cli, struct pfs_table *table, const json_t *v,
		    struct pfs_error *err)
{
	char age[PFS_PRINT_SIZE], size[PFS_PRINT_SIZE];
	const char *owner = pfs_command_str(v, "owner");
	int rc = pfs_table_add(table, err, "%s", pfs_command_str(v, "name"));

	if (rc == 0)
		rc = pfs_table_add(table, err, "%s",
				   pfs_print_age(pfs_json_str(v, "created"), cli->full_times,
						 cli->now_s, age));
	if (rc == 0)
		rc = pfs_table_add(table, err, "%s",
				   pfs_print_size((uint64_t)pfs_json_int(v, "size", 0), size));
	if (rc == 0)
		rc = pfs_table_add(table, err, "%s%s", *owner ? "output of pipeline " : "", owner);
	return rc;
}

int cmd_list_repo(struct pfs_cli *cli, struct pfs_error *err)
{
	static const char *const titles[] = { "NAME", "CREATED", "SIZE (MASTER)", "DESCRIPTION",
					      NULL };
	PFS_AUTO(pfs_target_fini) struct pfs_target t = PFS_TARGET_INIT;

	pfs_target_add(&t, "/repo");
	return pfs_command_list(cli, &t, titles, add_repo, err);
}

int cmd_inspect_repo(struct pfs_cli *cli, struct pfs_error *err)
{
	PFS_AUTO(pfs_target_fini) struct pfs_target t = PFS_TARGET_INIT;
	int rc = target_of(cli, &t, err);

	return rc < 0 ? rc : pfs_command_inspect(cli, &t, err);
}

int cmd_delete_repo(struct pfs_cli *cli, struct pfs_error *err)
{
	PFS_AUTO(pfs_target_fini) struct pfs_target t = PFS_TARGET_INIT;
	int rc = target_of(cli, &t, err);

	if (rc < 0)
		return rc;
	pfs_target_set(&t, "force", pfs_args_get(cli->args, 'f'));
	return pfs_command_delete(cli, &t, "with --force all of it goes", err);
}
