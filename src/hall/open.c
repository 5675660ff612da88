/*
 * One instance is one data folder:
 *
 *	<data>/lock         held while a process has the instance
 *	<data>/store/       content, pfs-pack(5)
 *	<data>/meta.db      names, pfs-metadata(5)
 *	<data>/workspaces/  what is not committed yet, a folder for each branch
 *	<data>/logs/        of jobs
 */
#include "hall/room.h"
#include "hall/version.h"
#include "base/fault.h"
#include "base/io.h"
#include "history/history.h"
#include "meta/meta.h"
#include "pipeline/pipelines.h"
#include "store/store.h"
#include "view/view.h"
#include <pfs/pfs.h>

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define PATH_SIZE (PATH_MAX + 16) /* realpath's, and the longest name below */

struct pfs_instance {
	char *data; /* absolute */
	int lock_fd;
	bool is_new; /* made by this pfs_open */
	struct pfs_store *store;
	struct pfs_meta *meta;
	struct pfs_history *history;
	struct pfs_view *view;
	struct pfs_pipelines *pipelines;
};

/* Our own lock goes when we do, however we end: nothing to clean up after a crash. */
static int take_lock(struct pfs_instance *pfs, struct pfs_error *err)
{
	char path[PATH_SIZE];

	snprintf(path, sizeof(path), "%s/lock", pfs->data);
	pfs->lock_fd = pfs_io_open(AT_FDCWD, path, O_RDWR | O_CREAT, 0600, err);
	if (pfs->lock_fd < 0)
		return pfs->lock_fd;
	if (flock(pfs->lock_fd, LOCK_EX | LOCK_NB) == 0)
		return 0;
	if (errno == EWOULDBLOCK)
		return pfs_fail(
			err, PFS_E_BUSY,
			"another process, perhaps a pfsd, has it open; stop that one first");
	return pfs_fail_errno(err, errno, "lock %s", path);
}

static int find_data(struct pfs_instance *pfs, const char *data, struct pfs_error *err)
{
	int rc = pfs_io_mkdir_all(AT_FDCWD, data, err);

	if (rc < 0)
		return rc;
	pfs->data = realpath(data, NULL);
	return pfs->data ? take_lock(pfs, err) : pfs_fail_errno(err, errno, "%s", data);
}

/*
 * Content that nothing names, and names that never were: the database was lost.
 * Going on would take every workspace for one that nobody wants.
 */
static int check_lost(struct pfs_instance *pfs, const char *how, struct pfs_error *err)
{
	struct pfs_store_stats stats;

	pfs_store_stats(pfs->store, &stats);
	if (stats.objects == 0)
		return 0;
	return pfs_fail(err, PFS_E_CORRUPT,
			"the store has %llu objects, but meta.db %s; bring meta.db back from a "
			"backup, or let `pfs fsck --data %s --repair` restore commits from their "
			"records",
			(unsigned long long)stats.objects, how, pfs->data);
}

static int check_names(struct pfs_instance *pfs, struct pfs_error *err)
{
	bool empty;
	int rc = pfs_meta_is_new(pfs->meta, &empty, err);

	return rc < 0 || !empty ? rc : check_lost(pfs, "knows of no repo and never did", err);
}

/* A page in a corner that nobody reads today is found today; those of a log that could not be moved
 * into the database yet are newer. */
static void note_page(void *arg, const char *text)
{
	struct pfs_error *err = arg;

	if (!err->code)
		pfs_fail(err, PFS_E_CORRUPT, "%s", text);
}

static int check_pages(struct pfs_instance *pfs, struct pfs_error *err)
{
	struct pfs_error why = { 0 };
	char log[PATH_SIZE];
	struct stat st;

	snprintf(log, sizeof(log), "%s/meta.db-wal", pfs->data);
	if ((stat(log, &st) < 0 || st.st_size == 0) &&
	    pfs_meta_check(pfs->meta, note_page, &why) > 0)
		return pfs_fail(err, PFS_E_CORRUPT, "%s", why.text);
	return 0;
}

static int open_database(struct pfs_instance *pfs, struct pfs_error *err)
{
	struct pfs_error why = { 0 };
	char path[PATH_SIZE];
	int rc;

	snprintf(path, sizeof(path), "%s/meta.db", pfs->data);
	/* Where one is lost, another that is empty would only hide it. */
	pfs->is_new = access(path, F_OK) < 0;
	rc = pfs->is_new ? check_lost(pfs, "is missing", err) : 0;
	if (rc < 0)
		return rc;
	rc = pfs_meta_open(path, &pfs->meta, &why);
	if (rc == 0)
		rc = check_pages(pfs, &why);
	if (rc == PFS_E_CORRUPT)
		return pfs_fail(
			err, rc,
			"%s; `pfs fsck --data %s` says what is damaged, and with --repair "
			"makes the database anew from what can be read and from the records "
			"of commits",
			why.text, pfs->data);
	if (rc < 0 && err)
		*err = why;
	return rc;
}

