#include "store/pack.h"
#include "store/hasher.h"
#include "base/crc32c.h"
#include "base/fault.h"
#include "base/io.h"
#include "base/limits.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

bool pfs_pack_is_durable(const struct pfs_pack *pack, uint64_t off)
{
	return !__atomic_load_n(&pack->unsettled, __ATOMIC_ACQUIRE) ||
	       off < __atomic_load_n(&pack->durable, __ATOMIC_ACQUIRE);
}

char *pfs_pack_format(const unsigned char uuid[PFS_UUID_SIZE], char out[PFS_PACK_TEXT_SIZE])
{
	pfs_hex_format(uuid, PFS_UUID_SIZE, out);
	return out;
}

void pfs_pack_path(const unsigned char uuid[PFS_UUID_SIZE], uint8_t kind, bool sealed,
		   char out[PFS_PACK_PATH_SIZE])
{
	static const char folders[] = {
		[PFS_PACK_DATA] = 'd',
		[PFS_PACK_META] = 'm',
		[PFS_PACK_ADOPTED] = 'a',
	};
	char text[PFS_PACK_TEXT_SIZE];

	pfs_pack_format(uuid, text);
	if (!sealed && kind == PFS_PACK_ADOPTED)
		snprintf(out, PFS_PACK_PATH_SIZE, "packs/a/%.2s/%s.new", text, text);
	else if (sealed)
		snprintf(out, PFS_PACK_PATH_SIZE, "packs/%c/%.2s/%s.pk", folders[kind], text, text);
	else
		snprintf(out, PFS_PACK_PATH_SIZE, "open/%s.pk", text);
}

void pfs_pack_table_path(const unsigned char uuid[PFS_UUID_SIZE], char out[PFS_PACK_PATH_SIZE])
{
	pfs_pack_path(uuid, PFS_PACK_ADOPTED, true, out);
	out[strlen(out) - 1] = 't';
}

/* Gone for good, before anything else goes. */
static int remove_file(int dir, const char *path, struct pfs_error *err)
{
	int rc = pfs_fault("pack.unlink", err);

	if (rc == 0 && unlinkat(dir, path, 0) < 0 && errno != ENOENT)
		return pfs_fail_errno(err, errno, "remove %s", path);
	if (rc == 0)
		rc = pfs_fault("pack.removed", err);
	if (rc == 0)
		rc = pfs_io_sync_folder(dir, path, err);
	return rc == PFS_E_NOTFOUND ? 0 : rc;
}

void pfs_pack_gone_path(const unsigned char uuid[PFS_UUID_SIZE], char out[PFS_PACK_PATH_SIZE])
{
	pfs_pack_path(uuid, PFS_PACK_ADOPTED, true, out);
	strcpy(out + strlen(out) - 2, "gone");
}

/* From here on the file beside it is to be removed, by whoever comes by. */
static int take_table_away(int dir, const unsigned char uuid[PFS_UUID_SIZE], struct pfs_error *err)
{
	char from[PFS_PACK_PATH_SIZE], to[PFS_PACK_PATH_SIZE];
	int rc = pfs_fault("pack.table", err);

	pfs_pack_table_path(uuid, from);
	pfs_pack_gone_path(uuid, to);
	if (rc == 0 && renameat(dir, from, dir, to) < 0 && errno != ENOENT)
		rc = pfs_fail_errno(err, errno, "rename %s", from);
	if (rc == 0)
		rc = pfs_io_sync_folder(dir, to, err);
	return rc == PFS_E_NOTFOUND ? 0 : rc;
}

int pfs_pack_remove_gone(int dir, const unsigned char uuid[PFS_UUID_SIZE], struct pfs_error *err)
{
	char path[PFS_PACK_PATH_SIZE];
	int rc;

	pfs_pack_path(uuid, PFS_PACK_ADOPTED, true, path);
	rc = remove_file(dir, path, err);
	pfs_pack_gone_path(uuid, path);
	return rc < 0 ? rc : remove_file(dir, path, err);
}

int pfs_pack_remove(int dir, const struct pfs_pack *pack, struct pfs_error *err)
{
	char path[PFS_PACK_PATH_SIZE];
	int rc;

	if (pack->kind == PFS_PACK_ADOPTED) {
		rc = take_table_away(dir, pack->uuid, err);
		return rc < 0 ? rc : pfs_pack_remove_gone(dir, pack->uuid, err);
	}
	pfs_pack_path(pack->uuid, pack->kind, true, path);
	return remove_file(dir, path, err);
}

bool pfs_pack_parse_name(const char *name, unsigned char out_uuid[PFS_UUID_SIZE])
{
	char digits[PFS_PACK_TEXT_SIZE];

	if (strlen(name) != 2 * PFS_UUID_SIZE + 3 || strcmp(name + 2 * PFS_UUID_SIZE, ".pk") != 0)
		return false;
	memcpy(digits, name, 2 * PFS_UUID_SIZE);
	digits[2 * PFS_UUID_SIZE] = 0;
	return pfs_hex_parse(digits, out_uuid, PFS_UUID_SIZE, NULL) == 0;
}

static int read_exactly(int fd, void *out, size_t len, uint64_t off, struct pfs_error *err)
{
	size_t got;
	int rc = pfs_io_pread(fd, out, len, off, &got, err);

	if (rc == 0 && got < len)
		return pfs_fail(err, PFS_E_CORRUPT, "ends at %llu instead of %llu",
				(unsigned long long)(off + got), (unsigned long long)(off + len));
	return rc;
}

