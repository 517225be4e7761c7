/* SPDX-License-Identifier: ISC */
/* live/hub.c: a database that changes under the streams, trouble, and
 * everything at random. */
#include "live/hub.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "alloc_fail.h"
#include "base/file.h"
#include "io/watch.h"
#include "live_site.h"

/* --- The database as a whole ---------------------------------------------- */

static void
copy_file(const char *from, const char *to)
{
	struct buf bytes = BUF_INIT;
	FILE *f = fopen(to, "w");

	assert_non_null(f);
	assert_int_equal(file_read(from, 1 << 26, &bytes), OK);
	assert_int_equal(fwrite(bytes.data, 1, bytes.len, f), bytes.len);
	assert_int_equal(fclose(f), 0);
	buf_done(&bytes);
}

static void
test_replaced(void **state)
{
	struct client *c, *two, *blocked;
	char other[PATH_SIZE], old_id[SSE_ID_SIZE];

	(void)state;
	publish("a:queued a:completed b:queued b:note");
	two = open_stream("a b", NULL);
	c = open_stream("b", NULL);
	blocked = client_new();
	blocked->room = 250;
	client_ask(blocked, "b", NULL);
	assert_true(blocked->is_blocked);
	settle();
	snprintf(old_id, sizeof(old_id), "%s", last_id(c));
	new_database(other, "('b', 'processing')");
	replace_database(other);
	wait_seen(c, "3:b:queued 4:b:note 0:resync:epoch 1:b:processing ");
	assert_seen(two, "1:a:queued 2:a:completed 3:b:queued 4:b:note "
			 "0:resync:epoch 1:b:processing ");
	publish("a:completed b:note");
	settle();
	assert_seen(
	    c, "3:b:queued 4:b:note 0:resync:epoch 1:b:processing 3:b:note ");
	assert_int_equal(two->fate, OPEN);
	/* Half a frame cannot be mended. */
	assert_int_equal(blocked->fate, DROPPED);
	assert_string_not_equal(old_id, id_of(4));
	c = open_stream("b", old_id);
	assert_seen(c, "0:resync:epoch 1:b:processing 3:b:note ");
	publish("b:completed");
	wait_fate(two, ENDED);
}

/* An older copy of the same database comes back. */
static void
test_restored(void **state)
{
	struct client *ahead, *level;
	char copy[160];

	(void)state;
	publish("a:queued b:queued");
	raw(site, "PRAGMA wal_checkpoint(TRUNCATE)");
	snprintf(copy, sizeof(copy), "%s/copy", site->dir);
	copy_file(site->path, copy);
	publish("a:processing");
	ahead = open_stream("a", NULL);
	level = open_stream("b", NULL);
	settle();
	replace_database(copy);
	wait_seen(
	    ahead, "1:a:queued 3:a:processing 0:resync:epoch 1:a:queued ");
	assert_seen(level, "2:b:queued 0:resync:epoch 2:b:queued ");
	publish("b:note");
	settle();
	assert_seen(level, "2:b:queued 0:resync:epoch 2:b:queued 3:b:note ");
	assert_seen(
	    ahead, "1:a:queued 3:a:processing 0:resync:epoch 1:a:queued ");
}

static bool
is_at_7(void)
{
	return hub->last_id == 7;
}

/* Noticed also while no stream is open. */
static void
test_restored_unwatched(void **state)
{
	struct client *c;
	char copy[160];

	(void)state;
	publish("a:queued a:processing b:queued a:note b:note c:queued");
	raw(site, "PRAGMA wal_checkpoint(TRUNCATE)");
	snprintf(copy, sizeof(copy), "%s/copy", site->dir);
	copy_file(site->path, copy);
	publish("a:note a:note");
	settle();
	replace_database(copy);
	publish("a:completed");
	assert_true(wait_until(loop, is_at_7));
	c = open_stream("a", id_of(8));
	assert_seen(c, "0:resync:future 1:a:queued 2:a:processing 4:a:note "
		       "7:a:completed ");
}

