/* SPDX-License-Identifier: ISC */
/* hook/delivery.c and hook/provider.c, with requests that no transport made. */
#include "hook/delivery.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "alloc_fail.h"
#include "hook/webhook_api.h"
#include "web/jtext.h"
#include "web/query.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define ROUTE "/webhooks/runpod-completion"
#define BODY                                                                   \
	"{\"id\":\"ext-1\",\"status\":\"COMPLETED\",\"delayTime\":1,"          \
	"\"executionTime\":2,\"output\":{\"a\":1},"                            \
	"\"input\":{\"prompt\":\"PRIVATE\"},"                                  \
	"\"webhook\":\"https://h/?sig=SECRET\"}"

enum { NOW = 1764000000 };

/* --- helpers -------------------------------------------------------------- */

/* What every test has: keys, and one delivery of one request. */
struct site {
	struct sign_keys keys, none;
	struct webhook_config cfg;
	struct request request;
	struct buf query;
	struct delivery *d;
};

static int
set_up(void **state)
{
	struct site *s = calloc(1, sizeof(*s));
	struct buf message = BUF_INIT;

	assert_non_null(s);
	assert_int_equal(
	    sign_keys_load("the-first-secret-of-two,the-other-secret-of-two",
		&s->keys, &message),
	    OK);
	s->cfg = (struct webhook_config){.keys = &s->keys, .inline_output = 64};
	s->request = (struct request){.method = "POST",
	    .route = ROUTE,
	    .query = "",
	    .content_type = "application/json",
	    .body = SPAN_LIT(BODY)};
	*state = s;
	return 0;
}

static int
tear_down(void **state)
{
	struct site *s = *state;

	delivery_free(&s->d);
	assert_null(s->d);
	delivery_free(&s->d);
	sign_keys_done(&s->keys);
	buf_done(&s->query);
	free(s);
	return 0;
}

/* Signs the request's URL. */
static void
sign(struct site *s, const char *provider, const char *job_id,
    const char *restore_id, int64_t exp)
{
	const struct sign_claim claim = {
	    provider, span_of(job_id), span_of(restore_id), exp};

	buf_reset(&s->query);
	assert_int_equal(sign_add_query(&s->keys, &claim, &s->query), OK);
	s->request.query = s->query.data;
}

static void
sign_well(struct site *s)
{
	sign(s, "runpod-completion", "job-1", "R/1", NOW + 60);
}

static bool
prepare(struct site *s)
{
	delivery_free(&s->d);
	s->d = calloc(1, sizeof(*s->d));
	assert_non_null(s->d);
	s->d->request = &s->request;
	s->d->answer = (struct answer)ANSWER_INIT;
	return delivery_prepare(s->d, &s->cfg, NOW);
}

/* Nothing a sender or a reader of the answer should not see. */
static void
assert_discreet(const struct site *s)
{
	static const char *const words[] = {
	    "SECRET", "PRIVATE", "webhook=", "sig=", "prompt", "secret-of"};
	struct buf all = BUF_INIT;

	answer_format(&s->d->answer, false, &all);
	assert_true(buf_ok(&all));
	for (size_t i = 0; i < COUNT(words); i++)
		if (strstr(all.data, words[i]) != NULL)
			fail_msg("\"%s\" is in %s", words[i], all.data);
	buf_done(&all);
}

/* The delivery's answer is that refusal, and well-formed. */
static void
assert_answer(const struct site *s, int status, const char *code)
{
	const struct answer *a = &s->d->answer;
	struct span body, error, value;
	struct buf text = BUF_INIT;

	assert_int_equal(jtext_check(buf_span(&a->body), &body), OK);
	assert_true(jtext_get(body, "error", &error));
	assert_true(jtext_get(error, "code", &value));
	jtext_add_string_value(&text, value);
	if (a->status != status || strcmp(buf_span(&text).p, code) != 0)
		fail_msg("%d %s, not %d %s", a->status, buf_span(&text).p,
		    status, code);
	assert_true(jtext_get(error, "message", &value));
	assert_true(jtext_kind(value) == JTEXT_STRING && value.n > 10);
	buf_done(&text);
	assert_discreet(s);
}

static void
assert_refused(struct site *s, int status, const char *code)
{
	assert_false(prepare(s));
	assert_answer(s, status, code);
}

static void
assert_accepted(struct site *s)
{
	if (!prepare(s))
		fail_msg("refused: %s", buf_span(&s->d->answer.body).p);
	assert_int_equal(s->d->answer.body.len, 0);
}

