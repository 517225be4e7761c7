/* SPDX-License-Identifier: ISC */
/* hook/webhook_api.c: how calls come to the writer and back, with exchanges
 * that no transport brought. */
#include "hook/webhook_api.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "store_site.h"
#include "wait_loop.h"

enum { CALLS = 200, CALLS_MAX = 150, LONG = 200000 };

/* The transport's side of a call. */
struct caller {
	struct exchange x; /* first */
	struct request request;
	int status; /* 0: not answered yet */
	char body[200];
};

static struct caller callers[CALLS];
static size_t n_answered, n_wanted;
static char long_body[LONG + 1];
static struct loop *loop;
static struct webhook_api *api;
static struct authenticator_stats authenticator_stats;
static struct transport_stats transport;

static void
op_answer(struct exchange *x, const struct answer *a)
{
	struct caller *c = (struct caller *)(void *)x;

	assert_int_equal(c->status, 0);
	c->status = a->status;
	snprintf(c->body, sizeof(c->body), "%s", buf_span(&a->body).p);
	n_answered++;
}

static const struct exchange_ops ops = {.answer = op_answer};

static bool
are_answered(void)
{
	return n_answered >= n_wanted;
}

static void
start(const struct site *s, bool is_brief)
{
	const struct webhook_config cfg = {.calls = {.base_url = "http://h",
					       .api_prefix = "/api/v1",
					       .is_open = true},
	    .db_path = s->path,
	    .authenticator = &authenticator_stats,
	    .transport = &transport,
	    .workers = 2,
	    .max_calls = CALLS_MAX,
	    .busy_ms = BUSY_MS,
	    .is_brief = is_brief};
	struct hook_keys keys = {0};

	assert_int_equal(webhook_api_start(loop, &cfg, &keys, &api, NULL), OK);
}

static void
reset(void)
{
	memset(callers, 0, sizeof(callers));
	n_answered = n_wanted = 0;
	assert_int_equal(loop_new(&loop), OK);
}

static int
set_up_empty(void **state)
{
	reset();
	return site_empty(state);
}

static int
set_up(void **state)
{
	reset();
	site_setup(state);
	start(*state, false);
	return 0;
}

static int
tear_down(void **state)
{
	webhook_api_stop(&api);
	assert_null(api);
	webhook_api_stop(&api);
	loop_free(&loop);
	return site_teardown(state);
}

/* One more caller calls; its number. */
static size_t
call(const char *method, const char *route, const char *query, const char *body)
{
	struct caller *c = &callers[n_wanted];

	c->x = (struct exchange){.ops = &ops, .request = &c->request};
	c->request = (struct request){.method = method,
	    .route = route,
	    .query = query,
	    .content_type = "application/json",
	    .authorization = "",
	    .origin = "",
	    .remote_addr = "",
	    .body = span_of(body)};
	webhook_api_request(api, &c->x);
	return n_wanted++;
}

static size_t
post(const char *query)
{
	return call("POST", "/webhooks/runpod-completion", query,
	    "{\"id\":\"x\",\"status\":\"COMPLETED\"}");
}

/* A webhook whose body is too long for the loop. */
static size_t
post_long(const char *query)
{
	return call("POST", "/webhooks/runpod-completion", query, long_body);
}

static void
wait_answers(void)
{
	assert_true(wait_until(loop, are_answered));
	assert_int_equal(n_answered, n_wanted);
}

static void
assert_answer(size_t i, int status, const char *text)
{
	assert_int_equal(callers[i].status, status);
	if (strstr(callers[i].body, text) == NULL)
		fail_msg("no %s in %s", text, callers[i].body);
}

/* What writes nothing is answered at once, the rest after its commit. */
static void
test_when(void **state)
{
	struct site *s = *state;
	size_t stored, ignored;

	stored = post("job_id=a");
	ignored = call("POST", "/webhooks/runpod-completion", "job_id=a",
	    "{\"id\":\"x\",\"status\":\"SOMETHING\"}");
	assert_answer(call("POST", "/webhooks/runpod-completion", "", "{"), 400,
	    "bad_json");
	assert_answer(call("POST", "/nothing", "", ""), 404, "not_found");
	assert_answer(ignored, 200, "\"event_id\":null");
	assert_answer(call("GET", "/webhooks/healthz", "", ""), 200, "\"ok\"");
	assert_int_equal(callers[stored].status, 0);
	assert_int_equal(raw_int(s, "SELECT count(*) FROM job_events"), 0);
	wait_answers();
	assert_answer(stored, 200, "\"duplicate\":false");
	assert_int_equal(raw_int(s, "SELECT count(*) FROM job_events"), 1);
}

