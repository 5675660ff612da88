#include "page/pagevfs.h"
#include "page/pagesum.h"
#include "page/pagewal.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#define RESERVED_AT 20 /* in page 1: how many bytes SQLite leaves free in each page */
#define SALTS_AT    8  /* in the head of a frame */
#define SUM_AT      16
#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

/* What SQLite calls a file: ours, and behind it the one of the layer below. */
struct page_file {
	sqlite3_file base;
	bool is_log;
	/* The log: the head that was written last, and of which frame; how many frames it has, as
	 * far as this connection wrote them. */
	unsigned char head[PFS_PAGEWAL_FRAME_HEAD];
	uint32_t headed;
	uint32_t last;
	enum { ORDER_UNKNOWN, ORDER_LITTLE, ORDER_BIG } order; /* of the words that are added */
	char damage[192];
};

static sqlite3_vfs *below;

static sqlite3_file *real(sqlite3_file *file)
{
	return (sqlite3_file *)(void *)((char *)file + sizeof(struct page_file));
}

static int note(struct page_file *f, int rc, const char *text)
{
	snprintf(f->damage, sizeof(f->damage), "%.*s", (int)sizeof(f->damage) - 1, text);
	return rc;
}

static int check_page(struct page_file *f, const void *data, int len, sqlite3_int64 off)
{
	struct pfs_error err;

	if (len != PFS_PAGE_SIZE || off % PFS_PAGE_SIZE)
		return note(f, SQLITE_IOERR_DATA,
			    "page 1 is damaged: the page size in it is wrong");
	if (pfs_pagesum_check(data, (uint32_t)(off / PFS_PAGE_SIZE + 1), &err) < 0)
		return note(f, SQLITE_IOERR_DATA, err.text);
	return SQLITE_OK;
}

/* The frame that a page at `off` of the log belongs to; 0: it is none. */
static uint32_t frame_of_page(sqlite3_int64 off)
{
	off -= PFS_PAGEWAL_HEADER_SIZE + PFS_PAGEWAL_FRAME_HEAD;
	return off < 0 || off % PFS_PAGEWAL_FRAME_SIZE
		       ? 0
		       : (uint32_t)(off / PFS_PAGEWAL_FRAME_SIZE + 1);
}

static int check_frame(struct page_file *f, uint32_t frame, const void *page)
{
	struct pfs_error err;
	char text[160];

	if (pfs_pagesum_check(page, pfs_pagesum_number(page), &err) == 0)
		return SQLITE_OK;
	snprintf(text, sizeof(text), "frame %u of the log: %.100s", frame, err.text);
	return note(f, SQLITE_IOERR_DATA, text);
}

static int page_read(sqlite3_file *file, void *data, int len, sqlite3_int64 off)
{
	struct page_file *f = (struct page_file *)file;
	int rc = real(file)->pMethods->xRead(real(file), data, len, off);
	uint32_t frame;

	if (rc != SQLITE_OK)
		return rc;
	if (!f->is_log)
		/* Less than a page are the fields at the begin that SQLite looks at first. */
		return len > 100 ? check_page(f, data, len, off) : SQLITE_OK;
	frame = len == PFS_PAGE_SIZE ? frame_of_page(off) : 0;
	return frame ? check_frame(f, frame, data) : SQLITE_OK;
}

/* Where a quota ends the disk is full, which SQLite does not know. */
static int put(struct page_file *f, const void *data, int len, sqlite3_int64 off)
{
	int rc = real(&f->base)->pMethods->xWrite(real(&f->base), data, len, off);

	return rc == SQLITE_IOERR_WRITE && errno == EDQUOT ? SQLITE_FULL : rc;
}

static int write_page(struct page_file *f, const void *data, int len, sqlite3_int64 off)
{
	unsigned char page[PFS_PAGE_SIZE];

	if (len != PFS_PAGE_SIZE || off % PFS_PAGE_SIZE ||
	    (off == 0 && ((const unsigned char *)data)[RESERVED_AT] != PFS_PAGE_SUM_SIZE))
		return note(f, SQLITE_IOERR_WRITE, "pages leave no room for a checksum");
	memcpy(page, data, sizeof(page));
	pfs_pagesum_stamp(page, (uint32_t)(off / PFS_PAGE_SIZE + 1));
	return put(f, page, len, off);
}

static int load_order(struct page_file *f)
{
	unsigned char magic[4];
	int rc = SQLITE_OK;

	if (f->order == ORDER_UNKNOWN)
		rc = real(&f->base)->pMethods->xRead(real(&f->base), magic, sizeof(magic), 0);
	if (f->order == ORDER_UNKNOWN && rc == SQLITE_OK)
		f->order = magic[3] & 1 ? ORDER_BIG : ORDER_LITTLE;
	return rc;
}

/* The checksum that stands before frame `number`: of the frame before it, or of the header. */
static int load_sum(struct page_file *f, uint32_t number, unsigned char stored[8])
{
	sqlite3_int64 at = PFS_PAGEWAL_HEADER_SIZE - 8;

	if (number > 1)
		at += (sqlite3_int64)(number - 2) * PFS_PAGEWAL_FRAME_SIZE + PFS_PAGEWAL_FRAME_HEAD;
	return real(&f->base)->pMethods->xRead(real(&f->base), stored, 8, at);
}

