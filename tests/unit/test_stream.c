/* SPDX-License-Identifier: ISC */
/* live/stream.c: what one client is sent, and when it ends. */
#include "live/stream.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "live_site.h"

/* --- Replay and live ------------------------------------------------------ */

static void
test_prelude(void **state)
{
	struct buf expected = BUF_INIT;
	struct client *c;

	(void)state;
	c = open_stream("a", NULL);
	buf_addf(&expected,
	    "Status: 200 OK\r\n"
	    "Content-Type: text/event-stream; charset=utf-8\r\n"
	    "Cache-Control: no-cache, no-transform\r\n"
	    "X-Accel-Buffering: no\r\nX-Test: 1\r\n\r\n"
	    "retry: 2731\n: jobwire 1 epoch=%s\n",
	    hub->epoch);
	assert_string_equal(c->got.data, expected.data);
	assert_int_equal(c->fate, OPEN);
	buf_done(&expected);
}

static void
test_replay_then_live(void **state)
{
	struct client *c;

	(void)state;
	publish("a:queued b:queued a:processing");
	c = open_stream("a", NULL);
	assert_seen(c, "1:a:queued 3:a:processing "); /* at once */
	publish("b:processing a:progress");
	wait_seen(c, "1:a:queued 3:a:processing 5:a:progress ");
	publish("a:note");
	publish("a:note");
	settle();
	assert_seen(
	    c, "1:a:queued 3:a:processing 5:a:progress 6:a:note 7:a:note ");
	assert_int_equal(metrics->hub.delivered, 5);
	assert_int_equal(metrics->hub.replayed, 2);
}

/* Rows that the stream reads itself and the hub reads later. */
static void
test_no_doubles(void **state)
{
	struct client *early, *late;

	(void)state;
	early = open_stream("a", NULL);
	settle();
	publish("a:queued a:progress");
	late = open_stream("a", NULL);
	assert_seen(late, "1:a:queued 2:a:progress ");
	assert_seen(early, "");
	publish("a:progress");
	settle();
	assert_seen(late, "1:a:queued 2:a:progress 3:a:progress ");
	assert_seen(early, "1:a:queued 2:a:progress 3:a:progress ");
}

static void
test_unknown_job_is_waited_for(void **state)
{
	struct client *c = open_stream("nobody-knows-me", NULL);

	(void)state;
	settle();
	assert_int_equal(c->fate, OPEN);
	publish("nobody-knows-me:completed");
	wait_fate(c, ENDED);
	assert_seen(c, "1:nobody-knows-me:completed ");
}

static void
test_long_history(void **state)
{
	struct client *c;

	(void)state;
	raw_events(site, "a", "note", 1000);
	c = open_stream("a", NULL);
	publish("a:queued");
	settle();
	assert_non_null(strstr(seen(c), " 64:a:note 65:a:note "));
	assert_non_null(strstr(seen(c), " 1000:a:note 1001:a:queued "));
	assert_int_equal(metrics->hub.delivered, 1001);
}

static void
test_resume(void **state)
{
	struct client *c;

	(void)state;
	publish("a:queued a:processing a:progress b:queued");
	c = open_stream("a", id_of(1));
	assert_seen(c, "2:a:processing 3:a:progress ");
	c = open_stream("a", id_of(4)); /* another job's, but of now */
	assert_seen(c, "");
	publish("a:progress");
	settle();
	assert_seen(c, "5:a:progress ");
	c = open_stream("a", id_of(0));
	settle();
	assert_seen(c, "1:a:queued 2:a:processing 3:a:progress 5:a:progress ");
	assert_int_equal(metrics->hub.resyncs, 0);
}

static void
test_two_jobs(void **state)
{
	struct client *c;

	(void)state;
	publish("a:queued b:queued c:queued a:processing");
	c = open_stream("a b", NULL);
	publish("b:processing c:processing a:completed");
	settle();
	assert_seen(c, "1:a:queued 2:b:queued 4:a:processing "
		       "5:b:processing 7:a:completed ");
	assert_int_equal(c->fate, OPEN);
	c = open_stream("b a", id_of(4));
	assert_seen(c, "5:b:processing 7:a:completed ");
	publish("b:failed");
	wait_fate(c, ENDED);
	settle();
	assert_seen(c, "5:b:processing 7:a:completed 8:b:failed ");
	assert_int_equal(metrics->hub.closed[STREAM_COMPLETED], 2);
}

