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

/* Strings of the claims point into the buffers and the command line. */
struct grant {
	struct claims claims;
	struct buf jobs, jti;
};

/* Fills the grant, or says for the command `what` what is wrong with its flags.
 * Returns the exit status; grant_done() in every case. */
int grant_init(const struct command_line *c, const char *what, struct grant *g);
void grant_done(struct grant *g);

/* May a claim be this text? */
bool grant_is_text(const char *text);

/* Appends a token signed with --key, else with the secret of HS256. Errors as
 * jws_keys_load() and jwt_make(); ERR_AUTH: there is no such key. *why, a
 * sentence, may stay empty. */
CHECK_RESULT enum err grant_sign(const struct command_line *c,
    const struct claims *claims, struct buf *out, struct buf *why);

#endif
