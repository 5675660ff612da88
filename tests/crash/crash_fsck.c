/*
 * An instance with damage of many kinds is repaired, and the repair is cut off at
 * its n-th fault point for every n: by the process ending there, by an I/O error,
 * by a full disk. All that was whole or had a copy is whole afterwards, the next
 * repairs come to the same end, and then there is nothing more to tell of.
 *
 *	crash_fsck [all]    without `all` only some of the I/O errors and full disks
 *
 *	text 1   in a sealed pack      a copy is not committed
 *	text 2   in a pack being written, damaged where it was durable; likewise
 *	text 3   nobody needs it any more
 *	record   of the first commit, whose row is whole
 *	head     the header of a pack
 *	side     a branch whose workspace has lost a file
 *	third    one that has lost its journal
 *
 * And the same once more with a damaged page of the database, which is made anew.
 */
#include "../cutoff.h"
#include "../world.h"
#include "store/packwriter.h"
#include <pfs/pfs.h>

#include <dirent.h>
#include <unistd.h>

#define TEXT_SIZE 3000
#define FILLER    12u
#define REPAIRS   4u

#define DATA_TARGET 20000u /* small packs, so that some are sealed */
#define META_TARGET 3000u

static const char *text_of(unsigned n)
{
	static char text[TEXT_SIZE];

	scratch_fill(text, sizeof(text) - 1, n);
	for (size_t i = 0; i < sizeof(text) - 1; i++)
		text[i] = (char)('!' + (unsigned char)text[i] % 90);
	return text;
}

static void must(int rc, const struct pfs_error *err)
{
	CHECK(rc >= 0, "%s", err->text);
}

/* --- damage -------------------------------------------------------------------- */

/* Do something to all files below a folder, or to the first where it can be done: how often it was. */
static unsigned below(const char *folder, bool once, bool (*act)(const char *path, const void *arg),
		      const void *arg)
{
	DIR *d = opendir(folder);
	unsigned done = 0;
	struct dirent *e;

	while (d && !(once && done) && (e = readdir(d))) {
		char path[800];

		snprintf(path, sizeof(path), "%.500s/%s", folder, e->d_name);
		if (e->d_name[0] != '.')
			done += e->d_type == DT_DIR ? below(path, once, act, arg) : act(path, arg);
	}
	if (d)
		closedir(d);
	return done;
}

static void turn_bit(FILE *f, long at)
{
	int c;

	CHECK(fseek(f, at, SEEK_SET) == 0 && (c = fgetc(f)) != EOF, "seek");
	CHECK(fseek(f, at, SEEK_SET) == 0 && fputc(c ^ 1, f) != EOF, "seek");
}

/* Its record, by the id in the header, is damaged in the payload. */
static bool damage_record(const char *path, const void *id)
{
	static char all[1 << 20];
	FILE *f = fopen(path, "r+");
	char *at = all;
	size_t n;

	CHECK(f, "%s", path);
	n = fread(all, 1, sizeof(all), f);
	while ((at = memmem(at, n - (size_t)(at - all), id, PFS_ID_SIZE)) &&
	       (at - all < 16 || memcmp(at - 16, "VREC", 4) != 0))
		at++;
	if (at)
		turn_bit(f, at - all + 40);
	fclose(f);
	return at;
}

static bool damage_header(const char *path, const void *arg)
{
	FILE *f = strstr(path, "/packs/") ? fopen(path, "r+") : NULL;

	if (!f)
		return false;
	turn_bit(f, 40);
	fclose(f);
	return true;
}

static bool lose_spool_file(const char *path, const void *arg)
{
	return strstr(path, "/spool/") && unlink(path) == 0;
}

static bool ruin_journal(const char *path, const void *arg)
{
	FILE *f;

	if (strstr(path, "/journal.db-"))
		unlink(path);
	f = strcmp(strrchr(path, '/'), "/journal.db") == 0 ? fopen(path, "w") : NULL;
	if (!f)
		return false;
	fputs("this is not a database", f);
	fclose(f);
	return true;
}

/* --- the instance ---------------------------------------------------------------- */

static void write_text(struct world *w, const char *repo, const char *branch, const char *path,
		       unsigned n)
{
	struct pfs_error err = { 0 };

	must(world_write(w, repo, branch, path, text_of(n), &err), &err);
}

static void commit(struct world *w, const char *repo, struct pfs_commit_id *out)
{
	struct pfs_error err = { 0 };

	must(pfs_commit_branch(w->h, repo, "master", NULL, out, &err), &err);
}

static void open_world(struct world *w, const char *data)
{
	struct pfs_error err = { 0 };

	must(world_open(w, data, &err), &err);
}

static void make_branch(struct world *w, const char *branch)
{
	struct pfs_error err = { 0 };

	must(world_branch(w, "books", branch, &err), &err);
}

