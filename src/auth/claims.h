/* SPDX-License-Identifier: ISC */
/*
 * What a token or a ticket says of its bearer (RFC 7519 section 4). Layer:
 * auth, pure. Both are checked here and in the same way.
 */
#ifndef JOBWIRE_CLAIMS_H
#define JOBWIRE_CLAIMS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "auth/token_rule.h"
#include "base/buf.h"
#include "base/err.h"

enum {
	CLAIMS_TEXT_MAX = 256, /* bytes of sub and of jti */
	/* A token that lives longer could outlive its revocation
	 * (TOKENS_REVOKED_KEEP_S). */
	CLAIMS_LIFE_MAX_S = 366 * 86400,
};

struct claims {
	char *sub;  /* owned; never empty */
	char *jti;  /* owned; NULL: none */
	char *jobs; /* owned: a JSON array of strings; NULL: none */
	int64_t exp_s;
	int64_t iat_s; /* INT64_MIN: none */
};

/*
 * The members of a JSON object, one of each name at most: `names` is a list
 * ended by NULL, values[i] gets that of names[i], empty where there is none.
 * ERR_AUTH: not a JSON object, a member twice (whatever its name), more than
 * 64 of them; ERR_NOMEM.
 */
CHECK_RESULT enum err claims_members(
    struct span text, const char *const *names, struct span *values);

/* Is the value a string, and which? Appends it as UTF-8. False: it is none, is
 * longer than CLAIMS_TEXT_MAX, has a control character or was not UTF-8. */
bool claims_text(struct span value, struct buf *ret);

/* Is the value this string, however it is escaped? `expected` is ASCII. */
bool claims_is(struct span value, const char *expected);

/* A NumericDate in whole seconds, rounded down; false for anything else, and
 * for what is negative or has an exponent. */
bool claims_time(struct span value, int64_t *ret_s);

/*
 * Reads sub, exp, iat, jti and jobs (null: none); passes over what else there
 * is. ERR_AUTH, with *ret_rule: one of them is not what it must be, or sub or
 * exp is missing; ERR_NOMEM. claims_done() after OK.
 */
CHECK_RESULT enum err claims_read(
    struct span text, struct claims *ret, enum token_rule *ret_rule);
void claims_done(struct claims *c);

/* Appends the members of the claims, without the braces. */
void claims_add(struct buf *out, const struct claims *c);

/* Is the job in that JSON array of strings? */
bool claims_list_has(const char *list, const char *job_id);

#endif
