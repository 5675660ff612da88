/*
 * Bytes from a disk that lies: the pieces of the index, and a whole run whose
 * checksums are right and whose records and fences are anything. What a decoder
 * accepts, its encoder has to write back bit for bit; a run that makes no sense
 * may be searched, walked and merged all the same.
 *
 * The first byte chooses the piece; the rest is the piece.
 */
#include "format/packidx.h"
#include "store/indexmerge.h"
#include "base/crc32c.h"
#include "base/endian.h"
#include "../scratch.h"

#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool holds)
{
	if (!holds)
		abort();
}

/* A copy filled up with zeros. */
static unsigned char *piece(const uint8_t *data, size_t size, size_t want)
{
	unsigned char *p = calloc(1, want);

	must(p);
	if (size)
		memcpy(p, data, size < want ? size : want);
	return p;
}

static void try_header(const uint8_t *data, size_t size)
{
	unsigned char *p = piece(data, size, PFS_IDXPAGE_SIZE), again[PFS_IDXPAGE_SIZE];
	struct pfs_idxhdr h;

	if (pfs_idxhdr_decode(p, &h, NULL) == 0) {
		pfs_idxhdr_encode(&h, again);
		must(memcmp(p, again, PFS_IDXPAGE_ROOM) == 0);
	}
	free(p);
}

static void try_record(const uint8_t *data, size_t size)
{
	unsigned char *p = piece(data, size, PFS_IDXREC_SIZE), again[PFS_IDXREC_SIZE];
	struct pfs_idxrec r;

	pfs_idxrec_decode(p, &r);
	pfs_idxrec_encode(&r, again);
	must(memcmp(p, again, sizeof(again)) == 0);
	free(p);
}

static void try_runs_and_packs(const struct pfs_idxmanifest *m, const unsigned char *p)
{
	unsigned char again[PFS_IDXPACK_SIZE];
	struct pfs_idxpack pack;
	struct pfs_idxrun run;

	p += PFS_IDXHEAD_SIZE;
	for (uint32_t i = 0; i < m->n_runs; i++, p += PFS_IDXRUN_SIZE)
		if (pfs_idxrun_decode(p, m, &run, NULL) == 0) {
			pfs_idxrun_encode(&run, again);
			must(memcmp(p, again, PFS_IDXRUN_SIZE) == 0);
		}
	for (uint32_t i = 0; i < m->n_packs; i++, p += PFS_IDXPACK_SIZE)
		if (pfs_idxpack_decode(p, m, &pack, NULL) == 0) {
			pfs_idxpack_encode(&pack, again);
			must(memcmp(p, again, PFS_IDXPACK_SIZE) == 0);
		}
}

static void try_manifest(const uint8_t *data, size_t size)
{
	size_t len = size < 8 ? 8 : size;
	unsigned char *p = piece(data, size, len), again[PFS_IDXHEAD_SIZE];
	struct pfs_idxmanifest m;

	pfs_put_le32(p + len - 4, pfs_crc32c(0, p, len - 4));
	if (pfs_idxmanifest_decode(p, len, &m, NULL) == 0) {
		pfs_idxmanifest_encode(&m, again);
		must(memcmp(p, again, sizeof(again)) == 0 && pfs_idxmanifest_size(&m) == len);
		try_runs_and_packs(&m, p);
	}
	free(p);
}

/* Pages of these bytes, over and over, behind a header that tells the truth about their number. */
static void write_run(int dir, const struct pfs_idxhdr *h, const uint8_t *data, size_t size)
{
	unsigned char page[PFS_IDXPAGE_SIZE];
	char path[PFS_INDEXRUN_PATH_SIZE];
	int fd;

	pfs_indexrun_path(1, path);
	fd = pfs_io_open(dir, path, O_WRONLY | O_CREAT | O_TRUNC, 0600, NULL);
	must(fd >= 0);
	for (uint32_t i = 0; i < pfs_idxhdr_pages(h); i++) {
		if (i == 0)
			pfs_idxhdr_encode(h, page);
		else
			for (size_t k = 0; k < PFS_IDXPAGE_ROOM; k++)
				page[k] = data[(k + i * 7u) % size];
		pfs_idxpage_seal(page, 1, i);
		must(pfs_io_write(fd, page, sizeof(page), NULL) == 0);
	}
	pfs_fd_close(&fd);
}

static void search(struct pfs_indexrun *run, const uint8_t *data, size_t size)
{
	struct pfs_indexcursor c;
	struct pfs_idxrec rec;
	unsigned walked = 0;

	for (size_t i = 0; i + PFS_ID_SIZE <= size && i < 64; i++) {
		struct pfs_id id;

		memcpy(&id, data + i, sizeof(id));
		must(pfs_indexrun_find(run, &id, &rec, NULL) >= 0);
	}
	must(pfs_indexcursor_init(&c, run, NULL) == 0);
	while (pfs_indexcursor_next(&c, &rec, NULL) == 1)
		walked++;
	pfs_indexcursor_fini(&c);
	must(walked == pfs_indexrun_what(run)->records);
	must(pfs_indexrun_check(run, NULL) == 0);
}

static bool keep(void *arg, const struct pfs_idxrec *rec)
{
	return rec->pack % 3;
}

static void merge(int dir, struct pfs_indexrun *run, const struct pfs_idxhdr *h)
{
	struct pfs_indexrun *both[] = { run, run };
	struct pfs_indexmerge *m = NULL;
	struct pfs_idxrun what;
	int rc;

	must(pfs_indexmerge_begin(dir, h->store_uuid, both, 2, 2, 1, &m, NULL) == 0);
	while ((rc = pfs_indexmerge_step(m, 100, keep, NULL, NULL)) == 1)
		;
	must(rc == 0 || rc == PFS_E_CORRUPT);
	if (rc == 0)
		must(pfs_indexmerge_finish(&m, &what, NULL) == 0 && what.records <= h->records);
	pfs_indexmerge_abort(&m);
}

static void try_run(const uint8_t *data, size_t size)
{
	struct scratch dir = scratch_new();
	struct pfs_idxrun what = { .number = 1 };
	struct pfs_indexrun *run = NULL;
	struct pfs_idxhdr h = { .records = 1, .blocks = 1 };
	int fd = pfs_io_open(AT_FDCWD, dir.path, O_RDONLY | O_DIRECTORY, 0, NULL);

	must(fd >= 0 && pfs_io_mkdir_all(fd, "index", NULL) == 0);
	if (size >= 4) {
		h.records += pfs_get_le16(data) % 400;
		h.blocks += pfs_get_le16(data + 2) % 200;
		what.records = h.records;
		write_run(fd, &h, data, size);
		must(pfs_indexrun_open(fd, &what, h.store_uuid, &run, NULL) == 0);
		search(run, data, size);
		merge(fd, run, &h);
	}
	pfs_indexrun_unref(&run);
	pfs_fd_close(&fd);
	scratch_fini(&dir);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size == 0)
		return 0;
	switch (data[0] % 4) {
	case 0:
		try_header(data + 1, size - 1);
		break;
	case 1:
		try_record(data + 1, size - 1);
		break;
	case 2:
		try_manifest(data + 1, size - 1);
		break;
	default:
		try_run(data + 1, size - 1);
	}
	return 0;
}
