/* SPDX-License-Identifier: ISC */
/*
 * The decision to let a request read. Whether a token is good is jwt.c's to
 * say; what a reader is then shown, live's business. Blocks as far as short
 * looks into the database do, and ticket_use().
 */
#include "auth/access.h"

#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "store/jobs.h"
#include "store/tokens.h"
#include "text/span.h"
#include "web/query.h"

enum { SAY_PAUSE_US = 60 * 1000 * 1000 };

/* --- The guard ------------------------------------------------------------ */

enum err
guard_init(struct guard *g, const struct settings *s,
    struct access_stats *stats, struct buf *message)
{
	struct jwt_config cfg = {(enum jwt_alg)s->jwt_alg, s->jwt_key,
	    s->jwt_issuer, s->jwt_audience};

	*g = (struct guard){
	    .mode = (enum events_auth)s->events_auth,
	    .cookie = s->jwt_cookie,
	    .desk = {.db_path = s->db},
	    .max_tickets = s->max_tickets,
	    .stats = stats,
	};
	if (g->mode != EVENTS_AUTH_JWT && g->mode != EVENTS_AUTH_TICKET)
		return OK;
	return jwt_new(&cfg, &g->jwt, message);
}

void
guard_done(struct guard *g)
{
	jwt_free(&g->jwt);
	ticket_desk_done(&g->desk);
}

/* --- Refusals ------------------------------------------------------------- */

/* RFC 6750 section 3: the scheme alone where nothing was sent. */
#define BEARER "Bearer"
#define BAD_TOKEN "Bearer error=\"invalid_token\""

enum reason {
	NO_USER,
	MISSING,
	CONFLICT,
	INVALID,
	EXPIRED,
	REVOKED,
	BAD_TICKET,
};

static const struct refusal refusals[] = {
    [NO_USER] = {403, "not_authenticated",
	"The web server has not authenticated anybody for this request.", NULL,
	0},
    [MISSING] = {401, "token_missing",
	"A token is needed: Authorization: Bearer TOKEN.", BEARER, 0},
    [CONFLICT] = {400, "token_conflict",
	"The request has tokens of two different subjects.",
	"Bearer error=\"invalid_request\"", 0},
    [INVALID] = {401, "token_invalid", "This token is not accepted here.",
	BAD_TOKEN, 0},
    [EXPIRED] = {401, "token_expired", "The time of this token is over.",
	BAD_TOKEN, 0},
    [REVOKED] = {401, "token_revoked", "This token was revoked.", BAD_TOKEN, 0},
    [BAD_TICKET] = {401, "ticket_invalid",
	"There is no such ticket now: it works once, for 30 seconds.",
	BAD_TOKEN, 0},
};

void
access_refuse(struct answer *a, const struct refusal *why)
{
	answer_error(a, why->status, why->code, why->message);
	if (why->challenge != NULL)
		answer_header(a, "WWW-Authenticate", why->challenge);
	if (why->retry_after_s > 0)
		buf_addf(&a->headers, "Retry-After: %lld\r\n",
		    (long long)why->retry_after_s);
}

void
access_explain(enum err e, struct refusal *why)
{
	*why = refusals[e == ERR_EXPIRED ? EXPIRED : REVOKED];
}

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

static enum err
make_pass(const struct claims *c, struct pass *ret)
{
	enum err e = sign_digest(span_of(c->sub), ret->sub);

	ret->exp_s = c->exp_s;
	ret->iat_s = c->iat_s;
	ret->has_jti = c->jti != NULL;
	if (e == OK && ret->has_jti)
		e = sign_digest(span_of(c->jti), ret->jti);
	return e;
}

enum err
pass_check(const struct pass *p, struct db *db, int64_t now_s)
{
	bool is_revoked = false;
	enum err e;

	if (p->exp_s <= now_s)
		return ERR_EXPIRED;
	if (db == NULL)
		return ERR_GONE;
	e = tokens_is_revoked(
	    db, p->has_jti ? p->jti : NULL, p->sub, p->iat_s, &is_revoked);
	return e == OK && is_revoked ? ERR_AUTH : e;
}

/* One line a minute for each rule: the issuer of tokens has to mend it. */
static void
say_failure(struct access_stats *stats, enum token_rule rule)
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
fail(const struct guard *g, enum token_rule rule, struct refusal *why)
{
	g->stats->failures[rule]++;
	say_failure(g->stats, rule);
	switch (rule) {
	case RULE_EXPIRED:
		return refuse(EXPIRED, why);
	case RULE_REVOKED:
		return refuse(REVOKED, why);
	case RULE_TICKET:
		return refuse(BAD_TICKET, why);
	default:
		return refuse(INVALID, why);
	}
}

/* The claims of the next token were found good. */
static enum err
keep_token(struct access *a)
{
	enum err e = make_pass(
	    &a->tokens[a->n_tokens].claims, &a->tokens[a->n_tokens].pass);

	a->n_tokens++;
	return e;
}

static enum err
read_ticket(struct guard *g, struct span ticket, bool is_look, int64_t now_s,
    struct access *a, struct refusal *why)
{
	enum err e = ticket_use(&g->desk, ticket, is_look, now_s,
	    &a->tokens[0].claims, &a->job_ids);

	if (e == ERR_AUTH)
		return fail(g, RULE_TICKET, why);
	return e == OK ? keep_token(a) : e;
}

