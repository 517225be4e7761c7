/* SPDX-License-Identifier: ISC */
/*
 * Computes with libcrypto. What is signed, and which key is asked for, the
 * callers know. Never blocks.
 */
#include "auth/crypto.h"

#include <pthread.h>
#include <stdbool.h>

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/params.h>

#include "text/hex.h"

static const unsigned char *
bytes_of(struct span s)
{
	return (const unsigned char *)s.p;
}

/*
 * To look an algorithm up takes longer than to compute with it, so that is done
 * once. NULL: there was no memory for it.
 */
static EVP_MAC_CTX *hmac_of_sha256; /* without a key, to be copied */
static EVP_MD *sha256;

static void
find_algorithms(void)
{
	char digest[] = "SHA256";
	const OSSL_PARAM params[] = {
	    OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
	    OSSL_PARAM_construct_end()};
	EVP_MAC *hmac;

	(void)OPENSSL_init_crypto(OPENSSL_INIT_LOAD_CONFIG, NULL);
	hmac = EVP_MAC_fetch(NULL, "HMAC", NULL);
	sha256 = EVP_MD_fetch(NULL, digest, NULL);
	hmac_of_sha256 = hmac == NULL ? NULL : EVP_MAC_CTX_new(hmac);
	EVP_MAC_free(hmac);
	if (hmac_of_sha256 == NULL ||
	    EVP_MAC_CTX_set_params(hmac_of_sha256, params) == 1)
		return;
	EVP_MAC_CTX_free(hmac_of_sha256);
	hmac_of_sha256 = NULL;
}

void
crypto_prepare(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	(void)pthread_once(&once, find_algorithms);
}

enum err
crypto_hmac(struct span key, const struct span *parts, size_t n,
    unsigned char ret[CRYPTO_MAC_SIZE])
{
	EVP_MAC_CTX *ctx;
	size_t len;
	bool is_ok;

	crypto_prepare();
	ctx = hmac_of_sha256 == NULL ? NULL : EVP_MAC_CTX_dup(hmac_of_sha256);
	is_ok =
	    ctx != NULL && EVP_MAC_init(ctx, bytes_of(key), key.n, NULL) == 1;
	for (size_t i = 0; i < n; i++)
		is_ok = is_ok && EVP_MAC_update(
				     ctx, bytes_of(parts[i]), parts[i].n) == 1;
	is_ok = is_ok && EVP_MAC_final(ctx, ret, &len, CRYPTO_MAC_SIZE) == 1;
	EVP_MAC_CTX_free(ctx);
	return is_ok ? OK : ERR_NOMEM;
}

enum err
crypto_verify(EVP_PKEY *key, const EVP_MD *digest, struct span message,
    struct span signature)
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	enum err e = ERR_NOMEM;

	if (ctx != NULL &&
	    EVP_DigestVerifyInit(ctx, NULL, digest, NULL, key) == 1)
		e = EVP_DigestVerify(ctx, bytes_of(signature), signature.n,
			bytes_of(message), message.n) == 1
			? OK
			: ERR_AUTH;
	EVP_MD_CTX_free(ctx);
	ERR_clear_error();
	return e;
}

enum err
crypto_sha256(struct span bytes, char ret[CRYPTO_SHA256_SIZE])
{
	return crypto_sha256_of(&bytes, 1, ret);
}

enum err
crypto_sha256_of(
    const struct span *parts, size_t n, char ret[CRYPTO_SHA256_SIZE])
{
	unsigned char md[EVP_MAX_MD_SIZE];
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	bool ok;

	crypto_prepare();
	ok = ctx != NULL && sha256 != NULL &&
	     EVP_DigestInit_ex(ctx, sha256, NULL) == 1;

	for (size_t i = 0; i < n && ok; i++)
		ok = EVP_DigestUpdate(ctx, parts[i].p, parts[i].n) == 1;
	ok = ok && EVP_DigestFinal_ex(ctx, md, NULL) == 1;
	EVP_MD_CTX_free(ctx);
	if (!ok)
		return ERR_NOMEM;
	hex_write(ret, md, (CRYPTO_SHA256_SIZE - 1) / 2);
	return OK;
}
