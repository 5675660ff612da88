/* Packs in a folder, pfs-pack(5). */
#include "store/store_i.h"
#include "store/codec.h"
#include "store/packcheck.h"
#include "store/packlist.h"
#include "store/packlog.h"
#include "store/packread.h"
#include "store/packscan.h"
#include "store/recover.h"
#include "store/superblock.h"
#include "base/crc32c.h"
#include "base/io.h"
#include "base/limits.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

struct packs {
	int dir;     /* the store's folder */
	int lock_fd; /* held as long as we live: one process a store */
	struct pfs_superblock super;
	bool super_damaged; /* one copy of it, when the store was opened */
	struct pfs_hasher *hasher;
	struct pfs_packset *set;
	struct pfs_packlog *log;
	struct pfs_packread read;
};

static void packs_close(void *self)
{
	struct packs *p = self;

	pfs_packlog_free(&p->log);
	pfs_packset_free(&p->set);
	pfs_hasher_free(&p->hasher);
	pfs_fd_close(&p->lock_fd);
	pfs_fd_close(&p->dir);
	OPENSSL_cleanse(p->super.secret, sizeof(p->super.secret));
	free(p);
}

static void packs_attach(void *self, struct pfs_cache *cache)
{
	struct packs *p = self;

	p->read = (struct pfs_packread){
		.set = p->set,
		.log = p->log,
		.hasher = p->hasher,
		.cache = cache,
	};
}

/*
 * Against what the object resembles. Not when there is a copy of it already, in
 * a damaged or a condemned place: others may lean on that, and on a delta nobody may.
 */
static int pack_object(struct packs *p, struct pfs_draft *d, size_t *out_len,
		       enum pfs_codec *out_codec, struct pfs_error *err)
{
	PFS_AUTO(pfs_object_unref) const struct pfs_object *o = NULL;
	struct pfs_codec_base base;
	struct pfs_id id;

	if (d->near && !pfs_packset_find(p->set, &d->id, NULL))
		o = pfs_packread_base(&p->read, d->kind, d->near, &id);
	if (!o)
		return pfs_codec_pack(d->data, d->len, &d->packed, out_len, out_codec, err);
	base = (struct pfs_codec_base){ &id, o->data, o->len };
	return pfs_codec_pack_near(d->data, d->len, &base, &d->packed, out_len, out_codec, err);
}

/* Everything but the place: which pack it gets into is decided when its turn comes. */
static int packs_prepare(void *self, struct pfs_draft *d, struct pfs_error *err)
{
	struct packs *p = self;
	enum pfs_codec codec;
	size_t len;
	int rc;

	if (pfs_packset_has(p->set, &d->id))
		return 1;
	rc = pack_object(p, d, &len, &codec, err);
	if (rc < 0)
		return rc;
	d->rec = (struct pfs_packrec){
		.type = (uint8_t)d->kind,
		.codec = (uint8_t)codec,
		.ulen = (uint32_t)d->len,
		.clen = (uint32_t)len,
		.id = d->id,
		.payload_crc = pfs_crc32c(0, d->packed ? d->packed : d->data, len),
	};
	return 0;
}

static int packs_put(void *self, const struct pfs_draft *d, struct pfs_error *err)
{
	struct packs *p = self;

	return pfs_packlog_append(p->log, &d->rec, d->packed ? d->packed : d->data, err);
}

static int packs_adopt(void *self, int dir, const char *name, struct pfs_packfooter *table,
		       struct pfs_error *err)
{
	struct packs *p = self;

	return pfs_packlog_add_file(p->log, dir, name, table, err);
}

static bool find(struct packs *p, enum pfs_kind kind, const struct pfs_id *id,
		 struct pfs_place *out)
{
	struct pfs_place place;

	if (!pfs_packset_find(p->set, id, &place) || place.type != kind)
		return false;
	*out = place;
	return true;
}

static void format_place(struct packs *p, const struct pfs_place *place,
			 char out[PFS_STORE_PLACE_SIZE])
{
	char uuid[PFS_PACK_TEXT_SIZE];

	snprintf(out, PFS_STORE_PLACE_SIZE, "pack %s at %" PRIu64,
		 pfs_pack_format(pfs_packset_pack(p->set, place->pack)->uuid, uuid), place->off);
}