static int open_names_and_content(struct pfs_instance *pfs, struct pfs_error *err)
{
	char path[PATH_SIZE];
	int rc;

	snprintf(path, sizeof(path), "%s/store", pfs->data);
	rc = pfs_store_open(path, &pfs->store, err);
	if (rc < 0)
		return rc;
	rc = open_database(pfs, err);
	if (rc == 0)
		rc = check_names(pfs, err);
	if (rc == 0)
		rc = pfs_history_open(pfs->meta, pfs->store, pfs->data, &pfs->history, err);
	return rc;
}

static int open_upper_floor(struct pfs_instance *pfs, struct pfs_error *err)
{
	char path[PATH_SIZE];
	int rc = pfs_view_new(pfs->history, pfs->data, &pfs->view, err);

	if (rc < 0)
		return rc;
	snprintf(path, sizeof(path), "%s/logs", pfs->data);
	rc = pfs_io_mkdir_all(AT_FDCWD, path, err);
	return rc < 0 ? rc : pfs_pipelines_open(pfs->history, path, &pfs->pipelines, err);
}

int pfs_open(const char *data, struct pfs_instance **out, struct pfs_error *err)
{
	PFS_AUTO(pfs_close) struct pfs_instance *pfs = calloc(1, sizeof(*pfs));
	int rc;

	if (!pfs)
		return pfs_fail_nomem(err, "an instance");
	pfs->lock_fd = -1;
	rc = find_data(pfs, data, err);
	if (rc == 0)
		rc = open_names_and_content(pfs, err);
	if (rc == 0)
		rc = open_upper_floor(pfs, err);
	if (rc < 0)
		return pfs_wrap(err, rc, "open %s", data);
	*out = pfs;
	pfs = NULL;
	return 0;
}

void pfs_close(struct pfs_instance **pp)
{
	struct pfs_instance *pfs = *pp;

	if (!pfs)
		return;
	pfs_pipelines_close(&pfs->pipelines);
	pfs_view_free(&pfs->view);
	pfs_history_close(&pfs->history);
	pfs_meta_close(&pfs->meta);
	pfs_store_close(&pfs->store);
	pfs_fd_close(&pfs->lock_fd);
	free(pfs->data);
	free(pfs);
	*pp = NULL;
}

struct pfs_history *pfs_instance_history(struct pfs_instance *pfs)
{
	return pfs->history;
}

struct pfs_view *pfs_instance_view(struct pfs_instance *pfs)
{
	return pfs->view;
}

struct pfs_pipelines *pfs_instance_pipelines(struct pfs_instance *pfs)
{
	return pfs->pipelines;
}

bool pfs_instance_is_new(const struct pfs_instance *pfs)
{
	return pfs->is_new;
}

const char *pfs_instance_warning(struct pfs_instance *pfs)
{
	struct pfs_store_stats stats;

	pfs_store_stats(pfs->store, &stats);
	if (stats.superblock_damaged)
		return "one of the two copies of the superblock in store/STORE is damaged: `pfs "
		       "fsck --repair` writes it anew from the other, which is the last one";
	if (stats.known_damages > 0)
		return "the store has damage that is known: `pfs fsck` tells which files it takes, "
		       "`pfs fsck --repair` mends what can be mended";
	return NULL;
}

int pfs_instance_tick(struct pfs_instance *pfs, struct pfs_error *err)
{
	return pfs_history_tick(pfs->history, err);
}

int pfs_instance_flush(struct pfs_instance *pfs, struct pfs_error *err)
{
	return pfs_history_flush(pfs->history, err);
}

int pfs_instance_scrub(struct pfs_instance *pfs, const struct pfs_scrub_options *options,
		       struct pfs_scrub_state *out, struct pfs_error *err)
{
	return pfs_history_scrub(pfs->history, options, out, err);
}

int pfs_instance_tidy(struct pfs_instance *pfs, const struct pfs_tidy_options *options,
		      struct pfs_tidy_report *out, struct pfs_error *err)
{
	return pfs_history_tidy(pfs->history, options, out, err);
}

int pfs_instance_upkeep(struct pfs_instance *pfs, struct pfs_upkeep *out, struct pfs_error *err)
{
	return pfs_history_upkeep(pfs->history, out, err);
}

/* --- a folder that nobody has open ------------------------------------------ */

