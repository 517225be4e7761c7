/* SPDX-License-Identifier: ISC */
/*
 * Keys of tokens, and signatures with them (RFC 7515, RFC 7518 section 3).
 * Layer: auth. The algorithm is fixed when keys are loaded: nothing here looks
 * at a token.
 */
#ifndef JOBWIRE_JWS_H
#define JOBWIRE_JWS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "base/err.h"

enum jws_alg { JWS_HS256, JWS_RS256, JWS_ES256 };

struct jws_key {
	char *name;		 /* owned: its kid; NULL: any */
	struct span secret;	 /* HS256: owned bytes */
	struct evp_pkey_st *pem; /* the others: owned */
};

/* Immutable once loaded, so any thread may read it. */
struct jws_keys {
	enum jws_alg alg;
	struct jws_key *list; /* owned */
	size_t n;
};

enum {
	JWS_SECRET_MIN = 32, /* RFC 7518 section 3.2 */
	JWS_RSA_BITS_MIN = 2048,
};

/*
 * `value` is one key, `@FILE` with one, or `kid1=@FILE,kid2=@FILE`. A key is a
 * secret (HS256; white space around it is dropped), or PEM: a public key or a
 * certificate, or with `is_private` a private one that jws_sign() can use. NULL
 * or empty gives n = 0. ERR_SYS (file, errno kept), ERR_LIMIT (file above 64
 * KiB, key too short), ERR_PROTO (not a key of this algorithm), ERR_NOMEM;
 * *message says which, never the secret; *ret is written on success only.
 * Blocks on files.
 */
CHECK_RESULT enum err jws_keys_load(const char *value, enum jws_alg alg,
    bool is_private, struct jws_keys *ret, struct buf *message);
void jws_keys_done(struct jws_keys *k); /* wipes them */

/*
 * The key a token's `kid` (empty: it has none) means: the one of that name, or
 * the only one where keys have no names. NULL: none.
 */
const struct jws_key *jws_keys_find(const struct jws_keys *k, struct span kid);

/* Does the signature (its bytes) belong to the message? HS256 is compared in
 * constant time. ERR_AUTH: no. ERR_NOMEM. */
CHECK_RESULT enum err jws_verify(enum jws_alg alg, const struct jws_key *key,
    struct span message, struct span signature);

/* Appends the signature's bytes. ERR_NOMEM; ERR_AUTH where the key cannot
 * sign. */
CHECK_RESULT enum err jws_sign(enum jws_alg alg, const struct jws_key *key,
    struct span message, struct buf *out);

#endif