/* When it cannot be saved it is known until the store is closed, and whoever reads is told the same. */
static void doubt(struct packs *p, const struct pfs_id *id, const struct pfs_place *place)
{
	pfs_packread_doubt(&p->read, id, place);
	pfs_packset_save_doubts(p->set, NULL);
}

static int packs_get(void *self, enum pfs_kind kind, const struct pfs_id *id,
		     struct pfs_counted_object **out, struct pfs_error *err)
{
	char text[PFS_STORE_PLACE_SIZE];
	struct packs *p = self;
	struct pfs_place place;
	int rc;

	rc = pfs_packread_find(&p->read, kind, id, &place, out, err);
	if (rc == 0)
		return 0;
	if (rc == PFS_E_NOTFOUND)
		return pfs_fail(err, rc, "no object %s", pfs_id_format(id, text));
	if (rc == PFS_E_CORRUPT)
		doubt(p, id, &place);
	format_place(p, &place, text);
	return pfs_wrap(err, rc, "%s", text);
}

static bool packs_has(void *self, enum pfs_kind kind, const struct pfs_id *id)
{
	struct packs *p = self;
	struct pfs_place place;

	return find(p, kind, id, &place) && pfs_packset_has(p->set, id);
}

static bool packs_whole(void *self, enum pfs_kind kind, const struct pfs_id *id)
{
	struct packs *p = self;
	struct pfs_place place;

	return find(p, kind, id, &place) && !place.doubted;
}

static void packs_doubt(void *self, const struct pfs_id *id)
{
	struct packs *p = self;
	struct pfs_place place;

	if (pfs_packset_find(p->set, id, &place))
		doubt(p, id, &place);
}

static void packs_place(void *self, const struct pfs_id *id, char out[PFS_STORE_PLACE_SIZE])
{
	struct packs *p = self;
	struct pfs_place place;

	if (pfs_packset_find(p->set, id, &place))
		format_place(p, &place, out);
}

static int packs_sync(void *self, struct pfs_error *err)
{
	struct packs *p = self;

	int rc = pfs_packlog_sync(p->log, err);

	/* A put may have come upon damage, when it looked for what the object resembles. */
	if (rc == 0)
		pfs_packset_save_doubts(p->set, NULL);
	return rc;
}

/* Of a pack that was there before us the trailer tells, once somebody wants to know. */
static void count_kept(struct packs *p, struct pfs_pack *pack)
{
	struct pfs_packtrailer t = { .n_deltas = 0 };
	int fd;

	if (__atomic_load_n(&pack->counted, __ATOMIC_ACQUIRE) ||
	    pfs_packset_lend(p->set, pack, &fd, NULL) < 0)
		return;
	if (pfs_pack_load_trailer(fd, __atomic_load_n(&pack->size, __ATOMIC_ACQUIRE), &t, NULL) ==
	    0) {
		__atomic_store_n(&pack->deltas, t.n_deltas, __ATOMIC_RELAXED);
		__atomic_store_n(&pack->members, t.n_members, __ATOMIC_RELAXED);
	}
	__atomic_store_n(&pack->counted, 1, __ATOMIC_RELEASE);
	pfs_packset_return(p->set, pack);
}

static void add_kept(struct packs *p, struct pfs_store_stats *out)
{
	struct pfs_pack *pack;
	size_t pos = 0;

	while ((pack = pfs_packset_next(p->set, &pos))) {
		if (pack->kind == PFS_PACK_ADOPTED) {
			out->adopted_files++;
			out->adopted_bytes += __atomic_load_n(&pack->size, __ATOMIC_ACQUIRE);
			continue;
		}
		count_kept(p, pack);
		out->deltas += __atomic_load_n(&pack->deltas, __ATOMIC_RELAXED);
		out->bundled += __atomic_load_n(&pack->members, __ATOMIC_RELAXED);
	}
}