static void tell(const struct pfs_fsck_options *how, enum pfs_finding_kind kind, const char *text,
		 struct pfs_fsck_report *count)
{
	const struct pfs_finding finding = { .kind = kind, .text = text };

	count->damages += kind == PFS_FINDING_DAMAGE;
	if (how->report)
		how->report(how->arg, &finding);
}

/* Who hears of damage of the database. */
struct hearer {
	const struct pfs_fsck_options *how;
	struct pfs_fsck_report *count;
};

static void tell_page(void *arg, const char *text)
{
	struct hearer *h = arg;

	tell(h->how, PFS_FINDING_DAMAGE, text, h->count);
}

static void tell_lost(void *arg, const char *what)
{
	struct hearer *h = arg;
	char text[200];

	snprintf(text, sizeof(text), "%s of the damaged meta.db cannot be read whole%s", what,
		 strstr(what, "pipeline")
			 ? " and are lost: record each pipeline again with `pfs create pipeline`"
		 : strstr(what, "commits") ? ": they are restored from the records of commits"
					   : " and are lost");
	tell(h->how, PFS_FINDING_NOTE, text, h->count);
}

static const char *const ends[] = { "", "-wal", "-shm" };

/* The database itself is the first of its ends. */
static void remove_ends(const char *path, size_t first)
{
	char end[PATH_SIZE + 16];

	for (size_t i = first; i < sizeof(ends) / sizeof(*ends); i++) {
		snprintf(end, sizeof(end), "%s%s", path, ends[i]);
		unlink(end);
	}
}

/* The log of one that was closed is in it; what is left beside it is empty. */
static int remove_beside(const char *path, struct pfs_error *err)
{
	char log[PATH_SIZE + 16];
	struct stat st;

	snprintf(log, sizeof(log), "%s-wal", path);
	if (stat(log, &st) == 0 && st.st_size > 0)
		return pfs_fail(err, PFS_E_NOSPACE,
				"%s: not all of its log is in it; is the disk full?", path);
	remove_ends(path, 1);
	return 0;
}

/* <path>.damaged-N: the first that nothing has yet, or the one before. */
static void find_name(const char *path, bool taken, char out[PATH_SIZE + 32])
{
	unsigned n = 0;

	do
		snprintf(out, PATH_SIZE + 32, "%s.damaged-%u", path, ++n);
	while (access(out, F_OK) == 0);
	if (taken && n > 1)
		snprintf(out, PATH_SIZE + 32, "%s.damaged-%u", path, n - 1);
}

/* Out of the way, and kept: whatever is in it may be of use to somebody. */
static int put_database_aside(const char *path, const char *to, struct pfs_error *err)
{
	char from[PATH_SIZE + 8], name[PATH_SIZE + 40];

	for (size_t i = 0; i < sizeof(ends) / sizeof(*ends); i++) {
		snprintf(from, sizeof(from), "%s%s", path, ends[i]);
		snprintf(name, sizeof(name), "%s%s", to, ends[i]);
		if (rename(from, name) < 0 && errno != ENOENT)
			return pfs_fail_errno(err, errno, "rename %s", from);
	}
	return 0;
}

static int rename_file(const char *from, const char *to, struct pfs_error *err)
{
	if (rename(from, to) < 0)
		return pfs_fail_errno(err, errno, "rename %s", from);
	return pfs_io_sync_folder(AT_FDCWD, to, err);
}

/* <path>.rescued is whole; the last of the damaged one goes, and it takes the name. */
static int take_the_place(const char *path, const char *aside, const struct hearer *h,
			  struct pfs_error *err)
{
	char rescued[PATH_SIZE + 16], text[PATH_SIZE + 100];
	int rc = put_database_aside(path, aside, err);

	if (rc == 0)
		rc = pfs_fault("fsck.database_aside", err);
	snprintf(rescued, sizeof(rescued), "%s.rescued", path);
	if (rc == 0)
		rc = rename_file(rescued, path, err);
	if (rc < 0)
		return rc;
	snprintf(text, sizeof(text), "meta.db was made anew; the damaged one is now %s", aside);
	tell(h->how, PFS_FINDING_NOTE, text, h->count);
	return 0;
}

/*
 *	meta.db.new ──whole──▶ meta.db.rescued     meta.db ──▶ meta.db.damaged-N
 *	                           └──────────────▶ meta.db
 *
 * A stop before the first arrow leaves the damaged one, one behind it leaves
 * what the next repair goes on with.
 */
static int make_anew(struct pfs_instance *pfs, const char *path, struct hearer *h,
		     struct pfs_error *err)
{
	char made[PATH_SIZE + 8], rescued[PATH_SIZE + 16];
	char aside[PATH_SIZE + 32];
	int rc;

