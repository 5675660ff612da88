#include "tree/content.h"
#include "tree/seqwalk.h"
#include "store/local.h"

struct pieces {
	struct pfs_seqwalk walk;
	uint64_t size, pos;
};

/* The next piece that is no hole. */
static int next_piece(void *arg, struct pfs_id *out_id, uint64_t *out_off, struct pfs_error *err)
{
	struct pieces *p = arg;

	while (p->pos < p->size) {
		const struct pfs_seqnode_entry *e;
		int rc = pfs_seqwalk_seek(&p->walk, 0, p->pos, err);

		if (rc < 0)
			return rc;
		e = pfs_seqwalk_item(&p->walk, 0);
		*out_off = p->pos;
		*out_id = e->id;
		p->pos = pfs_seqwalk_end(&p->walk, 0);
		if (e->kind != PFS_SEQNODE_HOLE)
			return 1;
	}
	return 0;
}

int pfs_content_local(struct pfs_store *st, const struct pfs_content *content)
{
	struct pieces p = { .size = content->size };
	const struct pfs_local l = { &content->id, content->size, next_piece, &p };
	int fd = -1;

	if (content->form == PFS_CONTENT_SEQ &&
	    pfs_seqwalk_init(&p.walk, st, &content->id, content->size, NULL) == 0)
		fd = pfs_store_local(st, &l);
	pfs_seqwalk_fini(&p.walk);
	return fd;
}
