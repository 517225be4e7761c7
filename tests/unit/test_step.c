/* SPDX-License-Identifier: ISC */
/* runner/step.c */
#include "runner/step.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define YEAR (INT64_C(366) * 24 * HOUR)

enum { SECOND = 1000, MINUTE = 60 * SECOND, HOUR = 60 * MINUTE };

static const int64_t now = INT64_C(1800000000000);

static const struct step_rules rules = {
    .run_deadline = 24 * HOUR,
    .reconcile_after = MINUTE,
    .submit_for = 10 * MINUTE,
    .unknown_for = 15 * MINUTE,
};

static const struct step_rules resubmitting = {.run_deadline = 24 * HOUR,
    .reconcile_after = MINUTE,
    .submit_for = 10 * MINUTE,
    .unknown_for = 15 * MINUTE,
    .resubmits = true};

static char external_id[] = "e1";

static struct run
submitting(void)
{
	return (struct run){.state = RUN_SUBMITTING,
	    .attempts = 1,
	    .next_at = now,
	    .deadline = now + 10 * MINUTE};
}

/* A minute ago. */
static struct run
submitted(void)
{
	return (struct run){.state = RUN_SUBMITTED,
	    .external_id = external_id,
	    .attempts = 1,
	    .next_at = now,
	    .submitted_at = now - MINUTE,
	    .deadline = now + HOUR};
}

static struct step_answer
answer(int status, enum job_state job)
{
	return (struct step_answer){.has_left = true,
	    .status = status,
	    .retry_ms = -1,
	    .is_readable = job != JOB_NO_STATE,
	    .job = job};
}

static struct step_verdict
answered(struct run *r, enum step_call call, const struct step_answer *a)
{
	return step_answered(r, call, a, &rules, HOUR, now, 1000);
}

static void
assert_code(struct step_verdict v, const char *type, const char *code)
{
	assert_non_null(v.type);
	assert_string_equal(v.type, type);
	assert_string_equal(v.code, code);
	assert_non_null(v.message);
	assert_int_equal(v.call, STEP_NOTHING);
	assert_false(v.takes_report);
}

/* --- Submission ----------------------------------------------------------- */

static void
test_a_waiting_run_is_sent(void **state)
{
	struct run r = {.state = RUN_WAITING, .next_at = now};
	struct step_verdict v = step_due(&r, &rules, HOUR, now);

	(void)state;
	assert_int_equal(v.call, STEP_SUBMIT);
	assert_int_equal(r.state, RUN_SUBMITTING);
	assert_int_equal(r.attempts, 1);
	assert_int_equal(r.deadline, now + rules.submit_for);
	/* Tried again, it has no longer. */
	r.state = RUN_WAITING;
	(void)step_due(&r, &rules, HOUR, now + MINUTE);
	assert_int_equal(r.deadline, now + rules.submit_for);
	assert_int_equal(r.attempts, 2);
}

