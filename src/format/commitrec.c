#include "format/commitrec.h"
#include "base/endian.h"
#include "base/path.h"

#include <inttypes.h>
#include <stdlib.h>

/*
 * Offsets of the fixed part, as the page has them:
 *
 *	  0 "VCM1"          4 version u16     6 origin u8        7 flags u8
 *	  8 id 16          24 parent 16      40 parent digest 32
 *	 72 root 32       104 mode u16      106 zero u16
 *	108 uid u32       112 gid u32       116 mtime ns u32   120 mtime s i64
 *	128 started i64   136 finished i64  144 number u64
 *	152 files u64     160 bytes u64
 *	168 repo length u16    170 branch length u16   172 message length u32
 *	176 error length u32   180 sources u32
 */
#define MAGIC        "VCM1"
#define VERSION      1
#define FLAG_PARENT  1
#define FLAG_ERROR   2
#define SOURCE_SIZE  (1 + PFS_COMMIT_ID_SIZE + PFS_ID_SIZE) /* and the name */
#define NSEC_PER_SEC 1000000000u

int pfs_commitrec_compare_sources(const void *a, const void *b)
{
	const struct pfs_commitrec_source *x = a, *y = b;
	int order = strcmp(x->repo, y->repo);

	return order ? order : memcmp(x->id.bytes, y->id.bytes, sizeof(x->id.bytes));
}

void pfs_commitrec_fini(struct pfs_commitrec *rec)
{
	free(rec->sources);
	rec->sources = NULL;
	rec->n_sources = 0;
}

/* The same words with another code: what is wrong with a name is wrong with the record. */
static int recode(struct pfs_error *err, int code)
{
	if (err)
		err->code = code;
	return pfs_wrap(err, code, "commit record");
}

/* What must hold of the values, whoever wrote them. */
static int check_numbers(const struct pfs_commitrec *rec, struct pfs_error *err)
{
	if (rec->origin != 1 && rec->origin != 2)
		return pfs_fail(err, PFS_E_INVALID, "commit record: unknown origin %d",
				rec->origin);
	if (pfs_commit_id_is_zero(&rec->id))
		return pfs_fail(err, PFS_E_INVALID, "commit record: the id is zero");
	if (rec->has_parent == pfs_commit_id_is_zero(&rec->parent) ||
	    rec->has_parent == pfs_id_is_zero(&rec->parent_digest))
		return pfs_fail(err, PFS_E_INVALID, "commit record: half a parent");
	if (rec->root_mode > 07777 || rec->root_mtime_nsec >= NSEC_PER_SEC)
		return pfs_fail(err, PFS_E_INVALID, "commit record: attributes of the root");
	if (rec->number == 0 || (rec->number == 1) == rec->has_parent)
		return pfs_fail(err, PFS_E_INVALID, "commit record: number %" PRIu64, rec->number);
	return 0;
}

static int check_text(const char *what, const char *text, size_t len, struct pfs_error *err)
{
	if (len > PFS_MESSAGE_SIZE_MAX)
		return pfs_fail(err, PFS_E_INVALID, "commit record: %s of %zu bytes, at most %u",
				what, len, PFS_MESSAGE_SIZE_MAX);
	if (len && memchr(text, 0, len))
		return pfs_fail(err, PFS_E_INVALID, "commit record: a NUL in the %s", what);
	return 0;
}

static int check_texts(const struct pfs_commitrec *rec, struct pfs_error *err)
{
	int rc = pfs_path_check_repo(rec->repo, err);

	if (rc == 0)
		rc = pfs_path_check_branch(rec->branch, err);
	if (rc < 0)
		return recode(err, PFS_E_INVALID);
	rc = check_text("message", rec->message, rec->message_len, err);
	if (rc == 0)
		rc = check_text("error", rec->error, rec->error_len, err);
	if (rc == 0 && rec->error && rec->error_len == 0)
		return pfs_fail(err, PFS_E_INVALID, "commit record: an error without words");
	return rc;
}

static int check_sources(const struct pfs_commitrec *rec, struct pfs_error *err)
{
	if (rec->n_sources > PFS_PROVENANCE_MAX)
		return pfs_fail(err, PFS_E_INVALID, "commit record: %zu sources, at most %u",
				rec->n_sources, PFS_PROVENANCE_MAX);
	for (size_t i = 0; i < rec->n_sources; i++) {
		const struct pfs_commitrec_source *s = &rec->sources[i];

		if (pfs_path_check_repo(s->repo, err) < 0)
			return recode(err, PFS_E_INVALID);
		if (pfs_commit_id_is_zero(&s->id) || pfs_id_is_zero(&s->digest))
			return pfs_fail(err, PFS_E_INVALID, "commit record: source %zu is zero", i);
		if (i && pfs_commitrec_compare_sources(s - 1, s) >= 0)
			return pfs_fail(err, PFS_E_INVALID, "commit record: sources out of order");
	}
	return 0;
}

