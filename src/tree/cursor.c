#include "tree/walk.h"
#include "tree/tree.h"

#include <stdlib.h>
#include <string.h>

struct pfs_cursor {
	struct pfs_walk walk;
	bool stands; /* on an entry that was sought and not yet handed out */
	bool ended;
	struct pfs_entry entry;
};

int pfs_cursor_open(struct pfs_store *st, const struct pfs_id *dir, struct pfs_cursor **out,
		    struct pfs_error *err)
{
	struct pfs_cursor *c = malloc(sizeof(*c));
	int rc;

	if (!c)
		return pfs_fail_nomem(err, "a cursor");
	c->stands = c->ended = false;
	rc = pfs_walk_init(&c->walk, st, dir, err);
	if (rc < 0) {
		free(c);
		return rc;
	}
	*out = c;
	return 0;
}

void pfs_cursor_close(struct pfs_cursor **c)
{
	if (!*c)
		return;
	pfs_walk_fini(&(*c)->walk);
	free(*c);
	*c = NULL;
}

int pfs_cursor_seek(struct pfs_cursor *c, const char *name, size_t name_len, bool after,
		    struct pfs_error *err)
{
	int rc = pfs_walk_seek(&c->walk, name, name_len, after, err);

	c->stands = rc > 0;
	c->ended = rc == 0;
	return rc < 0 ? rc : 0;
}

int pfs_cursor_next(struct pfs_cursor *c, const struct pfs_entry **out, struct pfs_error *err)
{
	int rc = c->stands;

	if (c->ended)
		return 0;
	if (!c->stands)
		rc = pfs_walk_next(&c->walk, err);
	while (rc > 0 && c->walk.level > 0)
		rc = pfs_walk_descend(&c->walk, err);
	c->stands = false;
	c->ended = rc == 0;
	if (rc <= 0)
		return rc;
	pfs_entry_from_node(pfs_walk_item(&c->walk), &c->entry);
	*out = &c->entry;
	return 1;
}
