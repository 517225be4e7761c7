/* SPDX-License-Identifier: ISC */
/* hook/webhook_call.c and hook/provider.c: routes, bodies and answers. */
#include "hook/webhook_call.h"

#include "alloc_fail.h"
#include "webhook_site.h"

/* --- Routes --------------------------------------------------------------- */

static void
test_routes(void **state)
{
	static const char *const nowhere[] = {"", "/", "/webhooks",
	    "/webhooks/", "/webhooks/runpod", "/webhooks/runpod-completion/",
	    "/webhooks/runpod-completion/x", "/webhooks/Runpod-completion",
	    "/webhooks//runpod-completion", "/webhooks/runpod-completionx",
	    "/x/webhooks/runpod-completion", "/events/1"};
	struct site *s = *state;

	sign_well(s);
	assert_accepted(s);
	for (size_t i = 0; i < COUNT(nowhere); i++) {
		s->request.route = nowhere[i];
		assert_refused(s, 404, "not_found");
	}
	assert_null(provider_find(span_of("")));
	assert_string_equal(
	    provider_find(span_of("runpod-completion"))->source, "runpod");
}

static void
test_methods(void **state)
{
	static const char *const methods[] = {
	    "GET", "HEAD", "PUT", "OPTIONS", "DELETE", "post", "POSTX", ""};
	struct site *s = *state;

	sign_well(s);
	for (size_t i = 0; i < COUNT(methods); i++) {
		s->request.method = methods[i];
		assert_refused(s, 405, "method_not_allowed");
		assert_true(has_header(s, "Allow: POST\r\n"));
	}
	s->request.method = "POST";
	s->request.route = "/webhooks/unknown";
	assert_refused(s, 404, "not_found");
}

/* --- What becomes of a good one ------------------------------------------- */

static void
test_accepted(void **state)
{
	struct site *s = *state;
	const struct event_new *e;

	sign_well(s);
	assert_accepted(s);
	e = &webhook(s)->event.row;
	assert_string_equal(s->d->job_id.data, "job-1");
	assert_string_equal(e->type, "completed");
	assert_true(
	    span_eq_str(e->data, "{\"external_id\":\"ext-1\",\"delayTime\":1,"
				 "\"executionTime\":2,\"output\":{\"a\":1}}"));
	assert_string_equal(e->source, "runpod");
	assert_int_equal(strlen(e->delivery_key), 64);
	assert_int_equal(strspn(e->delivery_key, "0123456789abcdef"), 64);
	assert_int_equal(e->output.n, 0);
	assert_string_equal(e->restore_id, "R/1");
	assert_string_equal(webhook(s)->event.external_id.data, "ext-1");
}

static void
test_accepted_without_ids(void **state)
{
	struct site *s = *state;

	sign(s, "runpod-completion", "job-1", "", NOW);
	s->request.body = SPAN_LIT("{\"output\":[1]}");
	assert_accepted(s);
	assert_null(webhook(s)->event.row.restore_id);
	assert_int_equal(webhook(s)->event.external_id.len, 0);
}

static void
test_large_output(void **state)
{
	static const char body[] =
	    "{\"status\":\"COMPLETED\",\"output\":\""
	    "0123456789012345678901234567890123456789012345678901234567890123"
	    "\"}";
	struct site *s = *state;

	sign_well(s);
	s->request.body = SPAN_LIT(body);
	assert_accepted(s);
	assert_true(span_eq_str(
	    webhook(s)->event.row.data, "{\"output_omitted\":true}"));
	assert_int_equal(webhook(s)->event.row.output.n, 66);
}

/* Two calls are one when they are about the same attempt of the same job. */
static void
test_delivery_key(void **state)
{
	struct site *s = *state;
	char first[CRYPTO_SHA256_SIZE];

	sign_well(s);
	assert_accepted(s);
	memcpy(first, webhook(s)->key, sizeof(first));
	assert_accepted(s);
	assert_string_equal(webhook(s)->key, first);
	sign(s, "runpod-completion", "job-1", "other", NOW + 99);
	assert_accepted(s);
	assert_string_equal(webhook(s)->key, first);
	sign(s, "runpod-completion", "job-2", "R/1", NOW + 60);
	assert_accepted(s);
	assert_string_not_equal(webhook(s)->key, first);
	sign_well(s);
	s->request.body =
	    SPAN_LIT("{\"id\":\"ext-1\",\"status\":\"COMPLETED\"}");
	assert_accepted(s);
	assert_string_not_equal(webhook(s)->key, first);
}

/* Understood, stored nowhere, and answered 200. */
static void
test_ignored(void **state)
{
	struct site *s = *state;

	sign_well(s);
	s->request.body = SPAN_LIT("{\"id\":\"e\",\"status\":\"PAUSED\"}");
	assert_false(prepare(s));
	assert_int_equal(s->d->answer.status, 200);
	assert_string_equal(s->d->answer.body.data,
	    "{\"ok\":true,\"job_id\":\"job-1\",\"event_id\":null,"
	    "\"duplicate\":false}\n");
	assert_null(webhook(s)->event.row.type);
	assert_discreet(s);
}

