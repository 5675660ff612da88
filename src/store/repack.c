#include "store/repack.h"
#include "store/codec.h"
#include "store/mover.h"
#include "store/packscan.h"
#include "base/clock.h"
#include "base/io.h"
#include "base/limits.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>

#define SAMPLES       8u          /* pieces of an adopted file that are tried */
#define SAMPLE_SIZE   (16u << 10) /* of each so much at most */
#define ADOPTED_GAIN  4u          /* this part of an adopted file has to be saved */
#define SMALL_GAIN    32u         /* this part of a pack */
#define SMALL_SAVED   3u          /* about this part of a small record is saved by bundling it */
#define SMALL_MIN     16u         /* fewer small ones are not worth a look */
#define OPEN_GROWN    (4u << 20)  /* before packs being written are weighed again */
#define BUDGET_SHARE  64u         /* of a huge pack, so that its list is not loaded too often */
#define ROOM_FOR_BOTH 2u          /* so many times its size has to be free */

struct pfs_repack {
	struct pfs_store *st;
	struct pfs_store_parts parts; /* zero without packs */
	struct pfs_pack **queue;      /* owned: what is to be looked at, oldest first */
	size_t n_queue, next;
	struct pfs_pack *current; /* to be rewritten, perhaps begun */
	bool left_one;            /* of this queue, for another time */
	uint64_t open_size;       /* of all packs being written, when they were weighed last */
	uint32_t after;
};

/* --- which pack comes next ------------------------------------------------- */

static bool is_sealed(const struct pfs_pack *pack)
{
	return __atomic_load_n(&pack->sealed, __ATOMIC_ACQUIRE);
}

static bool is_dropped(const struct pfs_pack *pack)
{
	return __atomic_load_n(&pack->dropped, __ATOMIC_ACQUIRE);
}

/* What was sealed when the store was opened and has such a number was looked at before. */
static void skip_seen(struct pfs_repack *r)
{
	struct pfs_pack *pack;
	size_t pos = 0;

	while ((pack = pfs_packset_next(r->parts.set, &pos)))
		if (is_sealed(pack) && pack->seq && pack->seq <= r->after)
			pack->repacked = true;
}

int pfs_repack_new(struct pfs_store *st, uint32_t after, struct pfs_repack **out,
		   struct pfs_error *err)
{
	struct pfs_repack *r = calloc(1, sizeof(*r));

	if (!r)
		return pfs_fail_nomem(err, "repacking");
	r->st = st;
	r->after = after;
	if (pfs_store_parts(st, &r->parts))
		skip_seen(r);
	*out = r;
	return 0;
}

void pfs_repack_free(struct pfs_repack **p)
{
	if (!*p)
		return;
	free((*p)->queue);
	free(*p);
	*p = NULL;
}

uint32_t pfs_repack_after(const struct pfs_repack *r)
{
	return r->after;
}

static int by_seq(const void *a, const void *b)
{
	const struct pfs_pack *x = *(struct pfs_pack *const *)a, *y = *(struct pfs_pack *const *)b;

	return (x->seq > y->seq) - (x->seq < y->seq);
}

/* All sealed packs that were not looked at yet. */
static int fill_queue(struct pfs_repack *r, struct pfs_error *err)
{
	struct pfs_packset_totals totals;
	struct pfs_pack **list, *pack;
	size_t pos = 0, n = 0;

	pfs_packset_count(r->parts.set, &totals);
	list = calloc(totals.packs + 1, sizeof(struct pfs_pack *));
	if (!list)
		return pfs_fail_nomem(err, "repacking");
	while (n < totals.packs && (pack = pfs_packset_next(r->parts.set, &pos)))
		if (is_sealed(pack) && !pack->repacked)
			list[n++] = pack;
	qsort(list, n, sizeof(struct pfs_pack *), by_seq);
	free(r->queue);
	r->queue = list;
	r->n_queue = n;
	r->next = 0;
	r->left_one = false;
	/* One that was written to for long: newer ones were looked at before it. */
	for (size_t i = 0; i < n && list[i]->seq <= r->after; i++)
		if (list[i]->seq)
			r->after = list[i]->seq - 1;
	return 0;
}