static void
test_many_streams(void **state)
{
	struct client *c[300];

	(void)state;
	for (size_t i = 0; i < COUNT(c); i++)
		c[i] = open_stream(i % 2 == 0 ? "a" : "a b", NULL);
	publish("a:queued a:completed");
	settle();
	for (size_t i = 0; i < COUNT(c); i++) {
		assert_seen(c[i], "1:a:queued 2:a:completed ");
		assert_int_equal(c[i]->fate, i % 2 == 0 ? ENDED : OPEN);
	}
	publish("b:cancelled");
	settle();
	for (size_t i = 0; i < COUNT(c); i++)
		assert_int_equal(c[i]->fate, ENDED);
	for (size_t i = 0; i < TOPIC_KINDS; i++)
		assert_int_equal(hub->waiters.topics[i].count, 0);
}

/* --- Ends ----------------------------------------------------------------- */

static void
test_terminal(void **state)
{
	static const char *const types[] = {
	    "completed", "failed", "cancelled", "timed_out"};
	char text[64];
	struct client *c;

	(void)state;
	for (size_t i = 0; i < COUNT(types); i++) {
		char job[] = {(char)('a' + (char)i), '\0'};

		c = open_stream(job, NULL);
		snprintf(text, sizeof(text), "%s:%s", job, types[i]);
		publish(text);
		wait_fate(c, ENDED);
		snprintf(
		    text, sizeof(text), "%zu:%s:%s ", i + 1, job, types[i]);
		assert_seen(c, text);
		/* A late joiner sees the same, at once. */
		c = open_stream(job, NULL);
		assert_int_equal(c->fate, ENDED);
		assert_seen(c, text);
		/* No retry at an end that is one. */
		assert_null(strstr(strstr(c->got.data, "data"), "retry"));
	}
}

static void
test_nothing_left(void **state)
{
	struct client *c;

	(void)state;
	publish("a:queued a:completed b:queued b:failed");
	c = open_stream("a", NULL);
	assert_int_equal(c->fate, ENDED);
	c = open_stream("a", last_id(c));
	assert_int_equal(c->fate, ANSWERED);
	assert_int_equal(c->status, 204);
	assert_int_equal(c->got.len, 0);
	assert_non_null(strstr(c->head.data, "X-Test: 1\r\n"));
	assert_int_equal(open_stream("a b", id_of(4))->status, 204);
	assert_int_equal(open_stream("a", id_of(4))->status, 204);
	/* One has news, or may get some. */
	c = open_stream("a b", id_of(2));
	assert_int_equal(c->fate, ENDED);
	assert_seen(c, "3:b:queued 4:b:failed ");
	assert_int_equal(open_stream("a c", id_of(4))->fate, OPEN);
	publish("a:note");
	c = open_stream("a", id_of(2));
	assert_seen(c, "5:a:note ");
	assert_int_equal(c->fate, ENDED);
	assert_int_equal(open_stream("a", id_of(5))->status, 204);
}

/* A retry puts `queued` behind `failed`. */
static void
test_reopened(void **state)
{
	struct client *c, *late;

	(void)state;
	c = open_stream("a", NULL);
	publish("a:queued a:failed a:queued");
	settle();
	assert_int_equal(c->fate, OPEN);
	late = open_stream("a", id_of(2));
	assert_int_equal(late->fate, OPEN);
	publish("a:completed");
	wait_fate(c, ENDED);
	assert_seen(c, "1:a:queued 2:a:failed 3:a:queued 4:a:completed ");
	settle();
	assert_seen(late, "3:a:queued 4:a:completed ");
	assert_int_equal(late->fate, ENDED);
	publish("a:processing");
	c = open_stream("a", id_of(4));
	assert_seen(c, "5:a:processing ");
	assert_int_equal(c->fate, OPEN);
	publish("a:progress"); /* says nothing about the end */
	settle();
	assert_int_equal(c->fate, OPEN);
}

