/*
 * pfs: the table of commands, and the help that is made from it.
 */
#include "cli/command.h"

#include <pfs/pfs.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define USAGE_SIZE     256
#define DEFAULT_SOCKET "/run/pfs/pfsd.sock"

/* Letters past 'z' have no short form. */
#define NO_LETTER(n) ((char)('z' + (n)))
#define OPT_SERVER   NO_LETTER(1)
#define OPT_SOCKET   NO_LETTER(2)
#define OPT_RAW      NO_LETTER(3)
#define OPT_FULL     NO_LETTER(4)
#define OPT_VERSION  NO_LETTER(5)

static const struct pfs_option common[] = {
	{ OPT_SOCKET, "socket", "PATH", "pfsd's unix socket" },
	{ OPT_SERVER, "server", "URL", "pfsd by TCP: http://host:port" },
	{ OPT_RAW, "raw", NULL, "JSON, one object a line" },
	{ OPT_FULL, "full-timestamps", NULL, "times as they are, not how long ago" },
	{ 'h', "help", NULL, "this help" },
	{ OPT_VERSION, "version", NULL, "of pfs" },
	{ 0 },
};

static const struct pfs_option force[] = {
	{ 'f', "force", NULL, "also when something is lost by it" }, { 0 }
};
static const struct pfs_option head[] = { { 'H', "head", "REV", "the commit it starts from" },
					  { 0 } };
static const struct pfs_option put[] = {
	{ 'f', "file", "FILE", "what to put; - is standard input; may be repeated" },
	{ 'r', "recursive", NULL, "directories with all that is in them" },
	{ 0 }
};
static const struct pfs_option get[] = { { 'o', "output", "OUT", "a file, or with -r a directory" },
					 { 'r', "recursive", NULL,
					   "a directory with all that is in it" },
					 { 0 } };
static const struct pfs_option below[] = { { 'r', "recursive", NULL, "all that is below it" },
					   { 0 } };
static const struct pfs_option message[] = { { 'm', "message", "TEXT", "what it is about" },
					     { 0 } };
static const struct pfs_option number[] = { { 'n', "number", "N", "no more than that" }, { 0 } };
static const struct pfs_option pachfile[] = {
	{ 'f', "file", "PACHFILE", "the pipeline's text; - is standard input" },
	{ 'R', "repo", "REPO", "whose commits run it: data" },
	{ 'B', "branch", "BRANCH", "and on which branch: master" },
	{ 0 }
};
static const struct pfs_option jobs[] = { { 'p', "pipeline", "NAME", "of this pipeline only" },
					  { 'n', "number", "N", "no more than that" },
					  { 0 } };
static const struct pfs_option logs[] = { { 'p', "pipeline", "NAME", "whose" },
					  { 'j', "job", "ID", "which; the newest otherwise" },
					  { 'f', "follow", NULL, "until the job has ended" },
					  { 0 } };

static const struct pfs_option gc[] = {
	{ 'n', "dry-run", NULL, "find out, change nothing" },
	{ 't', "thorough", NULL, "rewrite every pack with any garbage, not only where it pays" },
	{ 'w', "would-free", "REPO[@BRANCH]", "what deleting that would give back" },
	{ 0 }
};
static const struct pfs_option fsck[] = {
	{ 'l', "level", "LEVEL",
	  "quick: packs and database; reach: and all that commits lead to; "
	  "full: and every byte. The default is reach" },
	{ 'r', "repair", NULL, "mend what can be mended" },
	{ 'i', "rebuild-index", NULL, "make the index of the store anew first" },
	{ 'd', "data", "DIR", "look at a data folder that no pfsd has" },
	{ 0 }
};

#define BRANCH "<repo>@<branch>"
#define COMMIT "<repo>@<branch or commit>"
#define JOB    "<pipeline>@<commit>"

