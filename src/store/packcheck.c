#include "store/packcheck.h"
#include "store/codec.h"
#include "store/packlist.h"
#include "store/packscan.h"
#include "format/bundle.h"
#include "base/io.h"
#include "base/limits.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

void pfs_packcheck_tell(struct pfs_packcheck *c, const char *what, const char *text)
{
	char line[PFS_ERROR_TEXT_SIZE + 128];

	snprintf(line, sizeof(line), "%s: %s", what, text);
	c->damages++;
	if (c->x->report)
		c->x->report(c->x->arg, line);
}

static void tell_at(struct pfs_packcheck *c, const struct pfs_pack *pack, uint64_t off,
		    const char *text)
{
	char what[PFS_PACK_TEXT_SIZE + 40], uuid[PFS_PACK_TEXT_SIZE];

	snprintf(what, sizeof(what), "pack %s at %" PRIu64, pfs_pack_format(pack->uuid, uuid), off);
	pfs_packcheck_tell(c, what, text);
}

/* Nobody is to rely on this copy any more; of one that is found elsewhere in its file only this place is doubted. */
static void lose(struct pfs_packcheck *c, const struct pfs_pack *pack, uint64_t off,
		 enum pfs_kind kind, const struct pfs_id *id)
{
	struct pfs_place now, here;

	if (!pfs_packset_find(c->set, id, &now))
		return;
	here = now;
	here.pack = pack->number;
	here.off = off;
	if (!pfs_packset_is_place(c->set, id, &now, &here))
		return;
	if (now.off != off) {
		pfs_packset_doubt_twin(c->set, id, &here);
		return;
	}
	pfs_packset_doubt(c->set, id, &here);
	/* It may be in another place of the same file. */
	if (pfs_packset_find(c->set, id, &now) && !now.doubted)
		return;
	if (c->x->lost)
		c->x->lost(c->x->arg, kind, id);
}

/* A pack that is being written has no footer, but all of its objects are in memory. */
static void lose_found_at(struct pfs_packcheck *c, const struct pfs_pack *pack, uint64_t off)
{
	struct pfs_idtable_entry *list = NULL;
	size_t n = 0;

	if (pfs_packset_list_at(c->set, pack, off, &list, &n, NULL) < 0)
		return;
	for (size_t i = 0; i < n; i++)
		lose(c, pack, off, (enum pfs_kind)list[i].place.type, &list[i].id);
	free(list);
}

/* All that the footer knows to lie there: a record that cannot be read does not tell. */
static void lose_all_at(struct pfs_packcheck *c, const struct pfs_pack *pack,
			const struct pfs_packfooter *f, uint64_t end, uint64_t off)
{
	PFS_AUTO(pfs_packlist_fini) struct pfs_packlist list = { 0 };

	if (!f)
		lose_found_at(c, pack, off);
	if (!f || pfs_packlist_make(pack, f, end, &list, NULL) < 0)
		return;
	for (size_t i = 0; i < list.n; i++)
		if (list.items[i].place.off == off)
			lose(c, pack, off, (enum pfs_kind)list.items[i].place.type,
			     &list.items[i].id);
}

/* Row and bytes of one member. */
static int check_member(struct pfs_packcheck *c, const unsigned char *row,
			const unsigned char *bytes, struct pfs_bundle_member *m,
			struct pfs_error *why)
{
	struct pfs_id got;
	int rc = pfs_bundle_decode_member(row, m, why);

	if (rc == 0)
		rc = pfs_hasher_id(c->hasher, (enum pfs_kind)m->type, bytes, m->len, &got, why);
	if (rc == 0 && !pfs_id_equal(&got, &m->id))
		rc = pfs_fail(why, PFS_E_CORRUPT, "bytes of a member do not match its id");
	return rc;
}

static int check_members(struct pfs_packcheck *c, const struct pfs_pack *pack, uint64_t off,
			 const unsigned char *rows, uint32_t n, const unsigned char *plain,
			 struct pfs_error *err)
{
	for (uint32_t i = 0; i < n; i++) {
		struct pfs_error why = { 0 };
		struct pfs_bundle_member m = { .len = 0 };
		int rc = check_member(c, rows + i * PFS_BUNDLE_MEMBER_SIZE, plain, &m, &why);

		if (rc == PFS_E_NOMEM)
			return pfs_fail_nomem(err, "checking a pack");
		if (rc < 0) {
			tell_at(c, pack, off, why.text);
			lose(c, pack, off, (enum pfs_kind)m.type, &m.id);
		} else {
			pfs_packset_trust(c->set, &m.id, pack, off);
		}
		plain += m.len;
	}
	return 0;
}

