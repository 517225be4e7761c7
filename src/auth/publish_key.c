/* SPDX-License-Identifier: ISC */
/*
 * Compares a bearer key with the publish keys. secrets.c
 * loads them. Pure.
 */
#include "auth/publish_key.h"

#include <stdbool.h>

#include <openssl/crypto.h>

#include "auth/crypto.h"
#include "web/request.h"

enum err
publish_key_check(const struct secrets *keys, const char *authorization)
{
	char given[CRYPTO_SHA256_SIZE], expected[CRYPTO_SHA256_SIZE];
	const struct span token = request_bearer(authorization);
	bool is_match = false;

	if (keys->n == 0)
		return ERR_NOENT;
	if (token.n == 0)
		return ERR_AUTH;
	/* Digests, so that not even the length of a key shows in the time. */
	if (crypto_sha256(token, given) != OK)
		return ERR_NOMEM;
	for (size_t i = 0; i < keys->n; i++) {
		if (crypto_sha256(keys->keys[i], expected) != OK)
			return ERR_NOMEM;
		is_match |= CRYPTO_memcmp(given, expected, sizeof(given)) == 0;
	}
	return is_match ? OK : ERR_AUTH;
}
