/* SPDX-License-Identifier: ISC */
/*
 * From a due run to a request, and from its answer to rows. What an answer says
 * is read by provider_answer.c, what it means decided by step.c. Blocks on the
 * disk.
 */
#include "runner/work.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "job/action.h"
#include "intent/intent.h"
#include "runner/provider_answer.h"
#include "store/run_queue.h"
#include "text/json_text.h"

enum { URL_GRACE_MS = 3600000 }; /* after the deadline webhooks may come late */

void
work_keys_done(struct work_keys *k)
{
	secrets_done(&k->provider);
	secrets_done(&k->url);
}

void
work_done(struct work *w)
{
	http_request_done(&w->request);
	*w = (struct work){0};
}

/* --- Requests ------------------------------------------------------------- */

static enum err
add_webhook(const struct work_config *cfg, const struct work_keys *keys,
    const struct run *r, int64_t exp_ms, struct buf *out)
{
	const struct url_claim claim = {
	    .provider = cfg->api->provider,
	    .job_id = span_of(r->job_id),
	    .restore_id = span_of(r->restore_id),
	    .exp = (exp_ms + URL_GRACE_MS) / 1000,
	};

	if (keys->url.n == 0)
		return OK;
	return urls_add_webhook(out, &cfg->site, &keys->url, &claim);
}

static enum err
make_submission(struct db *db, const struct work_config *cfg,
    const struct work_keys *keys, const struct run *r, int64_t now_ms,
    struct http_request *ret)
{
	struct buf input = BUF_INIT, policy = BUF_INIT, url = BUF_INIT;
	struct provider_job job = {.endpoint = span_of(r->endpoint)};
	enum err e = run_queue_input(db, r->run_id, &input, &policy);

	if (e == OK)
		e = add_webhook(cfg, keys, r,
		    now_ms + step_run_time(&cfg->rules, buf_span(&policy)),
		    &url);
	if (e == OK) {
		job.input = buf_span(&input);
		job.policy = buf_span(&policy);
		job.webhook = buf_span(&url);
		cfg->api->submit(cfg->url, &job, ret);
		e = buf_ok(&ret->body) && buf_ok(&ret->url) ? OK : ERR_NOMEM;
	}
	buf_done(&input);
	buf_done(&policy);
	buf_done(&url);
	return e;
}

static enum err
make_request(struct db *db, const struct work_config *cfg,
    const struct work_keys *keys, const struct run *r, enum step_call call,
    int64_t now_ms, struct work *ret)
{
	struct http_request *request = &ret->request;
	enum err e = OK;

	ret->call = call;
	ret->run_id = r->run_id;
	if (call == STEP_SUBMIT)
		e = make_submission(db, cfg, keys, r, now_ms, request);
	else if (call == STEP_STATUS)
		cfg->api->status(
		    cfg->url, r->endpoint, r->external_id, request);
	else if (call == STEP_CANCEL)
		cfg->api->cancel(
		    cfg->url, r->endpoint, r->external_id, request);
	return e == OK && !buf_ok(&request->url) ? ERR_NOMEM : e;
}

/* How long the run may take, where it is not known yet. */
static enum err
run_time(struct db *db, const struct work_config *cfg, const struct run *r,
    int64_t *ret_ms)
{
	struct buf input = BUF_INIT, policy = BUF_INIT;
	enum err e = OK;

	*ret_ms = cfg->rules.run_deadline;
	if (r->state == RUN_SUBMITTING ||
	    (r->state == RUN_SUBMITTED && r->deadline == 0))
		e = run_queue_input(db, r->run_id, &input, &policy);
	if (e == OK)
		*ret_ms = step_run_time(&cfg->rules, buf_span(&policy));
	buf_done(&input);
	buf_done(&policy);
	return e;
}

/* --- Events --------------------------------------------------------------- */

/* In a cluster only the log brings the run on: until it does nothing is to be
 * done for it. */
static enum err
rest(struct db *db, const struct run *r)
{
	return r->origin != NULL ? runs_rest(db, r->run_id) : OK;
}

static enum err
append(struct db *db, const struct event_new *row, const struct run *r)
{
	struct intent_event event = {*row, runs_ref(r)};
	struct intent_result result;

	event.row.job_id = r->job_id;
	event.row.restore_id = r->restore_id;
	return intent_write(db, INTENT_EVENT, &event, &result);
}