static bool
is_unwell(void)
{
	return !hub_is_well(hub);
}

static bool
is_well(void)
{
	return hub_is_well(hub);
}

/* It goes and comes back: nobody is told anything, nothing is missed. */
static void
test_missing_for_a_while(void **state)
{
	struct client *c, *refused;
	char away[160];

	(void)state;
	c = open_stream("a", NULL);
	publish("a:queued");
	settle();
	snprintf(away, sizeof(away), "%s/away", site->dir);
	assert_int_equal(rename(site->path, away), 0);
	assert_true(wait_until(loop, is_unwell));
	refused = open_stream("a", NULL);
	assert_int_equal(refused->fate, ANSWERED);
	assert_int_equal(refused->status, 200); /* or EventSource gives up */
	assert_memory_equal(refused->got.data, "retry: ", 7);
	assert_in_range(atoll(refused->got.data + 7), 10000, 30000);
	publish("a:processing"); /* by one who has it open */
	assert_int_equal(rename(away, site->path), 0);
	assert_true(wait_until(loop, is_well));
	publish("a:completed");
	wait_fate(c, ENDED);
	assert_seen(c, "1:a:queued 2:a:processing 3:a:completed ");
}

static void
test_no_database(void **state)
{
	const struct client *c;

	(void)state;
	cfg.db_path = "/nonexistent/jobwire.db";
	start();
	assert_false(hub_is_well(hub));
	c = open_stream("a", NULL);
	assert_int_equal(c->fate, ANSWERED);
	assert_int_equal(c->status, 200);
	assert_memory_equal(c->got.data, "retry: ", 7);
}

/* Where places are shared, one is taken per stream and given back with it. */
static void
test_places(void **state)
{
	struct places *mine = NULL, *others = NULL;
	struct client *c;
	size_t place;

	(void)state;
	assert_int_equal(places_open(cfg.db_path, 2, &mine), OK);
	assert_int_equal(places_open(cfg.db_path, 2, &others), OK);
	cfg.places = mine;
	start();
	c = open_stream("a", NULL);
	assert_int_equal(places_take(others, &place), OK);
	assert_int_equal(open_stream("b", NULL)->fate, ANSWERED);
	assert_int_equal(metrics->hub.overloads, 1);
	client_leave(c);
	assert_int_equal(open_stream("b", NULL)->fate, OPEN);
	assert_int_equal(places_take(others, &place), ERR_FULL);
	hub_free(&hub);
	places_close(&others);
	places_close(&mine);
}

/* --- Trouble -------------------------------------------------------------- */

static int reads_to_fail;

/* sqlite3_progress_handler(): not 0 interrupts the statement. */
static int
on_progress(void *arg)
{
	(void)arg;
	return reads_to_fail > 0 ? reads_to_fail-- : 0;
}

/* Reading fails, for the hub and for a stream that is behind, and then goes
 * again. A hint may come first: it must not make anybody forgotten. */
static void
test_reading_fails(void **state)
{
	struct client *c, *behind;

	(void)state;
	cfg.poll_ms = 300;
	start();
	c = open_stream("a", NULL);
	behind = open_stream("a", NULL);
	settle();
	behind->room = 9;
	publish("a:note a:note");
	settle();
	sqlite3_progress_handler(hub->db->h, 1, on_progress, NULL);
	reads_to_fail = 1000000;
	client_allow(behind, SIZE_MAX);
	assert_seen(behind, "1:a:note ");
	publish("a:note");
	turn();
	turn();
	assert_false(hub_is_well(hub));
	assert_seen(c, "1:a:note 2:a:note ");
	reads_to_fail = 0;
	watch_hint(hub->watch);
	turn();
	wait_seen(c, "1:a:note 2:a:note 3:a:note ");
	wait_seen(behind, "1:a:note 2:a:note 3:a:note ");
	assert_true(hub_is_well(hub));
	assert_true(metrics->hub.read_errors > 0);
	reads_to_fail = 1000000;
	c = open_stream("a", NULL);
	assert_int_equal(c->fate, ANSWERED);
	reads_to_fail = 0;
}

