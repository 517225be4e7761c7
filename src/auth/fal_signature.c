/* SPDX-License-Identifier: ISC */
/*
 * Verifies fal.ai's signatures with ed25519 of libcrypto. Does not fetch keys
 * from anywhere: an administrator keeps the file up to date. Only
 * fal_keys_load() may block, on its file.
 */
#include "auth/fal_signature.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>

#include "auth/crypto.h"
#include "auth/timestamp.h"
#include "base/file.h"
#include "text/base64.h"
#include "text/hex.h"
#include "text/json_text.h"

enum {
	SIG_SIZE = 64,
	JWKS_MAX = 65536, /* bytes; fal's has less than 1000 */
};

/* Loading. */

/* The key's bytes, when it is one of ours. Its texts hold no escapes: they are
 * names of RFC 8037 and base64url. */
static bool
read_key(struct span jwk, struct fal_key *ret)
{
	struct span curve, x;
	size_t n;

	if (!json_text_get(jwk, "crv", &curve) ||
	    !json_text_get(jwk, "x", &x) ||
	    !span_eq_str(curve, "\"Ed25519\"") ||
	    json_text_kind(x) != JSON_TEXT_STRING)
		return false;
	x = (struct span){x.p + 1, x.n - 2};
	return base64_read(x, BASE64_ANY, ret->bytes, FAL_KEY_SIZE, &n) == OK &&
	       n == FAL_KEY_SIZE;
}

static enum err
read_keys(struct span jwks, struct fal_keys *k)
{
	struct json_text_iter it = {0};
	struct span name, jwk;

	if (json_text_check(jwks, &jwks) != OK ||
	    !json_text_get(jwks, "keys", &it.rest))
		return ERR_PROTO;
	while (json_text_next(&it, &name, &jwk)) {
		struct fal_key *keys =
		    realloc(k->keys, (k->n + 1) * sizeof(*keys));

		if (keys == NULL)
			return ERR_NOMEM;
		k->keys = keys;
		if (read_key(jwk, &keys[k->n]))
			k->n++;
	}
	return k->n > 0 ? OK : ERR_PROTO;
}

enum err
fal_keys_load(const char *path, struct fal_keys *ret, struct buf *message)
{
	struct fal_keys made = {0};
	struct buf content = BUF_INIT;
	enum err e = OK;
	int saved = 0;

	if (path != NULL && *path != '\0') {
		e = file_read(path, JWKS_MAX, &content);
		saved = errno;
		if (e == OK)
			e = read_keys(buf_span(&content), &made);
		if (e != OK)
			buf_addf(message, "%s: %s", path,
			    e == ERR_PROTO ? "no JWKS with an Ed25519 key"
			    : e == ERR_SYS ? strerror(saved)
					   : err_text(e));
	}
	buf_done(&content);
	if (e == OK)
		*ret = made;
	else
		fal_keys_done(&made);
	errno = saved;
	return e;
}

void
fal_keys_done(struct fal_keys *k)
{
	free(k->keys);
	*k = (struct fal_keys){0};
}

/* Verifying. */

/* ERR_AUTH: not by this key. */
static enum err
verify_with(const struct fal_key *key, struct span message, struct span sig)
{
	EVP_PKEY *public_key = EVP_PKEY_new_raw_public_key(
	    EVP_PKEY_ED25519, NULL, key->bytes, FAL_KEY_SIZE);
	enum err e = public_key == NULL
			 ? ERR_NOMEM
			 : crypto_verify(public_key, NULL, message, sig);

	EVP_PKEY_free(public_key);
	return e;
}

static enum err
verify_with_any(const struct fal_keys *k, struct span message, struct span sig)
{
	enum err e = ERR_AUTH;

	for (size_t i = 0; i < k->n && e == ERR_AUTH; i++)
		e = verify_with(&k->keys[i], message, sig);
	return e;
}

enum err
fal_verify(const struct fal_keys *k, const struct request *r, int64_t now_s)
{
	const char *timestamp = request_header(r, "x-fal-webhook-timestamp");
	const struct span sig_text =
	    span_of(request_header(r, "x-fal-webhook-signature"));
	struct buf message = BUF_INIT;
	unsigned char sig[SIG_SIZE];
	char digest[CRYPTO_SHA256_SIZE];
	enum err e;

	if (k->n == 0)
		return ERR_NOENT;
	if (hex_read(sig_text, sig, SIG_SIZE) != OK)
		return ERR_AUTH;
	e = crypto_sha256(r->body, digest);
	if (e != OK)
		return e;
	buf_addf(&message, "%s\n%s\n%s\n%s",
	    request_header(r, "x-fal-webhook-request-id"),
	    request_header(r, "x-fal-webhook-user-id"), timestamp, digest);
	e = buf_ok(&message) ? verify_with_any(k, buf_span(&message),
				   (struct span){(char *)sig, SIG_SIZE})
			     : ERR_NOMEM;
	buf_done(&message);
	return e == OK ? timestamp_check(timestamp, now_s) : e;
}
