#include "cli/command.h"

#include <string.h>

#define SILENCE_MS 60000

const char *pfs_command_word(const struct pfs_cli *cli, size_t i)
{
	return cli->args->words[i];
}

const char *pfs_command_str(const json_t *v, const char *key)
{
	const char *s = pfs_json_str(v, key);

	return s ? s : "";
}

bool pfs_command_tell_idle(const json_t *job)
{
	const char *reason = pfs_command_str(job, "reason");

	if (strcmp(pfs_command_str(job, "state"), "created") != 0 || !*reason)
		return false;
	fprintf(stderr, "pfs: job %s@%s waits: %s\n", pfs_command_str(job, "pipeline"),
		pfs_command_str(job, "id"), reason);
	return true;
}

static int print_raw(void *arg, const void *data, size_t len)
{
	return pfs_print_bytes(data, len, NULL);
}

/* A row being made of a line. */
struct rows {
	struct pfs_cli *cli;
	struct pfs_table *table;
	int (*add_row)(struct pfs_cli *cli, struct pfs_table *table, const json_t *v,
		       struct pfs_error *err);
};

static int add_line(void *arg, json_t *v, struct pfs_error *err)
{
	struct rows *r = arg;

	return r->add_row(r->cli, r->table, v, err);
}

int pfs_command_list(struct pfs_cli *cli, const struct pfs_target *t, const char *const *titles,
		     int (*add_row)(struct pfs_cli *cli, struct pfs_table *table, const json_t *v,
				    struct pfs_error *err),
		     struct pfs_error *err)
{
	PFS_AUTO(pfs_table_fini) struct pfs_table table;
	struct rows rows = { cli, &table, add_row };
	int rc;

	pfs_table_init(&table, titles);
	if (cli->raw) {
		rc = pfs_client_read(cli->client, t, SILENCE_MS, print_raw, NULL, err);
		return rc < 0 ? rc : pfs_print_flush(err);
	}
	rc = pfs_client_each(cli->client, t, add_line, &rows, err);
	return rc < 0 ? rc : pfs_table_print(&table, err);
}

static int print_field(const char *key, const json_t *v, struct pfs_error *err)
{
	PFS_AUTO(pfs_buf_fini) struct pfs_buf text = PFS_BUF_INIT(4u << 20);
	int rc = 0;

	if (json_is_null(v) || (json_is_array(v) && json_array_size(v) == 0))
		return 0;
	if (json_is_string(v)) {
		if (!json_string_length(v))
			return 0;
		rc = pfs_buf_add_str(&text, json_string_value(v), err);
	} else {
		rc = pfs_json_format(v, &text, err);
	}
	if (rc < 0)
		return rc;
	/* Several lines stand below their name. */
	printf("%c%s:%s%s\n", key[0] >= 'a' && key[0] <= 'z' ? key[0] - 32 : key[0], key + 1,
	       strchr(pfs_buf_str(&text), '\n') ? "\n" : " ", pfs_buf_str(&text));
	return 0;
}

static int print_object(const struct pfs_cli *cli, json_t *v, struct pfs_error *err)
{
	PFS_AUTO(pfs_buf_fini) struct pfs_buf text = PFS_BUF_INIT(4u << 20);
	const char *key;
	json_t *field;
	int rc = 0;

	if (cli->raw) {
		rc = pfs_json_format(v, &text, err);
		if (rc == 0)
			rc = pfs_buf_add_u8(&text, '\n', err);
		if (rc == 0)
			rc = pfs_print_bytes(text.data, text.len, err);
	} else {
		json_object_foreach(v, key, field) if (rc == 0) rc = print_field(key, field, err);
	}
	return rc < 0 ? rc : pfs_print_flush(err);
}

int pfs_command_inspect(struct pfs_cli *cli, const struct pfs_target *t, struct pfs_error *err)
{
	PFS_AUTO(pfs_json_free) json_t *v = NULL;
	int rc = pfs_client_get(cli->client, t, 0, &v, err);

	return rc < 0 ? rc : print_object(cli, v, err);
}

int pfs_command_act(struct pfs_cli *cli, const char *method, const struct pfs_target *t, bool loud,
		    struct pfs_error *err)
{
	PFS_AUTO(pfs_buf_fini) struct pfs_buf reply = PFS_BUF_INIT(1u << 20);
	int rc = pfs_client_call(cli->client, method, t, NULL, 0, &reply, err);

	if (rc < 0 || !loud)
		return rc;
	rc = pfs_print_bytes(reply.data, reply.len, err);
	return rc < 0 ? rc : pfs_print_flush(err);
}

int pfs_command_delete(struct pfs_cli *cli, const struct pfs_target *t, const char *way,
		       struct pfs_error *err)
{
	struct pfs_error why = { 0 };
	int rc = pfs_command_act(cli, "DELETE", t, false, &why);

	if (rc == PFS_E_NOTEMPTY)
		return pfs_fail(err, rc, "%.600s; %s", why.text, way);
	return rc < 0 ? pfs_fail(err, rc, "%s", why.text) : 0;
}

int pfs_command_resolve(struct pfs_cli *cli, const struct pfs_object *o,
			char out[PFS_COMMIT_ID_HEX_SIZE], struct pfs_error *err)
{
	PFS_AUTO(pfs_target_fini) struct pfs_target t = PFS_TARGET_INIT;
	PFS_AUTO(pfs_json_free) json_t *v = NULL;
	const char *id;
	int rc;

	pfs_target_add(&t, "/commit/");
	pfs_target_add_path(&t, o->rev);
	pfs_target_set(&t, "repo", o->repo);
	rc = pfs_client_get(cli->client, &t, SILENCE_MS, &v, err);
	if (rc < 0)
		return rc;
	id = pfs_command_str(v, "name");
	if (strlen(id) != PFS_COMMIT_ID_HEX_SIZE - 1)
		return pfs_fail(err, PFS_E_IO, "pfsd names commit %s@%s \"%.40s\"", o->repo, o->rev,
				id);
	strcpy(out, id);
	return 0;
}
