#include "store/local.h"
#include "store/packlist.h"
#include "store/packset.h"
#include "store/store_i.h"
#include "base/idset.h"
#include "base/io.h"
#include "base/limits.h"

#include <fcntl.h>
#include <stdlib.h>

/*
 * The pack whose file begins with this piece, when it may be what is asked for; NULL.
 * What was not read yet is told by its first piece, without its table.
 */
static struct pfs_pack *pack_of(struct pfs_packset *set, const struct pfs_id *first, uint64_t off,
				uint64_t size)
{
	struct pfs_pack *pack;
	struct pfs_place now, begin;

	if (!pfs_packset_has(set, first) || !pfs_packset_find(set, first, &now))
		return NULL;
	begin = now;
	begin.off = off;
	pack = pfs_packset_pack(set, now.pack);
	if (pack->kind != PFS_PACK_ADOPTED || !pfs_packset_is_place(set, first, &now, &begin) ||
	    !__atomic_load_n(&pack->sealed, __ATOMIC_ACQUIRE) ||
	    __atomic_load_n(&pack->size, __ATOMIC_ACQUIRE) != size ||
	    !pfs_packset_was_read(pack, now.off))
		return NULL;
	return pack;
}

/* Whether the table tells of these pieces and no others; the first one was asked for already. */
static bool has_all(const struct pfs_packlist *list, const struct pfs_local *l,
		    const struct pfs_id *first, uint64_t first_off)
{
	struct pfs_id id = *first;
	uint64_t off = first_off;
	int rc = 1;

	for (size_t i = 0; i < list->n; i++) {
		if (rc != 1 || list->items[i].place.off != off ||
		    !pfs_id_equal(&list->items[i].id, &id))
			return false;
		rc = l->next(l->arg, &id, &off, NULL);
	}
	return rc == 0;
}

static bool were_read(const struct pfs_pack *pack, const struct pfs_packlist *list)
{
	for (size_t i = 0; i < list->n; i++)
		if (!pfs_packset_was_read(pack, list->items[i].place.off))
			return false;
	return true;
}

/* --- what a file has more than once ----------------------------------------- */

/*
 * Who reads all of the content reads only one of the places of a chunk that the
 * file has several times. The others are read here, some at a time.
 */
struct twins {
	struct pfs_idset read; /* what was read somewhere in the file */
	unsigned char *bytes;
	int fd; /* borrowed */
};

static void twins_fini(struct twins *t)
{
	pfs_idset_fini(&t->read);
	free(t->bytes);
}

/* Whether what was not read has a twin that was. */
static bool find_twins(const struct pfs_pack *pack, const struct pfs_packlist *list,
		       struct twins *t)
{
	for (size_t i = 0; i < list->n; i++)
		if (pfs_packset_was_read(pack, list->items[i].place.off) &&
		    pfs_idset_add(&t->read, &list->items[i].id, NULL) < 0)
			return false;
	for (size_t i = 0; i < list->n; i++)
		if (!pfs_idset_has(&t->read, &list->items[i].id))
			return false;
	return true;
}

static bool is_whole(const struct pfs_store *st, const struct twins *t,
		     const struct pfs_packlist_item *item)
{
	struct pfs_id got;
	size_t len;

	return item->place.ulen <= PFS_OBJECT_SIZE_MAX &&
	       pfs_io_pread(t->fd, t->bytes, item->place.ulen, item->place.off, &len, NULL) == 0 &&
	       pfs_hasher_id(st->hasher, (enum pfs_kind)item->place.type, t->bytes, len, &got,
			     NULL) == 0 &&
	       pfs_id_equal(&got, &item->id);
}

/* Whether all were read. One that is damaged is left to who looks for damage: the file is not given out. */
static bool read_twins(const struct pfs_store *st, struct pfs_pack *pack,
		       const struct pfs_packlist *list, const struct twins *t)
{
	size_t left = PFS_LOCAL_READ_MAX;

	for (size_t i = 0; i < list->n; i++) {
		const struct pfs_place *place = &list->items[i].place;

		if (pfs_packset_was_read(pack, place->off))
			continue;
		if (place->ulen > left || !is_whole(st, t, &list->items[i]))
			return false;
		left -= place->ulen;
		pfs_packset_note_read(pack, place->off);
	}
	return true;
}

static bool complete(const struct pfs_store *st, struct pfs_packset *set, struct pfs_pack *pack,
		     const struct pfs_packlist *list)
{
	PFS_AUTO(twins_fini) struct twins t = { .fd = -1 };
	bool read;

	if (!find_twins(pack, list, &t))
		return false;
	t.bytes = malloc(PFS_OBJECT_SIZE_MAX);
	if (!t.bytes || pfs_packset_lend(set, pack, &t.fd, NULL) < 0)
		return false;
	read = read_twins(st, pack, list, &t);
	pfs_packset_return(set, pack);
	return read;
}

/* --- the door ---------------------------------------------------------------- */

/* The long way: asked of its table, and remembered. */
static bool look_closely(const struct pfs_store *st, const struct pfs_store_parts *p,
			 struct pfs_pack *pack, const struct pfs_local *l,
			 const struct pfs_id *first, uint64_t off)
{
	struct pfs_packlist list = { 0 };
	bool same = pfs_packlist_load(p->dir, pack, &list, NULL) == 0 && !list.damaged &&
		    has_all(&list, l, first, off);
	bool read = same && (were_read(pack, &list) || complete(st, p->set, pack, &list));

	if (same)
		pfs_packset_note_content(p->set, pack, l->content, read);
	pfs_packlist_fini(&list);
	return read;
}

static int give(struct pfs_packset *set, struct pfs_pack *pack)
{
	int lent, fd = -1;

	if (pfs_packset_lend(set, pack, &lent, NULL) < 0)
		return -1;
	fd = fcntl(lent, F_DUPFD_CLOEXEC, 0);
	pfs_packset_return(set, pack);
	return fd;
}

int pfs_store_local(struct pfs_store *st, const struct pfs_local *l)
{
	struct pfs_store_parts p;
	struct pfs_pack *pack;
	struct pfs_id first;
	uint64_t off;

	if (!pfs_store_parts(st, &p) || l->next(l->arg, &first, &off, NULL) != 1)
		return -1;
	pack = pack_of(p.set, &first, off, l->size);
	if (!pack || pfs_packset_knows_damage_of(p.set, pack))
		return -1;
	switch (pfs_packset_is_content(p.set, pack, l->content)) {
	case PFS_PACK_CONTENT_READ:
		return give(p.set, pack);
	case PFS_PACK_CONTENT_OTHER:
		return -1;
	case PFS_PACK_CONTENT_SAME:
	case PFS_PACK_CONTENT_UNKNOWN:
		break;
	}
	return look_closely(st, &p, pack, l, &first, off) ? give(p.set, pack) : -1;
}
