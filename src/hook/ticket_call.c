/* SPDX-License-Identifier: ISC */
/*
 * POST /tickets, a token for a ticket: who may have one, and for which jobs.
 * auth/ticket.c makes it. The writing blocks on the disk, nothing else does.
 */
#include <stdlib.h>
#include <string.h>

#include "auth/authenticator.h"
#include "auth/ticket.h"
#include "hook/routes.h"
#include "job/name.h"
#include "web/cors.h"
#include "text/json_text.h"

struct ticket_call {
	struct reader reader;
	struct span job_ids; /* in the body; empty: all that the token may */
	struct refusal why;  /* when the writing says ERR_AUTH */
	struct buf ticket;
};

/* Pages of other origins read the answer, whatever it is. Returns ok. */
static bool
for_pages(struct call *c, bool ok)
{
	if (!ok)
		cors_add(&c->answer.headers, c->cfg->cors_origins,
		    c->request->origin);
	return ok;
}

static bool
take_token(struct call *c, struct ticket_call *t)
{
	enum err e;

	if (c->keys->authenticator.mode != AUTH_TICKET)
		return call_refuse(c, 403, "tickets_off",
		    "Tickets are given with events_auth = ticket only.");
	e = authenticator_read_token(
	    &c->keys->authenticator, c->request, c->now_s, &t->reader, &t->why);
	if (e == ERR_AUTH)
		return call_refuse_as(c, &t->why);
	return e == OK || call_refuse_memory(c);
}

/* The next job id of the array, in *ret. False: there is none, or it is not
 * one: then *ret_bad. */
static bool
next_job(struct json_text_iter *it, struct buf *ret, bool *ret_bad)
{
	struct span key, value;

	buf_reset(ret);
	if (!json_text_next(it, &key, &value))
		return false;
	if (json_text_kind(value) == JSON_TEXT_STRING)
		json_text_add_string_value(ret, value);
	*ret_bad = buf_ok(ret) && !job_id_ok(buf_span(ret));
	return !*ret_bad;
}

static bool
take_jobs(struct call *c, struct ticket_call *t)
{
	struct json_text_iter it = {0};
	struct buf job_id = BUF_INIT;
	struct span body;
	bool is_bad = false, is_empty, is_whole;
	size_t n = 0;

	if (!call_take_object(c, NULL, &body))
		return false;
	if (!json_text_get(body, "job_ids", &t->job_ids))
		return true;
	it.rest = t->job_ids;
	is_empty = json_text_kind(t->job_ids) != JSON_TEXT_ARRAY;
	while (!is_empty && n <= JOB_IDS_MAX && buf_ok(&job_id) &&
	       next_job(&it, &job_id, &is_bad))
		n++;
	is_whole = buf_ok(&job_id);
	buf_done(&job_id);
	if (!is_whole)
		return call_refuse_memory(c);
	if (n > JOB_IDS_MAX)
		return call_refuse(c, 400, "too_many_jobs",
		    "One ticket is for at most 64 jobs.");
	if (is_bad || n == 0)
		return call_refuse(c, 400, "bad_job_id",
		    "job_ids is an array of 1 to 64 job ids: " JOB_ID_RULE);
	return true;
}

static bool
prepare(struct call *c)
{
	struct ticket_call *t = calloc(1, sizeof(*t));

	if (t == NULL)
		return for_pages(c, call_refuse_memory(c));
	c->state = t;
	return for_pages(c, take_token(c, t) && take_jobs(c, t));
}

/* May the token read every job that the ticket is for? */
static enum err
check_jobs(struct ticket_call *t, struct db *db)
{
	static const struct refusal forbidden = {
	    .status = 403,
	    .code = "job_forbidden",
	    .message = "One of these jobs does not belong to you.",
	};
	struct json_text_iter it = {.rest = t->job_ids};
	struct buf job_id = BUF_INIT;
	bool is_bad = false;
	enum err e = OK;

	while (e == OK && next_job(&it, &job_id, &is_bad))
		e = buf_ok(&job_id)
			? reader_check_job(&t->reader, db, job_id.data)
			: ERR_NOMEM;
	buf_done(&job_id);
	if (e == ERR_AUTH)
		t->why = forbidden;
	return e;
}

static enum err
write_rows(struct call *c, struct db *db)
{
	static const struct refusal too_many = {
	    .status = 429,
	    .code = "too_many_tickets",
	    .message = "Too many tickets of this token's subject are unused.",
	    .retry_after_s = TICKET_LIFE_S,
	};
	const struct authenticator *auth = &c->keys->authenticator;
	struct ticket_call *t = c->state;
	enum err e;

	buf_reset(&t->ticket);
	e = authenticator_confirm(auth, &t->reader, db, c->now_s, &t->why);
	if (e == OK)
		e = check_jobs(t, db);
	if (e == OK)
		e = ticket_make(db, &t->reader.claims, t->job_ids, c->now_s,
		    auth->max_tickets, &t->ticket);
	if (e != ERR_LIMIT)
		return e;
	auth->stats->tickets_refused++;
	t->why = too_many;
	return ERR_AUTH;
}

static void
conclude(struct call *c)
{
	struct ticket_call *t = c->state;
	int64_t left_s = t->reader.claims.exp_s - c->now_s;

	if (c->commit.result == OK) {
		c->outcome = CALL_STORED;
		answer_json(&c->answer, 201);
		buf_addf(&c->answer.body,
		    "{\"ticket\":\"%s\",\"expires_in\":%lld}\n", t->ticket.data,
		    (long long)(left_s < TICKET_LIFE_S ? left_s
						       : TICKET_LIFE_S));
	} else if (c->commit.result == ERR_AUTH) {
		(void)call_refuse_as(c, &t->why);
	} else {
		call_answer_trouble(c);
	}
	(void)for_pages(c, false);
}

static void
done(struct call *c)
{
	struct ticket_call *t = c->state;

	reader_done(&t->reader);
	buf_done(&t->ticket);
	free(t);
}

/* What a browser asks before a page of another origin may call this. */
static bool
prepare_preflight(struct call *c)
{
	static const char methods[] = "POST, OPTIONS";

	c->answer.status = 204;
	answer_header(&c->answer, "Allow", methods);
	cors_add_preflight(&c->answer.headers, c->cfg->cors_origins,
	    c->request->origin, methods,
	    request_header(c->request, "access-control-request-headers"));
	c->outcome = CALL_LOOKED;
	return false;
}

const struct call_handler ticket_call = {prepare, write_rows, conclude, done};

const struct call_handler ticket_preflight = {.prepare = prepare_preflight};