/* --- Bodies --------------------------------------------------------------- */

static void
test_content_types(void **state)
{
	static const char *const good[] = {"", "application/json",
	    "Application/JSON", "application/json; charset=utf-8",
	    "application/json;charset=utf-8", "application/json ",
	    "application/problem+json", "application/vnd.x.y+JSON; a=b"};
	static const char *const bad[] = {"text/plain", "text/json",
	    "application/x-www-form-urlencoded", "application/jsonx",
	    "application/jso", "application/json+xml", "application/+json",
	    "json", "x/y+json", "multipart/form-data; boundary=json",
	    "text/plain; application/json"};
	struct site *s = *state;

	sign_well(s);
	for (size_t i = 0; i < COUNT(good); i++) {
		s->request.content_type = good[i];
		assert_accepted(s);
	}
	for (size_t i = 0; i < COUNT(bad); i++) {
		s->request.content_type = bad[i];
		if (prepare(s))
			fail_msg("content type \"%s\" was accepted", bad[i]);
		assert_answer(s, 415, "unsupported_media_type");
	}
}

static void
test_bad_json(void **state)
{
	const struct span bodies[] = {
	    SPAN_LIT(""),
	    SPAN_LIT(" "),
	    SPAN_LIT("{"),
	    SPAN_LIT("{\"status\":\"COMPLETED\"} x"),
	    SPAN_LIT("{'status':'COMPLETED'}"),
	    SPAN_LIT("{\"status\":\"COMPLETED\",}"),
	    SPAN_LIT("{\"PRIVATE\":NaNs}"),
	    SPAN_LIT("{\"PRIVATE\":+Infinity}"),
	    SPAN_LIT("{NaN:1}"),
	    SPAN_LIT("{\"a\":NaN,}"),
	    SPAN_LIT("{\"a\":\"\n\"}"),
	    SPAN_LIT("{}\0"),
	    SPAN_LIT("\xef\xbb\xbf"),
	    SPAN_LIT("\xef\xbb{}"),
	    SPAN_LIT("\xef\xbb\xbf\xef\xbb\xbf{}"),
	    SPAN_LIT(" \xef\xbb\xbf{}"),
	    SPAN_LIT("\xff\xfe{\0}\0"),
	    SPAN_LIT("\xfe\xff\0{\0}"),
	    SPAN_LIT("{\0}\0"),
	    SPAN_LIT("status=COMPLETED"),
	};
	struct site *s = *state;

	sign_well(s);
	for (size_t i = 0; i < COUNT(bodies); i++) {
		s->request.body = bodies[i];
		assert_refused(s, 400, "bad_json");
	}
	s->request.body = (struct span){NULL, 0};
	assert_refused(s, 400, "bad_json");
}

/* Python writes numbers that are none, and some programs a byte order mark. */
static void
test_lenient_json(void **state)
{
	struct site *s = *state;

	sign_well(s);
	s->request.body =
	    SPAN_LIT("\xef\xbb\xbf{\"id\":\"x\",\"status\":\"COMPLETED\","
		     "\"executionTime\":NaN,\"output\":[-Infinity,"
		     "\"NaN \\\" Infinity\",Infinity,1e400]}");
	assert_accepted(s);
	assert_true(span_eq_str(webhook(s)->event.row.data,
	    "{\"external_id\":\"x\",\"output\":[null,"
	    "\"NaN \\\" Infinity\",null,1e400]}"));
}

/* Where no state is said, something must speak for the end. */
static void
test_nothing_said(void **state)
{
	const struct span bodies[] = {SPAN_LIT("{}"),
	    SPAN_LIT("{\"id\":null,\"status\":null}"),
	    SPAN_LIT("{\"output\":null}"), SPAN_LIT("{\"output\":NaN}"),
	    SPAN_LIT("{\"id\":\"x\"}"), SPAN_LIT("{\"hello\":1}")};
	static const char *const routes[] = {"/webhooks/runpod-completion",
	    "/webhooks/replicate", "/webhooks/fal", "/webhooks/standard"};
	struct site *s = *state;

	s->cfg.is_open = true;
	s->request.query = "job_id=job-1";
	for (size_t i = 0; i < COUNT(routes) * COUNT(bodies); i++) {
		s->request.route = routes[i / COUNT(bodies)];
		s->request.body = bodies[i % COUNT(bodies)];
		assert_false(prepare(s));
		assert_int_equal(s->d->answer.status, 200);
		assert_int_equal(s->d->outcome, CALL_IGNORED);
	}
}

static void
test_deep_json(void **state)
{
	struct site *s = *state;
	struct buf body = BUF_INIT;

	sign_well(s);
	for (int depth = 31; depth <= 32; depth++) {
		buf_reset(&body);
		buf_add_str(&body, "{\"output\":");
		for (int i = 0; i < depth; i++)
			buf_add_char(&body, '[');
		for (int i = 0; i < depth; i++)
			buf_add_char(&body, ']');
		buf_add_char(&body, '}');
		s->request.body = buf_span(&body);
		if (depth == 31)
			assert_accepted(s);
		else
			assert_refused(s, 400, "json_too_deep");
	}
	buf_done(&body);
}

