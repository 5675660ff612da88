/*
 * gc, tidy and fsck. All take long: Ctrl-C hangs up, which pfsd takes for a stop, or
 * stops what we do ourselves; a second one ends pfs at once.
 */
#include "cli/command.h"
#include "cli/verdict.h"
#include "daemon/facts_admin.h"
#include "base/clock.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define BUSY_MS 10000 /* what a pfsd that ends may take, as it is for pfsd --background */

static volatile sig_atomic_t interrupted;

static void on_interrupt(int signal)
{
	interrupted = 1;
}

static void catch_interrupts(void)
{
	struct sigaction act = { .sa_handler = on_interrupt, .sa_flags = SA_RESETHAND };

	sigemptyset(&act.sa_mask);
	sigaction(SIGINT, &act, NULL);
	sigaction(SIGTERM, &act, NULL);
}

static bool is_interrupted(void *arg)
{
	return interrupted;
}

/* --- gc ---------------------------------------------------------------------- */

static uint64_t count(const json_t *v, const char *key)
{
	return (uint64_t)pfs_json_int(v, key, 0);
}

static void print_objects(const json_t *v, const char *name, const char *objects, const char *bytes,
			  const char *what)
{
	char size[PFS_PRINT_SIZE];

	printf("%-9s%10s  %" PRIu64 " object%s%s\n", name, pfs_print_size(count(v, bytes), size),
	       count(v, objects), count(v, objects) == 1 ? "" : "s", what);
}

static void print_bytes(const json_t *v, const char *name, const char *bytes, const char *what)
{
	char size[PFS_PRINT_SIZE];

	if (count(v, bytes))
		printf("%-9s%10s  %s\n", name, pfs_print_size(count(v, bytes), size), what);
}

static void print_gc(const json_t *v)
{
	bool dry_run = json_is_true(json_object_get(v, "dry_run"));
	char size[PFS_PRINT_SIZE];

	print_objects(v, "alive", "live_objects", "live_bytes", "");
	print_objects(v, "garbage", "dead_objects", "dead_bytes", " that nothing names");
	print_objects(v, "doubles", "double_objects", "double_bytes",
		      " that were stored again since");
	printf("%-9s%10s  %" PRIu64 " of %" PRIu64 " packs %s\n", dry_run ? "to free" : "freed",
	       pfs_print_size(count(v, "freed_bytes"), size), count(v, "packs_removed"),
	       count(v, "packs"), dry_run ? "would go" : "went");
	print_bytes(v, dry_run ? "to move" : "moved", "copied_bytes",
		    "alive, out of those packs into new ones");
	print_bytes(v, "left", "left_bytes",
		    "in packs where rewriting does not pay; --thorough rewrites them too");
	if (count(v, "packs_damaged"))
		printf("%" PRIu64 " %s damaged and kept: pfs fsck --repair\n",
		       count(v, "packs_damaged"),
		       count(v, "packs_damaged") == 1 ? "pack is" : "packs are");
	if (json_is_true(json_object_get(v, "stopped")))
		printf("stopped before the end; the next one starts over\n");
	if (dry_run)
		printf("nothing was changed\n");
}

static void print_share(const json_t *v)
{
	print_objects(v, "store", "objects", "store_bytes",
		      ", by pfs gc --thorough after it was deleted");
	print_bytes(v, "files", "workspace_bytes", "of its workspace, at once");
}

/* One object as it came, or as `print` has it. */
static int show(struct pfs_cli *cli, const json_t *v, void (*print)(const json_t *v),
		struct pfs_error *err)
{
	PFS_AUTO(pfs_buf_fini) struct pfs_buf text = PFS_BUF_INIT(1u << 20);
	int rc = 0;

	if (cli->raw) {
		rc = pfs_json_format(v, &text, err);
		if (rc == 0)
			rc = pfs_buf_add_u8(&text, '\n', err);
		if (rc == 0)
			rc = pfs_print_bytes(text.data, text.len, err);
	} else {
		print(v);
	}
	return rc < 0 ? rc : pfs_print_flush(err);
}

static int would_free(struct pfs_cli *cli, const char *what, struct pfs_error *err)
{
	PFS_AUTO(pfs_target_fini) struct pfs_target t = PFS_TARGET_INIT;
	PFS_AUTO(pfs_json_free) json_t *v = NULL;
	struct pfs_object o;
	int rc = pfs_object_parse(what, &o, err);

	if (rc == 0 && o.has_path)
		rc = pfs_fail(err, PFS_E_INVALID,
			      "%.200s: repos and branches are deleted, say which without a path",
			      what);
	if (rc < 0)
		return rc;
	pfs_target_add(&t, "/gc");
	pfs_target_set(&t, "repo", o.repo);
	pfs_target_set(&t, "branch", o.rev[0] ? o.rev : NULL);
	rc = pfs_client_get(cli->client, &t, 0, &v, err);
	return rc < 0 ? rc : show(cli, v, print_share, err);
}

