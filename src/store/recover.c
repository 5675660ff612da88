#include "store/recover.h"
#include "store/packlist.h"
#include "store/packscan.h"
#include "base/fault.h"
#include "base/io.h"
#include "base/limits.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Call `each` for every name in a folder; one that is not there is empty. */
static int walk(int dir, const char *path,
		int (*each)(void *arg, const char *name, struct pfs_error *err), void *arg,
		struct pfs_error *err)
{
	struct pfs_error why = { 0 };
	int fd = pfs_io_open(dir, path, O_RDONLY | O_DIRECTORY, 0, &why);
	DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
	struct dirent *e;
	int rc = 0;

	if (fd == PFS_E_NOTFOUND)
		return 0;
	if (!d) {
		if (fd >= 0)
			pfs_fd_close(&fd);
		return pfs_fail(err, PFS_E_IO, "list %s: %s", path,
				fd < 0 ? why.text : "no memory");
	}
	while (rc == 0 && (errno = 0, e = readdir(d)))
		if (e->d_name[0] != '.')
			rc = each(arg, e->d_name, err);
	if (rc == 0 && errno)
		rc = pfs_fail_errno(err, errno, "list %s", path);
	closedir(d);
	return rc;
}

static int file_size(int fd, uint64_t *out, struct pfs_error *err)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return pfs_fail_errno(err, errno, "size of a pack");
	*out = (uint64_t)st.st_size;
	return 0;
}

static int note(struct pfs_packset *set, const struct pfs_packlist_item *item,
		struct pfs_error *err)
{
	struct pfs_place place = item->place, other;
	int rc;

	/* Stored twice: somebody found the older copy damaged. */
	if (pfs_packset_find(set, &item->id, &other) &&
	    !pfs_packset_prefers(set, &item->id, &place, &other))
		return 0;
	place.doubted = pfs_packset_is_damaged(set, &item->id, &place);
	rc = pfs_packset_reserve(set, 1, err);
	if (rc == 0)
		pfs_packset_set(set, &item->id, &place);
	return rc;
}

static int note_all(struct pfs_packset *set, const struct pfs_packlist *list, struct pfs_error *err)
{
	int rc = 0;

	for (size_t i = 0; i < list->n && rc == 0; i++)
		rc = note(set, &list->items[i], err);
	return rc;
}

/* What a scan of an open pack's records found. */
struct findings {
	struct pfs_packfooter records; /* every whole record */
	uint64_t torn_at; /* the first place that is no whole record; the end if there is none */
};

static int note_findings(struct pfs_packset *set, const struct pfs_pack *pack,
			 const struct findings *found, uint64_t end, struct pfs_error *err)
{
	PFS_AUTO(pfs_packlist_fini) struct pfs_packlist list = { 0 };
	int rc = pfs_packlist_make(pack, &found->records, end, &list, err);

	return rc < 0 ? rc : note_all(set, &list, err);
}

struct loader {
	int dir;
	struct pfs_packset *set;
	const unsigned char *store_uuid;
	struct pfs_packlog *log;
	uint8_t kind;    /* of the folder being walked */
	char folder[16]; /* "packs/d", "packs/m" or "packs/a" */
	bool unread;     /* something in the folder below it is not covered by the index */
	uint32_t next_seq;
};

/* Of an adopted pack the header is in front of its table; PFS_E_NOTFOUND when there is none. */
static int load_header(const struct loader *l, int fd, const unsigned char *uuid,
		       struct pfs_packhdr *out)
{
	PFS_AUTO(pfs_fd_close) int table = -1;
	char path[PFS_PACK_PATH_SIZE];

	if (l->kind != PFS_PACK_ADOPTED)
		return pfs_pack_load_header(fd, uuid, l->store_uuid, out, NULL);
	pfs_pack_table_path(uuid, path);
	table = pfs_io_open_file(l->dir, path, O_RDONLY, NULL);
	return table < 0 ? table : pfs_pack_load_header(table, uuid, l->store_uuid, out, NULL);
}

static int remove_left(const struct loader *l, const char *path, struct pfs_error *err)
{
	if (unlinkat(l->dir, path, 0) < 0 && errno != ENOENT)
		return pfs_fail_errno(err, errno, "remove %s", path);
	return 0;
}

/*
 * An adopted file whose table was lost: what the file holds may be all there is.
 * Check tells of it, repair reads it.
 */
static int meet_untabled(struct loader *l, const unsigned char *uuid, uint64_t size,
			 struct pfs_error *err)
{
	struct pfs_pack *pack;
	int rc = pfs_packset_add_pack(l->set, uuid, PFS_PACK_ADOPTED, true, size, -1, &pack, err);

