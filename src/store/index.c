#include "store/index.h"
#include "base/buf.h"
#include "base/crc32c.h"
#include "base/endian.h"
#include "base/io.h"
#include "base/limits.h"
#include "base/publish.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MANIFEST      "index/manifest"
#define NUMBER_DIGITS 16
#define MANIFEST_SIZE_MAX                                                  \
	(PFS_IDXHEAD_SIZE + (size_t)PFS_INDEX_RUNS_MAX * PFS_IDXRUN_SIZE + \
	 (size_t)PFS_PACKS_MAX * PFS_IDXPACK_SIZE + 4)

struct pfs_indexruns *pfs_indexruns_new(struct pfs_indexrun *const *runs, size_t n)
{
	struct pfs_indexruns *r = malloc(sizeof(*r) + n * sizeof(struct pfs_indexrun *));

	if (!r)
		return NULL;
	r->refs = 1;
	r->n = n;
	for (size_t i = 0; i < n; i++)
		r->runs[i] = pfs_indexrun_ref(runs[i]);
	return r;
}

struct pfs_indexruns *pfs_indexruns_ref(struct pfs_indexruns *r)
{
	__atomic_add_fetch(&r->refs, 1, __ATOMIC_RELAXED);
	return r;
}

void pfs_indexruns_unref(struct pfs_indexruns **r)
{
	if (!*r)
		return;
	if (__atomic_sub_fetch(&(*r)->refs, 1, __ATOMIC_ACQ_REL) == 0) {
		for (size_t i = 0; i < (*r)->n; i++)
			pfs_indexrun_unref(&(*r)->runs[i]);
		free(*r);
	}
	*r = NULL;
}

bool pfs_indexruns_may_hold(const struct pfs_indexruns *r, const struct pfs_id *id)
{
	for (size_t i = 0; i < r->n; i++)
		if (pfs_indexrun_may_hold(r->runs[i], id))
			return true;
	return false;
}

int pfs_indexruns_next(const struct pfs_indexruns *r, const struct pfs_id *id, size_t *pos,
		       struct pfs_idxrec *out, struct pfs_error *err)
{
	int rc = 0;

	while (*pos < r->n && rc == 0)
		rc = pfs_indexrun_find(r->runs[(*pos)++], id, out, err);
	return rc;
}

void pfs_index_fini(struct pfs_index *x)
{
	pfs_indexruns_unref(&x->runs);
	free(x->packs);
	x->packs = NULL;
	x->n_packs = 0;
}

/* Call `each` for the number of every run file that is there. */
static void walk_files(int dir, void (*each)(void *arg, uint64_t number), void *arg)
{
	int fd = pfs_io_open(dir, "index", O_RDONLY | O_DIRECTORY, 0, NULL);
	DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
	struct dirent *e;

	if (!d) {
		pfs_fd_close(&fd);
		return;
	}
	while ((e = readdir(d))) {
		char digits[NUMBER_DIGITS + 1];
		unsigned char raw[8];
		uint64_t number;

		if (strlen(e->d_name) != NUMBER_DIGITS + 3 ||
		    strcmp(e->d_name + NUMBER_DIGITS, ".ix") != 0)
			continue;
		memcpy(digits, e->d_name, NUMBER_DIGITS);
		digits[NUMBER_DIGITS] = 0;
		if (pfs_hex_parse(digits, raw, sizeof(raw), NULL) < 0)
			continue;
		memcpy(&number, raw, sizeof(number));
		each(arg, be64toh(number));
	}
	closedir(d);
}

static void note_number(void *arg, uint64_t number)
{
	uint64_t *next = arg;

	if (number >= *next && number < UINT64_MAX)
		*next = number + 1;
}

static int load_manifest(int dir, const unsigned char *store_uuid, struct pfs_buf *raw,
			 struct pfs_idxmanifest *out, struct pfs_error *err)
{
	struct pfs_idxmanifest m;
	int rc = pfs_io_load_file(dir, MANIFEST, raw, err);

	if (rc < 0)
		return rc;
	rc = pfs_idxmanifest_decode(raw->data, raw->len, &m, err);
	if (rc == 0 && memcmp(m.store_uuid, store_uuid, PFS_UUID_SIZE) != 0)
		rc = pfs_fail(err, PFS_E_CORRUPT, "belongs to another store");
	if (rc < 0)
		return pfs_wrap(err, rc, MANIFEST);
	*out = m;
	return 0;
}

/* The packs a manifest tells of, in the order of their numbers. */
static int load_packs(const struct pfs_idxmanifest *m, const unsigned char *p,
		      struct pfs_idxpack **out, struct pfs_error *err)
{
	struct pfs_idxpack *packs = calloc(m->n_packs ? m->n_packs : 1, sizeof(*packs));
	int rc = packs ? 0 : pfs_fail_nomem(err, "the packs of the index");

	for (uint32_t i = 0; i < m->n_packs && rc == 0; i++, p += PFS_IDXPACK_SIZE) {
		rc = pfs_idxpack_decode(p, m, &packs[i], err);
		if (rc == 0 && i && packs[i].number <= packs[i - 1].number)
			rc = pfs_fail(err, PFS_E_CORRUPT, "packs are not in order");
	}
	if (rc < 0) {
		free(packs);
		return rc;
	}
	*out = packs;
	return 0;
}