/* What each answer to a submission does to it. */
static void
test_answers_to_a_submission(void **state)
{
	static const struct {
		bool has_left;
		int status;
		bool is_readable;
		enum run_state then;
		const char *code;
		enum step_outcome outcome;
	} rows[] = {
	    {true, 200, true, RUN_SUBMITTED, NULL, STEP_OK},
	    {true, 201, true, RUN_SUBMITTED, NULL, STEP_OK},
	    {true, 200, false, RUN_UNKNOWN, NULL, STEP_UNKNOWN},
	    {true, 301, false, RUN_UNKNOWN, NULL, STEP_UNKNOWN},
	    {true, 400, true, RUN_SUBMITTING, "provider_refused", STEP_REFUSED},
	    {true, 401, true, RUN_SUBMITTING, "provider_refused", STEP_REFUSED},
	    {true, 404, true, RUN_SUBMITTING, "provider_refused", STEP_REFUSED},
	    {true, 408, false, RUN_UNKNOWN, NULL, STEP_UNKNOWN},
	    {true, 413, true, RUN_SUBMITTING, "provider_refused", STEP_REFUSED},
	    {true, 425, false, RUN_UNKNOWN, NULL, STEP_UNKNOWN},
	    {true, 429, true, RUN_WAITING, NULL, STEP_UNREACHABLE},
	    {true, 500, true, RUN_UNKNOWN, NULL, STEP_UNKNOWN},
	    {true, 502, false, RUN_UNKNOWN, NULL, STEP_UNKNOWN},
	    {true, 503, false, RUN_WAITING, NULL, STEP_UNREACHABLE},
	    {true, 504, false, RUN_UNKNOWN, NULL, STEP_UNKNOWN},
	    {true, 0, false, RUN_UNKNOWN, NULL, STEP_UNKNOWN},
	    {false, 0, false, RUN_WAITING, NULL, STEP_UNREACHABLE},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct run r = submitting();
		const struct step_answer a = {.has_left = rows[i].has_left,
		    .status = rows[i].status,
		    .retry_ms = -1,
		    .is_readable = rows[i].is_readable};
		struct step_verdict v = answered(&r, STEP_SUBMIT, &a);

		assert_int_equal(
		    step_outcome_of(STEP_SUBMIT, &a), rows[i].outcome);
		if (rows[i].code != NULL) {
			assert_code(v, "failed", rows[i].code);
			continue;
		}
		assert_null(v.type);
		assert_int_equal(v.call, STEP_NOTHING);
		assert_int_equal(r.state, rows[i].then);
		if (r.state == RUN_SUBMITTED) {
			assert_int_equal(r.submitted_at, now);
			assert_int_equal(r.deadline, now + HOUR);
			assert_int_equal(r.next_at, now + MINUTE);
		} else if (r.state == RUN_UNKNOWN) {
			assert_int_equal(r.next_at, now + rules.unknown_for);
			assert_int_equal(r.deadline, r.next_at);
		} else {
			assert_int_equal(r.next_at, now + SECOND);
		}
	}
}

static void
test_pauses_between_submissions(void **state)
{
	static const int64_t most[] = {
	    1000, 2000, 4000, 8000, 16000, 30000, 30000, 30000};
	const struct step_answer none = {.retry_ms = -1};

	(void)state;
	for (size_t i = 0; i < COUNT(most); i++) {
		struct run r = submitting();

		r.attempts = (int64_t)i + 1;
		(void)step_answered(
		    &r, STEP_SUBMIT, &none, &rules, HOUR, now, 1000);
		assert_int_equal(r.next_at, now + most[i]);
		r.state = RUN_SUBMITTING;
		(void)step_answered(
		    &r, STEP_SUBMIT, &none, &rules, HOUR, now, 0);
		assert_int_equal(r.next_at, now + most[i] / 2);
	}
}

/* Retry-After is believed, but not for longer than it is tried. */
static void
test_the_provider_says_when(void **state)
{
	struct step_answer a = answer(429, JOB_NO_STATE);
	struct run r = submitting();

	(void)state;
	a.retry_ms = 7 * SECOND;
	(void)answered(&r, STEP_SUBMIT, &a);
	assert_int_equal(r.next_at, now + 7 * SECOND);
	a.retry_ms = HOUR;
	r.state = RUN_SUBMITTING;
	(void)answered(&r, STEP_SUBMIT, &a);
	assert_int_equal(r.state, RUN_WAITING);
	assert_int_equal(r.next_at, r.deadline);
	r.state = RUN_SUBMITTING;
	assert_code(
	    step_answered(&r, STEP_SUBMIT, &a, &rules, HOUR, r.deadline, 0),
	    "failed", "provider_unreachable");
}

static void
test_what_is_found_being_sent_is_unknown(void **state)
{
	struct run r = submitting();

	(void)state;
	assert_int_equal(step_due(&r, &rules, HOUR, now).call, STEP_NOTHING);
	assert_int_equal(r.state, RUN_UNKNOWN);
	assert_code(step_due(&r, &rules, HOUR, r.next_at), "failed",
	    "submission_unknown");
}