/* The same with the border between two readings of the hub in the middle: of
 * one batch, and of all batches of a look. */
static void
test_reopened_over_a_border(void **state)
{
	static const int fillers[] = {HUB_BATCH - 1, 16 * HUB_BATCH - 1};
	struct client *c;

	(void)state;
	for (size_t i = 0; i < COUNT(fillers); i++) {
		settle();
		c = open_stream("a", last_id(c = open_stream("a", NULL)));
		raw(site, "BEGIN IMMEDIATE");
		raw_events(site, "filler", "note", fillers[i]);
		raw(site, "INSERT INTO job_events (job_id, type) VALUES "
			  "('a', 'failed'), ('a', 'queued')");
		raw(site, "COMMIT");
		settle();
		assert_int_equal(c->fate, OPEN);
		assert_non_null(strstr(seen(c), ":a:failed "));
		assert_non_null(strstr(seen(c), ":a:queued "));
	}
}

static void
test_lifetime(void **state)
{
	struct client *c;

	(void)state;
	cfg.lifetime_ms = 20; /* before the first heartbeat */
	start();
	publish("a:queued");
	c = open_stream("a", NULL);
	wait_fate(c, ENDED);
	assert_seen(c, "1:a:queued ");
	assert_string_equal(
	    c->got.data + c->got.len - strlen("}\n\nretry: 2731\n"),
	    "}\n\nretry: 2731\n");
	assert_int_equal(metrics->hub.closed[STREAM_LIFETIME], 1);
}

static const char *awaited_word;

static bool
has_word(void)
{
	return memmem(awaited->got.data, awaited->got.len, awaited_word,
		   strlen(awaited_word)) != NULL;
}

static void
test_heartbeat(void **state)
{
	struct client *c;
	struct waiter_request req = {.wants_beat_event = true};
	const char *job = "a";

	(void)state;
	cfg.heartbeat_ms = 1;
	start();
	awaited = c = open_stream("a", NULL);
	awaited_word = "\n: heartbeat\n: heartbeat\n";
	assert_true(wait_until(loop, has_word));
	awaited = c = client_new();
	req.sel.job_ids = &job;
	req.sel.n_jobs = 1;
	stream_open(hub, &c->x, &req);
	awaited_word = "\nevent: heartbeat\ndata: {}\n\n"
		       "event: heartbeat\ndata: {}\n\n";
	assert_true(wait_until(loop, has_word));
	assert_seen(c, "");
}

static void
test_drain(void **state)
{
	struct client *c[20], *blocked, *late;

	(void)state;
	publish("a:queued");
	for (size_t i = 0; i < COUNT(c); i++)
		c[i] = open_stream("a", NULL);
	blocked = client_new();
	blocked->room = 200;
	client_ask(blocked, "a", NULL);
	assert_true(blocked->is_blocked);
	hub_drain(hub);
	late = open_stream("a", NULL);
	assert_int_equal(late->fate, ANSWERED);
	assert_int_equal(late->status, 200);
	publish("a:progress"); /* nobody is forgotten meanwhile */
	wait_fate(blocked, DROPPED);
	for (size_t i = 0; i < COUNT(c); i++) {
		wait_fate(c[i], ENDED);
		assert_memory_equal(
		    c[i]->got.data + c[i]->got.len - 12, "retry: 2731\n", 12);
	}
	assert_int_equal(metrics->hub.closed[STREAM_DRAINED], COUNT(c) + 1);
	assert_int_equal(metrics->hub.open, 0);
}

