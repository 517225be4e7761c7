/* SPDX-License-Identifier: ISC */
/*
 * POST /jobs/{job_id}/{action}, which starts a run of the job, and
 * POST /jobs/{job_id}/cancel. Both write rows only; jobwire-runner does the
 * rest. The writing blocks on the disk, nothing else does.
 */
#include <inttypes.h>
#include <stdlib.h>

#include "auth/authenticator.h"
#include "base/clock.h"
#include "hook/idempotency_key.h"
#include "hook/routes.h"
#include "hook/urls.h"
#include "job/action.h"
#include "job/name.h"
#include "job/state.h"
#include "text/hex.h"
#include "text/json_text.h"

enum { RANDOM_BYTES = 16 };

struct run_call {
	struct reader reader; /* whose the job is to be; start_auth = owner */
	struct refusal why;   /* when the writing says ERR_AUTH */
	struct buf action, endpoint;
	struct buf restore_id;	   /* empty: not given */
	struct span input, policy; /* in the body; the policy may be empty */
	char spare_restore_id[2 * RANDOM_BYTES + 1];
	struct idempotency_key key;
};

/* --- Who ------------------------------------------------------------------ */

/* Whoever may start or cancel, as far as it can be told without the
 * database. */
static bool
take_caller(struct call *c, struct run_call *r)
{
	enum err e;

	if (!c->cfg->are_starters_owners)
		return call_take_publisher(c);
	if (!call_take_origin(c))
		return false;
	e = authenticator_read(
	    &c->keys->authenticator, c->request, c->now_s, &r->reader, &r->why);
	if (e == ERR_AUTH)
		return call_refuse_as(c, &r->why);
	return e == OK || call_refuse_memory(c);
}

/* Who the job has to belong to, or is to; NULL: a publish key stands above
 * owners. To be named in a token's `jobs` is enough to read a job, and not to
 * spend money on it. */
static enum err
find_owner(struct call *c, struct run_call *r, struct db *db, const char **ret)
{
	enum err e;

	*ret = NULL;
	if (!c->cfg->are_starters_owners)
		return OK;
	e = authenticator_confirm(
	    &c->keys->authenticator, &r->reader, db, c->now_s, &r->why);
	if (e == OK)
		*ret = r->reader.subject;
	return e;
}

/* --- Starting ------------------------------------------------------------- */

static bool
take_action(struct call *c, struct run_call *r)
{
	const char *actions = c->cfg->actions;
	struct action action;

	if (actions == NULL || *actions == '\0')
		return call_refuse(c, 403, "runs_off",
		    "This server has no runpod_actions, so it starts no jobs.");
	if (!action_find(actions, c->segments[1], &action))
		return call_refuse(c, 404, "unknown_action",
		    "There is no action of this name in runpod_actions.");
	buf_add_span(&r->action, action.name);
	buf_add_span(&r->endpoint, action.endpoint);
	return (buf_ok(&r->action) && buf_ok(&r->endpoint)) ||
	       call_refuse_memory(c);
}

static bool
take_size(struct call *c)
{
	if (c->request->body_error != ERR_LIMIT &&
	    c->request->body.n <= c->cfg->max_input)
		return true;
	return call_refuse(c, 413, "input_too_large",
	    "The request body is larger than max_input.");
}

static bool
take_restore_id(struct call *c, struct run_call *r, struct span body)
{
	struct span value;

	if (!json_text_get(body, "restore_id", &value) ||
	    json_text_kind(value) == JSON_TEXT_NULL)
		return true;
	if (json_text_kind(value) == JSON_TEXT_STRING)
		json_text_add_string_value(&r->restore_id, value);
	if (!buf_ok(&r->restore_id))
		return call_refuse_memory(c);
	return (r->restore_id.len > 0 &&
		   job_label_ok(buf_span(&r->restore_id))) ||
	       call_refuse(c, 400, "bad_restore_id",
		   "A restore_id has " JOB_LABEL_RULE ".");
}

static bool
take_body(struct call *c, struct run_call *r)
{
	struct span body;

	if (!take_size(c) || !call_take_object(c, NULL, &body))
		return false;
	if (!json_text_get(body, "input", &r->input) ||
	    json_text_kind(r->input) != JSON_TEXT_OBJECT)
		return call_refuse(c, 400, "bad_payload",
		    "The member input must be an object.");
	if (json_text_get(body, "policy", &r->policy) &&
	    json_text_kind(r->policy) == JSON_TEXT_NULL)
		r->policy = (struct span){0};
	if (r->policy.n > 0 && json_text_kind(r->policy) != JSON_TEXT_OBJECT)
		return call_refuse(c, 400, "bad_payload",
		    "The member policy must be an object.");
	return take_restore_id(c, r, body);
}

