/* Looking for damage: packs, database, and everything that names lead to. */
#include "history/fsck_i.h"
#include "store/health.h"
#include "store/session.h"
#include "tree/reach.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ROWS_AT_A_TIME 256u

/* --- findings ------------------------------------------------------------ */

static uint64_t *counter_of(struct pfs_fsck_report *r, enum pfs_finding_kind kind)
{
	static uint64_t nobody;

	switch (kind) {
	case PFS_FINDING_DAMAGE:
		return &r->damages;
	case PFS_FINDING_MISSING:
		return &r->missing;
	case PFS_FINDING_NAMES:
		return &r->names;
	case PFS_FINDING_MENDED:
		return &r->mended;
	default:
		return &nobody;
	}
}

static void tell(struct pfs_fsck *f, enum pfs_finding_kind kind, const char *fmt, va_list args)
{
	char text[PFS_ERROR_TEXT_SIZE + 256];
	struct pfs_finding finding = { .kind = kind, .text = text };

	if (f->silent || !f->how->report || (f->anew && kind != PFS_FINDING_MISSING))
		return;
	vsnprintf(text, sizeof(text), fmt, args);
	f->how->report(f->how->arg, &finding);
}

void pfs_fsck_tell(struct pfs_fsck *f, enum pfs_finding_kind kind, const char *fmt, ...)
{
	va_list args;

	if (kind != PFS_FINDING_NOTE)
		++*counter_of(f->out, kind);
	va_start(args, fmt);
	tell(f, kind, fmt, args);
	va_end(args);
}

void pfs_fsck_tell_some(struct pfs_fsck *f, uint64_t *so_far, enum pfs_finding_kind kind,
			const char *fmt, ...)
{
	va_list args;

	++*counter_of(f->out, kind);
	va_start(args, fmt);
	if (++*so_far <= PFS_FSCK_ALIKE_MAX)
		tell(f, kind, fmt, args);
	va_end(args);
}

/* A line that is counted already. */
static PFS_PRINTF(3, 4) void say(struct pfs_fsck *f, enum pfs_finding_kind kind, const char *fmt,
				 ...)
{
	va_list args;

	va_start(args, fmt);
	tell(f, kind, fmt, args);
	va_end(args);
}

void pfs_fsck_tell_rest(struct pfs_fsck *f, uint64_t so_far, enum pfs_finding_kind kind,
			const char *one, const char *many)
{
	uint64_t rest = so_far > PFS_FSCK_ALIKE_MAX ? so_far - PFS_FSCK_ALIKE_MAX : 0;

	if (rest > 0)
		say(f, kind, "and %" PRIu64 " more %s", rest, rest == 1 ? one : many);
}

bool pfs_fsck_stopped(struct pfs_fsck *f)
{
	if (!f->out->stopped && f->how->stop && f->how->stop(f->how->stop_arg))
		f->out->stopped = true;
	return f->out->stopped;
}

static const char *name_of(enum pfs_kind kind)
{
	switch (kind) {
	case PFS_KIND_CHUNK:
		return "chunk";
	case PFS_KIND_SEQNODE:
		return "sequence node";
	case PFS_KIND_DIRNODE:
		return "directory node";
	case PFS_KIND_COMMIT:
		return "commit record";
	case PFS_KIND_XATTRS:
		return "attribute set";
	}
	return "object";
}

/* A commit whose repo was deleted while we looked may lack anything. */
static bool is_gone(const struct pfs_fsck *f)
{
	return f->row && !pfs_meta_has_commit(f->h->meta, f->row->repo, &f->row->id);
}

int pfs_fsck_miss(struct pfs_fsck *f, enum pfs_kind kind, const struct pfs_id *id, const char *why,
		  struct pfs_error *err)
{
	/* What to run is for those who do not. */
	const char *end = strstr(why, ": run pfs fsck");
	char hex[PFS_ID_HEX_SIZE];
	int rc;

