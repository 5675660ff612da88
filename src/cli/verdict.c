#include "cli/verdict.h"

#include <inttypes.h>
#include <string.h>

static uint64_t count(const json_t *report, const char *key)
{
	int64_t n = pfs_json_int(report, key, 0);

	return n < 0 ? 0 : (uint64_t)n;
}

static bool is_stopped(const json_t *r)
{
	return json_is_true(json_object_get(r, "stopped"));
}

static enum pfs_verdict judge(const json_t *r, bool repair)
{
	uint64_t found = count(r, "damages") + count(r, "missing") + count(r, "names");

	if (found == 0 && is_stopped(r))
		return PFS_VERDICT_STOPPED;
	if (found == 0)
		return count(r, "mended") ? PFS_VERDICT_MENDED : PFS_VERDICT_CLEAN;
	if (is_stopped(r) || !repair || count(r, "remaining"))
		return PFS_VERDICT_DAMAGED;
	return PFS_VERDICT_MENDED;
}

/* What was looked at, and what was not. */
static const char *reach_of(const json_t *r)
{
	const char *level = json_string_value(json_object_get(r, "level"));

	if (!level)
		return "";
	if (strcmp(level, "quick") == 0)
		return " (quick: neither trees nor contents looked at)";
	return strcmp(level, "full") == 0 ? " (full: every byte read)"
					  : " (reach: contents not read)";
}

struct line {
	struct pfs_buf *text;
	bool some; /* there are counts already */
};

static int add(struct line *l, uint64_t n, const char *one, const char *many, struct pfs_error *err)
{
	const char *before = l->some ? ", " : ": ";

	if (n == 0)
		return 0;
	l->some = true;
	return pfs_buf_printf(l->text, err, "%s%" PRIu64 " %s", before, n, n == 1 ? one : many);
}

/* What a repair found is not how it is now. */
static int add_counts(struct line *l, const json_t *r, bool repair, struct pfs_error *err)
{
	int rc = add(l, count(r, "damages"), "damage", "damages", err);

	if (rc == 0)
		rc = add(l, count(r, "missing"),
			 repair ? "object was missing" : "object is missing",
			 repair ? "objects were missing" : "objects are missing", err);
	if (rc == 0)
		rc = add(l, count(r, "names"), repair ? "name led nowhere" : "name leads nowhere",
			 repair ? "names led nowhere" : "names lead nowhere", err);
	if (rc == 0)
		rc = add(l, count(r, "affected"), "path cannot be read whole",
			 "paths cannot be read whole", err);
	return rc < 0 ? rc : add(l, count(r, "mended"), "mended", "mended", err);
}

/* What is left after a repair, and what helps. */
static int add_left(struct pfs_buf *line, const json_t *r, struct pfs_error *err)
{
	static const struct {
		const char *key, *one, *many, *step;
	} sorts[] = {
		{ "left_objects", "object has no whole copy here",
		  "objects have no whole copy here",
		  "put the files, from a backup, into any branch and repair again" },
		{ "left_records", "commit record cannot be made anew",
		  "commit records cannot be made anew",
		  "stop pfsd and bring the packs that have them back from a backup of the data "
		  "folder" },
		{ "left_files", "loss of what was not committed",
		  "losses of what was not committed", "copy the files to their own paths again" },
		{ "left_names", "name leads nowhere or is contradicted",
		  "names lead nowhere or are contradicted",
		  "see the notes above, or bring meta.db back from a backup" },
	};
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < sizeof(sorts) / sizeof(*sorts); i++) {
		uint64_t n = count(r, sorts[i].key);

		if (n > 0)
			rc = pfs_buf_printf(line, err, "; %" PRIu64 " %s: %s", n,
					    n == 1 ? sorts[i].one : sorts[i].many, sorts[i].step);
	}
	return rc;
}

static int add_next_step(struct pfs_buf *line, const json_t *r, enum pfs_verdict verdict,
			 bool repair, struct pfs_error *err)
{
	if (is_stopped(r))
		return pfs_buf_add_str(line, "; the rest was not looked at", err);
	if (verdict == PFS_VERDICT_MENDED)
		return pfs_buf_add_str(line, "; everything that is needed is there", err);
	if (verdict == PFS_VERDICT_CLEAN)
		return 0;
	return repair ? add_left(line, r, err)
		      : pfs_buf_add_str(line, "; --repair mends what can be mended", err);
}

enum pfs_verdict pfs_verdict_of(const json_t *report, bool repair, struct pfs_buf *line,
				struct pfs_error *err)
{
	enum pfs_verdict verdict = judge(report, repair);
	const char *word = verdict == PFS_VERDICT_CLEAN     ? "clean"
			   : verdict == PFS_VERDICT_MENDED  ? "mended"
			   : verdict == PFS_VERDICT_DAMAGED ? "damaged"
							    : "stopped";
	struct line l = { .text = line };
	int rc = pfs_buf_printf(line, err, "%s%s", word, reach_of(report));

	if (rc == 0)
		rc = add(&l, count(report, "packs"), "pack", "packs", err);
	if (rc == 0)
		rc = add(&l, count(report, "objects"), "object", "objects", err);
	if (rc == 0)
		rc = add(&l, count(report, "commits"), "commit", "commits", err);
	if (rc == 0)
		rc = add_counts(&l, report, repair, err);
	if (rc == 0)
		rc = add_next_step(line, report, verdict, repair, err);
	return rc < 0 ? PFS_VERDICT_UNKNOWN : verdict;
}
