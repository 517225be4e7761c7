/* SPDX-License-Identifier: ISC */
/*
 * What all inbound calls have in common: refusals, who may publish, bodies,
 * what trouble with the database is answered, and the line in the log. Holds no
 * descriptor and no lock, so it runs on any thread; never blocks.
 */
#include "hook/call.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "auth/publish_key.h"
#include "auth/ticket.h"
#include "base/clock.h"
#include "base/container_of.h"
#include "base/log.h"
#include "job/name.h"
#include "web/cors.h"
#include "text/json_text.h"
#include "text/json_value.h"
#include "text/utf8.h"

struct call *
call_new(const struct request *r, const struct call_config *cfg,
    const struct hook_keys *keys)
{
	struct call *c = calloc(1, sizeof(*c));

	if (c == NULL)
		return NULL;
	c->request = r;
	c->cfg = cfg;
	c->keys = keys;
	c->answer = (struct answer)ANSWER_INIT;
	return c;
}

void
call_free(struct call **call)
{
	struct call *c = *call;

	if (c == NULL)
		return;
	if (c->state != NULL && c->handler->done != NULL)
		c->handler->done(c);
	buf_done(&c->job_id);
	answer_done(&c->answer);
	free(c);
	*call = NULL;
}

static enum err
write_call(struct commit_item *item, struct db *db)
{
	struct call *c = container_of(item, struct call, commit);

	return c->handler->write(c, db);
}

bool
call_prepare(struct call *c, const struct call_handler *handler, int64_t now_s)
{
	c->now_s = now_s;
	c->commit.write = write_call;
	c->handler = handler;
	c->is_ready = handler != NULL && handler->prepare(c);
	return c->is_ready;
}

void
call_conclude(struct call *c)
{
	c->handler->conclude(c);
}

const char *const call_outcome_names[CALL_OUTCOMES] = {
    [CALL_STORED] = "stored",
    [CALL_DUPLICATE] = "duplicate",
    [CALL_IGNORED] = "ignored",
    [CALL_LOOKED] = "looked",
    [CALL_UNCLAIMED] = "unclaimed",
    [CALL_PENDING] = "pending",
    [CALL_REFUSED] = "refused",
    [CALL_FAILED] = "failed",
};

void
call_set_id(struct call *c, uint32_t run_id, uint64_t number)
{
	static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
				      "abcdefghijklmnopqrstuvwxyz0123456789._-";
	const char *given = request_header(c->request, "x-request-id");
	size_t n = strspn(given, letters);

	if (n > 0 && n < sizeof(c->id) && given[n] == '\0')
		snprintf(c->id, sizeof(c->id), "%s", given);
	else
		snprintf(c->id, sizeof(c->id), "%08" PRIx32 "-%" PRIu64, run_id,
		    number);
}

struct span
call_plain_route(const struct call *c)
{
	static const char letters[] =
	    "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	    "abcdefghijklmnopqrstuvwxyz0123456789._:~-/";
	const char *path = c->request->route;

	return (struct span){path, strspn(path, letters)};
}

/* Neither the query (it holds the signature) nor the body (it holds the whole
 * URL) may stand in the line. A URL that was escaped once more than it should
 * has its query in the path or in job_id, so these are not taken as they
 * are. */
void
call_answer(struct call **call)
{
	struct call *c = *call;
	const struct request *r = c->request; /* goes with the answer */
	char route[LOG_VALUE_MAX + 1];

	snprintf(
	    route, sizeof(route), "%.*s", (int)call_plain_route(c).n, r->route);
	log_info("request", "id", c->id, "method", r->method, "route", route,
	    "status", LOG_INT(c->answer.status), "outcome",
	    call_outcome_names[c->outcome], "code", c->answer.code, "job_id",
	    job_id_ok(buf_span(&c->job_id)) ? c->job_id.data : NULL, "type",
	    c->type, "peer", r->remote_addr, "us",
	    LOG_INT(clock_mono_us() - c->began_us));
	answer_header(&c->answer, "X-Request-Id", c->id);
	if (c->handler != NULL && c->handler->is_for_pages)
		cors_add(&c->answer.headers, c->cfg->cors_origins, r->origin);
	c->x->ops->answer(c->x, &c->answer);
	call_free(call);
}

