/* SPDX-License-Identifier: ISC */
/* web/request.c and web/answer.c. */
#include "web/request.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "alloc_fail.h"
#include "web/answer.h"
#include "text/json_text.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define PREFIX "/api/v1"

/* --- Helpers -------------------------------------------------------------- */

/* Nothing of envp is used after this. */
static void
init(struct request *r, const char *prefix, const char *const *envp)
{
	char *copy[32] = {NULL};

	for (size_t i = 0; envp[i] != NULL; i++) {
		assert_true(i < COUNT(copy) - 1);
		copy[i] = strdup(envp[i]);
		assert_non_null(copy[i]);
	}
	assert_int_equal(
	    request_init(r, prefix, (const char *const *)copy), OK);
	for (size_t i = 0; copy[i] != NULL; i++)
		free(copy[i]);
}

/* NULL: not sent. */
static void
assert_route(const char *prefix, const char *uri, const char *path_info,
    const char *expected)
{
	struct buf info_variable = BUF_INIT, uri_variable = BUF_INIT;
	const char *envp[] = {"NOTHING=", "NOTHING=", NULL};
	struct request r;

	if (path_info != NULL) {
		buf_addf(&info_variable, "PATH_INFO=%s", path_info);
		envp[0] = info_variable.data;
	}
	if (uri != NULL) {
		buf_addf(&uri_variable, "REQUEST_URI=%s", uri);
		envp[1] = uri_variable.data;
	}
	init(&r, prefix, envp);
	if (strcmp(r.route, expected) != 0)
		fail_msg("%s with PATH_INFO %s gives %s, not %s",
		    uri == NULL ? "(none)" : uri,
		    path_info == NULL ? "(none)" : path_info, r.route,
		    expected);
	request_done(&r);
	assert_null(r.block);
	buf_done(&info_variable);
	buf_done(&uri_variable);
}

/* --- Routes --------------------------------------------------------------- */

static void
test_route_below_prefix(void **state)
{
	(void)state;
	assert_route(PREFIX, PREFIX "/events/7", NULL, "/events/7");
	assert_route(PREFIX, PREFIX "/events/7", "/other", "/events/7");
	assert_route(PREFIX, PREFIX "/events?job_id=7", NULL, "/events");
	assert_route(PREFIX, PREFIX "/events#top", NULL, "/events");
	assert_route(PREFIX, PREFIX "/events?a#b?c", NULL, "/events");
	assert_route(PREFIX, PREFIX "//events", NULL, "//events");
	assert_route(PREFIX, PREFIX PREFIX "/events", NULL, PREFIX "/events");
	assert_route("/a", "/a/b", NULL, "/b");
}

static void
test_route_of_a_whole_uri(void **state)
{
	(void)state;
	assert_route(
	    PREFIX, "http://host" PREFIX "/events/7", NULL, "/events/7");
	assert_route(
	    PREFIX, "HTTPS://h:1" PREFIX "/events?a=b", NULL, "/events");
	assert_route(PREFIX, "http://host", NULL, "");
	assert_route(PREFIX, "http://host?" PREFIX "/events", NULL, "");
	assert_route(
	    PREFIX, "http://host/x" PREFIX "/events", "/events/7", "/events/7");
	assert_route(PREFIX, PREFIX "/events/http://host/x", NULL,
	    "/events/http://host/x");
}

static void
test_route_is_prefix(void **state)
{
	(void)state;
	assert_route(PREFIX, PREFIX, NULL, "");
	assert_route(PREFIX, PREFIX, "/other", "");
	assert_route(PREFIX, PREFIX "?a=b", NULL, "");
	assert_route(PREFIX, PREFIX "/", NULL, "/");
}

static void
test_route_from_path_info(void **state)
{
	(void)state;
	/* A CGI program has its own name in front. */
	assert_route(
	    PREFIX, "/cgi-bin/events.cgi/events/7", "/events/7", "/events/7");
	assert_route(PREFIX, "/cgi-bin/events.cgi" PREFIX "/events/7",
	    PREFIX "/events/7", "/events/7");
	assert_route(PREFIX, NULL, "/events/7", "/events/7");
	assert_route(PREFIX, NULL, PREFIX, "");
	/* The web server has decoded it. */
	assert_route(PREFIX, "/x", "/events/%37", "/events/%37");
	assert_route(PREFIX, "/x", "/events/a?b#c", "/events/a?b#c");
	/* The beginning of a name is no prefix. */
	assert_route(PREFIX, PREFIX "x/events", "/events", "/events");
	assert_route(PREFIX, "/x", PREFIX "x/events", PREFIX "x/events");
	assert_route(PREFIX, "/api", "/events", "/events");
}