static void
test_resubmission(void **state)
{
	const struct step_answer lost = answer(0, JOB_NO_STATE);
	const struct step_answer refused = answer(429, JOB_NO_STATE);
	struct run r = submitting();

	(void)state;
	(void)step_due(&r, &resubmitting, HOUR, now);
	assert_int_equal(r.state, RUN_WAITING);
	run_done(&r);
	r = submitting();
	(void)step_answered(
	    &r, STEP_SUBMIT, &lost, &resubmitting, HOUR, now, 1000);
	assert_int_equal(r.state, RUN_WAITING);
	assert_int_equal(r.next_at, now + SECOND);
	r.state = RUN_SUBMITTING;
	assert_code(step_answered(&r, STEP_SUBMIT, &lost, &resubmitting, HOUR,
			r.deadline, 0),
	    "failed", "submission_unknown");
	/* That the last one did not arrive says nothing of the first. */
	assert_code(step_answered(&r, STEP_SUBMIT, &refused, &resubmitting,
			HOUR, r.deadline, 0),
	    "failed", "submission_unknown");
	run_done(&r);
}

/* Somebody has cancelled it meanwhile: nothing more is sent, and it is
 * cancelled only where nothing can have arrived before. */
static void
test_a_cancelled_run_is_not_sent_again(void **state)
{
	static const struct {
		int status; /* 0: no connection; -1: it waits */
		bool is_doubted, is_cancelled;
	} rows[] = {
	    {429, false, true},
	    {503, false, true},
	    {0, false, true},
	    {-1, false, true},
	    {429, true, false},
	    {0, true, false},
	    {500, false, false},
	    {-1, true, false},
	};
	struct run crashed = submitting();

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct run r = submitting();
		struct step_answer a = answer(rows[i].status, JOB_NO_STATE);
		struct step_verdict v;

		a.has_left = rows[i].status > 0;
		r.cancel_wanted = RUN_CANCEL_WANTED;
		if (rows[i].is_doubted)
			assert_true(run_doubt(&r));
		if (rows[i].status < 0)
			r.state = RUN_WAITING;
		v = rows[i].status < 0 ? step_due(&r, &resubmitting, HOUR, now)
				       : step_answered(&r, STEP_SUBMIT, &a,
					     &resubmitting, HOUR, now, 0);
		assert_int_equal(v.call, STEP_NOTHING);
		assert_int_equal(v.type != NULL, rows[i].is_cancelled);
		assert_int_equal(r.state != RUN_UNKNOWN, rows[i].is_cancelled);
		if (v.type != NULL)
			assert_string_equal(v.type, "cancelled");
		run_done(&r);
	}
	/* Nor after a crash. */
	crashed.cancel_wanted = RUN_CANCEL_WANTED;
	(void)step_due(&crashed, &resubmitting, HOUR, now);
	assert_int_equal(crashed.state, RUN_UNKNOWN);
}

/* Whatever the answer is. */
static void
test_a_webhook_was_faster_than_the_answer(void **state)
{
	static const int statuses[] = {0, 200, 401, 429};
	static const enum run_state states[] = {RUN_SUBMITTED, RUN_ENDED};

	(void)state;
	for (size_t i = 0; i < COUNT(statuses); i++)
		for (size_t k = 0; k < COUNT(states); k++) {
			struct run r = submitted();
			const struct step_answer a =
			    answer(statuses[i], JOB_QUEUED);
			struct step_verdict v;

			r.state = states[k];
			v = answered(&r, STEP_SUBMIT, &a);
			assert_int_equal(r.state, states[k]);
			assert_true(v.type == NULL && v.call == STEP_NOTHING);
		}
}

/* --- Repair --------------------------------------------------------------- */

static void
test_answers_to_a_question(void **state)
{
	static const struct {
		int status;
		enum job_state job;
		bool takes_report;
		const char *code;
	} rows[] = {
	    {200, JOB_COMPLETED, true, NULL},
	    {200, JOB_FAILED, true, NULL},
	    {200, JOB_CANCELLED, true, NULL},
	    {200, JOB_TIMED_OUT, true, NULL},
	    {200, JOB_PROCESSING, true, NULL},
	    {200, JOB_QUEUED, true, NULL},
	    {200, JOB_NO_STATE, false, NULL},
	    {404, JOB_NO_STATE, false, "result_expired"},
	    {301, JOB_NO_STATE, false, NULL},
	    {401, JOB_NO_STATE, false, NULL},
	    {429, JOB_NO_STATE, false, NULL},
	    {500, JOB_NO_STATE, false, NULL},
	    {0, JOB_NO_STATE, false, NULL},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct run r = submitted();
		const struct step_answer a =
		    answer(rows[i].status, rows[i].job);
		struct step_verdict v = answered(&r, STEP_STATUS, &a);

		if (rows[i].code != NULL) {
			assert_code(v, "failed", rows[i].code);
			continue;
		}
		assert_null(v.type);
		assert_int_equal(v.call, STEP_NOTHING);
		assert_int_equal(v.takes_report, rows[i].takes_report);
		assert_int_equal(r.state, RUN_SUBMITTED);
		if (!job_state_is_end(rows[i].job))
			assert_int_equal(r.next_at, now + MINUTE);
	}
}