/* A row that cannot be sent holds up nobody, and is counted once. */
static void
test_unsendable_row(void **state)
{
	struct client *c[3];

	(void)state;
	c[0] = open_stream("a", NULL);
	raw(site, "INSERT INTO job_events (job_id, type, data) VALUES "
		  "('a', 'queued', '{}'), ('a', 'note', json_object('x', "
		  "printf('%.*c', 1048577, 'x'))), ('a', 'note', '{}')");
	c[1] = open_stream("a", NULL);
	settle();
	c[2] = open_stream("a", NULL);
	for (size_t i = 0; i < COUNT(c); i++)
		assert_seen(c[i], "1:a:queued 3:a:note ");
	assert_int_equal(metrics->hub.rows_skipped, 1);
}

/* More of them in a row than are read at once; these are nested too deep. */
static void
test_unsendable_rows(void **state)
{
	struct client *c;

	(void)state;
	raw(site, "WITH RECURSIVE k(i) AS "
		  "(SELECT 1 UNION ALL SELECT i + 1 FROM k WHERE i < 200) "
		  "INSERT INTO job_events (job_id, type, data) SELECT 'a', "
		  "'note', '{\"x\":' || replace(hex(zeroblob(40)), '00', '[') "
		  "|| replace(hex(zeroblob(40)), '00', ']') || '}' FROM k");
	publish("a:note");
	c = open_stream("a", NULL);
	settle();
	assert_seen(c, "201:a:note ");
	assert_int_equal(metrics->hub.rows_skipped, 200);
}

/* One at the very end: a page neither waits for an end that was, nor is sent
 * round for ever because no id leads past that row. */
static void
test_unsendable_end(void **state)
{
	char id[SSE_ID_SIZE] = "";
	struct client *c = NULL;

	(void)state;
	raw(site, "INSERT INTO job_events (job_id, type, data) VALUES "
		  "('a', 'queued', NULL), ('a', 'completed', json_object('x', "
		  "printf('%.*c', 1048577, 'x')))");
	for (int i = 0; i < 5; i++) {
		c = open_stream("a", id[0] == '\0' ? NULL : id);
		settle();
		if (c->fate != ENDED)
			break;
		if (last_id(c) != NULL)
			snprintf(id, sizeof(id), "%s", last_id(c));
	}
	assert_int_equal(c->fate, ANSWERED);
	assert_int_equal(c->status, 204);
	assert_int_equal(metrics->hub.rows_skipped, 1);
}

/* A job that has nothing else: there was never anything to say. */
static void
test_unsendable_only(void **state)
{
	struct client *c, *late;

	(void)state;
	c = open_stream("a", NULL);
	raw(site,
	    "INSERT INTO job_events (job_id, type, data) VALUES "
	    "('a', 'note', json_object('x', printf('%.*c', 1048577, 'x'))),"
	    "('a', 'failed', json_object('x', printf('%.*c', 1048577, "
	    "'x')))");
	wait_fate(c, ENDED);
	assert_seen(c, "");
	late = open_stream("a", last_id(c));
	assert_int_equal(late->fate, ANSWERED);
	assert_int_equal(late->status, 204);
	assert_int_equal(metrics->hub.rows_skipped, 2);
	publish("a:queued");
	c = open_stream("a", NULL);
	assert_seen(c, "3:a:queued ");
	assert_int_equal(c->fate, OPEN);
}

/* More rows at once than one look reads; the base poll is for what nobody
 * announced, and may be far away. */
static void
test_burst(void **state)
{
	struct client *c;

	(void)state;
	cfg.poll_ms = 60000;
	start();
	c = open_stream("a", NULL);
	settle();
	raw(site, "BEGIN IMMEDIATE");
	raw_events(site, "filler", "note", 30000);
	raw(site, "INSERT INTO job_events (job_id, type) VALUES ('a', 'note')");
	raw(site, "COMMIT");
	wait_seen(c, "30001:a:note ");
}

