/* SPDX-License-Identifier: ISC */
/* runner/runpod.c, runner/replicate.c, runner/provider_answer.c */
#include "runner/provider_answer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/buf.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* What each service is asked. */
static void
test_requests(void **state)
{
	static const struct {
		const struct provider_api *calls;
		const char *submit, *body, *status, *cancel;
	} rows[] = {
	    {&runpod_api, "https://s/v2/ab%2Fc/run",
		"{\"input\":{\"seed\":1234567890123456789},\"webhook\":"
		"\"https://x/y?a=\\\"b\\\"\",\"policy\":{\"ttl\":1}}",
		"https://s/v2/ep/status/a%2Fb", "https://s/v2/ep/cancel/a%2Fb"},
	    {&replicate_api, "https://s/v2/predictions",
		"{\"version\":\"ab/c\",\"input\":{\"seed\":1234567890123456789}"
		",\"webhook\":\"https://x/y?a=\\\"b\\\"\","
		"\"webhook_events_filter\":[\"start\",\"completed\"]}",
		"https://s/v2/predictions/a%2Fb",
		"https://s/v2/predictions/a%2Fb/cancel"},
	};

	const struct provider_job job = {
	    .endpoint = SPAN_LIT("ab/c"),
	    .input = SPAN_LIT("{\"seed\":1234567890123456789}"),
	    .policy = SPAN_LIT("{\"ttl\":1}"),
	    .webhook = SPAN_LIT("https://x/y?a=\"b\""),
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct http_request submit = {0}, status = {0}, cancel = {0};

		rows[i].calls->submit("https://s/v2", &job, &submit);
		rows[i].calls->status("https://s/v2", "ep", "a/b", &status);
		rows[i].calls->cancel("https://s/v2", "ep", "a/b", &cancel);
		assert_string_equal(submit.url.data, rows[i].submit);
		assert_string_equal(submit.body.data, rows[i].body);
		assert_true(submit.is_post && submit.is_once);
		assert_string_equal(status.url.data, rows[i].status);
		assert_false(status.is_post);
		assert_string_equal(cancel.url.data, rows[i].cancel);
		assert_true(cancel.is_post);
		http_request_done(&submit);
		http_request_done(&status);
		http_request_done(&cancel);
	}
}

static struct http_answer
answer(int status, const char *body)
{
	struct http_answer a = {
	    .has_left = true, .status = status, .retry_ms = -1};

	buf_add_str(&a.body, body);
	return a;
}

/* What an answer says: of a submission its id counts, of a question its
 * status. */
static void
test_answers(void **state)
{
	static const struct {
		const struct provider_api *calls;
		enum step_call call;
		int status;
		const char *body;
		bool is_readable, is_executed;
		enum job_state job;
	} rows[] = {
	    {&runpod_api, STEP_SUBMIT, 200,
		"{\"id\":\"a\",\"status\":\"IN_QUEUE\"}", true, false,
		JOB_QUEUED},
	    {&runpod_api, STEP_SUBMIT, 200, "{\"id\":\"a\"}", true, false,
		JOB_NO_STATE},
	    {&runpod_api, STEP_SUBMIT, 200, "{\"status\":\"IN_QUEUE\"}", false,
		false, JOB_QUEUED},
	    {&runpod_api, STEP_SUBMIT, 200, "<html>", false, false,
		JOB_NO_STATE},
	    {&runpod_api, STEP_SUBMIT, 200, "", false, false, JOB_NO_STATE},
	    {&runpod_api, STEP_SUBMIT, 200, "[]", false, false, JOB_NO_STATE},
	    {&runpod_api, STEP_SUBMIT, 200, "{\"id\":7}", false, false,
		JOB_NO_STATE},
	    {&runpod_api, STEP_SUBMIT, 400, "{\"id\":\"a\"}", false, false,
		JOB_NO_STATE},
	    {&runpod_api, STEP_STATUS, 200,
		"{\"id\":\"a\",\"status\":\"COMPLETED\",\"executionTime\":5,"
		"\"output\":NaN}",
		true, true, JOB_COMPLETED},
	    {&runpod_api, STEP_STATUS, 200,
		"{\"id\":\"a\",\"status\":\"IN_PROGRESS\"}", true, false,
		JOB_PROCESSING},
	    {&runpod_api, STEP_STATUS, 200, "{\"status\":\"ODD\"}", false,
		false, JOB_NO_STATE},
	    {&replicate_api, STEP_SUBMIT, 201,
		"{\"id\":\"a\",\"status\":\"starting\"}", true, false,
		JOB_PROCESSING},
	    {&replicate_api, STEP_STATUS, 200,
		"{\"id\":\"a\",\"status\":\"succeeded\",\"output\":[1]}", true,
		false, JOB_COMPLETED},
	    {&replicate_api, STEP_STATUS, 200,
		"{\"id\":\"a\",\"status\":\"canceled\"}", true, false,
		JOB_CANCELLED},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct http_answer a = answer(rows[i].status, rows[i].body);
		struct provider_answer r;

		assert_int_equal(provider_answer_take(rows[i].calls,
				     rows[i].call, &a, "j", 99, &r),
		    OK);
		assert_int_equal(r.answer.is_readable, rows[i].is_readable);
		assert_int_equal(r.answer.is_executed, rows[i].is_executed);
		assert_int_equal(r.answer.job, rows[i].job);
		assert_int_equal(r.answer.status, rows[i].status);
		provider_answer_done(&r);
		http_answer_done(&a);
	}
}

