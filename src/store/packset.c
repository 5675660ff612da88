#include "store/packset.h"
#include "base/io.h"
#include "base/limits.h"
#include "base/lock.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

struct pfs_packset {
	int dir;
	struct pfs_rwlock lock;    /* PFS_RANK_PACKSET */
	struct pfs_pack **packs;   /* protected by lock; what it points to stays */
	size_t n_packs, packs_cap; /* protected by lock */
	struct pfs_idtable table;  /* protected by lock */
	struct pfs_lock files;     /* PFS_RANK_PACKSET_FILES */
	size_t n_open;             /* not pinned; protected by files */
	size_t hand;               /* where to look for one to close; protected by files */
};

int pfs_packset_new(int dir, struct pfs_packset **out, struct pfs_error *err)
{
	struct pfs_packset *set = calloc(1, sizeof(*set));

	if (!set)
		return pfs_fail_nomem(err, "the set of packs");
	set->dir = dir;
	pfs_rwlock_init(&set->lock, PFS_RANK_PACKSET);
	pfs_lock_init(&set->files, PFS_RANK_PACKSET_FILES);
	*out = set;
	return 0;
}

void pfs_packset_free(struct pfs_packset **set)
{
	if (!*set)
		return;
	for (size_t i = 0; i < (*set)->n_packs; i++) {
		pfs_fd_close(&(*set)->packs[i]->fd);
		free((*set)->packs[i]);
	}
	free((*set)->packs);
	pfs_idtable_fini(&(*set)->table);
	pfs_rwlock_fini(&(*set)->lock);
	pfs_lock_fini(&(*set)->files);
	free(*set);
	*set = NULL;
}

static int widen(struct pfs_packset *set, struct pfs_error *err)
{
	size_t cap = set->packs_cap ? 2 * set->packs_cap : 64;
	struct pfs_pack **wider;

	if (set->n_packs < set->packs_cap)
		return 0;
	/* `files` too: eviction walks the array under that one alone. */
	pfs_lock(&set->files);
	wider = realloc(set->packs, cap * sizeof(*wider));
	if (wider) {
		set->packs = wider;
		set->packs_cap = cap;
	}
	pfs_unlock(&set->files);
	return wider ? 0 : pfs_fail_nomem(err, "the set of packs");
}

int pfs_packset_add_pack(struct pfs_packset *set, const unsigned char uuid[PFS_UUID_SIZE],
			 uint8_t kind, bool sealed, uint64_t size, int fd, struct pfs_pack **out,
			 struct pfs_error *err)
{
	struct pfs_pack *pack = calloc(1, sizeof(*pack));
	int rc;

	if (!pack)
		return pfs_fail_nomem(err, "a pack");
	memcpy(pack->uuid, uuid, PFS_UUID_SIZE);
	pack->kind = kind;
	pack->sealed = sealed;
	pack->size = size;
	pack->fd = fd;
	pack->pinned = fd >= 0;
	pfs_rwlock_write(&set->lock);
	rc = widen(set, err);
	if (rc == 0) {
		pack->number = (uint32_t)set->n_packs;
		pfs_lock(&set->files);
		set->packs[set->n_packs++] = pack;
		pfs_unlock(&set->files);
	}
	pfs_rwlock_unlock(&set->lock);
	if (rc < 0) {
		free(pack);
		return rc;
	}
	*out = pack;
	return 0;
}

void pfs_packset_unpin(struct pfs_packset *set, struct pfs_pack *pack)
{
	pfs_lock(&set->files);
	if (pack->pinned) {
		pack->pinned = false;
		set->n_open++;
	}
	pfs_unlock(&set->files);
}

size_t pfs_packset_packs(struct pfs_packset *set)
{
	size_t n;

	pfs_rwlock_read(&set->lock);
	n = set->n_packs;
	pfs_rwlock_unlock(&set->lock);
	return n;
}

struct pfs_pack *pfs_packset_pack(struct pfs_packset *set, size_t number)
{
	struct pfs_pack *pack;