	if (is_gone(f))
		return 0;
	rc = pfs_idset_add(&f->lost, id, err);
	if (rc >= 0)
		rc = pfs_idset_add(&f->told, id, err);
	if (rc == 1)
		pfs_fsck_tell_some(f, &f->missed[kind], PFS_FINDING_MISSING,
				   "%s %s, needed by %s: %.*s", name_of(kind),
				   pfs_id_format(id, hex), f->who,
				   (int)(end ? (size_t)(end - why) : strlen(why)), why);
	if (rc == 1 && f->anew && f->row)
		rc = pfs_fsck_note_lacking(f, f->row->repo, err);
	return rc < 0 ? rc : 0;
}

static void tell_rest(struct pfs_fsck *f)
{
	char one[64], many[64];

	for (int kind = PFS_KIND_CHUNK; kind <= PFS_KIND_XATTRS; kind++) {
		snprintf(one, sizeof(one), "%s is missing", name_of((enum pfs_kind)kind));
		snprintf(many, sizeof(many), "%ss are missing", name_of((enum pfs_kind)kind));
		pfs_fsck_tell_rest(f, f->missed[kind], PFS_FINDING_MISSING, one, many);
	}
	pfs_fsck_tell_rest(f, f->missed_files, PFS_FINDING_MISSING, "file that is not committed",
			   "files that are not committed");
}

/* --- packs and database --------------------------------------------------- */

static void tell_damage(void *arg, const char *damage)
{
	pfs_fsck_tell(arg, PFS_FINDING_DAMAGE, "%s", damage);
}

/* Memory that is short here shows later, when what leads there is looked at. */
static void note_lost(void *arg, enum pfs_kind kind, const struct pfs_id *id)
{
	struct pfs_fsck *f = arg;

	pfs_idset_add(&f->lost, id, NULL);
}

static void note_misplaced(void *arg)
{
	((struct pfs_fsck *)arg)->index_wrong = true;
}

static void tell_mended(void *arg, const char *what)
{
	pfs_fsck_tell(arg, PFS_FINDING_MENDED, "%s", what);
}

static bool stopped(void *arg)
{
	return pfs_fsck_stopped(arg);
}

static int look_at_store(struct pfs_fsck *f, struct pfs_error *err)
{
	const struct pfs_examination x = {
		.thorough = f->how->level == PFS_FSCK_FULL,
		.index = f->how->level >= PFS_FSCK_REACH,
		.mend = f->how->repair,
		.report = tell_damage,
		.lost = note_lost,
		.misplaced = note_misplaced,
		.mended = tell_mended,
		.arg = f,
		.stop = stopped,
	};
	struct pfs_store_stats stats;
	int rc = pfs_store_examine(f->h->store, &x, err);

	pfs_store_stats(f->h->store, &stats);
	f->out->packs = stats.packs;
	f->out->objects = stats.objects;
	return rc < 0 ? rc : 0;
}

/* --- what names lead to ---------------------------------------------------- */

static int check_object(void *arg, enum pfs_kind kind, const struct pfs_id *id,
			struct pfs_error *err)
{
	struct pfs_fsck *f = arg;

	if (f->out->stopped)
		return 0;
	if (!pfs_store_is_whole(f->h->store, kind, id))
		return pfs_fsck_miss(f, kind, id, "not in any pack, or damaged there", err);
	/* Chunks have no below: asking twice costs less than remembering all of them. */
	if (kind == PFS_KIND_CHUNK || kind == PFS_KIND_XATTRS)
		return 0;
	return pfs_fsck_stopped(f) ? 0 : pfs_idset_add(&f->seen, id, err);
}

static int note_broken(void *arg, enum pfs_kind kind, const struct pfs_id *id,
		       const struct pfs_error *why, struct pfs_error *err)
{
	return pfs_fsck_miss(arg, kind, id, why->text, err);
}

int pfs_fsck_look_below(struct pfs_fsck *f, enum pfs_kind kind, const struct pfs_id *id,
			struct pfs_error *err)
{
	struct pfs_reach r = {
		.st = f->h->store, .visit = check_object, .broken = note_broken, .arg = f
	};
	int rc = pfs_reach_object(&r, kind, id, err);