static bool
prepare_start(struct call *c)
{
	struct run_call *r = calloc(1, sizeof(*r));
	unsigned char random[RANDOM_BYTES];

	if (r == NULL)
		return call_refuse_memory(c);
	c->state = r;
	c->commit.weight = c->request->body.n;
	random_bytes(random, sizeof(random));
	hex_write(r->spare_restore_id, random, sizeof(random));
	return take_caller(c, r) && take_action(c, r) && call_take_job_id(c) &&
	       take_body(c, r) &&
	       idempotency_key_take(c, buf_span(&r->action), &r->key);
}

static enum err
write_start(struct call *c, struct db *db)
{
	struct run_call *r = c->state;
	struct intent_start start = {
	    .job_id = c->job_id.data,
	    .action = r->action.data,
	    .endpoint = r->endpoint.data,
	    .restore_id = call_text(&r->restore_id),
	    .spare_restore_id = r->spare_restore_id,
	    .input = r->input,
	    .policy = r->policy,
	    .key = idempotency_key_text(&r->key),
	    .request = r->key.request,
	};
	enum err e = find_owner(c, r, db, &start.owner);

	return e == OK ? intent_write(db, INTENT_START, &start, &c->written)
		       : e;
}

/* Begins the answer to what was written. False: it was not. */
static bool
begin_answer(struct call *c, int status)
{
	struct run_call *r = c->state;

	if (c->commit.result == ERR_AUTH)
		return call_refuse_as(c, &r->why);
	if (c->commit.result != OK) {
		call_answer_trouble(c);
		return false;
	}
	answer_json(&c->answer, status);
	buf_add_str(&c->answer.body, "{\"job_id\":");
	json_text_add_quoted(&c->answer.body, buf_span(&c->job_id));
	return true;
}

static void
add_run_id(struct call *c)
{
	struct buf *b = &c->answer.body;

	if (call_is_pending(c))
		buf_add_str(b, ",\"run_id\":null");
	else
		buf_addf(b, ",\"run_id\":%" PRId64, c->written.run_id);
}

static void
conclude_start(struct call *c)
{
	const struct run_call *given = c->state;
	const struct intent_result *r = &c->written;
	const struct urls_site site = {c->cfg->base_url, c->cfg->api_prefix};
	struct buf *b = &c->answer.body, url = BUF_INIT;
	struct span restore_id;

	if (!begin_answer(c, r->is_duplicate ? 200 : 202))
		return;
	(void)call_take_outcome(
	    c, 202, r->is_duplicate ? CALL_DUPLICATE : CALL_STORED);
	c->type = job_state_name(JOB_QUEUED);
	buf_add_str(b, ",\"restore_id\":");
	restore_id = span_of(r->restore_id);
	if (call_is_pending(c))
		restore_id = buf_span(&given->restore_id);
	if (restore_id.n > 0)
		json_text_add_quoted(b, restore_id);
	else
		buf_add_str(b, "null");
	add_run_id(c);
	buf_add_str(b, ",\"status\":\"queued\",\"events_url\":");
	urls_add_events(&url, &site, buf_span(&c->job_id));
	json_text_add_quoted(b, buf_span(&url));
	call_end_object(c);
	b->failed = b->failed || url.failed;
	buf_done(&url);
}

static void
done(struct call *c)
{
	struct run_call *r = c->state;

	reader_done(&r->reader);
	buf_done(&r->action);
	buf_done(&r->endpoint);
	buf_done(&r->restore_id);
	free(r);
}

/* --- Cancelling ----------------------------------------------------------- */

static bool
prepare_cancel(struct call *c)
{
	struct run_call *r = calloc(1, sizeof(*r));

	if (r == NULL)
		return call_refuse_memory(c);
	c->state = r;
	return take_caller(c, r) && call_take_job_id(c);
}

static enum err
write_cancel(struct call *c, struct db *db)
{
	struct run_call *r = c->state;
	struct intent_cancel cancel = {.job_id = c->job_id.data};
	enum err e = find_owner(c, r, db, &cancel.owner);

	return e == OK ? intent_write(db, INTENT_CANCEL, &cancel, &c->written)
		       : e;
}

static void
conclude_cancel(struct call *c)
{
	const struct intent_result *r = &c->written;

	if (!begin_answer(c, r->is_over ? 200 : 202))
		return;
	(void)call_take_outcome(c, 202, CALL_STORED);
	c->type = r->is_over ? job_state_name(JOB_CANCELLED) : "cancelling";
	add_run_id(c);
	buf_addf(&c->answer.body, ",\"status\":\"%s\"", c->type);
	call_end_object(c);
}

const struct call_handler run_call = {
    .prepare = prepare_start,
    .write = write_start,
    .conclude = conclude_start,
    .done = done,
    .is_for_pages = true,
};

const struct call_handler cancel_call = {
    .prepare = prepare_cancel,
    .write = write_cancel,
    .conclude = conclude_cancel,
    .done = done,
    .is_for_pages = true,
};
