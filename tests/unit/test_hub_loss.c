/* SPDX-License-Identifier: ISC */
/* live/cursor.c and live/stream.c: lost history. */
#include "live/hub.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "live_site.h"

/* --- Lost history --------------------------------------------------------- */

static void
assert_resync(const char *jobs, const char *id, const char *expected)
{
	struct client *c = open_stream(jobs, id);
	uint64_t resyncs = metrics->hub.resyncs;

	assert_seen(c, expected);
	/* With the id it has now it is told nothing twice. */
	c = open_stream(jobs, last_id(c));
	assert_null(strstr(buf_span(&c->got).p, "resync"));
	assert_int_equal(metrics->hub.resyncs, resyncs);
}

static void
test_resync_at_open(void **state)
{
	static const char *const malformed[] = {"x", "1", "-1", "7f3a09c1",
	    "7F3A09C1-1", "00000000-01", "00000000-1 ", "00000000--1",
	    "00000000-99999999999999999999", "\xff"};

	(void)state;
	publish("a:queued a:processing");
	assert_resync(
	    "a", "00000000-1", "0:resync:epoch 1:a:queued 2:a:processing ");
	assert_resync(
	    "a", id_of(3), "0:resync:future 1:a:queued 2:a:processing ");
	for (size_t i = 0; i < COUNT(malformed); i++)
		assert_resync("a", malformed[i],
		    "0:resync:unknown 1:a:queued 2:a:processing ");
	assert_resync("b", "00000000-1", "0:resync:epoch ");
}

static void
test_resync_expired(void **state)
{
	struct client *c;

	(void)state;
	publish("a:queued b:queued a:processing a:progress a:note");
	raw(site, "DELETE FROM job_events WHERE id IN (1, 3)");
	assert_resync("a", id_of(1), "0:resync:expired 4:a:progress 5:a:note ");
	assert_resync("a", id_of(2), "0:resync:expired 4:a:progress 5:a:note ");
	/* A floor belongs to one job. */
	c = open_stream("b", id_of(1));
	assert_seen(c, "2:b:queued ");
	c = open_stream("a", id_of(3));
	assert_seen(c, "4:a:progress 5:a:note ");
	/* Progress that was taken is no loss. */
	raw(site, "DELETE FROM job_events WHERE id = 4");
	c = open_stream("a", id_of(3));
	assert_seen(c, "5:a:note ");
	/* Nor is anything to whoever had nothing. */
	c = open_stream("a", NULL);
	assert_seen(c, "5:a:note ");
	/* The newest of an ended job was taken: that is not "nothing left". */
	publish("c:queued c:completed c:note");
	raw(site, "DELETE FROM job_events WHERE id = 8");
	c = open_stream("c", id_of(7));
	assert_seen(c, "0:resync:expired 6:c:queued 7:c:completed ");
}

static void
test_resync_job_is_gone(void **state)
{
	struct client *c;

	(void)state;
	publish("a:queued a:completed b:queued");
	raw(site, "DELETE FROM jobs WHERE job_id = 'a'");
	assert_resync("a", id_of(1), "0:resync:expired ");
	assert_resync("a", id_of(2), "0:resync:expired ");
	c = open_stream("a", id_of(3));
	assert_seen(c, "");
	c = open_stream("never", NULL);
	assert_seen(c, "");
}

/* The id of the event that follows the resync. */
static const char *
id_after_resync(const struct client *c)
{
	static char id[SSE_ID_SIZE];
	const char *p = strstr(buf_span(&c->got).p, "event: resync\n");

	assert_non_null(p);
	p = strstr(p, "\nid: ");
	assert_non_null(p);
	p += strlen("\nid: ");
	snprintf(id, sizeof(id), "%.*s", (int)strcspn(p, "\n"), p);
	return id;
}

/* Retention takes what a slow client has still to read: it is told, or cut off
 * so that it is told when it comes back. */
static void
test_lost_while_behind(void **state)
{
	struct client *c;

	(void)state;
	c = open_stream("a", NULL);
	c->room = 10;
	publish("a:note a:note a:note a:note");
	settle();
	raw(site, "DELETE FROM job_events WHERE id IN (2, 3)");
	client_allow(c, SIZE_MAX);
	settle();
	if (c->fate == DROPPED)
		c = open_stream("a", last_id(c));
	if (strstr(seen(c), ":resync:expired ") == NULL)
		fail_msg("seen \"%s\" without a word", seen(c));
	/* Whoever is cut off in what follows knows it. */
	c = open_stream("a", id_after_resync(c));
	assert_seen(c, "4:a:note ");
}

/* A planned end waits for the event that is under way. */
static bool
has_more_time(void)
{
	return awaited->x.timer.due_us > clock_mono_us() + 500 * 1000;
}

static void
test_lifetime_within_an_event(void **state)
{
	struct client *c = client_new();

	(void)state;
	cfg.lifetime_ms = 20;
	start();
	publish("a:queued");
	c->room = 200;
	client_ask(c, "a", NULL);
	assert_true(c->is_blocked);
	awaited = c;
	assert_true(wait_until(loop, has_more_time));
	client_allow(c, SIZE_MAX);
	wait_fate(c, ENDED);
	assert_seen(c, "1:a:queued ");
	assert_int_equal(metrics->hub.closed[STREAM_LIFETIME], 1);
}

/* While no stream is open new rows are not read; then nothing is missed. */
static void
test_nobody_waits(void **state)
{
	struct client *c;

	(void)state;
	publish("a:queued");
	settle();
	publish("a:processing b:queued");
	settle();
	assert_int_equal(metrics->hub.rows_read, 0);
	c = open_stream("a", NULL);
	publish("a:note b:note");
	settle();
	assert_seen(c, "1:a:queued 2:a:processing 4:a:note ");
	assert_int_equal(metrics->hub.rows_read, 2);
	client_leave(c);
	/* Whoever comes finds how far the ids are. */
	publish("c:queued");
	c = open_stream("a", id_of(5));
	assert_int_equal(hub->last_id, 6);
	assert_seen(c, "");
	client_leave(c);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(test_nobody_waits),
	    TEST(test_resync_at_open),
	    TEST(test_resync_expired),
	    TEST(test_resync_job_is_gone),
	    TEST(test_lost_while_behind),
	    TEST_OWN(test_lifetime_within_an_event),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