static void packs_stats(void *self, struct pfs_store_stats *out)
{
	struct packs *p = self;
	struct pfs_packset_totals totals;

	pfs_packset_count(p->set, &totals);
	out->objects = totals.objects;
	out->object_bytes = totals.object_bytes;
	out->packs = totals.packs;
	out->pack_bytes = totals.pack_bytes;
	add_kept(p, out);
	out->index_runs = totals.index_runs;
	out->index_bytes = totals.index_bytes;
	out->index_memory = totals.index_memory;
	out->index_rebuilds = totals.index_rebuilds;
	out->known_damages = pfs_packset_count_doubts(p->set);
	out->superblock_damaged = p->super_damaged;
}

static void packs_parts(void *self, struct pfs_store_parts *out)
{
	struct packs *p = self;

	*out = (struct pfs_store_parts){
		.dir = p->dir,
		.uuid = p->super.uuid,
		.set = p->set,
		.log = p->log,
	};
}

static int packs_tidy(void *self, struct pfs_error *err)
{
	struct packs *p = self;

	return pfs_packset_tidy(p->set, err);
}

static int packs_rebuild_index(void *self, struct pfs_error *err)
{
	struct packs *p = self;

	return pfs_packset_rebuild(p->set, err);
}

static void tell_damage(void *arg, const char *what, const char *text)
{
	pfs_packcheck_tell(arg, what, text);
}

static void tell_mended(void *arg, const char *what, const char *text)
{
	const struct pfs_packcheck *c = arg;
	char line[PFS_ERROR_TEXT_SIZE + 64];

	snprintf(line, sizeof(line), "%s: %s", what, text);
	if (c->x->mended)
		c->x->mended(c->x->arg, line);
}

static int check_copy(const struct packs *p, int copy, struct pfs_error *why)
{
	struct pfs_superblock s;
	int rc = pfs_superblock_load_copy(p->dir, copy, &s, why);

	if (rc == 0 && (memcmp(s.uuid, p->super.uuid, sizeof(s.uuid)) != 0 ||
			memcmp(s.secret, p->super.secret, sizeof(s.secret)) != 0))
		return pfs_fail(why, PFS_E_CORRUPT, "it is not that of the open store");
	return rc;
}

/* What is open is what one of the copies said. */
static int check_superblock(struct packs *p, struct pfs_packcheck *c, struct pfs_error *err)
{
	uint64_t before = c->damages;
	struct pfs_error why = { 0 };
	int rc;

	for (int copy = 0; copy < 2; copy++)
		if (check_copy(p, copy, &why) < 0)
			pfs_packcheck_tell(c, "superblock", why.text);
	if (c->damages == before || !c->x->mend)
		return 0;
	rc = pfs_superblock_write(p->dir, &p->super, err);
	if (rc == 0 && c->x->mended)
		c->x->mended(c->x->arg, "superblock: both copies are written anew");
	return rc;
}

/* A pack is found a moment before it has its number. */
static uint32_t seq_of(const struct pfs_pack *pack)
{
	return __atomic_load_n(&pack->seq, __ATOMIC_RELAXED);
}

static int by_seq(const void *a, const void *b)
{
	uint32_t x = seq_of(*(struct pfs_pack *const *)a), y = seq_of(*(struct pfs_pack *const *)b);

	return (x > y) - (x < y);
}

/*
 * The packs that come next, by number; owned. The first round has those too
 * whose header does not tell their number.
 */
static struct pfs_pack **packs_after(struct packs *p, uint32_t after, size_t *out_n)
{
	struct pfs_packset_totals totals;
	struct pfs_pack **list, *pack;
	size_t pos = 0, n = 0;

	pfs_packset_count(p->set, &totals);
	list = calloc(totals.packs + 1, sizeof(struct pfs_pack *));
	/* What comes to be while we look is for the next time. */
	while (list && n < totals.packs && (pack = pfs_packset_next(p->set, &pos)))
		if (seq_of(pack) > after || after == 0)
			list[n++] = pack;
	if (list)
		qsort(list, n, sizeof(struct pfs_pack *), by_seq);
	*out_n = n;
	return list;
}

