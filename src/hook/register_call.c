/* SPDX-License-Identifier: ISC */
/*
 * POST /jobs: a job is registered before it starts, and gets the URLs that its
 * provider and its page are given. Only the writing blocks.
 */
#include <inttypes.h>
#include <stdlib.h>

#include "base/clock.h"
#include "hook/routes.h"
#include "hook/provider.h"
#include "hook/urls.h"
#include "job/action.h"
#include "job/name.h"
#include "text/hex.h"
#include "text/json_text.h"
#include "text/json_value.h"

enum { RANDOM_BYTES = 16 };

struct register_call {
	struct buf owner, external_id, restore_id, endpoint; /* terminated */
	const struct provider *provider;
	struct buf urls; /* of the answer, made while the keys are there */
};

/* An id that nobody guesses: in the mode job-id it is the permission. */
static bool
make_job_id(struct call *c)
{
	unsigned char bytes[RANDOM_BYTES];
	char text[2 * RANDOM_BYTES + 1];

	random_bytes(bytes, sizeof(bytes));
	hex_write(text, bytes, sizeof(bytes));
	buf_add_str(&c->job_id, text);
	return buf_ok(&c->job_id) ? true : call_refuse_memory(c);
}

static bool
take_job_id(struct call *c, struct json_object *body)
{
	if (!call_take_string(c, body, "job_id", JOB_ID_MAX, &c->job_id))
		return false;
	if (c->job_id.len == 0)
		return make_job_id(c);
	if (!job_id_ok(buf_span(&c->job_id)))
		return call_refuse_as(c, &refusal_bad_job_id);
	return true;
}

static bool
take_provider(struct call *c, struct json_object *body, struct register_call *r)
{
	struct buf name = BUF_INIT;
	bool ok = call_take_string(c, body, "provider", JOB_LABEL_MAX, &name);

	if (ok) {
		r->provider =
		    provider_find(name.len > 0 ? buf_span(&name)
					       : SPAN_LIT("runpod-completion"));
		ok = r->provider != NULL ||
		     call_refuse(c, 400, "bad_payload",
			 "There is no provider of this name.");
	}
	buf_done(&name);
	return ok;
}

/* Of whoever has submitted the job himself: then it is a run, and repaired as
 * any other. */
static bool
take_endpoint(struct call *c, struct json_object *body, struct register_call *r)
{
	if (!call_take_string(
		c, body, "endpoint", ACTION_ENDPOINT_MAX, &r->endpoint))
		return false;
	if (r->endpoint.len == 0)
		return true;
	if (!action_endpoint_ok(buf_span(&r->endpoint)))
		return call_refuse(c, 400, "bad_payload",
		    "An endpoint is 1 to 128 of A-Z a-z 0-9 _ -");
	return r->external_id.len > 0 ||
	       call_refuse(c, 400, "bad_payload",
		   "An endpoint needs the external_id that it gave the job.");
}

static bool
make_urls(struct call *c, struct register_call *r)
{
	struct buf *b = &r->urls, url = BUF_INIT;
	const struct url_claim claim = {r->provider->name, buf_span(&c->job_id),
	    buf_span(&r->restore_id), c->now_s + URLS_TTL_S};
	const struct urls_site site = {c->cfg->base_url, c->cfg->api_prefix};
	enum err e;

	buf_add_str(b, ",\"events_url\":");
	urls_add_events(&url, &site, buf_span(&c->job_id));
	json_text_add_quoted(b, buf_span(&url));
	buf_add_str(b, ",\"webhook_url\":");
	buf_reset(&url);
	e = urls_add_webhook(&url, &site, &c->keys->url, &claim);
	if (e == OK)
		json_text_add_quoted(b, buf_span(&url));
	else
		buf_add_str(b, "null");
	b->failed = b->failed || url.failed;
	buf_done(&url);
	return buf_ok(b) ? true : call_refuse_memory(c);
}

static bool
take_settings(struct call *c, struct json_object *body, struct register_call *r)
{
	return take_job_id(c, body) && take_provider(c, body, r) &&
	       call_take_string(c, body, "owner", JOB_LABEL_MAX, &r->owner) &&
	       call_take_string(
		   c, body, "external_id", JOB_LABEL_MAX, &r->external_id) &&
	       call_take_string(
		   c, body, "restore_id", JOB_LABEL_MAX, &r->restore_id) &&
	       take_endpoint(c, body, r) && make_urls(c, r);
}

static bool
prepare(struct call *c)
{
	struct register_call *r = calloc(1, sizeof(*r));
	struct json_object *body = NULL;
	bool ok;

	if (r == NULL)
		return call_refuse_memory(c);
	c->state = r;
	ok = call_take_publisher(c) && call_take_values(c, &body) &&
	     take_settings(c, body, r);
	json_object_put(body);
	return ok;
}

static enum err
write_job(struct call *c, struct db *db)
{
	const struct register_call *r = c->state;
	const struct intent_registration registration = {
	    .job =
		{
		    .job_id = c->job_id.data,
		    .owner = call_text(&r->owner),
		    .external_id = call_text(&r->external_id),
		    .restore_id = call_text(&r->restore_id),
		},
	    .endpoint = call_text(&r->endpoint),
	};

	return intent_write(
	    db, INTENT_REGISTRATION, &registration, &c->written);
}

static void
conclude(struct call *c)
{
	const struct register_call *r = c->state;
	int status;

	if (c->commit.result != OK) {
		call_answer_trouble(c);
		return;
	}
	status = call_is_pending(c) || c->written.is_new ? 201 : 200;
	status = call_take_outcome(
	    c, status, c->written.is_new ? CALL_STORED : CALL_DUPLICATE);
	answer_json(&c->answer, status);
	buf_add_str(&c->answer.body, "{\"job_id\":");
	json_text_add_quoted(&c->answer.body, buf_span(&c->job_id));
	buf_add_span(&c->answer.body, buf_span(&r->urls));
	call_end_object(c);
}

static void
done(struct call *c)
{
	struct register_call *r = c->state;

	buf_done(&r->owner);
	buf_done(&r->external_id);
	buf_done(&r->restore_id);
	buf_done(&r->endpoint);
	buf_done(&r->urls);
	free(r);
}

const struct call_handler register_call = {
    .prepare = prepare,
    .write = write_job,
    .conclude = conclude,
    .done = done,
};