	if (rc == 0)
		__atomic_store_n(&pack->damaged, 1, __ATOMIC_RELEASE);
	return rc;
}

/* A pack that the index does not cover: what it holds is read later, when all packs are known. */
static int add_unread(struct loader *l, const unsigned char *uuid, const char *path, uint64_t size,
		      struct pfs_error *err)
{
	PFS_AUTO(pfs_fd_close) int fd = pfs_io_open_file(l->dir, path, O_RDONLY, err);
	struct pfs_packhdr h = { 0 };
	struct pfs_pack *pack;
	bool others;
	int rc;

	if (fd < 0 && fd != PFS_E_CORRUPT)
		return fd;
	rc = fd < 0 ? fd : load_header(l, fd, uuid, &h);
	if (rc == PFS_E_NOTFOUND)
		return meet_untabled(l, uuid, size, err);
	others = rc == PFS_E_INVALID; /* another store's: check tells of it */
	rc = pfs_packset_add_pack(l->set, uuid, l->kind, true, size, -1, &pack, err);
	if (rc < 0)
		return rc;
	pack->seq = others ? 0 : h.seq;
	pack->unread = !others;
	l->unread = true;
	if (pack->seq >= l->next_seq)
		l->next_seq = pack->seq + 1;
	return 0;
}

static int meet_sealed(struct loader *l, const unsigned char *uuid, struct pfs_error *err)
{
	char path[PFS_PACK_PATH_SIZE];
	struct pfs_pack *pack;
	struct stat st;

	pfs_pack_path(uuid, l->kind, true, path);
	if (fstatat(l->dir, path, &st, 0) < 0)
		return pfs_fail_errno(err, errno, "size of %s", path);
	if (!pfs_packset_claim(l->set, uuid, l->kind, (uint64_t)st.st_size, &pack))
		return add_unread(l, uuid, path, (uint64_t)st.st_size, err);
	if (pack->seq >= l->next_seq)
		l->next_seq = pack->seq + 1;
	return 0;
}

/* "<32 digits><end>" in a folder of adopted files. */
static bool parse_other(const char *name, const char *end, unsigned char out[PFS_UUID_SIZE])
{
	char pack_name[PFS_PACK_TEXT_SIZE + 8];

	if (strlen(name) < 2 * PFS_UUID_SIZE || strcmp(name + 2 * PFS_UUID_SIZE, end) != 0)
		return false;
	snprintf(pack_name, sizeof(pack_name), "%.*s.pk", 2 * PFS_UUID_SIZE, name);
	return pfs_pack_parse_name(pack_name, out);
}

/* A file that was linked and is no pack yet: with its table it becomes one. */
static int meet_new(struct loader *l, const unsigned char *uuid, struct pfs_error *err)
{
	char from[PFS_PACK_PATH_SIZE], to[PFS_PACK_PATH_SIZE], table[PFS_PACK_PATH_SIZE];

	pfs_pack_path(uuid, PFS_PACK_ADOPTED, false, from);
	pfs_pack_path(uuid, PFS_PACK_ADOPTED, true, to);
	pfs_pack_table_path(uuid, table);
	if (faccessat(l->dir, table, F_OK, 0) < 0)
		return remove_left(l, from, err);
	if (renameat(l->dir, from, l->dir, to) < 0)
		return pfs_fail_errno(err, errno, "rename %s", from);
	return pfs_io_sync_folder(l->dir, to, err);
}

/* What a crash left, before anything else is looked at. */
static int each_left(void *arg, const char *name, struct pfs_error *err)
{
	unsigned char uuid[PFS_UUID_SIZE];
	char path[PFS_PACK_PATH_SIZE];
	struct loader *l = arg;

	if (parse_other(name, ".gone", uuid))
		return pfs_pack_remove_gone(l->dir, uuid, err);
	if (parse_other(name, ".new", uuid))
		return meet_new(l, uuid, err);
	if (!parse_other(name, ".pt.new", uuid))
		return 0;
	pfs_pack_table_path(uuid, path);
	strcat(path, ".new");
	return remove_left(l, path, err);
}

/* A table whose file has gone. */
static int each_table(struct loader *l, const char *name, struct pfs_error *err)
{
	unsigned char uuid[PFS_UUID_SIZE];
	char path[PFS_PACK_PATH_SIZE];
	struct pfs_pack *pack;

	if (!parse_other(name, ".pt", uuid))
		return 0;
	pfs_pack_path(uuid, PFS_PACK_ADOPTED, true, path);
	if (faccessat(l->dir, path, F_OK, 0) == 0)
		return 0;
	return pfs_packset_add_pack(l->set, uuid, PFS_PACK_ADOPTED, true, 0, -1, &pack, err);
}