static void
test_overload(void **state)
{
	struct client *first, *second, *third;
	long long retry_ms;

	(void)state;
	cfg.max_streams = 2;
	start();
	first = open_stream("a", NULL);
	second = open_stream("b", NULL);
	for (int i = 0; i < 20; i++) {
		third = open_stream("c", NULL);
		assert_int_equal(third->fate, ANSWERED);
		assert_int_equal(third->status, 200);
		assert_non_null(strstr(third->head.data,
		    "Content-Type: text/event-stream; charset=utf-8\r\n"));
		assert_non_null(strstr(third->head.data, "X-Test: 1\r\n"));
		assert_memory_equal(third->got.data, "retry: ", 7);
		retry_ms = atoll(third->got.data + 7);
		assert_in_range(retry_ms, 10000, 30000);
		assert_null(strstr(third->got.data, "\n\n"));
		assert_int_equal(third->got.data[third->got.len - 1], '\n');
	}
	assert_int_equal(metrics->hub.overloads, 20);
	client_leave(first);
	assert_int_equal(open_stream("c", NULL)->fate, OPEN);
	assert_int_equal(open_stream("c", NULL)->fate, ANSWERED);
	assert_int_equal(second->fate, OPEN);
	assert_int_equal(metrics->hub.open, 2);
}

/* --- Slow clients --------------------------------------------------------- */

/* Cut at every byte of headers, prelude and replay. */
static void
test_partial_replay(void **state)
{
	struct client *whole, *c;

	(void)state;
	publish("a:queued a:processing a:completed");
	whole = open_stream("a", NULL);
	assert_int_equal(whole->fate, ENDED);
	for (size_t n = 0; n < whole->got.len; n++) {
		c = client_new();
		c->room = n;
		client_ask(c, "a", NULL);
		assert_int_equal(c->got.len, n);
		assert_int_equal(c->fate, OPEN);
		settle();
		client_allow(c, SIZE_MAX);
		assert_int_equal(c->fate, ENDED);
		assert_string_equal(c->got.data, whole->got.data);
	}
	c = client_new();
	c->step = 1;
	client_ask(c, "a", NULL);
	client_allow(c, SIZE_MAX);
	assert_int_equal(c->fate, ENDED);
	assert_string_equal(c->got.data, whole->got.data);
	assert_int_equal(metrics->hub.lagging, 0);
}

/* Cut at every byte of a live event, with another one behind it. */
static void
test_partial_live(void **state)
{
	struct client *whole, *c;
	size_t n, event_len;

	(void)state;
	whole = open_stream("a", NULL);
	c = open_stream("a", NULL);
	n = whole->got.len;
	publish("a:progress");
	settle();
	event_len = whole->got.len - n;
	assert_true(event_len > 30);
	for (n = 0; n < event_len + 5; n++) {
		c->room = n;
		publish("a:progress b:note a:progress");
		settle();
		assert_true(c->is_blocked);
		assert_int_equal(metrics->hub.lagging, 1);
		client_allow(c, SIZE_MAX);
		settle();
		assert_int_equal(metrics->hub.lagging, 0);
		assert_string_equal(c->got.data, whole->got.data);
	}
}

/* Whatever happens while it takes nothing, it gets everything, in order. */
static void
test_blocked(void **state)
{
	struct client *whole, *slow, *crawling;

	(void)state;
	whole = open_stream("a", NULL);
	slow = open_stream("a", NULL);
	slow->room = 11;
	crawling = open_stream("a", NULL);
	crawling->room = 0;
	crawling->step = 7;
	for (int i = 0; i < 5; i++) {
		raw_events(site, "a", "note", 100);
		settle();
		client_allow(slow, 1000);
	}
	publish("a:completed");
	settle();
	assert_int_equal(whole->fate, ENDED);
	assert_int_equal(slow->fate, OPEN);
	assert_int_equal(metrics->hub.lagging, 2);
	client_allow(slow, SIZE_MAX);
	client_allow(crawling, SIZE_MAX);
	settle();
	assert_int_equal(slow->fate, ENDED);
	assert_int_equal(crawling->fate, ENDED);
	assert_string_equal(slow->got.data, whole->got.data);
	assert_string_equal(crawling->got.data, whole->got.data);
}

/* A slow client holds up nobody's end but its own. */
static void
test_blocked_at_the_end(void **state)
{
	struct client *c;

	(void)state;
	publish("a:queued");
	c = open_stream("a", NULL);
	c->room = 20;
	publish("a:completed");
	settle();
	assert_int_equal(c->fate, OPEN);
	publish("a:queued"); /* reopened while the end was under way */
	settle();
	client_allow(c, SIZE_MAX);
	settle();
	assert_seen(c, "1:a:queued 2:a:completed 3:a:queued ");
	assert_int_equal(c->fate, OPEN);
	publish("a:failed");
	wait_fate(c, ENDED);
}

