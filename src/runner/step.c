/* SPDX-License-Identifier: ISC */
/*
 * The state machine of runs. How an answer is read is for the provider's file,
 * what is stored for runner.c; that an event ends a run is a trigger's. Pure.
 */
#include "runner/step.h"

#include <stdlib.h>
#include <string.h>

#include "text/json_text.h"

enum {
	RETRY_MIN_MS = 1000,
	RETRY_MAX_MS = 30000,
	POLL_MAX_MS = 300000,
	/* A cancel that cancelled nothing is repeated. */
	CANCEL_MS = 5000,
};

static const char *const call_names[STEP_CALLS] = {
    "", "submit", "status", "cancel"};
static const char *const outcome_names[STEP_OUTCOMES] = {
    "ok", "refused", "unreachable", "unknown"};

const char *
step_call_name(enum step_call call)
{
	return call_names[call];
}

const char *
step_outcome_name(enum step_outcome outcome)
{
	return outcome_names[outcome];
}

/* 408 and 425 say that the request was not read to its end, not that nobody
 * has acted on it. */
enum step_outcome
step_outcome_of(enum step_call call, const struct step_answer *a)
{
	if (a->status >= 200 && a->status < 300)
		return a->is_readable || call == STEP_CANCEL ? STEP_OK
							     : STEP_UNKNOWN;
	if (!a->has_left || a->status == 429 || a->status == 503)
		return STEP_UNREACHABLE;
	if (a->status >= 400 && a->status < 500 && a->status != 408 &&
	    a->status != 425)
		return STEP_REFUSED;
	return STEP_UNKNOWN;
}