static void
test_route_from_uri(void **state)
{
	(void)state;
	assert_route(PREFIX, "/healthz", NULL, "/healthz");
	assert_route(PREFIX, "/healthz", "", "/healthz");
	assert_route(PREFIX, "/health%7a?x=1", NULL, "/healthz");
	assert_route(PREFIX, PREFIX "x/events", NULL, PREFIX "x/events");
	assert_route(PREFIX, "?a=b", NULL, "");
	assert_route(PREFIX, "", "", "");
	assert_route(PREFIX, NULL, NULL, "");
}

static void
test_route_is_decoded_once(void **state)
{
	(void)state;
	assert_route(
	    PREFIX, PREFIX "/events/%61%2F%C3%A4", NULL, "/events/a/\xc3\xa4");
	assert_route(PREFIX, PREFIX "/events/%2561", NULL, "/events/%61");
	assert_route(PREFIX, PREFIX "/events/a+b", NULL, "/events/a+b");
	assert_route(PREFIX, PREFIX "/events/%3Fa%23b", NULL, "/events/?a#b");
	assert_route(PREFIX, PREFIX "/%", NULL, "/%");
	assert_route(PREFIX, PREFIX "/%4", NULL, "/%4");
	assert_route(PREFIX, PREFIX "/%zz", NULL, "/%zz");
	/* An encoded prefix is none. */
	assert_route(PREFIX, "/api%2Fv1/events", NULL, "/api/v1/events");
	assert_route(PREFIX, "/%61pi/v1/events", "/events", "/events");
}

/* A NUL would cut comparisons short: such a path leads nowhere. */
static void
test_route_with_nul(void **state)
{
	(void)state;
	assert_route(PREFIX, PREFIX "/events/7%00", NULL, "");
	assert_route(PREFIX, PREFIX "/events/7%00/x", NULL, "");
	assert_route(PREFIX, PREFIX "/%00", NULL, "");
	assert_route(PREFIX, "/healthz%00x", NULL, "");
	assert_route(PREFIX, PREFIX "/events%2500", NULL, "/events%00");
}

/* --- Fields --------------------------------------------------------------- */

static void
test_fields(void **state)
{
	static const struct {
		size_t offset;
		const char *name;
	} fields[] = {
	    {offsetof(struct request, method), "REQUEST_METHOD"},
	    {offsetof(struct request, query), "QUERY_STRING"},
	    {offsetof(struct request, content_type), "CONTENT_TYPE"},
	    {offsetof(struct request, content_length), "CONTENT_LENGTH"},
	    {offsetof(struct request, accept), "HTTP_ACCEPT"},
	    {offsetof(struct request, authorization), "HTTP_AUTHORIZATION"},
	    {offsetof(struct request, cookie), "HTTP_COOKIE"},
	    {offsetof(struct request, origin), "HTTP_ORIGIN"},
	    {offsetof(struct request, last_event_id), "HTTP_LAST_EVENT_ID"},
	    {offsetof(struct request, remote_user), "REMOTE_USER"},
	    {offsetof(struct request, remote_addr), "REMOTE_ADDR"},
	};
	const char *envp[] = {NULL, NULL};
	struct request r;
	const char *value;

	(void)state;
	init(&r, PREFIX, envp);
	for (size_t i = 0; i < COUNT(fields); i++) {
		memcpy(&value, (char *)&r + fields[i].offset, sizeof(value));
		assert_string_equal(value, "");
	}
	assert_null(r.body.p);
	assert_int_equal(r.body.n, 0);
	request_done(&r);

	for (size_t i = 0; i < COUNT(fields); i++) {
		struct buf variable = BUF_INIT;

		buf_addf(&variable, "%s=its %%41 value&=+", fields[i].name);
		envp[0] = variable.data;
		init(&r, PREFIX, envp);
		buf_done(&variable);
		for (size_t k = 0; k < COUNT(fields); k++) {
			memcpy(&value, (char *)&r + fields[k].offset,
			    sizeof(value));
			assert_string_equal(
			    value, k == i ? "its %41 value&=+" : "");
		}
		request_done(&r);
	}
}

