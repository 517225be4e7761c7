/* SPDX-License-Identifier: ISC */
/*
 * Who may read which job. Layer: auth.
 */
#ifndef JOBWIRE_ACCESS_H
#define JOBWIRE_ACCESS_H

#include <stdbool.h>
#include <stdint.h>

#include "auth/claims.h"
#include "auth/jwt.h"
#include "auth/sign.h"
#include "auth/ticket.h"
#include "base/buf.h"
#include "base/err.h"
#include "conf/settings.h"
#include "store/db.h"
#include "web/answer.h"
#include "web/request.h"

/* Written and read by any thread. */
struct access_stats {
	/* For having max_tickets already. */
	_Atomic uint64_t tickets_refused;
	/* Requests whose credentials were no good, by the rule that the first
	 * of them broke; and when this was logged last. */
	_Atomic uint64_t failures[TOKEN_RULES];
	_Atomic int64_t said_us[TOKEN_RULES];
};

/* What decisions need. To read the keys again, make another one and put it in
 * the place of this one. Several threads may share it, but only one may let
 * tickets in. */
struct guard {
	enum events_auth mode;
	const char *cookie; /* borrowed: where else a token may be; NULL */
	struct jwt *jwt;    /* owned; NULL in modes without tokens */
	struct ticket_desk desk;
	int64_t max_tickets; /* that a subject may have unused; 0: no limit */
	struct access_stats *stats; /* borrowed */
};

/*
 * Takes what it needs from the settings, whose strings it borrows for its
 * life, as it does stats, and loads keys. Errors as jwt_new(), with *message.
 * guard_done() in any case. Blocks on key files.
 */
CHECK_RESULT enum err guard_init(struct guard *g, const struct settings *s,
    struct access_stats *stats, struct buf *message);
void guard_done(struct guard *g);

/* How long a right lasts: what an open stream is looked at with again. */
struct pass {
	int64_t exp_s; /* seconds since 1970 */
	int64_t iat_s; /* INT64_MIN: not known */
	bool has_jti;
	char jti[SIGN_DIGEST_SIZE], sub[SIGN_DIGEST_SIZE];
};

/* Is it still good? ERR_EXPIRED; ERR_AUTH: it was revoked; ERR_GONE without a
 * database (NULL); else as tokens_is_revoked(). */
CHECK_RESULT enum err pass_check(
    const struct pass *p, struct db *db, int64_t now_s);

/* A browser sends cookies of one name for several paths and domains, old ones
 * among them: so many tokens of a request are tried. */
enum { ACCESS_TOKENS_MAX = 4 };

/* Whom the request comes from, as far as the mode asks. */
struct access {
	enum events_auth mode;
	const char *subject;  /* borrowed from the request or from claims; NULL:
				anybody */
	struct claims claims; /* those that count; borrowed from tokens */
	char *job_ids;	      /* owned: a ticket is limited to these; NULL */
	struct pass pass;
	bool has_pass; /* the right ends */
	/* The tokens, or the ticket, that are good if not revoked; owned. */
	struct {
		struct claims claims;
		struct pass pass;
	} tokens[ACCESS_TOKENS_MAX];
	size_t n_tokens;
	bool is_first_bad; /* the first that was sent is not among them, */
	enum token_rule first_rule; /* for it broke this */
};
void access_done(struct access *a);

/* Why a request is not let in; static texts. */
struct refusal {
	int status;
	const char *code, *message;
	const char *challenge; /* for WWW-Authenticate; NULL: none */
	int64_t retry_after_s; /* 0: none */
};

/* Fills the answer: the contract's error body and its header fields. */
void access_refuse(struct answer *a, const struct refusal *why);

/*
 * Authenticates at time now_s. Uses a ticket up, unless the method is HEAD.
 * Of several tokens, the header's before the cookies', one good one lets in;
 * two of different subjects are a conflict. ERR_AUTH with *why, by the first
 * token where none is good. Other
 * errors: it cannot be said now (ERR_BUSY, ERR_GONE, ERR_NOMEM and what else
 * reading the database gives). access_done() after OK.
 */
CHECK_RESULT enum err access_identify(struct guard *g, struct db *db,
    const struct request *r, int64_t now_s, struct access *ret,
    struct refusal *why);

/*
 * The same in two steps, for whoever gets a ticket for a token. The first
 * needs no database and runs on any thread; the second asks it which tokens
 * were revoked, and may be repeated: subject, claims and pass are known then.
 * Errors as access_identify().
 */
CHECK_RESULT enum err access_read_token(const struct guard *g,
    const struct request *r, int64_t now_s, struct access *ret,
    struct refusal *why);
CHECK_RESULT enum err access_settle(const struct guard *g, struct access *a,
    struct db *db, int64_t now_s, struct refusal *why);

/* Why a pass that was good is not now: *why for pass_check()'s ERR_EXPIRED or
 * ERR_AUTH. */
void access_explain(enum err e, struct refusal *why);

/* May it read this job? In the mode job-id, knowing the id is the permission.
 * ERR_AUTH when not; ERR_GONE without a database (NULL); else as
 * jobs_owns(). */
CHECK_RESULT enum err access_check_job(
    const struct access *a, struct db *db, const char *job_id);

/* The owner whose jobs it may read all together; NULL: none. */
const char *access_owner(const struct access *a);

#endif
