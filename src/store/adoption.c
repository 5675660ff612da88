#include "store/adoption.h"
#include "store/batch.h"
#include "store/store_i.h"
#include "base/io.h"
#include "base/limits.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <sys/stat.h>

#define COPY_SIZE  (8u << 20) /* read and put together */
#define COPY_ITEMS 256u

struct pfs_adoption {
	struct pfs_store *st;
	uint64_t end; /* where the last piece ends */
	struct pfs_extent *extents;
	size_t n, cap;
};

int pfs_adoption_begin(struct pfs_store *st, struct pfs_adoption **out, struct pfs_error *err)
{
	struct pfs_adoption *a = calloc(1, sizeof(*a));

	if (!a)
		return pfs_fail_nomem(err, "the adoption of a file");
	a->st = st;
	*out = a;
	return 0;
}

void pfs_adoption_abort(struct pfs_adoption **a)
{
	if (!*a)
		return;
	free((*a)->extents);
	free(*a);
	*a = NULL;
}

static int widen(struct pfs_adoption *a, size_t more, struct pfs_error *err)
{
	size_t cap = a->cap ? a->cap : 256;
	struct pfs_extent *wider;

	if (more > PFS_ADOPTION_CHUNKS_MAX - a->n)
		return pfs_fail(err, PFS_E_LIMIT,
				"a file of %zu and %zu more chunks, at most %u are adopted", a->n,
				more, PFS_ADOPTION_CHUNKS_MAX);
	while (cap < a->n + more)
		cap *= 2;
	if (cap == a->cap)
		return 0;
	wider = realloc(a->extents, cap * sizeof(*wider));
	if (!wider)
		return pfs_fail_nomem(err, "the adoption of a file");
	a->extents = wider;
	a->cap = cap;
	return 0;
}

static int check_range(const struct pfs_adoption *a, uint64_t off,
		       const struct pfs_store_item *items, size_t n, struct pfs_error *err)
{
	uint64_t end = off;

	if (off < a->end)
		return pfs_fail(err, PFS_E_INVALID,
				"a piece at %" PRIu64 ", the one before ends at %" PRIu64, off,
				a->end);
	for (size_t i = 0; i < n; i++) {
		if (items[i].len == 0 || items[i].len > PFS_OBJECT_SIZE_MAX)
			return pfs_fail(err, PFS_E_LIMIT,
					"a piece of %zu bytes, 1 to %u can be stored", items[i].len,
					PFS_OBJECT_SIZE_MAX);
		end += items[i].len;
	}
	if (end <= PFS_ADOPTION_SIZE_MAX)
		return 0;
	return pfs_fail(err, PFS_E_LIMIT, "a file of %" PRIu64 " bytes, at most %llu are adopted",
			end, PFS_ADOPTION_SIZE_MAX);
}

int pfs_adoption_note(struct pfs_adoption *a, uint64_t off, const struct pfs_store_item *items,
		      size_t n, struct pfs_error *err)
{
	int rc = check_range(a, off, items, n, err);

	if (rc == 0)
		rc = widen(a, n, err);
	if (rc < 0)
		return rc;
	for (size_t i = 0; i < n; i++) {
		a->extents[a->n++] = (struct pfs_extent){
			.id = items[i].id,
			.off = off,
			.len = (uint32_t)items[i].len,
		};
		off += items[i].len;
	}
	a->end = off;
	return 0;
}

int pfs_adoption_add(struct pfs_adoption *a, uint64_t off, struct pfs_store_item *items, size_t n,
		     struct pfs_error *err)
{
	int rc = check_range(a, off, items, n, err);

	if (rc == 0)
		rc = pfs_batch_name(a->st, PFS_KIND_CHUNK, items, n, err);
	return rc < 0 ? rc : pfs_adoption_note(a, off, items, n, err);
}

/* --- copying ------------------------------------------------------------ */

static int read_extent(int fd, const struct pfs_extent *e, unsigned char *data,
		       struct pfs_error *err)
{
	size_t got;
	int rc = pfs_io_pread(fd, data, e->len, e->off, &got, err);

	if (rc == 0 && got < e->len)
		return pfs_fail(err, PFS_E_CONFLICT,
				"the file ends at %" PRIu64 ", it was longer before", e->off + got);
	return rc;
}