static int64_t
min(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

static int64_t
max(int64_t a, int64_t b)
{
	return a > b ? a : b;
}

static struct step_verdict
end(const char *type, const char *code, const char *message)
{
	return (struct step_verdict){
	    .type = type, .code = code, .message = message};
}

static struct step_verdict
ask(enum step_call call)
{
	return (struct step_verdict){.call = call};
}

static struct step_verdict
time_out(void)
{
	return end("timed_out", "run_deadline",
	    "The job was not done by the end of its time.");
}

static struct step_verdict
give_up(void)
{
	return end("failed", RUN_IN_DOUBT,
	    "It is not known whether the job was submitted.");
}

#define YEAR_MS (INT64_C(366) * 86400000)

/* Milliseconds, up to a year; 0 where it is none. As JSON may write a number:
 * 9e5 is a quarter of an hour. */
static int64_t
member_ms(struct span object, const char *name)
{
	struct span value;
	char text[20];
	double ms;

	if (!json_text_get(object, name, &value) || value.n >= sizeof(text) ||
	    json_text_kind(value) != JSON_TEXT_NUMBER)
		return 0;
	memcpy(text, value.p, value.n);
	text[value.n] = '\0';
	ms = strtod(text, NULL);
	if (ms >= (double)YEAR_MS)
		return YEAR_MS;
	return ms > 0 ? (int64_t)ms : 0;
}

int64_t
step_run_time(const struct step_rules *rules, struct span policy)
{
	int64_t ttl = member_ms(policy, "ttl"),
		execution = member_ms(policy, "executionTimeout");

	return ttl > 0 && execution > 0 ? ttl + execution : rules->run_deadline;
}

int64_t
step_horizon(const struct step_rules *rules)
{
	int64_t longest = max(rules->reconcile_after, POLL_MAX_MS);

	return max(longest, max(rules->submit_for, rules->unknown_for));
}

/* --- Due ------------------------------------------------------------------ */

static bool
is_cancelled(const struct run *r)
{
	return r->cancel_wanted != RUN_CANCEL_NOT;
}

static struct step_verdict
await_proof(struct run *r, const struct step_rules *rules, int64_t now_ms)
{
	r->state = RUN_UNKNOWN;
	r->next_at = r->deadline = now_ms + rules->unknown_for;
	return ask(STEP_NOTHING);
}

/* What may have arrived, and is sent again all the same, is marked. */
static bool
may_resubmit(struct run *r, const struct step_rules *rules)
{
	return rules->resubmits && !is_cancelled(r) && run_doubt(r);
}

/* Nothing of it is under way, and nothing more is to leave. Cancelled it is
 * where nothing can have arrived before. */
static struct step_verdict
withdraw(struct run *r, const struct step_rules *rules, int64_t now_ms)
{
	if (run_is_doubted(r))
		return await_proof(r, rules, now_ms);
	return end(job_state_name(JOB_CANCELLED), NULL, NULL);
}

/* Its id was told by a webhook, or it was registered: only now is there
 * somebody who knows how long it may take. */
static struct step_verdict
follow(struct run *r, const struct step_rules *rules, int64_t run_ms,
    int64_t now_ms)
{
	r->deadline = r->submitted_at + run_ms;
	r->next_at = max(now_ms, r->submitted_at + rules->reconcile_after);
	if (is_cancelled(r))
		r->next_at = now_ms;
	return ask(STEP_NOTHING);
}

/* It was sent, or was about to be, and nobody knows whether it arrived. */
static struct step_verdict
doubt(struct run *r, const struct step_rules *rules, int64_t now_ms)
{
	if (!may_resubmit(r, rules))
		return await_proof(r, rules, now_ms);
	r->state = RUN_WAITING;
	r->next_at = now_ms;
	return ask(STEP_NOTHING);
}

struct step_verdict
step_due(struct run *r, const struct step_rules *rules, int64_t run_ms,
    int64_t now_ms)
{
	switch (r->state) {
	case RUN_WAITING:
		if (is_cancelled(r))
			return withdraw(r, rules, now_ms);
		if (r->deadline == 0)
			r->deadline = now_ms + rules->submit_for;
		r->state = RUN_SUBMITTING;
		r->attempts++;
		return ask(STEP_SUBMIT);
	case RUN_UNKNOWN:
		if (r->deadline != 0)
			return give_up();
		/* It waited in a database that was put back. */
		return doubt(r, rules, now_ms);
	case RUN_SUBMITTING: /* by a runner that is no more */
		return doubt(r, rules, now_ms);
	case RUN_SUBMITTED:
		if (r->deadline == 0)
			return follow(r, rules, run_ms, now_ms);
		if (r->external_id == NULL && now_ms >= r->deadline)
			return time_out();
		if (r->external_id == NULL) {
			r->next_at = r->deadline; /* nobody can be asked */
			return ask(STEP_NOTHING);
		}
		if (r->cancel_wanted == RUN_CANCEL_WANTED &&
		    now_ms < r->deadline)
			return ask(STEP_CANCEL);
		return ask(STEP_STATUS);
	case RUN_NO_STATE:
	case RUN_ENDED:
	case RUN_STATES:
		break;
	}
	return ask(STEP_NOTHING);
}

/* --- Answered ------------------------------------------------------------- */

/* From 0.5-1 s on, doubling, unless the provider says when. */
static struct step_verdict
send_later(
    struct run *r, const struct step_answer *a, int64_t now_ms, int64_t jitter)
{
	int shift = (int)min(max(r->attempts - 1, 0), 5);
	int64_t pause = min((int64_t)RETRY_MIN_MS << shift, RETRY_MAX_MS) / 2;

	pause += pause * jitter / 1000;
	if (a->retry_ms >= 0)
		pause = a->retry_ms;
	if (now_ms >= r->deadline)
		return run_is_doubted(r)
			   ? give_up()
			   : end("failed", "provider_unreachable",
				 "The provider could not be reached.");
	r->state = RUN_WAITING;
	r->next_at = min(now_ms + pause, r->deadline);
	return ask(STEP_NOTHING);
}

static struct step_verdict
submit_answered(struct run *r, const struct step_answer *a,
    const struct step_rules *rules, int64_t run_ms, int64_t now_ms,
    int64_t jitter)
{
	enum step_outcome outcome = step_outcome_of(STEP_SUBMIT, a);

	/* A report was here first, and is the better proof. */
	if (r->state != RUN_SUBMITTING)
		return ask(STEP_NOTHING);
	switch (outcome) {
	case STEP_OK:
		r->state = RUN_SUBMITTED;
		r->submitted_at = now_ms;
		r->deadline = now_ms + run_ms;
		r->next_at = min(now_ms + rules->reconcile_after, r->deadline);
		if (is_cancelled(r))
			r->next_at = now_ms;
		return ask(STEP_NOTHING);
	case STEP_REFUSED:
		return end("failed", "provider_refused",
		    "The provider refused the job.");
	case STEP_UNREACHABLE:
		if (is_cancelled(r))
			return withdraw(r, rules, now_ms);
		return send_later(r, a, now_ms, jitter);
	case STEP_UNKNOWN:
	case STEP_OUTCOMES:
		break;
	}
	if (may_resubmit(r, rules))
		return send_later(r, a, now_ms, jitter);
	return await_proof(r, rules, now_ms);
}

/* As long again as it has been going on: so the pauses double, and no counter
 * is needed. */
static void
ask_later(struct run *r, const struct step_answer *a,
    const struct step_rules *rules, int64_t now_ms)
{
	int64_t least = rules->reconcile_after;
	int64_t most = max(least, POLL_MAX_MS);
	int64_t pause = min(max(now_ms - r->submitted_at, least), most);

	if (a->polls_progress)
		pause = least;
	if (is_cancelled(r))
		pause = min(least, CANCEL_MS);
	if (a->retry_ms > pause)
		pause = min(a->retry_ms, most);
	/* A clock that was set may have put the deadline behind us. */
	r->next_at = max(min(now_ms + pause, r->deadline), now_ms + 1);
}

/* It has been carried out, says the provider, and no end is in sight: twice,
 * for the end may just be on its way (runpod-python issue 250). */
static bool
is_lost(struct run *r, const struct step_answer *a)
{
	bool was = r->error != NULL && !run_is_doubted(r);

	if (a->is_executed == was)
		return was;
	free(r->error);
	r->error = a->is_executed ? strdup("result_missing") : NULL;
	return false;
}

static struct step_verdict
status_answered(struct run *r, const struct step_answer *a,
    const struct step_rules *rules, int64_t now_ms)
{
	bool is_over = now_ms >= r->deadline;
	bool is_told = r->cancel_wanted == RUN_CANCEL_TOLD;
	bool is_read = step_outcome_of(STEP_STATUS, a) == STEP_OK;

	if (is_read && job_state_is_end(a->job))
		return (struct step_verdict){.takes_report = true};
	if (a->status == 404)
		return end("failed", "result_expired",
		    "The provider does not know the job any more.");
	if (is_over)
		return is_told ? time_out() : ask(STEP_CANCEL);
	if (is_told)
		r->cancel_wanted = RUN_CANCEL_WANTED;
	else if (is_read && is_lost(r, a))
		return end("failed", "result_lost",
		    "The provider has lost the job's result.");
	ask_later(r, a, rules, now_ms);
	return (struct step_verdict){.takes_report = is_read};
}

/* Only the provider can say that it is cancelled. What has ended otherwise, and
 * what is not there, its status tells. */
static struct step_verdict
cancel_answered(struct run *r, const struct step_answer *a,
    const struct step_rules *rules, int64_t now_ms)
{
	enum step_outcome outcome = step_outcome_of(STEP_CANCEL, a);
	bool is_over = now_ms >= r->deadline;

	if (outcome == STEP_OK && a->job == JOB_CANCELLED && is_cancelled(r))
		return (struct step_verdict){.takes_report = true};
	if (is_over && !(outcome == STEP_OK && a->job != JOB_CANCELLED &&
			   job_state_is_end(a->job)))
		return time_out();
	if (outcome == STEP_OK || outcome == STEP_REFUSED) {
		r->cancel_wanted = RUN_CANCEL_TOLD;
		return ask(STEP_STATUS);
	}
	ask_later(r, a, rules, now_ms);
	return ask(STEP_NOTHING);
}

struct step_verdict
step_answered(struct run *r, enum step_call call, const struct step_answer *a,
    const struct step_rules *rules, int64_t run_ms, int64_t now_ms,
    int64_t jitter)
{
	if (call == STEP_SUBMIT)
		return submit_answered(r, a, rules, run_ms, now_ms, jitter);
	/* What was asked of it before does not matter any more. */
	if (r->state != RUN_SUBMITTED)
		return ask(STEP_NOTHING);
	if (r->deadline == 0)
		r->deadline = r->submitted_at + run_ms;
	if (call == STEP_STATUS)
		return status_answered(r, a, rules, now_ms);
	return cancel_answered(r, a, rules, now_ms);
}
