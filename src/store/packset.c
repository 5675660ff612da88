#include "store/packset_i.h"
#include "base/io.h"
#include "base/limits.h"

#include <assert.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#define CLOSE_PART 8u /* such a part of a batch is worth a run when the store is closed */

int pfs_packset_new(int dir, const unsigned char store_uuid[PFS_UUID_SIZE],
		    struct pfs_packset **out, struct pfs_error *err)
{
	struct pfs_packset *set = calloc(1, sizeof(*set));

	if (set)
		set->runs = pfs_indexruns_new(NULL, 0);
	if (!set || !set->runs) {
		free(set);
		return pfs_fail_nomem(err, "the set of packs");
	}
	set->dir = dir;
	set->next_run = 1;
	set->flush_at = pfs_packset_batch;
	memcpy(set->store_uuid, store_uuid, PFS_UUID_SIZE);
	pfs_map_init(&set->unclaimed);
	pfs_doubts_init(&set->doubts);
	pfs_rwlock_init(&set->lock, PFS_RANK_PACKSET);
	pfs_lock_init(&set->files, PFS_RANK_PACKSET_FILES);
	pfs_lock_init(&set->tidy, PFS_RANK_INDEX);
	*out = set;
	return 0;
}

/* Spare the next open the footers of many packs, and a search for those that have gone. */
static void flush_at_close(struct pfs_packset *set)
{
	pfs_lock(&set->tidy);
	pfs_packset_stop_merge(set);
	if (set->ready >= pfs_packset_batch / CLOSE_PART)
		pfs_packset_flush(set, NULL);
	if (set->unpublished)
		pfs_packset_put_manifest(set, set->runs, NULL, NULL, false, NULL);
	pfs_unlock(&set->tidy);
}

void pfs_packset_free(struct pfs_packset **taken)
{
	struct pfs_packset *set = *taken;

	if (!set)
		return;
	flush_at_close(set);
	if (set->opened)
		pfs_packset_prune_doubts(set);
	pfs_packset_save_doubts(set, NULL);
	pfs_doubts_fini(&set->doubts);
	for (size_t i = 0; i < set->n_packs; i++)
		if (set->packs[i]) {
			pfs_fd_close(&set->packs[i]->fd);
			free(set->packs[i]->read);
			free(set->packs[i]);
		}
	free(set->packs);
	pfs_index_fini(&set->found);
	pfs_map_fini(&set->unclaimed);
	pfs_locality_fini(&set->near);
	pfs_indexruns_unref(&set->runs);
	pfs_idtable_fini(&set->table);
	pfs_rwlock_fini(&set->lock);
	pfs_lock_fini(&set->files);
	pfs_lock_fini(&set->tidy);
	free(set);
	*taken = NULL;
}

int pfs_packset_widen(struct pfs_packset *set, size_t number, struct pfs_error *err)
{
	size_t cap = set->packs_cap ? set->packs_cap : 64;
	struct pfs_pack **wider;

	if (number >= PFS_PACKS_MAX)
		return pfs_fail(err, PFS_E_LIMIT, "pack number %zu, at most %u are given", number,
				PFS_PACKS_MAX);
	while (cap <= number)
		cap *= 2;
	if (cap == set->packs_cap)
		return 0;
	/* `files` too: eviction walks the array under that one alone. */
	pfs_lock(&set->files);
	wider = realloc(set->packs, cap * sizeof(*wider));
	if (wider) {
		memset(wider + set->packs_cap, 0, (cap - set->packs_cap) * sizeof(*wider));
		set->packs = wider;
		set->packs_cap = cap;
	}
	pfs_unlock(&set->files);
	return wider ? 0 : pfs_fail_nomem(err, "the set of packs");
}

void pfs_packset_place_pack(struct pfs_packset *set, struct pfs_pack *pack)
{
	pfs_lock(&set->files);
	set->packs[pack->number] = pack;
	if (set->n_packs <= pack->number)
		set->n_packs = (size_t)pack->number + 1;
	pfs_unlock(&set->files);
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
	rc = pfs_packset_widen(set, set->n_packs, err);
	if (rc == 0) {
		pack->number = (uint32_t)set->n_packs;
		pfs_packset_place_pack(set, pack);
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
		if (pack && __atomic_load_n(&pack->dropped, __ATOMIC_ACQUIRE))
			pack = NULL;
	}
	pfs_rwlock_unlock(&set->lock);
	return pack;
}

