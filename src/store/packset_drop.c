#include "store/packset_i.h"

#include <assert.h>
#include <stdlib.h>

static bool is_dropped(const struct pfs_pack *pack)
{
	return __atomic_load_n(&pack->dropped, __ATOMIC_ACQUIRE);
}

/* One object of a pack that goes, and where runs will find it then. */
struct leaving {
	struct pfs_id id;
	struct pfs_place then;
	bool has_then;
};

static int look_ahead(struct pfs_packset *set, const struct pfs_packlist_item *item,
		      struct leaving *out, struct pfs_error *err)
{
	struct pfs_place now;
	int rc = pfs_packset_search(set, set->runs, &item->id, UINT32_MAX, &now, err);

	out->id = item->id;
	out->has_then = false;
	/* Of the places in an adopted file, all of which are in the list, only the told one counts. */
	if (rc == 1 && now.pack == item->place.pack && now.off == item->place.off) {
		rc = pfs_packset_search(set, set->runs, &item->id, now.pack, &out->then, err);
		out->has_then = rc == 1;
	}
	return rc < 0 ? rc : 0;
}

/* Objects of which an older copy will be found again: count them there. Under the lock. */
static void count_again(struct pfs_packset *set, const struct pfs_pack *pack,
			const struct leaving *l)
{
	struct pfs_pack *to = l->has_then ? set->packs[l->then.pack] : NULL;
	struct pfs_place in_table = { .pack = pack->number };
	enum pfs_idtable_answer answer = pfs_idtable_find(&set->table, &l->id, &in_table);

	if (!to || is_dropped(to))
		return;
	to->run_objects++;
	to->run_bytes += l->then.ulen;
	if (answer != PFS_IDTABLE_LOST &&
	    (in_table.pack == pack->number || is_dropped(set->packs[in_table.pack])))
		pfs_packset_enter(set, to->number, l->then.ulen);
}

static void drop(struct pfs_packset *set, struct pfs_pack *pack, const struct leaving *list,
		 size_t n)
{
	pfs_rwlock_write(&set->lock);
	for (size_t i = 0; i < n; i++)
		count_again(set, pack, &list[i]);
	set->objects -= pack->objects;
	set->object_bytes -= pack->object_bytes;
	pack->objects = pack->object_bytes = 0;
	pack->run_objects = pack->run_bytes = 0;
	__atomic_store_n(&pack->dropped, 1, __ATOMIC_RELEASE);
	set->drops++;
	pfs_locality_forget(&set->near, pack->number);
	pfs_rwlock_unlock(&set->lock);
}

static int drop_covered(struct pfs_packset *set, struct pfs_pack *pack, struct pfs_error *err)
{
	PFS_AUTO(pfs_packlist_fini) struct pfs_packlist list = { 0 };
	struct leaving *leaving;
	int rc = pfs_packlist_load(set->dir, pack, &list, err);

	if (rc < 0 && rc != PFS_E_NOTFOUND)
		return rc;
	rc = 0;
	leaving = calloc(list.n ? list.n : 1, sizeof(*leaving));
	if (!leaving)
		return pfs_fail_nomem(err, "dropping a pack");
	for (size_t i = 0; i < list.n && rc == 0; i++)
		rc = look_ahead(set, &list.items[i], &leaving[i], err);
	if (rc == 0)
		drop(set, pack, leaving, list.n);
	free(leaving);
	return rc;
}

static int drop_locked(struct pfs_packset *set, struct pfs_pack *pack, struct pfs_error *err)
{
	int rc = 0;

	assert(pfs_held(&set->tidy));
	/* Older places that the table keeps behind newer ones have to be where they are found. */
	if (!pack->covered && pack->complete)
		rc = pfs_packset_flush(set, err);
	if (rc < 0)
		return rc;
	if (pack->covered)
		return drop_covered(set, pack, err);
	drop(set, pack, NULL, 0);
	return 0;
}

int pfs_packset_drop_pack(struct pfs_packset *set, struct pfs_pack *pack, struct pfs_error *err)
{
	struct pfs_error why = { 0 };
	int rc;

	if (!__atomic_load_n(&pack->sealed, __ATOMIC_ACQUIRE))
		return pfs_fail(err, PFS_E_INVALID, "drop a pack that is still being written");
	pfs_lock(&set->tidy);
	rc = drop_locked(set, pack, &why);
	if (rc == PFS_E_CORRUPT && pfs_packset_after_failure(set, rc, &why) == 0)
		rc = drop_locked(set, pack, &why);
	if (rc == 0)
		set->unpublished = true;
	pfs_unlock(&set->tidy);
	if (rc == 0)
		pfs_packset_close_dropped(set, pack);
	else if (err)
		*err = why;
	return rc;
}
