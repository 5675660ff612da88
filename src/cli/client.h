/*
 * pfsd, from outside: a request, and its failure as a struct pfs_error.
 *
 * Threads: one at a time per client.
 */
#ifndef PFS_CLI_CLIENT_H
#define PFS_CLI_CLIENT_H

#include "base/buf.h"
#include "base/json.h"

struct pfs_client;

/* `where` is a path of a unix socket or a URL "http://host:port". */
int pfs_client_open(const char *where, struct pfs_client **out, struct pfs_error *err);
void pfs_client_close(struct pfs_client **c);

/*
 * What to ask for: "/file/" and parameters, escaped as they are added.
 *
 *	struct pfs_target t = PFS_TARGET_INIT;
 *	pfs_target_add(&t, "/file/");
 *	pfs_target_add_path(&t, path);
 *	pfs_target_set(&t, "commit", rev);
 *
 * A failure (of memory) is kept in it and comes out of the call that uses it.
 */
struct pfs_target {
	struct pfs_buf text;
	int rc;
	bool has_query;
};
#define PFS_TARGET_INIT                     \
	{                                   \
		.text = PFS_BUF_INIT(65536) \
	}
void pfs_target_fini(struct pfs_target *t);
void pfs_target_add(struct pfs_target *t, const char *plain);
void pfs_target_add_path(struct pfs_target *t, const char *path);
void pfs_target_set(struct pfs_target *t, const char *name, const char *value); /* NULL: not */

/* One request with a body of bytes (or NULL); the answer is appended to `reply`, which may be NULL. */
int pfs_client_call(struct pfs_client *c, const char *method, const struct pfs_target *t,
		    const void *body, size_t body_len, struct pfs_buf *reply,
		    struct pfs_error *err);

/* The answer piece by piece. `patience_ms` is how long the peer may be silent; 0: for ever. */
int pfs_client_read(struct pfs_client *c, const struct pfs_target *t, int64_t patience_ms,
		    int (*write)(void *arg, const void *data, size_t len), void *arg,
		    struct pfs_error *err);

/* Why an answer ended behind `off` bytes: 0 when what follows can be had now. */
int pfs_client_probe(struct pfs_client *c, const struct pfs_target *t, uint64_t off,
		     struct pfs_error *err);

/* Send what can be read from `fd` to its end. */
int pfs_client_send(struct pfs_client *c, const struct pfs_target *t, int fd, struct pfs_buf *reply,
		    struct pfs_error *err);

/* GET lines of JSON, each handed over as it comes; borrowed for the call. Negative ends it. */
int pfs_client_each(struct pfs_client *c, const struct pfs_target *t,
		    int (*line)(void *arg, json_t *v, struct pfs_error *err), void *arg,
		    struct pfs_error *err);

/*
 * POST that takes its time and answers with lines of JSON, handed over as they
 * come. `cancelled` is asked ten times a second: true hangs up, with PFS_E_FAILED.
 */
int pfs_client_work(struct pfs_client *c, const struct pfs_target *t, bool (*cancelled)(void *arg),
		    int (*line)(void *arg, json_t *v, struct pfs_error *err), void *arg,
		    struct pfs_error *err);

/* GET one JSON object; owned by the caller. */
int pfs_client_get(struct pfs_client *c, const struct pfs_target *t, int64_t patience_ms,
		   json_t **out, struct pfs_error *err);

#endif
