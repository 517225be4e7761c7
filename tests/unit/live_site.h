/* SPDX-License-Identifier: ISC */
/*
 * What the tests of src/live share: a hub on a real database, events from a
 * foreign program, and clients that no transport carries: each takes as many
 * bytes as the test lets it. Include after cmocka.h.
 */
#ifndef JOBWIRE_LIVE_SITE_H
#define JOBWIRE_LIVE_SITE_H

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
/* The hub itself: its tests look at how far it is. */
#include "live/hub.c"
#include "live/stream.h"
#include "store_site.h"
#include "wait_loop.h"
#include "web/sse.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

enum { NEVER_MS = 500 * 3600 * 1000, RETRY_MS = 2731 };

static struct site *site;
static struct loop *loop;
static struct hub *hub;
static struct hub_config cfg;
static struct metrics *metrics;

/* --- Clients -------------------------------------------------------------- */

enum fate { OPEN, ANSWERED, ENDED, DROPPED, LEFT };

struct client {
	struct exchange x; /* first */
	SLIST_ENTRY(client) link;
	enum fate fate;
	int status;	 /* of an answer */
	struct buf got;	 /* bytes of the stream, or the answer's body */
	struct buf head; /* an answer's header fields */
	size_t room;	 /* bytes it still takes */
	size_t step;	 /* at most so many at once */
	bool is_gone;	 /* sending fails */
	bool is_blocked; /* the last send was SENT_PART, of this: */
	struct buf span;
	size_t progress;
};

static SLIST_HEAD(, client) clients;

static inline struct client *
client_of(struct exchange *x)
{
	struct client *c = (struct client *)(void *)x;

	assert_int_equal(
	    c->fate, OPEN); /* nothing may be called after an end */
	return c;
}

/* What was begun must be sent on, and nothing else. */
static inline void
check_continued(struct client *c, struct span body, size_t progress)
{
	if (!c->is_blocked) {
		assert_int_equal(progress, 0);
		return;
	}
	assert_int_equal(progress, c->progress);
	assert_int_equal(body.n, c->span.len);
	assert_memory_equal(body.p, buf_span(&c->span).p, body.n);
}

static inline enum sent
op_send(struct exchange *x, struct span body, size_t *progress)
{
	struct client *c = client_of(x);
	size_t n = body.n - *progress;

	check_continued(c, body, *progress);
	if (c->is_gone)
		return SENT_GONE;
	n = n < c->room ? n : c->room;
	n = n < c->step ? n : c->step;
	buf_add(&c->got, body.p + *progress, n);
	c->room -= c->room == SIZE_MAX ? 0 : n;
	*progress += n;
	c->progress = *progress;
	c->is_blocked = *progress < body.n;
	buf_reset(&c->span);
	if (c->is_blocked)
		buf_add_span(&c->span, body);
	return c->is_blocked ? SENT_PART : SENT_ALL;
}

static inline void
op_answer(struct exchange *x, const struct answer *a)
{
	struct client *c = client_of(x);

	assert_int_equal(c->got.len, 0); /* or it is the end of a stream */
	assert_true(buf_ok(&a->headers));
	c->status = a->status;
	buf_add_span(&c->head, buf_span(&a->headers));
	buf_add_span(&c->got, buf_span(&a->body));
	c->fate = ANSWERED;
}

static inline void
op_end(struct exchange *x)
{
	struct client *c = client_of(x);

	assert_false(c->is_blocked);
	c->fate = ENDED;
}

static inline void
op_drop(struct exchange *x)
{
	client_of(x)->fate = DROPPED;
}

static const struct exchange_ops client_ops = {
    op_answer, op_send, op_end, op_drop};

/* One that takes everything. */
static inline struct client *
client_new(void)
{
	struct client *c = calloc(1, sizeof(*c));

	assert_non_null(c);
	c->x.ops = &client_ops;
	c->room = c->step = SIZE_MAX;
	SLIST_INSERT_HEAD(&clients, c, link);
	return c;
}

static inline void
clients_free(void)
{
	struct client *c;

	while ((c = SLIST_FIRST(&clients)) != NULL) {
		SLIST_REMOVE_HEAD(&clients, link);
		buf_done(&c->got);
		buf_done(&c->head);
		buf_done(&c->span);
		free(c);
	}
}

/* The jobs are separated by spaces; last_id NULL: none. */
static inline void
client_ask(struct client *c, const char *jobs, const char *last_id)
{
	const char *ids[JOB_IDS_MAX];
	struct waiter_request req = {.sel.job_ids = ids,
	    .last_event_id = span_of(last_id),
	    .headers = SPAN_LIT("X-Test: 1\r\n")};
	char names[512];

	snprintf(names, sizeof(names), "%s", jobs);
	for (char *id = strtok(names, " "); id != NULL; id = strtok(NULL, " "))
		ids[req.sel.n_jobs++] = id;
	stream_open(hub, &c->x, &req);
}

