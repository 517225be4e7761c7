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
#include "auth/key_file.h"
#include "auth/timestamp.h"
#include "text/base64.h"
#include "text/hex.h"
#include "text/json_value.h"

enum { SIG_SIZE = 64 };

/* --- Loading -------------------------------------------------------------- */

/* The key's bytes, when it is one of ours. */
static bool
read_key(struct json_object *jwk, struct fal_key *ret)
{
	struct span crv, x;
	size_t n;

	return json_object_is_type(jwk, json_type_object) &&
	       json_value_string(json_object_object_get(jwk, "crv"), &crv) &&
	       json_value_string(json_object_object_get(jwk, "x"), &x) &&
	       span_eq_str(crv, "Ed25519") &&
	       base64_read(x, BASE64_ANY, ret->bytes, FAL_KEY_SIZE, &n) == OK &&
	       n == FAL_KEY_SIZE;
}

static enum err
read_list(struct json_object *list, struct fal_keys *k)
{
	size_t n = json_object_is_type(list, json_type_array)
		       ? json_object_array_length(list)
		       : 0;

	if (n == 0)
		return ERR_PROTO;
	k->keys = calloc(n, sizeof(*k->keys));
	if (k->keys == NULL)
		return ERR_NOMEM;
	for (size_t i = 0; i < n; i++)
		if (read_key(
			json_object_array_get_idx(list, i), &k->keys[k->n]))
			k->n++;
	return k->n > 0 ? OK : ERR_PROTO;
}

static enum err
read_keys(struct span jwks, struct fal_keys *k)
{
	struct json_object *object = NULL;
	size_t n;
	enum err e = json_value_object(jwks, &object, &n);

	if (e == OK)
		e = read_list(json_object_object_get(object, "keys"), k);
	json_object_put(object);
	return e;
}

enum err
fal_keys_load(const char *path, struct fal_keys *ret, struct buf *message)
{
	struct fal_keys made = {0};
	struct buf content = BUF_INIT;
	enum err e = OK;
	int saved = 0;

	if (path != NULL && *path != '\0') {
		e = key_file_read(span_of(path), &content, message);
		saved = errno;
		if (e == OK) {
			e = read_keys(buf_span(&content), &made);
			if (e != OK)
				buf_addf(message, "%s: %s", path,
				    e == ERR_PROTO
					? "no JWKS with an Ed25519 key"
					: err_text(e));
		}
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

/* --- Verifying ------------------------------------------------------------ */

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
