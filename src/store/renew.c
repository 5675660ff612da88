#include "store/renew.h"
#include "store/mover.h"
#include "base/fault.h"
#include "base/io.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>

struct renewing {
	struct pfs_store *st;
	struct pfs_store_parts parts;
	const struct pfs_renewal *how;
};

/* A pack, what it lists, and which of its records are to be moved. */
struct renewed {
	struct pfs_pack *pack;
	struct pfs_packlist list;
	bool *wanted;       /* owned; by record */
	uint64_t file_size; /* of an adopted one, as its table tells */
	bool listed;        /* all that it ever held is in the list */
	bool leaves;        /* something in it cannot be read, and goes with it */
	bool mixed;         /* a bundle whose bytes are what was written, and a member's are not */
	uint64_t leaving;   /* objects found in it that are known to go with it */
};

static void fini_renewed(struct renewed *p)
{
	pfs_packlist_fini(&p->list);
	free(p->wanted);
}

static bool is_sealed(const struct pfs_pack *pack)
{
	return __atomic_load_n(&pack->sealed, __ATOMIC_ACQUIRE);
}

static int keep(const struct renewing *r, const struct pfs_pack *pack, const char *why)
{
	char line[PFS_ERROR_TEXT_SIZE + 128], uuid[PFS_PACK_TEXT_SIZE];

	snprintf(line, sizeof(line), "pack %s: kept as it is, %s",
		 pfs_pack_format(pack->uuid, uuid), why);
	if (r->how->kept)
		r->how->kept(r->how->arg, line);
	return 1;
}

static int keep_lost(const struct renewing *r, const struct pfs_pack *pack)
{
	return keep(r, pack, "since something that is missing may be in it, and there is no copy");
}

/* --- whose pack it is --------------------------------------------------------- */

static int open_head(const struct renewing *r, const struct pfs_pack *pack, struct pfs_error *err)
{
	char path[PFS_PACK_PATH_SIZE];

	if (pack->kind == PFS_PACK_ADOPTED)
		pfs_pack_table_path(pack->uuid, path);
	else
		pfs_pack_path(pack->uuid, pack->kind, is_sealed(pack), path);
	return pfs_io_open_file(r->parts.dir, path, O_RDONLY, err);
}

/* 0: it is ours, or its header does not tell; 1: it is kept. */
static int look_at_head(const struct renewing *r, struct renewed *p, struct pfs_error *err)
{
	PFS_AUTO(pfs_fd_close) int fd = open_head(r, p->pack, err);
	struct pfs_packhdr h = { .file_size = 0 };
	int rc = fd;

	if (rc >= 0)
		rc = pfs_pack_load_header(fd, p->pack->uuid, r->parts.uuid, &h, err);
	if (rc == PFS_E_INVALID)
		return keep(r, p->pack, "since it belongs to another store");
	if (rc == 0)
		p->file_size = h.file_size;
	return rc == PFS_E_CORRUPT ? 0 : rc;
}

/* --- one that is being written ------------------------------------------------- */

/* Into packs/, without a footer: from there it can go, and there the next open finds it. */
static int move_open(const struct renewing *r, struct pfs_pack *pack, struct pfs_error *err)
{
	char from[PFS_PACK_PATH_SIZE], to[PFS_PACK_PATH_SIZE], folder[PFS_PACK_PATH_SIZE];
	int rc;

	pfs_pack_path(pack->uuid, pack->kind, false, from);
	pfs_pack_path(pack->uuid, pack->kind, true, to);
	snprintf(folder, sizeof(folder), "%.10s", to); /* packs/m/xx */
	rc = pfs_io_mkdir_all(r->parts.dir, folder, err);
	if (rc == 0)
		rc = pfs_fault("renew.rename", err);
	if (rc == 0 && renameat(r->parts.dir, from, r->parts.dir, to) < 0)
		rc = pfs_fail_errno(err, errno, "rename %s", from);
	if (rc < 0)
		return rc;
	__atomic_store_n(&pack->sealed, 1, __ATOMIC_RELEASE);
	rc = pfs_fault("renew.renamed", err);
	if (rc == 0)
		rc = pfs_io_sync_folder(r->parts.dir, to, err);
	if (rc == 0)
		rc = pfs_io_sync_folder(r->parts.dir, from, err);
	return rc;
}