static int check(const struct pfs_commitrec *rec, struct pfs_error *err)
{
	int rc = check_numbers(rec, err);

	if (rc == 0)
		rc = check_texts(rec, err);
	return rc < 0 ? rc : check_sources(rec, err);
}

static void put_fixed(const struct pfs_commitrec *rec, unsigned char *p)
{
	memcpy(p, MAGIC, 4);
	pfs_put_le16(p + 4, VERSION);
	p[6] = rec->origin;
	p[7] = (unsigned char)((rec->has_parent ? FLAG_PARENT : 0) | (rec->error ? FLAG_ERROR : 0));
	memcpy(p + 8, rec->id.bytes, 16);
	memcpy(p + 24, rec->parent.bytes, 16);
	memcpy(p + 40, rec->parent_digest.bytes, 32);
	memcpy(p + 72, rec->root.bytes, 32);
	pfs_put_le16(p + 104, rec->root_mode);
	pfs_put_le16(p + 106, 0);
	pfs_put_le32(p + 108, rec->root_uid);
	pfs_put_le32(p + 112, rec->root_gid);
	pfs_put_le32(p + 116, rec->root_mtime_nsec);
	pfs_put_le64(p + 120, (uint64_t)rec->root_mtime_sec);
	pfs_put_le64(p + 128, (uint64_t)rec->started_ns);
	pfs_put_le64(p + 136, (uint64_t)rec->finished_ns);
	pfs_put_le64(p + 144, rec->number);
	pfs_put_le64(p + 152, rec->files);
	pfs_put_le64(p + 160, rec->bytes);
	pfs_put_le16(p + 168, (uint16_t)strlen(rec->repo));
	pfs_put_le16(p + 170, (uint16_t)strlen(rec->branch));
	pfs_put_le32(p + 172, (uint32_t)rec->message_len);
	pfs_put_le32(p + 176, (uint32_t)rec->error_len);
	pfs_put_le32(p + 180, (uint32_t)rec->n_sources);
}

static int add_source(struct pfs_buf *out, const struct pfs_commitrec_source *s,
		      struct pfs_error *err)
{
	int rc = pfs_buf_add_u8(out, (uint8_t)strlen(s->repo), err);

	if (rc == 0)
		rc = pfs_buf_add_str(out, s->repo, err);
	if (rc == 0)
		rc = pfs_buf_add(out, s->id.bytes, sizeof(s->id.bytes), err);
	if (rc == 0)
		rc = pfs_buf_add(out, s->digest.bytes, sizeof(s->digest.bytes), err);
	return rc;
}

int pfs_commitrec_encode(const struct pfs_commitrec *rec, struct pfs_buf *out,
			 struct pfs_error *err)
{
	unsigned char fixed[PFS_COMMITREC_FIXED_SIZE];
	size_t before = out->len;
	int rc = check(rec, err);

	if (rc < 0)
		return rc;
	put_fixed(rec, fixed);
	rc = pfs_buf_add(out, fixed, sizeof(fixed), err);
	if (rc == 0)
		rc = pfs_buf_add_str(out, rec->repo, err);
	if (rc == 0)
		rc = pfs_buf_add_str(out, rec->branch, err);
	if (rc == 0 && rec->message_len)
		rc = pfs_buf_add(out, rec->message, rec->message_len, err);
	if (rc == 0 && rec->error_len)
		rc = pfs_buf_add(out, rec->error, rec->error_len, err);
	for (size_t i = 0; i < rec->n_sources && rc == 0; i++)
		rc = add_source(out, &rec->sources[i], err);
	if (rc < 0)
		out->len = before;
	return rc;
}

/* What is left to decode. */
struct rest {
	const unsigned char *p;
	size_t len;
};

static const unsigned char *take(struct rest *r, size_t len)
{
	const unsigned char *p = r->p;

	if (len > r->len)
		return NULL;
	r->p += len;
	r->len -= len;
	return p;
}

static int fail_short(struct pfs_error *err)
{
	return pfs_fail(err, PFS_E_CORRUPT, "commit record: its parts do not add up to its size");
}

/* A name of at most max bytes, terminated in `out`; a NUL inside would hide what follows it. */
static int take_name(struct rest *r, size_t len, char *out, size_t max, struct pfs_error *err)
{
	const unsigned char *p = len <= max ? take(r, len) : NULL;

	if (!p || memchr(p, 0, len))
		return fail_short(err);
	memcpy(out, p, len);
	out[len] = 0;
	return 0;
}