static void lose_members(struct pfs_packcheck *c, const struct pfs_pack *pack, uint64_t off,
			 const unsigned char *rows, uint32_t n)
{
	struct pfs_bundle_member m;

	for (uint32_t i = 0; i < n; i++)
		if (pfs_bundle_decode_member(rows + i * PFS_BUNDLE_MEMBER_SIZE, &m, NULL) == 0)
			lose(c, pack, off, (enum pfs_kind)m.type, &m.id);
}

static int check_bundle(struct pfs_packcheck *c, const struct pfs_pack *pack,
			const struct pfs_packscan *scan, const struct pfs_packrec *rec,
			unsigned char *plain, struct pfs_error *err)
{
	const unsigned char *rows = scan->payload + PFS_BUNDLE_HEAD_SIZE;
	struct pfs_error why = { 0 };
	struct pfs_id got;
	uint32_t n = 0, table;
	int rc = pfs_bundle_decode(scan->payload, rec->clen, rec->ulen, &n, &table, &why);

	if (rc == 0)
		rc = pfs_hasher_bundle(c->hasher, rows, table - PFS_BUNDLE_HEAD_SIZE, &got, &why);
	if (rc == 0 && !pfs_id_equal(&got, &rec->id))
		rc = pfs_fail(&why, PFS_E_CORRUPT, "the table of a bundle does not match its id");
	if (rc == 0)
		rc = pfs_codec_decode((enum pfs_codec)rec->codec, scan->payload + table,
				      rec->clen - table, plain, rec->ulen, &why);
	if (rc == PFS_E_NOMEM)
		return pfs_fail_nomem(err, "checking a pack");
	if (rc == 0)
		return check_members(c, pack, scan->at, rows, n, plain, err);
	tell_at(c, pack, scan->at, why.text);
	lose_members(c, pack, scan->at, rows, n);
	return 0;
}

/* Do the bytes hash to the id they are kept under, and does the index know them? */
static int check_object(struct pfs_packcheck *c, const struct pfs_pack *pack,
			const struct pfs_packscan *scan, const struct pfs_packrec *rec,
			unsigned char *plain, struct pfs_error *err)
{
	struct pfs_error why = { 0 };
	struct pfs_id got;
	int rc;

	if (rec->type == PFS_PACK_BUNDLE)
		return check_bundle(c, pack, scan, rec, plain, err);
	rc = pfs_packread_payload(c->read, rec, scan->payload, plain, &why);
	if (rc == 0)
		rc = pfs_hasher_id(c->hasher, (enum pfs_kind)rec->type, plain, rec->ulen, &got,
				   &why);
	if (rc == PFS_E_NOMEM)
		return pfs_fail_nomem(err, "checking a pack");
	if (rc == 0 && !pfs_id_equal(&got, &rec->id))
		rc = pfs_fail(&why, PFS_E_CORRUPT, "bytes do not match their id");
	/* The base of a delta may go as soon as its pack has gone. */
	if (rc < 0 && !__atomic_load_n(&pack->dropped, __ATOMIC_ACQUIRE)) {
		tell_at(c, pack, scan->at, why.text);
		lose(c, pack, scan->at, (enum pfs_kind)rec->type, &rec->id);
	}
	if (rc == 0)
		pfs_packset_trust(c->set, &rec->id, pack, scan->at);
	return 0;
}

static bool told_to_stop(struct pfs_packcheck *c)
{
	if (!c->stopped && c->x->stop)
		c->stopped = c->x->stop(c->x->arg);
	return c->stopped;
}