/* A webhook's body, with what it adds, is the same report as the answer. */
static void
test_an_answer_is_the_webhook(void **state)
{
	static const struct {
		const struct provider_api *calls;
		const char *answer, *webhook;
	} rows[] = {
	    {&runpod_api,
		"{\"id\":\"a\",\"status\":\"COMPLETED\",\"delayTime\":1,"
		"\"executionTime\":2,\"output\":1}",
		"{\"webhook\":\"https://x\",\"input\":{},\"id\":\"a\","
		"\"output\":1,\"executionTime\":2,\"delayTime\":1,"
		"\"status\":\"COMPLETED\"}"},
	    {&replicate_api,
		"{\"id\":\"a\",\"status\":\"failed\",\"completed_at\":\"t\"}",
		"{\"webhook\":\"https://x\",\"completed_at\":\"t\","
		"\"id\":\"a\",\"status\":\"failed\"}"},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct http_answer a = answer(200, rows[i].answer);
		const struct provider *provider =
		    provider_find(span_of(rows[i].calls->provider));
		const struct request delivery = {.method = "POST"};
		struct provider_event ev = {0};
		char key[CRYPTO_SHA256_SIZE];
		struct provider_answer r;
		const char *why;

		assert_int_equal(provider_answer_take(rows[i].calls,
				     STEP_STATUS, &a, "j", 99, &r),
		    OK);
		assert_int_equal(provider->normalise(&delivery,
				     span_of(rows[i].webhook), 99, &ev, &why),
		    OK);
		assert_int_equal(
		    provider_event_key(&ev, SPAN_LIT("j"), key), OK);
		assert_string_equal(r.event.row.delivery_key, key);
		assert_string_equal(r.event.row.source, provider->source);
		provider_event_done(&ev);
		provider_answer_done(&r);
		http_answer_done(&a);
	}
}

static void
test_words_of_a_refusal(void **state)
{
	static const char plain[] = "The provider refused the job: HTTP 402.";
	static const struct {
		const char *body, *words;
	} rows[] = {
	    {"{\"error\":\"no money\"}", "no money"},
	    {"{\"message\":\"no money\"}", "no money"},
	    {"{\"error\":{},\"detail\":\"no model\"}", "no model"},
	    {"{\"error\":\"key rpa_0123\"}", plain},
	    {"{\"error\":\"at https://x/?sig=a\"}", plain},
	    {"{\"error\":\"two\\nlines\"}", plain},
	    {"<html>", plain},
	    {"", plain},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct http_answer a = answer(402, rows[i].body);
		struct buf words = BUF_INIT;
		struct provider_answer r;

		assert_int_equal(provider_answer_take(
				     &runpod_api, STEP_SUBMIT, &a, "j", 99, &r),
		    OK);
		provider_answer_add_refusal(
		    &r, 402, SPAN_LIT("rpa_0123"), &words);
		assert_string_equal(words.data, rows[i].words);
		buf_done(&words);
		provider_answer_done(&r);
		http_answer_done(&a);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_requests),
	    cmocka_unit_test(test_answers),
	    cmocka_unit_test(test_an_answer_is_the_webhook),
	    cmocka_unit_test(test_words_of_a_refusal),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
