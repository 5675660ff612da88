#include "store/local.h"
#include "store/packlist.h"
#include "store/packset.h"
#include "store/store_i.h"

#include <fcntl.h>

/* The pack whose file begins with this piece, when it may be what is asked for; NULL. */
static struct pfs_pack *pack_of(struct pfs_packset *set, const struct pfs_id *first, uint64_t off,
				uint64_t size)
{
	struct pfs_pack *pack;
	struct pfs_place place;

	if (!pfs_packset_has(set, first) || !pfs_packset_find(set, first, &place))
		return NULL;
	pack = pfs_packset_pack(set, place.pack);
	if (pack->kind != PFS_PACK_ADOPTED || place.off != off ||
	    !__atomic_load_n(&pack->sealed, __ATOMIC_ACQUIRE) ||
	    __atomic_load_n(&pack->size, __ATOMIC_ACQUIRE) != size)
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

/* The long way: asked of its table, and remembered. */
static bool look_closely(const struct pfs_store_parts *p, struct pfs_pack *pack,
			 const struct pfs_local *l, const struct pfs_id *first, uint64_t off)
{
	struct pfs_packlist list = { 0 };
	bool same = pfs_packlist_load(p->dir, pack, &list, NULL) == 0 && !list.damaged &&
		    has_all(&list, l, first, off);
	bool read = same && were_read(pack, &list);

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
	/* What was not read yet is told by its first piece, without its table. */
	if (!pack || !pfs_packset_was_read(pack, off) || pfs_packset_knows_damage_of(p.set, pack))
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
	return look_closely(&p, pack, l, &first, off) ? give(p.set, pack) : -1;
}
