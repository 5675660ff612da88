#include "cli/command.h"

#include <pfs/pfs.h>
#include <stdio.h>
#include <string.h>

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

static bool ends_with(const char *text, const char *end)
{
	size_t n = strlen(text), m = strlen(end);

	return n >= m && strcmp(text + n - m, end) == 0;
}

static void print_key(const char *key, int depth)
{
	printf("%*s%c", 2 * depth, "", depth || key[0] < 'a' ? key[0] : key[0] - 32);
	for (const char *p = key + 1; *p; p++)
		putchar(*p == '_' ? ' ' : *p);
	putchar(':');
}

/* " 1.5KiB" */
static int print_value(const struct pfs_cli *cli, const char *key, const json_t *v,
		       struct pfs_error *err)
{
	PFS_AUTO(pfs_buf_fini) struct pfs_buf text = PFS_BUF_INIT(1u << 20);
	const char *s = json_string_value(v);
	char pretty[PFS_PRINT_SIZE];
	int rc = 0;

	putchar(' ');
	if (s && s[0] >= '0' && s[0] <= '9' && strchr(s, 'T'))
		pfs_print_text(pfs_print_age(s, cli->full_times, cli->now_s, pretty));
	else if (s)
		pfs_print_text(s);
	else if (json_is_integer(v) && ends_with(key, "_bytes"))
		pfs_print_text(pfs_print_size((uint64_t)json_integer_value(v), pretty));
	else if (json_is_real(v))
		printf("%.2f", json_real_value(v));
	else if (json_is_null(v))
		fputs("never", stdout);
	else
		rc = pfs_json_format(v, &text, err);
	pfs_print_text(pfs_buf_str(&text));
	return rc;
}

static int print_figures(const struct pfs_cli *cli, json_t *v, int depth, struct pfs_error *err)
{
	const char *key;
	json_t *field;

	json_object_foreach(v, key, field)
	{
		int rc = 0;

		if (depth == 0 && json_is_null(field))
			continue;
		print_key(key, depth);
		if (!json_is_object(field))
			rc = print_value(cli, key, field, err);
		putchar('\n');
		if (rc == 0 && json_is_object(field))
			rc = print_figures(cli, field, depth + 1, err);
		if (rc < 0)
			return rc;
	}
	return 0;
}

int cmd_stats(struct pfs_cli *cli, struct pfs_error *err)
{
	PFS_AUTO(pfs_target_fini) struct pfs_target t = PFS_TARGET_INIT;
	PFS_AUTO(pfs_json_free) json_t *v = NULL;
	int rc;

	pfs_target_add(&t, "/stats");
	if (cli->raw)
		return pfs_command_inspect(cli, &t, err);
	rc = pfs_client_get(cli->client, &t, 0, &v, err);
	if (rc == 0)
		rc = print_figures(cli, v, 0, err);
	return rc < 0 ? rc : pfs_print_flush(err);
}
