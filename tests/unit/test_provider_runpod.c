/* SPDX-License-Identifier: ISC */
/*
 * hook/provider_runpod.c. The bodies are those of RunPod's documentation, of
 * runpod-python issue 409 and of what rp_job.py and rp_fastapi.py of
 * runpod-python send.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "alloc_fail.h"
#include "auth/crypto.h"
#include "hook/provider.h"
#include "text/json_text.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

enum { INLINE = 4096 };

#define ID "e4616554-495e-4e66-838b-c55f2ea7ecbc-e1"
#define URL "https://hook.example/api/v1/webhooks/runpod-completion?sig=SECRET"

#define CAPTURED                                                               \
	"{\"delayTime\":4736,\"executionTime\":157,\"id\":\"" ID "\","         \
	"\"input\":{\"id\":\"Hello World\",\"tasks\":[{\"id\":\"Hello "        \
	"World\",\"token\":\"\",\"type\":\"test_success\"}]},"                 \
	"\"output\":{\"results\":[{\"success\":true}]},"                       \
	"\"status\":\"COMPLETED\",\"webhook\":\"" URL "\"}"

/* What rp_job.py makes of an exception: JSON text within the string. */
#define TRACEBACK                                                              \
	"\\\"error_traceback\\\": \\\"Traceback (most recent call last)\\\", " \
	"\\\"hostname\\\": \\\"abc-6441\\\", \\\"worker_id\\\": \\\"w9k\\\", " \
	"\\\"runpod_version\\\": \\\"1.7.9\\\"}"
#define FAILED_WITH(error)                                                     \
	"{\"delayTime\":1312,\"error\":" error ",\"executionTime\":5120,"      \
	"\"id\":\"j-u1\",\"input\":{\"a\":1},\"status\":\"FAILED\","           \
	"\"webhook\":\"" URL "\"}"
#define EXCEPTION                                                              \
	FAILED_WITH(                                                           \
	    "\"{\\\"error_type\\\": \\\"<class 'RuntimeError'>\\\", "          \
	    "\\\"error_message\\\": \\\"CUDA out of memory\\\", " TRACEBACK    \
	    "\"")

/* --- Helpers -------------------------------------------------------------- */

/* The caller checks the body first, as it must. */
static enum err
normalise(const char *json, size_t inline_output, struct provider_event *ret,
    const char **ret_why)
{
	struct span body = {0};

	assert_int_equal(json_text_check(span_of(json), &body), OK);
	assert_int_equal(json_text_kind(body), JSON_TEXT_OBJECT);
	*ret = (struct provider_event){0};
	*ret_why = NULL;
	return runpod_normalise(
	    &(struct request){0}, body, inline_output, ret, ret_why);
}

static void
assert_holds_not(const struct buf *b, const char *word)
{
	if (b->len > 0 && memmem(b->data, b->len, word, strlen(word)) != NULL)
		fail_msg("\"%s\" is in %s", word, b->data);
}

/* Whatever came: data is one valid object that tells no secret. */
static void
assert_clean(const struct provider_event *e)
{
	static const char *const words[] = {"SECRET", "webhook", "input\"",
	    "Traceback", "traceback", "hostname", "abc-6441", "worker_id",
	    "w9k", "runpod_version"};
	struct span value;

	assert_int_equal(json_text_check(buf_span(&e->data), &value), OK);
	assert_int_equal(value.n, e->data.len);
	assert_int_equal(json_text_kind(value), JSON_TEXT_OBJECT);
	for (size_t i = 0; i < COUNT(words); i++)
		assert_holds_not(&e->data, words[i]);
}

static void
assert_event(const char *json, const char *type, const char *data)
{
	struct provider_event e;
	const char *why;

	assert_int_equal(normalise(json, INLINE, &e, &why), OK);
	assert_string_equal(e.row.type, type);
	assert_string_equal(buf_span(&e.data).p, data);
	assert_clean(&e);
	provider_event_done(&e);
}

static void
assert_refused(const char *json)
{
	struct provider_event e;
	const char *why;

	assert_int_equal(normalise(json, INLINE, &e, &why), ERR_PROTO);
	assert_non_null(why);
	assert_int_equal(why[strlen(why) - 1], '.');
	provider_event_done(&e);
}

