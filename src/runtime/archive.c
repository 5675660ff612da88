#include "runtime/archive.h"
#include "base/io.h"
#include "base/limits.h"
#include "base/map.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define BLOCK       512u
#define ENTRIES_MAX 65536u
#define EXTRA_MAX   65536u /* bytes of one pax header or long name */

#define OFF_NAME     0
#define OFF_SIZE     124
#define OFF_CHECKSUM 148
#define OFF_TYPE     156
#define OFF_MAGIC    257
#define OFF_PREFIX   345

struct entry {
	char *name; /* owned; without leading "./" */
	struct pfs_archive_place place;
};

struct pfs_archive {
	int fd;
	uint64_t size;
	struct pfs_map by_name; /* of struct entry, owned */
};

/* What pax and GNU headers say about the entry behind them. */
struct extra {
	struct pfs_buf name;
	bool has_size;
	uint64_t size;
};

static void free_entry(struct entry *e)
{
	if (e)
		free(e->name);
	free(e);
}

void pfs_archive_close(struct pfs_archive **archive)
{
	struct pfs_archive *a = *archive;
	struct entry *e;
	size_t pos = 0;

	*archive = NULL;
	if (!a)
		return;
	while ((e = pfs_map_next(&a->by_name, &pos)))
		free_entry(e);
	pfs_map_fini(&a->by_name);
	pfs_fd_close(&a->fd);
	free(a);
}

/* Octal digits, or base 256 behind a byte with its high bit set. */
static int parse_number(const unsigned char *p, size_t len, uint64_t *out, struct pfs_error *err)
{
	uint64_t v = 0;
	size_t i = 0;

	if (p[0] == 0x80) {
		for (i = 1; i < len; i++) {
			if (v >> 56)
				return pfs_fail(err, PFS_E_CORRUPT,
						"a number in a tar header overflows");
			v = v << 8 | p[i];
		}
		*out = v;
		return 0;
	}
	while (i < len && p[i] == ' ')
		i++;
	for (; i < len && p[i] >= '0' && p[i] <= '7'; i++)
		v = v << 3 | (uint64_t)(p[i] - '0'); /* 12 digits of 3 bits fit */
	if (i < len && p[i] != 0 && p[i] != ' ')
		return pfs_fail(err, PFS_E_CORRUPT, "a number in a tar header is not octal");
	*out = v;
	return 0;
}

static int check_header(const unsigned char *h, uint64_t off, struct pfs_error *err)
{
	uint64_t want = 0, sum = 0;
	int rc;

	rc = parse_number(h + OFF_CHECKSUM, 8, &want, err);
	if (rc < 0)
		return rc;
	for (size_t i = 0; i < BLOCK; i++)
		sum += i >= OFF_CHECKSUM && i < OFF_CHECKSUM + 8 ? ' ' : h[i];
	if (sum != want)
		return pfs_fail(
			err, PFS_E_CORRUPT, "no tar header at byte %llu: checksum %llu, not %llu",
			(unsigned long long)off, (unsigned long long)sum, (unsigned long long)want);
	return 0;
}

static bool is_zero(const unsigned char *h)
{
	for (size_t i = 0; i < BLOCK; i++)
		if (h[i])
			return false;
	return true;
}

/* "LEN key=value\n" records; we want path and size. */
static int parse_pax(const char *p, size_t len, struct extra *x, struct pfs_error *err)
{
	while (len) {
		size_t n = 0, i = 0, key_len;
		const char *key, *eq;
		int rc = 0;

		while (i < len && p[i] >= '0' && p[i] <= '9' && n <= EXTRA_MAX)
			n = n * 10 + (size_t)(p[i++] - '0');
		if (i == 0 || i >= len || p[i] != ' ' || n <= i + 1 || n > len || p[n - 1] != '\n')
			return pfs_fail(err, PFS_E_CORRUPT, "a pax header is damaged");
		key = p + i + 1;
		eq = memchr(key, '=', n - i - 2);
		if (!eq)
			return pfs_fail(err, PFS_E_CORRUPT, "a pax header is damaged");
		key_len = (size_t)(eq - key);
		if (key_len == 4 && memcmp(key, "path", 4) == 0) {
			pfs_buf_clear(&x->name);
			rc = pfs_buf_add(&x->name, eq + 1, (size_t)(p + n - 1 - (eq + 1)), err);
		} else if (key_len == 4 && memcmp(key, "size", 4) == 0) {
			char *end;

			x->size = strtoull(eq + 1, &end, 10);
			x->has_size = true;
			if (end != p + n - 1)
				rc = pfs_fail(err, PFS_E_CORRUPT, "a pax size is no number");
		}
		if (rc < 0)
			return rc;
		p += n;
		len -= n;
	}
	return 0;
}