static bool
has_header(const struct site *s, const char *line)
{
	return strstr(buf_span(&s->d->answer.headers).p, line) != NULL;
}

/* --- routes --------------------------------------------------------------- */

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
	assert_null(provider_find(""));
	assert_string_equal(
	    provider_find("runpod-completion")->source, "runpod");
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
	s->request.route = "/webhooks/unknown";
	assert_refused(s, 404, "not_found");
}

/* --- what becomes of a good one ------------------------------------------- */

static void
test_accepted(void **state)
{
	struct site *s = *state;
	const struct event_new *e;

	sign_well(s);
	assert_accepted(s);
	e = &s->d->commit.event;
	assert_string_equal(e->job_id, "job-1");
	assert_string_equal(e->type, "completed");
	assert_true(
	    span_eq_str(e->data, "{\"external_id\":\"ext-1\",\"delayTime\":1,"
				 "\"executionTime\":2,\"output\":{\"a\":1}}"));
	assert_string_equal(e->source, "runpod");
	assert_int_equal(strlen(e->delivery_key), 64);
	assert_int_equal(strspn(e->delivery_key, "0123456789abcdef"), 64);
	assert_int_equal(e->output.n, 0);
	assert_string_equal(e->restore_id, "R/1");
	assert_string_equal(e->external_id, "ext-1");
}

static void
test_accepted_without_ids(void **state)
{
	struct site *s = *state;

	sign(s, "runpod-completion", "job-1", "", NOW);
	s->request.body = SPAN_LIT("{\"output\":[1]}");
	assert_accepted(s);
	assert_null(s->d->commit.event.restore_id);
	assert_null(s->d->commit.event.external_id);
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
	assert_true(
	    span_eq_str(s->d->commit.event.data, "{\"output_omitted\":true}"));
	assert_int_equal(s->d->commit.event.output.n, 66);
}

/* Two calls are one when they are about the same attempt of the same job. */
static void
test_delivery_key(void **state)
{
	struct site *s = *state;
	char first[SIGN_DIGEST_SIZE];

	sign_well(s);
	assert_accepted(s);
	memcpy(first, s->d->delivery_key, sizeof(first));
	assert_accepted(s);
	assert_string_equal(s->d->delivery_key, first);
	sign(s, "runpod-completion", "job-1", "other", NOW + 99);
	assert_accepted(s);
	assert_string_equal(s->d->delivery_key, first);
	sign(s, "runpod-completion", "job-2", "R/1", NOW + 60);
	assert_accepted(s);
	assert_string_not_equal(s->d->delivery_key, first);
	sign_well(s);
	s->request.body =
	    SPAN_LIT("{\"id\":\"ext-1\",\"status\":\"COMPLETED\"}");
	assert_accepted(s);
	assert_string_not_equal(s->d->delivery_key, first);
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
	assert_null(s->d->event.type);
	assert_discreet(s);
}

/* --- signatures ----------------------------------------------------------- */

static void
test_signature_missing(void **state)
{
	static const char *const queries[] = {"", "job_id=job-1",
	    "job_id=job-1&exp=1764000060", "job_id=job-1&sig=SECRET",
	    "job_id=job-1&exp=&sig=SECRET", "job_id=job-1&exp=1764000060&sig=",
	    "job_id=job-1&exp=1764000060&SIG=SECRET"};
	struct site *s = *state;

	for (size_t i = 0; i < COUNT(queries); i++) {
		s->request.query = queries[i];
		assert_refused(s, 403, "signature_missing");
	}
}

static void
test_signature_expired(void **state)
{
	struct site *s = *state;

	sign(s, "runpod-completion", "job-1", "", NOW - 1);
	assert_refused(s, 403, "signature_expired");
	sign(s, "runpod-completion", "job-1", "", 1);
	assert_refused(s, 403, "signature_expired");
	sign(s, "runpod-completion", "job-1", "", NOW);
	assert_accepted(s);
}

/* The good query with one text in it replaced by another. */
static void
assert_replaced(struct site *s, const char *text, const char *by)
{
	struct buf forged = BUF_INIT;
	const char *at = strstr(s->query.data, text);

	assert_non_null(at);
	buf_add(&forged, s->query.data, (size_t)(at - s->query.data));
	buf_add_str(&forged, by);
	buf_add_str(&forged, at + strlen(text));
	assert_true(buf_ok(&forged));
	s->request.query = forged.data;
	assert_refused(s, 403, "signature_invalid");
	buf_done(&forged);
}

