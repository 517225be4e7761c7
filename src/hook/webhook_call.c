/* SPDX-License-Identifier: ISC */
/*
 * POST /webhooks/{provider}, a provider's report: whose job it is about,
 * whether it may speak of it, and which event it makes. What a body means is in
 * the provider's own file. The writing blocks on the disk, nothing else does.
 */
#include "hook/webhook_call.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "auth/url_signature.h"
#include "hook/routes.h"
#include "job/name.h"
#include "job/state.h"
#include "text/json_text.h"
#include "web/query.h"
#include "web/sse.h"

static bool
refuse_signature(struct call *c, enum err e)
{
	if (e == ERR_NOMEM)
		return call_refuse_memory(c);
	if (e == ERR_EXPIRED)
		return call_refuse(c, 403, "signature_expired",
		    "The time this was signed for is over.");
	return call_refuse(c, 403, "signature_invalid",
	    "The signature does not belong to this request.");
}

/* A time that is over does not make it another one's signature. */
static bool
take_verdict(struct call *c, enum err e)
{
	c->is_signed = c->is_signed || e == OK || e == ERR_EXPIRED;
	return e == OK || refuse_signature(c, e);
}

/* The URL's own signature, over the job and the time in it. */
static bool
take_signature(struct call *c, const struct webhook_call *d,
    const struct buf *exp, struct span sig)
{
	struct url_claim claim = {d->provider->name, buf_span(&c->job_id),
	    buf_span(&d->restore_id), 0};
	char *end = NULL;
	enum err e = ERR_AUTH;

	if (c->keys->url.n == 0)
		return call_refuse(c, 403, "webhook_secret_missing",
		    "This server has no webhook_secret, so it refuses all "
		    "webhooks at URLs that it would have to sign.");
	if (sig.n == 0 || exp->len == 0)
		return call_refuse(c, 403, "signature_missing",
		    "A URL that names a job must be signed; make one with: "
		    "jobwire url JOB");
	claim.exp = strtoimax(exp->data, &end, 10);
	/* What was signed is the canonical decimal; " 17" or "017" is not
	 * it. */
	if (exp->data[0] >= '1' && exp->data[0] <= '9' && exp->len <= 18 &&
	    end == exp->data + exp->len)
		e = url_signature_verify(&c->keys->url, &claim, sig, c->now_s);
	return take_verdict(c, e);
}

/* The provider's signature over the body. */
static bool
take_provider_signature(struct call *c, const struct webhook_call *d)
{
	enum err e = d->provider->verify(c->request, c->keys, c->now_s);

	if (e == ERR_NOENT)
		return call_refuse(c, 403, "webhook_secret_missing",
		    "This server has no secret of this provider, so it refuses "
		    "its webhooks.");
	return take_verdict(c, e);
}

/*
 * Who signs for himself needs no URL that we signed, and may have one for all
 * his calls. But what a URL says of a job only we can have said, and a
 * signature that is there is never passed over.
 */
static bool
take_proof(struct call *c, const struct webhook_call *d, const struct buf *exp,
    struct span sig)
{
	bool signs_itself = d->provider->verify != NULL;
	bool is_ours = !signs_itself || c->job_id.len > 0 ||
		       d->restore_id.len > 0 || sig.n > 0;

	if (is_ours && !take_signature(c, d, exp, sig))
		return false;
	return !signs_itself ||
	       (call_take_body(c) && take_provider_signature(c, d));
}

static bool
check_names(struct call *c, const struct webhook_call *d, bool is_job_id_needed)
{
	if ((c->job_id.len > 0 || is_job_id_needed) &&
	    !job_id_ok(buf_span(&c->job_id)))
		return call_refuse_as(c, &refusal_bad_job_id);
	if (!job_label_ok(buf_span(&d->restore_id)))
		return call_refuse(c, 400, "bad_restore_id",
		    "A restore_id has " JOB_LABEL_RULE ".");
	return true;
}

/* The job the call is about, if its URL names one, and the right to speak of
 * it. An empty name is none, but in a URL that we must have made a mistake. */
static bool
take_claim(struct call *c, struct webhook_call *d)
{
	struct span query = span_of(c->request->query);
	struct buf exp = BUF_INIT, sig = BUF_INIT;
	bool names_job = query_get(query, "job_id", &c->job_id);
	bool ok = false;

	(void)query_get(query, "restore_id", &d->restore_id);
	(void)query_get(query, "exp", &exp);
	(void)query_get(query, "sig", &sig);
	buf_reserve(&c->job_id, 1);
	buf_reserve(&d->restore_id, 1);
	c->is_signed = c->cfg->is_open;
	if (!buf_ok(&c->job_id) || !buf_ok(&d->restore_id) || !buf_ok(&exp) ||
	    !buf_ok(&sig))
		(void)call_refuse_memory(c);
	else
		ok =
		    (c->cfg->is_open ||
			take_proof(c, d, &exp, buf_span(&sig))) &&
		    check_names(c, d, names_job && d->provider->verify == NULL);
	buf_done(&exp);
	buf_done(&sig);
	return ok;
}