/*
 * One that nobody writes to: it was found damaged when the store was opened, or
 * could not be sealed. Who wants to read it finds it open all the time.
 */
static int retire(const struct renewing *r, struct pfs_pack *pack, struct pfs_error *err)
{
	int fd, rc = pfs_packset_lend(r->parts.set, pack, &fd, err);

	if (rc < 0)
		return rc;
	rc = move_open(r, pack, err);
	pfs_packset_return(r->parts.set, pack);
	if (rc < 0)
		return rc;
	pfs_packwriter_remove_durable(r->parts.dir, pack->uuid);
	pfs_packset_unpin(r->parts.set, pack);
	pfs_packset_complete(r->parts.set, pack);
	return 0;
}

/* 0: it is sealed now; 1: it is kept. */
static int seal(const struct renewing *r, struct pfs_pack *pack, struct pfs_error *err)
{
	int rc;

	if (is_sealed(pack))
		return 0;
	if (pack->kind == PFS_PACK_ADOPTED)
		return keep(r, pack, "since it was not taken in yet");
	rc = pfs_packlog_seal(r->parts.log, pack, err);
	if (rc != 0)
		return rc < 0 ? rc : 0;
	/* It has no footer: nobody knows what its damage hides. */
	return r->how->complete ? retire(r, pack, err) : keep_lost(r, pack);
}

/* --- what of it is moved ------------------------------------------------------- */

/*
 * What a record holds that is found here (of a bundle: several): how many can
 * be read, how many cannot. An older copy of what is damaged where it is found
 * was tried when it was mended, and is not whole either. An object that an
 * adopted file has several times leaves once.
 */
static bool weigh(struct renewing *r, struct renewed *p, size_t at, size_t end)
{
	size_t whole = 0, damaged = 0;

	for (size_t i = at; i < end; i++) {
		const struct pfs_packlist_item *item = &p->list.items[i];
		struct pfs_place now;
		bool here;

		if (!pfs_packset_find(r->parts.set, &item->id, &now))
			continue;
		here = pfs_packset_is_place(r->parts.set, &item->id, &now, &item->place);
		whole += here && !now.doubted;
		damaged += now.doubted;
		p->leaving += here && now.doubted && now.off == item->place.off;
	}
	p->leaves = p->leaves || damaged;
	p->mixed = p->mixed || (whole && damaged);
	return whole > 0;
}

static int choose(struct renewing *r, struct renewed *p, struct pfs_error *err)
{
	size_t record = 0;

	p->wanted = calloc(p->list.n ? p->list.n : 1, sizeof(*p->wanted));
	if (!p->wanted)
		return pfs_fail_nomem(err, "rewriting a pack");
	for (size_t at = 0, next; at < p->list.n; at = next, record++) {
		next = pfs_mover_next_record(&p->list, at);
		p->wanted[record] = weigh(r, p, at, next);
	}
	return 0;
}

static bool is_wanted(void *arg, uint32_t record)
{
	return ((const struct renewed *)arg)->wanted[record];
}

/* --- one pack -------------------------------------------------------------------- */

/* 0: to be rewritten; 1: it is kept. */
static int look(struct renewing *r, struct renewed *p, struct pfs_error *err)
{
	uint64_t size = __atomic_load_n(&p->pack->size, __ATOMIC_ACQUIRE);
	int rc = pfs_packlist_load(r->parts.dir, p->pack, &p->list, err);

	if (rc == 0)
		rc = choose(r, p, err);
	if (rc < 0)
		return rc;
	/* Pieces behind the end of a file that was cut are not in its list. */
	p->listed = !p->list.damaged && (p->pack->kind != PFS_PACK_ADOPTED || p->file_size == size);
	if ((!p->listed || p->leaves) && !r->how->complete)
		return keep_lost(r, p->pack);
	return p->mixed ? keep(r, p->pack, "since a bundle in it is damaged in part") : 0;
}