void
call_answer_memory(struct exchange *x)
{
	struct answer a = ANSWER_INIT;

	refusal_answer(&refusal_no_memory, &a);
	x->ops->answer(x, &a);
	answer_done(&a);
}

bool
call_refuse_as(struct call *c, const struct refusal *why)
{
	refusal_answer(why, &c->answer);
	c->outcome = why->status < 500 ? CALL_REFUSED : CALL_FAILED;
	return false;
}

bool
call_refuse(struct call *c, int status, const char *code, const char *message)
{
	const struct refusal why = {status, code, message, NULL, 0};

	return call_refuse_as(c, &why);
}

bool
call_refuse_memory(struct call *c)
{
	return call_refuse_as(c, &refusal_no_memory);
}

static const struct refusal refusals[INTENT_REFUSALS] = {
    [INTENT_KEY_REUSED] = {422, "idempotency_key_reused",
	"This Idempotency-Key stood for another request.", NULL, 0},
    [INTENT_JOB_OWNED] = {409, "job_owned",
	"This job belongs to another owner.", NULL, 0},
    [INTENT_JOB_RUNNING] = {409, "job_running",
	"This job has a run that has not ended.", NULL, 0},
    [INTENT_NO_RUN] = {409, "no_run",
	"This job has no run that could be cancelled.", NULL, 0},
    [INTENT_TOO_MANY] = {429, "too_many_tickets",
	"Too many tickets of this token's subject are unused.", NULL,
	TICKET_LIFE_S},
};

void
call_answer_trouble(struct call *c)
{
	const struct refusal *why = &refusals[c->written.refusal];

	if (c->written.refusal == INTENT_JOB_FORBIDDEN)
		why = refusal_of(REFUSAL_OF_READ, ERR_AUTH);
	if (c->commit.result == ERR_EXISTS && why->status != 0) {
		(void)call_refuse_as(c, why);
		return;
	}
	(void)call_refuse_as(c, refusal_of(REFUSAL_OF_WRITE, c->commit.result));
}

bool
call_is_pending(const struct call *c)
{
	return c->written.seq > 0;
}

int
call_take_outcome(struct call *c, int status, enum call_outcome outcome)
{
	c->outcome = call_is_pending(c) ? CALL_PENDING : outcome;
	return call_is_pending(c) && status == 201 ? 202 : status;
}

void
call_end_object(struct call *c)
{
	buf_add_str(&c->answer.body,
	    call_is_pending(c) ? ",\"pending\":true}\n" : "}\n");
}

bool
call_take_publisher(struct call *c)
{
	struct refusal why = {401, "publish_key_invalid",
	    "Publishing needs Authorization: Bearer and a publish key.", NULL,
	    0};
	enum err e =
	    publish_key_check(&c->keys->publish, c->request->authorization);

	if (e == OK)
		return true;
	if (e == ERR_NOENT)
		return call_refuse(c, 403, "publish_keys_missing",
		    "This server has no publish_keys, so nobody may publish.");
	if (e != ERR_AUTH)
		return call_refuse_memory(c);
	/* So a web server that keeps the field back is told from a wrong
	 * key. */
	why.challenge = *c->request->authorization == '\0' ? REFUSAL_NO_TOKEN
							   : REFUSAL_BAD_TOKEN;
	return call_refuse_as(c, &why);
}

bool
call_take_origin(struct call *c)
{
	return !cors_is_foreign(c->cfg->cors_origins, c->request) ||
	       call_refuse(c, 403, "origin_forbidden",
		   "A page of another origin may not do this; cors_origins "
		   "names those that may.");
}

