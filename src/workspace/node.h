/*
 * Nodes and slots: the overlay.
 *
 *	 node (directory)             slot "x"                 node (file)
 *	  dir.base: looked through     dir   ◀───────────┐      place ──▶ slot "x"
 *	  dir.names: "x" ─────────▶    node  ─────────────────▶ refs, attrs, bytes
 *	  dir.pending: "x", ...        NULL: whiteout
 *
 * A slot exists for every name that differs from the base (it is then pending)
 * and for every clean name whose node is in memory. What is no directory may
 * have several names, its places:
 *
 *	 slot "x" ◀── place ── node
 *	    next_place ─▶ slot "y" ─▶ slot "z"
 *
 * Invariants:
 *
 *	1. a node that is dirty and has places: these slots are pending
 *	2. a slot that is pending: its directory is dirty
 *	3. so whoever walks pending slots from the root meets every change
 *	4. a clean node that nobody holds and that has no slots is freed at once
 *	5. the places of a node are all its names: they come from the base together
 *	6. so names of the base that are one file and have no slots are where the
 *	   base has them, from their home down (group.c)
 *
 * Every function needs the workspace lock for writing, unless it says other.
 */
#ifndef PFS_WORKSPACE_NODE_H
#define PFS_WORKSPACE_NODE_H

#include "workspace/room.h"
#include "base/map.h"
#include "workspace/kept.h"
#include "workspace/journal.h"
#include "workspace/spooled.h"

/* Intrusive circular list; a head is a link that points at itself. */
struct pfs_link {
	struct pfs_link *next, *prev;
};

static inline void pfs_link_init(struct pfs_link *l)
{
	l->next = l->prev = l;
}

static inline bool pfs_link_alone(const struct pfs_link *l)
{
	return l->next == l;
}

static inline void pfs_link_add(struct pfs_link *head, struct pfs_link *l)
{
	l->prev = head->prev;
	l->next = head;
	head->prev->next = l;
	head->prev = l;
}

static inline void pfs_link_remove(struct pfs_link *l)
{
	l->next->prev = l->prev;
	l->prev->next = l->next;
	pfs_link_init(l);
}

#define PFS_OF_LINK(link, type, member) ((type *)(void *)((char *)(link)-offsetof(type, member)))

#define PFS_ROOT_INO 1u

struct pfs_slot {
	struct pfs_node *dir;
	struct pfs_node *node;                    /* NULL: whiteout */
	struct pfs_slot *next_place, *prev_place; /* other names of the node */
	struct pfs_link pending;                  /* in dir->dir.pending, or alone */
	struct pfs_link queued;                   /* in ws->queued_slots, or alone */
	uint64_t stamp;
	bool in_base;   /* the base of the directory has the name */
	bool in_sealed; /* and so has what it will be once the last seal is settled */
	bool journaled; /* the journal has, or is about to have, a row */
	uint8_t name_len;
	char name[]; /* terminated */
};

struct pfs_node_file {
	enum pfs_file_state state;
	struct pfs_kept *kept;       /* CLEAN: the bytes */
	struct pfs_spooled *spooled; /* NEW: the bytes; PATCHED: some of them;
					CLEAN: the bytes too, kept for those who have it open */
	uint64_t size, blocks;       /* NEW, PATCHED: when last looked at */
	uint64_t version;            /* of the content, or of the way to the bytes */
	unsigned opens, writers;
	_Atomic unsigned past; /* opens that may write past us */
	struct pfs_link written; /* in ws->written while there are writers, or alone */
	/* What seal made of the bytes of a NEW or PATCHED file. */
	struct pfs_kept *chunked;
	enum pfs_file_state chunked_state; /* then */
	uint64_t chunked_stamp;            /* the stamp of the node before its bytes were read */
	uint64_t chunked_seal;             /* number of the seal that did */
	bool chunked_open;                 /* somebody was writing meanwhile */
	bool chunked_aside;                /* for a preview: the store need not have it */
};

struct pfs_node_dir {
	struct pfs_id base;      /* what is looked through; zero: nothing */
	struct pfs_map names;    /* slots */
	struct pfs_link pending; /* slots that differ */
	uint32_t n_dirs;         /* slots that lead to directories */
	bool dead;               /* it was removed: nothing can be made in it */
};

