/* SPDX-License-Identifier: ISC */
/*
 * What one inbound request means and what it is answered. Authenticates before
 * it parses. Holds no descriptor and no lock, so it runs on any thread; never
 * blocks.
 */
#include "hook/delivery.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "hook/webhook_api.h"
#include "web/jtext.h"
#include "web/query.h"
#include "web/sse.h"

enum { RESTORE_ID_MAX = 256 };

static void
refuse(struct delivery *d, int status, const char *code, const char *message)
{
	answer_error(&d->answer, status, code, message);
}

static void
refuse_memory(struct delivery *d)
{
	refuse(d, 503, "out_of_memory",
	    "There is no memory for this request now.");
}

/* Finds the provider and checks the method. */
static bool
take_route(struct delivery *d)
{
	static const char root[] = "/webhooks/";
	const struct request *r = d->request;

	if (strncmp(r->route, root, sizeof(root) - 1) == 0)
		d->provider = provider_find(r->route + sizeof(root) - 1);
	if (d->provider == NULL) {
		refuse(d, 404, "not_found", "There is nothing at this path.");
		return false;
	}
	if (strcmp(r->method, "POST") != 0) {
		refuse(d, 405, "method_not_allowed",
		    "This path is written to with POST.");
		answer_header(&d->answer, "Allow", "POST");
		return false;
	}
	return true;
}

static void
refuse_signature(struct delivery *d, enum err e)
{
	if (e == ERR_EXPIRED)
		refuse(d, 403, "signature_expired",
		    "The time this URL was signed for is over.");
	else
		refuse(d, 403, "signature_invalid",
		    "The signature does not belong to this URL.");
}

static bool
take_signature(
    struct delivery *d, const struct webhook_config *cfg, int64_t now_s)
{
	struct span query = span_of(d->request->query);
	struct buf exp = BUF_INIT, sig = BUF_INIT;
	struct sign_claim claim = {d->provider->name, buf_span(&d->job_id),
	    buf_span(&d->restore_id), 0};
	char *end = NULL;
	enum err e = ERR_AUTH;

	if (cfg->keys->n == 0) {
		refuse(d, 403, "webhook_secret_missing",
		    "This server has no webhook_secret, so it refuses all "
		    "webhooks.");
		return false;
	}
	(void)query_get(query, "exp", &exp);
	(void)query_get(query, "sig", &sig);
	if (exp.failed || sig.failed) {
		refuse_memory(d);
		goto out;
	}
	if (sig.len == 0 || exp.len == 0) {
		refuse(d, 403, "signature_missing",
		    "Webhooks are taken at signed URLs only; make one with: "
		    "jobwire url JOB");
		goto out;
	}
	claim.exp = strtoimax(exp.data, &end, 10);
	/* What was signed is the canonical decimal; " 17" or "017" is not it. */
	if (exp.data[0] >= '1' && exp.data[0] <= '9' && exp.len <= 18 &&
	    end == exp.data + exp.len)
		e = sign_verify(cfg->keys, &claim, buf_span(&sig), now_s);
	if (e == ERR_NOMEM)
		refuse_memory(d);
	else if (e != OK)
		refuse_signature(d, e);
out:
	buf_done(&exp);
	buf_done(&sig);
	return e == OK;
}

static bool
restore_id_ok(struct span id)
{
	if (id.n > RESTORE_ID_MAX)
		return false;
	for (size_t i = 0; i < id.n; i++)
		if ((unsigned char)id.p[i] < ' ')
			return false;
	return true;
}

