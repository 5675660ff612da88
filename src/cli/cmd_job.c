#include "cli/command.h"

#include <stdio.h>
#include <string.h>

#define WAIT_SECONDS "30" /* of one request, which may be silent for a minute; it is asked again */
#define SILENCE_MS   60000

static int add_job(struct pfs_cli *cli, struct pfs_table *table, const json_t *v,
		   struct pfs_error *err)
{
	char age[PFS_PRINT_SIZE], span[PFS_PRINT_SIZE];
	const char *started = pfs_json_str(v, "started"), *reason = pfs_command_str(v, "reason");
	const char *cells[] = {
		pfs_command_str(v, "pipeline"),
		pfs_command_str(v, "id"),
		pfs_print_age(started, cli->full_times, cli->now_s, age),
		started ? pfs_print_span(started, pfs_json_str(v, "finished"), cli->now_s, span)
			: "-",
		pfs_command_str(v, "state"),
	};
	int rc = 0;

	for (size_t i = 0; i < sizeof(cells) / sizeof(*cells) && rc == 0; i++)
		rc = pfs_table_add(table, err, "%s", cells[i]);
	if (rc == 0)
		rc = pfs_table_add(table, err, "%.*s", (int)strcspn(reason, "\n"), reason);
	return rc;
}

int cmd_list_job(struct pfs_cli *cli, struct pfs_error *err)
{
	static const char *const titles[] = { "PIPELINE", "ID",     "STARTED", "DURATION",
					      "STATE",    "REASON", NULL };
	PFS_AUTO(pfs_target_fini) struct pfs_target t = PFS_TARGET_INIT;

	pfs_target_add(&t, "/job");
	pfs_target_set(&t, "pipeline", pfs_args_get(cli->args, 'p'));
	pfs_target_set(&t, "n", pfs_args_get(cli->args, 'n'));
	return pfs_command_list(cli, &t, titles, add_job, err);
}

/* "/job/<pipeline>/<id>" of "pipeline@id"; any revision of its repo names the id. */
static int target_of_job(struct pfs_cli *cli, const struct pfs_object *o, struct pfs_target *t,
			 struct pfs_error *err)
{
	char id[PFS_COMMIT_ID_HEX_SIZE];
	const char *name = o->rev;
	int rc;

	if (!pfs_object_is_id(o->rev)) {
		rc = pfs_command_resolve(cli, o, id, err);
		if (rc < 0)
			return pfs_wrap(err, rc, "job %s@%s", o->repo, o->rev);
		name = id;
	}
	pfs_target_add(t, "/job/");
	pfs_target_add_path(t, o->repo);
	pfs_target_add(t, "/");
	pfs_target_add_path(t, name);
	return 0;
}

static int target_of_word(struct pfs_cli *cli, struct pfs_target *t, struct pfs_error *err)
{
	struct pfs_object o;
	int rc = pfs_object_parse_branch(pfs_command_word(cli, 0), &o, err);

	return rc < 0 ? rc : target_of_job(cli, &o, t, err);
}

int cmd_inspect_job(struct pfs_cli *cli, struct pfs_error *err)
{
	PFS_AUTO(pfs_target_fini) struct pfs_target t = PFS_TARGET_INIT;
	int rc = target_of_word(cli, &t, err);

	return rc < 0 ? rc : pfs_command_inspect(cli, &t, err);
}

static bool tell_idle(struct pfs_cli *cli, const struct pfs_target *look)
{
	PFS_AUTO(pfs_json_free) json_t *v = NULL;

	return pfs_client_get(cli->client, look, SILENCE_MS, &v, NULL) == 0 &&
	       pfs_command_tell_idle(v);
}

