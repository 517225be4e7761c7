/* SPDX-License-Identifier: ISC */
/*
 * What a new token or ticket says, from --sub, --jobs and --ttl, and how a
 * token is signed.
 */
#ifndef JOBWIRE_GRANT_H
#define JOBWIRE_GRANT_H

#include <stdbool.h>

#include "auth/claims.h"
#include "base/buf.h"
#include "base/err.h"
#include "command.h"

/* Strings of the claims point into the buffer and the command line. */
struct grant {
	struct claims claims;
	struct buf jti;
};

/* The flags of whoever makes one. */
struct grant_flags {
	char *sub, *jobs;
	int64_t ttl; /* ms; 0: GRANT_TTL_MS */
};

enum { GRANT_TTL_MS = 3600 * 1000 };

/* Their rows, for values that begin with a struct grant_flags. */
#define GRANT_FLAGS                                                            \
	{COMMAND_FLAG(struct grant_flags, sub), .metavar = "NAME",             \
	    .help = "who may read"},                                           \
	    {COMMAND_FLAG(struct grant_flags, jobs), .metavar = "LIST",        \
		.help = "further jobs that may be read: a,b"},                 \
	{                                                                      \
		COMMAND_FLAG(struct grant_flags, ttl),                         \
		    .type = OPT_DURATION, .min = 1000,                         \
		    .max = INT64_C(1000) * CLAIMS_LIFE_MAX_S,                  \
		    .help = "how long it is good (1h)"                         \
	}

/* Fills the grant, or says for the command `what` what is wrong with its flags.
 * Returns the exit status; grant_done() in every case. */
int grant_init(
    const struct grant_flags *flags, const char *what, struct grant *g);
void grant_done(struct grant *g);

/* Appends a token signed with key, as --key names it; NULL: with the secret of
 * HS256. Errors as
 * jws_keys_load() and jwt_make(); ERR_AUTH: there is no such key. *why, a
 * sentence, may stay empty. */
CHECK_RESULT enum err grant_sign(const struct settings *s, const char *key,
    const struct claims *claims, struct buf *out, struct buf *why);

#endif
