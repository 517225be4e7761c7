/* SPDX-License-Identifier: ISC */
/*
 * POST /tickets, a token for a ticket: who may have one, and for which jobs.
 * auth/ticket.c makes it. The writing blocks on the disk, nothing else does.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "auth/authenticator.h"
#include "auth/ticket.h"
#include "hook/routes.h"
#include "job/name.h"
#include "text/json_value.h"
#include "text/span.h"

struct ticket_call {
	struct reader reader;
	struct buf job_ids; /* a list (claims.h); empty: all the token may */
	struct refusal why; /* when the writing says ERR_AUTH */
	struct buf ticket;
};

static bool
take_token(struct call *c, struct ticket_call *t)
{
	enum err e;

	if (c->keys->authenticator.mode != AUTH_TICKET)
		return call_refuse(c, 403, "tickets_off",
		    "Tickets are given with events_auth = ticket only.");
	e = authenticator_read(
	    &c->keys->authenticator, c->request, c->now_s, &t->reader, &t->why);
	if (e == ERR_AUTH)
		return call_refuse_as(c, &t->why);
	return e == OK || call_refuse_memory(c);
}

/* The job ids of the body's array, as a list. */
static bool
take_list(struct call *c, struct json_object *array, struct ticket_call *t)
{
	size_t n = json_object_is_type(array, json_type_array)
		       ? json_object_array_length(array)
		       : 0;
	struct span id;

	if (n > JOB_IDS_MAX)
		return call_refuse(c, 400, "too_many_jobs",
		    "One ticket is for at most 64 jobs.");
	for (size_t i = 0; i < n; i++) {
		if (!json_value_string(
			json_object_array_get_idx(array, i), &id) ||
		    !job_id_ok(id)) {
			n = 0;
			break;
		}
		if (i > 0)
			buf_add_char(&t->job_ids, ',');
		buf_add_span(&t->job_ids, id);
	}
	if (n == 0)
		return call_refuse(c, 400, "bad_job_id",
		    "job_ids is an array of 1 to 64 job ids: " JOB_ID_RULE);
	return buf_ok(&t->job_ids) || call_refuse_memory(c);
}

static bool
take_jobs(struct call *c, struct ticket_call *t)
{
	struct json_object *body = NULL, *array;
	bool ok = call_take_values(c, &body);

	if (ok && json_object_object_get_ex(body, "job_ids", &array))
		ok = take_list(c, array, t);
	json_object_put(body);
	return ok;
}

static bool
prepare(struct call *c)
{
	struct ticket_call *t = calloc(1, sizeof(*t));

	if (t == NULL)
		return call_refuse_memory(c);
	c->state = t;
	return take_token(c, t) && take_jobs(c, t);
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
	struct span rest = buf_span(&t->job_ids), id;
	char job_id[JOB_ID_MAX + 1];
	enum err e = OK;

	while (e == OK && rest.n > 0) {
		id = span_cut(&rest, ',');
		(void)snprintf(job_id, sizeof(job_id), "%.*s", (int)id.n, id.p);
		e = reader_check_job(&t->reader, db, job_id);
	}
	if (e == ERR_AUTH)
		t->why = forbidden;
	return e;
}

static enum err
write_rows(struct call *c, struct db *db)
{
	const struct authenticator *auth = &c->keys->authenticator;
	struct ticket_call *t = c->state;
	enum err e;

	buf_reset(&t->ticket);
	e = authenticator_confirm(auth, &t->reader, db, c->now_s, &t->why);
	if (e == OK)
		e = check_jobs(t, db);
	if (e == OK)
		e = ticket_make(db, &t->reader.claims, call_text(&t->job_ids),
		    c->now_s, auth->max_tickets, &t->ticket, &c->written);
	return e;
}

static void
conclude(struct call *c)
{
	struct ticket_call *t = c->state;
	int64_t left_s = t->reader.claims.exp_s - c->now_s;

	if (c->commit.result == OK) {
		answer_json(&c->answer, call_take_outcome(c, 201, CALL_STORED));
		buf_addf(&c->answer.body,
		    "{\"ticket\":\"%s\",\"expires_in\":%lld", t->ticket.data,
		    (long long)(left_s < TICKET_LIFE_S ? left_s
						       : TICKET_LIFE_S));
		call_end_object(c);
	} else if (c->commit.result == ERR_AUTH) {
		(void)call_refuse_as(c, &t->why);
	} else {
		c->keys->authenticator.stats->tickets_refused +=
		    c->written.refusal == INTENT_TOO_MANY;
		call_answer_trouble(c);
	}
}

static void
done(struct call *c)
{
	struct ticket_call *t = c->state;

	reader_done(&t->reader);
	buf_done(&t->job_ids);
	buf_done(&t->ticket);
	free(t);
}

const struct call_handler ticket_call = {
    .prepare = prepare,
    .write = write_rows,
    .conclude = conclude,
    .done = done,
    .is_for_pages = true,
};