static int put_extents(struct pfs_adoption *a, const struct pfs_extent *const *extents,
		       struct pfs_store_item *items, size_t n, struct pfs_error *err)
{
	int rc = n ? pfs_store_put_batch(a->st, PFS_KIND_CHUNK, items, n, err) : 0;

	for (size_t i = 0; i < n && rc == 0; i++)
		if (!pfs_id_equal(&items[i].id, &extents[i]->id))
			rc = pfs_fail(err, PFS_E_CONFLICT,
				      "the file changed at %" PRIu64 " while it was stored",
				      extents[i]->off);
	return rc;
}

/* Put what is new; what the file says now has to be what it said when it was added. */
static int copy(struct pfs_adoption *a, int fd, unsigned char *data, struct pfs_error *err)
{
	const struct pfs_extent *extents[COPY_ITEMS];
	struct pfs_store_item items[COPY_ITEMS];
	size_t n = 0, len = 0;
	int rc = 0;

	for (size_t i = 0; i < a->n && rc == 0; i++) {
		const struct pfs_extent *e = &a->extents[i];

		if (pfs_store_has(a->st, PFS_KIND_CHUNK, &e->id))
			continue;
		if (n == COPY_ITEMS || len + e->len > COPY_SIZE) {
			rc = put_extents(a, extents, items, n, err);
			n = len = 0;
		}
		if (rc == 0)
			rc = read_extent(fd, e, data + len, err);
		extents[n] = e;
		items[n++] = (struct pfs_store_item){ .data = data + len, .len = e->len };
		len += e->len;
	}
	return rc < 0 ? rc : put_extents(a, extents, items, n, err);
}

static int copy_file(struct pfs_adoption *a, int dir, const char *name, struct pfs_error *err)
{
	PFS_AUTO(pfs_fd_close) int fd = pfs_io_open(dir, name, O_RDONLY | O_NOFOLLOW, 0, err);
	unsigned char *data;
	int rc;

	if (fd < 0)
		return fd;
	data = malloc(COPY_SIZE);
	if (!data)
		return pfs_fail_nomem(err, "copying a file");
	rc = copy(a, fd, data, err);
	free(data);
	return rc;
}

/* --- the door ----------------------------------------------------------- */

static int check_file(const struct pfs_adoption *a, int dir, const char *name,
		      struct pfs_error *err)
{
	struct stat st;

	if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return pfs_fail_errno(err, errno, "look at %s", name);
	if (!S_ISREG(st.st_mode))
		return pfs_fail(err, PFS_E_INVALID, "%s is not a file", name);
	if ((uint64_t)st.st_size < a->end)
		return pfs_fail(err, PFS_E_CONFLICT,
				"%s has %" PRIu64 " bytes, it had %" PRIu64 " at least before",
				name, (uint64_t)st.st_size, a->end);
	return 0;
}

/* More than half is stored already: what is new is less than a second copy of the rest. */
static bool is_mostly_known(const struct pfs_adoption *a)
{
	uint64_t known = 0, total = 0;

	for (size_t i = 0; i < a->n; i++) {
		total += a->extents[i].len;
		if (pfs_store_has(a->st, PFS_KIND_CHUNK, &a->extents[i].id))
			known += a->extents[i].len;
	}
	return known > total / 2;
}

static int take_in(struct pfs_adoption *a, int dir, const char *name, struct pfs_error *err)
{
	const struct pfs_store_ops *ops = a->st->ops;
	int rc = 0;

	if (ops->adopt && !is_mostly_known(a))
		rc = ops->adopt(a->st->self, dir, name, a->extents, a->n, err);
	return rc == 0 ? copy_file(a, dir, name, err) : rc;
}

int pfs_adoption_commit(struct pfs_adoption **adoption, int dir, const char *name,
			struct pfs_error *err)
{
	PFS_AUTO(pfs_adoption_abort) struct pfs_adoption *a = *adoption;
	int rc;

	*adoption = NULL;
	rc = check_file(a, dir, name, err);
	if (rc == 0 && a->n > 0)
		rc = take_in(a, dir, name, err);
	return rc < 0 ? pfs_wrap(err, rc, "adopt %s", name) : 0;
}
