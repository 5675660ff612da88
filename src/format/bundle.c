#include "format/bundle.h"
#include "base/endian.h"

#include <inttypes.h>

void pfs_bundle_encode_member(const struct pfs_bundle_member *m,
			      unsigned char out[PFS_BUNDLE_MEMBER_SIZE])
{
	memcpy(out, m->id.bytes, PFS_ID_SIZE);
	pfs_put_le32(out + 32, m->len);
	pfs_put_le32(out + 36, m->type);
}

int pfs_bundle_decode_member(const unsigned char in[PFS_BUNDLE_MEMBER_SIZE],
			     struct pfs_bundle_member *out, struct pfs_error *err)
{
	struct pfs_bundle_member m = { .len = pfs_get_le32(in + 32), .type = in[36] };

	if (m.type == 0 || m.type == 5 || m.type > 6 || in[37] || in[38] || in[39])
		return pfs_fail(err, PFS_E_CORRUPT, "member of a bundle of unknown type %" PRIu32,
				pfs_get_le32(in + 36));
	if (m.len > PFS_BUNDLE_SIZE_MAX)
		return pfs_fail(err, PFS_E_CORRUPT,
				"member of a bundle of %" PRIu32 " bytes, at most %u are allowed",
				m.len, PFS_BUNDLE_SIZE_MAX);
	memcpy(m.id.bytes, in, PFS_ID_SIZE);
	*out = m;
	return 0;
}

void pfs_bundle_encode_head(uint32_t n, unsigned char out[PFS_BUNDLE_HEAD_SIZE])
{
	pfs_put_le32(out, n);
	pfs_put_le32(out + 4, 0);
}

int pfs_bundle_decode(const unsigned char *payload, uint32_t clen, uint32_t ulen, uint32_t *out_n,
		      uint32_t *out_table, struct pfs_error *err)
{
	uint64_t sum = 0;
	uint32_t n;

	if (clen < PFS_BUNDLE_HEAD_SIZE)
		return pfs_fail(err, PFS_E_CORRUPT, "%" PRIu32 " bytes hold no bundle", clen);
	n = pfs_get_le32(payload);
	if (n == 0 || n > PFS_BUNDLE_MEMBERS_MAX || pfs_get_le32(payload + 4) ||
	    n > (clen - PFS_BUNDLE_HEAD_SIZE) / PFS_BUNDLE_MEMBER_SIZE)
		return pfs_fail(err, PFS_E_CORRUPT,
				"bundle of %" PRIu32 " members in %" PRIu32 " bytes", n, clen);
	for (uint32_t i = 0; i < n; i++) {
		struct pfs_bundle_member m = { 0 };
		int rc = pfs_bundle_decode_member(
			payload + PFS_BUNDLE_HEAD_SIZE + i * PFS_BUNDLE_MEMBER_SIZE, &m, err);

		if (rc < 0)
			return rc;
		sum += m.len;
	}
	if (sum != ulen)
		return pfs_fail(err, PFS_E_CORRUPT,
				"members of a bundle come to %" PRIu64 " bytes instead of %" PRIu32,
				sum, ulen);
	*out_n = n;
	*out_table = PFS_BUNDLE_HEAD_SIZE + n * PFS_BUNDLE_MEMBER_SIZE;
	return 0;
}
