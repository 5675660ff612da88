/* Do the rows fit together? */
#include "meta/meta_i.h"

#include <stdio.h>
#include <string.h>

struct check {
	void (*damage)(void *arg, const char *text);
	void *arg;
	bool damaged;
};

static void tell(struct check *c, const char *text)
{
	char line[PFS_ERROR_TEXT_SIZE + 16];

	snprintf(line, sizeof(line), "meta.db: %s", text);
	c->damaged = true;
	if (c->damage)
		c->damage(c->arg, line);
}

/* SQLite's own words, a row each; one "ok" when all is well. */
static int check_indexes(struct check *c, struct pfs_query *q, struct pfs_error *err)
{
	char text[512];
	int rc;

	while ((rc = pfs_query_next(q, err)) > 0) {
		pfs_query_text(q, text, sizeof(text));
		if (strcmp(text, "ok") != 0)
			tell(c, text);
	}
	return rc;
}

/* Rows whose other end is not there: table, row, table it points to. */
static int check_references(struct check *c, struct pfs_query *q, struct pfs_error *err)
{
	int rc;

	while ((rc = pfs_query_next(q, err)) > 0) {
		char table[64], other[64], text[256];
		int64_t row;

		pfs_query_text(q, table, sizeof(table));
		row = pfs_query_i64(q);
		pfs_query_text(q, other, sizeof(other));
		snprintf(text, sizeof(text), "row %lld of %s names a row of %s that is not there",
			 (long long)row, table, other);
		tell(c, text);
	}
	return rc;
}

static int run(struct pfs_meta *m, struct check *c, const char *sql,
	       int (*each)(struct check *c, struct pfs_query *q, struct pfs_error *err),
	       struct pfs_error *err)
{
	PFS_AUTO(pfs_read_end) struct pfs_read r = { 0 };
	struct pfs_error why = { 0 };
	int rc = pfs_read_begin(&r, m, sql, &why);

	if (rc == 0)
		rc = each(c, &r.q, &why);
	if (rc == PFS_E_NOMEM)
		return pfs_fail_nomem(err, "checking metadata");
	/* A page that cannot be read is what we look for, and not a failure to look. */
	if (rc < 0)
		tell(c, why.text);
	return 0;
}

int pfs_meta_check_rows(struct pfs_meta *m, void (*damage)(void *arg, const char *text), void *arg,
			struct pfs_error *err)
{
	struct check c = { damage, arg, false };
	int rc = run(m, &c, "PRAGMA integrity_check", check_indexes, err);

	if (rc == 0)
		rc = run(m, &c, "PRAGMA foreign_key_check", check_references, err);
	return rc < 0 ? rc : c.damaged;
}

int pfs_meta_is_new(struct pfs_meta *m, bool *out, struct pfs_error *err)
{
	PFS_AUTO(pfs_read_end) struct pfs_read r = { 0 };
	int rc = pfs_read_begin(&r, m,
				"SELECT EXISTS (SELECT 1 FROM repos) OR"
				" EXISTS (SELECT 1 FROM sqlite_sequence WHERE name = 'events')",
				err);

	if (rc == 0)
		rc = pfs_query_next(&r.q, err);
	if (rc < 0)
		return rc;
	*out = pfs_query_i64(&r.q) == 0;
	return 0;
}
