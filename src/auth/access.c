/* SPDX-License-Identifier: ISC */
/*
 * The decision to let a request read. Whether a token is good is jwt.c's to
 * say; what a reader is then shown, live's business. Blocks as far as short
 * looks into the database do, and ticket_use().
 */
#include "auth/access.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "store/jobs.h"
#include "store/tokens.h"
#include "web/query.h"

/* --- The guard ------------------------------------------------------------------ */

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

/* --- Refusals ------------------------------------------------------------------- */

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
	"The request has two different tokens.",
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

/* --- Credentials ---------------------------------------------------------------- */

static struct span
bearer_token(const char *authorization)
{
	static const char scheme[] = "Bearer ";
	size_t n = sizeof(scheme) - 1;

	if (strncasecmp(authorization, scheme, n) != 0)
		return (struct span){0};
	return span_of(authorization + n + strspn(authorization + n, " "));
}

/* Takes the first `name=value` off a Cookie header (RFC 6265 section 4.2.1). */
static bool
cut_cookie(struct span *rest, struct span *ret_name, struct span *ret_value)
{
	struct span pair;
	const char *at;

	while (rest->n > 0 && (*rest->p == ' ' || *rest->p == ';')) {
		rest->p++;
		rest->n--;
	}
	at = rest->n > 0 ? memchr(rest->p, ';', rest->n) : NULL;
	pair = (struct span){
	    rest->p, at != NULL ? (size_t)(at - rest->p) : rest->n};
	rest->p += pair.n;
	rest->n -= pair.n;
	at = pair.n > 0 ? memchr(pair.p, '=', pair.n) : NULL;
	if (at == NULL) {
		*ret_name = *ret_value = (struct span){0};
		return rest->n > 0;
	}
	*ret_name = (struct span){pair.p, (size_t)(at - pair.p)};
	*ret_value = (struct span){at + 1, pair.n - ret_name->n - 1};
	return true;
}

/* The one token of the request, from all the places where one may be. False:
 * there are two, and they are not the same. */
static bool
find_token(const struct guard *g, const struct request *r, struct span *ret)
{
	struct span token = bearer_token(r->authorization), name, value;
	struct span rest = span_of(r->cookie);

	while (g->cookie != NULL && cut_cookie(&rest, &name, &value)) {
		if (!span_eq_str(name, g->cookie) || value.n == 0)
			continue;
		if (token.n > 0 && !span_eq(token, value))
			return false;
		token = value;
	}
	*ret = token;
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

/* The claims in *a were found good: whose they are, and for how long. */
static enum err
admit(struct access *a)
{
	enum err e = make_pass(&a->claims, &a->pass);

	a->subject = a->claims.sub;
	a->has_pass = true;
	if (e != OK)
		access_done(a);
	return e;
}

/* A credential that was sent, and is no good. */
static enum err
fail(const struct guard *g, enum reason reason, struct refusal *why)
{
	g->stats->failures++;
	return refuse(reason, why);
}

static enum err
read_ticket(struct guard *g, struct span ticket, int64_t now_s,
    struct access *ret, struct refusal *why)
{
	struct access a = {.mode = g->mode};
	enum err e = ticket_use(&g->desk, ticket, now_s, &a.claims, &a.job_ids);

	if (e == ERR_AUTH)
		return fail(g, BAD_TICKET, why);
	if (e == OK)
		e = admit(&a);
	if (e == OK)
		*ret = a;
	return e;
}

enum err
access_read_token(const struct guard *g, const struct request *r, int64_t now_s,
    struct access *ret, struct refusal *why)
{
	struct access a = {.mode = g->mode};
	struct span token;
	enum err e;

	if (!find_token(g, r, &token))
		return refuse(CONFLICT, why);
	if (token.n == 0)
		return refuse(MISSING, why);
	e = jwt_verify(g->jwt, token, now_s, &a.claims);
	if (e == ERR_AUTH || e == ERR_EXPIRED)
		return fail(g, e == ERR_AUTH ? INVALID : EXPIRED, why);
	if (e == OK)
		e = admit(&a);
	if (e == OK)
		*ret = a;
	return e;
}

enum err
access_settle(const struct guard *g, const struct access *a, struct db *db,
    int64_t now_s, struct refusal *why)
{
	enum err e = a->has_pass ? pass_check(&a->pass, db, now_s) : OK;

	if (e != ERR_EXPIRED && e != ERR_AUTH)
		return e;
	return fail(g, e == ERR_EXPIRED ? EXPIRED : REVOKED, why);
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
		e = read_ticket(g, buf_span(&ticket), now_s, ret, why);
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
	claims_done(&a->claims);
	free(a->job_ids);
	a->job_ids = NULL;
}

/* --- Rights --------------------------------------------------------------------- */

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