/* 'x' and 'L' describe the entry that follows them. */
static int read_extra(struct pfs_archive *a, char type, const struct pfs_archive_place *place,
		      struct extra *x, struct pfs_error *err)
{
	PFS_AUTO(pfs_buf_fini) struct pfs_buf text = PFS_BUF_INIT(EXTRA_MAX);
	int rc;

	rc = pfs_archive_load(a, place, &text, err);
	if (rc < 0)
		return rc == PFS_E_LIMIT
			       ? pfs_fail(err, PFS_E_CORRUPT, "a tar name header of %llu bytes",
					  (unsigned long long)place->size)
			       : rc;
	if (type == 'x')
		return parse_pax(pfs_buf_str(&text), text.len, x, err);
	pfs_buf_clear(&x->name);
	return pfs_buf_add_str(&x->name, pfs_buf_str(&text), err);
}

/* The name without "./" in front; refused when it climbs out. */
static int make_name(const unsigned char *h, const struct extra *x, char **out,
		     struct pfs_error *err)
{
	char plain[257];
	const char *name = plain;

	if (x->name.len)
		name = pfs_buf_str(&x->name);
	else if (memcmp(h + OFF_MAGIC, "ustar", 6) == 0 && h[OFF_PREFIX])
		snprintf(plain, sizeof(plain), "%.155s/%.100s", (const char *)h + OFF_PREFIX,
			 (const char *)h + OFF_NAME);
	else
		snprintf(plain, sizeof(plain), "%.100s", (const char *)h + OFF_NAME);
	while (name[0] == '.' && name[1] == '/')
		name += 2;
	for (const char *p = name; *p; p = strchr(p, '/') ? strchr(p, '/') + 1 : p + strlen(p))
		if (p[0] == '.' && p[1] == '.' && (p[2] == '/' || p[2] == 0))
			return pfs_fail(err, PFS_E_CORRUPT,
					"the name \"%.200s\" climbs out of the archive", name);
	*out = strdup(name);
	return *out ? 0 : pfs_fail_nomem(err, "a name in an archive");
}

static int remember(struct pfs_archive *a, const unsigned char *h, const struct extra *x,
		    const struct pfs_archive_place *place, struct pfs_error *err)
{
	struct entry *e;
	int rc;

	if (a->by_name.len >= ENTRIES_MAX)
		return pfs_fail(err, PFS_E_LIMIT, "more than %u files", ENTRIES_MAX);
	e = calloc(1, sizeof(*e));
	if (!e)
		return pfs_fail_nomem(err, "an archive");
	e->place = *place;
	rc = make_name(h, x, &e->name, err);
	if (rc == 0) {
		free_entry(pfs_map_remove(&a->by_name, e->name, strlen(e->name)));
		rc = pfs_map_set(&a->by_name, e->name, strlen(e->name), e, err);
	}
	if (rc < 0)
		free_entry(e);
	return rc;
}

/* One header and what it describes; 1 when there was one, 0 at the end. */
static int read_entry(struct pfs_archive *a, uint64_t *off, struct extra *x, struct pfs_error *err)
{
	struct pfs_archive_place place;
	unsigned char h[BLOCK];
	size_t got;
	char type;
	int rc;

	rc = pfs_io_pread(a->fd, h, BLOCK, *off, &got, err);
	if (rc < 0 || got == 0 || (got == BLOCK && is_zero(h)))
		return rc;
	if (got < BLOCK)
		return pfs_fail(err, PFS_E_CORRUPT, "cut off in a tar header at byte %llu",
				(unsigned long long)*off);
	rc = check_header(h, *off, err);
	if (rc == 0)
		rc = parse_number(h + OFF_SIZE, 12, &place.size, err);
	if (rc < 0)
		return rc;
	type = (char)h[OFF_TYPE];
	if (x->has_size && type != 'x' && type != 'L')
		place.size = x->size;
	if (type >= '1' &&
	    type <= '6') /* links, devices and folders have no bytes, whatever they say */
		place.size = 0;
	place.off = *off + BLOCK;
	if (place.size > a->size || place.off > a->size - place.size)
		return pfs_fail(err, PFS_E_CORRUPT,
				"cut off: an entry of %llu bytes at byte %llu of %llu",
				(unsigned long long)place.size, (unsigned long long)*off,
				(unsigned long long)a->size);
	*off = place.off + (place.size + BLOCK - 1) / BLOCK * BLOCK;
	if (type == 'x' || type == 'L') {
		rc = read_extra(a, type, &place, x, err);
		return rc < 0 ? rc : 1;
	}
	if (type == '0' || type == 0)
		rc = remember(a, h, x, &place, err);
	if (type != 'K' && type != 'g') { /* those two may stand between a name and its entry */
		pfs_buf_clear(&x->name);
		x->has_size = false;
	}
	return rc < 0 ? rc : 1;
}