static inline struct client *
open_stream(const char *jobs, const char *last_id)
{
	struct client *c = client_new();

	client_ask(c, jobs, last_id);
	return c;
}

/* The client takes so many bytes more; the transport says so as long as
 * something waits. */
static inline void
client_allow(struct client *c, size_t n)
{
	c->room = n == SIZE_MAX ? n : c->room + n;
	while (c->fate == OPEN && c->is_blocked && c->room > 0)
		c->x.told->on_writable(&c->x);
}

/* It goes away, and the transport sees it. */
static inline void
client_leave(struct client *c)
{
	assert_int_equal(c->fate, OPEN);
	c->x.told->on_gone(&c->x);
	c->fate = LEFT;
}

/* --- What a client has seen ----------------------------------------------- */

static inline struct span
cut_through(struct span *s, const char *mark)
{
	const char *at =
	    s->n == 0 ? NULL : memmem(s->p, s->n, mark, strlen(mark));
	struct span taken = {s->p, at == NULL ? 0 : (size_t)(at - s->p)};

	if (at != NULL) {
		s->p = at + strlen(mark);
		s->n -= taken.n + strlen(mark);
	} else {
		*s = (struct span){0};
	}
	return taken;
}

/* The text between two marks; empty when there is none. */
static inline struct span
between(struct span s, const char *from, const char *to)
{
	(void)cut_through(&s, from);
	return cut_through(&s, to);
}

/* Of several ids in a block the last counts. Empty when there is none. */
static inline struct span
block_id(struct span block)
{
	struct span next, id = {0};

	while ((next = between(block, "id: ", "\n")).n > 0) {
		id = next;
		block.n -= (size_t)(id.p - block.p);
		block.p = id.p;
	}
	return id;
}

/* The next whole event; empty at the end. What was cut short is forgotten, as a
 * browser does. There is none without data: many clients would take an empty
 * line for one. */
static inline struct span
cut_event(struct span *s)
{
	struct span block = cut_through(s, "\n\n");

	block.n += block.n > 0; /* its last line's end */
	assert_true(block.n == 0 || memmem(block.p, block.n, "\ndata: ", 7));
	return block;
}

/* Whole events as "ID:JOB:TYPE "; a resync as "ID:resync:REASON ". */
static inline const char *
seen(const struct client *c)
{
	static struct buf text;
	struct span rest = buf_span(&c->got), block, id;

	buf_reset(&text);
	buf_reserve(&text, 1);
	(void)cut_through(&rest, "\r\n\r\n");
	while ((block = cut_event(&rest)).n > 0) {
		id = block_id(block);
		if (id.n == 0)
			continue; /* heartbeat */
		buf_addf(&text, "%lld", atoll(id.p + 9));
		buf_add_char(&text, ':');
		if (memmem(block.p, block.n, "event: resync\n", 14) != NULL) {
			buf_add_str(&text, "resync:");
			buf_add_span(
			    &text, between(block, "{\"reason\":\"", "\""));
		} else {
			buf_add_span(
			    &text, between(block, "{\"job_id\":\"", "\""));
			buf_add_char(&text, ':');
			buf_add_span(&text, between(block, "event: ", "\n"));
		}
		buf_add_char(&text, ' ');
	}
	assert_true(buf_ok(&text));
	return text.data;
}

/* What it would send as Last-Event-ID: the id of the last whole event. NULL
 * before the first; valid until the next call. */
static inline const char *
last_id(const struct client *c)
{
	static char last[SSE_ID_SIZE];
	struct span rest = buf_span(&c->got), block, id;

	last[0] = '\0';
	(void)cut_through(&rest, "\r\n\r\n");
	while ((block = cut_event(&rest)).n > 0) {
		id = block_id(block);
		if (id.n > 0)
			snprintf(last, sizeof(last), "%.*s", (int)id.n, id.p);
	}
	return last[0] == '\0' ? NULL : last;
}

static inline const char *
id_of(long long n)
{
	static char id[SSE_ID_SIZE];

	sse_id_format(hub->epoch, n, 0, id);
	return id;
}

static inline void
assert_seen(const struct client *c, const char *expected)
{
	if (strcmp(seen(c), expected) != 0)
		fail_msg("seen \"%s\", not \"%s\"", seen(c), expected);
}

/* --- Time ----------------------------------------------------------------- */

static inline bool
is_true(void)
{
	return true;
}

static inline void
turn(void)
{
	assert_true(wait_until(loop, is_true));
}

static long long newest_id;

static inline bool
is_settled(void)
{
	return hub->db != NULL && hub->last_id >= newest_id &&
	       hub->waiters.n_ready == 0 && !hub->has_unread &&
	       !hub->has_stalled;
}

