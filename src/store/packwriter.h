/*
 * A pack being written: append records, write them out, seal it.
 *
 *	0        durable      written         end
 *	|-records-|--records---|---in buffer---|
 *
 * Bytes up to `written` are in the file, the rest in the buffer. A failed
 * write loses nothing: the buffer is kept and written again at the same place.
 *
 * Threads: one at a time; packlog's lock, or its flusher once it is sealing.
 */
#ifndef PFS_STORE_PACKWRITER_H
#define PFS_STORE_PACKWRITER_H

#include "store/pack.h"
#include "base/buf.h"

#define PFS_PACK_DATA_TARGET    (64ULL << 20)
#define PFS_PACK_META_TARGET    (16ULL << 20)
#define PFS_PACK_OBJECTS_TARGET (1u << 17)

/* Seal at other sizes, so that a test need not write so much; before any store is open. */
void pfs_packwriter_set_targets(uint64_t data, uint64_t meta);

/* How many bytes a pack of that kind gets before it is sealed. */
uint64_t pfs_packwriter_target(uint8_t kind);

struct pfs_packwriter {
	struct pfs_pack *pack; /* borrowed from the packset, which closes fd */
	int dir;               /* the store's folder; borrowed */
	int fd;                /* borrowed from the pack */
	int len_fd;            /* owned; the durable length, a hint for recovery */
	uint8_t version;
	uint32_t seq;
	unsigned char header[PFS_PACKHDR_SIZE];
	unsigned char *buf; /* owned */
	size_t buf_len;
	uint64_t written, durable;
	uint64_t started;             /* on its way to the disk */
	uint64_t flush_to;            /* what the running flush will have made durable */
	bool failed;                  /* writing it does not work */
	bool named;                   /* the name in open/ is durable */
	struct pfs_packfooter footer; /* as it is to be */
	struct pfs_packwriter *next;
};

/* Start a pack: makes open/<uuid>.pk, whose descriptor is *out_fd until a pack takes it. */
int pfs_packwriter_create(int dir, const struct pfs_packhdr *h, struct pfs_packwriter **out,
			  int *out_fd, struct pfs_error *err);

/* Go on with one that recovery found whole up to `end`; `found` is taken on success. */
int pfs_packwriter_resume(int dir, const struct pfs_packhdr *h, int fd, uint64_t end,
			  uint64_t durable, struct pfs_packfooter *found,
			  struct pfs_packwriter **out, struct pfs_error *err);

/* Forgets what is in the buffer. */
void pfs_packwriter_free(struct pfs_packwriter **w);

uint64_t pfs_packwriter_end(const struct pfs_packwriter *w);
bool pfs_packwriter_full(const struct pfs_packwriter *w);

/* Append a record; on failure nothing is appended and a later append may work again. */
int pfs_packwriter_append(struct pfs_packwriter *w, const struct pfs_packrec *rec,
			  const void *payload, uint64_t *out_off, struct pfs_error *err);

/* Let the pack know what it has of deltas and bundles. */
void pfs_packwriter_count(const struct pfs_packwriter *w);

/* Buffer to file, not further. */
int pfs_packwriter_write(struct pfs_packwriter *w, struct pfs_error *err);

/* All is written and nothing will be appended: give the buffer back. */
void pfs_packwriter_shrink(struct pfs_packwriter *w);

/* Copy bytes that are still in the buffer; false when they are not. */
bool pfs_packwriter_copy(const struct pfs_packwriter *w, uint64_t off, size_t len, void *out);

/* Make what was written up to w->flush_to durable, with the name of the file. */
int pfs_packwriter_flush(struct pfs_packwriter *w, struct pfs_error *err);

/*
 * Footer, flush, move into packs/. 1 when sealed; 0 when its records are
 * durable but it had to stay in open/, where the next open finds it; negative
 * when the records are not known to be durable.
 */
int pfs_packwriter_seal(struct pfs_packwriter *w, struct pfs_error *err);

/* The durable length noted beside an open pack; 0 when there is none to be trusted. */
uint64_t pfs_packwriter_load_durable(int dir, const unsigned char uuid[PFS_UUID_SIZE]);
void pfs_packwriter_remove_durable(int dir, const unsigned char uuid[PFS_UUID_SIZE]);

#endif
