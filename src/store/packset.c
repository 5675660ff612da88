#include "store/packset.h"
#include "base/io.h"
#include "base/limits.h"
#include "base/lock.h"

#include <assert.h>
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

struct pfs_pack *pfs_packset_pack(struct pfs_packset *set, size_t number)
{
	struct pfs_pack *pack;

	pfs_rwlock_read(&set->lock);
	pack = number < set->n_packs ? set->packs[number] : NULL;
	pfs_rwlock_unlock(&set->lock);
	return pack;
}

/* A dropped pack keeps its descriptor for those who have it lent, and no longer. */
static void close_dropped(struct pfs_packset *set, struct pfs_pack *pack)
{
	assert(pfs_held(&set->files));
	if (pack->users || pack->fd < 0 || !__atomic_load_n(&pack->dropped, __ATOMIC_ACQUIRE))
		return;
	pfs_fd_close(&pack->fd);
	if (!pack->pinned)
		set->n_open--;
	pack->pinned = false;
}

struct pfs_pack *pfs_packset_next(struct pfs_packset *set, size_t *pos)
{
	struct pfs_pack *pack = NULL;

	pfs_rwlock_read(&set->lock);
	while (*pos < set->n_packs && !pack) {
		pack = set->packs[(*pos)++];
		if (__atomic_load_n(&pack->dropped, __ATOMIC_ACQUIRE))
			pack = NULL;
	}
	pfs_rwlock_unlock(&set->lock);
	return pack;
}

void pfs_packset_condemn(struct pfs_packset *set, struct pfs_pack *pack, bool yes)
{
	/* Under the lock: a put that looked before has done so by the time we return. */
	pfs_rwlock_write(&set->lock);
	__atomic_store_n(&pack->condemned, yes, __ATOMIC_RELEASE);
	pfs_rwlock_unlock(&set->lock);
}

int pfs_packset_drop_pack(struct pfs_packset *set, struct pfs_pack *pack, struct pfs_error *err)
{
	if (!__atomic_load_n(&pack->sealed, __ATOMIC_ACQUIRE))
		return pfs_fail(err, PFS_E_INVALID, "drop a pack that is still being written");
	pfs_rwlock_write(&set->lock);
	__atomic_store_n(&pack->dropped, 1, __ATOMIC_RELEASE);
	pfs_idtable_drop_pack(&set->table, pack->number);
	pfs_rwlock_unlock(&set->lock);
	pfs_lock(&set->files);
	close_dropped(set, pack);
	pfs_unlock(&set->files);
	return 0;
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

	if (__atomic_load_n(&pack->dropped, __ATOMIC_ACQUIRE))
		return pfs_fail(err, PFS_E_NOTFOUND, "this pack was dropped");
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
	close_dropped(set, pack);
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
	bool has;

	pfs_rwlock_read(&set->lock);
	has = pfs_idtable_find(&set->table, id, &place) && !place.doubted &&
	      !__atomic_load_n(&set->packs[place.pack]->condemned, __ATOMIC_ACQUIRE);
	pfs_rwlock_unlock(&set->lock);
	return has;
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
	for (size_t i = 0; i < set->n_packs; i++) {
		if (__atomic_load_n(&set->packs[i]->dropped, __ATOMIC_ACQUIRE))
			continue;
		out->packs++;
		out->pack_bytes += __atomic_load_n(&set->packs[i]->size, __ATOMIC_ACQUIRE);
	}
	pfs_rwlock_unlock(&set->lock);
}
