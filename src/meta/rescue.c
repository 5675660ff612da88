/*
 * What a damaged database still has, in a new one. Tables that belong together
 * come together or not at all: half of the branches are worse than none, since
 * the records of commits have all of them. Indexes are made, not read.
 */
#include "meta/meta_i.h"

#include <sqlite3.h>
#include <stdio.h>
#include <string.h>

struct group {
	const char *what;
	const char *tables[6];
};

static const struct group groups[] = {
	{ "repos, branches and commits",
	  { "repos", "branches", "commits", "provenance", "sqlite_sequence" } },
	{ "events", { "events", "cursors" } },
	{ "pipelines and jobs", { "pipelines", "pipeline_versions", "pipeline_inputs", "jobs" } },
};

static int attach(struct pfs_db *db, const char *from, struct pfs_error *err)
{
	PFS_AUTO(pfs_query_end) struct pfs_query q = { 0 };
	int rc = pfs_query_begin(&q, db, "ATTACH ? AS damaged", err);

	if (rc < 0)
		return rc;
	pfs_query_bind_text(&q, from);
	return pfs_query_run(&q, err);
}

/* To say TRUE makes SQLite go row by row: it would copy pages, and those of indexes, as they are. */
static int copy_table(struct pfs_db *db, const char *table, struct pfs_error *err)
{
	char sql[160];

	snprintf(sql, sizeof(sql),
		 "DELETE FROM main.%s; INSERT INTO main.%s SELECT * FROM damaged.%s%s WHERE TRUE",
		 table, table, table, strcmp(table, "sqlite_sequence") == 0 ? "" : " NOT INDEXED");
	return pfs_db_exec(db, sql, err);
}

static int copy_group(struct pfs_db *db, const struct group *g, struct pfs_error *err)
{
	int rc = pfs_db_exec(db, "BEGIN IMMEDIATE", err);

	for (size_t i = 0; rc == 0 && i < sizeof(g->tables) / sizeof(*g->tables) && g->tables[i];
	     i++)
		rc = copy_table(db, g->tables[i], err);
	if (rc == 0)
		rc = pfs_db_exec(db, "COMMIT", err);
	if (rc < 0)
		pfs_db_exec(db, "ROLLBACK", NULL);
	return rc;
}

static bool is_damage(int rc)
{
	return rc == PFS_E_CORRUPT || rc == PFS_E_IO || rc == PFS_E_EXISTS;
}

static int copy_groups(struct pfs_db *db, void (*lost)(void *arg, const char *what), void *arg,
		       struct pfs_error *err)
{
	for (size_t i = 0; i < sizeof(groups) / sizeof(*groups); i++) {
		struct pfs_error why = { 0 };
		int rc = copy_group(db, &groups[i], &why);

		if (rc < 0 && !is_damage(rc))
			return pfs_fail(err, rc, "%s", why.text);
		if (rc < 0)
			lost(arg, groups[i].what);
		/* The rest means nothing without names, which come from records under new numbers. */
		if (rc < 0 && i == 0)
			break;
	}
	return 0;
}

int pfs_meta_rescue(const char *from, const char *to, void (*lost)(void *arg, const char *what),
		    void *arg, struct pfs_error *err)
{
	PFS_AUTO(pfs_db_close) struct pfs_db db = { 0 };
	struct pfs_meta *m = NULL;
	struct pfs_error why = { 0 };
	int rc = pfs_meta_open(to, &m, err);

	pfs_meta_close(&m);
	if (rc == 0)
		rc = pfs_db_open(to, false, &db, err);
	/* Rows of one table come before those that they name. */
	if (rc == 0)
		rc = pfs_db_exec(&db, "PRAGMA foreign_keys=OFF", err);
	if (rc < 0)
		return rc;
	rc = attach(&db, from, &why);
	if (rc < 0 && !is_damage(rc))
		return pfs_fail(err, rc, "%s", why.text);
	if (rc == 0)
		return copy_groups(&db, lost, arg, err);
	lost(arg, groups[0].what);
	return 0;
}