/* Saves what the run has become; that it was submitted by way of the log. */
static enum err
save(struct db *db, struct run *r, enum run_state before)
{
	struct intent_submitted submitted = {.run = runs_ref(r),
	    .external_id = r->external_id,
	    .submitted_at = r->submitted_at,
	    .deadline = r->deadline,
	    .next_at = r->next_at};
	struct run kept = *r;
	struct intent_result result;
	enum err e;

	if (r->origin == NULL || r->state != RUN_SUBMITTED ||
	    before == RUN_SUBMITTED)
		return run_save(db, r);
	kept.state = before;
	kept.external_id = NULL;
	kept.submitted_at = kept.next_at = 0;
	e = run_save(db, &kept);
	return e == OK ? intent_write(db, INTENT_SUBMITTED, &submitted, &result)
		       : e;
}

/* How the run ends, by our own judgement. */
static enum err
publish_end(struct db *db, const struct run *r, const struct step_verdict *v,
    struct span words)
{
	struct event_new row = {.type = v->type};
	struct buf data = BUF_INIT;
	enum err e = ERR_NOMEM;

	buf_addf(&data, "{\"run_id\":%" PRId64, r->run_id);
	if (v->code != NULL) {
		buf_add_str(&data, ",\"code\":");
		json_text_add_quoted(&data, span_of(v->code));
		buf_add_str(&data, ",\"error\":");
		json_text_add_quoted(
		    &data, words.n > 0 ? words : span_of(v->message));
	}
	buf_add_char(&data, '}');
	row.data = buf_span(&data);
	if (buf_ok(&data))
		e = append(db, &row, r);
	if (e == OK)
		e = rest(db, r);
	buf_done(&data);
	if (e == OK)
		log_info("run_ended", "run_id", LOG_INT(r->run_id), "job_id",
		    r->job_id, "type", v->type, "code", v->code);
	return e;
}

/* An answer that is not an end: that the job runs is said once. What it has as
 * output is no result yet. */
static enum err
publish_running(
    struct db *db, const struct run *r, struct provider_answer *reading)
{
	struct event_new row = reading->event.row;
	enum job_state state;
	struct buf data = BUF_INIT;
	enum err e = jobs_state(db, r->job_id, &state);

	if (e != OK || reading->answer.job != JOB_PROCESSING ||
	    state == JOB_PROCESSING || !job_state_admits(state, JOB_PROCESSING))
		return e;
	buf_add_str(&data, "{\"external_id\":");
	json_text_add_quoted(&data, span_of(r->external_id));
	buf_add_char(&data, '}');
	row.data = buf_span(&data);
	row.output = row.error = (struct span){0};
	e = buf_ok(&data) ? append(db, &row, r) : ERR_NOMEM;
	buf_done(&data);
	return e;
}

/* The same progress is said once: its own text is the key. */
static enum err
publish_progress(struct db *db, const struct work_config *cfg,
    const struct run *r, const struct provider_answer *reading)
{
	struct span output = cfg->api->progress(reading->body);
	char key[CRYPTO_SHA256_SIZE];
	const struct span parts[] = {span_of(r->job_id),
	    SPAN_LIT("\nprogress\n"), span_of(r->external_id), SPAN_LIT("\n"),
	    output};
	struct event_new row = {.type = JOB_PROGRESS,
	    .source = reading->event.row.source,
	    .delivery_key = key};
	struct buf data = BUF_INIT;
	enum err e;

	if (output.n == 0 || output.n > cfg->inline_output)
		return OK;
	if (json_text_kind(output) != JSON_TEXT_OBJECT)
		buf_add_str(&data, json_text_kind(output) == JSON_TEXT_NUMBER
				       ? "{\"progress\":"
				       : "{\"message\":");
	json_text_add_line(&data, output);
	if (json_text_kind(output) != JSON_TEXT_OBJECT)
		buf_add_char(&data, '}');
	row.data = buf_span(&data);
	e = buf_ok(&data)
		? crypto_sha256_of(parts, sizeof(parts) / sizeof(parts[0]), key)
		: ERR_NOMEM;
	if (e == OK)
		e = append(db, &row, r);
	buf_done(&data);
	return e;
}

/* As a webhook's: whichever comes second is the duplicate. */
static enum err
store_report(struct db *db, const struct work_config *cfg, const struct run *r,
    struct provider_answer *reading)
{
	struct intent_report report = {.row = reading->event.row,
	    .external_id = r->external_id,
	    .run = runs_ref(r)};
	struct intent_result result;
	enum err e;

	if (!job_state_is_end(reading->answer.job)) {
		e = publish_running(db, r, reading);
		if (e == OK && reading->answer.polls_progress &&
		    reading->answer.job == JOB_PROCESSING)
			e = publish_progress(db, cfg, r, reading);
		return e;
	}
	report.row.job_id = r->job_id;
	report.row.restore_id = r->restore_id;
	e = intent_write(db, INTENT_REPORT, &report, &result);
	return e == OK ? rest(db, r) : e;
}