/* 0: its records are elsewhere, to be settled; 1: it is kept. */
static int take(struct renewing *r, struct pfs_mover *m, struct renewed *p, struct pfs_error *err)
{
	bool damaged = false;
	int rc = pfs_mover_take(m, p->pack, &p->list, is_wanted, p, &damaged, err);

	if (rc < 0)
		return rc;
	if (damaged)
		return keep(r, p->pack,
			    "since there is damage in it that was not known; look at it with level "
			    "full");
	if (rc == 1)
		return keep(r, p->pack, "since there was no time for more");
	/* The index knows of more than its list does. */
	if (pfs_packset_found_in(r->parts.set, p->pack) > p->leaving) {
		m->taken[m->n_taken - 1].whole = false;
		return keep(r, p->pack, "since it does not tell where all of its objects are");
	}
	return 0;
}

/* 0: it has gone; 1: it is kept. */
static int renew(struct renewing *r, struct pfs_mover *m, struct pfs_pack *pack,
		 struct pfs_error *err)
{
	PFS_AUTO(fini_renewed) struct renewed p = { .pack = pack };
	int rc = pfs_fault("renew.pack", err), settled;

	if (rc == 0)
		rc = look_at_head(r, &p, err);
	if (rc == 0)
		rc = seal(r, pack, err);
	if (rc == 0)
		rc = look(r, &p, err);
	if (rc == 0)
		rc = take(r, m, &p, err);
	if (rc < 0)
		return rc;
	/* What was copied of one that is kept is durable as well before anybody relies on it. */
	settled = pfs_mover_settle(m, err);
	return settled < 0 ? settled : rc;
}

static bool told_to_stop(const struct renewing *r)
{
	return r->how->stop && r->how->stop(r->how->stop_arg);
}

static int renew_all(struct renewing *r, struct pfs_mover *m, struct pfs_error *err)
{
	char line[PFS_PACK_TEXT_SIZE + 64], uuid[PFS_PACK_TEXT_SIZE];
	struct pfs_pack *pack;
	size_t pos = 0;

	while (!told_to_stop(r) && (pack = pfs_packset_next(r->parts.set, &pos))) {
		struct pfs_error why = { 0 };
		int rc;

		if (!pfs_packset_knows_damage_of(r->parts.set, pack))
			continue;
		rc = renew(r, m, pack, &why);
		if (rc == PFS_E_NOMEM)
			return pfs_fail_nomem(err, "rewriting a pack");
		if (rc < 0)
			keep(r, pack, why.text);
		snprintf(line, sizeof(line), "pack %s: rewritten without its damage",
			 pfs_pack_format(pack->uuid, uuid));
		if (rc == 0 && r->how->renewed)
			r->how->renewed(r->how->arg, line);
	}
	return 0;
}

int pfs_store_renew(struct pfs_store *st, const struct pfs_renewal *how, struct pfs_error *err)
{
	struct renewing r = { .st = st, .how = how };
	struct pfs_mover m = { .st = st, .stop = how->stop, .stop_arg = how->stop_arg };
	int rc;

	if (!pfs_store_parts(st, &r.parts))
		return 0;
	m.parts = r.parts;
	pfs_packlog_write(r.parts.log, NULL);
	rc = renew_all(&r, &m, err);
	pfs_mover_fini(&m);
	pfs_packset_prune_doubts(r.parts.set);
	pfs_packset_save_doubts(r.parts.set, NULL);
	return rc < 0 ? pfs_wrap(err, rc, "rewrite damaged packs") : 0;
}
