/* SPDX-License-Identifier: ISC */
/*
 * Compares a bearer key with the publish keys. Where the keys come from is
 * sign.c's business. Pure.
 */
#include "auth/publish.h"

#include <stdbool.h>

#include <openssl/crypto.h>

#include "web/request.h"

enum err
publish_check(const struct sign_keys *keys, const char *authorization)
{
	char given[SIGN_DIGEST_SIZE], expected[SIGN_DIGEST_SIZE];
	const struct span token = request_bearer(authorization);
	bool is_match = false;

	if (keys->n == 0)
		return ERR_NOENT;
	if (token.n == 0)
		return ERR_AUTH;
	/* Digests, so that not even the length of a key shows in the time. */
	if (sign_digest(token, given) != OK)
		return ERR_NOMEM;
	for (size_t i = 0; i < keys->n; i++) {
		if (sign_digest(keys->keys[i], expected) != OK)
			return ERR_NOMEM;
		is_match |= CRYPTO_memcmp(given, expected, sizeof(given)) == 0;
	}
	return is_match ? OK : ERR_AUTH;
}
