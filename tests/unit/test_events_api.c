/* SPDX-License-Identifier: ISC */
/* live/events_api.c: which route, method and parameter gives what, and what is
 * answered without memory. */
#include "live/events_api.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "alloc_fail.h"
#include "live_site.h"

static struct authenticator authenticator = {.mode = AUTH_JOB_ID};
static struct events_api api;

/* --- One request, and what came of it ------------------------------------- */

static struct {
	int status; /* 0: a stream was begun; -1: nothing was to be had */
	char headers[512], body[1024];
} got;

static void
keep(struct span s, char *ret, size_t size)
{
	snprintf(ret, size, "%.*s", (int)s.n, s.p);
}

/* Without memory for it the transport gives the answer up. */
static void
keep_answer(struct exchange *x, const struct answer *a)
{
	(void)x;
	got.status = buf_ok(&a->headers) && buf_ok(&a->body) ? a->status : -1;
	keep(buf_span(&a->headers), got.headers, sizeof(got.headers));
	keep(buf_span(&a->body), got.body, sizeof(got.body));
}

static enum sent
keep_sent(struct exchange *x, struct span body, size_t *progress)
{
	(void)x;
	got.status = 0;
	keep(body, got.body, sizeof(got.body));
	*progress = body.n;
	return SENT_ALL;
}

static void
forget(struct exchange *x)
{
	(void)x;
}

static const struct exchange_ops ops = {keep_answer, keep_sent, forget, forget};

static struct request request;
static struct exchange exchange;

static int
ask(const char *method, const char *route, const char *query)
{
	api = (struct events_api){.hub = hub,
	    .authenticator = &authenticator,
	    .slots = metrics,
	    .n_slots = 1};
	request = (struct request){.method = method,
	    .route = route,
	    .query = query,
	    .accept = "",
	    .origin = "",
	    .last_event_id = "",
	    .authorization = "",
	    .cookie = "",
	    .remote_user = ""};
	exchange = (struct exchange){.ops = &ops, .request = &request};
	got.status = -1;
	events_api_request(&api, &exchange);
	if (got.status == 0) /* its client leaves */
		exchange.told->on_gone(&exchange);
	return got.status;
}

static int
get(const char *route, const char *query)
{
	return ask("GET", route, query);
}

static bool
says(const char *text)
{
	return strstr(got.body, text) != NULL;
}

/* --- Routes --------------------------------------------------------------- */

static void
test_routes(void **state)
{
	(void)state;
	publish("a:queued");
	assert_int_equal(get("/nothing", ""), 404);
	assert_int_equal(get("/healthz/a", ""), 404);
	assert_int_equal(get("/eventsa", ""), 404);
	assert_int_equal(get("/jobs/none", ""), 404);
	assert_true(says("\"unknown_job\""));
	assert_int_equal(get("/jobs/a", ""), 200);
	assert_true(says("\"job_id\":\"a\"") && says("\"state\":\"queued\""));
	assert_int_equal(get("/jobs", ""), 400);
	assert_int_equal(get("/healthz", ""), 200);
	assert_int_equal(get("/metrics", ""), 200);
	assert_int_equal(get("/events/a", ""), 0);
	assert_int_equal(get("/events/a", "format=json"), 200);
	assert_true(says("\"event\":\"queued\""));
}

static void
test_methods(void **state)
{
	(void)state;
	assert_int_equal(ask("POST", "/events/a", ""), 405);
	assert_non_null(strstr(got.headers, "Allow: GET, HEAD, OPTIONS\r\n"));
	assert_int_equal(ask("OPTIONS", "/events/a", ""), 204);
	assert_int_equal(ask("HEAD", "/events/a", ""), 200);
	assert_non_null(strstr(got.headers, "text/event-stream"));
	assert_int_equal(metrics->hub.opened, 0);
}

static void
test_parameters(void **state)
{
	static const struct {
		const char *route, *query, *code;
	} bad[] = {
	    {"/events/a", "format=xml", "not_acceptable"},
	    {"/events/a", "format=", "not_acceptable"},
	    {"/events/a", "wait=56", "bad_wait"},
	    {"/events/a", "wait=-1", "bad_wait"},
	    {"/events/a", "wait=", "bad_wait"},
	    {"/events/a", "wait=1%00", "bad_wait"},
	    {"/events/a/b", "", "bad_job_id"},
	    {"/events", "job_id=a&job_id=", "bad_job_id"},
	    {"/events", "", "owner_unknown"},
	};
	struct buf many = BUF_INIT;

	(void)state;
	for (size_t i = 0; i < COUNT(bad); i++) {
		assert_in_range(get(bad[i].route, bad[i].query), 400, 406);
		if (!says(bad[i].code))
			fail_msg(
			    "%s?%s: %s", bad[i].route, bad[i].query, got.body);
	}
	publish("a:queued");
	assert_int_equal(
	    get("/events", "job_id=a&job_id=a&format=json&wait=55"), 200);
	for (int i = 0; i < 65; i++)
		buf_addf(&many, "job_id=a%d&", i);
	assert_int_equal(get("/events", many.data), 400);
	assert_true(says("too_many_jobs"));
	buf_done(&many);
}

/* --- Memory --------------------------------------------------------------- */

/* Whatever allocation fails: the answer that was asked for, or 503, or none;
 * never another form, other jobs or another wait. */
static void
check_memory(const char *route, const char *query, const char *expected)
{
	bool is_more = true;
	int status;

	for (unsigned n = 1; is_more; n++) {
		hub_free(&hub);
		start();		/* with nothing prepared */
		hub->is_failing = true; /* as if that were logged before */
		alloc_fail_start(n);
		status = get(route, query);
		is_more = alloc_fail_stop();
		if (status == 200)
			assert_string_equal(got.body, expected);
		else if (!is_more || (status != -1 && status != 503))
			fail_msg("%s?%s, allocation %u: %d %s", route, query, n,
			    status, got.body);
	}
	assert_int_equal(status, 200);
}

static void
test_memory(void **state)
{
	char resume[96];
	const char *const requests[][2] = {
	    {"/jobs/a", ""},
	    {"/events/a", resume},
	    {"/events/a", "format=json&wait=7"},
	    {"/events", "job_id=b&job_id=a&format=json"},
	};
	char expected[sizeof(got.body)];

	(void)state;
	publish("a:queued b:queued a:progress");
	snprintf(
	    resume, sizeof(resume), "format=json&last_event_id=%s", id_of(1));
	for (size_t i = 0; i < COUNT(requests); i++) {
		assert_int_equal(get(requests[i][0], requests[i][1]), 200);
		memcpy(expected, got.body, sizeof(expected));
		check_memory(requests[i][0], requests[i][1], expected);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(test_routes),
	    TEST(test_methods),
	    TEST(test_parameters),
	    TEST(test_memory),
	};

	return cmocka_run_group_tests(tests, alloc_fail_reach_sqlite, NULL);
}