/*
 * SQLite has added up the page as it was without its checksum. So the frame's sum
 * is made anew, on the one that stands in the file before it; SQLite itself reads
 * these sums from the file only.
 */
static int write_frame(struct page_file *f, const unsigned char *page, uint32_t number)
{
	unsigned char frame[PFS_PAGEWAL_FRAME_SIZE], stored[8];
	int rc = load_sum(f, number, stored);

	if (rc == SQLITE_OK)
		rc = load_order(f);
	if (rc != SQLITE_OK)
		return rc;
	memcpy(frame, f->head, PFS_PAGEWAL_FRAME_HEAD);
	memcpy(frame + PFS_PAGEWAL_FRAME_HEAD, page, PFS_PAGE_SIZE);
	pfs_pagewal_store(frame + SUM_AT, pfs_pagewal_add_frame(pfs_pagewal_load(stored),
								f->order == ORDER_BIG, frame));
	return put(f, frame, sizeof(frame),
		   PFS_PAGEWAL_HEADER_SIZE + (sqlite3_int64)(number - 1) * PFS_PAGEWAL_FRAME_SIZE);
}

/* Frames behind a new one belong to a transaction that was given up: they go, so that nobody takes
 * them for more. */
static int drop_behind(struct page_file *f, uint32_t number)
{
	int rc = SQLITE_OK;

	if (number < f->last)
		rc = real(&f->base)->pMethods->xTruncate(
			real(&f->base),
			PFS_PAGEWAL_HEADER_SIZE + (sqlite3_int64)number * PFS_PAGEWAL_FRAME_SIZE);
	if (rc == SQLITE_OK)
		f->last = number;
	return rc;
}

/*
 * A transaction that is larger than the cache writes pages more than once: then
 * without a head, and what follows has heads without salts and sums until it
 * commits, when all are put right from what is in the file.
 */
static int write_log_page(struct page_file *f, const void *data, sqlite3_int64 off, uint32_t number)
{
	static const unsigned char no_salts[8];
	unsigned char page[PFS_PAGE_SIZE];
	bool headed = f->headed == number;
	int rc = headed ? drop_behind(f, number)
			: real(&f->base)->pMethods->xRead(real(&f->base), f->head, sizeof(f->head),
							  off - (int)sizeof(f->head));

	f->headed = 0;
	if (rc != SQLITE_OK)
		return rc;
	memcpy(page, data, sizeof(page));
	pfs_pagesum_stamp(page, pfs_pagewal_page(f->head));
	if (headed && memcmp(f->head + SALTS_AT, no_salts, sizeof(no_salts)) != 0)
		return write_frame(f, page, number);
	return put(f, page, PFS_PAGE_SIZE, off);
}

static int write_log(struct page_file *f, const void *data, int len, sqlite3_int64 off)
{
	uint32_t number = len == PFS_PAGE_SIZE ? frame_of_page(off) : 0;

	if (number)
		return write_log_page(f, data, off, number);
	if (len == PFS_PAGEWAL_FRAME_HEAD) {
		f->headed = frame_of_page(off + PFS_PAGEWAL_FRAME_HEAD);
		memcpy(f->head, data, PFS_PAGEWAL_FRAME_HEAD);
	} else if (off == 0 && len == PFS_PAGEWAL_HEADER_SIZE) {
		f->headed = f->last = 0;
		f->order = ((const unsigned char *)data)[3] & 1 ? ORDER_BIG : ORDER_LITTLE;
	}
	return put(f, data, len, off);
}

static int page_write(sqlite3_file *file, const void *data, int len, sqlite3_int64 off)
{
	struct page_file *f = (struct page_file *)file;

	return f->is_log ? write_log(f, data, len, off) : write_page(f, data, len, off);
}

static int page_close(sqlite3_file *file)
{
	return real(file)->pMethods->xClose(real(file));
}

static int page_truncate(sqlite3_file *file, sqlite3_int64 size)
{
	return real(file)->pMethods->xTruncate(real(file), size);
}

static int page_sync(sqlite3_file *file, int flags)
{
	return real(file)->pMethods->xSync(real(file), flags);
}

static int page_size(sqlite3_file *file, sqlite3_int64 *out)
{
	return real(file)->pMethods->xFileSize(real(file), out);
}

static int page_lock(sqlite3_file *file, int level)
{
	return real(file)->pMethods->xLock(real(file), level);
}

static int page_unlock(sqlite3_file *file, int level)
{
	return real(file)->pMethods->xUnlock(real(file), level);
}

static int page_is_reserved(sqlite3_file *file, int *out)
{
	return real(file)->pMethods->xCheckReservedLock(real(file), out);
}

static int page_control(sqlite3_file *file, int op, void *arg)
{
	return real(file)->pMethods->xFileControl(real(file), op, arg);
}

