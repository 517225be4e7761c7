/* SPDX-License-Identifier: ISC */
/*
 * The tables revoked and tickets. Layer: store. Knows digests only; see
 * auth/ticket.h and auth/jwt.h for what they are of. Times are seconds since
 * 1970.
 */
#ifndef JOBWIRE_TOKENS_H
#define JOBWIRE_TOKENS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "store/db.h"

/* How long a revocation is kept. A token must not live longer than half of
 * this (auth/claims.h), or it would come to life again. */
enum { TOKENS_REVOKED_KEEP_S = 2 * 366 * 86400 };

/* Takes back the token (kind "jti") or all tokens so far ("sub") of that
 * digest, within the caller's transaction. Errors as db_begin(). */
CHECK_RESULT enum err tokens_revoke(
    struct db *db, const char *kind, const char *digest, int64_t now_s);

/*
 * Is a token revoked that has these digests and was issued at iat_s (INT64_MIN:
 * it does not say)? jti NULL: it has none. One short reading; errors as
 * events_read_all().
 */
CHECK_RESULT enum err tokens_is_revoked(
    struct db *db, const char *jti, const char *sub, int64_t iat_s, bool *ret);

struct ticket_new {
	const char *digest, *sub;
	struct span claims; /* a JSON object with this sub */
	int64_t expires_at;
};

/* Stores a ticket, within the caller's transaction. ERR_LIMIT: max unused ones
 * of that sub are there that have not ended at now_s (0: however many). Errors
 * else as events_append(). */
CHECK_RESULT enum err tokens_add_ticket(
    struct db *db, const struct ticket_new *t, int64_t now_s, int64_t max);

/*
 * Uses a ticket up, whoever else tries at the same time: its claims are
 * appended to *ret once. ERR_NOENT: there is none (any more), or it is late.
 * Writes only when there is one; a transaction of its own, errors as
 * db_begin() and db_commit().
 */
CHECK_RESULT enum err tokens_take_ticket(
    struct db *db, const char *digest, int64_t now_s, struct buf *ret_claims);

/* The same without using it up; writes nothing. */
CHECK_RESULT enum err tokens_peek_ticket(
    struct db *db, const char *digest, int64_t now_s, struct buf *ret_claims);

/* Deletes what is past use. Writes only when there is something. */
CHECK_RESULT enum err tokens_prune(struct db *db, int64_t now_s);

#endif
