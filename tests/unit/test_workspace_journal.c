#include "workspace_fixture.h"

#include <sqlite3.h>
#include <sys/stat.h>
#include <unistd.h>

Test(workspace_journal, is_opened_by_one_at_a_time)
{
	struct fixture f = begin();
	struct pfs_root base = { .attrs.mode = 0755 };
	struct pfs_workspace *second = NULL;

	FAILS(PFS_E_BUSY, pfs_workspace_open(f.folder, f.st, &base, &second, &err));
	cr_expect_null(second);
	end(&f);
}

static void write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	cr_assert(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text));
	close(fd);
}

Test(workspace_journal, sweeps_spool_files_nobody_names_and_nothing_else)
{
	struct fixture f = begin();
	char path[360];

	put_only(&f, f.root, "f", "mine");
	close_ws(&f);
	snprintf(path, sizeof(path), "%s/spool/00000000000000aa-99", f.folder);
	write_file(path, "left by a crash");
	snprintf(path, sizeof(path), "%s/spool/README", f.folder);
	write_file(path, "not ours");
	open_ws(&f);
	cr_expect_eq(spool_files(&f), 2);
	cr_expect_str_eq(text_at(&f, "f"), "mine");
	put_only(&f, f.root, "g", "a serial past all others");
	end(&f);
}

/* As they all were before there were folders. */
static void move_out(void *arg, int dir, const char *name)
{
	struct fixture *f = arg;
	char to[640];

	snprintf(to, sizeof(to), "%s/spool/%s", f->folder, name);
	cr_assert_eq(renameat(dir, name, AT_FDCWD, to), 0);
}

Test(workspace_journal, spool_files_without_a_folder_get_one)
{
	struct fixture f = begin();
	char path[360];

	put_only(&f, f.root, "f", "mine");
	put_only(&f, f.root, "g", "too");
	close_ws(&f);
	each_spool_file(&f, move_out, &f);
	snprintf(path, sizeof(path), "%s/spool/0", f.folder);
	cr_assert_eq(rmdir(path), 0);
	open_ws(&f);
	cr_expect_str_eq(text_at(&f, "f"), "mine");
	cr_expect_str_eq(text_at(&f, "g"), "too");
	cr_expect_eq(access(path, F_OK), 0);
	cr_expect_eq(spool_files(&f), 2);
	put_only(&f, f.root, "h", "a serial past all others");
	end(&f);
}

Test(workspace_journal, folders_of_the_spool_come_and_go)
{
	struct fixture f = begin();
	unsigned folders = 0;
	char path[360], name[20];
	struct stat st;

	for (unsigned i = 0; i < 3000; i++) {
		snprintf(name, sizeof(name), "f%u", i);
		put_only(&f, f.root, name, name);
	}
	OK(pfs_workspace_sync(f.ws, &err));
	for (unsigned i = 0; i < 5; i++) {
		snprintf(path, sizeof(path), "%s/spool/%u", f.folder, i);
		folders += stat(path, &st) == 0;
	}
	cr_expect_eq(folders, 3);
	commit(&f);
	OK(pfs_workspace_tick(f.ws, 0, &err));
	pfs_workspace_make_room(f.ws);
	snprintf(path, sizeof(path), "%s/spool", f.folder);
	cr_expect_eq(stat(path, &st), 0);
	cr_expect_leq(st.st_nlink, 3, "%u folders are left", (unsigned)st.st_nlink - 2);
	cr_expect_eq(spool_files(&f), 0);
	end(&f);
}

Test(workspace_journal, says_what_is_damaged)
{
	struct fixture f = begin();
	struct pfs_root base = { .attrs.mode = 0755 };
	char path[360];

	put_only(&f, f.root, "f", "mine");
	close_ws(&f);
	snprintf(path, sizeof(path), "%s/spool", f.folder);
	OK(pfs_io_remove_all(AT_FDCWD, path, &err));
	FAILS(PFS_E_CORRUPT, pfs_workspace_open(f.folder, f.st, &base, &f.ws, &err));
	cr_expect(strstr(err.text, "spool file"), "%s", err.text);
	snprintf(path, sizeof(path), "%s/journal.db", f.folder);
	write_file(path, "this is not a database, and long enough to be looked at closely by "
			 "whoever opens it");
	FAILS(PFS_E_CORRUPT, pfs_workspace_open(f.folder, f.st, &base, &f.ws, &err));
	OK(pfs_workspace_remove(f.folder, &err));
	OK(pfs_workspace_remove(f.folder, &err));
	open_ws(&f);
	end(&f);
}

static void damage_journal(struct fixture *f, const char *sql)
{
	char path[360];
	sqlite3 *db;

	snprintf(path, sizeof(path), "%s/journal.db", f->folder);
	cr_assert_eq(sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE, "pfs"), SQLITE_OK);
	cr_assert_eq(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK, "%s", sqlite3_errmsg(db));
	sqlite3_close(db);
}