static int each_sealed(void *arg, const char *name, struct pfs_error *err)
{
	unsigned char uuid[PFS_UUID_SIZE];
	struct loader *l = arg;

	if (pfs_pack_parse_name(name, uuid))
		return meet_sealed(l, uuid, err);
	return l->kind == PFS_PACK_ADOPTED ? each_table(l, name, err) : 0;
}

static int each_folder(void *arg, const char *name, struct pfs_error *err)
{
	PFS_AUTO(pfs_fd_close) int fd = -1;
	struct loader *l = arg;
	char path[32];
	int rc;

	if (strlen(name) != 2)
		return 0;
	memcpy(path, l->folder, 7);
	path[7] = '/';
	memcpy(path + 8, name, 3);
	l->unread = false;
	rc = l->kind == PFS_PACK_ADOPTED ? walk(l->dir, path, each_left, l, err) : 0;
	if (rc == 0)
		rc = walk(l->dir, path, each_sealed, l, err);
	if (rc < 0 || !l->unread)
		return rc;
	/* Who moved it there may have been killed before its name was durable, and from now on
	 * puts rely on what is in it. */
	fd = pfs_io_open(l->dir, path, O_RDONLY | O_DIRECTORY, 0, err);
	return fd < 0 ? fd : pfs_io_fsync(fd, path, err);
}

static int read_pack(struct loader *l, struct pfs_pack *pack, struct pfs_error *err)
{
	PFS_AUTO(pfs_packlist_fini) struct pfs_packlist list = { 0 };
	int rc = pfs_packlist_load(l->dir, pack, &list, err);

	if (rc == 0)
		rc = note_all(l->set, &list, err);
	if (rc == 0)
		pfs_packset_complete(l->set, pack);
	return rc;
}

/*
 * Read what the index does not cover. Without an index, and with more than fits
 * in memory, all packs are read once more, to make it in one piece. A disk that
 * is full keeps no store from being opened: then it all stays in memory.
 */
static int read_packs(struct loader *l, bool indexed, struct pfs_error *err)
{
	struct pfs_pack *pack;
	size_t pos = 0;
	int rc = 0;

	while (rc == 0 && (pack = pfs_packset_next(l->set, &pos))) {
		bool goes_on = true;

		if (pack->unread)
			rc = read_pack(l, pack, err);
		if (rc < 0 || !pfs_packset_is_due(l->set))
			continue;
		if (!indexed)
			goes_on = pfs_packset_rebuild(l->set, NULL) < 0;
		indexed = true;
		while (goes_on && pfs_packset_is_due(l->set))
			goes_on = pfs_packset_tidy(l->set, NULL) == 1;
	}
	return rc;
}

int pfs_recover_sealed(int dir, struct pfs_packset *set,
		       const unsigned char store_uuid[PFS_UUID_SIZE], uint32_t *out_seq,
		       struct pfs_error *err)
{
	static const struct {
		uint8_t kind;
		const char *folder;
	} folders[] = {
		{ PFS_PACK_META, "packs/m" },
		{ PFS_PACK_DATA, "packs/d" },
		{ PFS_PACK_ADOPTED, "packs/a" },
	};
	struct loader l = { .dir = dir, .set = set, .store_uuid = store_uuid, .next_seq = 1 };
	int rc = pfs_packset_load_index(set, err);

	for (size_t i = 0; i < sizeof(folders) / sizeof(*folders) && rc == 0; i++) {
		l.kind = folders[i].kind;
		memcpy(l.folder, folders[i].folder, 8);
		rc = walk(dir, l.folder, each_folder, &l, err);
	}
	if (rc == 0)
		rc = read_packs(&l, pfs_packset_claim_end(set), err);
	/* On a disk that is full or read-only it is tried again the next time. */
	if (rc == 0)
		pfs_packset_mend_index(set);
	if (rc == 0)
		*out_seq = l.next_seq;
	return rc;
}

/* A pack that a crash left before it held anything. */
static int remove_empty(const struct loader *l, const unsigned char *uuid, struct pfs_error *err)
{
	char path[PFS_PACK_PATH_SIZE];

	pfs_pack_path(uuid, PFS_PACK_META, false, path);
	if (unlinkat(l->dir, path, 0) < 0 && errno != ENOENT)
		return pfs_fail_errno(err, errno, "remove %s", path);
	pfs_packwriter_remove_durable(l->dir, uuid);
	return 0;
}