/* Are these two calls one and the same? */
static bool
is_same_call(const char *one, const char *other)
{
	char digests[2][CRYPTO_SHA256_SIZE];
	struct provider_event e;
	const char *why;

	for (int i = 0; i < 2; i++) {
		assert_int_equal(
		    normalise(i == 0 ? one : other, INLINE, &e, &why), OK);
		assert_int_equal(crypto_sha256_of(e.identity,
				     PROVIDER_IDENTITY_MAX, digests[i]),
		    OK);
		provider_event_done(&e);
	}
	return strcmp(digests[0], digests[1]) == 0;
}

/* --- Bodies as they come -------------------------------------------------- */

static void
test_completed(void **state)
{
	struct provider_event e;
	const char *why;

	(void)state;
	assert_event(CAPTURED, "completed",
	    "{\"external_id\":\"" ID "\",\"delayTime\":4736,"
	    "\"executionTime\":157,"
	    "\"output\":{\"results\":[{\"success\":true}]}}");
	assert_event(
	    "{\"delayTime\":31618,\"executionTime\":1437,\"id\":\"6-u1\","
	    "\"output\":{\"input_tokens\":22,\"output_tokens\":16,"
	    "\"text\":[\"Hello! ...\"]},\"status\":\"COMPLETED\"}",
	    "completed",
	    "{\"external_id\":\"6-u1\",\"delayTime\":31618,"
	    "\"executionTime\":1437,\"output\":{\"input_tokens\":22,"
	    "\"output_tokens\":16,\"text\":[\"Hello! ...\"]}}");
	assert_event("{\"delayTime\":824,\"executionTime\":3391,"
		     "\"id\":\"sync-7\",\"output\":[{\"image\":"
		     "\"https://image.url\",\"seed\":46578}],"
		     "\"status\":\"COMPLETED\"}",
	    "completed",
	    "{\"external_id\":\"sync-7\",\"delayTime\":824,"
	    "\"executionTime\":3391,\"output\":[{\"image\":"
	    "\"https://image.url\",\"seed\":46578}]}");
	/* runpod-python issues 299 and 309: no result at all. */
	assert_event("{\"id\":\"j\",\"status\":\"COMPLETED\"}", "completed",
	    "{\"external_id\":\"j\"}");

	assert_int_equal(normalise(CAPTURED, INLINE, &e, &why), OK);
	assert_string_equal(e.external_id.data, ID);
	assert_int_equal(e.row.output.n, 0); /* data holds it */
	assert_int_equal(e.row.error.n, 0);
	assert_int_equal(e.input_job_id.len, 0);
	provider_event_done(&e);
}

static void
test_cancelled(void **state)
{
	(void)state;
	assert_event("{\"id\":\"724907fe-u1\",\"status\":\"CANCELLED\"}",
	    "cancelled", "{\"external_id\":\"724907fe-u1\"}");
}

static void
test_failed_by_exception(void **state)
{
	(void)state;
	assert_event(EXCEPTION, "failed",
	    "{\"external_id\":\"j-u1\",\"delayTime\":1312,"
	    "\"executionTime\":5120,"
	    "\"error_type\":\"<class 'RuntimeError'>\","
	    "\"error\":\"CUDA out of memory\"}");
}

static void
test_failed_by_handler(void **state)
{
	(void)state;
	assert_event("{\"error\":\"no such model\",\"id\":\"j\","
		     "\"output\":{\"hint\":\"a \\\"b\\\"\"},"
		     "\"status\":\"FAILED\"}",
	    "failed",
	    "{\"external_id\":\"j\",\"error\":\"no such model\","
	    "\"output\":{\"hint\":\"a \\\"b\\\"\"}}");
	/* What begins like JSON is not shown as it is: who knows what was cut
	 * off. */
	assert_event(FAILED_WITH("\"{oops\""), "failed",
	    "{\"external_id\":\"j-u1\",\"delayTime\":1312,"
	    "\"executionTime\":5120,"
	    "\"error\":\"The worker reported an error.\"}");
	assert_event(FAILED_WITH("null"), "failed",
	    "{\"external_id\":\"j-u1\",\"delayTime\":1312,"
	    "\"executionTime\":5120}");
}