static void
test_lag_timeout(void **state)
{
	struct client *late, *in_time, *fast;

	(void)state;
	cfg.lag_timeout_ms = 300;
	start();
	fast = open_stream("a", NULL);
	late = open_stream("a", NULL);
	in_time = open_stream("a", NULL);
	late->room = in_time->room = 5;
	publish("a:progress");
	settle();
	assert_int_equal(metrics->hub.lagging, 2);
	client_allow(in_time, SIZE_MAX);
	assert_int_equal(metrics->hub.lagging, 1);
	wait_fate(late, DROPPED);
	assert_int_equal(metrics->hub.closed[STREAM_LAGGED], 1);
	assert_int_equal(metrics->hub.lagging, 0);
	assert_int_equal(in_time->fate, OPEN);
	assert_int_equal(fast->fate, OPEN);
}

/* --- Clients that go ------------------------------------------------------ */

static void
test_gone_in_send(void **state)
{
	struct client *at_once, *live, *pending, *stays;

	(void)state;
	at_once = client_new();
	at_once->is_gone = true;
	client_ask(at_once, "a", NULL);
	assert_int_equal(at_once->fate, DROPPED);
	live = open_stream("a", NULL);
	pending = open_stream("a", NULL);
	stays = open_stream("a", NULL);
	live->is_gone = true;
	pending->room = 3;
	publish("a:progress a:progress a:completed");
	settle();
	assert_int_equal(live->fate, DROPPED);
	assert_int_equal(stays->fate, ENDED);
	pending->is_gone = true;
	client_allow(pending, SIZE_MAX);
	assert_int_equal(pending->fate, DROPPED);
	assert_int_equal(metrics->hub.closed[STREAM_LEFT], 3);
	assert_int_equal(metrics->hub.open, 0);
}

static void
test_gone_in_replay(void **state)
{
	struct client *c;

	(void)state;
	raw_events(site, "a", "note", 200);
	c = client_new();
	c->room = 1000;
	client_ask(c, "a", NULL);
	c->is_gone = true;
	client_allow(c, SIZE_MAX);
	assert_int_equal(c->fate, DROPPED);
}

static void
test_leave(void **state)
{
	struct client *idle, *blocked, *ending;

	(void)state;
	idle = open_stream("a b", NULL);
	blocked = open_stream("a", NULL);
	ending = open_stream("a", NULL);
	settle();
	blocked->room = 1;
	client_leave(idle);
	publish("a:progress");
	settle();
	assert_int_equal(metrics->hub.lagging, 1);
	client_leave(blocked);
	publish("a:completed");
	wait_fate(ending, ENDED);
	settle();
	assert_int_equal(metrics->hub.open, 0);
	assert_int_equal(metrics->hub.closed[STREAM_LEFT], 2);
	assert_int_equal(hub->waiters.topics[TOPIC_JOB].count, 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(test_prelude),
	    TEST(test_replay_then_live),
	    TEST(test_no_doubles),
	    TEST(test_unknown_job_is_waited_for),
	    TEST(test_long_history),
	    TEST(test_resume),
	    TEST(test_two_jobs),
	    TEST(test_many_streams),
	    TEST(test_terminal),
	    TEST(test_nothing_left),
	    TEST(test_reopened),
	    TEST(test_reopened_over_a_border),
	    TEST_OWN(test_lifetime),
	    TEST_OWN(test_heartbeat),
	    TEST(test_drain),
	    TEST_OWN(test_overload),
	    TEST(test_partial_replay),
	    TEST(test_partial_live),
	    TEST(test_blocked),
	    TEST(test_blocked_at_the_end),
	    TEST_OWN(test_lag_timeout),
	    TEST(test_gone_in_send),
	    TEST(test_gone_in_replay),
	    TEST(test_leave),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