/* Its failure is ours, so that a script can tell. */
int cmd_wait_job(struct pfs_cli *cli, struct pfs_error *err)
{
	PFS_AUTO(pfs_target_fini) struct pfs_target wait = PFS_TARGET_INIT;
	PFS_AUTO(pfs_target_fini) struct pfs_target look = PFS_TARGET_INIT;
	PFS_AUTO(pfs_json_free) json_t *v = NULL;
	bool told = false;
	int rc = target_of_word(cli, &wait, err);

	if (rc == 0)
		rc = target_of_word(cli, &look, err);
	if (rc < 0)
		return rc;
	pfs_target_set(&wait, "wait", WAIT_SECONDS);
	do {
		told = told || tell_idle(cli, &look);
		rc = pfs_client_get(cli->client, &wait, SILENCE_MS, &v, err);
	} while (rc == PFS_E_TIMEOUT);
	if (rc == 0)
		rc = pfs_command_inspect(cli, &look, err);
	if (rc < 0)
		return rc;
	if (strcmp(pfs_command_str(v, "state"), "success") == 0)
		return 0;
	return pfs_fail(err, PFS_E_FAILED, "job %s@%s: %s: %s", pfs_command_str(v, "pipeline"),
			pfs_command_str(v, "id"), pfs_command_str(v, "state"),
			pfs_command_str(v, "reason"));
}

int cmd_stop_job(struct pfs_cli *cli, struct pfs_error *err)
{
	PFS_AUTO(pfs_target_fini) struct pfs_target t = PFS_TARGET_INIT;
	int rc = target_of_word(cli, &t, err);

	return rc < 0 ? rc : pfs_command_act(cli, "DELETE", &t, false, err);
}

/* "pipeline@id", or -p pipeline -j id; without an id the newest job's. */
static int find_job(struct pfs_cli *cli, struct pfs_object *out, struct pfs_error *err)
{
	const char *pipeline = pfs_args_get(cli->args, 'p'), *job = pfs_args_get(cli->args, 'j');
	PFS_AUTO(pfs_buf_fini) struct pfs_buf text = PFS_BUF_INIT(4096);
	int rc = 0;

	if (cli->args->n_words)
		rc = pfs_buf_add_str(&text, pfs_command_word(cli, 0), err);
	else if (!pipeline)
		rc = pfs_fail(err, PFS_E_INVALID,
			      "whose logs? write pipeline@id, or -p pipeline -j id");
	else
		rc = pfs_buf_printf(&text, err, "%s%s%s", pipeline, job ? "@" : "", job ? job : "");
	return rc < 0 ? rc : pfs_object_parse(pfs_buf_str(&text), out, err);
}

static int keep_id(void *arg, json_t *v, struct pfs_error *err)
{
	struct pfs_object *o = arg;

	if (!o->rev[0])
		snprintf(o->rev, sizeof(o->rev), "%s", pfs_command_str(v, "id"));
	return 0;
}

static int find_newest(struct pfs_cli *cli, struct pfs_object *o, struct pfs_error *err)
{
	PFS_AUTO(pfs_target_fini) struct pfs_target t = PFS_TARGET_INIT;
	int rc;

	pfs_target_add(&t, "/job");
	pfs_target_set(&t, "pipeline", o->repo);
	pfs_target_set(&t, "n", "1");
	rc = pfs_client_each(cli->client, &t, keep_id, o, err);
	if (rc == 0 && !o->rev[0])
		rc = pfs_fail(err, PFS_E_NOTFOUND, "pipeline %s has not run yet", o->repo);
	return rc;
}

static int print_piece(void *arg, const void *data, size_t len)
{
	int rc = pfs_print_bytes(data, len, NULL);

	return rc < 0 ? rc : pfs_print_flush(NULL);
}

int cmd_logs(struct pfs_cli *cli, struct pfs_error *err)
{
	PFS_AUTO(pfs_target_fini) struct pfs_target t = PFS_TARGET_INIT;
	bool follow = pfs_args_get(cli->args, 'f');
	struct pfs_object o;
	int rc = find_job(cli, &o, err);

	if (rc == 0 && !o.rev[0])
		rc = find_newest(cli, &o, err);
	if (rc == 0)
		rc = target_of_job(cli, &o, &t, err);
	if (rc < 0)
		return rc;
	pfs_target_add(&t, "/log");
	pfs_target_set(&t, "follow", follow ? "" : NULL);
	return pfs_client_read(cli->client, &t, follow ? 0 : SILENCE_MS, print_piece, NULL, err);
}