/* The SDK's development server sends what the handler returned, alone. */
static void
test_development_server(void **state)
{
	(void)state;
	assert_event(
	    "{\"output\":{\"a\":1}}", "completed", "{\"output\":{\"a\":1}}");
	assert_event("{\"error\":\"bad\"}", "failed", "{\"error\":\"bad\"}");
	assert_event(
	    "{\"error\":null,\"output\":1}", "completed", "{\"output\":1}");
	assert_event("{\"error\":\"bad\",\"output\":1}", "failed",
	    "{\"error\":\"bad\",\"output\":1}");
	assert_event("{\"output\":false}", "completed", "{\"output\":false}");
	/* Of a later version (runpod-python pull request 585). */
	assert_event("{\"id\":\"test-1\",\"status\":\"COMPLETED\","
		     "\"input\":{},\"webhook\":\"" URL "\",\"delayTime\":0,"
		     "\"executionTime\":12,\"output\":\"x\"}",
	    "completed",
	    "{\"external_id\":\"test-1\",\"delayTime\":0,"
	    "\"executionTime\":12,\"output\":\"x\"}");
}

static void
test_statuses(void **state)
{
	static const char *const pairs[][2] = {
	    {"IN_QUEUE", "queued"},
	    {"IN_PROGRESS", "processing"},
	    {"RUNNING", "processing"},
	    {"COMPLETED", "completed"},
	    {"FAILED", "failed"},
	    {"CANCELLED", "cancelled"},
	    {"TIMED_OUT", "timed_out"},
	    {"COMPLETE\\u0044", "completed"}, /* by its meaning */
	    {"Completed", "completed"},
	};
	struct buf body = BUF_INIT;

	(void)state;
	for (size_t i = 0; i < COUNT(pairs); i++) {
		buf_reset(&body);
		buf_addf(&body, "{\"status\":\"%s\"}", pairs[i][0]);
		assert_event(body.data, pairs[i][1], "{}");
	}
	buf_done(&body);
}

/* Understood, and nothing to tell. */
static void
test_unknown_status(void **state)
{
	static const char *const statuses[] = {"PAUSED", "", ".", "COMPLETED.",
	    "COMPLETED ", "COMPLETED\\u0000", "COMPLETE"};
	struct buf body = BUF_INIT;
	struct provider_event e;
	const char *why;

	(void)state;
	for (size_t i = 0; i < COUNT(statuses); i++) {
		buf_reset(&body);
		buf_addf(&body,
		    "{\"id\":\"j\",\"status\":\"%s\",\"output\":1,"
		    "\"error\":\"e\"}",
		    statuses[i]);
		assert_int_equal(normalise(body.data, INLINE, &e, &why), OK);
		assert_null(e.row.type);
		provider_event_done(&e);
	}
	buf_done(&body);
}

/* --- Wrong types ---------------------------------------------------------- */

static void
test_refused(void **state)
{
	(void)state;
	assert_refused("{\"id\":7,\"status\":\"COMPLETED\"}");
	assert_refused("{\"id\":{},\"status\":\"COMPLETED\"}");
	assert_refused("{\"id\":\"a\\u0000b\",\"status\":\"COMPLETED\"}");
	assert_refused("{\"id\":\"j\",\"status\":7}");
	assert_refused("{\"id\":\"j\",\"status\":[\"COMPLETED\"]}");
	assert_refused("{\"status\":true,\"output\":1}");
}

static void
test_id_limit(void **state)
{
	struct buf body = BUF_INIT;
	struct provider_event e;
	const char *why;

	(void)state;
	for (size_t n = 255; n <= 257; n++) {
		buf_reset(&body);
		buf_add_str(&body, "{\"id\":\"");
		for (size_t i = 0; i < n; i++)
			buf_add_char(&body, 'i');
		buf_add_str(&body, "\"}");
		assert_int_equal(normalise(body.data, INLINE, &e, &why),
		    n <= 256 ? OK : ERR_PROTO);
		assert_int_equal(e.external_id.len, n);
		provider_event_done(&e);
	}
	buf_done(&body);
}

/* Times that are no numbers are left out, not refused: the event counts. */
static void
test_odd_members(void **state)
{
	(void)state;
	assert_event("{\"id\":\"j\",\"status\":\"COMPLETED\","
		     "\"delayTime\":\"1\",\"executionTime\":null,"
		     "\"retries\":2,\"workerId\":\"w\",\"progress\":[1],"
		     "\"stream\":{}}",
	    "completed", "{\"external_id\":\"j\",\"retries\":2}");
	/* The last of duplicates counts, as for JSON.parse. */
	assert_event("{\"status\":\"FAILED\",\"output\":1,\"id\":\"a\","
		     "\"status\":\"COMPLETED\",\"output\":2,\"id\":\"b\"}",
	    "completed", "{\"external_id\":\"b\",\"output\":2}");
}

