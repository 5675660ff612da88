#include "view/places.h"
#include "base/bytes.h"
#include "base/limits.h"

#include <stdlib.h>
#include <string.h>

void pfs_places_fini(struct pfs_places *p)
{
	for (size_t i = 0; i < p->datums.n; i++)
		free(p->datums.items[i].inputs);
	free(p->places.items);
	free(p->handles.items);
	free(p->datums.items);
	*p = (struct pfs_places){ 0 };
}

/* ---- writing ---- */

int pfs_place_encode(const struct pfs_place *p, struct pfs_buf *out, struct pfs_error *err)
{
	int rc = pfs_buf_add_u8(out, (uint8_t)p->kind, err);

	if (rc == 0)
		rc = pfs_bytes_add_u32(out, p->parent, err);
	if (rc == 0)
		rc = pfs_bytes_add_u64(out, p->number, err);
	if (rc == 0)
		rc = pfs_bytes_add_short(out, p->name, p->name_len, err);
	if (rc == 0 && p->kind == PFS_PLACE_TOP)
		rc = pfs_bytes_add_short(out, p->repo, p->repo_len, err);
	if (rc < 0 || p->kind != PFS_PLACE_COMMIT)
		return rc;
	rc = pfs_buf_add_u8(out, p->canonical, err);
	return rc < 0 ? rc : pfs_buf_add(out, p->commit.bytes, sizeof(p->commit.bytes), err);
}

static int encode_input(const struct pfs_place_input *in, struct pfs_buf *out,
			struct pfs_error *err)
{
	int rc = pfs_bytes_add_short(out, in->name, in->name_len, err);

	if (rc == 0)
		rc = pfs_bytes_add_short(out, in->repo, in->repo_len, err);
	if (rc == 0)
		rc = pfs_buf_add(out, in->commit.bytes, sizeof(in->commit.bytes), err);
	if (rc == 0)
		rc = pfs_bytes_add_u32(out, in->path_len, err);
	return rc < 0 ? rc : pfs_buf_add(out, in->path, in->path_len, err);
}

int pfs_place_datum_encode(const struct pfs_place_datum *d, struct pfs_buf *out,
			   struct pfs_error *err)
{
	int rc = pfs_bytes_add_u64(out, d->serial, err);

	if (rc == 0)
		rc = pfs_bytes_add_u64(out, (uint64_t)d->created_ns, err);
	if (rc == 0)
		rc = pfs_bytes_add_short(out, d->name, d->name_len, err);
	if (rc == 0)
		rc = pfs_bytes_add_short(out, d->repo, d->repo_len, err);
	if (rc == 0)
		rc = pfs_bytes_add_short(out, d->branch, d->branch_len, err);
	if (rc == 0)
		rc = pfs_bytes_add_u32(out, d->n_inputs, err);
	for (uint32_t i = 0; rc == 0 && i < d->n_inputs; i++)
		rc = encode_input(&d->inputs[i], out, err);
	return rc;
}

/* ---- reading ---- */

#define PLACE_SIZE_MIN 14u
#define DATUM_SIZE_MIN 23u
#define INPUT_SIZE_MIN 22u

/* A text without a NUL. */
static const unsigned char *run(struct pfs_bytes *b, uint64_t len)
{
	const unsigned char *text = pfs_bytes_run(b, len);

	if (text && memchr(text, 0, len))
		b->bad = true;
	return text;
}

static const unsigned char *take_short(struct pfs_bytes *b, uint8_t *out_len)
{
	*out_len = pfs_bytes_u8(b);
	return run(b, *out_len);
}

static void take_commit(struct pfs_bytes *b, struct pfs_commit_id *out)
{
	const unsigned char *raw = pfs_bytes_run(b, sizeof(out->bytes));

	if (raw)
		memcpy(out->bytes, raw, sizeof(out->bytes));
}

static bool has_parent(enum pfs_place_kind kind)
{
	return kind == PFS_PLACE_NAME || kind == PFS_PLACE_COMMIT || kind == PFS_PLACE_NAMELESS;
}

static bool has_name(enum pfs_place_kind kind)
{
	return kind == PFS_PLACE_NAME || kind == PFS_PLACE_COMMIT || kind == PFS_PLACE_TOP;
}

