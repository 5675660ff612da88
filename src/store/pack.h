/*
 * One pack file, pfs-pack(5): its name, what is in it, one record of it.
 *
 *	open/<uuid>.pk          --seal-->  packs/<d|m>/<xx>/<uuid>.pk
 *	packs/a/<xx>/<uuid>.new --seal-->  packs/a/<xx>/<uuid>.pk       an adopted file
 *
 * Threads: any for what never changes; the rest says its lock.
 */
#ifndef PFS_STORE_PACK_H
#define PFS_STORE_PACK_H

#include "store/room.h"
#include "format/packfooter.h"

#define PFS_PACK_PATH_SIZE 64
#define PFS_PACK_TEXT_SIZE (2 * PFS_UUID_SIZE + 1)

/* What the packset keeps of a pack; packs are never forgotten while it lives. */
struct pfs_pack {
	unsigned char uuid[PFS_UUID_SIZE]; /* never changes */
	uint8_t kind;                      /* never changes */
	uint32_t number;                   /* in the packset; never changes */
	uint32_t seq;                      /* of its header, 0 unknown; atomic until it is sealed */
	uint64_t size;                     /* bytes in the file; atomic */
	int sealed;    /* in packs/, else in open/; adopted: durable, with its table; atomic */
	int condemned; /* what lies here only is not there for puts; atomic */
	int dropped;   /* nothing is found here any more; atomic */
	int leftover;  /* dropped, and its file is to be removed still; atomic */
	int damaged;   /* who looked at it last found damage in its bytes; atomic */
	int unsettled; /* being written: durable up to here only; both atomic */
	uint64_t durable;
	uint32_t deltas,
		members; /* kept in it, the second in bundles, once `counted`; all atomic */
	int counted;
	bool repacked; /* nothing is to be gained from rewriting it; of who repacks */

	/* Of the index; protected by the packset's lock. */
	bool unread;                    /* sealed, but its objects were not set yet */
	bool complete;                  /* sealed, and all of its objects were set */
	bool covered;                   /* ... and are in the runs */
	bool in_batch;                  /* ... or in runs that are being written */
	size_t n_set;                   /* entries in the table, before it is covered */
	uint64_t objects, object_bytes; /* found here, not in a newer pack */
	bool parted;                    /* some of what it holds is found elsewhere by now */
	unsigned list_owed;             /* look-ups before its list is read again; atomic */

	/* The same if there were runs only; protected by the packset's tidy lock. */
	uint64_t run_objects, run_bytes;

	int fd; /* this and below: protected by the packset's files lock */
	unsigned users;
	bool pinned; /* keep fd: the file is being written or about to be moved */

	/* Of an adopted one. */
	bool all_read;         /* each piece was, since the store was opened; atomic */
	uint64_t *read;        /* owned; a bit for each piece that was, by its place; atomic */
	bool twinless;         /* no object was found in it twice; atomic */
	bool has_content;      /* protected by the files lock, as is */
	struct pfs_id content; /* what the file is from its first byte to its last */
};

/* Whether what lies at `off` will be there after a power cut. */
bool pfs_pack_is_durable(const struct pfs_pack *pack, uint64_t off);

/* 32 digits. */
char *pfs_pack_format(const unsigned char uuid[PFS_UUID_SIZE], char out[PFS_PACK_TEXT_SIZE]);

/* Where the file is below the store's folder, open or sealed. */
void pfs_pack_path(const unsigned char uuid[PFS_UUID_SIZE], uint8_t kind, bool sealed,
		   char out[PFS_PACK_PATH_SIZE]);

/* Where the table of an adopted pack is. */
void pfs_pack_table_path(const unsigned char uuid[PFS_UUID_SIZE], char out[PFS_PACK_PATH_SIZE]);

/* What that is called from the moment on that the pack is to be removed. */
void pfs_pack_gone_path(const unsigned char uuid[PFS_UUID_SIZE], char out[PFS_PACK_PATH_SIZE]);

/*
 * Remove the file of a sealed pack, durably: after a power cut no pack is back
 * that leans on one removed after it. Of an adopted one the table gets another
 * name first: so a removal that was cut off goes on when the store is opened,
 * and neither a file without a table nor a table without a file is taken for it.
 */
int pfs_pack_remove(int dir, const struct pfs_pack *pack, struct pfs_error *err);

/* Go on with one that was cut off: its file, and when that is gone for good, the name that says so. */
int pfs_pack_remove_gone(int dir, const unsigned char uuid[PFS_UUID_SIZE], struct pfs_error *err);

/* Whether `name` is that of a pack, "<32 digits>.pk". */
bool pfs_pack_parse_name(const char *name, unsigned char out_uuid[PFS_UUID_SIZE]);

/* Read and check the header: it has to be that of this pack; PFS_E_INVALID for another store's. */
int pfs_pack_load_header(int fd, const unsigned char uuid[PFS_UUID_SIZE],
			 const unsigned char store_uuid[PFS_UUID_SIZE], struct pfs_packhdr *out,
			 struct pfs_error *err);

/* The footer of a sealed pack, or the table of an adopted one, checked against its checksum and digest. */
int pfs_pack_load_footer(int fd, uint64_t file_size, struct pfs_packfooter *out,
			 struct pfs_error *err);

/* Only its trailer: how much of what there is. */
int pfs_pack_load_trailer(int fd, uint64_t file_size, struct pfs_packtrailer *out,
			  struct pfs_error *err);

/* Footer and trailer behind `footer_off` bytes of records: what sealing writes. Owned by the caller. */
int pfs_pack_make_footer(const unsigned char header[PFS_PACKHDR_SIZE],
			 const struct pfs_packfooter *f, uint64_t footer_off, unsigned char **out,
			 size_t *out_len, struct pfs_error *err);

#endif
