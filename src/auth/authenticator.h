/* SPDX-License-Identifier: ISC */
/*
 * Lets requests in: by nothing, a token, a ticket or the web server's word.
 * Layer: auth. What who is let in may read says reader.h.
 */
#ifndef JOBWIRE_AUTHENTICATOR_H
#define JOBWIRE_AUTHENTICATOR_H

#include <stdbool.h>
#include <stdint.h>

#include "auth/jwt.h"
#include "auth/reader.h"
#include "auth/ticket.h"
#include "auth/token_rule.h"
#include "base/buf.h"
#include "base/err.h"
#include "store/db.h"
#include "web/refusal.h"
#include "web/request.h"

/* Written and read by any thread. */
struct authenticator_stats {
	/* For having max_tickets already. */
	_Atomic uint64_t tickets_refused;
	/* Requests whose credentials were no good, by the rule that the first
	 * of them broke; and when this was logged last. */
	_Atomic uint64_t failures[TOKEN_RULES];
	_Atomic int64_t said_us[TOKEN_RULES];
};

/* Who may read: what the setting events_auth says. */
enum auth_mode {
	AUTH_JOB_ID, /* whoever knows a job's id */
	AUTH_JWT,    /* whom a token names */
	AUTH_TICKET, /* likewise; or whoever has a ticket */
	AUTH_SERVER, /* whom the web server has authenticated */
};

struct authenticator_config {
	enum auth_mode mode;
	struct jwt_config jwt;
	const char *cookie;  /* where else a token may be; NULL */
	const char *db_path; /* where tickets are */
	int64_t max_tickets; /* that a subject may have unused; 0: no limit */
};

/* What decides. To read the keys again, make another one and put it in the
 * place of this one. Several threads may share it, but only one may let tickets
 * in. */
struct authenticator {
	enum auth_mode mode;
	const char *cookie; /* borrowed */
	struct jwt *jwt;    /* owned; NULL in modes without tokens */
	struct ticket_store tickets;
	int64_t max_tickets;
	struct authenticator_stats *stats; /* borrowed */
};

/*
 * Borrows the config's strings for its life, as it does stats, and loads keys.
 * Errors as jwt_new(), with *message. authenticator_done() in any case. Blocks
 * on key files.
 */
CHECK_RESULT enum err authenticator_init(struct authenticator *a,
    const struct authenticator_config *config,
    struct authenticator_stats *stats, struct buf *message);
void authenticator_done(struct authenticator *a);

/*
 * Authenticates at time now_s. Uses a ticket up, unless the method is HEAD.
 * Of several tokens, the header's before the cookies', one good one lets in;
 * two of different subjects are a conflict. ERR_AUTH with *why, by the first
 * token where none is good. Other errors: it cannot be said now (ERR_AGAIN: its
 * ticket cannot be taken while others write; ERR_BUSY, ERR_GONE, ERR_NOMEM and
 * what else reading the database gives). reader_done() after OK.
 */
CHECK_RESULT enum err authenticator_identify(struct authenticator *a,
    struct db *db, const struct request *r, int64_t now_s, struct reader *ret,
    struct refusal *why);

/* Would it be refused because its ticket is not known? In a cluster another
 * node may have just given it out. Counts nothing. */
bool authenticator_lacks_ticket(
    struct authenticator *a, const struct request *r, int64_t now_s);

/*
 * The same in two steps and without tickets, for what is written. The first
 * needs no database and runs on any thread; the second asks it which tokens
 * were revoked, and may be repeated: subject, claims and session are known
 * then. Errors as authenticator_identify().
 */
CHECK_RESULT enum err authenticator_read(const struct authenticator *a,
    const struct request *r, int64_t now_s, struct reader *ret,
    struct refusal *why);
CHECK_RESULT enum err authenticator_confirm(const struct authenticator *a,
    struct reader *reader, struct db *db, int64_t now_s, struct refusal *why);

#endif