struct pfs_pack *pfs_packset_leftover(struct pfs_packset *set)
{
	struct pfs_pack *found = NULL;

	pfs_rwlock_read(&set->lock);
	for (size_t i = 0; i < set->n_packs && !found; i++)
		if (set->packs[i] && __atomic_load_n(&set->packs[i]->leftover, __ATOMIC_ACQUIRE))
			found = set->packs[i];
	pfs_rwlock_unlock(&set->lock);
	return found;
}

void pfs_packset_condemn(struct pfs_packset *set, struct pfs_pack *pack, bool yes)
{
	/* Under the lock: a put that looked before has done so by the time we return. */
	pfs_rwlock_write(&set->lock);
	__atomic_store_n(&pack->condemned, yes, __ATOMIC_RELEASE);
	pfs_rwlock_unlock(&set->lock);
}

void pfs_packset_close_dropped(struct pfs_packset *set, struct pfs_pack *pack)
{
	pfs_lock(&set->files);
	close_dropped(set, pack);
	pfs_unlock(&set->files);
}

/* Close descriptors nobody reads from until there is room for one more. */
static void make_room(struct pfs_packset *set)
{
	for (size_t looked = 0; set->n_open >= PFS_PACK_OPEN_MAX && looked < set->n_packs;
	     looked++) {
		struct pfs_pack *pack = set->packs[set->hand++ % set->n_packs];

		if (!pack || pack->fd < 0 || pack->pinned || pack->users)
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
		bool sealed = __atomic_load_n(&pack->sealed, __ATOMIC_ACQUIRE);

		make_room(set);
		pfs_pack_path(pack->uuid, pack->kind, sealed, path);
		rc = pfs_io_open_file(set->dir, path, O_RDONLY, err);
		/* An adopted file has its name a moment before it is known to be sealed. */
		if (rc == PFS_E_NOTFOUND && !sealed) {
			pfs_pack_path(pack->uuid, pack->kind, true, path);
			rc = pfs_io_open_file(set->dir, path, O_RDONLY, err);
		}
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

void pfs_packset_complete(struct pfs_packset *set, struct pfs_pack *pack)
{
	pfs_rwlock_write(&set->lock);
	if (!pack->complete) {
		pack->complete = true;
		pack->unread = false;
		__atomic_add_fetch(&set->ready, pack->n_set, __ATOMIC_RELAXED);
	}
	pfs_rwlock_unlock(&set->lock);
}

uint64_t pfs_packset_found_in(struct pfs_packset *set, const struct pfs_pack *pack)
{
	uint64_t n;

	pfs_rwlock_read(&set->lock);
	n = pack->objects;
	pfs_rwlock_unlock(&set->lock);
	return n;
}

void pfs_packset_count(struct pfs_packset *set, struct pfs_packset_totals *out)
{
	*out = (struct pfs_packset_totals){ 0 };
	out->index_rebuilds = __atomic_load_n(&set->rebuilds, __ATOMIC_RELAXED);
	out->lists_read = __atomic_load_n(&set->lists_read, __ATOMIC_RELAXED);
	pfs_rwlock_read(&set->lock);
	out->objects = set->objects;
	out->object_bytes = set->object_bytes;
	out->in_memory = set->table.n;
	for (size_t i = 0; i < set->n_packs; i++) {
		const struct pfs_pack *pack = set->packs[i];

		if (!pack || __atomic_load_n(&pack->dropped, __ATOMIC_ACQUIRE))
			continue;
		out->packs++;
		out->pack_bytes += __atomic_load_n(&pack->size, __ATOMIC_ACQUIRE);
	}
	out->index_runs = set->runs->n;
	out->index_memory = pfs_idtable_bytes(&set->table);
	for (size_t i = 0; i < set->runs->n; i++) {
		out->index_bytes += pfs_indexrun_bytes(set->runs->runs[i]);
		out->index_memory += pfs_indexrun_memory(set->runs->runs[i]);
	}
	pfs_rwlock_unlock(&set->lock);
}