/* The job the call is about, and the right to speak of it. */
static bool
take_claim(struct delivery *d, const struct webhook_config *cfg, int64_t now_s)
{
	struct span query = span_of(d->request->query);

	(void)query_get(query, "job_id", &d->job_id);
	(void)query_get(query, "restore_id", &d->restore_id);
	buf_reserve(&d->job_id, 1);
	buf_reserve(&d->restore_id, 1);
	if (!buf_ok(&d->job_id) || !buf_ok(&d->restore_id)) {
		refuse_memory(d);
		return false;
	}
	if (!cfg->is_open && !take_signature(d, cfg, now_s))
		return false;
	if (!sse_job_id_ok(buf_span(&d->job_id))) {
		refuse(d, 400, "bad_job_id",
		    "The query must hold job_id: 1 to 128 characters of A-Z "
		    "a-z 0-9 . _ : ~ -");
		return false;
	}
	if (!restore_id_ok(buf_span(&d->restore_id))) {
		refuse(d, 400, "bad_restore_id",
		    "A restore_id has at most 256 bytes and no control "
		    "characters.");
		return false;
	}
	return true;
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

static bool
take_body(struct delivery *d, const struct webhook_config *cfg)
{
	struct span body;
	const char *why = "";
	enum err e;

	if (!is_json_type(d->request->content_type)) {
		refuse(d, 415, "unsupported_media_type",
		    "The body must be application/json.");
		return false;
	}
	e = jtext_check(d->request->body, &body);
	if (e != OK) {
		refuse(d, 400, e == ERR_LIMIT ? "json_too_deep" : "bad_json",
		    e == ERR_LIMIT ? "JSON is nested deeper than 32 levels."
				   : "The body is not valid JSON.");
		return false;
	}
	if (jtext_kind(body) != JTEXT_OBJECT) {
		refuse(
		    d, 400, "bad_payload", "The body must be a JSON object.");
		return false;
	}
	e = d->provider->normalise(body, cfg->inline_output, &d->event, &why);
	if (e == ERR_PROTO)
		refuse(d, 400, "bad_payload", why);
	else if (e != OK)
		refuse_memory(d);
	return e == OK;
}

static void
answer_taken(struct delivery *d, const char *event_id, bool is_duplicate)
{
	struct buf *b = &d->answer.body;

	answer_json(&d->answer, 200);
	buf_add_str(b, "{\"ok\":true,\"job_id\":");
	jtext_add_quoted(b, buf_span(&d->job_id));
	buf_add_str(b, ",\"event_id\":");
	if (event_id == NULL)
		buf_add_str(b, "null");
	else
		jtext_add_quoted(b, span_of(event_id));
	buf_addf(b, ",\"duplicate\":%s}\n", is_duplicate ? "true" : "false");
}

/* The key under which this call is known: the job's name goes into it, so that
 * one provider id can stand behind two jobs. */
static enum err
make_key(struct delivery *d)
{
	struct buf text = BUF_INIT;
	enum err e;

	buf_add_span(&text, buf_span(&d->job_id));
	buf_add_char(&text, '\n');
	buf_add_span(&text, buf_span(&d->event.identity));
	e = buf_ok(&text) ? sign_digest(buf_span(&text), d->delivery_key)
			  : ERR_NOMEM;
	buf_done(&text);
	return e;
}

bool
delivery_prepare(
    struct delivery *d, const struct webhook_config *cfg, int64_t now_s)
{
	if (!take_route(d) || !take_claim(d, cfg, now_s) || !take_body(d, cfg))
		return false;
	if (d->event.type == NULL) {
		answer_taken(d, NULL, false);
		return false;
	}
	if (make_key(d) != OK) {
		refuse_memory(d);
		return false;
	}
	d->commit.event = (struct event_new){
	    .job_id = d->job_id.data,
	    .type = d->event.type,
	    .data = buf_span(&d->event.data),
	    .source = d->provider->source,
	    .delivery_key = d->delivery_key,
	    .output = d->event.output,
	    .restore_id = d->restore_id.len > 0 ? d->restore_id.data : NULL,
	    .external_id =
		d->event.external_id.len > 0 ? d->event.external_id.data : NULL,
	};
	return true;
}

void
delivery_conclude(struct delivery *d)
{
	char id[SSE_ID_SIZE];
	static const struct {
		enum err err;
		int status;
		const char *code, *message;
	} faults[] = {
	    {ERR_PROTO, 400, "bad_payload",
		"The database's checks refuse this event."},
	    {ERR_BUSY, 503, "database_busy",
		"Another program holds the database; send it again."},
	    {ERR_FULL, 507, "database_full", "The disk is full."},
	    {ERR_GONE, 503, "database_missing",
		"The database is not there now; send it again."},
	    {ERR_NOMEM, 503, "out_of_memory",
		"There is no memory for this request now."},
	    {ERR_READONLY, 500, "database_readonly",
		"The database cannot be written."},
	    {ERR_CORRUPT, 500, "database_corrupt", "The database is damaged."},
	};

	if (d->commit.result == OK) {
		sse_id_format(d->commit.epoch, d->commit.id, id);
		answer_taken(d, id, d->commit.is_duplicate);
		return;
	}
	refuse(d, 500, "database_error", "The database could not be written.");
	for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++)
		if (faults[i].err == d->commit.result)
			refuse(d, faults[i].status, faults[i].code,
			    faults[i].message);
	if (d->answer.status == 503)
		answer_header(&d->answer, "Retry-After", "2");
}

void
delivery_free(struct delivery **delivery)
{
	struct delivery *d = *delivery;

	if (d == NULL)
		return;
	hook_event_done(&d->event);
	buf_done(&d->job_id);
	buf_done(&d->restore_id);
	answer_done(&d->answer);
	free(d);
	*delivery = NULL;
}
