/*
 * The inside of the packlog, which is four files: packlog.c appends, _flush
 * makes durable, _rescue moves what could not be, _file has adopted files.
 */
#ifndef PFS_STORE_PACKLOG_I_H
#define PFS_STORE_PACKLOG_I_H

#include "store/packlog.h"
#include "base/lock.h"
#include "base/pool.h"

enum pfs_packlog_slot { DATA, META, N_SLOTS };

struct pfs_packlog {
	int dir;
	struct pfs_packset *set;
	const struct pfs_hasher *hasher;
	struct pfs_pool *sealer; /* one thread */
	struct pfs_pool_job seal_job;
	unsigned char store_uuid[PFS_UUID_SIZE];
	struct pfs_lock lock;  /* PFS_RANK_STORE; protects all below */
	pthread_cond_t turned; /* a flusher has finished */
	bool flushing, closing;
	uint32_t next_seq;
	uint64_t appended; /* records, ever */
	uint64_t durable;  /* the first so many of them are */
	uint64_t unsynced; /* bytes appended since the last sync began */
	struct pfs_packwriter *writing[N_SLOTS];
	struct pfs_packwriter *sealing; /* newest first; only the flusher takes out */
	size_t n_sealing;
	struct pfs_adopted *files; /* linked, not yet durable */
};

/* All below with the log's lock held. */

int pfs_packlog_make_header(struct pfs_packlog *log, uint8_t kind, struct pfs_packhdr *out,
			    struct pfs_error *err);

/* A record, found at its new place from now on. */
int pfs_packlog_append_to(struct pfs_packlog *log, enum pfs_packlog_slot slot,
			  const struct pfs_packrec *rec, const void *payload,
			  struct pfs_error *err);

/* As pfs_packlog_move(). */
int pfs_packlog_move_to(struct pfs_packlog *log, enum pfs_packlog_slot slot,
			const struct pfs_packrec *rec, const void *payload,
			const struct pfs_move *moves, size_t n, struct pfs_error *err);

/* Whether the object is found there and nowhere else. */
bool pfs_packlog_lies_at(struct pfs_packlog *log, const struct pfs_id *id, uint32_t pack,
			 uint64_t off);

/* A full pack goes to be sealed. On a full disk it just grows on meanwhile. */
void pfs_packlog_retire_full(struct pfs_packlog *log, enum pfs_packlog_slot slot);

/* Buffers to files. What fails stays in its buffer: nothing is lost. */
int pfs_packlog_write_all(struct pfs_packlog *log, struct pfs_error *err);

/* To be sealed; all of it is written, or it has failed. */
void pfs_packlog_add_sealing(struct pfs_packlog *log, struct pfs_packwriter *w);

/* Let packs be sealed; whoever fills them faster waits, once there are too many. */
void pfs_packlog_seal_waiting(struct pfs_packlog *log);
bool pfs_packlog_seal_step(void *arg); /* of the sealer's job; without the lock */

/*
 * The flush of `w` failed: move what was not durable yet into another pack, or,
 * without `again` or when it cannot be read back, declare it lost.
 */
void pfs_packlog_rescue_pack(struct pfs_packlog *log, struct pfs_packwriter *w, bool again);
void pfs_packlog_rescue_file(struct pfs_packlog *log, struct pfs_adopted *a, bool again);

/* An adopted file waits for the next flush; is published, without the lock; is done with. */
void pfs_packlog_keep_file(struct pfs_packlog *log, struct pfs_adopted *a);
int pfs_packlog_publish_file(struct pfs_packlog *log, struct pfs_adopted *a, struct pfs_error *err);
void pfs_packlog_release_file(struct pfs_packlog *log, struct pfs_adopted *a);

/* What was adopted and not synced was promised to nobody. */
void pfs_packlog_forget_files(struct pfs_packlog *log);

#endif