/* A client with a long history ahead of it leaves others their turns. */
static void
test_long_replay_takes_turns(void **state)
{
	struct client *c;

	(void)state;
	raw_events(site, "a", "note", 10000);
	settle();
	c = open_stream("a", NULL);
	turn();
	assert_in_range(metrics->hub.delivered, 1, 9999);
	settle();
	assert_int_equal(metrics->hub.delivered, 10000);
	assert_int_equal(c->fate, OPEN);
}

/* --- Memory --------------------------------------------------------------- */

/* No memory costs the one stream that asked, at most. */
static void
test_open_without_memory(void **state)
{
	struct client *c;
	bool is_more = true;

	(void)state;
	publish("a:queued b:queued a:processing");
	for (unsigned n = 1; is_more; n++) {
		c = client_new();
		buf_reserve(&c->got, 4096); /* not to be what fails */
		buf_reserve(&c->head, 4096);
		buf_reserve(&c->span, 4096);
		hub->is_failing = true; /* as if that were logged before */
		alloc_fail_start(n);
		client_ask(c, "a b", NULL);
		is_more = alloc_fail_stop();
		settle();
		if (c->fate == ANSWERED)
			assert_memory_equal(c->got.data, "retry: ", 7);
		else if (c->fate == OPEN)
			assert_seen(c, "1:a:queued 2:b:queued 3:a:processing ");
		else
			assert_int_equal(c->fate, DROPPED);
		if (c->fate == OPEN)
			client_leave(c);
		assert_int_equal(metrics->hub.open, 0);
		assert_int_equal(metrics->hub.waiting, 0);
	}
	assert_int_equal(c->fate, LEFT); /* the last one was opened */
}

/* The same while events are handed out, to one that keeps up and to one that
 * does not. */
static void
test_live_without_memory(void **state)
{
	struct client *c, *slow;
	char expected[8192] = "";
	bool is_more = true;
	long long id;

	(void)state;
	c = open_stream("a", NULL);
	slow = open_stream("a", NULL);
	buf_reserve(&c->got, 65536);
	buf_reserve(&slow->got, 65536);
	buf_reserve(&slow->span, 4096);
	settle();
	for (unsigned n = 1; is_more; n++) {
		hub->is_failing = true; /* as if that were logged before */
		slow->room = 40;
		publish("a:note");
		alloc_fail_start(n);
		turn();
		client_allow(slow, SIZE_MAX);
		turn();
		is_more = alloc_fail_stop();
		client_allow(slow, SIZE_MAX);
		settle();
		id = raw_int(site, "SELECT max(id) FROM job_events");
		snprintf(expected + strlen(expected),
		    sizeof(expected) - strlen(expected), "%lld:a:note ", id);
		assert_seen(c, expected);
		assert_seen(slow, expected);
	}
}

/* --- All of it at random -------------------------------------------------- */

/* What a page has put together over its connections. */
struct page {
	const char *jobs, *in_sql;
	struct client *c; /* NULL between two connections */
	struct buf text;
	char id[SSE_ID_SIZE]; /* "" before the first event */
};

static struct page pages[] = {
    {.jobs = "a", .in_sql = "('a')"},
    {.jobs = "b", .in_sql = "('b')"},
    {.jobs = "c a", .in_sql = "('a', 'c')"},
    {.jobs = "a b c", .in_sql = "('a', 'b', 'c')"},
    {.jobs = "b", .in_sql = "('b')"},
    {.jobs = "c", .in_sql = "('c')"},
};

/* Keeps what a connection brought, if it is over. */
static void
page_collect(struct page *p)
{
	if (p->c == NULL || p->c->fate == OPEN)
		return;
	if (p->c->fate != ANSWERED && last_id(p->c) != NULL) {
		snprintf(p->id, sizeof(p->id), "%s", last_id(p->c));
		buf_add_str(&p->text, seen(p->c));
	}
	p->c = NULL;
}