static void
test_pauses_between_questions(void **state)
{
	static const struct {
		int64_t age, pause;
	} rows[] = {{0, 1}, {1, 1}, {2, 2}, {4, 4}, {8, 5}, {1000, 5}};
	const struct step_answer a = answer(200, JOB_PROCESSING);

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct run r = submitted();

		r.submitted_at = now - rows[i].age * MINUTE;
		r.deadline = now + 24 * HOUR;
		(void)answered(&r, STEP_STATUS, &a);
		assert_int_equal(r.next_at, now + rows[i].pause * MINUTE);
		r.deadline = now + 30 * SECOND;
		(void)answered(&r, STEP_STATUS, &a);
		assert_int_equal(r.next_at, r.deadline);
	}
}

static void
test_progress_is_asked_for_steadily(void **state)
{
	struct step_answer a = answer(200, JOB_PROCESSING);
	struct run r = submitted();

	(void)state;
	a.polls_progress = true;
	r.submitted_at = now - 10 * MINUTE;
	(void)answered(&r, STEP_STATUS, &a);
	assert_int_equal(r.next_at, now + MINUTE);
	a.retry_ms = 2 * MINUTE;
	(void)answered(&r, STEP_STATUS, &a);
	assert_int_equal(r.next_at, now + 2 * MINUTE);
	a.retry_ms = HOUR;
	(void)answered(&r, STEP_STATUS, &a);
	assert_int_equal(r.next_at, now + 5 * MINUTE);
}

/* Carried out, and no result: said twice, it is lost. */
static void
test_a_lost_result(void **state)
{
	struct step_answer a = answer(200, JOB_PROCESSING);
	struct run r = submitted();

	(void)state;
	a.is_executed = true;
	assert_null(answered(&r, STEP_STATUS, &a).type);
	assert_string_equal(r.error, "result_missing");
	assert_true(r.next_at >= now + rules.reconcile_after);
	/* It was on its way. */
	a.is_executed = false;
	assert_null(answered(&r, STEP_STATUS, &a).type);
	assert_null(r.error);
	a.is_executed = true;
	assert_null(answered(&r, STEP_STATUS, &a).type);
	assert_code(answered(&r, STEP_STATUS, &a), "failed", "result_lost");
	free(r.error);
}

/* By a report or a registration: how long it may take nobody has said. */
static void
test_a_run_whose_id_was_told(void **state)
{
	struct run r = submitted();

	(void)state;
	r.deadline = 0;
	r.submitted_at = now;
	assert_int_equal(
	    step_due(&r, &rules, 2 * HOUR, now).call, STEP_NOTHING);
	assert_int_equal(r.deadline, now + 2 * HOUR);
	assert_int_equal(r.next_at, now + MINUTE);
	assert_int_equal(
	    step_due(&r, &rules, 2 * HOUR, r.next_at).call, STEP_STATUS);
	/* Proven by a report that names no id: nobody can be asked. */
	r.external_id = NULL;
	assert_int_equal(
	    step_due(&r, &rules, HOUR, r.next_at).call, STEP_NOTHING);
	assert_int_equal(r.next_at, r.deadline);
	assert_code(step_due(&r, &rules, HOUR, r.deadline), "timed_out",
	    "run_deadline");
}