static const struct pfs_command commands[] = {
	{ "create", "repo", cmd_create_repo, 1, 1, "<repo>", "make an empty repo" },
	{ "list", "repo", cmd_list_repo, 0, 0, "", "all repos" },
	{ "inspect", "repo", cmd_inspect_repo, 1, 1, "<repo>", "all about one repo" },
	{ "delete", "repo", cmd_delete_repo, 1, 1, "<repo>", "forget a repo", force },

	{ "create", "branch", cmd_create_branch, 1, 1, BRANCH,
	  "make a branch, empty or from a commit", head },
	{ "list", "branch", cmd_list_branch, 1, 1, "<repo>", "the branches of a repo" },
	{ "rename", "branch", cmd_rename_branch, 2, 2, BRANCH " <new name>",
	  "give a branch another name" },
	{ "delete", "branch", cmd_delete_branch, 1, 1, BRANCH, "drop a branch; its commits stay",
	  force },

	{ "put", "file", cmd_put_file, 1, 1, BRANCH "[:<path>]", "write files to a branch", put },
	{ "get", "file", cmd_get_file, 1, 1, COMMIT ":<path>", "read files", get },
	{ "list", "file", cmd_list_file, 1, 1, COMMIT "[:<path>]", "what is in a directory",
	  below },
	{ "delete", "file", cmd_delete_file, 1, 1, BRANCH ":<path>", "remove a file from a branch",
	  below },
	{ "diff", "file", cmd_diff_file, 1, 2, COMMIT " [" COMMIT "]",
	  "what the first has that the second, or its parent, has not" },
	{ "status", NULL, cmd_status, 1, 1, BRANCH, "what is not committed yet" },

	{ "commit", NULL, cmd_commit, 1, 1, BRANCH, "commit what changed on a branch", message },
	{ "finish", "commit", cmd_commit, 1, 1, BRANCH, "the same", message },
	{ "list", "commit", cmd_list_commit, 1, 1, "<repo> | " COMMIT " | <commit>",
	  "commits, newest first; or all that share an id", number },
	{ "inspect", "commit", cmd_inspect_commit, 1, 1, COMMIT, "all about one commit" },
	{ "wait", "commit", cmd_wait_commit, 1, 1, COMMIT " | <commit>",
	  "until what is computed from it is there" },

	{ "create", "pipeline", cmd_create_pipeline, 1, 1, "<pipeline>", "record a Pachfile",
	  pachfile },
	{ "update", "pipeline", cmd_create_pipeline, 1, 1, "<pipeline>", "record it anew",
	  pachfile },
	{ "list", "pipeline", cmd_list_pipeline, 0, 0, "", "all pipelines" },
	{ "inspect", "pipeline", cmd_inspect_pipeline, 1, 1, "<pipeline>",
	  "all about one pipeline" },
	{ "delete", "pipeline", cmd_delete_pipeline, 1, 1, "<pipeline>",
	  "stop and forget a pipeline; its output stays" },

	{ "list", "job", cmd_list_job, 0, 0, "", "jobs, newest first", jobs },
	{ "inspect", "job", cmd_inspect_job, 1, 1, JOB, "all about one job" },
	{ "wait", "job", cmd_wait_job, 1, 1, JOB, "until a job has ended; fails when it failed" },
	{ "stop", "job", cmd_stop_job, 1, 1, JOB, "end a job" },
	{ "logs", NULL, cmd_logs, 0, 1, "[" JOB "]", "what a job printed", logs },

	{ "gc", NULL, cmd_gc, 0, 0, "", "collect garbage", gc },
	{ "tidy", NULL, cmd_tidy, 0, 0, "", "make the store smaller now" },
	{ "fsck", NULL, cmd_fsck, 0, 0, "", "look for damage, and mend it", fsck },
	{ "stats", NULL, cmd_stats, 0, 0, "", "numbers about pfsd" },
	{ "version", NULL, cmd_version, 0, 0, "", "of pfs and of pfsd" },
};

#define N_COMMANDS (sizeof(commands) / sizeof(*commands))