/* --- Byte for byte -------------------------------------------------------- */

static void
test_numbers(void **state)
{
	(void)state;
	assert_event("{\"status\":\"COMPLETED\",\"delayTime\":1e400,"
		     "\"executionTime\":-0.0,\"output\":{\"seed\":"
		     "9196619188014358660,\"big\":12345678901234567890123,"
		     "\"inf\":1e400,\"tiny\":-1E-400,\"one\":1.0,"
		     "\"pi\":3.141592653589793238462643383279}}",
	    "completed",
	    "{\"delayTime\":1e400,\"executionTime\":-0.0,\"output\":{\"seed\":"
	    "9196619188014358660,\"big\":12345678901234567890123,"
	    "\"inf\":1e400,\"tiny\":-1E-400,\"one\":1.0,"
	    "\"pi\":3.141592653589793238462643383279}}");
}

/* On one line and as UTF-8, and not touched else. */
static void
test_text(void **state)
{
	(void)state;
	assert_event("{ \"status\" : \"COMPLETED\" , \"output\" :\n"
		     "[ \"a\\u0041\\/\\n\" ,\t\"\xc3\xa4\xff\" , "
		     "\"\\ud800\" ] }",
	    "completed",
	    "{\"output\":[\"a\\u0041\\/\\n\",\"\xc3\xa4\xef\xbf\xbd\","
	    "\"\xef\xbf\xbd\"]}");
	assert_event("{\"id\":\"\\u0061\\\"b\\\\\","
		     "\"status\":\"COMPLETED\"}",
	    "completed", "{\"external_id\":\"a\\\"b\\\\\"}");
}

/* --- Errors --------------------------------------------------------------- */

/* What is for the page of a JSON text, however it is written. */
static void
test_error_text_is_reduced(void **state)
{
	static const char *const errors[] = {
	    /* other order, a member that we do not know */
	    "\"{\\\"worker_id\\\": \\\"w9k\\\", \\\"error_message\\\": "
	    "\\\"CUDA\\\", \\\"x\\\": {\\\"hostname\\\": 1}, " TRACEBACK "\"",
	    /* something behind it */
	    "\"{\\\"error_message\\\": \\\"CUDA\\\", " TRACEBACK " hostname\"",
	    /* a type that is no string */
	    "\"{\\\"error_message\\\": \\\"CUDA\\\", \\\"error_type\\\": "
	    "[\\\"hostname\\\"], " TRACEBACK "\"",
	    /* space in front */
	    "\" \\n{\\\"error_message\\\": \\\"CUDA\\\", " TRACEBACK "\"",
	    /* the object itself instead of its text */
	    "{\"error_message\": \"CUDA\", \"hostname\": \"abc-6441\"}",
	};

	(void)state;
	for (size_t i = 0; i < COUNT(errors); i++) {
		struct buf body = BUF_INIT;
		struct provider_event e;
		const char *why;

		buf_addf(
		    &body, "{\"status\":\"FAILED\",\"error\":%s}", errors[i]);
		assert_int_equal(normalise(body.data, INLINE, &e, &why), OK);
		if (strcmp(e.data.data, "{\"error\":\"CUDA\"}") != 0)
			fail_msg("error %zu gives %s", i, e.data.data);
		provider_event_done(&e);
		buf_done(&body);
	}
}

/* JSON of another make, or cut on its way: whatever is said instead, nothing
 * of it may be a traceback, a host or a worker. */