static void
test_other_names(void **state)
{
	static const char *const redirected[] = {
	    "REDIRECT_HTTP_AUTHORIZATION=Bearer r", NULL};
	static const char *const both[] = {
	    "REDIRECT_HTTP_AUTHORIZATION=Bearer r",
	    "HTTP_AUTHORIZATION=Bearer a", NULL};
	static const char *const empty[] = {"HTTP_AUTHORIZATION=",
	    "REDIRECT_HTTP_AUTHORIZATION=Bearer r", NULL};
	struct request r;

	(void)state;
	init(&r, PREFIX, redirected);
	assert_string_equal(r.authorization, "Bearer r");
	request_done(&r);
	init(&r, PREFIX, both);
	assert_string_equal(r.authorization, "Bearer a");
	request_done(&r);
	init(&r, PREFIX, empty); /* empty is missing */
	assert_string_equal(r.authorization, "Bearer r");
	request_done(&r);
}

static void
test_header(void **state)
{
	static const char *const envp[] = {"WEBHOOK_ID=no header",
	    "REDIRECT_HTTP_WEBHOOK_ID=another", "HTTP_WEBHOOK_ID_X=longer",
	    "HTTP_WEBHOOK_I=shorter", "HTTP_WEBHOOK_ID=msg=1",
	    "HTTP_WEBHOOK_ID=second", "HTTP_EMPTY=", "HTTP_BROKEN", "", NULL};
	struct request r = {0};

	(void)state;
	assert_string_equal(request_header(&r, "webhook-id"), "");
	init(&r, PREFIX, envp);
	assert_string_equal(request_header(&r, "webhook-id"), "msg=1");
	assert_string_equal(request_header(&r, "Webhook-ID"), "msg=1");
	assert_string_equal(request_header(&r, "WEBHOOK_ID"), "msg=1");
	assert_string_equal(request_header(&r, "webhook-id-x"), "longer");
	assert_string_equal(request_header(&r, "empty"), "");
	assert_string_equal(request_header(&r, "broken"), "");
	assert_string_equal(request_header(&r, "webhook"), "");
	assert_string_equal(request_header(&r, "webhook-id=msg"), "");
	assert_string_equal(request_header(&r, ""), "");
	request_done(&r);
}

static void
test_request_no_memory(void **state)
{
	static const char *const envp[] = {
	    "REQUEST_URI=" PREFIX "/events/a-job-with-a-name-that-is-longer-"
	    "than-the-first-size-of-a-buffer",
	    "QUERY_STRING=last_event_id=7f3a09c1-42&heartbeat=event",
	    "HTTP_COOKIE=a cookie of some length, so that the block grows "
	    "again and one more time; and one more",
	    NULL};
	struct request r = {.method = "untouched"};
	bool is_more = true;
	enum err e;

	(void)state;
	for (unsigned n = 1; is_more; n++) {
		assert_string_equal(r.method, "untouched");
		alloc_fail_start(n);
		e = request_init(&r, PREFIX, envp);
		is_more = alloc_fail_stop();
		assert_int_equal(e, is_more ? ERR_NOMEM : OK);
	}
	assert_string_equal(r.cookie, envp[2] + strlen("HTTP_COOKIE="));
	request_done(&r);
}

/* --- Answers -------------------------------------------------------------- */

static void
assert_format(const struct answer *a, bool for_head, const char *expected)
{
	struct buf out = BUF_INIT;

	answer_format(a, for_head, &out);
	assert_true(buf_ok(&out));
	assert_string_equal(buf_span(&out).p, expected);
	buf_done(&out);
}

static void
test_format(void **state)
{
	struct answer a = ANSWER_INIT;

	(void)state;
	assert_format(&a, false, "Status: 200 OK\r\nContent-Length: 0\r\n\r\n");
	answer_json(&a, 201);
	answer_header(&a, "Vary", "Origin");
	buf_add_str(&a.body, "{}\n");
	assert_format(&a, false,
	    "Status: 201 Created\r\nContent-Type: application/json\r\n"
	    "Cache-Control: no-store\r\nVary: Origin\r\n"
	    "Content-Length: 3\r\n\r\n{}\n");
	assert_format(&a, true,
	    "Status: 201 Created\r\nContent-Type: application/json\r\n"
	    "Cache-Control: no-store\r\nVary: Origin\r\n\r\n");
	answer_done(&a);
}