	pfs_rwlock_read(&set->lock);
	pack = number < set->n_packs ? set->packs[number] : NULL;
	pfs_rwlock_unlock(&set->lock);
	return pack;
}

/* Close descriptors nobody reads from until there is room for one more. */
static void make_room(struct pfs_packset *set)
{
	for (size_t looked = 0; set->n_open >= PFS_PACK_OPEN_MAX && looked < set->n_packs;
	     looked++) {
		struct pfs_pack *pack = set->packs[set->hand++ % set->n_packs];

		if (pack->fd < 0 || pack->pinned || pack->users)
			continue;
		pfs_fd_close(&pack->fd);
		set->n_open--;
	}
}

int pfs_packset_lend(struct pfs_packset *set, struct pfs_pack *pack, int *out_fd,
		     struct pfs_error *err)
{
	char path[PFS_PACK_PATH_SIZE];
	int rc = 0;

	pfs_lock(&set->files);
	if (pack->fd < 0) {
		make_room(set);
		pfs_pack_path(pack->uuid, pack->kind,
			      __atomic_load_n(&pack->sealed, __ATOMIC_ACQUIRE), path);
		rc = pfs_io_open(set->dir, path, O_RDONLY, 0, err);
		if (rc >= 0) {
			pack->fd = rc;
			set->n_open++;
		}
	}
	if (rc >= 0) {
		pack->users++;
		*out_fd = pack->fd;
	}
	pfs_unlock(&set->files);
	return rc < 0 ? rc : 0;
}

void pfs_packset_return(struct pfs_packset *set, struct pfs_pack *pack)
{
	pfs_lock(&set->files);
	pack->users--;
	pfs_unlock(&set->files);
}

bool pfs_packset_find(struct pfs_packset *set, const struct pfs_id *id, struct pfs_place *out)
{
	bool found;

	pfs_rwlock_read(&set->lock);
	found = pfs_idtable_find(&set->table, id, out);
	pfs_rwlock_unlock(&set->lock);
	return found;
}

bool pfs_packset_has(struct pfs_packset *set, const struct pfs_id *id)
{
	struct pfs_place place;

	return pfs_packset_find(set, id, &place) && !place.doubted;
}

void pfs_packset_doubt(struct pfs_packset *set, const struct pfs_id *id,
		       const struct pfs_place *place)
{
	pfs_rwlock_write(&set->lock);
	pfs_idtable_doubt(&set->table, id, place);
	pfs_rwlock_unlock(&set->lock);
}

int pfs_packset_reserve(struct pfs_packset *set, size_t more, struct pfs_error *err)
{
	int rc;

	pfs_rwlock_write(&set->lock);
	rc = pfs_idtable_reserve(&set->table, more, err);
	pfs_rwlock_unlock(&set->lock);
	return rc;
}

void pfs_packset_set(struct pfs_packset *set, const struct pfs_id *id,
		     const struct pfs_place *place)
{
	pfs_rwlock_write(&set->lock);
	pfs_idtable_set(&set->table, id, place);
	pfs_rwlock_unlock(&set->lock);
}

void pfs_packset_lose(struct pfs_packset *set, const struct pfs_id *id)
{
	pfs_rwlock_write(&set->lock);
	pfs_idtable_lose(&set->table, id);
	pfs_rwlock_unlock(&set->lock);
}

size_t pfs_packset_lost(struct pfs_packset *set)
{
	size_t lost;

	pfs_rwlock_read(&set->lock);
	lost = set->table.lost;
	pfs_rwlock_unlock(&set->lock);
	return lost;
}

void pfs_packset_count(struct pfs_packset *set, struct pfs_packset_totals *out)
{
	*out = (struct pfs_packset_totals){ 0 };
	pfs_rwlock_read(&set->lock);
	out->objects = set->table.live;
	out->object_bytes = set->table.live_bytes;
	out->packs = set->n_packs;
	for (size_t i = 0; i < set->n_packs; i++)
		out->pack_bytes += __atomic_load_n(&set->packs[i]->size, __ATOMIC_ACQUIRE);
	pfs_rwlock_unlock(&set->lock);
}