static void
page_connect(struct page *p, size_t room, size_t step)
{
	p->c = client_new();
	p->c->room = room;
	p->c->step = step;
	client_ask(p->c, p->jobs, p->id[0] != '\0' ? p->id : NULL);
	page_collect(p);
}

static void
page_step(struct page *p)
{
	size_t room = random() % 2 == 0 ? SIZE_MAX : (size_t)random() % 700;

	page_collect(p);
	switch (random() % 4) {
	case 0:
		if (p->c == NULL)
			page_connect(p, room, (size_t)random() % 300 + 1);
		break;
	case 1:
		if (p->c != NULL && random() % 4 == 0)
			client_leave(p->c);
		break;
	case 2:
		if (p->c != NULL)
			client_allow(p->c, room);
		break;
	default:
		if (p->c != NULL && !p->c->is_blocked)
			p->c->room = room;
		break;
	}
	page_collect(p);
}

/* Each event of its jobs is there, in order and once. */
static void
page_check(struct page *p)
{
	char sql[256], found[64];
	double sum = 0;
	long long n = 0, last = 0, id;

	for (const char *at = buf_span(&p->text).p; *at != '\0';
	     at = strchr(at, ' ') + 1) {
		id = atoll(at);
		assert_true(id > last);
		last = id;
		sum += (double)id;
		n++;
	}
	snprintf(found, sizeof(found), "%.1f %lld", sum, n);
	snprintf(sql, sizeof(sql),
	    "SELECT total(id) || ' ' || count(*) FROM job_events "
	    "WHERE job_id IN %s",
	    p->in_sql);
	assert_string_equal(found, raw_text(site, sql));
}

/* Reads to the end, over as many connections as it takes. */
static void
page_finish(struct page *p)
{
	for (int i = 0; i < 5; i++) {
		page_collect(p);
		if (p->c == NULL)
			page_connect(p, SIZE_MAX, SIZE_MAX);
		if (p->c != NULL)
			client_allow(p->c, SIZE_MAX);
		settle();
	}
	if (p->c != NULL)
		client_leave(p->c);
	page_collect(p);
	page_check(p);
	buf_done(&p->text);
	p->id[0] = '\0';
}

static void
publish_any(void)
{
	static const char *const types[] = {"queued", "processing", "progress",
	    "progress", "note", "completed", "failed"};
	char event[32];

	snprintf(event, sizeof(event), "%c:%s", (char)('a' + random() % 3),
	    types[(size_t)random() % COUNT(types)]);
	publish(event);
}

/* Whatever the order of events, connections and stalls. */
static void
test_random(void **state)
{
	(void)state;
	for (unsigned seed = 1; seed <= 5; seed++) {
		srandom(seed);
		for (int i = 0; i < 400; i++) {
			page_step(&pages[(size_t)random() % COUNT(pages)]);
			if (random() % 2 == 0)
				publish_any();
			if (random() % 3 == 0)
				turn();
		}
		for (size_t i = 0; i < COUNT(pages); i++)
			page_finish(&pages[i]);
		assert_int_equal(metrics->hub.open, 0);
		assert_int_equal(metrics->hub.lagging, 0);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(test_replaced),
	    TEST(test_restored),
	    TEST(test_restored_unwatched),
	    TEST(test_missing_for_a_while),
	    TEST_OWN(test_no_database),
	    TEST_OWN(test_places),
	    TEST_OWN(test_reading_fails),
	    TEST(test_unsendable_row),
	    TEST(test_unsendable_rows),
	    TEST(test_unsendable_end),
	    TEST(test_unsendable_only),
	    TEST_OWN(test_burst),
	    TEST(test_long_replay_takes_turns),
	    TEST(test_open_without_memory),
	    TEST(test_live_without_memory),
	    TEST(test_random),
	};

	return cmocka_run_group_tests(tests, alloc_fail_reach_sqlite, NULL);
}