static void note_seen(struct pfs_repack *r, struct pfs_pack *pack)
{
	pack->repacked = true;
	if (!r->left_one && pack->seq > r->after)
		r->after = pack->seq;
}

/* When a pack was made; 0 when it does not tell. */
static int64_t made_at(struct pfs_repack *r, const struct pfs_pack *pack)
{
	PFS_AUTO(pfs_fd_close) int fd = -1;
	unsigned char raw[PFS_PACKHDR_SIZE];
	char path[PFS_PACK_PATH_SIZE];
	struct pfs_packhdr h;
	size_t got = 0;

	if (pack->kind == PFS_PACK_ADOPTED)
		pfs_pack_table_path(pack->uuid, path);
	else
		pfs_pack_path(pack->uuid, pack->kind, is_sealed(pack), path);
	fd = pfs_io_open_file(r->parts.dir, path, O_RDONLY, NULL);
	if (fd < 0 || pfs_io_pread(fd, raw, sizeof(raw), 0, &got, NULL) < 0 || got < sizeof(raw) ||
	    pfs_packhdr_decode(raw, &h, NULL) < 0)
		return 0;
	return (int64_t)h.created_ns;
}

/* Whoever wrote it may want it lent, or be about to write more of the kind. */
static bool is_young(struct pfs_repack *r, const struct pfs_pack *pack, int64_t rest_ns)
{
	return rest_ns > 0 && made_at(r, pack) > pfs_clock_ns() - rest_ns;
}

/* The next one that is old enough, or NULL: those behind a young one are younger. */
static struct pfs_pack *next_pack(struct pfs_repack *r, int64_t rest_ns)
{
	struct pfs_pack *pack;

	while (r->next < r->n_queue && is_dropped(r->queue[r->next]))
		r->next++;
	if (r->next == r->n_queue)
		return NULL;
	pack = r->queue[r->next];
	if (is_young(r, pack, rest_ns)) {
		r->n_queue = r->next;
		return NULL;
	}
	r->next++;
	return pack;
}

/* --- whether it pays ---------------------------------------------------------- */

/* How a piece would lie in a pack: bytes before in *in, after in *out. */
static int try_piece(struct pfs_repack *r, int fd, const struct pfs_place *place,
		     unsigned char *plain, unsigned char *packed, uint64_t *in, uint64_t *out,
		     struct pfs_error *err)
{
	size_t len = place->ulen < SAMPLE_SIZE ? place->ulen : SAMPLE_SIZE, got, packed_len;
	enum pfs_codec codec;
	int rc = pfs_io_pread(fd, plain, len, place->off, &got, err);

	if (rc == 0)
		rc = pfs_codec_encode(plain, got, packed, &packed_len, &codec, err);
	if (rc < 0)
		return rc;
	*in += got;
	*out += packed_len;
	return 0;
}

/* The same pieces of a file every time, so the same answer. */
static int try_pieces(struct pfs_repack *r, struct pfs_pack *pack, const struct pfs_packlist *list,
		      uint64_t *in, uint64_t *out, struct pfs_error *err)
{
	size_t step = list->n > SAMPLES ? list->n / SAMPLES : 1;
	unsigned char *room = malloc(2 * SAMPLE_SIZE);
	int fd, rc;

	if (!room)
		return pfs_fail_nomem(err, "repacking");
	rc = pfs_packset_lend(r->parts.set, pack, &fd, err);
	if (rc == 0) {
		for (size_t i = step / 2; rc == 0 && i < list->n; i += step)
			rc = try_piece(r, fd, &list->items[i].place, room, room + SAMPLE_SIZE, in,
				       out, err);
		pfs_packset_return(r->parts.set, pack);
	}
	free(room);
	return rc;
}

static int weigh_adopted(struct pfs_repack *r, struct pfs_pack *pack,
			 const struct pfs_packlist *list, struct pfs_repack_done *done,
			 struct pfs_error *err)
{
	uint64_t in = 0, out = 0;
	int rc = try_pieces(r, pack, list, &in, &out, err);

	done->read_bytes += in;
	return rc < 0 ? rc : out + in / ADOPTED_GAIN < in;
}