static int packs_check(void *self, const struct pfs_hasher *hasher, const struct pfs_examination *x,
		       uint32_t *after, uint64_t budget, struct pfs_error *err)
{
	struct packs *p = self;
	struct pfs_packcheck c = {
		.dir = p->dir, .set = p->set, .read = &p->read, .hasher = hasher, .x = x
	};
	struct pfs_pack **list;
	uint64_t bytes = 0;
	size_t n, i = 0;
	int rc = 0;

	/* On a full disk the buffers stay in memory, where no bit is checked. */
	pfs_packlog_write(p->log, NULL);
	memcpy(c.store_uuid, p->super.uuid, PFS_UUID_SIZE);
	list = packs_after(p, *after, &n);
	if (!list)
		return pfs_fail_nomem(err, "the packs");
	if (*after == 0)
		rc = check_superblock(p, &c, err);
	if (*after == 0 && rc == 0)
		rc = pfs_packset_check(p->set, x->thorough, tell_damage, tell_mended, &c, err);
	if (*after == 0 && rc == 0)
		pfs_packset_check_doubts(p->set, tell_damage, &c);
	while (rc == 0 && i < n && bytes < budget && !(x->stop && x->stop(x->arg))) {
		rc = pfs_packcheck_run(&c, list[i], err);
		if (c.stopped)
			break;
		bytes += __atomic_load_n(&list[i++]->size, __ATOMIC_ACQUIRE);
	}
	if (x->read_bytes)
		*x->read_bytes += bytes;
	if (i == n)
		*after = 0;
	else if (i > 0)
		*after = seq_of(list[i - 1]);
	free(list);
	return rc < 0 ? rc : c.damages > 0;
}

/* What a pack holds, also of one that is being written. */
static int list_pack(struct packs *p, struct pfs_pack *pack, struct pfs_packlist *out,
		     struct pfs_error *err)
{
	PFS_AUTO(pfs_packfooter_fini) struct pfs_packfooter f = { 0 };
	uint64_t size = __atomic_load_n(&pack->size, __ATOMIC_ACQUIRE), torn_at;
	struct pfs_error why = { 0 };
	int fd;
	int rc = PFS_E_NOTFOUND;

	pfs_packfooter_init(&f, pack->kind);
	if (__atomic_load_n(&pack->sealed, __ATOMIC_ACQUIRE))
		return pfs_packlist_load(p->dir, pack, out, err);
	rc = pfs_packset_lend(p->set, pack, &fd, &why);
	if (rc == 0) {
		rc = pfs_packscan_all(fd, size, size, &f, &torn_at, err);
		pfs_packset_return(p->set, pack);
	}
	return rc < 0 ? rc : pfs_packlist_make(pack, &f, size, out, err);
}

static int tell_copies(struct packs *p, const struct pfs_packlist *list, const struct pfs_copies *c,
		       struct pfs_error *err)
{
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < list->n; i++) {
		const struct pfs_packlist_item *it = &list->items[i];
		struct pfs_counted_object *o = NULL;

		if (!c->want(c->arg, (enum pfs_kind)it->place.type, &it->id))
			continue;
		if (c->bytes && pfs_packread_at(&p->read, &it->id, &it->place, &o, NULL) < 0)
			o = NULL;
		rc = c->each(c->arg, (enum pfs_kind)it->place.type, &it->id, o, err);
	}
	return rc;
}

static int packs_copies(void *self, const struct pfs_copies *c, struct pfs_error *err)
{
	struct packs *p = self;
	struct pfs_pack *pack;
	size_t pos = 0;
	int rc = 0;

	pfs_packlog_write(p->log, NULL);
	while (rc == 0 && (pack = pfs_packset_next(p->set, &pos))) {
		PFS_AUTO(pfs_packlist_fini) struct pfs_packlist list = { 0 };
		struct pfs_error why = { 0 };

		/* One that cannot be listed, or went just now, has no copies. */
		if (list_pack(p, pack, &list, &why) == PFS_E_NOMEM)
			return pfs_fail_nomem(err, "what a pack holds");
		rc = tell_copies(p, &list, c, err);
	}
	return rc;
}

