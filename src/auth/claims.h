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
	char *jobs; /* owned: a list of job ids; NULL: none */
	int64_t exp_s;
	int64_t iat_s; /* INT64_MIN: none */
};

struct json_object; /* text/json_value.h */

/*
 * Reads a text that is one JSON object with each of its names once. ERR_AUTH:
 * it is none, or has more than 64 members; ERR_NOMEM. Returns owned
 * (json_object_put()).
 */
CHECK_RESULT enum err claims_parse(struct span text, struct json_object **ret);

/* May sub or jti be this? 1 to CLAIMS_TEXT_MAX bytes of UTF-8 without control
 * characters. */
bool claims_is_text(struct span text);

/* Is the value this string? */
bool claims_is(struct json_object *value, const char *expected);

/* A NumericDate in whole seconds, rounded down; false for anything else, and
 * for what is negative or has an exponent. */
bool claims_time(struct json_object *value, int64_t *ret_s);

/*
 * Of claims_parse()'s object, reads sub, exp, iat, jti and jobs (null: none);
 * passes over what else there is. ERR_AUTH, with *ret_rule: one of them is not
 * what it must be, or sub or exp is missing; ERR_NOMEM. claims_done() after OK.
 */
CHECK_RESULT enum err claims_read(
    struct json_object *object, struct claims *ret, enum token_rule *ret_rule);
void claims_done(struct claims *c);

/* Appends the members of the claims, without the braces. */
void claims_add(struct buf *out, const struct claims *c);

/* --- Lists of job ids: each with a comma before the next ------------------ */

/* The ids in an array of strings; those that can be no job's are left out. NULL
 * for null and for what is missing. ERR_AUTH: it is no such array; ERR_NOMEM.
 * Returns owned (free()). */
CHECK_RESULT enum err claims_read_list(struct json_object *value, char **ret);

/* Appends the array. */
void claims_add_list(struct buf *out, const char *list);

bool claims_list_has(const char *list, const char *job_id);

#endif
