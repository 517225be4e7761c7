/* SPDX-License-Identifier: ISC */
/*
 * Whether credentials let a request in. Whether a token is good is decided in
 * jwt.c, which jobs its bearer may read in reader.c. Blocks as far as short
 * looks into the database do, and ticket_use().
 */
#include "auth/authenticator.h"

#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "text/span.h"
#include "web/query.h"

enum { SAY_PAUSE_US = 60 * 1000 * 1000 };

/* --- Keys ----------------------------------------------------------------- */

enum err
authenticator_init(struct authenticator *a,
    const struct authenticator_config *config,
    struct authenticator_stats *stats, struct buf *message)
{
	*a = (struct authenticator){
	    .mode = config->mode,
	    .cookie = config->cookie,
	    .tickets = {.db_path = config->db_path},
	    .max_tickets = config->max_tickets,
	    .stats = stats,
	};
	if (a->mode != AUTH_JWT && a->mode != AUTH_TICKET)
		return OK;
	return jwt_new(&config->jwt, &a->jwt, message);
}

void
authenticator_done(struct authenticator *a)
{
	jwt_free(&a->jwt);
	ticket_store_done(&a->tickets);
}

/* --- Refusals ------------------------------------------------------------- */

enum reason {
	NO_USER,
	MISSING,
	CONFLICT,
	INVALID,
	BAD_TICKET,
};

static const struct refusal refusals[] = {
    [NO_USER] = {403, "not_authenticated",
	"The web server has not authenticated anybody for this request.", NULL,
	0},
    [MISSING] = {401, "token_missing",
	"A token is needed: Authorization: Bearer TOKEN.", REFUSAL_NO_TOKEN, 0},
    [CONFLICT] = {400, "token_conflict",
	"The request has tokens of two different subjects.",
	"Bearer error=\"invalid_request\"", 0},
    [INVALID] = {401, "token_invalid", "This token is not accepted here.",
	REFUSAL_BAD_TOKEN, 0},
    [BAD_TICKET] = {401, "ticket_invalid",
	"There is no such ticket now: it works once, for 30 seconds.",
	REFUSAL_BAD_TOKEN, 0},
};

static enum err
refuse(enum reason reason, struct refusal *why)
{
	*why = refusals[reason];
	return ERR_AUTH;
}

/* --- Credentials ---------------------------------------------------------- */

/* Takes the first `name=value` off a Cookie header (RFC 6265 section 4.2.1). */
static bool
cut_cookie(struct span *rest, struct span *ret_name, struct span *ret_value)
{
	if (rest->n == 0)
		return false;
	*ret_value = span_skip(span_cut(rest, ';'), " ");
	*ret_name = span_cut(ret_value, '=');
	return true;
}

/* One line a minute for each rule: the issuer of tokens has to mend it. */
static void
say_failure(struct authenticator_stats *stats, enum token_rule rule)
{
	int64_t now_us = clock_mono_us();
	int64_t last_us = stats->said_us[rule];

	if ((last_us != 0 && now_us - last_us < SAY_PAUSE_US) ||
	    !atomic_compare_exchange_strong(
		&stats->said_us[rule], &last_us, now_us))
		return;
	log_warn("token_refused", "rule", token_rule_texts[rule].name, "needs",
	    token_rule_texts[rule].text, "so_far",
	    LOG_INT(stats->failures[rule]));
}

/* Credentials were sent, and none is good. */
static enum err
fail(const struct authenticator *a, enum token_rule rule, struct refusal *why)
{
	a->stats->failures[rule]++;
	say_failure(a->stats, rule);
	switch (rule) {
	case RULE_EXPIRED:
	case RULE_REVOKED:
		session_explain(
		    rule == RULE_EXPIRED ? ERR_EXPIRED : ERR_AUTH, why);
		return ERR_AUTH;
	case RULE_TICKET:
		return refuse(BAD_TICKET, why);
	default:
		return refuse(INVALID, why);
	}
}

/* The claims of the next token were found good. */
static enum err
keep_token(struct reader *reader)
{
	enum err e = session_of(&reader->tokens[reader->n_tokens].claims,
	    &reader->tokens[reader->n_tokens].session);

	reader->n_tokens++;
	return e;
}

static enum err
read_ticket(struct authenticator *a, struct span ticket, bool is_look,
    int64_t now_s, struct reader *reader, struct refusal *why)
{
	enum err e = ticket_use(&a->tickets, ticket, is_look, now_s,
	    &reader->tokens[0].claims, &reader->job_ids);

	if (e == ERR_AUTH)
		return fail(a, RULE_TICKET, why);
	return e == OK ? keep_token(reader) : e;
}

static enum err
try_token(const struct authenticator *a, struct span token, bool is_first,
    int64_t now_s, struct reader *reader)
{
	enum token_rule rule;
	enum err e = jwt_verify(a->jwt, token, now_s,
	    &reader->tokens[reader->n_tokens].claims, &rule);

	if (e == ERR_AUTH && is_first) {
		reader->is_first_bad = true;
		reader->first_rule = rule;
	}
	if (e == ERR_AUTH)
		return OK;
	return e == OK ? keep_token(reader) : e;
}

