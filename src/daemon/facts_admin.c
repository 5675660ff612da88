/*
 * What looking after an instance comes to, as JSON. Also part of pfs, which
 * looks at a data folder itself when there is no pfsd.
 */
#include "daemon/facts_admin.h"
#include "base/clock.h"

#include <string.h>

/* Takes `v`, which is NULL when there was no memory for it. */
static int put_line(json_t *v, struct pfs_buf *out, struct pfs_error *err)
{
	size_t before = out->len;
	int rc = v ? pfs_json_format(v, out, err) : pfs_fail_nomem(err, "a line of JSON");

	json_decref(v);
	if (rc == 0)
		rc = pfs_buf_add_u8(out, '\n', err);
	if (rc < 0)
		out->len = before;
	return rc;
}

static json_t *number(uint64_t n)
{
	return json_integer((json_int_t)n);
}

static json_t *text_of(const char *s)
{
	return pfs_json_bytes(s, strlen(s));
}

int pfs_facts_gc(const struct pfs_gc_report *r, bool dry_run, struct pfs_buf *out,
		 struct pfs_error *err)
{
	return put_line(
		json_pack("{s:b, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:b}",
			  "dry_run", dry_run, "live_objects", number(r->live_objects), "live_bytes",
			  number(r->live_bytes), "dead_objects", number(r->dead_objects),
			  "dead_bytes", number(r->dead_bytes), "double_objects",
			  number(r->double_objects), "double_bytes", number(r->double_bytes),
			  "packs", number(r->packs), "packs_removed", number(r->packs_removed),
			  "copied_bytes", number(r->copied_bytes), "freed_bytes",
			  number(r->freed_bytes), "left_bytes", number(r->left_bytes),
			  "packs_damaged", number(r->packs_damaged), "stopped", r->stopped),
		out, err);
}

int pfs_facts_tidy(const struct pfs_tidy_report *r, bool stopped, struct pfs_buf *out,
		   struct pfs_error *err)
{
	return put_line(json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:b}", "packs_rewritten",
				  number(r->packs_rewritten), "packs_damaged",
				  number(r->packs_damaged), "packs_postponed",
				  number(r->packs_postponed), "read_bytes", number(r->read_bytes),
				  "written_bytes", number(r->written_bytes), "freed_bytes",
				  number(r->freed_bytes), "stopped", stopped),
			out, err);
}

int pfs_facts_share(const struct pfs_gc_share *s, struct pfs_buf *out, struct pfs_error *err)
{
	return put_line(json_pack("{s:o, s:o, s:o}", "objects", number(s->objects), "store_bytes",
				  number(s->store_bytes), "workspace_bytes",
				  number(s->workspace_bytes)),
			out, err);
}

static json_t *time_of(int64_t ns)
{
	char text[PFS_CLOCK_TEXT_SIZE];

	return ns ? json_string(pfs_clock_format(ns, text)) : json_null();
}

static json_t *stats_of_store(const struct pfs_stats *s)
{
	double ratio = s->pack_bytes ? (double)s->head_bytes / (double)s->pack_bytes : 0;

	return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:f}", "objects",
			 number(s->objects), "object_bytes", number(s->object_bytes), "deltas",
			 number(s->deltas), "bundled", number(s->bundled), "packs",
			 number(s->packs), "pack_bytes", number(s->pack_bytes), "adopted_files",
			 number(s->adopted_files), "adopted_bytes", number(s->adopted_bytes),
			 "known_damages", number(s->known_damages), "head_ratio", ratio);
}

int pfs_facts_stats(const struct pfs_stats *s, const struct pfs_upkeep *u, json_t *v,
		    struct pfs_error *err)
{
	json_t *more = json_pack(
		"{s:{s:o, s:o, s:o, s:o, s:o}, s:o, s:{s:o, s:o, s:o}, s:{s:o, s:o, s:o}, "
		"s:{s:o, s:o, s:o, s:o, s:o}}",
		"names", "repos", number(s->repos), "branches", number(s->branches), "commits",
		number(s->commits), "head_bytes", number(s->head_bytes), "workspace_bytes",
		number(s->workspace_bytes), "store", stats_of_store(s), "index", "disk_bytes",
		number(s->index_bytes), "memory_bytes", number(s->index_memory), "rebuilds",
		number(s->index_rebuilds), "garbage", "collected", time_of(u->gc_ended_ns),
		"freed_bytes", number(u->gc_freed_bytes), "left_bytes", number(u->gc_left_bytes),
		"scrub", "rounds", number(u->scrub.rounds), "began",
		time_of(u->scrub.round_began_ns), "ended", time_of(u->scrub.round_ended_ns),
		"damages", number(u->scrub.damages), "last_damages", number(u->scrub.last_damages));
	int rc = more ? json_object_update(v, more) : -1;