struct pfs_node {
	struct pfs_workspace *ws;
	_Atomic unsigned refs;
	bool dirty;     /* differs from what the base has at its place, or may */
	bool journaled; /* the journal has, or is about to have, a row */
	enum pfs_entry_type type;
	void *tag; /* the holder's */
	uint64_t ino;
	uint64_t stamp; /* of its last change */
	struct pfs_attrs attrs;
	int64_t ctime_ns;
	int64_t atime_ns; /* when it was made, or came from the base or journal, until somebody sets it */
	struct pfs_id *xattrs;  /* a set in the store; owned, NULL: none */
	struct pfs_slot *place; /* the first; NULL: the root, or nameless */
	uint32_t n_places;      /* at most 1 of a directory */
	bool named;             /* it has, or had, a name */
	struct pfs_link queued; /* in ws->queued_nodes, or alone */
	union {
		struct pfs_node_file file;
		struct pfs_node_dir dir;
		struct {
			char *target; /* owned */
			size_t target_len;
		} symlink;
		uint64_t rdev;
	};
};

/* The number that `name` in directory `parent` gets, or has. With the lock held in any way. */
uint64_t pfs_node_pick_ino(struct pfs_workspace *ws, uint64_t parent, const char *name,
			   size_t name_len);

/* The directory, which there is not, of what has no name and is held for the next process. */
#define PFS_NOWHERE_INO 0u

/* Its name there: hexadecimal digits. */
#define PFS_NOWHERE_NAME_SIZE 17
void pfs_node_nowhere(const struct pfs_node *n, char out[PFS_NOWHERE_NAME_SIZE]);
/* It is not held for the next process any more. */
void pfs_node_leave_nowhere(struct pfs_node *n);

/* A node with one reference, without a place, known by its number. */
int pfs_node_new(struct pfs_workspace *ws, enum pfs_entry_type type, uint64_t ino,
		 struct pfs_node **out, struct pfs_error *err);
/* What an entry says, into a fresh node. */
int pfs_node_fill(struct pfs_node *n, const struct pfs_entry *e, struct pfs_error *err);

/* Give a reference back with the lock held. */
void pfs_node_put(struct pfs_node **n);
/* Free it if nobody needs it, then the directories it was in. */
void pfs_node_collect(struct pfs_node *n);
/* Memory alone, when the workspace is closed. */
void pfs_node_release(struct pfs_node *n);

/* The journal shall have its row anew. */
void pfs_node_queue(struct pfs_node *n);
/* Whether somebody has the file open for writing, or may have as far as we know. */
static inline bool pfs_node_is_written(const struct pfs_node *n)
{
	return n->file.writers || (n->file.state == PFS_FILE_NEW && n->file.spooled->strange);
}

/* The journal is to forget the ranges of a patched file; they are said anew when it is saved again. */
void pfs_node_forget_ranges(struct pfs_node *n);
/* It changed: dirty, stamped, to be journaled; so is the way to it. */
void pfs_node_touch(struct pfs_node *n);
/* A dirty directory looks through another base: its row and those of its names are to be written anew. */
void pfs_node_requeue(struct pfs_node *dir);
/* It does not differ any more. Its slot neither. */
void pfs_node_clean(struct pfs_node *n);
/* Names of a directory changed: touched, with new times. */
void pfs_node_touch_dir(struct pfs_node *dir, int64_t now_ns);

struct pfs_slot *pfs_slot_find(const struct pfs_node *dir, const char *name, size_t name_len);
/* An empty slot that is not pending; the name was checked. */
int pfs_slot_new(struct pfs_node *dir, const char *name, size_t name_len, bool in_base,
		 struct pfs_slot **out, struct pfs_error *err);
void pfs_slot_free(struct pfs_slot *s);
/* Put a clean node into a fresh slot: nothing changed. */
void pfs_slot_attach(struct pfs_slot *s, struct pfs_node *n);
/* The name now leads to `n` (a directory has no other one); what was there was taken out before. */
void pfs_slot_fill(struct pfs_slot *s, struct pfs_node *n);
/* Take the node out, which then has one place less; the slot stays for another one. */
struct pfs_node *pfs_slot_empty(struct pfs_slot *s);
/* The same when the name is to be gone: frees the slot unless it must hide something. */
struct pfs_node *pfs_slot_vacate(struct pfs_slot *s);
/* It differs from the base, and the way to it is dirty. */
void pfs_slot_pend(struct pfs_slot *s);
void pfs_slot_unpend(struct pfs_slot *s);

/* The whole state of a node as a row; the blob is put into `blob`. A patched file's lock is held. */
int pfs_node_row(const struct pfs_node *n, struct pfs_buf *blob, struct pfs_journal_row *out,
		 struct pfs_error *err);

/* Forget a number that spool file had; `doomed` until the next flush when the journal names it. */
void pfs_workspace_doom(struct pfs_workspace *ws, const struct pfs_spool_name *name,
			bool journaled);

#endif