static int keep_object(void *arg, json_t *v, struct pfs_error *err)
{
	json_t **out = arg;

	pfs_json_free(out);
	*out = json_incref(v);
	return 0;
}

/* Have pfsd work, and show what it says of it. */
static int order(struct pfs_cli *cli, const struct pfs_target *t, void (*print)(const json_t *v),
		 struct pfs_error *err)
{
	PFS_AUTO(pfs_json_free) json_t *v = NULL;
	int rc;

	catch_interrupts();
	rc = pfs_client_work(cli->client, t, is_interrupted, keep_object, &v, err);
	if (interrupted)
		return pfs_fail(err, PFS_E_FAILED, "stopped; what was done until then is done");
	if (rc == 0 && !v)
		rc = pfs_fail(err, PFS_E_IO, "pfsd does not tell what it did");
	return rc < 0 ? rc : show(cli, v, print, err);
}

int cmd_gc(struct pfs_cli *cli, struct pfs_error *err)
{
	PFS_AUTO(pfs_target_fini) struct pfs_target t = PFS_TARGET_INIT;
	const char *what = pfs_args_get(cli->args, 'w');

	if (what && (pfs_args_get(cli->args, 'n') || pfs_args_get(cli->args, 't')))
		return pfs_fail(err, PFS_E_INVALID,
				"--would-free only asks: it goes with neither --dry-run nor "
				"--thorough");
	if (what)
		return would_free(cli, what, err);
	pfs_target_add(&t, "/gc");
	pfs_target_set(&t, "dry_run", pfs_args_get(cli->args, 'n'));
	pfs_target_set(&t, "thorough", pfs_args_get(cli->args, 't'));
	return order(cli, &t, print_gc, err);
}

/* --- tidy -------------------------------------------------------------------- */

static void print_tidy(const json_t *v)
{
	uint64_t gone = count(v, "freed_bytes"), made = count(v, "written_bytes");
	char size[PFS_PRINT_SIZE];

	printf("%" PRIu64 " pack%s rewritten", count(v, "packs_rewritten"),
	       count(v, "packs_rewritten") == 1 ? "" : "s");
	if (gone > made)
		printf(", %s saved", pfs_print_size(gone - made, size));
	putchar('\n');
	if (count(v, "packs_postponed"))
		printf("%" PRIu64 " left for want of room on the disk\n",
		       count(v, "packs_postponed"));
	if (count(v, "packs_damaged"))
		printf("%" PRIu64 " damaged and kept: pfs fsck --repair\n",
		       count(v, "packs_damaged"));
}

int cmd_tidy(struct pfs_cli *cli, struct pfs_error *err)
{
	PFS_AUTO(pfs_target_fini) struct pfs_target t = PFS_TARGET_INIT;

	pfs_target_add(&t, "/tidy");
	return order(cli, &t, print_tidy, err);
}

/* --- fsck -------------------------------------------------------------------- */

struct look {
	struct pfs_cli *cli;
	bool repair;
	unsigned found; /* lines that tell of damage */
	json_t *report; /* owned; the last line */
	int rc;         /* of a line that could not be made or printed */
	struct pfs_error err;
};

static void print_finding(const json_t *v)
{
	pfs_print_text(pfs_command_str(v, "kind"));
	fputs(": ", stdout);
	pfs_print_text(pfs_command_str(v, "text"));
	putchar('\n');
}

/* A finding, the report, or why there is none. */
static int take_line(void *arg, json_t *v, struct pfs_error *err)
{
	struct look *l = arg;
	const char *kind = pfs_command_str(v, "kind");

	if (strcmp(kind, "error") == 0)
		return pfs_fail(err, pfs_code_parse(pfs_command_str(v, "error")), "%s",
				pfs_command_str(v, "message"));
	l->found += strcmp(kind, "damage") == 0 || strcmp(kind, "missing") == 0 ||
		    strcmp(kind, "names") == 0;
	if (strcmp(kind, "report") != 0)
		return show(l->cli, v, print_finding, err);
	pfs_json_free(&l->report);
	l->report = json_incref(v);
	return 0;
}