int pfs_pack_load_header(int fd, const unsigned char uuid[PFS_UUID_SIZE],
			 const unsigned char store_uuid[PFS_UUID_SIZE], struct pfs_packhdr *out,
			 struct pfs_error *err)
{
	unsigned char raw[PFS_PACKHDR_SIZE];
	struct pfs_packhdr h;
	int rc = read_exactly(fd, raw, sizeof(raw), 0, err);

	if (rc == 0)
		rc = pfs_packhdr_decode(raw, &h, err);
	if (rc < 0)
		return rc;
	if (memcmp(h.store_uuid, store_uuid, PFS_UUID_SIZE) != 0)
		return pfs_fail(err, PFS_E_INVALID, "pack belongs to another store");
	if (memcmp(h.pack_uuid, uuid, PFS_UUID_SIZE) != 0)
		return pfs_fail(err, PFS_E_CORRUPT, "pack header tells another name than the file");
	*out = h;
	return 0;
}

static int check_footer(const unsigned char *header, const struct pfs_packtrailer *t,
			const unsigned char *footer, size_t len, struct pfs_error *err)
{
	unsigned char digest[32];
	int rc;

	if (pfs_crc32c(0, footer, len) != t->footer_crc)
		return pfs_fail(err, PFS_E_CORRUPT, "checksum of the footer is wrong");
	rc = pfs_hasher_digest(header, PFS_PACKHDR_SIZE, footer, len, digest, err);
	if (rc == 0 && memcmp(digest, t->digest, sizeof(digest)) != 0)
		return pfs_fail(err, PFS_E_CORRUPT, "digest of the pack is wrong");
	return rc;
}

static int load_tables(int fd, const struct pfs_packtrailer *t, unsigned char *raw, size_t len,
		       struct pfs_packfooter *out, struct pfs_error *err)
{
	unsigned char header[PFS_PACKHDR_SIZE];
	struct pfs_packhdr h;
	int rc = read_exactly(fd, raw, len, t->footer_off, err);

	if (rc == 0)
		rc = read_exactly(fd, header, sizeof(header), 0, err);
	if (rc == 0)
		rc = check_footer(header, t, raw, len, err);
	if (rc == 0)
		rc = pfs_packhdr_decode(header, &h, err);
	if (rc == 0 && h.version != t->version)
		rc = pfs_fail(err, PFS_E_CORRUPT, "header and trailer tell different versions");
	return rc < 0 ? rc : pfs_packfooter_decode(raw, len, t, h.kind, out, err);
}

int pfs_pack_load_trailer(int fd, uint64_t file_size, struct pfs_packtrailer *out,
			  struct pfs_error *err)
{
	unsigned char raw[PFS_PACKTRAILER_SIZE];
	int rc;

	if (file_size < PFS_PACKHDR_SIZE + sizeof(raw) || file_size > PFS_PACK_SIZE_MAX)
		return pfs_fail(err, PFS_E_CORRUPT, "a pack of %llu bytes",
				(unsigned long long)file_size);
	rc = read_exactly(fd, raw, sizeof(raw), file_size - sizeof(raw), err);
	return rc < 0 ? rc : pfs_packtrailer_decode(raw, file_size, out, err);
}

int pfs_pack_load_footer(int fd, uint64_t file_size, struct pfs_packfooter *out,
			 struct pfs_error *err)
{
	struct pfs_packtrailer t;
	unsigned char *raw;
	size_t len;
	int rc = pfs_pack_load_trailer(fd, file_size, &t, err);

	if (rc < 0)
		return rc;
	len = (size_t)(file_size - PFS_PACKTRAILER_SIZE - t.footer_off);
	raw = malloc(len ? len : 1);
	if (!raw)
		return pfs_fail_nomem(err, "the footer of a pack");
	rc = load_tables(fd, &t, raw, len, out, err);
	free(raw);
	return rc;
}

int pfs_pack_make_footer(const unsigned char header[PFS_PACKHDR_SIZE],
			 const struct pfs_packfooter *f, uint64_t footer_off, unsigned char **out,
			 size_t *out_len, struct pfs_error *err)
{
	size_t len = pfs_packfooter_size(f);
	struct pfs_packtrailer t = {
		.footer_off = footer_off,
		.n_entries = pfs_packfooter_records(f),
		.n_deltas = pfs_packfooter_deltas(f),
		.n_bundles = (uint32_t)(f->bundles.len / PFS_PACKBUNDLE_SIZE),
	};
	unsigned char *raw = malloc(len + PFS_PACKTRAILER_SIZE);
	struct pfs_packhdr h;
	int rc = raw ? pfs_packhdr_decode(header, &h, err)
		     : pfs_fail_nomem(err, "the footer of a pack");

	if (rc == 0) {
		t.version = h.version;
		pfs_packfooter_encode(f, raw);
		t.footer_crc = pfs_crc32c(0, raw, len);
		rc = pfs_hasher_digest(header, PFS_PACKHDR_SIZE, raw, len, t.digest, err);
	}
	if (rc < 0) {
		free(raw);
		return rc;
	}
	pfs_packtrailer_encode(&t, raw + len);
	*out = raw;
	*out_len = len + PFS_PACKTRAILER_SIZE;
	return 0;
}
