#include "store/hasher.h"

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/params.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define DOMAIN_SIZE 64
#define N_KINDS     7
#define BUNDLE      5 /* has ids, but nobody puts it */

static const char *const tags[N_KINDS] = {
	[PFS_KIND_CHUNK] = "pfs1 chunk", [PFS_KIND_SEQNODE] = "pfs1 seq",
	[PFS_KIND_DIRNODE] = "pfs1 dir", [PFS_KIND_COMMIT] = "pfs1 commit",
	[BUNDLE] = "pfs1 bundle",        [PFS_KIND_XATTRS] = "pfs1 xattrs",
};

struct pfs_hasher {
	EVP_MD_CTX *fed[N_KINDS]; /* the domain block is in; only copied from */
};

/*
 * Fetching an algorithm costs more than hashing a small object, so it is done
 * once, and a thread keeps its context for its whole life.
 */
static EVP_MD *sha256;
static pthread_key_t context_key;
static int setup_failed;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void free_context(void *ctx)
{
	EVP_MD_CTX_free(ctx);
}

static void set_up(void)
{
	sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
	setup_failed = !sha256 || pthread_key_create(&context_key, free_context) != 0;
}

static EVP_MD_CTX *thread_context(void)
{
	EVP_MD_CTX *ctx;

	pthread_once(&once, set_up);
	if (setup_failed)
		return NULL;
	ctx = pthread_getspecific(context_key);
	if (ctx)
		return ctx;
	ctx = EVP_MD_CTX_new();
	if (ctx && pthread_setspecific(context_key, ctx) != 0) {
		EVP_MD_CTX_free(ctx);
		return NULL;
	}
	return ctx;
}

static int derive(const unsigned char *secret, const char *label, void *out, size_t len)
{
	EVP_KDF *kdf = EVP_KDF_fetch(NULL, "HKDF", NULL);
	EVP_KDF_CTX *ctx = kdf ? EVP_KDF_CTX_new(kdf) : NULL;
	OSSL_PARAM params[] = {
		OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, (char *)"SHA256", 0),
		OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, (void *)secret,
						  PFS_KEY_SECRET_SIZE),
		OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_INFO, (void *)label,
						  strlen(label)),
		OSSL_PARAM_construct_end(),
	};
	int ok = ctx && EVP_KDF_derive(ctx, out, len, params) == 1;

	EVP_KDF_CTX_free(ctx);
	EVP_KDF_free(kdf);
	return ok;
}

int pfs_hasher_derive(const unsigned char secret[PFS_KEY_SECRET_SIZE], struct pfs_store_keys *out,
		      struct pfs_error *err)
{
	struct pfs_store_keys keys;

	if (!derive(secret, "gear", keys.gear_key, sizeof(keys.gear_key)) ||
	    !derive(secret, "tree", keys.tree_key, sizeof(keys.tree_key)) ||
	    !derive(secret, "id", keys.id_key, sizeof(keys.id_key)))
		return pfs_fail(err, PFS_E_IO,
				"deriving the keys of a store: libcrypto has no HKDF-SHA256");
	*out = keys;
	return 0;
}

static EVP_MD_CTX *feed(const char *tag, const unsigned char id_key[32])
{
	unsigned char domain[DOMAIN_SIZE] = { 0 };
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();

	memcpy(domain, tag, strlen(tag));
	memcpy(domain + DOMAIN_SIZE - 32, id_key, 32);
	if (ctx && EVP_DigestInit_ex2(ctx, sha256, NULL) == 1 &&
	    EVP_DigestUpdate(ctx, domain, sizeof(domain)) == 1)
		return ctx;
	EVP_MD_CTX_free(ctx);
	return NULL;
}

int pfs_hasher_new(const unsigned char id_key[32], struct pfs_hasher **out, struct pfs_error *err)
{
	PFS_AUTO(pfs_hasher_free) struct pfs_hasher *h = calloc(1, sizeof(*h));

	if (!h || !thread_context())
		return pfs_fail_nomem(err, "a hasher");
	for (int kind = 0; kind < N_KINDS; kind++) {
		if (!tags[kind])
			continue;
		h->fed[kind] = feed(tags[kind], id_key);
		if (!h->fed[kind])
			return pfs_fail_nomem(err, "a hashing context");
	}
	*out = h;
	h = NULL;
	return 0;
}

void pfs_hasher_free(struct pfs_hasher **h)
{
	if (!*h)
		return;
	for (int kind = 0; kind < N_KINDS; kind++)
		EVP_MD_CTX_free((*h)->fed[kind]);
	free(*h);
	*h = NULL;
}

bool pfs_hasher_knows(enum pfs_kind kind)
{
	return (unsigned)kind < N_KINDS && tags[kind] && (int)kind != BUNDLE;
}

static int hash_one(EVP_MD_CTX *ctx, const EVP_MD_CTX *fed, const void *data, size_t len,
		    struct pfs_id *out)
{
	return EVP_MD_CTX_copy_ex(ctx, fed) == 1 && EVP_DigestUpdate(ctx, data, len) == 1 &&
	       EVP_DigestFinal_ex(ctx, out->bytes, NULL) == 1;
}

int pfs_hasher_id(const struct pfs_hasher *h, enum pfs_kind kind, const void *data, size_t len,
		  struct pfs_id *out, struct pfs_error *err)
{
	const struct pfs_store_item item = { .data = data, .len = len };

	return pfs_hasher_batch(h, kind, &item, 1, out, err);
}

int pfs_hasher_batch(const struct pfs_hasher *h, enum pfs_kind kind,
		     const struct pfs_store_item *items, size_t n, struct pfs_id *out,
		     struct pfs_error *err)
{
	EVP_MD_CTX *ctx = thread_context();

	if (!pfs_hasher_knows(kind))
		return pfs_fail(err, PFS_E_INVALID, "no kind of object has number %d", (int)kind);
	if (!ctx)
		return pfs_fail_nomem(err, "a hashing context");
	for (size_t i = 0; i < n; i++)
		if (!hash_one(ctx, h->fed[kind], items[i].data, items[i].len, &out[i]))
			return pfs_fail_nomem(err, "hashing");
	return 0;
}

int pfs_hasher_bundle(const struct pfs_hasher *h, const void *rows, size_t len, struct pfs_id *out,
		      struct pfs_error *err)
{
	EVP_MD_CTX *ctx = thread_context();

	if (!ctx || !hash_one(ctx, h->fed[BUNDLE], rows, len, out))
		return pfs_fail_nomem(err, "hashing");
	return 0;
}

int pfs_hasher_digest(const void *a, size_t a_len, const void *b, size_t b_len,
		      unsigned char out[32], struct pfs_error *err)
{
	EVP_MD_CTX *ctx = thread_context();

	if (!ctx || EVP_DigestInit_ex2(ctx, sha256, NULL) != 1 ||
	    EVP_DigestUpdate(ctx, a, a_len) != 1 || EVP_DigestUpdate(ctx, b, b_len) != 1 ||
	    EVP_DigestFinal_ex(ctx, out, NULL) != 1)
		return pfs_fail_nomem(err, "hashing");
	return 0;
}
