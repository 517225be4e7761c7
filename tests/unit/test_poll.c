/* SPDX-License-Identifier: ISC */
/* live/poll.c: what stands in an answer, where it ends, that no event is
 * stepped over, whatever memory is missing, and what ends a wait. */
#include "live/poll.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "alloc_fail.h"
#include "live_site.h"
#include "text/json_text.h"

static struct poll_page page;
static struct answer answer;

/* What is after that row, of jobs separated by spaces. */
static enum err
fill(const char *jobs, int64_t cursor, const char *resync)
{
	const char *ids[JOB_IDS_MAX];
	struct selection sel = {.job_ids = ids};
	char names[64];

	snprintf(names, sizeof(names), "%s", jobs);
	for (char *id = strtok(names, " "); id != NULL; id = strtok(NULL, " "))
		ids[sel.n_jobs++] = id;
	page = (struct poll_page){.cursor = cursor, .resync = resync};
	answer_done(&answer);
	return poll_fill(&page, hub, &sel, &answer);
}

/* The value of a member, as it stands there. */
static struct span
member(struct span object, const char *name)
{
	struct span value = {0};

	assert_true(json_text_get(object, name, &value));
	return value;
}

static struct span
body(void)
{
	struct span whole;

	assert_int_equal(json_text_check(buf_span(&answer.body), &whole), OK);
	return whole;
}

/* Number of the row whose id the text is. */
static long long
row_of(struct span id)
{
	assert_memory_equal(id.p + 1, hub->epoch, SSE_EPOCH_LEN);
	return atoll(id.p + 1 + SSE_EPOCH_LEN + 1);
}

/* Events as "ID:TYPE ", then what the client comes back with, and "end" where
 * all was said: "1:queued 2:note |2 end". */
static const char *
told(void)
{
	static char text[256];
	struct json_text_iter it = {.rest = member(body(), "events")};
	struct span key, event, type;
	size_t n = 0;

	while (json_text_next(&it, &key, &event)) {
		type = member(event, "event");
		n += (size_t)snprintf(text + n, sizeof(text) - n, "%lld:%.*s ",
		    row_of(member(event, "id")), (int)type.n - 2, type.p + 1);
	}
	snprintf(text + n, sizeof(text) - n, "|%lld%s",
	    row_of(member(body(), "last_event_id")),
	    span_eq_str(member(body(), "terminal"), "true") ? " end" : "");
	return text;
}

static size_t
count_told(void)
{
	struct json_text_iter it = {.rest = member(body(), "events")};
	struct span key, event;
	size_t n = 0;

	while (json_text_next(&it, &key, &event))
		n++;
	return n;
}

static int
tear_down_page(void **state)
{
	answer_done(&answer);
	return tear_down(state);
}

/* --- What is told --------------------------------------------------------- */

static void
test_events(void **state)
{
	(void)state;
	publish("a:queued b:queued a:note");
	assert_int_equal(fill("a", 0, NULL), OK);
	assert_int_equal(answer.status, 200);
	assert_string_equal(told(), "1:queued 3:note |3");
	assert_int_equal(page.n_events, 2);
	assert_false(page.is_terminal);
	assert_int_equal(fill("b a", 1, NULL), OK);
	assert_string_equal(told(), "2:queued 3:note |3");
	assert_int_equal(fill("a", 3, NULL), OK);
	assert_string_equal(told(), "|3");
	assert_int_equal(page.n_events, 0);
}

static void
test_data(void **state)
{
	(void)state;
	raw(site, "INSERT INTO job_events (job_id, type, data) VALUES "
		  "('a', 'note', '{\"n\": 1.10}')");
	assert_int_equal(fill("a", 0, NULL), OK);
	assert_non_null(strstr(answer.body.data,
	    "\"event\":\"note\",\"data\":{\"job_id\":\"a\","
	    "\"status\":\"queued\",\"n\":1.10},\"created_at\":\"20"));
}

/* All jobs must have ended; one that nobody knows has not. */
static void
test_terminal(void **state)
{
	(void)state;
	publish("a:completed b:queued");
	assert_int_equal(fill("a", 0, NULL), OK);
	assert_string_equal(told(), "1:completed |1 end");
	assert_true(page.is_terminal);
	assert_int_equal(fill("a b", 0, NULL), OK);
	assert_string_equal(told(), "1:completed 2:queued |2");
	assert_int_equal(fill("a none", 0, NULL), OK);
	assert_string_equal(told(), "1:completed |1");
	assert_int_equal(fill("a", 1, NULL), OK);
	assert_string_equal(told(), "|1 end");
}

