#include "store/packlist.h"
#include "store/packscan.h"
#include "base/buf.h"
#include "base/io.h"
#include "base/limits.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>

void pfs_packlist_fini(struct pfs_packlist *l)
{
	free(l->items);
	*l = (struct pfs_packlist){ 0 };
}

int pfs_packlist_decode(const struct pfs_pack *pack, const void *entries, size_t len, uint64_t end,
			struct pfs_packlist *out, struct pfs_error *err)
{
	size_t most = len / PFS_PACKENTRY_SIZE;
	struct pfs_packlist l = { .items = calloc(most ? most : 1, sizeof(*l.items)) };

	if (!l.items)
		return pfs_fail_nomem(err, "what a pack holds");
	for (size_t i = 0; i < most; i++) {
		const unsigned char *raw = (const unsigned char *)entries + i * PFS_PACKENTRY_SIZE;
		struct pfs_packentry e;

		/* An entry that makes no sense is damage; check tells of it. */
		if (pfs_packentry_decode(raw, &e, NULL) < 0 ||
		    e.off + pfs_packrec_extent(e.clen) > end)
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
	*out = l;
	return 0;
}

static int load_footer(int fd, uint64_t size, const struct pfs_pack *pack, struct pfs_packlist *out,
		       struct pfs_error *err)
{
	PFS_AUTO(pfs_packfooter_fini) struct pfs_packfooter f = { 0 };
	int rc = pfs_pack_load_footer(fd, size, &f, err);

	if (rc < 0)
		return rc;
	return pfs_packlist_decode(pack, f.entries, (size_t)f.n * PFS_PACKENTRY_SIZE, f.off, out,
				   err);
}

static int load_records(int fd, uint64_t size, const struct pfs_pack *pack,
			struct pfs_packlist *out, struct pfs_error *err)
{
	PFS_AUTO(pfs_buf_fini) struct pfs_buf entries = PFS_BUF_INIT(PFS_PACK_SIZE_MAX);
	uint64_t torn_at;
	int rc = pfs_packscan_all(fd, size, size, &entries, &torn_at, err);

	if (rc < 0)
		return rc;
	return pfs_packlist_decode(pack, entries.data, entries.len, size, out, err);
}

int pfs_packlist_load(int dir, const struct pfs_pack *pack, struct pfs_packlist *out,
		      struct pfs_error *err)
{
	PFS_AUTO(pfs_fd_close) int fd = -1;
	struct pfs_error why = { 0 };
	char path[PFS_PACK_PATH_SIZE];
	struct stat st;
	int rc;

	pfs_pack_path(pack->uuid, pack->kind, true, path);
	fd = pfs_io_open(dir, path, O_RDONLY, 0, err);
	if (fd < 0)
		return fd;
	if (fstat(fd, &st) < 0)
		return pfs_fail_errno(err, errno, "size of %s", path);
	rc = load_footer(fd, (uint64_t)st.st_size, pack, out, &why);
	if (rc < 0 && rc != PFS_E_CORRUPT && err)
		*err = why;
	if (rc == PFS_E_CORRUPT)
		rc = load_records(fd, (uint64_t)st.st_size, pack, out, err);
	return rc < 0 ? pfs_wrap(err, rc, "%s", path) : 0;
}
