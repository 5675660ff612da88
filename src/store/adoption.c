#include "store/adoption.h"
#include "store/batch.h"
#include "store/store_i.h"
#include "base/io.h"
#include "base/limits.h"
#include "base/vec.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <sys/stat.h>

#define COPY_SIZE  (8u << 20) /* read and put together */
#define COPY_ITEMS 256u

/* What the piece at an offset resembles. */
struct likeness {
	uint64_t off;
	struct pfs_id near;
};

struct likenesses PFS_VEC(struct likeness);
PFS_VEC_DEFINE(push_likeness, struct likenesses, struct likeness, "the adoption of a file")

struct pfs_adoption {
	struct pfs_store *st;
	uint64_t end;                 /* where the last piece ends */
	struct pfs_packfooter table;  /* of the pieces, as a store keeps it */
	struct likenesses likenesses; /* in the order of the pieces; most have none */
};

int pfs_adoption_begin(struct pfs_store *st, struct pfs_adoption **out, struct pfs_error *err)
{
	struct pfs_adoption *a = calloc(1, sizeof(*a));

	if (!a)
		return pfs_fail_nomem(err, "the adoption of a file");
	a->st = st;
	pfs_packfooter_init(&a->table, PFS_PACK_ADOPTED);
	*out = a;
	return 0;
}

void pfs_adoption_abort(struct pfs_adoption **a)
{
	if (!*a)
		return;
	pfs_packfooter_fini(&(*a)->table);
	free((*a)->likenesses.items);
	free(*a);
	*a = NULL;
}

static int check_range(const struct pfs_adoption *a, uint64_t off,
		       const struct pfs_store_item *items, size_t n, struct pfs_error *err)
{
	uint32_t before = pfs_packfooter_records(&a->table);
	uint64_t end = off;

	if (n > PFS_ADOPTION_CHUNKS_MAX - before)
		return pfs_fail(err, PFS_E_LIMIT,
				"a file of %u and %zu more chunks, at most %u are adopted", before,
				n, PFS_ADOPTION_CHUNKS_MAX);
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
		rc = pfs_buf_reserve(&a->table.entries, n * PFS_PACKENTRY_SIZE, err);
	for (size_t i = 0; i < n && rc == 0; i++) {
		const struct pfs_packentry e = {
			.id = items[i].id,
			.off = off,
			.clen = (uint32_t)items[i].len,
			.ulen = (uint32_t)items[i].len,
			.type = PFS_KIND_CHUNK,
			.codec = PFS_CODEC_RAW,
		};

		rc = pfs_packfooter_add_piece(&a->table, &e, err);
		if (rc == 0 && items[i].near && !pfs_id_equal(items[i].near, &items[i].id))
			rc = push_likeness(&a->likenesses, (struct likeness){ off, *items[i].near },
					   err);
		off += items[i].len;
	}
	if (rc == 0)
		a->end = off;
	return rc;
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

static int read_piece(int fd, const struct pfs_packentry *e, unsigned char *data,
		      struct pfs_error *err)
{
	size_t got;
	int rc = pfs_io_pread(fd, data, e->ulen, e->off, &got, err);

	if (rc == 0 && got < e->ulen)
		return pfs_fail(err, PFS_E_CONFLICT,
				"the file ends at %" PRIu64 ", it was longer before", e->off + got);
	return rc;
}

/* Pieces that are read, until there are enough to put. */
struct load {
	struct pfs_packentry pieces[COPY_ITEMS];
	struct pfs_store_item items[COPY_ITEMS];
	size_t n, len;
	unsigned char data[COPY_SIZE];
};

static int put_load(struct pfs_adoption *a, struct load *l, struct pfs_error *err)
{
	int rc = l->n ? pfs_store_put_batch(a->st, PFS_KIND_CHUNK, l->items, l->n, err) : 0;

	for (size_t i = 0; i < l->n && rc == 0; i++)
		if (!pfs_id_equal(&l->items[i].id, &l->pieces[i].id))
			rc = pfs_fail(err, PFS_E_CONFLICT,
				      "the file changed at %" PRIu64 " while it was stored",
				      l->pieces[i].off);
	l->n = l->len = 0;
	return rc;
}

/* What the piece at `off` resembles, or NULL; asked in the order of the pieces. */
static const struct pfs_id *near_of(const struct likenesses *l, size_t *next, uint64_t off)
{
	while (*next < l->n && l->items[*next].off < off)
		++*next;
	return *next < l->n && l->items[*next].off == off ? &l->items[*next].near : NULL;
}

/* Put what is new; what the file says now has to be what it said when it was added. */
static int copy(struct pfs_adoption *a, int fd, struct load *l, struct pfs_error *err)
{
	struct pfs_packwalk walk = { 0 };
	struct pfs_packentry e;
	size_t next = 0;
	int rc = 0;

	while (rc == 0 && pfs_packfooter_next(&a->table, &walk, &e)) {
		if (pfs_store_has(a->st, PFS_KIND_CHUNK, &e.id))
			continue;
		if (l->n == COPY_ITEMS || l->len + e.ulen > COPY_SIZE)
			rc = put_load(a, l, err);
		if (rc == 0)
			rc = read_piece(fd, &e, l->data + l->len, err);
		l->pieces[l->n] = e;
		l->items[l->n++] = (struct pfs_store_item){
			.data = l->data + l->len,
			.len = e.ulen,
			.near = near_of(&a->likenesses, &next, e.off),
		};
		l->len += e.ulen;
	}
	return rc < 0 ? rc : put_load(a, l, err);
}

static int copy_file(struct pfs_adoption *a, int dir, const char *name, struct pfs_error *err)
{
	PFS_AUTO(pfs_fd_close) int fd = pfs_io_open_file(dir, name, O_RDONLY | O_NOFOLLOW, err);
	struct load *l;
	int rc;

	if (fd < 0)
		return fd;
	l = malloc(sizeof(*l));
	if (!l)
		return pfs_fail_nomem(err, "copying a file");
	l->n = l->len = 0;
	rc = copy(a, fd, l, err);
	free(l);
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
static bool is_mostly_known(struct pfs_adoption *a)
{
	struct pfs_packwalk walk = { 0 };
	uint64_t known = 0, total = 0;
	struct pfs_packentry e;

	while (pfs_packfooter_next(&a->table, &walk, &e)) {
		total += e.ulen;
		if (pfs_store_has(a->st, PFS_KIND_CHUNK, &e.id))
			known += e.ulen;
	}
	return known > total / 2;
}

static int take_in(struct pfs_adoption *a, int dir, const char *name, struct pfs_error *err)
{
	const struct pfs_store_ops *ops = a->st->ops;
	int rc = 0;

	if (ops->adopt && !is_mostly_known(a))
		rc = ops->adopt(a->st->self, dir, name, &a->table, err);
	return rc == 0 ? copy_file(a, dir, name, err) : rc;
}

int pfs_adoption_commit(struct pfs_adoption **adoption, int dir, const char *name,
			struct pfs_error *err)
{
	PFS_AUTO(pfs_adoption_abort) struct pfs_adoption *a = *adoption;
	int rc;

	*adoption = NULL;
	rc = check_file(a, dir, name, err);
	if (rc == 0 && pfs_packfooter_records(&a->table) > 0)
		rc = take_in(a, dir, name, err);
	return rc < 0 ? pfs_wrap(err, rc, "adopt %s", name) : 0;
}
