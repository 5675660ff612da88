#include "store/packset_i.h"

#include <stdlib.h>

#define GRAIN 4096u /* pieces that begin in the same one share a bit: then it is not believed */

static size_t words_of(const struct pfs_pack *pack)
{
	return (size_t)(__atomic_load_n(&pack->size, __ATOMIC_ACQUIRE) / GRAIN / 64 + 1);
}

/* Without memory nothing is remembered. */
static uint64_t *bits_of(struct pfs_pack *pack)
{
	uint64_t *bits = __atomic_load_n(&pack->read, __ATOMIC_ACQUIRE), *none = NULL;

	if (bits)
		return bits;
	bits = calloc(words_of(pack), sizeof(*bits));
	if (bits && !__atomic_compare_exchange_n(&pack->read, &none, bits, false, __ATOMIC_ACQ_REL,
						 __ATOMIC_ACQUIRE)) {
		free(bits);
		bits = none;
	}
	return bits;
}

void pfs_packset_note_read(struct pfs_pack *pack, uint64_t off)
{
	uint64_t bit = off / GRAIN, *bits;

	if (__atomic_load_n(&pack->all_read, __ATOMIC_ACQUIRE) || bit / 64 >= words_of(pack))
		return;
	bits = bits_of(pack);
	if (bits)
		__atomic_fetch_or(&bits[bit / 64], 1ULL << (bit % 64), __ATOMIC_RELAXED);
}

void pfs_packset_note_all_read(struct pfs_pack *pack)
{
	__atomic_store_n(&pack->all_read, true, __ATOMIC_RELEASE);
}

bool pfs_packset_was_read(const struct pfs_pack *pack, uint64_t off)
{
	const uint64_t *bits = __atomic_load_n(&pack->read, __ATOMIC_ACQUIRE);
	uint64_t bit = off / GRAIN;

	if (__atomic_load_n(&pack->all_read, __ATOMIC_ACQUIRE))
		return true;
	return bits && bit / 64 < words_of(pack) &&
	       (__atomic_load_n(&bits[bit / 64], __ATOMIC_RELAXED) >> (bit % 64) & 1);
}

void pfs_packset_note_unread(struct pfs_pack *pack, uint64_t off)
{
	uint64_t *bits = __atomic_load_n(&pack->read, __ATOMIC_ACQUIRE);
	uint64_t bit = off / GRAIN;

	__atomic_store_n(&pack->all_read, false, __ATOMIC_RELEASE);
	if (bits && bit / 64 < words_of(pack))
		__atomic_fetch_and(&bits[bit / 64], ~(1ULL << (bit % 64)), __ATOMIC_RELAXED);
}

void pfs_packset_note_content(struct pfs_packset *set, struct pfs_pack *pack,
			      const struct pfs_id *content, bool all_read)
{
	pfs_lock(&set->files);
	pack->content = *content;
	pack->has_content = true;
	pfs_unlock(&set->files);
	if (all_read)
		pfs_packset_note_all_read(pack);
}

enum pfs_pack_content pfs_packset_is_content(struct pfs_packset *set, struct pfs_pack *pack,
					     const struct pfs_id *content)
{
	enum pfs_pack_content is = PFS_PACK_CONTENT_UNKNOWN;

	pfs_lock(&set->files);
	if (pack->has_content)
		is = pfs_id_equal(&pack->content, content) ? PFS_PACK_CONTENT_SAME
							   : PFS_PACK_CONTENT_OTHER;
	pfs_unlock(&set->files);
	if (is == PFS_PACK_CONTENT_SAME && __atomic_load_n(&pack->all_read, __ATOMIC_ACQUIRE))
		is = PFS_PACK_CONTENT_READ;
	return is;
}

bool pfs_packset_knows_damage_of(struct pfs_packset *set, const struct pfs_pack *pack)
{
	return __atomic_load_n(&pack->damaged, __ATOMIC_ACQUIRE) ||
	       pfs_doubts_tell_of(&set->doubts, pack->uuid);
}
