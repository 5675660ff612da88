#include "cli/command.h"

#include <stdio.h>
#include <string.h>

#define WAIT_SECONDS "30" /* of one request, which may be silent for a minute; it is asked again */

/* "pfs commit repo@branch" and "pfs finish commit repo@branch" */
int cmd_commit(struct pfs_cli *cli, struct pfs_error *err)
{
	PFS_AUTO(pfs_target_fini) struct pfs_target t = PFS_TARGET_INIT;
	struct pfs_object o;
	int rc = pfs_object_parse_branch(pfs_command_word(cli, 0), &o, err);

	if (rc < 0)
		return rc;
	pfs_target_add(&t, "/commit");
	pfs_target_set(&t, "repo", o.repo);
	pfs_target_set(&t, "branch", o.rev);
	pfs_target_set(&t, "message", pfs_args_get(cli->args, 'm'));
	return pfs_command_act(cli, "POST", &t, true, err);
}

static int add_commit(struct pfs_cli *cli, struct pfs_table *table, const json_t *v,
		      struct pfs_error *err)
{
	char age[PFS_PRINT_SIZE], size[PFS_PRINT_SIZE];
	const char *error = pfs_json_str(v, "error"), *message = pfs_command_str(v, "message");
	const char *cells[] = {
		pfs_command_str(v, "repo"),
		pfs_command_str(v, "branch"),
		pfs_command_str(v, "name"),
		pfs_print_age(pfs_json_str(v, "tstamp"), cli->full_times, cli->now_s, age),
		pfs_print_size((uint64_t)pfs_json_int(v, "size", 0), size),
		pfs_command_str(v, "origin"),
	};
	int rc = 0;

	for (size_t i = 0; i < sizeof(cells) / sizeof(*cells) && rc == 0; i++)
		rc = pfs_table_add(table, err, "%s", cells[i]);
	if (rc == 0)
		rc = pfs_table_add(table, err, "%.*s", (int)strcspn(error ? error : message, "\n"),
				   error ? error : message);
	return rc;
}

/* Of a repo, of a branch and its past, or all that share an id. */
int cmd_list_commit(struct pfs_cli *cli, struct pfs_error *err)
{
	static const char *const titles[] = { "REPO", "BRANCH", "COMMIT",      "FINISHED",
					      "SIZE", "ORIGIN", "DESCRIPTION", NULL };
	PFS_AUTO(pfs_target_fini) struct pfs_target t = PFS_TARGET_INIT;
	const char *word = pfs_command_word(cli, 0);
	struct pfs_object o;
	int rc;

	if (pfs_object_is_id(word)) {
		pfs_target_add(&t, "/commitset/");
		pfs_target_add_path(&t, word);
		return pfs_command_list(cli, &t, titles, add_commit, err);
	}
	rc = pfs_object_parse(word, &o, err);
	if (rc < 0)
		return rc;
	pfs_target_add(&t, "/commit");
	pfs_target_set(&t, "repo", o.repo);
	pfs_target_set(&t, "branch", o.rev[0] ? o.rev : NULL);
	pfs_target_set(&t, "n", pfs_args_get(cli->args, 'n'));
	return pfs_command_list(cli, &t, titles, add_commit, err);
}

int cmd_inspect_commit(struct pfs_cli *cli, struct pfs_error *err)
{
	PFS_AUTO(pfs_target_fini) struct pfs_target t = PFS_TARGET_INIT;
	struct pfs_object o;
	int rc = pfs_object_parse_branch(pfs_command_word(cli, 0), &o, err);

	if (rc < 0)
		return rc;
	pfs_target_add(&t, "/commit/");
	pfs_target_add_path(&t, o.rev);
	pfs_target_set(&t, "repo", o.repo);
	return pfs_command_inspect(cli, &t, err);
}

static int find_set(struct pfs_cli *cli, const char *word, char id[PFS_COMMIT_ID_HEX_SIZE],
		    struct pfs_error *err)
{
	struct pfs_object o;
	size_t used = 0;
	int rc;

	if (!pfs_object_is_id(word)) {
		rc = pfs_object_parse_branch(word, &o, err);
		return rc < 0 ? rc : pfs_command_resolve(cli, &o, id, err);
	}
	for (; *word; word++)
		if (*word != '-')
			id[used++] = *word;
	id[used] = 0;
	return 0;
}

static int ignore_line(void *arg, json_t *v, struct pfs_error *err)
{
	return 0;
}

/* The jobs that did not succeed: the first in words. */
struct misses {
	unsigned n;
	struct pfs_error first;
};

static int check_job(void *arg, json_t *v, struct pfs_error *err)
{
	struct misses *m = arg;
	const char *state = pfs_command_str(v, "state");

	if (strcmp(state, "success") != 0 && m->n++ == 0)
		pfs_fail(&m->first, PFS_E_FAILED, "job %s@%s: %s: %s",
			 pfs_command_str(v, "pipeline"), pfs_command_str(v, "id"), state,
			 pfs_command_str(v, "reason"));
	return 0;
}