static int page_sector(sqlite3_file *file)
{
	return real(file)->pMethods->xSectorSize(real(file));
}

static int page_device(sqlite3_file *file)
{
	return real(file)->pMethods->xDeviceCharacteristics(real(file));
}

/*
 * The layer below writes a byte of each 4 KiB, which leaves holes where blocks are
 * smaller: on a full disk a store into one would end the process.
 */
static bool fill_holes(void volatile *at, int size)
{
	return madvise((void *)(uintptr_t)at, (size_t)size, MADV_POPULATE_WRITE) == 0 ||
	       errno != EFAULT; /* a kernel before Linux 5.14 does not know */
}

static int page_shm_map(sqlite3_file *file, int region, int size, int extend, void volatile **out)
{
	int rc = real(file)->pMethods->xShmMap(real(file), region, size, extend, out);

	if (rc == SQLITE_IOERR_SHMSIZE && (errno == ENOSPC || errno == EDQUOT))
		return SQLITE_FULL;
	if (rc != SQLITE_OK || !*out || fill_holes(*out, size))
		return rc;
	*out = NULL;
	return SQLITE_FULL;
}

static int page_shm_lock(sqlite3_file *file, int at, int n, int flags)
{
	return real(file)->pMethods->xShmLock(real(file), at, n, flags);
}

static void page_shm_barrier(sqlite3_file *file)
{
	real(file)->pMethods->xShmBarrier(real(file));
}

static int page_shm_unmap(sqlite3_file *file, int remove)
{
	return real(file)->pMethods->xShmUnmap(real(file), remove);
}

/* Version 2 has no xFetch, so SQLite maps nothing. */
static const sqlite3_io_methods page_methods = {
	.iVersion = 2,
	.xClose = page_close,
	.xRead = page_read,
	.xWrite = page_write,
	.xTruncate = page_truncate,
	.xSync = page_sync,
	.xFileSize = page_size,
	.xLock = page_lock,
	.xUnlock = page_unlock,
	.xCheckReservedLock = page_is_reserved,
	.xFileControl = page_control,
	.xSectorSize = page_sector,
	.xDeviceCharacteristics = page_device,
	.xShmMap = page_shm_map,
	.xShmLock = page_shm_lock,
	.xShmBarrier = page_shm_barrier,
	.xShmUnmap = page_shm_unmap,
};

static int page_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *file, int flags,
		     int *out_flags)
{
	struct page_file *f = (struct page_file *)file;
	int rc;

	if (!(flags & (SQLITE_OPEN_MAIN_DB | SQLITE_OPEN_WAL)))
		return below->xOpen(below, name, file, flags, out_flags);
	memset(f, 0, sizeof(*f));
	f->is_log = (flags & SQLITE_OPEN_WAL) != 0;
	rc = below->xOpen(below, name, real(file), flags, out_flags);
	/* Also after a failure SQLite closes what has methods. */
	f->base.pMethods = real(file)->pMethods ? &page_methods : NULL;
	return rc;
}

/* Everything but opening is the layer's below; it gets its own table as argument. */
static int page_delete(sqlite3_vfs *vfs, const char *name, int sync)
{
	return below->xDelete(below, name, sync);
}

static int page_access(sqlite3_vfs *vfs, const char *name, int flags, int *out)
{
	return below->xAccess(below, name, flags, out);
}

static int page_full_name(sqlite3_vfs *vfs, const char *name, int size, char *out)
{
	return below->xFullPathname(below, name, size, out);
}

static sqlite3_vfs page_vfs = { .zName = "pfs" };
static bool registered;

static void register_vfs(void)
{
	below = sqlite3_vfs_find(NULL);
	if (!below)
		return;
	page_vfs = *below;
	page_vfs.pNext = NULL;
	page_vfs.zName = "pfs";
	page_vfs.szOsFile = below->szOsFile + (int)sizeof(struct page_file);
	page_vfs.xOpen = page_open;
	page_vfs.xDelete = page_delete;
	page_vfs.xAccess = page_access;
	page_vfs.xFullPathname = page_full_name;
	registered = sqlite3_vfs_register(&page_vfs, 0) == SQLITE_OK;
}

const char *pfs_pagevfs_name(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, register_vfs);
	return registered ? page_vfs.zName : NULL;
}

static const char *damage_of(sqlite3 *db, int which)
{
	static _Thread_local char text[sizeof(((struct page_file *)0)->damage)];
	sqlite3_file *file = NULL;
	struct page_file *f;

	if (sqlite3_file_control(db, "main", which, &file) != SQLITE_OK || !file ||
	    file->pMethods != &page_methods)
		return NULL;
	f = (struct page_file *)file;
	memcpy(text, f->damage, sizeof(text));
	f->damage[0] = 0;
	return text[0] ? text : NULL;
}

const char *pfs_pagevfs_damage(sqlite3 *db)
{
	const char *text = damage_of(db, SQLITE_FCNTL_FILE_POINTER);

	return text ? text : damage_of(db, SQLITE_FCNTL_JOURNAL_POINTER);
}