static void make_broken_workspaces(struct world *w, const char *data)
{
	struct pfs_error err = { 0 };

	open_world(w, data);
	must(pfs_repo_create(w->h, "books", &err), &err);
	make_branch(w, "third");
	write_text(w, "books", "third", "new", 10);
	world_close(w);
	CHECK(below(data, false, ruin_journal, NULL) == 1, "one journal");
	open_world(w, data);
	make_branch(w, "side");
	write_text(w, "books", "side", "new", 11);
	world_close(w);
	CHECK(below(data, false, lose_spool_file, NULL) > 0, "no spool file");
}

static void make_commits(struct world *w, struct pfs_commit_id *first)
{
	struct pfs_commit_id ignored;
	struct pfs_error err = { 0 };
	char name[32];

	make_branch(w, "master");
	must(pfs_repo_create(w->h, "other", &err), &err);
	must(world_branch(w, "other", "master", &err), &err);
	write_text(w, "other", "master", "text", 3);
	commit(w, "other", &ignored);
	write_text(w, "books", "master", "text", 1);
	commit(w, "books", first);
	for (unsigned i = 0; i < FILLER; i++) {
		snprintf(name, sizeof(name), "filler/%u", i);
		write_text(w, "books", "master", name, 100 + i);
	}
	commit(w, "books", &ignored);
	must(pfs_branch_delete(w->h, "other", "master", true, &err), &err);
	must(pfs_repo_delete(w->h, "other", true, &err), &err);
}

static void make_late(struct world *w, struct pfs_commit_id *last)
{
	write_text(w, "books", "master", "late", 2);
	commit(w, "books", last);
	write_text(w, "books", "master", "a copy", 1);
	write_text(w, "books", "master", "another copy", 2);
}

static struct pfs_id digest_of(struct world *w, const struct pfs_commit_id *id)
{
	PFS_AUTO(pfs_commit_row_fini) struct pfs_commit_row row = { 0 };
	struct pfs_repo_row repo;
	struct pfs_error err = { 0 };

	must(pfs_meta_find_repo(w->meta, "books", &repo, &err), &err);
	must(pfs_meta_find_commit(w->meta, repo.id, id, &row, &err), &err);
	return row.digest;
}

static void make_instance(const char *data, struct pfs_commit_id *first, struct pfs_commit_id *last)
{
	struct pfs_id ids[3], record;
	char store[300];
	struct world w;

	make_broken_workspaces(&w, data);
	open_world(&w, data);
	make_commits(&w, first);
	world_close(&w);
	/* What comes now stays in a pack that is not full. */
	pfs_packwriter_set_targets(1 << 20, 1 << 20);
	open_world(&w, data);
	make_late(&w, last);
	for (unsigned i = 0; i < 3; i++)
		pfs_store_id(w.store, PFS_KIND_CHUNK, text_of(i + 1), TEXT_SIZE - 1, &ids[i]);
	record = digest_of(&w, first);
	world_close(&w);
	pfs_packwriter_set_targets(DATA_TARGET, META_TARGET);
	snprintf(store, sizeof(store), "%s/store", data);
	CHECK(below(store, true, damage_record, &record) == 1, "no record");
	for (unsigned i = 0; i < 3; i += 2)
		CHECK(below(store, true, damage_record, &ids[i]) == 1, "text %u is not there",
		      i + 1);
	snprintf(store, sizeof(store), "%s/store/open", data);
	CHECK(below(store, true, damage_record, &ids[1]) == 1, "text 2 is in a sealed pack");
	snprintf(store, sizeof(store), "%s/store", data);
	CHECK(below(store, true, damage_header, NULL) == 1, "no pack is sealed");
}

/* --- the story ------------------------------------------------------------------- */

static void show(void *arg, const struct pfs_finding *f)
{
	if (arg && f->kind != PFS_FINDING_NOTE)
		fprintf(stderr, "found: %s\n", f->text);
}

static int fsck(struct world *w, bool repair, void *show_it, struct pfs_fsck_report *out,
		struct pfs_error *err)
{
	struct pfs_fsck_options how = PFS_FSCK_OPTIONS_INIT;

	how.level = PFS_FSCK_FULL;
	how.repair = repair;
	how.report = show;
	how.arg = show_it;
	return pfs_fsck_run(w->h, &how, out, err);
}

static int fsck_data(const char *data, struct pfs_error *err)
{
	struct pfs_fsck_options how = PFS_FSCK_OPTIONS_INIT;
	struct pfs_fsck_report r;

	how.level = PFS_FSCK_FULL;
	how.repair = true;
	return pfs_fsck_data(data, &how, &r, err);
}

/* Of the database; in the child and behind it. */
static void repair_data(const char *data)
{
	struct pfs_error err = { 0 };
	unsigned tries = 0;

	for (unsigned i = 0; i < REPAIRS; i++)
		if (fsck_data(data, &err) < 0)
			CHECK(++tries < 4, "is not repaired: %s", err.text);
}