	json_decref(more);
	return rc < 0 ? pfs_fail_nomem(err, "statistics") : 0;
}

static const char *kind_name(enum pfs_finding_kind kind)
{
	switch (kind) {
	case PFS_FINDING_DAMAGE:
		return "damage";
	case PFS_FINDING_MISSING:
		return "missing";
	case PFS_FINDING_NAMES:
		return "names";
	case PFS_FINDING_AFFECTED:
		return "affected";
	case PFS_FINDING_MENDED:
		return "mended";
	case PFS_FINDING_NOTE:
		return "note";
	}
	return "note";
}

/* Where it is; a workspace has no commits. */
static json_t *affected(const struct pfs_finding *f)
{
	char first[PFS_COMMIT_ID_HEX_SIZE], last[PFS_COMMIT_ID_HEX_SIZE];

	if (f->commits == 0)
		return json_pack("{s:s, s:o, s:s, s:s, s:o}", "kind", "affected", "text",
				 text_of(f->text), "repo", f->repo, "branch",
				 f->branch ? f->branch : "", "path", text_of(f->path));
	return json_pack("{s:s, s:o, s:s, s:o, s:s, s:s, s:o}", "kind", "affected", "text",
			 text_of(f->text), "repo", f->repo, "path", text_of(f->path), "first",
			 pfs_commit_id_format(&f->first, first), "last",
			 pfs_commit_id_format(&f->last, last), "commits", number(f->commits));
}

int pfs_facts_finding(const struct pfs_finding *f, struct pfs_buf *out, struct pfs_error *err)
{
	if (f->kind == PFS_FINDING_AFFECTED)
		return put_line(affected(f), out, err);
	return put_line(
		json_pack("{s:s, s:o}", "kind", kind_name(f->kind), "text", text_of(f->text)), out,
		err);
}

static const char *const levels[] = { "quick", "reach", "full" };

int pfs_facts_fsck(const struct pfs_fsck_report *r, struct pfs_buf *out, struct pfs_error *err)
{
	return put_line(
		json_pack("{s:s, s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, "
			  "s:o, s:o, s:b}",
			  "kind", "report", "level", levels[r->level - PFS_FSCK_QUICK], "packs",
			  number(r->packs), "objects", number(r->objects), "commits",
			  number(r->commits), "damages", number(r->damages), "missing",
			  number(r->missing), "names", number(r->names), "affected",
			  number(r->affected), "mended", number(r->mended), "remaining",
			  number(r->remaining), "left_objects", number(r->left_objects),
			  "left_records", number(r->left_records), "left_files",
			  number(r->left_files), "left_names", number(r->left_names),
			  "unnamed_records", number(r->unnamed_records), "stopped", r->stopped),
		out, err);
}

int pfs_facts_failure(int rc, const struct pfs_error *why, struct pfs_buf *out,
		      struct pfs_error *err)
{
	return put_line(json_pack("{s:s, s:s, s:o}", "kind", "error", "error", pfs_code_name(rc),
				  "message", text_of(why->text)),
			out, err);
}

int pfs_fsck_level_parse(const char *text, enum pfs_fsck_level *out, struct pfs_error *err)
{
	for (size_t i = 0; i < sizeof(levels) / sizeof(*levels); i++)
		if (strcmp(text, levels[i]) == 0) {
			*out = (enum pfs_fsck_level)(PFS_FSCK_QUICK + i);
			return 0;
		}
	return pfs_fail(err, PFS_E_INVALID,
			"there is no level \"%.40s\": quick, reach and full there are", text);
}