static void
test_run_time(void **state)
{
	static const struct {
		const char *policy;
		int64_t ms;
	} rows[] = {
	    {"", 24 * HOUR},
	    {"{}", 24 * HOUR},
	    {"{\"ttl\":60000}", 24 * HOUR},
	    {"{\"executionTimeout\":60000}", 24 * HOUR},
	    {"{\"ttl\":60000,\"executionTimeout\":5000}", 65000},
	    {"{\"ttl\":\"60000\",\"executionTimeout\":5000}", 24 * HOUR},
	    {"{\"ttl\":-1,\"executionTimeout\":5000}", 24 * HOUR},
	    {"{\"ttl\":9223372036854775807,\"executionTimeout\":5000}",
		YEAR + 5000},
	    {"{\"ttl\":1e99,\"executionTimeout\":5000}", YEAR + 5000},
	    {"{\"ttl\":3.6e6,\"executionTimeout\":5000.0}", HOUR + 5000},
	    {"{\"ttl\":1e-3,\"executionTimeout\":5000}", 24 * HOUR},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++)
		assert_int_equal(
		    step_run_time(&rules, span_of(rows[i].policy)), rows[i].ms);
}

/* --- The deadline --------------------------------------------------------- */

/* One last question, then it is cancelled and timed out, whatever the provider
 * says of that. */
static void
test_the_deadline(void **state)
{
	static const int statuses[] = {200, 404, 500, 0};
	const struct step_answer running = answer(200, JOB_PROCESSING),
				 away = answer(0, JOB_NO_STATE),
				 done = answer(200, JOB_COMPLETED);
	struct run r = submitted();
	struct step_verdict v;

	(void)state;
	r.deadline = now;
	assert_int_equal(step_due(&r, &rules, HOUR, now).call, STEP_STATUS);
	assert_true(answered(&r, STEP_STATUS, &done).takes_report);
	assert_int_equal(answered(&r, STEP_STATUS, &away).call, STEP_CANCEL);
	assert_int_equal(answered(&r, STEP_STATUS, &running).call, STEP_CANCEL);
	for (size_t i = 0; i < COUNT(statuses); i++) {
		const struct step_answer a = answer(statuses[i], JOB_CANCELLED);

		assert_code(
		    answered(&r, STEP_CANCEL, &a), "timed_out", "run_deadline");
	}
	/* A completion that won: it is asked for once more, and no more. */
	v = answered(&r, STEP_CANCEL, &done);
	assert_int_equal(v.call, STEP_STATUS);
	assert_code(
	    answered(&r, STEP_STATUS, &running), "timed_out", "run_deadline");
}

/* --- Cancelling ----------------------------------------------------------- */

static void
test_cancelling(void **state)
{
	const struct step_answer cancelled = answer(200, JOB_CANCELLED),
				 done = answer(200, JOB_COMPLETED),
				 garbage = answer(200, JOB_NO_STATE),
				 gone = answer(404, JOB_NO_STATE),
				 running = answer(200, JOB_PROCESSING),
				 away = answer(503, JOB_NO_STATE);
	const struct step_answer *const undecided[] = {&done, &garbage, &gone};
	struct run r = submitted();

	(void)state;
	r.cancel_wanted = RUN_CANCEL_WANTED;
	assert_int_equal(step_due(&r, &rules, HOUR, now).call, STEP_CANCEL);
	assert_true(answered(&r, STEP_CANCEL, &cancelled).takes_report);
	/* The status decides. */
	for (size_t i = 0; i < COUNT(undecided); i++) {
		r.cancel_wanted = RUN_CANCEL_WANTED;
		assert_int_equal(
		    answered(&r, STEP_CANCEL, undecided[i]).call, STEP_STATUS);
		assert_int_equal(r.cancel_wanted, RUN_CANCEL_TOLD);
	}
	assert_true(answered(&r, STEP_STATUS, &done).takes_report);
	/* A cancel that cancelled nothing is repeated. */
	assert_null(answered(&r, STEP_STATUS, &running).type);
	assert_int_equal(r.cancel_wanted, RUN_CANCEL_WANTED);
	assert_int_equal(r.next_at, now + 5 * SECOND);
	assert_int_equal(
	    step_due(&r, &rules, HOUR, r.next_at).call, STEP_CANCEL);
	/* Nobody was reached. */
	assert_int_equal(answered(&r, STEP_CANCEL, &away).call, STEP_NOTHING);
	assert_int_equal(r.cancel_wanted, RUN_CANCEL_WANTED);
	assert_int_equal(r.next_at, now + 5 * SECOND);
}