/* The footer has to tell of each record, in order, what its header tells. */
static void check_entry(struct pfs_packcheck *c, const struct pfs_pack *pack,
			const struct pfs_packfooter *f, uint32_t *next, uint64_t at,
			const struct pfs_packrec *rec)
{
	struct pfs_packentry e = { .off = 0 };

	while (*next < pfs_packfooter_records(f) &&
	       (pfs_packfooter_record(f, *next, &e, NULL) < 0 || e.off < at))
		++*next;
	if (*next >= pfs_packfooter_records(f) || e.off != at || !pfs_id_equal(&e.id, &rec->id) ||
	    e.type != rec->type || e.codec != rec->codec || e.clen != rec->clen ||
	    e.ulen != rec->ulen)
		tell_at(c, pack, at, "the footer does not tell of this record");
	else
		++*next;
}

static int check_records(struct pfs_packcheck *c, const struct pfs_pack *pack, int fd, uint64_t end,
			 const struct pfs_packfooter *f, unsigned char *plain,
			 struct pfs_error *err)
{
	PFS_AUTO(pfs_packscan_fini) struct pfs_packscan scan = { .fd = -1 };
	struct pfs_error why = { 0 };
	struct pfs_packrec rec;
	uint32_t next = 0, seen = 0;
	uint64_t before = c->damages;
	int rc = pfs_packscan_init(&scan, fd, PFS_PACKHDR_SIZE, end, err);

	if (rc < 0)
		return rc;
	while (!told_to_stop(c) && (rc = pfs_packscan_next(&scan, &rec, &why)) != 0) {
		if (rc == 1) {
			seen++;
			if (f)
				check_entry(c, pack, f, &next, scan.at, &rec);
			rc = check_object(c, pack, &scan, &rec, plain, err);
		} else {
			tell_at(c, pack, scan.off, why.text);
			lose_all_at(c, pack, f, end, scan.off);
			rc = rc == PFS_E_CORRUPT ? pfs_packscan_skip(&scan, err) : 0;
			if (rc == 0)
				break;
		}
		if (rc < 0)
			return rc;
	}
	/* What damage hides from the scan is no fault of the footer. */
	if (f && !c->stopped && c->damages == before && seen != pfs_packfooter_records(f))
		tell_at(c, pack, end, "the footer tells of other records than there are");
	return 0;
}

/* --- the index, held against what a pack says it holds --- */

static bool is_listed(const struct pfs_packlist *list, const struct pfs_id *id,
		      const struct pfs_place *at)
{
	for (size_t i = 0; i < list->n; i++) {
		const struct pfs_place *p = &list->items[i].place;

		if (p->off == at->off && p->clen == at->clen && p->ulen == at->ulen &&
		    p->type == at->type && p->codec == at->codec &&
		    pfs_id_equal(&list->items[i].id, id))
			return true;
	}
	return false;
}

/* NULL when the index finds the object here, or in another pack; else what it does. */
static const char *misplaced(const struct pfs_packcheck *c, const struct pfs_pack *pack,
			     const struct pfs_packlist *list, size_t i)
{
	const struct pfs_packlist_item *it = &list->items[i];
	struct pfs_place at;

	if (!pfs_packset_find(c->set, &it->id, &at))
		return "the index does not know of the object";
	if (at.pack != pack->number ||
	    (at.off == it->place.off && at.clen == it->place.clen && at.ulen == it->place.ulen &&
	     at.type == it->place.type && at.codec == it->place.codec))
		return NULL;
	/* One pack may hold an object twice. */
	return is_listed(list, &it->id, &at) ? NULL : "the index has the object in another place";
}

static int check_places(struct pfs_packcheck *c, const struct pfs_pack *pack,
			const struct pfs_packfooter *f, uint64_t end, struct pfs_error *err)
{
	PFS_AUTO(pfs_packlist_fini) struct pfs_packlist list = { 0 };
	int rc = pfs_packlist_make(pack, f, end, &list, err);

	for (size_t i = 0; rc == 0 && i < list.n; i++) {
		const char *what = misplaced(c, pack, &list, i);

		/* A pack that sweep dropped just now holds nothing any more. */
		if (!what || __atomic_load_n(&pack->dropped, __ATOMIC_ACQUIRE))
			continue;
		tell_at(c, pack, list.items[i].place.off, what);
		c->misplaced++;
		if (c->x->misplaced)
			c->x->misplaced(c->x->arg);
	}
	return rc;
}

