#include "cli/verdict.h"

#include <inttypes.h>
#include <string.h>

static uint64_t count(const json_t *report, const char *key)
{
	int64_t n = pfs_json_int(report, key, 0);

	return n < 0 ? 0 : (uint64_t)n;
}

static enum pfs_verdict judge(const json_t *r, bool repair)
{
	uint64_t found = count(r, "damages") + count(r, "missing") + count(r, "names");

	if (found == 0)
		return json_is_true(json_object_get(r, "stopped")) ? PFS_VERDICT_STOPPED
								   : PFS_VERDICT_CLEAN;
	if (json_is_true(json_object_get(r, "stopped")) || !repair || count(r, "remaining"))
		return PFS_VERDICT_DAMAGED;
	return PFS_VERDICT_MENDED;
}

static int add(struct pfs_buf *line, uint64_t n, const char *one, const char *many,
	       struct pfs_error *err)
{
	return n ? pfs_buf_printf(line, err, "%s%" PRIu64 " %s",
				  strchr(pfs_buf_str(line), ':') ? ", " : ": ", n,
				  n == 1 ? one : many)
		 : 0;
}

static int add_counts(const json_t *r, struct pfs_buf *line, struct pfs_error *err)
{
	int rc = add(line, count(r, "damages"), "damage", "damages", err);

	if (rc == 0)
		rc = add(line, count(r, "missing"), "object is missing", "objects are missing",
			 err);
	if (rc == 0)
		rc = add(line, count(r, "names"), "name leads nowhere", "names lead nowhere", err);
	if (rc == 0)
		rc = add(line, count(r, "affected"), "path cannot be read whole",
			 "paths cannot be read whole", err);
	return rc < 0 ? rc : add(line, count(r, "mended"), "mended", "mended", err);
}

static const char *next_step(const json_t *r, enum pfs_verdict verdict, bool repair)
{
	if (json_is_true(json_object_get(r, "stopped")))
		return "; the rest was not looked at";
	if (verdict == PFS_VERDICT_MENDED)
		return "; everything that is needed is there";
	if (verdict == PFS_VERDICT_CLEAN)
		return "";
	return repair ? "; what is left has no whole copy here: put the files, from a backup, "
			"into any branch and repair again"
		      : "; --repair mends what can be mended";
}

enum pfs_verdict pfs_verdict_of(const json_t *report, bool repair, struct pfs_buf *line,
				struct pfs_error *err)
{
	enum pfs_verdict verdict = judge(report, repair);
	const char *word = verdict == PFS_VERDICT_CLEAN     ? "clean"
			   : verdict == PFS_VERDICT_MENDED  ? "mended"
			   : verdict == PFS_VERDICT_DAMAGED ? "damaged"
							    : "stopped";
	int rc = pfs_buf_printf(line, err, "%s", word);

	if (rc == 0)
		rc = add(line, count(report, "packs"), "pack", "packs", err);
	if (rc == 0)
		rc = add(line, count(report, "objects"), "object", "objects", err);
	if (rc == 0)
		rc = add(line, count(report, "commits"), "commit", "commits", err);
	if (rc == 0)
		rc = add_counts(report, line, err);
	if (rc == 0)
		rc = pfs_buf_add_str(line, next_step(report, verdict, repair), err);
	return rc < 0 ? PFS_VERDICT_UNKNOWN : verdict;
}