static void
test_owner(void **state)
{
	struct selection sel = {.owner = "o"};

	(void)state;
	raw(site, "INSERT INTO jobs (job_id, owner) VALUES ('a', 'o')");
	publish("a:completed b:completed");
	page = (struct poll_page){0};
	assert_int_equal(poll_fill(&page, hub, &sel, &answer), OK);
	assert_string_equal(told(), "1:completed |1"); /* never ends */
}

static void
test_resync(void **state)
{
	(void)state;
	publish("a:queued");
	assert_int_equal(fill("a", 0, "epoch"), OK);
	assert_string_equal(told(), "0:resync 1:queued |1");
	assert_non_null(strstr(answer.body.data,
	    "\"event\":\"resync\",\"data\":{\"reason\":\"epoch\"}}"));
	assert_int_equal(page.n_events, 1);
}

/* A row that can never be sent does not bring the client back for ever. */
static void
test_unsendable(void **state)
{
	(void)state;
	raw(site, "PRAGMA ignore_check_constraints = ON");
	raw(site, "INSERT INTO job_events (job_id, type, data) VALUES "
		  "('a', 'note', '{}'), ('a', 'not a type', '{}'), "
		  "('a', 'note', '[]'), ('a', 'resync', '{}')");
	assert_int_equal(fill("a", 0, NULL), OK);
	assert_string_equal(told(), "1:note |4");
	assert_int_equal(page.n_events, 4);
}

/* Where an answer ends before the events do, the next begins. */
static void
test_many(void **state)
{
	(void)state;
	raw_events(site, "a", "note", 1001);
	publish("a:completed");
	assert_int_equal(fill("a", 0, NULL), OK);
	assert_int_equal(count_told(), 1000);
	assert_int_equal(row_of(member(body(), "last_event_id")), 1000);
	assert_false(page.is_terminal);
	assert_int_equal(fill("a", 1000, NULL), OK);
	assert_string_equal(told(), "1001:note 1002:completed |1002 end");
}

static void
test_large(void **state)
{
	int64_t last = 0;
	size_t n = 0;

	(void)state;
	raw(site, "WITH RECURSIVE k(i) AS (SELECT 1 UNION ALL SELECT i + 1 "
		  "FROM k WHERE i < 9) INSERT INTO job_events (job_id, type, "
		  "data) SELECT 'a', 'note', json_object('x', "
		  "hex(zeroblob(500000))) FROM k");
	for (int i = 0; i < 2; i++) {
		assert_int_equal(fill("a", last, NULL), OK);
		assert_in_range(answer.body.len, 1000, 6 << 20);
		n += count_told();
		last = row_of(member(body(), "last_event_id"));
		assert_int_equal(last, n);
	}
	assert_int_equal(n, 9);
}

static void
test_without_database(void **state)
{
	(void)state;
	db_close(&hub->db);
	assert_int_equal(fill("a", 0, NULL), ERR_GONE);
}

/* --- Waiting -------------------------------------------------------------- */

static struct waiter_request request = {.wait_ms = NEVER_MS};

static struct client *
ask(const char *job)
{
	struct client *c = client_new();

	request.sel = (struct selection){.job_ids = &job, .n_jobs = 1};
	request.headers = SPAN_LIT("X-Test: 1\r\n");
	poll_open(hub, &c->x, &request);
	return c;
}

static void
assert_answered(const struct client *c, int status, const char *text)
{
	assert_int_equal(c->fate, ANSWERED);
	assert_int_equal(c->status, status);
	assert_non_null(strstr(c->head.data, "X-Test: 1\r\n"));
	assert_non_null(strstr(c->got.data, text));
}

static void
test_answered_at_once(void **state)
{
	(void)state;
	publish("a:queued b:completed");
	assert_answered(ask("a"), 200, "\"event\":\"queued\"");
	assert_answered(ask("b"), 200, "\"terminal\":true");
	request.wait_ms = 0;
	assert_answered(ask("c"), 200, "{\"events\":[],");
	request.wait_ms = NEVER_MS;
	assert_int_equal(metrics->hub.waiting, 0);
}

