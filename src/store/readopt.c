#include "store/readopt.h"
#include "store/packlist.h"
#include "store/packset.h"
#include "store/store_i.h"
#include "base/fault.h"
#include "base/io.h"

#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>

struct readopting {
	struct pfs_store *st;
	struct pfs_store_parts parts;
	const struct pfs_readoption *how;
};

static void tell(const struct readopting *r, void (*to)(void *arg, const char *what),
		 const struct pfs_pack *pack, const char *what)
{
	char line[PFS_ERROR_TEXT_SIZE + 128], uuid[PFS_PACK_TEXT_SIZE];

	snprintf(line, sizeof(line), "pack %s: %s", pfs_pack_format(pack->uuid, uuid), what);
	if (to)
		to(r->how->arg, line);
}

static bool has_lost_its_table(const struct readopting *r, const struct pfs_pack *pack)
{
	PFS_AUTO(pfs_packlist_fini) struct pfs_packlist list = { 0 };

	return pack->kind == PFS_PACK_ADOPTED &&
	       __atomic_load_n(&pack->damaged, __ATOMIC_ACQUIRE) &&
	       __atomic_load_n(&pack->sealed, __ATOMIC_ACQUIRE) &&
	       pfs_packlist_load(r->parts.dir, pack, &list, NULL) == 0 && list.damaged;
}

static int survey(const struct readopting *r, struct pfs_pack *pack, struct pfs_adoption *a,
		  struct pfs_error *err)
{
	struct stat st;
	int fd, rc = pfs_packset_lend(r->parts.set, pack, &fd, err);

	if (rc < 0)
		return rc;
	if (fstat(fd, &st) < 0)
		rc = pfs_fail_errno(err, errno, "size of an adopted file");
	else
		rc = r->how->survey(r->how->arg, fd, (uint64_t)st.st_size, a, err);
	pfs_packset_return(r->parts.set, pack);
	return rc;
}

/* The same file under another name, with a table. */
static int adopt(const struct readopting *r, struct pfs_pack *pack, struct pfs_error *err)
{
	PFS_AUTO(pfs_adoption_abort) struct pfs_adoption *a = NULL;
	char path[PFS_PACK_PATH_SIZE];
	int rc = pfs_adoption_begin(r->st, &a, err);

	if (rc == 0)
		rc = survey(r, pack, a, err);
	pfs_pack_path(pack->uuid, PFS_PACK_ADOPTED, true, path);
	if (rc == 0)
		rc = pfs_adoption_commit(&a, r->parts.dir, path, err);
	if (rc == 0)
		rc = pfs_fault("readopt.sync", err);
	return rc < 0 ? rc : pfs_store_sync(r->st, err);
}

/* Nothing is found in it any more but what was damaged there, which nobody has found whole. */
static int drop(const struct readopting *r, struct pfs_pack *pack, struct pfs_error *err)
{
	int rc = pfs_packset_drop_pack(r->parts.set, pack, err);

	if (rc == 0)
		rc = pfs_packset_publish(r->parts.set, err);
	if (rc == 0)
		rc = pfs_fault("readopt.remove", err);
	return rc < 0 ? rc : pfs_pack_remove(r->parts.dir, pack, err);
}

static int readopt(const struct readopting *r, struct pfs_pack *pack, struct pfs_error *err)
{
	int rc;

	/* What lies there is to be adopted as if it were not there. */
	pfs_packset_condemn(r->parts.set, pack, true);
	rc = adopt(r, pack, err);
	if (rc == 0 && pfs_packset_found_in(r->parts.set, pack) > 0) {
		pfs_packset_condemn(r->parts.set, pack, false);
		tell(r, r->how->kept, pack,
		     "its table was lost and is made anew; the old one is kept, since something "
		     "in it was not found again");
		return 0;
	}
	if (rc == 0)
		rc = drop(r, pack, err);
	else
		pfs_packset_condemn(r->parts.set, pack, false);
	if (rc == 0)
		tell(r, r->how->mended, pack, "its table was lost and is made anew");
	return rc;
}

int pfs_store_readopt(struct pfs_store *st, const struct pfs_readoption *how, struct pfs_error *err)
{
	struct readopting r = { .st = st, .how = how };
	struct pfs_pack *pack;
	size_t pos = 0, last;

	if (!pfs_store_parts(st, &r.parts))
		return 0;
	/* Those that are made meanwhile are whole. */
	for (last = 0; (pack = pfs_packset_next(r.parts.set, &last));)
		;
	while (pos < last && (pack = pfs_packset_next(r.parts.set, &pos))) {
		struct pfs_error why = { 0 };
		int rc = has_lost_its_table(&r, pack) ? readopt(&r, pack, &why) : 0;

		if (rc == PFS_E_NOMEM || rc == PFS_E_NOSPACE)
			return pfs_fail(err, rc, "adopt a file once more: %s", why.text);
		if (rc < 0)
			tell(&r, how->kept, pack, why.text);
	}
	return 0;
}