/* --- A run ---------------------------------------------------------------- */

static bool
polls_progress(const struct work_config *cfg, const struct run *r)
{
	struct action action;

	return r->action != NULL && cfg->api->progress != NULL &&
	       action_find(cfg->actions, span_of(r->action), &action) &&
	       action.polls_progress;
}

enum err
work_begin(struct db *db, const struct work_config *cfg,
    const struct work_keys *keys, int64_t run_id, int64_t now_ms,
    struct work *ret)
{
	struct run r = {0};
	struct step_verdict v;
	int64_t run_ms;
	enum err e = runs_get(db, run_id, &r);

	if (e == OK && (r.state == RUN_ENDED || r.next_at > now_ms))
		e = ERR_NOENT;
	if (e == OK)
		e = run_time(db, cfg, &r, &run_ms);
	if (e == OK) {
		v = step_due(&r, &cfg->rules, run_ms, now_ms);
		if (v.type != NULL)
			e = publish_end(db, &r, &v, (struct span){0});
		else if (v.call != STEP_STATUS && v.call != STEP_CANCEL)
			e = run_save(db, &r);
		if (e == OK)
			e = make_request(
			    db, cfg, keys, &r, v.call, now_ms, ret);
	}
	run_done(&r);
	return e;
}

/* The id may have come by a webhook before. */
static enum err
take_id(
    struct run *r, const struct provider_answer *reading, enum step_call call)
{
	if (call != STEP_SUBMIT || !reading->answer.is_readable ||
	    r->external_id != NULL)
		return OK;
	r->external_id = strdup(reading->event.external_id.data);
	return r->external_id != NULL ? OK : ERR_NOMEM;
}

static enum err
conclude(struct db *db, const struct work_config *cfg,
    const struct work_keys *keys, struct run *r, enum step_call call,
    struct provider_answer *reading, int64_t now_ms, struct work *ret_next)
{
	const enum run_state before = r->state;
	struct buf words = BUF_INIT;
	struct step_verdict v;
	int64_t run_ms;
	enum err e = run_time(db, cfg, r, &run_ms);

	reading->answer.polls_progress = polls_progress(cfg, r);
	if (e == OK)
		e = take_id(r, reading, call);
	if (e != OK)
		return e;
	v = step_answered(r, call, &reading->answer, &cfg->rules, run_ms,
	    now_ms, random_between(0, 1000));
	e = save(db, r, before);
	if (e == OK && v.takes_report)
		e = store_report(db, cfg, r, reading);
	if (e == OK && v.type != NULL) {
		if (v.code != NULL && strcmp(v.code, "provider_refused") == 0)
			provider_answer_add_refusal(reading,
			    reading->answer.status, keys->provider.keys[0],
			    &words);
		e = publish_end(db, r, &v, buf_span(&words));
	}
	if (e == OK && v.call != STEP_NOTHING)
		e = make_request(db, cfg, keys, r, v.call, now_ms, ret_next);
	buf_done(&words);
	return e;
}

static void
log_call(const struct work *w, const struct run *r, const char *outcome,
    const struct http_answer *a)
{
	log_info("provider_call", "run_id", LOG_INT(r->run_id), "job_id",
	    r->job_id, "call", step_call_name(w->call), "outcome", outcome,
	    "status", LOG_INT(a->status), "detail",
	    a->error[0] != '\0' ? a->error : NULL);
}

enum err
work_end(struct db *db, const struct work_config *cfg,
    const struct work_keys *keys, struct work *w, const struct http_answer *a,
    int64_t now_ms, struct work *ret_next)
{
	struct provider_answer reading = {0};
	struct run r = {0};
	const char *outcome;
	enum err e = runs_get(db, w->run_id, &r);

	if (e == ERR_NOENT) /* its job was deleted */
		return OK;
	if (e == OK)
		e = provider_answer_take(cfg->api, w->call, a, r.job_id,
		    cfg->inline_output, &reading);
	if (e == OK) {
		outcome = step_outcome_name(
		    step_outcome_of(w->call, &reading.answer));
		if (!w->is_logged)
			log_call(w, &r, outcome, a);
		w->is_logged = true;
		e = run_queue_count_call(db, step_call_name(w->call), outcome);
	}
	if (e == OK)
		e = conclude(
		    db, cfg, keys, &r, w->call, &reading, now_ms, ret_next);
	provider_answer_done(&reading);
	run_done(&r);
	return e;
}