static void
test_error_text_without_message(void **state)
{
	static const char *const errors[] = {
	    "\"{\\\"error_type\\\": \\\"T\\\", " TRACEBACK "\"",
	    "\"{\\\"error_message\\\": null, " TRACEBACK "\"",
	    "\"[{\\\"error_type\\\": \\\"T\\\", " TRACEBACK "]\"",
	    ("\"{\\\"error_type\\\": \\\"T\\\", \\\"error_traceback\\\": "
	     "\\\"Traceback (most recent c\""),
	    "{\"error_type\": \"T\", \"hostname\": \"abc-6441\"}",
	    "[{\"worker_id\": \"w9k\"}]",
	};
	struct buf leaks = BUF_INIT;

	(void)state;
	for (size_t i = 0; i < COUNT(errors); i++) {
		struct buf body = BUF_INIT;
		struct provider_event e;
		const char *why;

		buf_addf(
		    &body, "{\"status\":\"FAILED\",\"error\":%s}", errors[i]);
		assert_int_equal(normalise(body.data, INLINE, &e, &why), OK);
		assert_string_equal(e.row.type, "failed");
		if (strstr(e.data.data, "hostname") != NULL ||
		    strstr(e.data.data, "Traceback") != NULL ||
		    strstr(e.data.data, "worker_id") != NULL)
			buf_addf(&leaks, "\nerror %zu: %s", i, e.data.data);
		provider_event_done(&e);
		buf_done(&body);
	}
	if (leaks.len > 0)
		fail_msg("%s", leaks.data);
}

/* At most 4096 bytes of it, and never half a character. */
static void
test_error_is_cut(void **state)
{
	struct buf body = BUF_INIT;
	struct provider_event e;
	struct span value;
	const char *why;

	(void)state;
	buf_add_str(&body, "{\"error\":\"a");
	for (int i = 0; i < 5000; i++)
		buf_add_str(&body, "\xc3\xa4");
	buf_add_str(&body, "\"}");
	assert_int_equal(normalise(body.data, INLINE, &e, &why), OK);
	assert_true(json_text_get(buf_span(&e.data), "error", &value));
	assert_in_range(value.n, 4096, 4096 + 2 + 3);
	assert_clean(&e);
	provider_event_done(&e);

	buf_reset(&body);
	buf_add_str(&body, "{\"error\":\"{\\\"error_message\\\":\\\"");
	for (int i = 0; i < 5000; i++)
		buf_add_char(&body, 'm');
	buf_add_str(&body, "\\\"}\"}");
	assert_int_equal(normalise(body.data, INLINE, &e, &why), OK);
	assert_true(json_text_get(buf_span(&e.data), "error", &value));
	assert_int_equal(value.n, 4096 + 2);
	provider_event_done(&e);
	buf_done(&body);
}

/* --- Outputs -------------------------------------------------------------- */

static void
test_output_limit(void **state)
{
	static const char body[] =
	    "{\"id\":\"j\",\"status\":\"COMPLETED\",\"output\":\"0123456789\"}";
	const size_t size = 12; /* with its quotes */
	struct provider_event e;
	const char *why;

	(void)state;
	assert_int_equal(normalise(body, size, &e, &why), OK);
	assert_string_equal(
	    e.data.data, "{\"external_id\":\"j\",\"output\":\"0123456789\"}");
	assert_int_equal(e.row.output.n, 0);
	provider_event_done(&e);

	assert_int_equal(normalise(body, size - 1, &e, &why), OK);
	assert_string_equal(
	    e.data.data, "{\"external_id\":\"j\",\"output_omitted\":true}");
	assert_true(span_eq_str(e.row.output, "\"0123456789\""));
	provider_event_done(&e);

	assert_int_equal(normalise("{\"output\":0}", 0, &e, &why), OK);
	assert_string_equal(e.data.data, "{\"output_omitted\":true}");
	assert_true(span_eq_str(e.row.output, "0"));
	provider_event_done(&e);
}

/* However long a member is that is passed on, the data stays within what a
 * stream can send; else the page never hears of the job's end. */
static void
test_data_stays_sendable(void **state)
{
	struct buf body = BUF_INIT;
	struct provider_event e;
	const char *why;

	(void)state;
	buf_add_str(&body, "{\"status\":\"COMPLETED\",\"delayTime\":1");
	for (int i = 0; i < (1 << 20); i++)
		buf_add_char(&body, '0');
	buf_add_char(&body, '}');
	assert_int_equal(normalise(body.data, INLINE, &e, &why), OK);
	assert_in_range(e.data.len, 2, 1 << 20);
	provider_event_done(&e);
	buf_done(&body);
}

/* --- Identity ------------------------------------------------------------- */

#define CALL(id, status, delay, execution, rest)                               \
	"{\"id\":\"" id "\",\"status\":\"" status "\",\"delayTime\":" delay    \
	",\"executionTime\":" execution rest "}"

