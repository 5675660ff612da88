#include "store/adopted.h"
#include "base/fault.h"
#include "base/io.h"
#include "base/limits.h"
#include "base/publish.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

void pfs_adopted_free(struct pfs_adopted **a)
{
	if (!*a)
		return;
	pfs_packfooter_fini(&(*a)->table);
	free(*a);
	*a = NULL;
}

void pfs_adopted_unlink(const struct pfs_adopted *a)
{
	char path[PFS_PACK_PATH_SIZE];

	pfs_pack_path(a->header.pack_uuid, PFS_PACK_ADOPTED, false, path);
	unlinkat(a->dir, path, 0);
}

static void folder_of(const struct pfs_packhdr *h, char out[PFS_PACK_PATH_SIZE])
{
	char path[PFS_PACK_PATH_SIZE];

	pfs_pack_path(h->pack_uuid, PFS_PACK_ADOPTED, true, path);
	snprintf(out, PFS_PACK_PATH_SIZE, "%.10s", path); /* packs/a/xx */
}

/* Other file systems, and those without links: the bytes can still be copied. */
static bool has_to_be_copied(int sys)
{
	return sys == EXDEV || sys == EPERM || sys == EMLINK || sys == EOPNOTSUPP;
}

/* Look at what was linked, and not at what had that name before. */
static int check_linked(struct pfs_adopted *a, const char *path, struct pfs_error *err)
{
	struct pfs_packentry last = { .off = 0 };
	struct stat st;
	int rc = 0;

	if (fstatat(a->dir, path, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return pfs_fail_errno(err, errno, "look at %s", path);
	if (!S_ISREG(st.st_mode))
		return pfs_fail(err, PFS_E_CONFLICT, "it is no file any more");
	if (pfs_packfooter_records(&a->table))
		rc = pfs_packfooter_record(&a->table, pfs_packfooter_records(&a->table) - 1, &last,
					   err);
	if (rc == 0 && ((uint64_t)st.st_size < last.off + last.ulen ||
			(uint64_t)st.st_size > PFS_ADOPTION_SIZE_MAX))
		rc = pfs_fail(err, PFS_E_CONFLICT,
			      "it has %" PRIu64 " bytes now, its last piece ends at %" PRIu64,
			      (uint64_t)st.st_size, last.off + last.ulen);
	a->header.file_size = (uint64_t)st.st_size;
	return rc;
}

static int link_file(struct pfs_adopted *a, int from, const char *name, struct pfs_error *err)
{
	char folder[PFS_PACK_PATH_SIZE], path[PFS_PACK_PATH_SIZE];
	int rc;

	folder_of(&a->header, folder);
	pfs_pack_path(a->header.pack_uuid, PFS_PACK_ADOPTED, false, path);
	rc = pfs_io_mkdir_all(a->dir, folder, err);
	if (rc == 0)
		rc = pfs_fault("adopted.link", err);
	if (rc < 0)
		return rc;
	if (linkat(from, name, a->dir, path, 0) < 0)
		return has_to_be_copied(errno)
			       ? 0
			       : pfs_fail_errno(err, errno, "link %s into the store", name);
	rc = check_linked(a, path, err);
	if (rc < 0)
		pfs_adopted_unlink(a);
	return rc < 0 ? rc : 1;
}

int pfs_adopted_link(int dir, const struct pfs_packhdr *h, int from, const char *name,
		     struct pfs_packfooter *table, struct pfs_adopted **out, struct pfs_error *err)
{
	PFS_AUTO(pfs_adopted_free) struct pfs_adopted *a = calloc(1, sizeof(*a));
	int rc;

	if (!a)
		return pfs_fail_nomem(err, "an adopted file");
	a->dir = dir;
	a->header = *h;
	a->table = *table;
	rc = link_file(a, from, name, err);
	if (rc != 1) {
		pfs_packfooter_init(&a->table, PFS_PACK_ADOPTED); /* it stays the caller's */
		return rc;
	}
	pfs_packfooter_init(table, PFS_PACK_ADOPTED);
	*out = a;
	a = NULL;
	return 1;
}

static int write_table(const struct pfs_adopted *a, struct pfs_error *err)
{
	unsigned char header[PFS_PACKHDR_SIZE], *footer, *raw;
	char path[PFS_PACK_PATH_SIZE];
	size_t len;
	int rc;

	pfs_packhdr_encode(&a->header, header);
	pfs_pack_table_path(a->header.pack_uuid, path);
	rc = pfs_pack_make_footer(header, &a->table, sizeof(header), &footer, &len, err);
	if (rc < 0)
		return rc;
	raw = malloc(sizeof(header) + len);
	if (raw) {
		memcpy(raw, header, sizeof(header));
		memcpy(raw + sizeof(header), footer, len);
	}
	free(footer);
	if (!raw)
		return pfs_fail_nomem(err, "the table of an adopted file");
	rc = pfs_publish(a->dir, path, raw, sizeof(header) + len, 0600, err);
	free(raw);
	return rc;
}

/* From here on it is a pack. Again, when it was and nobody could be told. */
static int take_name(const struct pfs_adopted *a, struct pfs_error *err)
{
	char from[PFS_PACK_PATH_SIZE], to[PFS_PACK_PATH_SIZE];
	int rc = pfs_fault("adopted.rename", err);

	pfs_pack_path(a->header.pack_uuid, PFS_PACK_ADOPTED, false, from);
	pfs_pack_path(a->header.pack_uuid, PFS_PACK_ADOPTED, true, to);
	if (rc == 0 && renameat(a->dir, from, a->dir, to) < 0 && errno != ENOENT)
		rc = pfs_fail_errno(err, errno, "rename %s", from);
	return rc < 0 ? rc : pfs_io_sync_folder(a->dir, to, err);
}

int pfs_adopted_publish(struct pfs_adopted *a, int fd, struct pfs_error *err)
{
	char path[PFS_PACK_PATH_SIZE];
	int rc = a->flushed ? 0 : pfs_io_fdatasync(fd, "an adopted file", err);

	if (rc < 0)
		return rc;
	a->flushed = true;
	pfs_pack_path(a->header.pack_uuid, PFS_PACK_ADOPTED, false, path);
	rc = pfs_io_sync_folder(a->dir, path, err);
	if (rc == 0)
		rc = write_table(a, err);
	return rc < 0 ? rc : take_name(a, err);
}