/* A thread parses it, and others do not wait for it. */
static void
test_long_body(void **state)
{
	struct site *s = *state;
	size_t first = post_long("job_id=long"), bad, other;

	assert_int_equal(callers[first].status, 0);
	other = post("job_id=short");
	wait_answers();
	assert_answer(first, 200, "\"duplicate\":false");
	assert_answer(other, 200, "\"duplicate\":false");
	bad = post_long("");
	wait_answers();
	assert_answer(bad, 200, "\"job_id\":null");
	assert_int_equal(raw_int(s, "SELECT count(*) FROM job_events"), 2);
	/* Nobody reads this one. */
	assert_answer(
	    call("GET", "/webhooks/healthz", "", long_body), 200, "\"ok\"");
}

/* As many as may wait do, and the next ones are told; what need not wait is
 * answered as ever. */
static void
test_overloaded(void **state)
{
	struct site *s = *state;
	size_t i;

	raw(s, "BEGIN IMMEDIATE");
	for (i = 0; i < CALLS_MAX; i++)
		(void)post("job_id=a");
	assert_int_equal(n_answered, 0);
	assert_answer(post("job_id=a"), 503, "overloaded");
	assert_answer(post_long("job_id=a"), 503, "overloaded");
	assert_answer(call("GET", "/webhooks/healthz", "", ""), 200, "\"ok\"");
	assert_answer(
	    call("GET", "/webhooks/metrics", "", ""), 200, "calls_total");
	assert_answer(call("POST", "/webhooks/runpod-completion", "", "{"), 400,
	    "bad_json");
	raw(s, "COMMIT");
	wait_answers();
	for (i = 0; i < CALLS_MAX; i++)
		assert_int_equal(callers[i].status, 200);
	assert_int_equal(callers[post("job_id=a")].status, 0);
	wait_answers();
	assert_int_equal(raw_int(s, "SELECT count(*) FROM job_events"), 1);
}

/* All that has come is committed and answered, also what a thread has. */
static void
test_stop(void **state)
{
	struct site *s = *state;

	for (int i = 0; i < 20; i++) {
		(void)post("job_id=a");
		(void)post_long("job_id=b");
	}
	webhook_api_stop(&api);
	assert_int_equal(n_answered, 40);
	for (int i = 0; i < 40; i++)
		assert_int_equal(callers[i].status, 200);
	assert_int_equal(raw_int(s, "SELECT count(*) FROM job_events"), 2);
}

static void
test_stop_while_locked(void **state)
{
	struct site *s = *state;

	raw(s, "BEGIN IMMEDIATE");
	(void)post("job_id=a");
	(void)post_long("job_id=b");
	webhook_api_stop(&api);
	assert_answer(0, 503, "database_busy");
	assert_answer(1, 503, "database_busy");
	raw(s, "COMMIT");
	assert_int_equal(raw_int(s, "SELECT count(*) FROM job_events"), 0);
}

/* A process for one call makes its database, and has no threads. */
static void
test_brief(void **state)
{
	struct site *s = *state;

	start(s, true);
	assert_answer(call("GET", "/webhooks/metrics", "", ""), 200, "#");
	assert_int_not_equal(access(s->path, F_OK), 0);
	(void)post_long("job_id=a");
	wait_answers();
	assert_answer(1, 200, "\"duplicate\":false");
	(void)call("GET", "/webhooks/healthz", "", "");
	wait_answers();
	assert_answer(2, 200, "\"ok\"");
	site_open_raw(s);
	assert_int_equal(raw_int(s, "SELECT count(*) FROM job_events"), 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int
main(void)
{
	const char *const start_of_body =
	    "{\"id\":\"x\",\"status\":\"COMPLETED\"}";
	const struct CMUnitTest tests[] = {
	    TEST(test_when),
	    TEST(test_long_body),
	    TEST(test_overloaded),
	    TEST(test_stop),
	    TEST(test_stop_while_locked),
	    cmocka_unit_test_setup_teardown(
		test_brief, set_up_empty, tear_down),
	};

	memset(long_body, ' ', LONG);
	memcpy(long_body, start_of_body, strlen(start_of_body));
	return cmocka_run_group_tests(tests, NULL, NULL);
}
