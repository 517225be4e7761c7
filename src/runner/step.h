/* SPDX-License-Identifier: ISC */
/*
 * What becomes of a run: when it is due, and when the provider has answered or
 * has not. Layer: runner; pure, but for the rows that the caller saves.
 *
 *   waiting -> submitting -> submitted -> (an event) ended
 *        ^         |    \        ^
 *        |  not arrived  \       |  a report, or an id, for the job
 *        +---------+    unknown -+
 *
 * A run ends by an event alone: step_verdict.type.
 */
#ifndef JOBWIRE_STEP_H
#define JOBWIRE_STEP_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "job/state.h"
#include "store/run.h"

/* Times in milliseconds. */
struct step_rules {
	int64_t run_deadline, reconcile_after, submit_for, unknown_for;
	bool resubmits; /* what is not known to have arrived is sent again */
};

/* What to ask the provider. */
enum step_call {
	STEP_NOTHING, /* save the run */
	STEP_SUBMIT,
	STEP_STATUS,
	STEP_CANCEL,
	STEP_CALLS
};

/* For provider_calls; "" for STEP_NOTHING. */
const char *step_call_name(enum step_call call);

enum step_outcome {
	STEP_OK,
	STEP_REFUSED,	  /* for good */
	STEP_UNREACHABLE, /* it has certainly not arrived */
	STEP_UNKNOWN,	  /* whether it arrived, and what came of it */
	STEP_OUTCOMES
};

const char *step_outcome_name(enum step_outcome outcome);

/* How a call ended, as far as a run has to know. */
struct step_answer {
	bool has_left;	     /* a byte of the request has; else status is 0 */
	int status;	     /* HTTP's; 0: none that is whole */
	int64_t retry_ms;    /* Retry-After; -1: none */
	bool is_readable;    /* the body is what such an answer has */
	enum job_state job;  /* that it reports; JOB_NO_STATE: another */
	bool is_executed;    /* it was carried out, it says */
	bool polls_progress; /* the action wants to know how far it is */
};

/* What to do with it, beside saving the run. */
struct step_verdict {
	enum step_call call; /* at once, for the same run */
	bool takes_report;   /* store what the answer says as the event */
	const char *type;    /* else an event of our own; NULL: none */
	const char *code, *message; /* of it; NULL for `cancelled` */
};

enum step_outcome step_outcome_of(
    enum step_call call, const struct step_answer *a);

/* How long after its submission the job has to be done. The policy is a JSON
 * object or empty. */
int64_t step_run_time(const struct step_rules *rules, struct span policy);

/* A run is due and nothing is under way for it: changes it and says what to
 * ask, or how it ends. run_ms: step_run_time(). */
struct step_verdict step_due(struct run *r, const struct step_rules *rules,
    int64_t run_ms, int64_t now_ms);

/*
 * The answer to a call. r is the row as it is now: a webhook may have been
 * faster. jitter: at random from 0 to 1000, so that
 * not all come back at the same moment.
 */
struct step_verdict step_answered(struct run *r, enum step_call call,
    const struct step_answer *a, const struct step_rules *rules, int64_t run_ms,
    int64_t now_ms, int64_t jitter);

/* The longest that any run waits. */
int64_t step_horizon(const struct step_rules *rules);

#endif