static void
test_bad_payload(void **state)
{
	const struct span bodies[] = {
	    SPAN_LIT("[]"),
	    SPAN_LIT("\"PRIVATE\""),
	    SPAN_LIT("17"),
	    SPAN_LIT("null"),
	    SPAN_LIT("{\"id\":\"PRIVATE\",\"status\":1}"),
	    SPAN_LIT("{\"id\":[\"PRIVATE\"],\"status\":\"COMPLETED\"}"),
	};
	struct site *s = *state;

	sign_well(s);
	for (size_t i = 0; i < COUNT(bodies); i++) {
		s->request.body = bodies[i];
		assert_refused(s, 400, "bad_payload");
	}
}

/* --- Conclusions ---------------------------------------------------------- */

static void
test_conclude(void **state)
{
	struct site *s = *state;

	for (int i = 0; i < 2; i++) {
		sign_well(s);
		assert_accepted(s);
		s->d->commit.result = OK;
		s->d->written = (struct intent_result){
		    .first_id = 42, .is_duplicate = i == 1};
		memcpy(s->d->commit.epoch, "7f3a09c1", DB_EPOCH_SIZE);
		call_conclude(s->d);
		assert_int_equal(s->d->answer.status, 200);
		assert_string_equal(s->d->answer.body.data,
		    i == 1 ? "{\"ok\":true,\"job_id\":\"job-1\","
			     "\"event_id\":\"7f3a09c1-42\","
			     "\"duplicate\":true}\n"
			   : "{\"ok\":true,\"job_id\":\"job-1\","
			     "\"event_id\":\"7f3a09c1-42\","
			     "\"duplicate\":false}\n");
		assert_true(has_header(s, "Content-Type: application/json"));
		assert_discreet(s);
	}
}

/* Every way in which a commit can fail. A sender repeats what was answered
 * with 5xx; only what will never be taken is answered with 400. */
static void
test_conclude_faults(void **state)
{
	static const struct {
		enum err err;
		int status;
		const char *code;
	} faults[] = {
	    {ERR_NOMEM, 503, "out_of_memory"},
	    {ERR_SYS, 500, "database_error"},
	    {ERR_AGAIN, 500, "database_error"},
	    {ERR_BUSY, 503, "database_busy"},
	    {ERR_FULL, 507, "database_full"},
	    {ERR_READONLY, 500, "database_readonly"},
	    {ERR_CORRUPT, 500, "database_corrupt"},
	    {ERR_IO, 500, "database_error"},
	    {ERR_GONE, 503, "database_missing"},
	    {ERR_VERSION, 500, "database_error"},
	    {ERR_PROTO, 400, "bad_payload"},
	    {ERR_LIMIT, 413, "data_too_large"},
	    {ERR_AUTH, 500, "database_error"},
	    {ERR_EXPIRED, 500, "database_error"},
	    {ERR_NOENT, 500, "database_error"},
	    {ERR_EXISTS, 500, "database_error"},
	};
	struct site *s = *state;

	sign_well(s);
	assert_int_equal(COUNT(faults), ERR_EXISTS);
	for (size_t i = 0; i < COUNT(faults); i++) {
		assert_int_equal(faults[i].err, i + 1);
		assert_accepted(s);
		s->d->commit.result = faults[i].err;
		call_conclude(s->d);
		assert_answer(s, faults[i].status, faults[i].code);
		assert_int_equal(
		    has_header(s, "Retry-After: "), faults[i].status == 503);
	}
}

/* --- Memory --------------------------------------------------------------- */

/* Refused with 503 so that it comes again, or taken whole; never ignored, never
 * blamed on the sender. (Of an answer that could not be written the transport
 * makes a cut connection.) */
static void
test_no_memory(void **state)
{
	struct site *s = *state;
	struct buf data = BUF_INIT;
	bool is_more = true, is_ready;

	sign_well(s);
	assert_accepted(s);
	buf_add_span(&data, webhook(s)->event.row.data);
	for (unsigned n = 2; is_more; n++) { /* 1 is prepare()'s own */
		alloc_fail_start(n);
		is_ready = prepare(s);
		is_more = alloc_fail_stop();
		if (is_ready)
			assert_true(span_eq(
			    webhook(s)->event.row.data, buf_span(&data)));
		else if (!s->d->answer.body.failed &&
			 s->d->answer.status != 503)
			fail_msg("allocation %u: %s", n,
			    buf_span(&s->d->answer.body).p);
		assert_true(is_more || is_ready);
	}
	buf_done(&data);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(test_routes),
	    TEST(test_methods),
	    TEST(test_accepted),
	    TEST(test_accepted_without_ids),
	    TEST(test_large_output),
	    TEST(test_delivery_key),
	    TEST(test_ignored),
	    TEST(test_content_types),
	    TEST(test_bad_json),
	    TEST(test_lenient_json),
	    TEST(test_nothing_said),
	    TEST(test_deep_json),
	    TEST(test_bad_payload),
	    TEST(test_conclude),
	    TEST(test_conclude_faults),
	    TEST(test_no_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