	pfs_reach_fini(&r);
	return rc < 0 ? rc : 0;
}

static int look_at_commit(struct pfs_fsck *f, void *arg, struct pfs_error *err)
{
	const struct pfs_id *root = &f->row->root;
	int rc = pfs_idset_add(&f->records, &f->row->digest, err);

	f->out->commits++;
	if (rc >= 0)
		rc = pfs_fsck_check_record(f, err);
	if (rc < 0)
		return rc;
	if (f->how->level >= PFS_FSCK_REACH)
		return pfs_fsck_look_below(f, PFS_KIND_DIRNODE, root, err);
	if (!pfs_id_is_zero(root) && !pfs_store_is_whole(f->h->store, PFS_KIND_DIRNODE, root))
		return pfs_fsck_miss(f, PFS_KIND_DIRNODE, root, "not in any pack, or damaged there",
				     err);
	return 0;
}

static int visit_rows(struct pfs_fsck *f, const struct pfs_commit_row *rows, size_t n,
		      int (*each)(struct pfs_fsck *f, void *arg, struct pfs_error *err), void *arg,
		      struct pfs_error *err)
{
	char repo[PFS_ROW_NAME_SIZE], id[PFS_COMMIT_ID_HEX_SIZE];
	char who[PFS_ROW_NAME_SIZE + PFS_COMMIT_ID_HEX_SIZE + 2];
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < n && !pfs_fsck_stopped(f); i++) {
		/* Deleted since: not ours any more. */
		if (pfs_meta_read_repo_name(f->h->meta, rows[i].repo, repo, NULL) < 0)
			continue;
		snprintf(who, sizeof(who), "%s@%s", repo, pfs_commit_id_format(&rows[i].id, id));
		f->row = &rows[i];
		f->who = who;
		rc = each(f, arg, err);
		f->row = NULL;
		f->who = "";
	}
	return rc;
}

int pfs_fsck_each_commit(struct pfs_fsck *f,
			 int (*each)(struct pfs_fsck *f, void *arg, struct pfs_error *err),
			 void *arg, struct pfs_error *err)
{
	struct pfs_commit_row *rows = NULL;
	int64_t after = 0;
	size_t n = 1;
	int rc = 0;

	while (rc == 0 && n > 0 && !f->out->stopped) {
		rc = pfs_meta_list_commits_after(f->h->meta, after, ROWS_AT_A_TIME, &rows, &n, err);
		if (rc < 0)
			return rc;
		rc = visit_rows(f, rows, n, each, arg, err);
		after = n ? rows[n - 1].seq : after;
		pfs_commit_rows_free(&rows, n);
	}
	return rc;
}

/* --- one look --------------------------------------------------------------- */

static void forget(struct pfs_fsck *f)
{
	pfs_idset_fini(&f->lost);
	pfs_idset_fini(&f->told);
	pfs_idset_fini(&f->seen);
	pfs_idset_fini(&f->records);
	free(f->rows);
	free(f->lacking);
	f->rows = NULL;
	f->lacking = NULL;
	f->n_rows = f->cap_rows = 0;
}

/* Nobody may have a database that is made anew: pfs_fsck_data does it. */
static int look_at_database(struct pfs_fsck *f, struct pfs_error *err)
{
	const char *spaces = f->h->workspaces;
	int rc;

	f->bad_pages = (uint64_t)pfs_meta_check(f->h->meta, tell_damage, f);
	if (f->bad_pages > 0)
		pfs_fsck_tell(f, PFS_FINDING_NOTE,
			      "the database is made anew while nobody has it: stop pfsd, then "
			      "`pfs fsck --data %.*s --repair`",
			      (int)(strrchr(spaces, '/') - spaces), spaces);
	rc = f->bad_pages ? 0 : pfs_meta_check_rows(f->h->meta, tell_damage, f, err);
	f->bad_pages += rc > 0;
	return rc;
}

