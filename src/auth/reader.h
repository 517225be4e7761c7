/* SPDX-License-Identifier: ISC */
/*
 * Whom a request comes from, and which jobs he may read. Layer: auth.
 * authenticator.h makes a reader.
 */
#ifndef JOBWIRE_READER_H
#define JOBWIRE_READER_H

#include <stdbool.h>
#include <stddef.h>

#include "auth/claims.h"
#include "auth/session.h"
#include "auth/token_rule.h"
#include "base/err.h"
#include "store/db.h"

/* A browser sends cookies of one name for several paths and domains, old ones
 * among them: so many tokens of a request are tried. */
enum { READER_TOKENS_MAX = 4 };

/* Whom the request comes from, as far as the mode asks. */
struct reader {
	const char *subject;  /* borrowed from the request or from claims; NULL:
				anybody */
	struct claims claims; /* those that count; borrowed from tokens */
	char *job_ids;	      /* owned: a ticket is limited to these; NULL */
	struct session session;
	bool has_session; /* the right ends */
	/* The tokens, or the ticket, that are good if not revoked; owned. */
	struct {
		struct claims claims;
		struct session session;
	} tokens[READER_TOKENS_MAX];
	size_t n_tokens;
	bool is_first_bad; /* the first that was sent is not among them, */
	enum token_rule first_rule; /* for it broke this */
};
void reader_done(struct reader *r);

/* May it read this job? In the mode job-id, knowing the id is the permission.
 * ERR_AUTH when not; ERR_GONE without a database (NULL); else as
 * jobs_owns(). */
CHECK_RESULT enum err reader_check_job(
    const struct reader *r, struct db *db, const char *job_id);

/* The owner whose jobs it may read all together; NULL: none. */
const char *reader_owner(const struct reader *r);

#endif