static void
test_identity(void **state)
{
	static const char first[] = CALL("j", "FAILED", "10", "20", "");

	(void)state;
	assert_true(is_same_call(CAPTURED, CAPTURED));
	assert_true(is_same_call(EXCEPTION, EXCEPTION));
	assert_true(
	    is_same_call(first, " { \"executionTime\":20,\"delayTime\":10,\n"
				"\"status\":\"FAILED\",\"id\":\"j\" } "));
	/* A retry keeps id and status, and has other times. */
	assert_false(is_same_call(first, CALL("j", "FAILED", "10", "21", "")));
	assert_false(is_same_call(first, CALL("j", "FAILED", "11", "20", "")));
	assert_false(is_same_call(
	    first, CALL("j", "FAILED", "10", "20", ",\"retries\":1")));
	assert_false(
	    is_same_call(first, CALL("j", "COMPLETED", "10", "20", "")));
	assert_false(is_same_call(first, CALL("k", "FAILED", "10", "20", "")));
	/* Members may not run into each other. */
	assert_false(is_same_call(CALL("j", "FAILED", "1", "23", ""),
	    CALL("j", "FAILED", "12", "3", "")));
	assert_false(
	    is_same_call("{\"id\":\"j\",\"status\":\"FAILED\",\"delayTime\":1}",
		"{\"id\":\"j\",\"status\":\"FAILED\",\"executionTime\":1}"));
}

/* Without an id the whole body has to tell. */
static void
test_identity_of_development_server(void **state)
{
	(void)state;
	assert_true(
	    is_same_call("{\"output\":{\"a\":1}}", "{\"output\":{\"a\":1}}"));
	assert_false(
	    is_same_call("{\"output\":{\"a\":1}}", "{\"output\":{\"a\":2}}"));
	assert_false(is_same_call("{\"output\":1}", "{\"error\":1}"));
}

/* --- Memory --------------------------------------------------------------- */

/* OK would be answered 200: then there must be an event, and a whole one. */
static void
test_no_memory(void **state)
{
	static const char *const bodies[] = {CAPTURED, EXCEPTION,
	    "{\"output\":{\"a\":1}}",
	    ("{\"id\":\"j\",\"status\":\"IN_PROGRESS\",\"output\":[1],"
	     "\"input\":{\"job_id\":\"job-7\"}}")};
	struct provider_event whole, e;
	const char *why;
	bool is_more;
	enum err err;

	(void)state;
	for (size_t i = 0; i < COUNT(bodies); i++) {
		assert_int_equal(
		    normalise(bodies[i], INLINE, &whole, &why), OK);
		is_more = true;
		for (unsigned n = 1; is_more; n++) {
			alloc_fail_start(n);
			err = normalise(bodies[i], INLINE, &e, &why);
			is_more = alloc_fail_stop();
			if (err != (is_more ? ERR_NOMEM : OK))
				fail_msg("body %zu, allocation %u: %s, type %s",
				    i, n, err_text(err),
				    e.row.type == NULL ? "none" : e.row.type);
			if (!is_more)
				assert_true(span_eq(
				    buf_span(&e.data), buf_span(&whole.data)));
			provider_event_done(&e);
		}
		provider_event_done(&whole);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_completed),
	    cmocka_unit_test(test_cancelled),
	    cmocka_unit_test(test_failed_by_exception),
	    cmocka_unit_test(test_failed_by_handler),
	    cmocka_unit_test(test_development_server),
	    cmocka_unit_test(test_statuses),
	    cmocka_unit_test(test_unknown_status),
	    cmocka_unit_test(test_refused),
	    cmocka_unit_test(test_id_limit),
	    cmocka_unit_test(test_odd_members),
	    cmocka_unit_test(test_numbers),
	    cmocka_unit_test(test_text),
	    cmocka_unit_test(test_error_text_is_reduced),
	    cmocka_unit_test(test_error_text_without_message),
	    cmocka_unit_test(test_error_is_cut),
	    cmocka_unit_test(test_output_limit),
	    cmocka_unit_test(test_data_stays_sendable),
	    cmocka_unit_test(test_identity),
	    cmocka_unit_test(test_identity_of_development_server),
	    cmocka_unit_test(test_no_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