static int check_head(const unsigned char *p, size_t len, struct pfs_error *err)
{
	if (len < PFS_COMMITREC_FIXED_SIZE || memcmp(p, MAGIC, 4) != 0)
		return pfs_fail(err, PFS_E_CORRUPT, "commit record: %zu bytes that are none", len);
	if (pfs_get_le16(p + 4) != VERSION)
		return pfs_fail(err, PFS_E_UNSUPPORTED,
				"commit record has version %d, this program knows %d",
				pfs_get_le16(p + 4), VERSION);
	if (p[7] & ~(FLAG_PARENT | FLAG_ERROR))
		return pfs_fail(err, PFS_E_CORRUPT, "commit record: unknown flags %#x", p[7]);
	if (pfs_get_le16(p + 106))
		return pfs_fail(err, PFS_E_CORRUPT, "commit record: reserved bytes are not zero");
	return 0;
}

static void get_fixed(const unsigned char *p, struct pfs_commitrec *rec)
{
	rec->origin = p[6];
	rec->has_parent = p[7] & FLAG_PARENT;
	memcpy(rec->id.bytes, p + 8, 16);
	memcpy(rec->parent.bytes, p + 24, 16);
	memcpy(rec->parent_digest.bytes, p + 40, 32);
	memcpy(rec->root.bytes, p + 72, 32);
	rec->root_mode = pfs_get_le16(p + 104);
	rec->root_uid = pfs_get_le32(p + 108);
	rec->root_gid = pfs_get_le32(p + 112);
	rec->root_mtime_nsec = pfs_get_le32(p + 116);
	rec->root_mtime_sec = (int64_t)pfs_get_le64(p + 120);
	rec->started_ns = (int64_t)pfs_get_le64(p + 128);
	rec->finished_ns = (int64_t)pfs_get_le64(p + 136);
	rec->number = pfs_get_le64(p + 144);
	rec->files = pfs_get_le64(p + 152);
	rec->bytes = pfs_get_le64(p + 160);
}

static int get_texts(const unsigned char *p, struct rest *r, struct pfs_commitrec *rec,
		     struct pfs_error *err)
{
	size_t error_len = pfs_get_le32(p + 176);
	int rc = take_name(r, pfs_get_le16(p + 168), rec->repo, PFS_REPO_NAME_MAX, err);

	if (rc == 0)
		rc = take_name(r, pfs_get_le16(p + 170), rec->branch, PFS_BRANCH_NAME_MAX, err);
	if (rc < 0)
		return rc;
	rec->message_len = pfs_get_le32(p + 172);
	rec->message = (const char *)take(r, rec->message_len);
	if (!rec->message || (error_len != 0) != ((p[7] & FLAG_ERROR) != 0))
		return fail_short(err);
	if (!error_len)
		return 0;
	rec->error_len = error_len;
	rec->error = (const char *)take(r, error_len);
	return rec->error ? 0 : fail_short(err);
}

static int get_source(struct rest *r, struct pfs_commitrec_source *out, struct pfs_error *err)
{
	const unsigned char *len = take(r, 1), *ids;
	int rc = len ? take_name(r, *len, out->repo, PFS_REPO_NAME_MAX, err) : fail_short(err);

	if (rc < 0)
		return rc;
	ids = take(r, PFS_COMMIT_ID_SIZE + PFS_ID_SIZE);
	if (!ids)
		return fail_short(err);
	memcpy(out->id.bytes, ids, PFS_COMMIT_ID_SIZE);
	memcpy(out->digest.bytes, ids + PFS_COMMIT_ID_SIZE, PFS_ID_SIZE);
	return 0;
}

static int get_sources(size_t n, struct rest *r, struct pfs_commitrec *rec, struct pfs_error *err)
{
	int rc = 0;

	if (n > PFS_PROVENANCE_MAX || n > r->len / SOURCE_SIZE)
		return fail_short(err);
	rec->sources = n ? calloc(n, sizeof(*rec->sources)) : NULL;
	if (n && !rec->sources)
		return pfs_fail_nomem(err, "the sources of a commit");
	rec->n_sources = n;
	for (size_t i = 0; i < n && rc == 0; i++)
		rc = get_source(r, &rec->sources[i], err);
	return rc;
}

int pfs_commitrec_decode(const void *data, size_t len, struct pfs_commitrec *out,
			 struct pfs_error *err)
{
	PFS_AUTO(pfs_commitrec_fini) struct pfs_commitrec rec = { 0 };
	const unsigned char *p = data;
	struct rest r;
	int rc = check_head(p, len, err);

	if (rc < 0)
		return rc;
	r = (struct rest){ p + PFS_COMMITREC_FIXED_SIZE, len - PFS_COMMITREC_FIXED_SIZE };
	get_fixed(p, &rec);
	rc = get_texts(p, &r, &rec, err);
	if (rc == 0)
		rc = get_sources(pfs_get_le32(p + 180), &r, &rec, err);
	if (rc == 0 && r.len)
		rc = fail_short(err);
	if (rc == 0 && check(&rec, err) < 0)
		rc = recode(err,
			    PFS_E_CORRUPT); /* the same rule, but it is the disk that broke it */
	if (rc < 0)
		return rc;
	*out = rec;
	rec.sources = NULL;
	return 0;
}
