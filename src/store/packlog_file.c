/* Files that become packs as they are. */
#include "store/packlog_i.h"

#include <assert.h>

#define PIECES_AT_ONCE 512 /* of an adopted file, while others wait for the lock */

int pfs_packlog_publish_file(struct pfs_packlog *log, struct pfs_adopted *a, struct pfs_error *err)
{
	int fd;
	int rc = pfs_packset_lend(log->set, a->pack, &fd, err);

	if (rc < 0)
		return rc;
	rc = pfs_adopted_publish(a, fd, err);
	pfs_packset_return(log->set, a->pack);
	return rc;
}

/* To wait for the next flush. */
void pfs_packlog_keep_file(struct pfs_packlog *log, struct pfs_adopted *a)
{
	assert(pfs_held(&log->lock));
	a->next = log->files;
	log->files = a;
}

void pfs_packlog_release_file(struct pfs_packlog *log, struct pfs_adopted *a)
{
	assert(pfs_held(&log->lock));
	if (--a->users > 0)
		return;
	if (a->durable && a->told)
		pfs_packset_complete(log->set, a->pack);
	pfs_adopted_free(&a);
}

static int set_piece(struct pfs_packlog *log, const struct pfs_adopted *a, uint32_t i,
		     struct pfs_error *err)
{
	struct pfs_place place = { .pack = a->pack->number };
	struct pfs_packentry e;
	int rc = pfs_packfooter_record(&a->table, i, &e, err);

	if (rc < 0 || pfs_packset_has(log->set, &e.id))
		return rc;
	rc = pfs_packset_reserve(log->set, 1, err);
	if (rc < 0)
		return rc;
	place.off = e.off;
	place.clen = e.clen;
	place.ulen = e.ulen;
	place.type = e.type;
	place.codec = e.codec;
	pfs_packset_set(log->set, &e.id, &place);
	return 0;
}

/* Pieces of the file that are not stored yet are there from now on; some at a time, others want to put. */
static int set_pieces(struct pfs_packlog *log, const struct pfs_adopted *a, struct pfs_error *err)
{
	uint32_t n = pfs_packfooter_records(&a->table);
	int rc = 0;

	for (uint32_t i = 0; i < n && rc == 0; i++) {
		if (i % PIECES_AT_ONCE == 0 && i > 0) {
			pfs_unlock(&log->lock);
			pfs_lock(&log->lock);
		}
		rc = a->gone ? pfs_fail(err, PFS_E_IO, "the file could not be flushed")
			     : set_piece(log, a, i, err);
	}
	return rc;
}

static int link_file(struct pfs_packlog *log, int from, const char *name,
		     struct pfs_packfooter *table, struct pfs_adopted **out, struct pfs_error *err)
{
	struct pfs_packhdr h;
	int rc;

	pfs_lock(&log->lock);
	rc = pfs_packlog_make_header(log, PFS_PACK_ADOPTED, &h, err);
	if (rc == 0)
		log->next_seq++;
	pfs_unlock(&log->lock);
	return rc < 0 ? rc : pfs_adopted_link(log->dir, &h, from, name, table, out, err);
}

int pfs_packlog_add_file(struct pfs_packlog *log, int from, const char *name,
			 struct pfs_packfooter *table, struct pfs_error *err)
{
	PFS_AUTO(pfs_adopted_free) struct pfs_adopted *a = NULL;
	int rc = link_file(log, from, name, table, &a, err);

	if (rc != 1)
		return rc;
	rc = pfs_packset_add_pack(log->set, a->header.pack_uuid, PFS_PACK_ADOPTED, false,
				  a->header.file_size, -1, &a->pack, err);
	if (rc < 0) {
		pfs_adopted_unlink(a);
		return rc;
	}
	/* Whoever names its pieces has read them. */
	pfs_packset_note_all_read(a->pack);
	__atomic_store_n(&a->pack->seq, a->header.seq, __ATOMIC_RELAXED);
	__atomic_store_n(&a->pack->unsettled, 1, __ATOMIC_RELEASE);
	a->users = 2;
	pfs_lock(&log->lock);
	/* First of all a sync has to know of it: whoever finds a piece may ask for one at once. */
	pfs_packlog_keep_file(log, a);
	log->appended++;
	rc = set_pieces(log, a, err);
	a->told = rc == 0;
	pfs_packlog_release_file(log, a);
	pfs_unlock(&log->lock);
	a = NULL;
	return rc < 0 ? rc : 1;
}

/* What was adopted and not synced was promised to nobody. */
void pfs_packlog_forget_files(struct pfs_packlog *log)
{
	struct pfs_adopted *a;

	while ((a = log->files)) {
		log->files = a->next;
		pfs_adopted_unlink(a);
		pfs_adopted_free(&a);
	}
}
