#include "runtime/digest.h"
#include "base/id.h"

#include <openssl/evp.h>
#include <string.h>

#define PREFIX     "sha256:"
#define PREFIX_LEN 7
#define RAW_SIZE   32

/* Only a name for EVP_MD_CTX, which the door need not know. */
static EVP_MD_CTX *ctx_of(struct pfs_digest *d)
{
	return (EVP_MD_CTX *)(void *)d;
}

int pfs_digest_new(struct pfs_digest **out, struct pfs_error *err)
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();

	if (!ctx || EVP_DigestInit_ex(ctx, EVP_sha256(), NULL) != 1) {
		EVP_MD_CTX_free(ctx);
		return pfs_fail_nomem(err, "a digest");
	}
	*out = (struct pfs_digest *)(void *)ctx;
	return 0;
}

void pfs_digest_free(struct pfs_digest **d)
{
	if (*d)
		EVP_MD_CTX_free(ctx_of(*d));
	*d = NULL;
}

int pfs_digest_add(struct pfs_digest *d, const void *data, size_t len, struct pfs_error *err)
{
	if (EVP_DigestUpdate(ctx_of(d), data, len) != 1)
		return pfs_fail(err, PFS_E_IO, "SHA-256 failed");
	return 0;
}

int pfs_digest_finish(struct pfs_digest *d, char out[PFS_DIGEST_SIZE], struct pfs_error *err)
{
	unsigned char raw[EVP_MAX_MD_SIZE];
	unsigned len = 0;

	if (EVP_DigestFinal_ex(ctx_of(d), raw, &len) != 1 || len != RAW_SIZE)
		return pfs_fail(err, PFS_E_IO, "SHA-256 failed");
	memcpy(out, PREFIX, PREFIX_LEN);
	pfs_hex_format(raw, RAW_SIZE, out + PREFIX_LEN);
	return 0;
}

int pfs_digest_of(const void *data, size_t len, char out[PFS_DIGEST_SIZE], struct pfs_error *err)
{
	PFS_AUTO(pfs_digest_free) struct pfs_digest *d = NULL;
	int rc;

	rc = pfs_digest_new(&d, err);
	if (rc == 0)
		rc = pfs_digest_add(d, data, len, err);
	if (rc == 0)
		rc = pfs_digest_finish(d, out, err);
	return rc;
}

int pfs_digest_check(const char *text, struct pfs_error *err)
{
	if (!text || strncmp(text, PREFIX, PREFIX_LEN) != 0 ||
	    strlen(text) != PREFIX_LEN + 2 * RAW_SIZE ||
	    strspn(text + PREFIX_LEN, "0123456789abcdef") != 2 * RAW_SIZE)
		return pfs_fail(err, PFS_E_CORRUPT, "\"%.80s\" is not a sha256 digest",
				text ? text : "");
	return 0;
}
