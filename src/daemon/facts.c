#include "daemon/facts.h"
#include "base/clock.h"
#include "base/json.h"

#include <string.h>

static json_t *time_of(int64_t ns)
{
	char text[PFS_CLOCK_TEXT_SIZE];

	return ns ? json_string(pfs_clock_format(ns, text)) : json_null();
}

static json_t *id_of(bool has, const struct pfs_commit_id *id)
{
	char text[PFS_COMMIT_ID_HEX_SIZE];

	return has ? json_string(pfs_commit_id_format(id, text)) : json_null();
}

static json_t *text_of(const char *s)
{
	return s ? pfs_json_bytes(s, strlen(s)) : json_null();
}

/* Takes `v`, which is NULL when there was no memory for a part of it. */
static int put_line(json_t *v, struct pfs_buf *out, struct pfs_error *err)
{
	size_t before = out->len;
	int rc;

	if (!v)
		return pfs_fail_nomem(err, "a line of JSON");
	rc = pfs_json_format(v, out, err);
	json_decref(v);
	if (rc == 0)
		rc = pfs_buf_add_u8(out, '\n', err);
	if (rc < 0)
		out->len = before;
	return rc;
}

int pfs_facts_repo(const struct pfs_repo *r, struct pfs_buf *out, struct pfs_error *err)
{
	return put_line(json_pack("{s:s, s:o, s:s, s:I, s:I, s:I}", "name", r->name, "created",
				  time_of(r->created_ns), "owner", r->owner, "branches",
				  (json_int_t)r->branches, "commits", (json_int_t)r->commits,
				  "size", (json_int_t)r->size_bytes),
			out, err);
}

int pfs_facts_branch(const struct pfs_branch *b, struct pfs_buf *out, struct pfs_error *err)
{
	return put_line(json_pack("{s:s, s:o, s:s, s:o, s:s}", "name", b->name, "tstamp",
				  time_of(b->created_ns), "repo", b->repo, "head",
				  id_of(b->has_head, &b->head), "owner", b->owner),
			out, err);
}

static json_t *provenance_of(const struct pfs_commit *c)
{
	json_t *list = json_array();

	for (size_t i = 0; list && i < c->n_provenance; i++)
		json_array_append_new(list, json_pack("{s:s, s:o}", "repo", c->provenance[i].repo,
						      "commit", id_of(true, &c->provenance[i].id)));
	return list;
}

int pfs_facts_commit(const struct pfs_commit *c, struct pfs_buf *out, struct pfs_error *err)
{
	char digest[PFS_ID_HEX_SIZE];

	return put_line(
		json_pack("{s:o, s:o, s:s, s:s, s:o, s:s, s:o, s:I, s:I, s:o, s:o, s:s, s:o}",
			  "name", id_of(true, &c->id), "tstamp", time_of(c->finished_ns), "repo",
			  c->repo, "branch", c->branch, "parent", id_of(c->has_parent, &c->parent),
			  "origin", c->origin == PFS_ORIGIN_AUTO ? "auto" : "user", "started",
			  time_of(c->started_ns), "files", (json_int_t)c->files, "size",
			  (json_int_t)c->size_bytes, "message", text_of(c->message), "error",
			  text_of(c->error), "digest", pfs_id_format(&c->digest, digest),
			  "provenance", provenance_of(c)),
		out, err);
}

int pfs_facts_change(const struct pfs_change *c, struct pfs_buf *out, struct pfs_error *err)
{
	const char op[2] = { c->op, 0 };

	return put_line(json_pack("{s:s, s:o, s:s, s:I}", "op", op, "path", text_of(c->path),
				  "type", c->is_dir ? "dir" : "file", "size",
				  (json_int_t)c->size_bytes),
			out, err);
}

int pfs_facts_pipeline(const struct pfs_pipeline *p, struct pfs_buf *out, struct pfs_error *err)
{
	return put_line(json_pack("{s:s, s:i, s:s, s:s, s:o, s:o, s:o}", "name", p->name, "version",
				  (int)p->version, "repo", p->repo, "branch", p->branch, "created",
				  time_of(p->created_ns), "updated", time_of(p->updated_ns), "text",
				  text_of(p->text)),
			out, err);
}

int pfs_facts_job(const struct pfs_job *j, struct pfs_buf *out, struct pfs_error *err)
{
	return put_line(json_pack("{s:s, s:o, s:s, s:i, s:s, s:s, s:i, s:o, s:o, s:o, s:o, s:o}",
				  "pipeline", j->pipeline, "id", id_of(true, &j->id), "state",
				  pfs_job_state_name(j->state), "version", (int)j->version, "repo",
				  j->repo, "branch", j->branch, "attempt", (int)j->attempt,
				  "created", time_of(j->created_ns), "started",
				  time_of(j->started_ns), "finished", time_of(j->finished_ns),
				  "runner", text_of(j->runner), "reason", text_of(j->reason)),
			out, err);
}

int pfs_facts_event(const struct pfs_event *e, struct pfs_buf *out, struct pfs_error *err)
{
	bool has = !pfs_commit_id_is_zero(&e->commit);

	return put_line(json_pack("{s:I, s:s, s:s, s:s, s:o, s:o}", "number", (json_int_t)e->number,
				  "kind", e->kind, "repo", e->repo, "branch", e->branch, "commit",
				  id_of(has, &e->commit), "tstamp", time_of(e->time_ns)),
			out, err);
}

static const char *type_name(enum pfs_type type)
{
	switch (type) {
	case PFS_TYPE_FILE:
		return "file";
	case PFS_TYPE_DIR:
		return "dir";
	case PFS_TYPE_SYMLINK:
		return "symlink";
	case PFS_TYPE_FIFO:
		return "fifo";
	case PFS_TYPE_SOCKET:
		return "socket";
	case PFS_TYPE_CHR:
	case PFS_TYPE_BLK:
		return "device";
	}
	return "unknown";
}

/* JSON cannot hold every name; what it lost is kept in hexadecimal. */
static int add_raw_name(json_t *v, const char *path, struct pfs_error *err)
{
	size_t len = strlen(path);
	PFS_AUTO(pfs_buf_fini) struct pfs_buf hex = PFS_BUF_INIT(2 * len + 1);
	json_t *plain = json_stringn(path, len);
	int rc = 0;

	if (plain) {
		json_decref(plain);
		return 0;
	}
	for (size_t i = 0; i < len && rc == 0; i++)
		rc = pfs_buf_printf(&hex, err, "%02x", (unsigned)(unsigned char)path[i]);
	if (rc == 0 && json_object_set_new(v, "path_hex", json_string(pfs_buf_str(&hex))) < 0)
		rc = pfs_fail_nomem(err, "a line of JSON");
	return rc;
}

int pfs_facts_file(const char *path, const struct pfs_attr *a, const char *target,
		   struct pfs_buf *out, struct pfs_error *err)
{
	json_t *v = json_pack("{s:o, s:s, s:I, s:i, s:o}", "path", text_of(path), "type",
			      type_name(a->type), "size", (json_int_t)a->size_bytes, "mode",
			      (int)a->mode, "mtime", time_of(a->mtime_ns));
	int rc = v ? add_raw_name(v, path, err) : 0;

	if (rc == 0 && v && target && json_object_set_new(v, "target", text_of(target)) < 0)
		rc = pfs_fail_nomem(err, "a line of JSON");
	if (rc < 0) {
		json_decref(v);
		return rc;
	}
	return put_line(v, out, err);
}