/* Small records that lie by themselves, and are found here. */
static int weigh_small(struct pfs_pack *pack, const struct pfs_packlist *list)
{
	uint64_t bytes = 0;
	size_t n = 0;

	for (size_t i = 0; i < list->n; i++) {
		if (!pfs_mover_is_small(&list->items[i].place))
			continue;
		bytes += pfs_packrec_extent(list->items[i].place.clen) + PFS_PACKENTRY_SIZE;
		n++;
	}
	return n >= SMALL_MIN &&
	       bytes / SMALL_SAVED >= __atomic_load_n(&pack->size, __ATOMIC_ACQUIRE) / SMALL_GAIN;
}

/* 1 when it is worth rewriting. What cannot be listed whole is for repair, not for us. */
static int weigh(struct pfs_repack *r, struct pfs_pack *pack, struct pfs_repack_done *done,
		 struct pfs_error *err)
{
	PFS_AUTO(pfs_packlist_fini) struct pfs_packlist list = { 0 };
	struct pfs_error why = { 0 };
	int rc = pfs_packlist_load(r->parts.dir, pack, &list, &why);

	done->packs_seen++;
	if (rc == 0 && !list.damaged)
		rc = pack->kind == PFS_PACK_ADOPTED ? weigh_adopted(r, pack, &list, done, &why)
						    : weigh_small(pack, &list);
	else if (rc == 0)
		rc = PFS_E_CORRUPT;
	if (rc == PFS_E_CORRUPT || rc == PFS_E_NOTFOUND) {
		done->packs_damaged += rc == PFS_E_CORRUPT;
		return 0;
	}
	if (rc < 0 && err)
		*err = why;
	return rc;
}

/* Both lie side by side until the old one goes; others need room as well. */
static bool has_room(struct pfs_repack *r, const struct pfs_pack *pack)
{
	struct statvfs fs;

	return fstatvfs(r->parts.dir, &fs) < 0 ||
	       (uint64_t)fs.f_bavail * fs.f_frsize >
		       ROOM_FOR_BOTH * __atomic_load_n(&pack->size, __ATOMIC_ACQUIRE);
}

/* --- packs being written ------------------------------------------------------ */

static int list_open(struct pfs_repack *r, struct pfs_pack *pack, struct pfs_packlist *out,
		     struct pfs_error *err)
{
	PFS_AUTO(pfs_packfooter_fini) struct pfs_packfooter f;
	uint64_t size = __atomic_load_n(&pack->size, __ATOMIC_ACQUIRE), torn_at;
	int fd, rc;

	pfs_packfooter_init(&f, pack->kind);
	rc = pfs_packset_lend(r->parts.set, pack, &fd, err);
	if (rc < 0)
		return rc;
	rc = pfs_packscan_all(fd, size, 0, &f, &torn_at, err);
	pfs_packset_return(r->parts.set, pack);
	return rc < 0 ? rc : pfs_packlist_make(pack, &f, size, out, err);
}

/* 1 when it is sealed now, since there is something to gain. */
static int seal_if_worth(struct pfs_repack *r, struct pfs_pack *pack, struct pfs_error *err)
{
	PFS_AUTO(pfs_packlist_fini) struct pfs_packlist list = { 0 };
	int rc = list_open(r, pack, &list, err);

	if (rc == 0 && weigh_small(pack, &list))
		rc = pfs_packlog_seal(r->parts.log, pack, err);
	return rc;
}

/*
 * A small store has all that it has in packs that are not full for months. They
 * are weighed again whenever they have grown by so much.
 */
static int seal_open(struct pfs_repack *r, const struct pfs_repack_options *o,
		     struct pfs_error *err)
{
	struct pfs_pack *pack;
	uint64_t size = 0;
	size_t pos = 0;
	int rc = 0, sealed = 0;

	while ((pack = pfs_packset_next(r->parts.set, &pos)))
		size += is_sealed(pack) ? 0 : __atomic_load_n(&pack->size, __ATOMIC_ACQUIRE);
	if (size < r->open_size)
		r->open_size = 0;
	if (size < r->open_size + OPEN_GROWN)
		return 0;
	r->open_size = size;
	for (pos = 0; rc >= 0 && (pack = pfs_packset_next(r->parts.set, &pos));) {
		if (is_sealed(pack) || pack->kind == PFS_PACK_ADOPTED ||
		    is_young(r, pack, o->rest_ns))
			continue;
		rc = seal_if_worth(r, pack, err);
		sealed += rc == 1;
	}
	return rc < 0 ? rc : sealed > 0;
}