static enum err
try_token(const struct guard *g, struct span token, bool is_first,
    int64_t now_s, struct access *a)
{
	enum token_rule rule;
	enum err e = jwt_verify(
	    g->jwt, token, now_s, &a->tokens[a->n_tokens].claims, &rule);

	if (e == ERR_AUTH && is_first) {
		a->is_first_bad = true;
		a->first_rule = rule;
	}
	if (e == ERR_AUTH)
		return OK;
	return e == OK ? keep_token(a) : e;
}

/* The header's token, then those of cookies as they were sent. */
static enum err
try_tokens(const struct guard *g, const struct request *r, int64_t now_s,
    struct access *a, size_t *ret_n)
{
	struct span token = request_bearer(r->authorization), name;
	struct span rest = span_of(r->cookie);
	size_t n = 0;
	enum err e = OK;

	if (token.n > 0)
		e = try_token(g, token, n++ == 0, now_s, a);
	while (e == OK && n < ACCESS_TOKENS_MAX && g->cookie != NULL &&
	       cut_cookie(&rest, &name, &token))
		if (span_eq_str(name, g->cookie) && token.n > 0)
			e = try_token(g, token, n++ == 0, now_s, a);
	*ret_n = n;
	return e;
}

enum err
access_read_token(const struct guard *g, const struct request *r, int64_t now_s,
    struct access *ret, struct refusal *why)
{
	struct access a = {.mode = g->mode};
	size_t n = 0;
	enum err e = try_tokens(g, r, now_s, &a, &n);

	if (e == OK && n == 0)
		e = refuse(MISSING, why);
	else if (e == OK && a.n_tokens == 0)
		e = fail(g, a.first_rule, why);
	if (e == OK)
		*ret = a;
	else
		access_done(&a);
	return e;
}

/* The token counts: whose it is, and for how long. */
static void
admit(struct access *a, size_t i)
{
	a->claims = a->tokens[i].claims;
	a->pass = a->tokens[i].pass;
	a->subject = a->claims.sub;
	a->has_pass = true;
}

enum err
access_settle(const struct guard *g, struct access *a, struct db *db,
    int64_t now_s, struct refusal *why)
{
	enum token_rule rule = a->first_rule;
	enum err e;

	a->has_pass = false;
	for (size_t i = 0; i < a->n_tokens; i++) {
		e = pass_check(&a->tokens[i].pass, db, now_s);
		if (e == OK && !a->has_pass)
			admit(a, i);
		else if (e == OK &&
			 strcmp(a->tokens[i].claims.sub, a->subject) != 0)
			return refuse(CONFLICT, why);
		else if (e != OK && e != ERR_EXPIRED && e != ERR_AUTH)
			return e;
		else if (e != OK && i == 0 && !a->is_first_bad)
			rule = e == ERR_AUTH ? RULE_REVOKED : RULE_EXPIRED;
	}
	return a->n_tokens == 0 || a->has_pass ? OK : fail(g, rule, why);
}

/* Without the database, but for a ticket. */
static enum err
read_credential(struct guard *g, const struct request *r, int64_t now_s,
    struct access *ret, struct refusal *why)
{
	struct buf ticket = BUF_INIT;
	enum err e;

	if (g->mode == EVENTS_AUTH_TICKET &&
	    query_get(span_of(r->query), "ticket", &ticket))
		e = read_ticket(g, buf_span(&ticket),
		    strcmp(r->method, "HEAD") == 0, now_s, ret, why);
	else if (ticket.failed)
		e = ERR_NOMEM;
	else
		e = access_read_token(g, r, now_s, ret, why);
	buf_done(&ticket);
	return e;
}

enum err
access_identify(struct guard *g, struct db *db, const struct request *r,
    int64_t now_s, struct access *ret, struct refusal *why)
{
	struct access a = {.mode = g->mode};
	enum err e = OK;

	if (g->mode == EVENTS_AUTH_SERVER && *r->remote_user == '\0')
		e = refuse(NO_USER, why);
	else if (g->mode == EVENTS_AUTH_SERVER)
		a.subject = r->remote_user;
	else if (g->mode != EVENTS_AUTH_JOB_ID)
		e = read_credential(g, r, now_s, &a, why);
	if (e == OK)
		e = access_settle(g, &a, db, now_s, why);
	if (e == OK)
		*ret = a;
	else
		access_done(&a);
	return e;
}

void
access_done(struct access *a)
{
	for (size_t i = 0; i < ACCESS_TOKENS_MAX; i++)
		claims_done(&a->tokens[i].claims);
	free(a->job_ids);
	a->job_ids = NULL;
	a->n_tokens = 0;
}

/* --- Rights --------------------------------------------------------------- */

enum err
access_check_job(const struct access *a, struct db *db, const char *job_id)
{
	bool is_owner = false;
	enum err e;

	if (a->subject == NULL)
		return OK;
	if (a->job_ids != NULL && !claims_list_has(a->job_ids, job_id))
		return ERR_AUTH;
	if (a->claims.jobs != NULL && claims_list_has(a->claims.jobs, job_id))
		return OK;
	if (db == NULL)
		return ERR_GONE;
	e = jobs_owns(db, job_id, a->subject, &is_owner);
	if (e != OK)
		return e;
	return is_owner ? OK : ERR_AUTH;
}

const char *
access_owner(const struct access *a)
{
	return a->job_ids == NULL ? a->subject : NULL;
}