static int check_jobs(struct pfs_cli *cli, const char *id, struct pfs_error *err)
{
	PFS_AUTO(pfs_target_fini) struct pfs_target t = PFS_TARGET_INIT;
	struct misses m = { 0 };
	int rc;

	pfs_target_add(&t, "/job");
	pfs_target_set(&t, "commit", id);
	rc = pfs_client_each(cli->client, &t, check_job, &m, err);
	if (rc < 0 || m.n == 0)
		return rc;
	if (m.n == 1)
		return pfs_fail(err, PFS_E_FAILED, "%s", m.first.text);
	return pfs_fail(err, PFS_E_FAILED, "%.600s; and %u more, see pfs list job", m.first.text,
			m.n - 1);
}

static int note_idle(void *arg, json_t *v, struct pfs_error *err)
{
	bool *told = arg;

	*told = *told || pfs_command_tell_idle(v);
	return 0;
}

/* Whether a job of it that does not begin was told of; what hinders looking comes up elsewhere. */
static bool tell_idle(struct pfs_cli *cli, const char *id)
{
	PFS_AUTO(pfs_target_fini) struct pfs_target t = PFS_TARGET_INIT;
	bool told = false;

	pfs_target_add(&t, "/job");
	pfs_target_set(&t, "commit", id);
	pfs_client_each(cli->client, &t, note_idle, &told, NULL);
	return told;
}

/* Until everything that is computed from a commit is there, or has failed. */
int cmd_wait_commit(struct pfs_cli *cli, struct pfs_error *err)
{
	static const char *const titles[] = { "REPO", "BRANCH", "COMMIT",      "FINISHED",
					      "SIZE", "ORIGIN", "DESCRIPTION", NULL };
	PFS_AUTO(pfs_target_fini) struct pfs_target wait = PFS_TARGET_INIT;
	PFS_AUTO(pfs_target_fini) struct pfs_target list = PFS_TARGET_INIT;
	char id[PFS_COMMIT_ID_HEX_SIZE];
	bool told = false;
	int rc = find_set(cli, pfs_command_word(cli, 0), id, err);

	if (rc < 0)
		return rc;
	pfs_target_add(&wait, "/commitset/");
	pfs_target_add_path(&wait, id);
	pfs_target_set(&wait, "wait", WAIT_SECONDS);
	pfs_target_add(&list, "/commitset/");
	pfs_target_add_path(&list, id);
	do {
		told = told || tell_idle(cli, id);
		rc = pfs_client_each(cli->client, &wait, ignore_line, NULL, err);
	} while (rc == PFS_E_TIMEOUT);
	if (rc == 0)
		rc = pfs_command_list(cli, &list, titles, add_commit, err);
	return rc < 0 ? rc : check_jobs(cli, id, err);
}

static int add_change(struct pfs_cli *cli, struct pfs_table *table, const json_t *v,
		      struct pfs_error *err)
{
	char size[PFS_PRINT_SIZE];
	bool is_dir = strcmp(pfs_command_str(v, "type"), "dir") == 0;
	int rc = pfs_table_add(table, err, "%s", pfs_command_str(v, "op"));

	if (rc == 0)
		rc = pfs_table_add(
			table, err, "%s",
			is_dir ? "-" : pfs_print_size((uint64_t)pfs_json_int(v, "size", 0), size));
	if (rc == 0)
		rc = pfs_table_add(table, err, "/%s%s", pfs_command_str(v, "path"),
				   is_dir ? "/" : "");
	return rc;
}

static const char *const change_titles[] = { "OP", "SIZE", "NAME", NULL };

int cmd_status(struct pfs_cli *cli, struct pfs_error *err)
{
	PFS_AUTO(pfs_target_fini) struct pfs_target t = PFS_TARGET_INIT;
	struct pfs_object o;
	int rc = pfs_object_parse_branch(pfs_command_word(cli, 0), &o, err);

	if (rc < 0)
		return rc;
	pfs_target_add(&t, "/status");
	pfs_target_set(&t, "repo", o.repo);
	pfs_target_set(&t, "branch", o.rev);
	return pfs_command_list(cli, &t, change_titles, add_change, err);
}

/* From the second to the first; one alone is compared with its parent. */
int cmd_diff_file(struct pfs_cli *cli, struct pfs_error *err)
{
	PFS_AUTO(pfs_target_fini) struct pfs_target t = PFS_TARGET_INIT;
	struct pfs_object to, from = { 0 };
	bool two = cli->args->n_words > 1;
	int rc = pfs_object_parse_branch(pfs_command_word(cli, 0), &to, err);

	if (rc == 0 && two)
		rc = pfs_object_parse_branch(pfs_command_word(cli, 1), &from, err);
	if (rc == 0 && two && strcmp(from.repo, to.repo) != 0)
		rc = pfs_fail(err, PFS_E_UNSUPPORTED,
			      "%s and %s are two repos: diff compares within one", from.repo,
			      to.repo);
	if (rc < 0)
		return rc;
	pfs_target_add(&t, "/diff");
	pfs_target_set(&t, "repo", to.repo);
	pfs_target_set(&t, "to", to.rev);
	pfs_target_set(&t, "from", two ? from.rev : NULL);
	return pfs_command_list(cli, &t, change_titles, add_change, err);
}