static int check_open_pack(struct pfs_packcheck *c, struct pfs_pack *pack, int fd,
			   unsigned char *plain, struct pfs_error *err)
{
	PFS_AUTO(pfs_packfooter_fini) struct pfs_packfooter f = { 0 };
	/* In this order: a pack that is sealed has its footer in the file by then. */
	bool sealed = __atomic_load_n(&pack->sealed, __ATOMIC_ACQUIRE);
	uint64_t size = __atomic_load_n(&pack->size, __ATOMIC_ACQUIRE);
	struct pfs_error why = { 0 };
	struct pfs_packhdr h;
	struct stat file;
	int rc;

	if (fstat(fd, &file) < 0 || (uint64_t)file.st_size < size)
		tell_at(c, pack, size, "the file ends before its records do");
	if (size > 0 && pfs_pack_load_header(fd, pack->uuid, c->store_uuid, &h, &why) < 0)
		tell_at(c, pack, 0, why.text);
	if (size < PFS_PACKHDR_SIZE)
		return 0;
	if (!sealed)
		return c->x->thorough ? check_records(c, pack, fd, size, NULL, plain, err) : 0;
	size = (uint64_t)file.st_size;
	rc = pfs_pack_load_footer(fd, size, &f, &why);
	if (rc == PFS_E_NOMEM)
		return pfs_fail_nomem(err, "checking a pack");
	if (rc < 0)
		tell_at(c, pack, size, why.text);
	else if (c->x->index && check_places(c, pack, &f, f.off, err) < 0)
		return PFS_E_NOMEM;
	if (!c->x->thorough)
		return 0;
	return check_records(c, pack, fd, rc < 0 ? size : f.off, rc < 0 ? NULL : &f, plain, err);
}

static int check_piece(struct pfs_packcheck *c, const struct pfs_pack *pack, int fd,
		       const struct pfs_packentry *e, unsigned char *plain, struct pfs_error *err)
{
	struct pfs_error why = { 0 };
	struct pfs_id got;
	size_t len;
	int rc = pfs_io_pread(fd, plain, e->ulen, e->off, &len, &why);

	if (rc == 0)
		rc = pfs_hasher_id(c->hasher, (enum pfs_kind)e->type, plain, len, &got, &why);
	if (rc == PFS_E_NOMEM)
		return pfs_fail_nomem(err, "checking a pack");
	if (rc == 0 && len < e->ulen)
		rc = pfs_fail(&why, PFS_E_CORRUPT, "the file ends before this piece does");
	if (rc == 0 && !pfs_id_equal(&got, &e->id))
		rc = pfs_fail(&why, PFS_E_CORRUPT, "bytes do not match their id");
	if (rc < 0) {
		tell_at(c, pack, e->off, why.text);
		lose(c, pack, e->off, (enum pfs_kind)e->type, &e->id);
	} else {
		pfs_packset_trust(c->set, &e->id, pack, e->off);
		pfs_packset_note_read(pfs_packset_pack(c->set, pack->number), e->off);
	}
	return 0;
}

static int check_pieces(struct pfs_packcheck *c, const struct pfs_pack *pack, int fd,
			const struct pfs_packfooter *f, unsigned char *plain, struct pfs_error *err)
{
	struct pfs_packwalk walk = { 0 };
	struct pfs_packentry e;
	uint64_t end = 0;
	int rc = 0;

	while (rc == 0 && !told_to_stop(c) && pfs_packfooter_next(f, &walk, &e)) {
		if (e.off < end)
			tell_at(c, pack, e.off, "a piece begins before the last one ended");
		end = e.off + e.ulen;
		rc = check_piece(c, pack, fd, &e, plain, err);
	}
	return rc;
}

static int check_table(struct pfs_packcheck *c, const struct pfs_pack *pack, int fd,
		       struct pfs_packfooter *f, struct pfs_error *err)
{
	PFS_AUTO(pfs_fd_close) int table = -1;
	char path[PFS_PACK_PATH_SIZE];
	struct stat file, st;
	struct pfs_packhdr h;
	int rc;