static void print_options(const struct pfs_option *o, FILE *to)
{
	for (; o && o->letter; o++) {
		char form[80];

		snprintf(form, sizeof(form), "--%s%s%s", o->name, o->value ? " " : "",
			 o->value ? o->value : "");
		if (o->letter > 0 && o->letter <= 'z' && o->letter >= 'a')
			fprintf(to, "  -%c, %-22s %s\n", o->letter, form, o->help);
		else
			fprintf(to, "      %-22s %s\n", form, o->help);
	}
}

static void print_help(FILE *to)
{
	fputs("usage: pfs [--socket PATH | --server URL] <command> ...\n\n", to);
	for (size_t i = 0; i < N_COMMANDS; i++) {
		const struct pfs_command *c = &commands[i];
		char name[64];

		snprintf(name, sizeof(name), "%s%s%s", c->verb, c->noun ? " " : "",
			 c->noun ? c->noun : "");
		fprintf(to, "  %-17s %s\n", name, c->help);
	}
	fputs("\neverywhere:\n", to);
	print_options(common, to);
	fputs("\n$PFS_SERVER is a socket or a URL for when neither is given; otherwise it "
	      "is\n" DEFAULT_SOCKET
	      ". \"pfs <command> --help\" tells more; the manual is pfs(1).\n",
	      to);
}

/* "pfs put file <repo>@<branch>:/<path>" */
static const char *format_usage(const struct pfs_command *c, char out[USAGE_SIZE])
{
	snprintf(out, USAGE_SIZE, "pfs %s%s%s%s%s", c->verb, c->noun ? " " : "",
		 c->noun ? c->noun : "", *c->words ? " " : "", c->words);
	return out;
}

static void print_command_help(const struct pfs_command *c, FILE *to)
{
	char usage[USAGE_SIZE];

	fprintf(to, "usage: %s%s\n\n%s\n", format_usage(c, usage), c->options ? " [options]" : "",
		c->help);
	if (c->options) {
		fputs("\n", to);
		print_options(c->options, to);
	}
}

static const struct pfs_command *find_command(const char *const *argv, size_t n, size_t *out_used)
{
	for (size_t i = 0; i < N_COMMANDS; i++) {
		const struct pfs_command *c = &commands[i];

		if (n < 1 || strcmp(argv[0], c->verb) != 0)
			continue;
		if (!c->noun || (n > 1 && strcmp(argv[1], c->noun) == 0)) {
			*out_used = c->noun ? 2 : 1;
			return c;
		}
	}
	return NULL;
}

/* The nouns of a verb that was given without one. */
static int fail_unknown(const char *const *argv, size_t n, struct pfs_error *err)
{
	char nouns[256] = "";
	size_t used = 0;

	for (size_t i = 0; i < N_COMMANDS; i++)
		if (n && commands[i].noun && strcmp(argv[0], commands[i].verb) == 0)
			used += (size_t)snprintf(nouns + used, sizeof(nouns) - used, "%s%s",
						 used ? ", " : "", commands[i].noun);
	if (used)
		return pfs_fail(err, PFS_E_INVALID, "%s what? %s", argv[0], nouns);
	return pfs_fail(err, PFS_E_INVALID, "there is no command \"%s\": pfs --help lists them",
			n ? argv[0] : "");
}

static const char *find_server(const struct pfs_args *before, const struct pfs_args *after)
{
	static const char letters[] = { OPT_SERVER, OPT_SOCKET };
	const struct pfs_args *where[] = { after, before };
	const char *env = getenv("PFS_SERVER");

	for (size_t w = 0; w < 2; w++)
		for (size_t l = 0; l < sizeof(letters); l++) {
			const char *value = pfs_args_get(where[w], letters[l]);

			if (value)
				return value;
		}
	return env && *env ? env : DEFAULT_SOCKET;
}

/* host:port alone would be the path of a socket. */
static int check_server(const struct pfs_args *before, const struct pfs_args *after,
			struct pfs_error *err)
{
	const struct pfs_args *where[] = { after, before };

