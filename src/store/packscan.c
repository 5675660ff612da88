#include "store/packscan.h"
#include "base/io.h"
#include "base/limits.h"

#include <stdlib.h>
#include <string.h>

#define WINDOW_SIZE (4u * PFS_OBJECT_SIZE_MAX)

int pfs_packscan_init(struct pfs_packscan *s, int fd, uint64_t off, uint64_t end,
		      struct pfs_error *err)
{
	*s = (struct pfs_packscan){ .fd = fd, .off = off, .end = end, .window_off = off };
	s->window = malloc(WINDOW_SIZE);
	return s->window ? 0 : pfs_fail_nomem(err, "reading a pack");
}

void pfs_packscan_fini(struct pfs_packscan *s)
{
	free(s->window);
	s->window = NULL;
}

/*
 * The bytes at s->off: at least `want` of them unless the records end before.
 * *out_len tells how many there are.
 */
static int look_at(struct pfs_packscan *s, uint64_t want, const unsigned char **out,
		   uint64_t *out_len, struct pfs_error *err)
{
	uint64_t left = s->end - s->off;
	uint64_t skipped = s->off - s->window_off;
	int rc;

	if (want > left)
		want = left;
	if (skipped > s->window_len || s->window_len - skipped < want) {
		rc = pfs_io_pread(s->fd, s->window, left < WINDOW_SIZE ? (size_t)left : WINDOW_SIZE,
				  s->off, &s->window_len, err);
		if (rc < 0) {
			s->window_len = 0;
			return rc;
		}
		s->window_off = s->off;
		skipped = 0;
	}
	*out = s->window + skipped;
	*out_len = s->window_len - skipped;
	return 0;
}

/* Whether a whole record stands at s->off. */
static int check_here(struct pfs_packscan *s, struct pfs_packrec *out, struct pfs_error *err)
{
	const unsigned char *p;
	struct pfs_packrec head;
	uint64_t len;
	int rc = look_at(s, PFS_PACKREC_SIZE, &p, &len, err);

	if (rc == 0 && len < PFS_PACKREC_SIZE)
		rc = pfs_fail(err, PFS_E_CORRUPT, "%llu bytes hold no record header",
			      (unsigned long long)len);
	if (rc == 0)
		rc = pfs_packrec_decode(p, &head, err);
	if (rc == 0)
		rc = look_at(s, pfs_packrec_extent(head.clen), &p, &len, err);
	if (rc == 0)
		rc = pfs_packrec_check(p, len, out, err);
	if (rc == 0)
		s->payload = p + PFS_PACKREC_SIZE;
	return rc;
}

int pfs_packscan_next(struct pfs_packscan *s, struct pfs_packrec *out, struct pfs_error *err)
{
	int rc;

	if (s->off >= s->end)
		return 0;
	rc = check_here(s, out, err);
	if (rc < 0)
		return rc;
	s->at = s->off;
	s->off += pfs_packrec_extent(out->clen);
	return 1;
}

int pfs_packscan_skip(struct pfs_packscan *s, struct pfs_error *err)
{
	for (;;) {
		struct pfs_packrec ignored;
		const unsigned char *p;
		uint64_t len;
		int rc;

		s->off += PFS_PACK_ALIGN;
		if (s->off + PFS_PACKREC_SIZE > s->end) {
			s->off = s->end;
			return 0;
		}
		rc = look_at(s, 4, &p, &len, err);
		if (rc < 0)
			return rc;
		if (len < 4 || memcmp(p, "VREC", 4) != 0)
			continue;
		rc = check_here(s, &ignored, NULL);
		if (rc == 0)
			return 1;
		if (rc != PFS_E_CORRUPT)
			return pfs_fail(err, rc, "looking for the next record at %llu",
					(unsigned long long)s->off);
	}
}

int pfs_packscan_all(int fd, uint64_t size, uint64_t trusted, struct pfs_packfooter *out,
		     uint64_t *out_torn_at, struct pfs_error *err)
{
	PFS_AUTO(pfs_packscan_fini) struct pfs_packscan scan = { .fd = -1 };
	struct pfs_error why = { 0 };
	uint64_t torn_at = 0;
	struct pfs_packrec rec;
	bool torn = false;
	int rc = pfs_packscan_init(&scan, fd, PFS_PACKHDR_SIZE, size, err);

	while (rc >= 0) {
		rc = pfs_packscan_next(&scan, &rec, &why);
		if (rc == 0)
			break;
		if (rc == 1) {
			rc = pfs_packfooter_add(out, &rec, scan.at, scan.payload, err);
			continue;
		}
		if (rc != PFS_E_CORRUPT) {
			if (err)
				*err = why;
			break;
		}
		if (!torn)
			torn_at = scan.off;
		torn = true;
		rc = torn_at < trusted ? pfs_packscan_skip(&scan, err) : 0;
		if (rc == 0)
			break;
	}
	if (rc >= 0)
		*out_torn_at = torn ? torn_at : scan.off;
	return rc < 0 ? rc : 0;
}