	pfs_pack_table_path(pack->uuid, path);
	table = pfs_io_open_file(c->dir, path, O_RDONLY, err);
	if (table < 0)
		return table;
	if (fstat(table, &st) < 0 || fstat(fd, &file) < 0)
		return pfs_fail_errno(err, errno, "size of a pack");
	rc = pfs_pack_load_header(table, pack->uuid, c->store_uuid, &h, err);
	if (rc == 0 && (h.kind != PFS_PACK_ADOPTED || h.file_size != (uint64_t)file.st_size))
		return pfs_fail(err, PFS_E_CORRUPT,
				"a file of %" PRIu64 " bytes, its table tells of %" PRIu64,
				(uint64_t)file.st_size, h.file_size);
	return rc < 0 ? rc : pfs_pack_load_footer(table, (uint64_t)st.st_size, f, err);
}

static int check_adopted(struct pfs_packcheck *c, const struct pfs_pack *pack, int fd,
			 unsigned char *plain, struct pfs_error *err)
{
	PFS_AUTO(pfs_packfooter_fini) struct pfs_packfooter f = { 0 };
	struct pfs_error why = { 0 };
	int rc;

	if (!__atomic_load_n(&pack->sealed, __ATOMIC_ACQUIRE))
		return 0; /* its table is not written yet */
	pfs_packfooter_init(&f, PFS_PACK_ADOPTED);
	rc = check_table(c, pack, fd, &f, &why);
	if (rc == PFS_E_NOMEM)
		return pfs_fail_nomem(err, "checking a pack");
	if (rc < 0)
		tell_at(c, pack, 0, why.text);
	else if (c->x->index && check_places(c, pack, &f, pack->size, err) < 0)
		return PFS_E_NOMEM;
	return c->x->thorough ? check_pieces(c, pack, fd, &f, plain, err) : 0;
}

/*
 * A look that is not thorough, or that came to an early end, clears no pack of
 * what another found.
 */
static void note_damage(const struct pfs_packcheck *c, struct pfs_pack *pack, uint64_t damages)
{
	if (damages) {
		__atomic_store_n(&pack->damaged, 1, __ATOMIC_RELEASE);
		pfs_packset_doubt_pack(c->set, pack);
	} else if (c->x->thorough && !c->stopped) {
		__atomic_store_n(&pack->damaged, 0, __ATOMIC_RELEASE);
		pfs_packset_trust_pack(c->set, pack);
	}
}

/* --- what is known without reading it again --- */

struct telling {
	struct pfs_packcheck *c;
	const struct pfs_pack *pack;
};

static void tell_known(void *arg, const struct pfs_id *id, const struct pfs_place *place)
{
	const struct telling *t = arg;

	tell_at(t->c, t->pack, place->off, "was found damaged before");
	if (t->c->x->lost)
		t->c->x->lost(t->c->x->arg, (enum pfs_kind)place->type, id);
}

/* A look that reads all of it finds it again, or finds it whole. */
static int check_known(struct pfs_packcheck *c, const struct pfs_pack *pack, struct pfs_error *err)
{
	struct telling t = { c, pack };

	return c->x->thorough ? 0 : pfs_packset_each_doubt(c->set, pack, tell_known, &t, err);
}

int pfs_packcheck_run(struct pfs_packcheck *c, struct pfs_pack *pack, struct pfs_error *err)
{
	unsigned char *plain = malloc(PFS_OBJECT_SIZE_MAX);
	uint64_t before = c->damages - c->misplaced;
	struct pfs_error why = { 0 };
	int fd;
	int rc;

	if (!plain)
		return pfs_fail_nomem(err, "checking a pack");
	rc = pfs_packset_lend(c->set, pack, &fd, &why);
	if (rc < 0) {
		/* Dropped since the caller came by it: nothing is wrong. */
		if (!__atomic_load_n(&pack->dropped, __ATOMIC_ACQUIRE))
			tell_at(c, pack, 0, why.text);
		rc = 0;
	} else {
		rc = pack->kind == PFS_PACK_ADOPTED ? check_adopted(c, pack, fd, plain, err)
						    : check_open_pack(c, pack, fd, plain, err);
		pfs_packset_return(c->set, pack);
	}
	free(plain);
	if (rc == 0)
		rc = check_known(c, pack, err);
	note_damage(c, pack, c->damages - c->misplaced - before);
	/* On a disk that is full or read-only it is known until the store is closed. */
	pfs_packset_save_doubts(c->set, NULL);
	return rc;
}