/* What is behind the last whole record was never flushed: away with it. */
static int cut_tail(int fd, uint64_t size, uint64_t end, struct pfs_error *err)
{
	int rc = size > end ? pfs_fault("recover.cut", err) : 0;

	if (rc == 0 && size > end && ftruncate(fd, (off_t)end) < 0)
		return pfs_fail_errno(err, errno, "cut a pack to %llu bytes",
				      (unsigned long long)end);
	return rc;
}

/* Take over *fd and go on appending to this pack. */
static int resume(struct loader *l, const struct pfs_packhdr *h, int *fd, struct findings *found,
		  uint64_t durable, struct pfs_pack **out_pack, struct pfs_error *err)
{
	struct pfs_packwriter *w;
	int rc = pfs_packset_add_pack(l->set, h->pack_uuid, h->kind, false, found->torn_at, *fd,
				      out_pack, err);
	int taken = *fd;

	if (rc < 0)
		return rc;
	*fd = -1;
	(*out_pack)->seq = h->seq;
	rc = note_findings(l->set, *out_pack, found, found->torn_at, err);
	if (rc == 0)
		rc = pfs_packwriter_resume(l->dir, h, taken, found->torn_at, durable,
					   &found->records, &w, err);
	if (rc < 0)
		return rc;
	w->pack = *out_pack;
	pfs_packlog_resume(l->log, w);
	return 0;
}

static int load_open(struct loader *l, const unsigned char *uuid, struct findings *found,
		     struct pfs_error *err)
{
	uint64_t durable = pfs_packwriter_load_durable(l->dir, uuid);
	PFS_AUTO(pfs_fd_close) int fd = -1;
	char path[PFS_PACK_PATH_SIZE];
	struct pfs_packhdr h = { 0 };
	struct pfs_pack *pack;
	uint64_t size = 0;
	bool known;
	int rc;

	pfs_pack_path(uuid, PFS_PACK_META, false, path);
	fd = pfs_io_open_file(l->dir, path, O_RDWR, err);
	rc = fd < 0 ? fd : file_size(fd, &size, err);
	if (rc < 0)
		return rc;
	rc = pfs_pack_load_header(fd, uuid, l->store_uuid, &h, NULL);
	if (rc == PFS_E_INVALID) /* another store's: check tells of it */
		return pfs_packset_add_pack(l->set, uuid, PFS_PACK_META, false, size, -1, &pack,
					    err);
	known = rc == 0;
	/* Without a header the pack is known by its name and its records alone. */
	rc = pfs_packscan_all(fd, size, known ? durable : size, &found->records, &found->torn_at,
			      err);
	if (rc < 0)
		return rc;
	if (pfs_packfooter_records(&found->records) == 0 && durable == 0)
		return remove_empty(l, uuid, err);
	if (known && found->torn_at >= durable) {
		rc = cut_tail(fd, size, found->torn_at, err);
		return rc < 0 ? rc : resume(l, &h, &fd, found, durable, &pack, err);
	}
	/* Damaged where it was durable: nothing is cut, nothing added, all that is whole is read. */
	rc = pfs_packset_add_pack(l->set, uuid, PFS_PACK_META, false, size, -1, &pack, err);
	/* Nothing will flush it later, and puts may rely on what is found in it. */
	if (rc == 0)
		rc = pfs_io_fdatasync(fd, path, err);
	if (rc < 0)
		return rc;
	pack->seq = h.seq;
	return note_findings(l->set, pack, found, size, err);
}

static int each_open(void *arg, const char *name, struct pfs_error *err)
{
	unsigned char uuid[PFS_UUID_SIZE];
	struct findings found;
	int rc;

	if (!pfs_pack_parse_name(name, uuid))
		return 0;
	pfs_packfooter_init(&found.records, PFS_PACK_DATA);
	rc = load_open(arg, uuid, &found, err);
	pfs_packfooter_fini(&found.records);
	return rc < 0 ? pfs_wrap(err, rc, "open/%s", name) : 0;
}

int pfs_recover_open(int dir, struct pfs_packset *set,
		     const unsigned char store_uuid[PFS_UUID_SIZE], struct pfs_packlog *log,
		     struct pfs_error *err)
{
	struct loader l = { .dir = dir, .set = set, .store_uuid = store_uuid, .log = log };

	return walk(dir, "open", each_open, &l, err);
}