	snprintf(made, sizeof(made), "%s.new", path);
	snprintf(rescued, sizeof(rescued), "%s.rescued", path);
	remove_ends(made, 0);
	find_name(path, false, aside);
	rc = pfs_meta_rescue(path, made, tell_lost, h, err);
	if (rc == 0)
		rc = remove_beside(made, err);
	if (rc == 0)
		rc = rename_file(made, rescued, err);
	if (rc == 0)
		rc = pfs_fault("fsck.database", err);
	if (rc == 0)
		rc = take_the_place(path, aside, h, err);
	return rc < 0 ? rc : pfs_meta_open(path, &pfs->meta, err);
}

/* A repair was stopped when it had made the new one. */
static int go_on_anew(const char *path, const struct hearer *h, struct pfs_error *err)
{
	char aside[PATH_SIZE + 32];

	find_name(path, true, aside);
	return take_the_place(path, aside, h, err);
}

/* The database, or, when there is none or it is damaged, another one: in memory but for repair. */
static int open_names(struct pfs_instance *pfs, const struct pfs_fsck_options *how,
		      struct pfs_fsck_report *count, struct pfs_error *err)
{
	struct hearer h = { how, count };
	struct pfs_error why = { 0 };
	char path[PATH_SIZE], rescued[PATH_SIZE + 16];
	int rc = 0;

	snprintf(path, sizeof(path), "%s/meta.db", pfs->data);
	snprintf(rescued, sizeof(rescued), "%s.rescued", path);
	if (access(path, F_OK) < 0 && how->repair && access(rescued, F_OK) == 0)
		rc = go_on_anew(path, &h, err);
	if (rc < 0)
		return rc;
	if (access(path, F_OK) < 0) {
		tell(how, PFS_FINDING_DAMAGE, "meta.db is missing", count);
		return pfs_meta_open(how->repair ? path : ":memory:", &pfs->meta, err);
	}
	rc = pfs_meta_open(path, &pfs->meta, &why);
	if (rc == 0 && pfs_meta_check(pfs->meta, tell_page, &h) == 0)
		return 0;
	if (rc < 0 && rc != PFS_E_CORRUPT && rc != PFS_E_IO) {
		if (err)
			*err = why;
		return rc;
	}
	if (rc < 0)
		tell(how, PFS_FINDING_DAMAGE, why.text, count);
	pfs_meta_close(&pfs->meta);
	if (how->repair)
		return make_anew(pfs, path, &h, err);
	tell(how, PFS_FINDING_NOTE,
	     "--repair moves the damaged meta.db aside and makes it anew from what can be read of "
	     "it and from the records of commits",
	     count);
	return pfs_meta_open(":memory:", &pfs->meta, err);
}

static int open_to_look(struct pfs_instance *pfs, const char *data,
			const struct pfs_fsck_options *how, struct pfs_fsck_report *count,
			struct pfs_error *err)
{
	char path[PATH_SIZE];
	int rc;

	pfs->data = realpath(data, NULL);
	if (!pfs->data)
		return pfs_fail_errno(err, errno, "%s", data);
	snprintf(path, sizeof(path), "%s/store", pfs->data);
	if (access(path, F_OK) < 0)
		return pfs_fail(err, PFS_E_NOTFOUND, "%s is no data folder of pfs: it has no store",
				data);
	rc = take_lock(pfs, err);
	if (rc == 0)
		rc = pfs_store_open(path, &pfs->store, err);
	if (rc == 0)
		rc = open_names(pfs, how, count, err);
	return rc < 0 ? rc : pfs_history_open(pfs->meta, pfs->store, pfs->data, &pfs->history, err);
}

int pfs_fsck_data(const char *data, const struct pfs_fsck_options *options,
		  struct pfs_fsck_report *out, struct pfs_error *err)
{
	PFS_AUTO(pfs_close) struct pfs_instance *pfs = calloc(1, sizeof(*pfs));
	struct pfs_fsck_options how = PFS_FSCK_OPTIONS_INIT;
	struct pfs_fsck_report before = { 0 }, report;
	int rc;

	if (!pfs)
		return pfs_fail_nomem(err, "an instance");
	pfs->lock_fd = -1;
	if (options)
		memcpy(&how, options, options->size < sizeof(how) ? options->size : sizeof(how));
	rc = open_to_look(pfs, data, &how, &before, err);
	if (rc < 0)
		return pfs_wrap(err, rc, "open %s", data);
	rc = pfs_fsck_run(pfs->history, &how, &report, err);
	if (rc < 0)
		return rc;
	report.damages += before.damages;
	*out = report;
	return 0;
}

const char *pfs_version(void)
{
	return PFS_VERSION_TEXT;
}