	for (size_t w = 0; w < 2; w++) {
		const char *url = pfs_args_get(where[w], OPT_SERVER);

		if (url && !strstr(url, "://"))
			return pfs_fail(err, PFS_E_INVALID,
					"--server %.200s: a URL is wanted, http://%.200s", url,
					url);
	}
	return 0;
}

static int check_words(const struct pfs_command *c, const struct pfs_args *a, struct pfs_error *err)
{
	char usage[USAGE_SIZE];

	if (a->n_words < c->min_words)
		return pfs_fail(err, PFS_E_INVALID, "usage: %s", format_usage(c, usage));
	if (a->n_words > c->max_words)
		return pfs_fail(err, PFS_E_INVALID, "unexpected \"%s\": usage: %s",
				a->words[c->max_words], format_usage(c, usage));
	return 0;
}

static int run_command(const struct pfs_command *c, const struct pfs_args *before,
		       const struct pfs_args *after, int *out_status, struct pfs_error *err)
{
	PFS_AUTO(pfs_client_close) struct pfs_client *client = NULL;
	struct pfs_cli cli = { .args = after, .now_s = time(NULL) };
	int rc = check_words(c, after, err);

	if (rc == 0)
		rc = check_server(before, after, err);
	if (rc == 0)
		rc = pfs_client_open(find_server(before, after), &client, err);
	if (rc < 0)
		return rc;
	cli.client = client;
	cli.raw = pfs_args_get(before, OPT_RAW) || pfs_args_get(after, OPT_RAW);
	cli.full_times = pfs_args_get(before, OPT_FULL) || pfs_args_get(after, OPT_FULL);
	rc = c->run(&cli, err);
	*out_status = cli.exit_status;
	return rc;
}

/* Options in front of the command; *out_at is where it begins. */
static int parse_before(const char *const *argv, size_t n, struct pfs_args *out, size_t *out_at,
			struct pfs_error *err)
{
	size_t at = 0;

	while (at < n && argv[at][0] == '-' && argv[at][1]) {
		bool separate =
			strcmp(argv[at], "--socket") == 0 || strcmp(argv[at], "--server") == 0;

		at += separate && at + 1 < n ? 2 : 1;
	}
	*out_at = at;
	return pfs_args_parse(argv, at, NULL, common, out, err);
}

/* *out_status is what to exit with, unless it is 0. */
static int dispatch(const char *const *argv, size_t n, int *out_status, struct pfs_error *err)
{
	PFS_AUTO(pfs_args_fini) struct pfs_args before = { 0 }, after = { 0 };
	const struct pfs_command *c;
	size_t at, used;
	int rc = parse_before(argv, n, &before, &at, err);

	if (rc < 0)
		return rc;
	if (pfs_args_get(&before, 'h') || (at < n && strcmp(argv[at], "help") == 0)) {
		print_help(stdout);
		return 0;
	}
	if (pfs_args_get(&before, OPT_VERSION)) {
		printf("pfs %s\n", pfs_version());
		return 0;
	}
	if (at == n) {
		print_help(stderr);
		return pfs_fail(err, PFS_E_INVALID, "which command?");
	}
	c = find_command(argv + at, n - at, &used);
	if (!c)
		return fail_unknown(argv + at, n - at, err);
	rc = pfs_args_parse(argv + at + used, n - at - used, c->options, common, &after, err);
	if (rc < 0)
		return rc;
	if (pfs_args_get(&after, 'h')) {
		print_command_help(c, stdout);
		return 0;
	}
	return run_command(c, &before, &after, out_status, err);
}

int main(int argc, char **argv)
{
	struct pfs_error err = { 0 };
	int rc, status = 0;

	signal(SIGPIPE, SIG_IGN);
	rc = dispatch((const char *const *)argv + 1, argc > 0 ? (size_t)argc - 1 : 0, &status,
		      &err);
	if (rc < 0)
		fprintf(stderr, "pfs: %s\n", err.text);
	return status ? status : pfs_code_exit(rc);
}