static int open_runs(int dir, const struct pfs_idxmanifest *m, const unsigned char *p,
		     struct pfs_indexruns **out, struct pfs_error *err)
{
	PFS_AUTO(pfs_indexruns_unref) struct pfs_indexruns *r = NULL;
	int rc = 0;

	r = malloc(sizeof(*r) + m->n_runs * sizeof(struct pfs_indexrun *));
	if (!r)
		return pfs_fail_nomem(err, "the runs of the index");
	r->refs = 1;
	r->n = 0;
	for (uint32_t i = 0; i < m->n_runs && rc == 0; i++, p += PFS_IDXRUN_SIZE) {
		struct pfs_idxrun what;

		rc = pfs_idxrun_decode(p, m, &what, err);
		if (rc == 0)
			rc = pfs_indexrun_open(dir, &what, m->store_uuid, &r->runs[r->n], err);
		if (rc == 0)
			r->n++;
	}
	if (rc < 0)
		return rc;
	*out = r;
	r = NULL;
	return 0;
}

int pfs_index_load(int dir, const unsigned char store_uuid[PFS_UUID_SIZE], struct pfs_index *out,
		   struct pfs_error *err)
{
	PFS_AUTO(pfs_buf_fini) struct pfs_buf raw = PFS_BUF_INIT(MANIFEST_SIZE_MAX);
	struct pfs_index x = { .next_run = 1 };
	struct pfs_idxmanifest m;
	int rc;

	walk_files(dir, note_number, &x.next_run);
	out->next_run = x.next_run;
	rc = load_manifest(dir, store_uuid, &raw, &m, err);
	if (rc < 0)
		return rc;
	memcpy(x.store_uuid, store_uuid, PFS_UUID_SIZE);
	x.next_pack = m.next_pack;
	x.n_packs = m.n_packs;
	if (m.next_run > x.next_run)
		x.next_run = m.next_run;
	rc = load_packs(&m, raw.data + PFS_IDXHEAD_SIZE + (size_t)m.n_runs * PFS_IDXRUN_SIZE,
			&x.packs, err);
	if (rc == 0)
		rc = open_runs(dir, &m, raw.data + PFS_IDXHEAD_SIZE, &x.runs, err);
	if (rc < 0) {
		pfs_index_fini(&x);
		/* A run that is missing is not the same as no index. */
		return rc == PFS_E_NOTFOUND ? PFS_E_CORRUPT : rc;
	}
	*out = x;
	return 0;
}

int pfs_index_check(int dir, const unsigned char store_uuid[PFS_UUID_SIZE], struct pfs_error *err)
{
	PFS_AUTO(pfs_buf_fini) struct pfs_buf raw = PFS_BUF_INIT(MANIFEST_SIZE_MAX);
	struct pfs_idxmanifest m;

	return load_manifest(dir, store_uuid, &raw, &m, err);
}

static int sync_folder(int dir, struct pfs_error *err)
{
	PFS_AUTO(pfs_fd_close) int fd = pfs_io_open(dir, "index", O_RDONLY | O_DIRECTORY, 0, err);

	return fd < 0 ? fd : pfs_io_fsync(fd, "index", err);
}

int pfs_index_publish(int dir, const struct pfs_index *x, struct pfs_error *err)
{
	const struct pfs_idxmanifest head = {
		.next_run = x->next_run,
		.next_pack = x->next_pack,
		.n_runs = (uint32_t)x->runs->n,
		.n_packs = x->n_packs,
	};
	struct pfs_idxmanifest m = head;
	size_t size = pfs_idxmanifest_size(&m);
	unsigned char *raw = malloc(size), *p = raw + PFS_IDXHEAD_SIZE;
	int rc;

	if (!raw)
		return pfs_fail_nomem(err, "the manifest of the index");
	memcpy(m.store_uuid, x->store_uuid, PFS_UUID_SIZE);
	pfs_idxmanifest_encode(&m, raw);
	for (size_t i = 0; i < x->runs->n; i++, p += PFS_IDXRUN_SIZE)
		pfs_idxrun_encode(pfs_indexrun_what(x->runs->runs[i]), p);
	for (uint32_t i = 0; i < x->n_packs; i++, p += PFS_IDXPACK_SIZE)
		pfs_idxpack_encode(&x->packs[i], p);
	pfs_put_le32(p, pfs_crc32c(0, raw, (size_t)(p - raw)));
	rc = pfs_io_mkdir_all(dir, "index", err);
	if (rc == 0)
		rc = sync_folder(dir, err);
	if (rc == 0)
		rc = pfs_publish(dir, MANIFEST, raw, size, 0600, err);
	free(raw);
	return rc;
}

struct cleaning {
	int dir;
	const struct pfs_indexruns *runs;
};

static void clean_one(void *arg, uint64_t number)
{
	const struct cleaning *c = arg;
	char path[PFS_INDEXRUN_PATH_SIZE];

	for (size_t i = 0; i < c->runs->n; i++)
		if (pfs_indexrun_what(c->runs->runs[i])->number == number)
			return;
	pfs_indexrun_path(number, path);
	unlinkat(c->dir, path, 0);
}

void pfs_index_clean(int dir, const struct pfs_indexruns *runs)
{
	struct cleaning c = { .dir = dir, .runs = runs };

	walk_files(dir, clean_one, &c);
}