Test(workspace_journal, refuses_each_damaged_row_of_its_journal)
{
	static const struct {
		const char *sql;
		int code;
	} rows[] = {
		{ "UPDATE node SET type = 9 WHERE type = 1", PFS_E_CORRUPT },
		{ "UPDATE node SET state = 2 WHERE type = 1", PFS_E_CORRUPT },
		{ "UPDATE node SET mode = 65536", PFS_E_CORRUPT },
		{ "UPDATE node SET mtime_nsec = 1000000000", PFS_E_CORRUPT },
		{ "UPDATE node SET dir = x'0102' WHERE type = 2", PFS_E_CORRUPT },
		{ "UPDATE node SET target = x'' WHERE type = 3", PFS_E_CORRUPT },
		{ "UPDATE node SET content = x'00' WHERE type = 1 AND state = 0", PFS_E_CORRUPT },
		{ "UPDATE node SET serial = serial + 100 WHERE state = 1", PFS_E_CORRUPT },
		{ "UPDATE node SET type = 1 WHERE ino = 1", PFS_E_CORRUPT },
		{ "DELETE FROM node WHERE type = 3", PFS_E_CORRUPT },
		{ "DELETE FROM node WHERE ino = 1", PFS_E_CORRUPT },
		{ "DELETE FROM name WHERE name = CAST('link' AS BLOB)", PFS_E_CORRUPT },
		{ "UPDATE name SET name = CAST('a/b' AS BLOB) WHERE name = CAST('link' AS BLOB)",
		  PFS_E_CORRUPT },
		{ "UPDATE name SET name = CAST('..' AS BLOB) WHERE name = CAST('link' AS BLOB)",
		  PFS_E_CORRUPT },
		{ "UPDATE name SET ino = 1 WHERE name = CAST('link' AS BLOB)", PFS_E_CORRUPT },
		/* A directory in itself, with no way to the root. */
		{ "UPDATE name SET parent = ino WHERE name = CAST('d' AS BLOB)", PFS_E_CORRUPT },
		{ "DELETE FROM meta", PFS_E_CORRUPT },
		{ "PRAGMA user_version = 5", PFS_E_UNSUPPORTED },
		{ "PRAGMA application_id = 7", PFS_E_CORRUPT },
	};
	struct pfs_root base = { .attrs.mode = 0755 };

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct fixture f = begin();
		struct pfs_node *d = make(&f, f.root, PFS_ENTRY_DIR, "d");

		put_only(&f, d, "f", "x");
		make_only(&f, d, PFS_ENTRY_FILE, "empty");
		make_only(&f, f.root, PFS_ENTRY_SYMLINK, "link");
		pfs_node_unref(&d);
		close_ws(&f);
		damage_journal(&f, rows[i].sql);
		cr_expect_eq(pfs_workspace_open(f.folder, f.st, &base, &f.ws, &err), rows[i].code,
			     "%s", rows[i].sql);
		end(&f);
	}
}

/* What an earlier version had, from the latest on. */
static const char to_3[] = "ALTER TABLE node ADD COLUMN link INTEGER NOT NULL DEFAULT 0;"
			   " ALTER TABLE meta DROP COLUMN links; PRAGMA user_version = 3;";
static const char to_2[] = "DROP TABLE range; ALTER TABLE node DROP COLUMN keep;"
			   " PRAGMA user_version = 2";

static void check_upgrade(bool twice)
{
	struct fixture f = begin();
	struct pfs_node *d = make(&f, f.root, PFS_ENTRY_DIR, "d"), *n;

	put_only(&f, f.root, "committed", "x");
	commit(&f);
	put_only(&f, d, "f", "new");
	OK(pfs_workspace_rename(f.ws, f.root, NAME("committed"), d, NAME("moved"), false, false,
				&err));
	pfs_node_unref(&d);
	close_ws(&f);
	damage_journal(&f, to_3);
	if (twice)
		damage_journal(&f, to_2);
	for (int i = 0; i < 2; i++) {
		open_ws(&f);
		d = find(&f, f.root, "d");
		n = find(&f, d, "f");
		cr_expect_str_eq(text_of(&f, n), "new");
		pfs_node_unref(&n);
		n = find(&f, d, "moved");
		cr_expect_str_eq(text_of(&f, n), "x");
		pfs_node_unref(&n);
		pfs_node_unref(&d);
		close_ws(&f);
	}
	open_ws(&f);
	end(&f);
}

Test(workspace_journal, of_an_earlier_version_is_brought_up_to_date)
{
	check_upgrade(false);
	check_upgrade(true);
}
