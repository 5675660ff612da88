#include "store/packlist.h"
#include "store/packscan.h"
#include "base/buf.h"
#include "base/io.h"
#include "base/limits.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

void pfs_packlist_fini(struct pfs_packlist *l)
{
	free(l->items);
	free(l->deltas);
	*l = (struct pfs_packlist){ 0 };
}

static uint64_t end_of(const struct pfs_packfooter *f, const struct pfs_packentry *e)
{
	return e->off + (f->kind == PFS_PACK_ADOPTED ? e->clen : pfs_packrec_extent(e->clen));
}

int pfs_packlist_make(const struct pfs_pack *pack, const struct pfs_packfooter *f, uint64_t end,
		      struct pfs_packlist *out, struct pfs_error *err)
{
	size_t most = pfs_packfooter_objects(f), n_deltas = pfs_packfooter_deltas(f);
	PFS_AUTO(pfs_packlist_fini)
	struct pfs_packlist l = {
		.items = calloc(most ? most : 1, sizeof(*l.items)),
		.deltas = calloc(n_deltas ? n_deltas : 1, sizeof(*l.deltas)),
	};
	struct pfs_packwalk walk = { 0 };
	struct pfs_packentry e;

	if (!l.items || !l.deltas)
		return pfs_fail_nomem(err, "what a pack holds");
	while (l.n < most && pfs_packfooter_next(f, &walk, &e)) {
		/* An entry that makes no sense is damage; check tells of it. */
		if (end_of(f, &e) > end)
			continue;
		l.items[l.n++] = (struct pfs_packlist_item){
			.id = e.id,
			.place = { .pack = pack->number,
				   .off = e.off,
				   .clen = e.clen,
				   .ulen = e.ulen,
				   .type = e.type,
				   .codec = e.codec },
		};
	}
	for (; l.n_deltas < n_deltas; l.n_deltas++)
		pfs_packfooter_delta(f, (uint32_t)l.n_deltas, &l.deltas[l.n_deltas].id,
				     &l.deltas[l.n_deltas].base);
	*out = l;
	l = (struct pfs_packlist){ 0 };
	return 0;
}

static int load_records(int fd, uint64_t size, const struct pfs_pack *pack,
			struct pfs_packfooter *f, struct pfs_packlist *out, struct pfs_error *err)
{
	uint64_t torn_at;
	int rc = pfs_packscan_all(fd, size, size, f, &torn_at, err);

	return rc < 0 ? rc : pfs_packlist_make(pack, f, size, out, err);
}

/* Where what is found may end: in an adopted pack the table lies beside the bytes. */
static int load(int fd, uint64_t size, const struct pfs_pack *pack, struct pfs_packlist *out,
		struct pfs_error *err)
{
	PFS_AUTO(pfs_packfooter_fini) struct pfs_packfooter f = { 0 };
	bool adopted = pack->kind == PFS_PACK_ADOPTED;
	struct pfs_error why = { 0 };
	int rc;

	pfs_packfooter_init(&f, pack->kind);
	rc = pfs_pack_load_footer(fd, size, &f, &why);
	if (rc < 0 && rc != PFS_E_CORRUPT && err)
		*err = why;
	if (rc == 0)
		rc = pfs_packlist_make(
			pack, &f, adopted ? __atomic_load_n(&pack->size, __ATOMIC_ACQUIRE) : f.off,
			out, err);
	else if (rc == PFS_E_CORRUPT && adopted)
		rc = pfs_packlist_make(pack, &f, 0, out,
				       err); /* nothing else tells where pieces are */
	else if (rc == PFS_E_CORRUPT)
		rc = load_records(fd, size, pack, &f, out, err);
	if (rc == 0)
		out->damaged = why.code != 0;
	return rc;
}

static bool lost_its_table(int dir, const struct pfs_pack *pack)
{
	char path[PFS_PACK_PATH_SIZE];

	pfs_pack_path(pack->uuid, pack->kind, true, path);
	return pack->kind == PFS_PACK_ADOPTED && faccessat(dir, path, F_OK, 0) == 0;
}

int pfs_packlist_load(int dir, const struct pfs_pack *pack, struct pfs_packlist *out,
		      struct pfs_error *err)
{
	PFS_AUTO(pfs_fd_close) int fd = -1;
	char path[PFS_PACK_PATH_SIZE];
	struct stat st;
	int rc;

	if (pack->kind == PFS_PACK_ADOPTED)
		pfs_pack_table_path(pack->uuid, path);
	else
		pfs_pack_path(pack->uuid, pack->kind, true, path);
	fd = pfs_io_open_file(dir, path, O_RDONLY, err);
	if (fd == PFS_E_CORRUPT || (fd == PFS_E_NOTFOUND && lost_its_table(dir, pack))) {
		out->damaged = true;
		return 0;
	}
	if (fd < 0)
		return fd;
	if (fstat(fd, &st) < 0)
		return pfs_fail_errno(err, errno, "size of %s", path);
	rc = load(fd, (uint64_t)st.st_size, pack, out, err);
	return rc < 0 ? pfs_wrap(err, rc, "%s", path) : 0;
}