static int look(struct pfs_fsck *f, struct pfs_error *err)
{
	struct pfs_error why = { 0 };
	int rc;

	f->who = "";
	rc = look_at_store(f, err);
	if (rc == 0)
		rc = look_at_database(f, err);
	if (rc < 0)
		return rc;
	rc = pfs_meta_is_new(f->h->meta, &f->names_lost, &why);
	if (rc == 0)
		rc = pfs_fsck_each_commit(f, look_at_commit, NULL, &why);
	if (rc == 0)
		rc = pfs_fsck_check_names(f, &why);
	if (rc == 0 && f->how->level >= PFS_FSCK_REACH && !f->out->stopped)
		rc = pfs_fsck_check_spaces(f, &why);
	tell_rest(f);
	/* A database that cannot be read was told of; what it names cannot be looked at. */
	if (rc == PFS_E_CORRUPT || rc == PFS_E_IO) {
		pfs_fsck_tell(f, PFS_FINDING_NAMES, "%s", why.text);
		rc = 0;
	} else if (rc < 0 && err) {
		*err = why;
	}
	return rc;
}

static int rebuild_index(struct pfs_fsck *f, struct pfs_error *err)
{
	int rc = pfs_store_rebuild_index(f->h->store, err);

	if (rc == 0)
		pfs_fsck_tell(f, PFS_FINDING_NOTE, "the index of the store was made anew");
	return rc;
}

static int mend(struct pfs_fsck *f, struct pfs_error *err)
{
	int rc = f->index_wrong ? rebuild_index(f, err) : 0;

	if (rc == 0)
		rc = pfs_fsck_mend_tables(f, err);
	if (rc == 0)
		rc = pfs_fsck_mend_content(f, err);
	if (rc == 0)
		rc = pfs_fsck_mend_records(f, err);
	if (rc == 0)
		rc = pfs_fsck_mend_names(f, err);
	return rc < 0 ? rc : pfs_store_sync(f->h->store, err);
}

/*
 * What cannot be mended for want of room, or since a disk fails, is told; the
 * look behind it counts what is left.
 */
static int try_to_mend(struct pfs_fsck *f, struct pfs_error *err)
{
	struct pfs_error why = { 0 };
	int rc = mend(f, &why);

	if (rc != PFS_E_NOSPACE && rc != PFS_E_IO) {
		if (rc < 0 && err)
			*err = why;
		return rc;
	}
	pfs_fsck_tell(f, PFS_FINDING_NOTE, "mending ended early: %s", why.text);
	return 0;
}

static bool has_all(const struct pfs_idset *of, const struct pfs_idset *ids)
{
	for (size_t i = 0; i < ids->cap; i++)
		if (!pfs_id_is_zero(&ids->slots[i]) && !pfs_idset_has(of, &ids->slots[i]))
			return false;
	return true;
}

/*
 * Whether all that anybody needs is whole, so that what is not is needed by
 * nobody. Not when it cannot be told what is needed, and not when something was
 * found to be damaged after the barrier.
 */
static bool is_complete(const struct pfs_fsck *before, const struct pfs_fsck *f)
{
	const struct pfs_fsck_report *r = f->out;

	return f->how->level >= PFS_FSCK_REACH && !r->stopped && r->missing == 0 && r->names == 0 &&
	       !f->bad_pages && !f->names_lost && before->gone_for_good == 0 &&
	       has_all(&before->lost, &f->lost);
}

static void count_left(struct pfs_fsck_report *r, const struct pfs_fsck *f)
{
	r->left_records = f->missed[PFS_KIND_COMMIT];
	r->left_files = f->missed_files;
	r->left_objects = f->out->missing - r->left_records - r->left_files;
	r->left_names = f->out->names + f->bad_pages;
}

/*
 * What is left, counted by looking again: after everybody who was told before
 * that a damaged object is stored has named it.
 */