static void
test_cancelled_while_it_was_sent(void **state)
{
	const struct step_answer queued = answer(200, JOB_QUEUED),
				 lost = answer(0, JOB_NO_STATE);
	struct run r = submitting();

	(void)state;
	r.cancel_wanted = RUN_CANCEL_WANTED;
	(void)answered(&r, STEP_SUBMIT, &queued);
	assert_int_equal(r.state, RUN_SUBMITTED);
	assert_int_equal(r.next_at, now);
	/* Of an unknown one nobody can be asked, and it is not `cancelled`. */
	r = submitting();
	r.cancel_wanted = RUN_CANCEL_WANTED;
	(void)answered(&r, STEP_SUBMIT, &lost);
	assert_int_equal(r.state, RUN_UNKNOWN);
	assert_code(step_due(&r, &rules, HOUR, r.next_at), "failed",
	    "submission_unknown");
}

/* --- Whatever happens ----------------------------------------------------- */

/* Of a run that has ended, or was sent anew, an answer changes nothing. */
static void
test_answers_that_come_late(void **state)
{
	static const enum run_state states[] = {
	    RUN_WAITING, RUN_SUBMITTING, RUN_UNKNOWN, RUN_ENDED};
	const struct step_answer a = answer(404, JOB_NO_STATE);

	(void)state;
	for (size_t i = 0; i < COUNT(states); i++)
		for (int call = STEP_STATUS; call <= STEP_CANCEL; call++) {
			struct run r = submitted();
			struct step_verdict v;

			r.state = states[i];
			v = answered(&r, (enum step_call)call, &a);
			assert_int_equal(r.state, states[i]);
			assert_true(v.type == NULL && !v.takes_report &&
				    v.call == STEP_NOTHING);
		}
}

/* Nothing that is open waits for longer than the horizon, or for ever: a clock
 * that was set back is found by it. */
static void
test_no_run_waits_for_ever(void **state)
{
	static const int statuses[] = {0, 200, 404, 429, 500, 503};

	(void)state;
	for (int job = JOB_NO_STATE; job < JOB_STATES; job++)
		for (size_t i = 0; i < COUNT(statuses); i++)
			for (int call = STEP_SUBMIT; call <= STEP_CANCEL;
			     call++) {
				struct run r = call == STEP_SUBMIT
						   ? submitting()
						   : submitted();
				struct step_answer a =
				    answer(statuses[i], (enum job_state)job);
				struct step_verdict v;

				a.retry_ms = 100 * HOUR;
				v = answered(&r, (enum step_call)call, &a);
				if (v.type == NULL && v.call == STEP_NOTHING &&
				    !job_state_is_end(a.job))
					assert_in_range(r.next_at, now + 1,
					    now + step_horizon(&rules));
			}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_a_waiting_run_is_sent),
	    cmocka_unit_test(test_answers_to_a_submission),
	    cmocka_unit_test(test_pauses_between_submissions),
	    cmocka_unit_test(test_the_provider_says_when),
	    cmocka_unit_test(test_what_is_found_being_sent_is_unknown),
	    cmocka_unit_test(test_resubmission),
	    cmocka_unit_test(test_a_cancelled_run_is_not_sent_again),
	    cmocka_unit_test(test_a_webhook_was_faster_than_the_answer),
	    cmocka_unit_test(test_answers_to_a_question),
	    cmocka_unit_test(test_pauses_between_questions),
	    cmocka_unit_test(test_progress_is_asked_for_steadily),
	    cmocka_unit_test(test_a_lost_result),
	    cmocka_unit_test(test_a_run_whose_id_was_told),
	    cmocka_unit_test(test_run_time),
	    cmocka_unit_test(test_the_deadline),
	    cmocka_unit_test(test_cancelling),
	    cmocka_unit_test(test_cancelled_while_it_was_sent),
	    cmocka_unit_test(test_answers_that_come_late),
	    cmocka_unit_test(test_no_run_waits_for_ever),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