static const struct pfs_store_ops packs_ops = {
	.name = "pack",
	.attach = packs_attach,
	.close = packs_close,
	.prepare = packs_prepare,
	.put = packs_put,
	.adopt = packs_adopt,
	.get = packs_get,
	.has = packs_has,
	.whole = packs_whole,
	.place = packs_place,
	.doubt = packs_doubt,
	.sync = packs_sync,
	.stats = packs_stats,
	.parts = packs_parts,
	.tidy = packs_tidy,
	.rebuild_index = packs_rebuild_index,
	.check = packs_check,
	.copies = packs_copies,
};

static int open_folder(struct packs *p, const char *path, struct pfs_error *err)
{
	int rc = pfs_io_mkdir_all(AT_FDCWD, path, err);

	if (rc == 0) {
		p->dir = pfs_io_open(AT_FDCWD, path, O_RDONLY | O_DIRECTORY, 0, err);
		rc = p->dir < 0 ? p->dir : 0;
	}
	if (rc == 0) {
		p->lock_fd = pfs_io_open(p->dir, "LOCK", O_RDWR | O_CREAT, 0600, err);
		rc = p->lock_fd < 0 ? p->lock_fd : 0;
	}
	if (rc < 0)
		return rc;
	if (flock(p->lock_fd, LOCK_EX | LOCK_NB) == 0)
		return 0;
	if (errno == EWOULDBLOCK)
		return pfs_fail(err, PFS_E_BUSY, "another process has this store open");
	return pfs_fail_errno(err, errno, "lock the store");
}

/* A folder that holds packs but no STORE lost its keys; do not give it new ones. */
static int load_or_create(struct packs *p, struct pfs_error *err)
{
	struct pfs_error why = { 0 };
	int rc = pfs_superblock_load(p->dir, &p->super, &why);

	if (rc < 0 && rc != PFS_E_NOTFOUND && err)
		*err = why;
	p->super_damaged = rc > 0;
	if (rc != PFS_E_NOTFOUND)
		return rc < 0 ? rc : 0;
	if (faccessat(p->dir, "packs", F_OK, 0) == 0)
		return pfs_fail(err, PFS_E_CORRUPT,
				"there are packs but no file STORE; restore it from a backup");
	return pfs_superblock_create(p->dir, &p->super, err);
}

/* The facade checks what it hands out; this one is for what it does not see. */
static int make_hasher(struct packs *p, struct pfs_error *err)
{
	struct pfs_store_keys keys;
	int rc = pfs_hasher_derive(p->super.secret, &keys, err);

	if (rc == 0)
		rc = pfs_hasher_new(keys.id_key, &p->hasher, err);
	OPENSSL_cleanse(&keys, sizeof(keys));
	return rc;
}

static int open_packs(struct packs *p, const char *path, struct pfs_error *err)
{
	uint32_t seq = 1;
	int rc = open_folder(p, path, err);

	if (rc == 0)
		rc = load_or_create(p, err);
	if (rc == 0)
		rc = pfs_io_mkdir_all(p->dir, "packs", err);
	if (rc == 0)
		rc = pfs_io_mkdir_all(p->dir, "open", err);
	if (rc == 0)
		rc = make_hasher(p, err);
	if (rc == 0)
		rc = pfs_packset_new(p->dir, p->super.uuid, &p->set, err);
	if (rc == 0)
		pfs_packset_load_doubts(p->set);
	if (rc == 0)
		rc = pfs_recover_sealed(p->dir, p->set, p->super.uuid, &seq, err);
	if (rc == 0)
		rc = pfs_packlog_new(p->dir, p->set, p->hasher, p->super.uuid, seq, &p->log, err);
	if (rc == 0)
		rc = pfs_recover_open(p->dir, p->set, p->super.uuid, p->log, err);
	if (rc == 0)
		rc = pfs_packset_apply_doubts(p->set, err);
	return rc;
}

int pfs_store_open(const char *path, struct pfs_store **out, struct pfs_error *err)
{
	struct packs *p = calloc(1, sizeof(*p));
	int rc;

	if (!p)
		return pfs_fail_nomem(err, "a store");
	p->dir = p->lock_fd = -1;
	rc = open_packs(p, path, err);
	if (rc < 0) {
		packs_close(p);
		return pfs_wrap(err, rc, "open store %s", path);
	}
	return pfs_store_new(&packs_ops, p, p->super.secret, out, err);
}