static void
test_signature_transplanted(void **state)
{
	struct site *s = *state;

	sign_well(s);
	assert_replaced(s, "job_id=job-1", "job_id=job-2");
	assert_replaced(s, "job_id=job-1", "job_id=job-1%0A");
	assert_replaced(s, "job_id=job-1", "job_id=job-1%00");
	assert_replaced(s, "job_id=job-1&", "");
	assert_replaced(s, "job_id=job-1", "job_id=job-2&job_id=job-1");
	assert_replaced(s, "restore_id=R%2F1", "restore_id=R%2F2");
	assert_replaced(s, "restore_id=R%2F1&", "");
	assert_replaced(s, "restore_id=", "restore_id=x&restore_id=");
	assert_replaced(s, "exp=1764000060", "exp=1764000061");
	assert_replaced(s, "exp=", "exp=9999999999&exp=");
	sign(s, "another-provider", "job-1", "R/1", NOW + 60);
	assert_refused(s, 403, "signature_invalid");
	sign(s, "runpod-completion", "job-1", "", NOW + 60);
	assert_replaced(s, "job_id=job-1", "job_id=job-1&restore_id=R");
	/* Line breaks cannot move a border. */
	sign(s, "runpod-completion", "a", "b\nc", NOW + 60);
	assert_replaced(
	    s, "job_id=a&restore_id=b%0Ac", "job_id=a%0Ab&restore_id=c");
}

static void
test_signature_wrong(void **state)
{
	static const char *const exps[] = {"exp=+1764000060",
	    "exp=%201764000060", "exp=01764000060", "exp=1764000060%20",
	    "exp=1764000060x", "exp=1764000060%00", "exp=0x6924A4BC",
	    "exp=-1764000060", "exp=1.764e9", "exp=0", "exp=x",
	    "exp=99999999999999999999999999"};
	struct site *s = *state;
	size_t n;

	sign_well(s);
	for (size_t i = 0; i < COUNT(exps); i++)
		assert_replaced(s, "exp=1764000060", exps[i]);
	n = s->query.len;
	s->query.data[n - 3] = s->query.data[n - 3] == 'A' ? 'B' : 'A';
	assert_replaced(s, "sig=", "sig=");
	sign_well(s);
	s->query.data[n - 1] = '\0'; /* one shorter */
	assert_replaced(s, "sig=", "sig=");
	sign_well(s);
	buf_add_char(&s->query, '=');
	assert_replaced(s, "sig=", "sig=");
	sign_well(s);
	assert_replaced(s, "sig=", "sig=%00");
}

/* What was signed with a key that is on its way out is taken still; what was
 * signed with one that is gone is not. */
static void
test_signature_rotation(void **state)
{
	struct site *s = *state;
	struct buf message = BUF_INIT;
	struct sign_keys only = {0};

	sign_well(s);
	assert_int_equal(sign_keys_load("a-newer-one-of-all-secrets,"
					"the-first-secret-of-two",
			     &only, &message),
	    OK);
	s->cfg.keys = &only;
	assert_accepted(s);
	sign_keys_done(&only);
	assert_int_equal(
	    sign_keys_load("a-newer-one-of-all-secrets", &only, &message), OK);
	assert_refused(s, 403, "signature_invalid");
	sign_keys_done(&only);
}

static void
test_secret_missing(void **state)
{
	struct site *s = *state;

	sign_well(s);
	s->cfg.keys = &s->none;
	assert_refused(s, 403, "webhook_secret_missing");
	s->cfg.is_open = true;
	assert_accepted(s);
	s->request.query = "job_id=job-1";
	assert_accepted(s);
	s->request.query = "job_id=job-1&exp=1&sig=x";
	assert_accepted(s);
}

/* Who has no right to speak learns nothing of what is wrong with the rest. */
static void
test_authenticates_first(void **state)
{
	struct site *s = *state;

	s->request.query = "job_id=bad/id&exp=1764000060&sig=x";
	s->request.content_type = "text/plain";
	s->request.body = SPAN_LIT("no json");
	assert_refused(s, 403, "signature_invalid");
	s->request.query = "";
	assert_refused(s, 403, "signature_missing");
}

/* --- ids ------------------------------------------------------------------ */

