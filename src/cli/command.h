/*
 * A command: a row in main.c's table and a function in cmd_<noun>.c.
 *
 * Threads: one.
 */
#ifndef PFS_CLI_COMMAND_H
#define PFS_CLI_COMMAND_H

#include "cli/args.h"
#include "cli/client.h"
#include "cli/object.h"
#include "cli/print.h"

struct pfs_cli {
	struct pfs_client *client;
	const struct pfs_args *args;
	bool raw; /* JSON as it came */
	bool full_times;
	int exit_status; /* set by a command that has its own; 0: as the error has it */
	int64_t now_s;
};

typedef int pfs_command_fn(struct pfs_cli *cli, struct pfs_error *err);

struct pfs_command {
	const char *verb, *noun; /* noun NULL: the verb stands alone */
	pfs_command_fn *run;
	size_t min_words, max_words;
	const char *words; /* for the help: "<repo>@<branch>" */
	const char *help;
	const struct pfs_option *options; /* or NULL */
};

/* The word number `i` after the command; the table promises that it is there. */
const char *pfs_command_word(const struct pfs_cli *cli, size_t i);

/*
 * GET lines: printed as they come with --raw, else each makes a row and the
 * table is printed.
 */
int pfs_command_list(struct pfs_cli *cli, const struct pfs_target *t, const char *const *titles,
		     int (*add_row)(struct pfs_cli *cli, struct pfs_table *table, const json_t *v,
				    struct pfs_error *err),
		     struct pfs_error *err);

/* GET one object: printed as it came with --raw, else "Name: value" lines in the order of the fields. */
int pfs_command_inspect(struct pfs_cli *cli, const struct pfs_target *t, struct pfs_error *err);

/* POST or DELETE; what pfsd says is printed when `loud`. */
int pfs_command_act(struct pfs_cli *cli, const char *method, const struct pfs_target *t, bool loud,
		    struct pfs_error *err);

/* DELETE; when it is refused because something is lost, `way` tells how all the same. */
int pfs_command_delete(struct pfs_cli *cli, const struct pfs_target *t, const char *way,
		       struct pfs_error *err);

/* The full id of repo@rev. */
int pfs_command_resolve(struct pfs_cli *cli, const struct pfs_object *o,
			char out[PFS_COMMIT_ID_HEX_SIZE], struct pfs_error *err);

/* Say of a job that somebody waits for why it does not begin; false: nothing is to be said. */
bool pfs_command_tell_idle(const json_t *job);

/* A string of an object, "" when it is not there. */
const char *pfs_command_str(const json_t *v, const char *key);

pfs_command_fn cmd_create_repo, cmd_list_repo, cmd_inspect_repo, cmd_delete_repo;
pfs_command_fn cmd_create_branch, cmd_list_branch, cmd_rename_branch, cmd_delete_branch;
pfs_command_fn cmd_put_file, cmd_get_file, cmd_list_file, cmd_delete_file, cmd_diff_file;
pfs_command_fn cmd_commit, cmd_list_commit, cmd_inspect_commit, cmd_wait_commit, cmd_status;
pfs_command_fn cmd_create_pipeline, cmd_list_pipeline, cmd_inspect_pipeline, cmd_delete_pipeline;
pfs_command_fn cmd_list_job, cmd_inspect_job, cmd_wait_job, cmd_stop_job, cmd_logs;
pfs_command_fn cmd_gc, cmd_tidy, cmd_fsck;
pfs_command_fn cmd_version, cmd_stats;

#endif