static void take_place(struct pfs_bytes *b, uint32_t n_before, struct pfs_place *out)
{
	uint8_t kind = pfs_bytes_u8(b), canonical = 0;

	*out = (struct pfs_place){ .kind = kind < PFS_PLACE_KINDS ? kind : PFS_PLACE_GONE };
	out->parent = pfs_bytes_u32(b);
	out->number = pfs_bytes_u64(b);
	out->name = take_short(b, &out->name_len);
	if (out->kind == PFS_PLACE_TOP)
		out->repo = take_short(b, &out->repo_len);
	if (out->kind == PFS_PLACE_COMMIT) {
		canonical = pfs_bytes_u8(b);
		out->canonical = canonical;
		take_commit(b, &out->commit);
	}
	if (kind >= PFS_PLACE_KINDS || canonical > 1 ||
	    has_name(out->kind) != (out->name_len > 0) ||
	    (out->kind == PFS_PLACE_TOP && !out->repo_len) ||
	    (has_parent(out->kind) ? out->parent >= n_before : out->parent != PFS_PLACE_NONE))
		b->bad = true;
}

static void take_input(struct pfs_bytes *b, struct pfs_place_input *out)
{
	out->name = take_short(b, &out->name_len);
	out->repo = take_short(b, &out->repo_len);
	take_commit(b, &out->commit);
	out->path_len = pfs_bytes_u32(b);
	out->path = run(b, out->path_len);
	if (!out->name_len || !out->repo_len || out->path_len > PFS_PATH_SIZE_MAX)
		b->bad = true;
}

static int take_datum(struct pfs_bytes *b, struct pfs_place_datum *out, struct pfs_error *err)
{
	*out = (struct pfs_place_datum){ .serial = pfs_bytes_u64(b) };
	out->created_ns = (int64_t)pfs_bytes_u64(b);
	out->name = take_short(b, &out->name_len);
	out->repo = take_short(b, &out->repo_len);
	out->branch = take_short(b, &out->branch_len);
	out->n_inputs = pfs_bytes_count(b, INPUT_SIZE_MIN);
	if (!out->name_len || !out->repo_len || !out->branch_len)
		b->bad = true;
	out->inputs = calloc(out->n_inputs + 1u, sizeof(*out->inputs));
	if (!out->inputs)
		return pfs_fail_nomem(err, "what is handed over");
	for (uint32_t i = 0; i < out->n_inputs && !b->bad; i++)
		take_input(b, &out->inputs[i]);
	return 0;
}

static int take_places(struct pfs_bytes *b, struct pfs_places *p, struct pfs_error *err)
{
	uint32_t n = pfs_bytes_count(b, PLACE_SIZE_MIN);

	p->places.items = calloc(n + 1u, sizeof(*p->places.items));
	if (!p->places.items)
		return pfs_fail_nomem(err, "what is handed over");
	for (; p->places.n < n && !b->bad; p->places.n++)
		take_place(b, (uint32_t)p->places.n, &p->places.items[p->places.n]);
	return 0;
}

static int take_handles(struct pfs_bytes *b, struct pfs_places *p, struct pfs_error *err)
{
	uint32_t n = pfs_bytes_count(b, 4);

	p->handles.items = calloc(n + 1u, sizeof(*p->handles.items));
	if (!p->handles.items)
		return pfs_fail_nomem(err, "what is handed over");
	for (; p->handles.n < n && !b->bad; p->handles.n++) {
		uint32_t place = pfs_bytes_u32(b);

		p->handles.items[p->handles.n] = place;
		if (place != PFS_PLACE_NONE && place >= p->places.n)
			b->bad = true;
	}
	return 0;
}

static int take_datums(struct pfs_bytes *b, struct pfs_places *p, struct pfs_error *err)
{
	uint32_t n = pfs_bytes_count(b, DATUM_SIZE_MIN);
	int rc = 0;

	p->datums.items = calloc(n + 1u, sizeof(*p->datums.items));
	if (!p->datums.items)
		return pfs_fail_nomem(err, "what is handed over");
	while (rc == 0 && p->datums.n < n && !b->bad)
		rc = take_datum(b, &p->datums.items[p->datums.n++], err);
	return rc;
}

int pfs_places_decode(const void *data, size_t len, struct pfs_places *out, struct pfs_error *err)
{
	struct pfs_bytes b = { data, (const unsigned char *)data + len, false };
	struct pfs_places p = { 0 };
	int rc = take_places(&b, &p, err);

	if (rc == 0)
		rc = take_handles(&b, &p, err);
	if (rc == 0)
		rc = take_datums(&b, &p, err);
	if (rc == 0 && (b.bad || b.at != b.end))
		rc = pfs_fail(err, PFS_E_CORRUPT, "places that are handed over: damaged");
	if (rc < 0) {
		pfs_places_fini(&p);
		return rc;
	}
	*out = p;
	return 0;
}