static void
test_job_id(void **state)
{
	static const char *const bad[] = {"", "job_id=", "job_id=a%2Fb",
	    "job_id=a+b", "job_id=%C3%A4", "job_id=a%00", "job_id=a%0A",
	    "JOB_ID=a", "restore_id=a"};
	struct site *s = *state;
	struct buf query = BUF_INIT;

	s->cfg.is_open = true;
	for (size_t i = 0; i < COUNT(bad); i++) {
		s->request.query = bad[i];
		assert_refused(s, 400, "bad_job_id");
	}
	buf_add_str(&query, "job_id=");
	for (int i = 0; i < 128; i++)
		buf_add_char(&query, 'j');
	s->request.query = query.data;
	assert_accepted(s);
	assert_int_equal(strlen(s->d->commit.event.job_id), 128);
	buf_add_char(&query, 'j');
	s->request.query = query.data;
	assert_refused(s, 400, "bad_job_id");
	buf_done(&query);
	/* A signature does not make it a name. */
	sign(s, "runpod-completion", "a/b", "", NOW);
	s->cfg.is_open = false;
	assert_refused(s, 400, "bad_job_id");
}

static void
test_restore_id(void **state)
{
	static const char *const bad[] = {"job_id=a&restore_id=%00",
	    "job_id=a&restore_id=b%0Ac", "job_id=a&restore_id=%1f",
	    "job_id=a&restore_id=b%09"};
	struct site *s = *state;
	struct buf query = BUF_INIT;

	s->cfg.is_open = true;
	for (size_t i = 0; i < COUNT(bad); i++) {
		s->request.query = bad[i];
		assert_refused(s, 400, "bad_restore_id");
	}
	s->request.query = "job_id=a&restore_id=a+b%2F%22%C3%A4";
	assert_accepted(s);
	assert_string_equal(s->d->commit.event.restore_id, "a b/\"\xc3\xa4");
	buf_add_str(&query, "job_id=a&restore_id=");
	for (int i = 0; i < 256; i++)
		buf_add_char(&query, 'r');
	s->request.query = query.data;
	assert_accepted(s);
	buf_add_char(&query, 'r');
	s->request.query = query.data;
	assert_refused(s, 400, "bad_restore_id");
	buf_done(&query);
}

/* --- bodies --------------------------------------------------------------- */

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
	    SPAN_LIT("{\"PRIVATE\":NaN}"),
	    SPAN_LIT("{\"a\":\"\n\"}"),
	    SPAN_LIT("{}\0"),
	    SPAN_LIT("\xef\xbb\xbf{}"),
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

/* --- conclusions ---------------------------------------------------------- */

static void
test_conclude(void **state)
{
	struct site *s = *state;

	for (int i = 0; i < 2; i++) {
		sign_well(s);
		assert_accepted(s);
		s->d->commit.result = OK;
		s->d->commit.id = 42;
		s->d->commit.is_duplicate = i == 1;
		memcpy(s->d->commit.epoch, "7f3a09c1", DB_EPOCH_SIZE);
		delivery_conclude(s->d);
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
	    {ERR_LIMIT, 500, "database_error"},
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
		delivery_conclude(s->d);
		assert_answer(s, faults[i].status, faults[i].code);
		assert_int_equal(
		    has_header(s, "Retry-After: "), faults[i].status == 503);
	}
}

/* --- memory --------------------------------------------------------------- */

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
	buf_add_span(&data, s->d->commit.event.data);
	for (unsigned n = 2; is_more; n++) { /* 1 is prepare()'s own */
		alloc_fail_start(n);
		is_ready = prepare(s);
		is_more = alloc_fail_stop();
		if (is_ready)
			assert_true(
			    span_eq(s->d->commit.event.data, buf_span(&data)));
		else if (!s->d->answer.body.failed &&
			 s->d->answer.status != 503)
			fail_msg("allocation %u: %s", n,
			    buf_span(&s->d->answer.body).p);
		assert_true(is_more || is_ready);
	}
	buf_done(&data);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

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
	    TEST(test_signature_missing),
	    TEST(test_signature_expired),
	    TEST(test_signature_transplanted),
	    TEST(test_signature_wrong),
	    TEST(test_signature_rotation),
	    TEST(test_secret_missing),
	    TEST(test_authenticates_first),
	    TEST(test_job_id),
	    TEST(test_restore_id),
	    TEST(test_content_types),
	    TEST(test_bad_json),
	    TEST(test_deep_json),
	    TEST(test_bad_payload),
	    TEST(test_conclude),
	    TEST(test_conclude_faults),
	    TEST(test_no_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
