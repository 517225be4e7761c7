/* SPDX-License-Identifier: ISC */
/*
 * How long a right to read lasts: what an open stream is looked at with again.
 * Layer: auth.
 */
#ifndef JOBWIRE_SESSION_H
#define JOBWIRE_SESSION_H

#include <stdbool.h>
#include <stdint.h>

#include "auth/claims.h"
#include "auth/crypto.h"
#include "base/err.h"
#include "store/db.h"
#include "web/refusal.h"

struct session {
	int64_t exp_s; /* seconds since 1970 */
	int64_t iat_s; /* INT64_MIN: not known */
	bool has_jti;
	char jti[CRYPTO_SHA256_SIZE], sub[CRYPTO_SHA256_SIZE];
};

/* The session of who has these claims. ERR_NOMEM. */
CHECK_RESULT enum err session_of(const struct claims *c, struct session *ret);

/* Is it still good? ERR_EXPIRED; ERR_AUTH: it was revoked; ERR_GONE without a
 * database (NULL); else as tokens_is_revoked(). */
CHECK_RESULT enum err session_check(
    const struct session *s, struct db *db, int64_t now_s);

/* Why it is not good now, for session_check()'s ERR_EXPIRED or ERR_AUTH. */
void session_explain(enum err e, struct refusal *ret);

#endif
