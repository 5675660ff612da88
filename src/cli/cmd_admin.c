#include "cli/command.h"

#include <pfs/pfs.h>
#include <stdio.h>

/* Ours, then pfsd's; without pfsd there is still ours. */
int cmd_version(struct pfs_cli *cli, struct pfs_error *err)
{
	PFS_AUTO(pfs_target_fini) struct pfs_target t = PFS_TARGET_INIT;
	PFS_AUTO(pfs_buf_fini) struct pfs_buf reply = PFS_BUF_INIT(256);
	int rc;

	printf("pfs   %s\n", pfs_version());
	pfs_target_add(&t, "/version");
	rc = pfs_client_call(cli->client, "GET", &t, NULL, 0, &reply, err);
	if (rc == 0)
		printf("pfsd  %s", pfs_buf_str(&reply));
	return rc < 0 ? rc : pfs_print_flush(err);
}

int cmd_stats(struct pfs_cli *cli, struct pfs_error *err)
{
	PFS_AUTO(pfs_target_fini) struct pfs_target t = PFS_TARGET_INIT;

	pfs_target_add(&t, "/stats");
	return pfs_command_inspect(cli, &t, err);
}