/* Until the hub has handed out all there is; then nothing more comes. */
static inline void
settle(void)
{
	newest_id = raw_int(
	    site, "SELECT seq FROM sqlite_sequence WHERE name = 'job_events'");
	if (!wait_until(loop, is_settled))
		fail_msg("the hub stands at %lld of %lld",
		    (long long)hub->last_id, newest_id);
	turn();
}

static const struct client *awaited;
static const char *awaited_text;
static enum fate awaited_fate;

static inline bool
has_seen(void)
{
	return strcmp(seen(awaited), awaited_text) == 0;
}

static inline bool
has_fate(void)
{
	return awaited->fate == awaited_fate;
}

static inline void
wait_seen(const struct client *c, const char *expected)
{
	awaited = c;
	awaited_text = expected;
	(void)wait_until(loop, has_seen);
	assert_seen(c, expected);
}

static inline void
wait_fate(const struct client *c, enum fate fate)
{
	awaited = c;
	awaited_fate = fate;
	if (!wait_until(loop, has_fate))
		fail_msg("fate %d, not %d", c->fate, fate);
}

/* --- Publishing ----------------------------------------------------------- */

/* "a:queued b:progress .." in one transaction, as a foreign program. */
static inline void
publish(const char *events)
{
	char text[512], sql[256], *type;

	snprintf(text, sizeof(text), "%s", events);
	raw(site, "BEGIN IMMEDIATE");
	for (char *job = strtok(text, " "); job != NULL;
	     job = strtok(NULL, " ")) {
		type = strchr(job, ':');
		*type++ = '\0';
		snprintf(sql, sizeof(sql),
		    "INSERT INTO job_events (job_id, type) VALUES ('%s', '%s')",
		    job, type);
		raw(site, sql);
	}
	raw(site, "COMMIT");
}

/* --- Another database ----------------------------------------------------- */

enum { PATH_SIZE = 160 };

/* A file beside ours, with that event: "('JOB', 'TYPE')". */
static inline void
new_database(char ret_path[PATH_SIZE], const char *event)
{
	struct db *db = NULL;
	char sql[256];
	sqlite3 *h;

	snprintf(ret_path, PATH_SIZE, "%s/other", site->dir);
	assert_int_equal(db_open(ret_path, DB_CREATE, BUSY_MS, &db, NULL), OK);
	db_close(&db);
	assert_int_equal(sqlite3_open(ret_path, &h), SQLITE_OK);
	snprintf(sql, sizeof(sql),
	    "INSERT INTO job_events (job_id, type) VALUES %s", event);
	assert_int_equal(sqlite3_exec(h, sql, NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(h);
}

/* Lets go of the database; puts the other file in its place. */
static inline void
replace_database(const char *other)
{
	char path[160];

	sqlite3_close(site->raw);
	site->raw = NULL;
	db_close(&site->db);
	snprintf(path, sizeof(path), "%s-wal", site->path);
	unlink(path);
	snprintf(path, sizeof(path), "%s-shm", site->path);
	unlink(path);
	assert_int_equal(rename(other, site->path), 0);
	site_open_raw(site);
}

/* --- The tests' frame ----------------------------------------------------- */

static inline int
set_up(void **state)
{
	log_set_level(LOG_LEVEL_ERROR);
	site_setup(state);
	site = *state;
	assert_int_equal(loop_new(&loop), OK);
	assert_int_equal(metrics_new(1, &metrics), OK);
	cfg = (struct hub_config){
	    .db_path = site->path,
	    .heartbeat_ms = NEVER_MS,
	    .lifetime_ms = NEVER_MS,
	    .retry_min_ms = RETRY_MS,
	    .retry_max_ms = RETRY_MS,
	    .max_streams = 500,
	    .lag_timeout_ms = NEVER_MS,
	    .drain_ms = 100,
	    .inline_output = 4096,
	    .poll_ms = 20,
	    .busy_ms = 20,
	    .watch = WATCH_FOLDER,
	    .metrics = metrics,
	};
	return 0;
}

static inline void
start(void)
{
	assert_int_equal(hub_new(loop, &cfg, &hub), OK);
}

static inline int
set_up_hub(void **state)
{
	set_up(state);
	start();
	return 0;
}

static inline int
tear_down(void **state)
{
	const struct client *c;

	hub_free(&hub);
	SLIST_FOREACH(c, &clients, link)
		assert_int_not_equal(c->fate, OPEN);
	assert_int_equal(metrics->hub.open, 0);
	assert_int_equal(metrics->hub.lagging, 0);
	clients_free();
	metrics_free(&metrics, 1);
	loop_free(&loop);
	return site_teardown(state);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up_hub, tear_down)
/* Starts its own hub. */
#define TEST_OWN(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

#endif