static int ask_pfsd(struct look *l, const char *level, struct pfs_error *err)
{
	PFS_AUTO(pfs_target_fini) struct pfs_target t = PFS_TARGET_INIT;
	const struct pfs_args *args = l->cli->args;
	int rc;

	pfs_target_add(&t, "/fsck");
	pfs_target_set(&t, "level", level);
	pfs_target_set(&t, "repair", pfs_args_get(args, 'r'));
	pfs_target_set(&t, "rebuild_index", pfs_args_get(args, 'i'));
	rc = pfs_client_work(l->cli->client, &t, is_interrupted, take_line, l, err);
	if (rc < 0 && interrupted) {
		l->report = json_pack("{s:s, s:i, s:b}", "kind", "report", "damages", (int)l->found,
				      "stopped", true);
		rc = l->report ? 0 : pfs_fail_nomem(err, "a report");
	}
	return rc;
}

/* The same lines as pfsd would send. */
static int take_text(struct look *l, const struct pfs_buf *line, struct pfs_error *err)
{
	PFS_AUTO(pfs_json_free) json_t *v = NULL;
	int rc = pfs_json_parse(line->data, line->len - 1, &v, err);

	return rc < 0 ? rc : take_line(l, v, err);
}

static void hear(void *arg, const struct pfs_finding *finding)
{
	PFS_AUTO(pfs_buf_fini) struct pfs_buf line = PFS_BUF_INIT(1u << 20);
	struct look *l = arg;

	if (l->rc == 0)
		l->rc = pfs_facts_finding(finding, &line, &l->err);
	if (l->rc == 0)
		l->rc = take_text(l, &line, &l->err);
}

/* Nobody reads on: what is not told need not be found. */
static bool is_over(void *arg)
{
	return interrupted || ((struct look *)arg)->rc < 0;
}

/* umount(8) returns before the pfsd of that mount has ended: it is waited for. */
static int look_when_free(struct look *l, const char *data, const struct pfs_fsck_options *how,
			  struct pfs_fsck_report *out, struct pfs_error *err)
{
	int64_t until = pfs_clock_monotonic_ms() + BUSY_MS;
	int rc;

	for (;;) {
		rc = pfs_fsck_data(data, how, out, err);
		if (rc != PFS_E_BUSY || is_over(l) || pfs_clock_monotonic_ms() >= until)
			return rc;
		usleep(100 * 1000);
	}
}

static int look_ourselves(struct look *l, const char *data, const char *level,
			  struct pfs_error *err)
{
	PFS_AUTO(pfs_buf_fini) struct pfs_buf line = PFS_BUF_INIT(1u << 16);
	struct pfs_fsck_options how = PFS_FSCK_OPTIONS_INIT;
	struct pfs_fsck_report report;
	int rc = pfs_fsck_level_parse(level, &how.level, err);

	if (rc < 0)
		return rc;
	how.repair = l->repair;
	how.rebuild_index = pfs_args_get(l->cli->args, 'i');
	how.report = hear;
	how.stop = is_over;
	how.arg = how.stop_arg = l;
	rc = look_when_free(l, data, &how, &report, err);
	if (rc == PFS_E_BUSY)
		return pfs_fail(err, rc,
				"%s: a pfsd has it open; pfs fsck without --data asks that one",
				data);
	if (rc == 0 && l->rc < 0)
		rc = pfs_fail(err, l->rc, "%s", l->err.text);
	if (rc == 0)
		rc = pfs_facts_fsck(&report, &line, err);
	return rc < 0 ? rc : take_text(l, &line, err);
}

static int print_verdict(struct look *l, struct pfs_error *err)
{
	PFS_AUTO(pfs_buf_fini) struct pfs_buf line = PFS_BUF_INIT(4096);
	enum pfs_verdict verdict;

	if (!l->report)
		return pfs_fail(err, PFS_E_IO, "the answer of pfsd has no end");
	verdict = pfs_verdict_of(l->report, l->repair, &line, err);
	l->cli->exit_status = (int)verdict;
	if (verdict == PFS_VERDICT_UNKNOWN)
		return PFS_E_NOMEM;
	if (l->cli->raw)
		return show(l->cli, l->report, NULL, err);
	printf("%s\n", pfs_buf_str(&line));
	return pfs_print_flush(err);
}

int cmd_fsck(struct pfs_cli *cli, struct pfs_error *err)
{
	const char *data = pfs_args_get(cli->args, 'd'), *level = pfs_args_get(cli->args, 'l');
	struct look l = { .cli = cli, .repair = pfs_args_get(cli->args, 'r') };
	enum pfs_fsck_level parsed;
	int rc = pfs_fsck_level_parse(level ? level : "reach", &parsed, err);

	if (rc < 0)
		return rc;
	catch_interrupts();
	cli->exit_status = PFS_VERDICT_UNKNOWN;
	rc = data ? look_ourselves(&l, data, level ? level : "reach", err)
		  : ask_pfsd(&l, level, err);
	if (rc == 0)
		rc = print_verdict(&l, err);
	pfs_json_free(&l.report);
	return rc;
}