static int look_again(struct pfs_fsck *f, struct pfs_error *err)
{
	const struct pfs_fsck_options how = { .size = sizeof(how),
					      .level = f->how->level,
					      .report = f->how->report,
					      .arg = f->how->arg,
					      .stop = f->how->stop,
					      .stop_arg = f->how->stop_arg };
	struct pfs_fsck_report left = { 0 };
	struct pfs_fsck again = { .h = f->h,
				  .how = &how,
				  .out = &left,
				  .silent = !f->names_lost,
				  .anew = f->names_lost };
	struct pfs_idset lost;
	int rc;

	if (pfs_session_barrier(f->h->store, f->how->stop, f->how->stop_arg) == 1) {
		f->out->stopped = true;
		return 0;
	}
	rc = look(&again, err);
	f->complete = rc == 0 && is_complete(f, &again);
	count_left(f->out, &again);
	pfs_fsck_tell_lacking(f, &again);
	if (again.anew)
		f->out->missing += left.missing;
	lost = again.lost;
	again.lost = f->lost;
	f->lost = lost;
	forget(&again);
	f->out->stopped |= left.stopped;
	return rc;
}

static int trace(struct pfs_fsck *f, struct pfs_error *err)
{
	int rc = pfs_fsck_trace(f, err);

	return rc < 0 ? rc : pfs_fsck_trace_spaces(f, err);
}

/* Also of packs that an earlier look found damaged, whatever of it this one came by. */
static int repair(struct pfs_fsck *f, struct pfs_error *err)
{
	const struct pfs_fsck_report *r = f->out;
	bool damaged = r->damages > 0 || pfs_store_has_damaged_packs(f->h->store);
	int rc = try_to_mend(f, err);

	if (rc == 0 && (damaged || r->missing + r->names > 0) && !r->stopped)
		rc = look_again(f, err);
	if (rc == 0 && damaged && !r->stopped)
		rc = pfs_fsck_renew(f, err);
	return rc;
}

static int run(struct pfs_fsck *f, struct pfs_error *err)
{
	struct pfs_fsck_report *r = f->out;
	int rc = f->how->rebuild_index ? rebuild_index(f, err) : 0;

	if (rc == 0)
		rc = look(f, err);
	count_left(r, f);
	if (rc == 0 && f->how->repair && !r->stopped)
		rc = repair(f, err);
	r->remaining = r->left_objects + r->left_records + r->left_files + r->left_names;
	if (rc == 0 && r->remaining > 0 && f->how->level >= PFS_FSCK_REACH && !r->stopped)
		rc = trace(f, err);
	r->left_files += f->gone_for_good;
	r->remaining += f->gone_for_good;
	return rc;
}

int pfs_fsck_run(struct pfs_history *h, const struct pfs_fsck_options *options,
		 struct pfs_fsck_report *out, struct pfs_error *err)
{
	struct pfs_fsck_options how = PFS_FSCK_OPTIONS_INIT;
	struct pfs_fsck_report report = { 0 };
	struct pfs_fsck f = { .h = h, .how = &how, .out = &report };
	int rc;

	if (options)
		memcpy(&how, options, options->size < sizeof(how) ? options->size : sizeof(how));
	if (how.level == 0)
		how.level = PFS_FSCK_REACH;
	if (how.level > PFS_FSCK_FULL)
		return pfs_fail(err, PFS_E_INVALID, "fsck: level %d, there are 1 to 3", how.level);
	/* Only who looks at what names lead to can tell whether anybody needs it. */
	if (how.level < PFS_FSCK_REACH && pfs_store_knows_damage(h->store))
		how.level = PFS_FSCK_REACH;
	report.level = how.level;
	/*
	 * A commit that has lost its row keeps nothing: a collection must not go on
	 * with what it found out before the row was given back.
	 */
	if (how.repair)
		pfs_lock(&h->gc_lock);
	rc = run(&f, err);
	if (how.repair)
		pfs_unlock(&h->gc_lock);
	forget(&f);
	if (rc == 0)
		*out = report;
	return rc < 0 ? pfs_wrap(err, rc, "fsck") : 0;
}