/* --- a step ---------------------------------------------------------------------- */

struct rewriting {
	const struct pfs_repack_options *o;
	const struct pfs_mover *m;
	uint64_t budget;
};

static bool has_enough(void *arg)
{
	const struct rewriting *w = arg;

	return w->m->seen >= w->budget || (w->o->stop && w->o->stop(w->o->stop_arg));
}

static bool want_all(void *arg, uint32_t record)
{
	return true;
}

/* As much of r->current as the step has room for; what is elsewhere already is passed over. */
static int rewrite(struct pfs_repack *r, struct pfs_mover *m, bool *out_damaged,
		   struct pfs_error *err)
{
	PFS_AUTO(pfs_packlist_fini) struct pfs_packlist list = { 0 };
	int rc = pfs_packlist_load(r->parts.dir, r->current, &list, err);

	*out_damaged = list.damaged;
	if (rc < 0 || list.damaged)
		return rc;
	rc = pfs_mover_take(m, r->current, &list, want_all, NULL, out_damaged, err);
	return rc < 0 ? rc : pfs_mover_settle(m, err);
}

static int go_on(struct pfs_repack *r, const struct pfs_repack_options *o,
		 struct pfs_repack_done *done, struct pfs_error *err)
{
	uint64_t size = __atomic_load_n(&r->current->size, __ATOMIC_ACQUIRE);
	struct pfs_mover m = { .st = r->st, .parts = r->parts, .bundle = true, .stop = has_enough };
	struct rewriting w = { o, &m, o->budget };
	bool damaged = false;
	int rc;

	if (size / BUDGET_SHARE > w.budget)
		w.budget = size / BUDGET_SHARE;
	m.stop_arg = &w;
	rc = rewrite(r, &m, &damaged, err);
	done->read_bytes += m.seen;
	done->written_bytes += m.copied;
	if (m.removed) {
		done->packs_rewritten++;
		done->freed_bytes += size;
	}
	done->packs_damaged += damaged;
	if (rc == 0 && (m.removed || damaged))
		note_seen(r, r->current);
	else if (rc < 0)
		r->left_one = true;
	if (rc < 0 || m.removed || damaged)
		r->current = NULL;
	pfs_mover_fini(&m);
	return rc < 0 ? rc : 1;
}

/* Look at the next pack, and begin with it when it pays. 0 when there is none. */
static int look(struct pfs_repack *r, const struct pfs_repack_options *o,
		struct pfs_repack_done *done, struct pfs_error *err)
{
	struct pfs_pack *pack = next_pack(r, o->rest_ns);
	int rc;

	if (!pack)
		return 0;
	rc = weigh(r, pack, done, err);
	if (rc == 0) {
		note_seen(r, pack);
	} else if (rc == 1 && has_room(r, pack)) {
		r->current = pack;
		return go_on(r, o, done, err);
	} else {
		r->left_one = true;
		done->packs_postponed += rc == 1;
	}
	return rc < 0 ? rc : 1;
}

static int refill(struct pfs_repack *r, const struct pfs_repack_options *o, struct pfs_error *err)
{
	int rc = fill_queue(r, err);

	if (rc == 0 && r->n_queue == 0)
		rc = seal_open(r, o, err);
	if (rc == 1)
		rc = fill_queue(r, err);
	return rc < 0 ? rc : 1;
}

int pfs_repack_step(struct pfs_repack *r, const struct pfs_repack_options *o,
		    struct pfs_repack_done *done, struct pfs_error *err)
{
	uint64_t end = done->read_bytes + o->budget;
	int rc = 1;

	if (!r->parts.set)
		return 0;
	if (!r->current && r->next == r->n_queue)
		rc = refill(r, o, err);
	while (rc == 1 && done->read_bytes < end && !(o->stop && o->stop(o->stop_arg))) {
		/* A collection between two steps may have been faster. */
		if (r->current && is_dropped(r->current))
			r->current = NULL;
		rc = r->current ? go_on(r, o, done, err) : look(r, o, done, err);
	}
	return rc < 0 ? pfs_wrap(err, rc, "repack") : rc;
}
