/*
 * The table of open workspaces: one seat for each, found by its folder.
 *
 *	      take                      release, nobody left
 *	(none) ───▶ OPENING ──▶ HELD ◀────────────────▶ IDLE ──▶ CLOSING ──▶ (none)
 *	                         │ doom                   doom, too many, or long unused
 *	                         └──▶ HELD and doomed ──▶ CLOSING, folder removed
 *
 * Opening and closing work on the disk and hold no lock; whoever wants the same
 * seat meanwhile waits for it.
 *
 * Threads: any. Lock: PFS_RANK_HISTORY.
 */
#ifndef PFS_HISTORY_SEAT_H
#define PFS_HISTORY_SEAT_H

#include "history/room.h"
#include "base/lock.h"
#include "base/map.h"
#include "workspace/workspace.h"

#define PFS_SEAT_FOLDER_SIZE 40

struct pfs_seat {
	char folder[PFS_SEAT_FOLDER_SIZE];
	struct pfs_workspace *ws;    /* set before the seat is handed out */
	struct pfs_lock commit_lock; /* PFS_RANK_HISTORY_COMMIT: one seal or reset at a time */
	unsigned refs;               /* these four: protected by the table's lock */
	bool busy;                   /* somebody opens or closes it */
	bool doomed;                 /* its branch is gone */
	int64_t idle_since_ms;
};

struct pfs_seats {
	struct pfs_lock lock;
	pthread_cond_t changed;
	const char *dir;          /* borrowed: where the folders are */
	struct pfs_store *store;  /* borrowed */
	struct pfs_map by_folder; /* these two: protected by lock */
	struct pfs_map by_workspace;
	unsigned idle; /* seats without a holder; protected by lock */
};

void pfs_seats_init(struct pfs_seats *s, const char *dir, struct pfs_store *store);
/* Closes every workspace; nobody may hold one. */
void pfs_seats_fini(struct pfs_seats *s);

/*
 * The seat of a folder, counted. `base` is asked for only when the workspace
 * has to be opened. *out_opened tells whether it was.
 */
int pfs_seats_take(struct pfs_seats *s, const char *folder,
		   int (*base)(void *arg, struct pfs_root *out, struct pfs_error *err), void *arg,
		   struct pfs_seat **out, bool *out_opened, struct pfs_error *err);
void pfs_seats_drop(struct pfs_seats *s, struct pfs_seat **seat); /* NULL inside is fine */

/* The same by what the holder has. */
void pfs_seats_drop_workspace(struct pfs_seats *s, struct pfs_workspace *ws);

/*
 * Look at a workspace as it is: at an open one while it is held, at a closed
 * one while nobody can open it.
 */
struct pfs_seat_look {
	int (*open)(void *arg, struct pfs_workspace *ws, struct pfs_error *err);
	int (*closed)(void *arg, const char *path, struct pfs_error *err);
	void *arg;
};
int pfs_seats_look(struct pfs_seats *s, const char *folder, const struct pfs_seat_look *look,
		   struct pfs_error *err);

/*
 * At all that are open, or only at those that are so though their branch is
 * gone, since somebody still holds them. For a moment, while it goes, a branch
 * has no row any more and its seat is not doomed yet.
 */
int pfs_seats_look_open(struct pfs_seats *s, bool only_doomed, const struct pfs_seat_look *look,
			struct pfs_error *err);

/* The branch is gone: remove the folder, now or when the last holder lets go. */
void pfs_seats_doom(struct pfs_seats *s, const char *folder);

/* Journal what is older than `age_ms` everywhere, close what nobody used for `idle_ms`. */
int pfs_seats_tick(struct pfs_seats *s, int64_t age_ms, int64_t idle_ms, struct pfs_error *err);

#endif