static int check_not_compressed(struct pfs_archive *a, struct pfs_error *err)
{
	unsigned char magic[4] = { 0 };
	size_t got;
	int rc;

	rc = pfs_io_pread(a->fd, magic, sizeof(magic), 0, &got, err);
	if (rc < 0)
		return rc;
	if ((magic[0] == 0x1f && magic[1] == 0x8b) || memcmp(magic, "\x28\xb5\x2f\xfd", 4) == 0)
		return pfs_fail(err, PFS_E_UNSUPPORTED,
				"the archive is compressed: unpack it to a plain tar first");
	return 0;
}

static int read_all(struct pfs_archive *a, struct pfs_error *err)
{
	struct extra x = { .name = PFS_BUF_INIT(EXTRA_MAX) };
	uint64_t off = 0;
	int rc;

	do
		rc = read_entry(a, &off, &x, err);
	while (rc > 0);
	pfs_buf_fini(&x.name);
	return rc;
}

int pfs_archive_open(const char *path, struct pfs_archive **out, struct pfs_error *err)
{
	PFS_AUTO(pfs_archive_close) struct pfs_archive *a = calloc(1, sizeof(*a));
	struct stat st;
	int rc;

	if (!a)
		return pfs_fail_nomem(err, "an archive");
	pfs_map_init(&a->by_name);
	a->fd = pfs_io_open(AT_FDCWD, path, O_RDONLY, 0, err);
	if (a->fd < 0)
		return a->fd;
	if (fstat(a->fd, &st) < 0 || !S_ISREG(st.st_mode))
		return pfs_fail(err, PFS_E_INVALID, "%s is not a regular file", path);
	a->size = (uint64_t)st.st_size;
	rc = check_not_compressed(a, err);
	if (rc == 0)
		rc = read_all(a, err);
	if (rc < 0)
		return pfs_wrap(err, rc, "%s", path);
	*out = a;
	a = NULL;
	return 0;
}

int pfs_archive_find(const struct pfs_archive *a, const char *name, struct pfs_archive_place *out,
		     struct pfs_error *err)
{
	const struct entry *e = pfs_map_find(&a->by_name, name, strlen(name));

	if (!e)
		return pfs_fail(err, PFS_E_NOTFOUND, "%s is not in the archive", name);
	*out = e->place;
	return 0;
}

int pfs_archive_find_blob(const struct pfs_archive *a, const char *digest, int64_t size,
			  struct pfs_archive_place *out, struct pfs_error *err)
{
	struct pfs_archive_place place;
	char name[16 + PFS_DIGEST_SIZE];
	int rc;

	rc = pfs_digest_check(digest, err);
	if (rc < 0)
		return rc;
	snprintf(name, sizeof(name), "blobs/sha256/%s", digest + 7);
	rc = pfs_archive_find(a, name, &place, err);
	if (rc < 0)
		return rc;
	if (size < 0 || (uint64_t)size != place.size)
		return pfs_fail(err, PFS_E_CORRUPT, "blob %s has %llu bytes, not %lld", digest,
				(unsigned long long)place.size, (long long)size);
	*out = place;
	return 0;
}

int pfs_archive_read(const struct pfs_archive *a, const struct pfs_archive_place *place,
		     uint64_t off, void *out, size_t len, struct pfs_error *err)
{
	size_t got;
	int rc;

	if (off > place->size || len > place->size - off)
		return pfs_fail(err, PFS_E_CORRUPT, "a read past the end of an archived file");
	rc = pfs_io_pread(a->fd, out, len, place->off + off, &got, err);
	if (rc == 0 && got < len)
		return pfs_fail(err, PFS_E_CORRUPT, "the archive became shorter");
	return rc;
}

int pfs_archive_load(const struct pfs_archive *a, const struct pfs_archive_place *place,
		     struct pfs_buf *out, struct pfs_error *err)
{
	int rc;

	if (place->size > out->limit)
		return pfs_fail(err, PFS_E_LIMIT, "a file of %llu bytes, at most %zu are read",
				(unsigned long long)place->size, out->limit);
	rc = pfs_buf_reserve(out, (size_t)place->size, err);
	if (rc == 0)
		rc = pfs_archive_read(a, place, 0, out->data + out->len, (size_t)place->size, err);
	if (rc < 0)
		return rc;
	out->len += (size_t)place->size;
	out->data[out->len] = 0;
	return 0;
}

int pfs_archive_load_blob(const struct pfs_archive *a, const char *digest, int64_t size,
			  struct pfs_buf *out, struct pfs_error *err)
{
	struct pfs_archive_place place;
	char got[PFS_DIGEST_SIZE];
	size_t before = out->len;
	int rc;

	rc = pfs_archive_find_blob(a, digest, size, &place, err);
	if (rc == 0)
		rc = pfs_archive_load(a, &place, out, err);
	if (rc == 0)
		rc = pfs_digest_of(out->data + before, out->len - before, got, err);
	if (rc == 0 && strcmp(got, digest) != 0) {
		out->len = before;
		rc = pfs_fail(err, PFS_E_CORRUPT, "blob %s has the digest %s", digest, got);
	}
	return rc;
}