bool
call_take_job_id(struct call *c)
{
	if (!job_id_ok(c->segments[0]))
		return call_refuse_as(c, &refusal_bad_job_id);
	buf_add_span(&c->job_id, c->segments[0]);
	return buf_ok(&c->job_id) ? true : call_refuse_memory(c);
}

/* application/json or application/..+json, with or without parameters. A
 * sender that names no type is believed. */
static bool
is_json_type(const char *type)
{
	size_t n = strcspn(type, "; \t");

	return n == 0 ||
	       (n == 16 && strncasecmp(type, "application/json", n) == 0) ||
	       (n > 17 && strncasecmp(type, "application/", 12) == 0 &&
		   strncasecmp(type + n - 5, "+json", 5) == 0);
}

bool
call_take_body(struct call *c)
{
	if (c->request->body_error == OK)
		return true;
	return call_refuse_as(
	    c, refusal_of(REFUSAL_OF_BODY, c->request->body_error));
}

/* RFC 8259 section 8.1: a byte order mark may be passed over. */
static struct span
skip_mark(struct span text)
{
	const struct span mark = SPAN_LIT("\xef\xbb\xbf");

	if (text.n >= mark.n && memcmp(text.p, mark.p, mark.n) == 0)
		return (struct span){text.p + mark.n, text.n - mark.n};
	return text;
}

bool
call_take_json(struct call *c, struct buf *finite, struct span *ret)
{
	struct span text;
	enum err e;

	if (!call_take_body(c))
		return false;
	if (!is_json_type(c->request->content_type))
		return call_refuse(c, 415, "unsupported_media_type",
		    "The body must be application/json.");
	text = skip_mark(c->request->body);
	e = json_text_check(text, ret);
	if (e == ERR_PROTO && finite != NULL) {
		json_text_add_finite(finite, text);
		if (!buf_ok(finite))
			return call_refuse_memory(c);
		e = json_text_check(buf_span(finite), ret);
	}
	if (e == ERR_LIMIT)
		return call_refuse(c, 400, "json_too_deep",
		    "JSON is nested deeper than 32 levels.");
	if (e != OK)
		return call_refuse(
		    c, 400, "bad_json", "The body is not valid JSON.");
	return true;
}

bool
call_take_object(struct call *c, struct buf *finite, struct span *ret)
{
	if (!call_take_json(c, finite, ret))
		return false;
	return json_text_kind(*ret) == JSON_TEXT_OBJECT ||
	       call_refuse(
		   c, 400, "bad_payload", "The body must be a JSON object.");
}

bool
call_take_values(struct call *c, struct json_object **ret)
{
	struct span body;
	size_t n;
	enum err e;

	if (!call_take_object(c, NULL, &body))
		return false;
	e = json_value_object(body, ret, &n);
	if (e == ERR_PROTO)
		return call_refuse(c, 400, "bad_payload",
		    "The name of a member has U+0000 in it.");
	return e == OK || call_refuse_as(c, refusal_of(REFUSAL_OF_BODY, e));
}

bool
call_take_string(struct call *c, struct json_object *object, const char *name,
    size_t max, struct buf *ret)
{
	struct json_object *value = json_object_object_get(object, name);
	struct span text;
	char message[96];
	bool is_string = json_value_string(value, &text);

	if (value == NULL)
		return true;
	if (is_string)
		utf8_add(ret, text);
	if (!buf_ok(ret))
		return call_refuse_memory(c);
	if (is_string && ret->len > 0 && ret->len <= max &&
	    span_is_plain(buf_span(ret)))
		return true;
	snprintf(message, sizeof(message),
	    "The member %s must be a string of 1 to %zu bytes without control "
	    "characters.",
	    name, max);
	return call_refuse(c, 400, "bad_payload", message);
}

const char *
call_text(const struct buf *b)
{
	return b->len > 0 ? b->data : NULL;
}
