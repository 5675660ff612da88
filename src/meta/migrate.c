#include "meta/meta_i.h"

#define APPLICATION_ID 0x70667331 /* "pfs1" */
#define SCHEMA_VERSION 2

static const char *const schema[] = {
#include "meta/schema.inc"
};

static int read_pragma(struct pfs_db *db, const char *sql, int64_t *out, struct pfs_error *err)
{
	PFS_AUTO(pfs_query_end) struct pfs_query q = { 0 };
	int rc = pfs_query_begin(&q, db, sql, err);

	if (rc == 0)
		rc = pfs_query_next(&q, err);
	if (rc == 1)
		*out = pfs_query_i64(&q);
	return rc < 0 ? rc : 0;
}

static int create_tables(struct pfs_db *db, struct pfs_error *err)
{
	int rc = 0;

	for (size_t i = 0; i < sizeof(schema) / sizeof(*schema) && rc == 0; i++)
		rc = pfs_db_exec(db, schema[i], err);
	if (rc == 0)
		rc = pfs_db_exec(db, "PRAGMA application_id=0x70667331; PRAGMA user_version=2",
				 err);
	return rc;
}

/* One transaction: a stop in the middle leaves an empty file, which is created again. */
static int create(struct pfs_db *db, struct pfs_error *err)
{
	int rc = pfs_db_exec(db, "BEGIN IMMEDIATE", err);

	if (rc < 0)
		return rc;
	rc = create_tables(db, err);
	if (rc == 0)
		rc = pfs_db_exec(db, "COMMIT", err);
	if (rc < 0)
		pfs_db_exec(db, "ROLLBACK", NULL);
	return rc;
}

int pfs_migrate(struct pfs_db *db, const char *path, struct pfs_error *err)
{
	int64_t application = 0, version = 0, tables = 0;
	int rc = read_pragma(db, "PRAGMA application_id", &application, err);

	if (rc == 0)
		rc = read_pragma(db, "PRAGMA user_version", &version, err);
	if (rc == 0)
		rc = read_pragma(db, "SELECT count(*) FROM sqlite_master", &tables, err);
	if (rc < 0)
		return pfs_wrap(err, rc, "read the version of %s", path);
	if (tables == 0)
		return pfs_wrap(err, create(db, err), "make the tables of %s", path);
	if (application != APPLICATION_ID)
		return pfs_fail(err, PFS_E_INVALID, "%s is a database, but not of pfs", path);
	if (version == SCHEMA_VERSION)
		return 0;
	/* Version 1 had the same tables in pages without checksums; they have got them by now. */
	if (version == 1)
		return pfs_db_exec(db, "PRAGMA user_version=2", err);
	return pfs_fail(err, PFS_E_UNSUPPORTED,
			"%s has tables of version %lld, this program knows %d: use the newer pfs",
			path, (long long)version, SCHEMA_VERSION);
}