/* RFC 9110 section 8.6: no Content-Length with 204. */
static void
test_format_no_content(void **state)
{
	struct answer a = ANSWER_INIT;

	(void)state;
	a.status = 204;
	answer_header(&a, "Allow", "GET");
	assert_format(
	    &a, false, "Status: 204 No Content\r\nAllow: GET\r\n\r\n");
	assert_format(&a, true, "Status: 204 No Content\r\nAllow: GET\r\n\r\n");
	answer_done(&a);
}

/* A phrase for each status of the contract; a number without one is sent. */
static void
test_format_reasons(void **state)
{
	static const int statuses[] = {200, 201, 204, 400, 401, 403, 404, 405,
	    409, 413, 415, 422, 500, 503, 507};
	struct buf out = BUF_INIT;

	(void)state;
	for (size_t i = 0; i < COUNT(statuses); i++) {
		struct answer a = {.status = statuses[i]};

		buf_reset(&out);
		answer_format(&a, false, &out);
		assert_null(strstr(out.data, "Unknown"));
		assert_int_equal(atoi(out.data + 8), statuses[i]);
	}
	assert_format(&(struct answer){.status = 599}, true,
	    "Status: 599 Unknown\r\n\r\n");
	buf_done(&out);
}

/* What was answered so far is forgotten; nothing in the message can end the
 * string or the line. */
static void
test_error(void **state)
{
	struct answer a = ANSWER_INIT;
	struct span body;

	(void)state;
	answer_header(&a, "X-Old", "1");
	buf_add_str(&a.body, "old");
	a.body.failed = true;
	answer_error(&a, 404, "not_found", "There is nothing at this path.");
	assert_format(&a, false,
	    "Status: 404 Not Found\r\nContent-Type: application/json\r\n"
	    "Cache-Control: no-store\r\nContent-Length: 74\r\n\r\n"
	    "{\"error\":{\"code\":\"not_found\","
	    "\"message\":\"There is nothing at this path.\"}}\n");
	answer_error(&a, 400, "a\"b", "c\\d\"}\r\n\x01\xff<\xe2\x80\xa8>");
	assert_string_equal(a.body.data,
	    "{\"error\":{\"code\":\"a\\\"b\",\"message\":\"c\\\\d\\\"}\\r\\n"
	    "\\u0001\xef\xbf\xbd<\\u2028>\"}}\n");
	assert_int_equal(json_text_check(buf_span(&a.body), &body), OK);
	assert_int_equal(a.status, 400);
	answer_done(&a);
}

/* A failure anywhere shows in what is to be sent. */
static void
test_format_no_memory(void **state)
{
	struct buf out = BUF_INIT;
	bool is_more = true;

	(void)state;
	for (unsigned n = 1; is_more; n++) {
		struct answer a = ANSWER_INIT;

		alloc_fail_start(n);
		answer_error(&a, 503, "out_of_memory",
		    "A long message, so that "
		    "the body grows twice.");
		answer_header(&a, "Retry-After", "5");
		answer_format(&a, false, &out);
		is_more = alloc_fail_stop();
		assert_int_equal(buf_ok(&out), !is_more);
		answer_done(&a);
		buf_done(&out);
	}
}

static void
test_bearer(void **state)
{
	static const struct {
		const char *field, *token;
	} pairs[] = {
	    {"Bearer abc", "abc"},
	    {"bEARER   a b ", "a b "},
	    {"Bearer ", ""},
	    {"Bearer", ""},
	    {"Bearer\tabc", ""},
	    {"Basic abc", ""},
	    {" Bearer abc", ""},
	    {"", ""},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++)
		assert_true(span_eq_str(
		    request_bearer(pairs[i].field), pairs[i].token));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_route_below_prefix),
	    cmocka_unit_test(test_route_from_path_info),
	    cmocka_unit_test(test_route_from_uri),
	    cmocka_unit_test(test_route_is_decoded_once),
	    cmocka_unit_test(test_route_with_nul),
	    cmocka_unit_test(test_route_of_a_whole_uri),
	    cmocka_unit_test(test_route_is_prefix),
	    cmocka_unit_test(test_fields),
	    cmocka_unit_test(test_other_names),
	    cmocka_unit_test(test_header),
	    cmocka_unit_test(test_request_no_memory),
	    cmocka_unit_test(test_format),
	    cmocka_unit_test(test_format_no_content),
	    cmocka_unit_test(test_format_reasons),
	    cmocka_unit_test(test_error),
	    cmocka_unit_test(test_format_no_memory),
	    cmocka_unit_test(test_bearer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
