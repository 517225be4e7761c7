/* SPDX-License-Identifier: ISC */
/*
 * Checks and makes JSON Web Tokens (RFC 7519, with RFC 8725's advice). Layer:
 * auth.
 */
#ifndef JOBWIRE_JWT_H
#define JOBWIRE_JWT_H

#include <stdint.h>

#include "auth/claims.h"
#include "auth/jws.h"
#include "base/buf.h"
#include "base/err.h"

enum {
	/* A longer one is refused unread; web servers allow 8 KiB. */
	JWT_SIZE_MAX = 16384,
	/*
	 * How far the issuer's clock may be ahead: for nbf and iat. exp has
	 * none, because a stream ends at exp and not some time after it.
	 */
	JWT_LEEWAY_S = 10,
};

struct jwt_config {
	enum jws_alg alg;
	const char *key;      /* as jws_keys_load() takes it */
	const char *issuer;   /* NULL: any */
	const char *audience; /* NULL: any */
};

/* Immutable once made, so any thread may check with it. */
struct jwt;

/* config's strings are borrowed for its life. Returns owned (jwt_free). Errors
 * as jws_keys_load(), with *message; ERR_AUTH: there is no key. Blocks on the
 * key files. */
CHECK_RESULT enum err jwt_new(
    const struct jwt_config *config, struct jwt **ret, struct buf *message);
void jwt_free(struct jwt **jwt);

/*
 * Checks a token at time now_s. The configuration says which algorithm and
 * which keys count, never the token. ERR_AUTH: it is not a token of ours, or
 * not for us, or not now, *ret_rule says why; ERR_NOMEM. claims_done() after
 * OK. Never blocks.
 */
CHECK_RESULT enum err jwt_verify(const struct jwt *jwt, struct span token,
    int64_t now_s, struct claims *ret, enum token_rule *ret_rule);

/* Appends a token with these claims, signed with the first of the keys, and
 * with the configuration's issuer and audience. Errors as jws_sign(). */
CHECK_RESULT enum err jwt_make(const struct jwt_config *config,
    const struct jws_keys *keys, const struct claims *c, struct buf *out);

#endif