/* In the child. A failure is met by trying again. */
static void repair(const char *data)
{
	struct pfs_fsck_report r;
	struct pfs_error err = { 0 };
	unsigned tries = 0;
	struct world w;

	while (world_open(&w, data, &err) < 0)
		CHECK(++tries < 4, "does not open again: %s", err.text);
	for (unsigned i = 0; i < REPAIRS; i++)
		if (fsck(&w, true, NULL, &r, &err) < 0)
			CHECK(++tries < 4, "does not go on: %s", err.text);
	world_close(&w);
}

static void expect_text(struct world *w, const struct pfs_commit_id *id, const char *path,
			unsigned n)
{
	char text[TEXT_SIZE + 1];
	struct pfs_error err = { 0 };

	must(world_read(w, "books", id, path, text, sizeof(text), &err), &err);
	CHECK(strcmp(text, text_of(n)) == 0, "%s: other bytes", path);
}

static void expect_texts(struct world *w, const struct pfs_commit_id *first,
			 const struct pfs_commit_id *last)
{
	char name[32];

	expect_text(w, first, "text", 1);
	expect_text(w, last, "late", 2);
	for (unsigned i = 0; i < FILLER; i++) {
		snprintf(name, sizeof(name), "filler/%u", i);
		expect_text(w, last, name, 100 + i);
	}
}

/* Nobody threw the third one's workspace away, and all branches can be used. */
static void expect_workspaces(struct world *w, const char *data)
{
	static const char *branches[] = { "master", "side", "third" };
	char path[600];
	struct dirent *e;
	unsigned n = 0;
	DIR *d;

	snprintf(path, sizeof(path), "%s/lost", data);
	d = opendir(path);
	while (d && (e = readdir(d)))
		n += e->d_name[0] != '.';
	if (d)
		closedir(d);
	CHECK(n == 1, "%u workspaces were put aside", n);
	for (size_t i = 0; i < 3; i++) {
		struct pfs_error err = { 0 };

		must(world_write(w, "books", branches[i], "later", "later", &err), &err);
	}
}

static void check_after(const char *data, bool database, const struct pfs_commit_id *first,
			const struct pfs_commit_id *last)
{
	struct pfs_fsck_report r = { 0 };
	struct pfs_error err = { 0 };
	struct world w;

	if (database)
		repair_data(data);
	open_world(&w, data);
	for (unsigned i = 0; i < REPAIRS; i++)
		must(fsck(&w, true, NULL, &r, &err), &err);
	for (unsigned again = 0; again < 2; again++) {
		must(fsck(&w, false, &r, &r, &err), &err);
		CHECK(r.damages + r.missing + r.names == 0, "repaired, and there is more");
		expect_texts(&w, first, last);
		world_close(&w);
		open_world(&w, data);
	}
	expect_workspaces(&w, data);
	world_close(&w);
}

/* A page behind the first, which says what the file is. */
static void damage_database(const char *data)
{
	char path[300];
	FILE *f;

	snprintf(path, sizeof(path), "%s/meta.db", data);
	f = fopen(path, "r+");
	CHECK(f && fseek(f, 0, SEEK_END) == 0 && ftell(f) > 3 * 4096, "%s", path);
	turn_bit(f, 2 * 4096 + 3000);
	fclose(f);
}

static void tell_repair_data(void *data, int fd)
{
	repair_data(data);
}

static void tell_repair(void *data, int fd)
{
	repair(data);
}

/* True while the story did reach fault point `at`. */
static int story(const char *instance, const struct pfs_commit_id ids[2], bool database,
		 enum pfs_fault_mode mode, unsigned at)
{
	struct scratch dir = scratch_new();
	char data[250];
	bool reached;

	snprintf(data, sizeof(data), "%.200s/data", dir.path);
	cutoff_copy_folder(instance, data);
	if (database)
		damage_database(data);
	reached = cutoff(mode, at, database ? tell_repair_data : tell_repair, data, NULL);
	check_after(data, database, &ids[0], &ids[1]);
	scratch_fini(&dir);
	return reached;
}

int main(int argc, char **argv)
{
	bool all = argc > 1 && strcmp(argv[1], "all") == 0;
	struct scratch dir;
	struct pfs_commit_id ids[2];

#ifdef NDEBUG
	return 77; /* a release build has no fault points */
#endif
	pfs_packwriter_set_targets(DATA_TARGET, META_TARGET);
	dir = scratch_new();
	make_instance(dir.path, &ids[0], &ids[1]);
	for (size_t m = 0; m < 2 * CUTOFF_MODES; m++) {
		bool database = m % 2;
		unsigned at = 1;

		while (story(dir.path, ids, database, cutoff_modes[m / 2].mode, at))
			at += all || m < 2 ? 1 : 7;
		printf("%s%s: %u points, all whole\n", cutoff_modes[m / 2].name,
		       database ? ", with the database" : "", at - 1);
		CHECK(at > 20, "the story has hardly any fault points");
	}
	scratch_fini(&dir);
	return 0;
}