static bool
take_body(struct call *c, struct webhook_call *d)
{
	const char *why = "";
	struct span body;
	enum err e;

	if (!call_take_object(c, &d->finite, &body))
		return false;
	e = d->provider->normalise(
	    c->request, body, c->cfg->inline_output, &d->event, &why);
	if (e == ERR_PROTO)
		return call_refuse(c, 400, "bad_payload", why);
	if (e != OK)
		return call_refuse_memory(c);
	if (d->event.row.type != NULL && c->job_id.len == 0 &&
	    d->event.external_id.len == 0 && d->event.input_job_id.len == 0)
		return call_refuse(c, 400, "bad_job_id",
		    "Neither the query's job_id nor the body says which job "
		    "this is about.");
	return true;
}

static void
answer_taken(struct call *c, const char *event_id)
{
	struct buf *b = &c->answer.body;

	answer_json(&c->answer, 200);
	buf_add_str(b, "{\"ok\":true,\"job_id\":");
	if (c->job_id.len == 0)
		buf_add_str(b, "null");
	else
		json_text_add_quoted(b, buf_span(&c->job_id));
	buf_add_str(b, ",\"event_id\":");
	if (event_id == NULL)
		buf_add_str(b, "null");
	else
		json_text_add_quoted(b, span_of(event_id));
	buf_addf(b, ",\"duplicate\":%s",
	    c->outcome == CALL_DUPLICATE ? "true" : "false");
	call_end_object(c);
}

static bool
prepare(struct call *c)
{
	struct webhook_call *d = calloc(1, sizeof(*d));
	struct event_new *row;

	if (d == NULL)
		return call_refuse_memory(c);
	c->state = d;
	c->provider = d->provider = provider_find(c->segments[0]);
	if (d->provider == NULL)
		return call_refuse_as(c, &refusal_not_found);
	if (!take_claim(c, d) || !take_body(c, d))
		return false;
	row = &d->event.row;
	c->type = row->type;
	if (c->type == NULL) {
		c->outcome = CALL_IGNORED;
		answer_taken(c, NULL);
		return false;
	}
	row->source = d->provider->source;
	row->delivery_key = d->key;
	row->restore_id = call_text(&d->restore_id);
	c->commit.weight = row->output.n + row->error.n;
	return provider_event_key(&d->event, buf_span(&c->job_id), d->key) ==
		   OK ||
	       call_refuse_memory(c);
}

/* --- Within the writer's transaction -------------------------------------- */

static enum err
write_report(struct call *c, struct db *db)
{
	const struct webhook_call *d = c->state;
	struct intent_report report = {
	    .row = d->event.row,
	    .external_id = call_text(&d->event.external_id),
	    .input_job_id = call_text(&d->event.input_job_id),
	};

	report.row.job_id = call_text(&c->job_id);
	return intent_write(db, INTENT_REPORT, &report, &c->written);
}

static enum call_outcome
outcome_of(const struct intent_result *r)
{
	if (r->is_duplicate)
		return CALL_DUPLICATE;
	if (r->is_unclaimed)
		return CALL_UNCLAIMED;
	return r->is_new ? CALL_STORED : CALL_IGNORED;
}

static void
conclude(struct call *c)
{
	const struct intent_result *r = &c->written;
	char id[SSE_ID_SIZE];

	if (c->commit.result != OK) {
		call_answer_trouble(c);
		return;
	}
	(void)call_take_outcome(c, 200, outcome_of(r));
	if (c->job_id.len == 0)
		buf_add_str(&c->job_id, r->job_id);
	if (r->first_id > 0)
		sse_id_format(c->commit.epoch, r->first_id, 0, id);
	answer_taken(c, r->first_id > 0 ? id : NULL);
}

static void
done(struct call *c)
{
	struct webhook_call *d = c->state;

	provider_event_done(&d->event);
	buf_done(&d->finite);
	buf_done(&d->restore_id);
	free(d);
}

const struct call_handler webhook_call = {
    .prepare = prepare,
    .write = write_report,
    .conclude = conclude,
    .done = done,
};