/* With all of its events that one transaction brings, beside a stream. */
static void
test_waits_for_an_event(void **state)
{
	struct client *c = ask("a"), *other = ask("b"), *stream;

	(void)state;
	stream = open_stream("a", NULL);
	publish("c:queued");
	settle();
	assert_int_equal(metrics->hub.waiting, 2);
	publish("a:queued a:progress");
	wait_fate(c, ANSWERED);
	assert_answered(c, 200, "\"event\":\"progress\"");
	assert_non_null(strstr(c->got.data, "\"event\":\"queued\""));
	assert_seen(stream, "2:a:queued 3:a:progress ");
	assert_int_equal(other->fate, OPEN);
	assert_int_equal(metrics->hub.waiting, 1);
	client_leave(other);
	assert_int_equal(metrics->hub.waiting, 0);
	assert_int_equal(metrics->hub.opened, 1);
}

static void
test_waits_in_vain(void **state)
{
	struct client *c;

	(void)state;
	request.wait_ms = 1;
	c = ask("a");
	request.wait_ms = NEVER_MS;
	assert_int_equal(c->fate, OPEN);
	wait_fate(c, ANSWERED);
	assert_answered(c, 200, "{\"events\":[],");
	c = ask("a");
	hub_drain(hub);
	wait_fate(c, ANSWERED);
	assert_answered(c, 200, "{\"events\":[],");
	assert_answered(ask("a"), 503, "\"overloaded\"");
	assert_int_equal(metrics->hub.overloads, 1);
}

static void
test_right_ends_while_waiting(void **state)
{
	struct session ended = {
	    .exp_s = clock_real_ms() / 1000, .iat_s = INT64_MIN};
	struct client *c;

	(void)state;
	request.session = &ended;
	c = ask("a");
	request.session = NULL;
	wait_fate(c, ANSWERED);
	assert_answered(c, 401, "\"token_expired\"");
}

/* The table of another database is told from its beginning. */
static void
test_resync_while_waiting(void **state)
{
	struct client *c = ask("a");
	char other[PATH_SIZE];

	(void)state;
	settle();
	new_database(other, "('b', 'queued')");
	replace_database(other);
	wait_fate(c, ANSWERED);
	assert_answered(c, 200, "{\"reason\":\"epoch\"}");
	assert_int_equal(metrics->hub.resyncs, 1);
}

/* --- Memory --------------------------------------------------------------- */

/* Whatever is missing: all is told, or there is no answer. */
static void
test_memory(void **state)
{
	static const char expected[] =
	    "0:resync 1:queued 2:note 3:note 4:completed |4 end";
	bool is_more = true;
	enum err e;

	(void)state;
	publish("a:queued");
	raw(site, "INSERT INTO job_events (job_id, type, data) VALUES "
		  "('a', 'note', '{\"x\":\"0123456789012345678901234567890123"
		  "4567890123456789\"}'), ('a', 'note', '{\"output\":{}}')");
	publish("a:completed");
	for (unsigned n = 1; is_more; n++) {
		hub_free(&hub);
		start();		/* with nothing prepared */
		hub->is_failing = true; /* as if that were logged before */
		alloc_fail_start(n);
		e = fill("a", 0, "epoch");
		is_more = alloc_fail_stop();
		site_check(site);
		if (e == OK)
			assert_string_equal(told(), expected);
		else
			assert_true(e == ERR_NOMEM && is_more);
		assert_true(sqlite3_get_autocommit(hub->db->h));
		assert_int_equal(fill("a", 0, "epoch"), OK);
		assert_string_equal(told(), expected);
	}
}

#define TEST_PAGE(name)                                                        \
	cmocka_unit_test_setup_teardown(name, set_up_hub, tear_down_page)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST_PAGE(test_events),
	    TEST_PAGE(test_data),
	    TEST_PAGE(test_terminal),
	    TEST_PAGE(test_owner),
	    TEST_PAGE(test_resync),
	    TEST_PAGE(test_unsendable),
	    TEST_PAGE(test_many),
	    TEST_PAGE(test_large),
	    TEST_PAGE(test_without_database),
	    TEST(test_answered_at_once),
	    TEST(test_waits_for_an_event),
	    TEST(test_waits_in_vain),
	    TEST(test_right_ends_while_waiting),
	    TEST(test_resync_while_waiting),
	    TEST_PAGE(test_memory),
	};

	return cmocka_run_group_tests(tests, alloc_fail_reach_sqlite, NULL);
}