/* The header's token, then those of cookies as they were sent. */
static enum err
try_tokens(const struct authenticator *a, const struct request *r,
    int64_t now_s, struct reader *reader, size_t *ret_n)
{
	struct span token = request_bearer(r->authorization), name;
	struct span rest = span_of(r->cookie);
	size_t n = 0;
	enum err e = OK;

	if (token.n > 0)
		e = try_token(a, token, n++ == 0, now_s, reader);
	while (e == OK && n < READER_TOKENS_MAX && a->cookie != NULL &&
	       cut_cookie(&rest, &name, &token))
		if (span_eq_str(name, a->cookie) && token.n > 0)
			e = try_token(a, token, n++ == 0, now_s, reader);
	*ret_n = n;
	return e;
}

static enum err
read_tokens(const struct authenticator *a, const struct request *r,
    int64_t now_s, struct reader *reader, struct refusal *why)
{
	size_t n = 0;
	enum err e = try_tokens(a, r, now_s, reader, &n);

	if (e == OK && n == 0)
		return refuse(MISSING, why);
	if (e == OK && reader->n_tokens == 0)
		return fail(a, reader->first_rule, why);
	return e;
}

enum err
authenticator_read(const struct authenticator *a, const struct request *r,
    int64_t now_s, struct reader *ret, struct refusal *why)
{
	struct reader reader = {0};
	enum err e = OK;

	if (a->mode == AUTH_SERVER && *r->remote_user == '\0')
		e = refuse(NO_USER, why);
	else if (a->mode == AUTH_SERVER)
		reader.subject = r->remote_user;
	else if (a->mode != AUTH_JOB_ID)
		e = read_tokens(a, r, now_s, &reader, why);
	if (e == OK)
		*ret = reader;
	else
		reader_done(&reader);
	return e;
}

/* The token counts: whose it is, and for how long. */
static void
admit(struct reader *reader, size_t i)
{
	reader->claims = reader->tokens[i].claims;
	reader->session = reader->tokens[i].session;
	reader->subject = reader->claims.sub;
	reader->has_session = true;
}

enum err
authenticator_confirm(const struct authenticator *a, struct reader *reader,
    struct db *db, int64_t now_s, struct refusal *why)
{
	enum token_rule rule = reader->first_rule;
	enum err e;

	reader->has_session = false;
	for (size_t i = 0; i < reader->n_tokens; i++) {
		e = session_check(&reader->tokens[i].session, db, now_s);
		if (e == OK && !reader->has_session)
			admit(reader, i);
		else if (e == OK && strcmp(reader->tokens[i].claims.sub,
					reader->subject) != 0)
			return refuse(CONFLICT, why);
		else if (e != OK && e != ERR_EXPIRED && e != ERR_AUTH)
			return e;
		else if (e != OK && i == 0 && !reader->is_first_bad)
			rule = e == ERR_AUTH ? RULE_REVOKED : RULE_EXPIRED;
	}
	return reader->n_tokens == 0 || reader->has_session
		   ? OK
		   : fail(a, rule, why);
}

/* Without asking the database, but for a ticket. */
static enum err
read_credential(struct authenticator *a, const struct db *db,
    const struct request *r, int64_t now_s, struct reader *ret,
    struct refusal *why)
{
	struct buf ticket = BUF_INIT;
	enum err e;

	if (a->mode == AUTH_TICKET &&
	    query_get(span_of(r->query), "ticket", &ticket))
		/* Or it would be used up, and nothing could be read. */
		e = db == NULL
			? ERR_GONE
			: read_ticket(a, buf_span(&ticket),
			      strcmp(r->method, "HEAD") == 0, now_s, ret, why);
	else if (ticket.failed)
		e = ERR_NOMEM;
	else
		e = authenticator_read(a, r, now_s, ret, why);
	buf_done(&ticket);
	return e;
}

bool
authenticator_lacks_ticket(
    struct authenticator *a, const struct request *r, int64_t now_s)
{
	struct buf ticket = BUF_INIT;
	bool lacks = a->mode == AUTH_TICKET &&
		     query_get(span_of(r->query), "ticket", &ticket) &&
		     ticket_is_unknown(&a->tickets, buf_span(&ticket), now_s);

	buf_done(&ticket);
	return lacks;
}

enum err
authenticator_identify(struct authenticator *a, struct db *db,
    const struct request *r, int64_t now_s, struct reader *ret,
    struct refusal *why)
{
	struct reader reader = {0};
	enum err e = read_credential(a, db, r, now_s, &reader, why);

	if (e == OK)
		e = authenticator_confirm(a, &reader, db, now_s, why);
	if (e == OK)
		*ret = reader;
	else
		reader_done(&reader);
	return e;
}
