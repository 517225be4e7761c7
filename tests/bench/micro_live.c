/* SPDX-License-Identifier: ISC */
/* The way out: new rows as frames, and one frame to many streams whose clients
 * take everything. */
#include <stdio.h>
#include <string.h>

/* The hub itself: what it does with a row is measured apart from waiting. */
#include "live/hub.c"
#include "live/stream.h"
#include "micro.h"

enum { STREAMS = 1000, NEVER_MS = 500 * 3600 * 1000 };

static struct db *db;
static struct hub *hub;
static struct exchange clients[STREAMS];
static struct batch batch;
static int64_t newest;

/* --- Clients -------------------------------------------------------------- */

static void
on_answer(struct exchange *x, const struct answer *a)
{
	(void)x;
	(void)a;
	micro_must(false, "a stream is opened");
}

static enum sent
on_send(struct exchange *x, struct span body, size_t *progress)
{
	(void)x;
	*progress = body.n;
	return SENT_ALL;
}

static void
on_end(struct exchange *x)
{
	(void)x;
	micro_must(false, "a stream stays open");
}

static const struct exchange_ops ops = {on_answer, on_send, on_end, on_end};

/* --- Rows ----------------------------------------------------------------- */

/* An event for each of that many jobs, or that many for one. */
static void
publish(int n, bool is_one_job)
{
	struct event_new e = {
	    .type = "progress", .data = SPAN_LIT("{\"progress\":40}")};
	char job[16];
	bool is_duplicate;

	e.job_id = job;
	micro_must(db_begin(db) == OK, "a transaction begins");
	for (int i = 0; i < n; i++) {
		snprintf(job, sizeof(job), "job-%05d", is_one_job ? 0 : i);
		micro_must(events_append(db, &e, &newest, &is_duplicate) == OK,
		    "an event is stored");
	}
	micro_must(db_commit(db) == OK, "it is committed");
}

static void
open_streams(bool is_one_job)
{
	static struct metrics *metrics;
	static struct loop *loop;
	struct hub_config cfg = {.heartbeat_ms = NEVER_MS,
	    .lifetime_ms = NEVER_MS,
	    .retry_min_ms = 1000,
	    .retry_max_ms = 1000,
	    .max_streams = STREAMS,
	    .lag_timeout_ms = NEVER_MS,
	    .drain_ms = 100,
	    .inline_output = 4096,
	    .poll_ms = 1000,
	    .watch = WATCH_NOTHING};
	const char *job_id;
	struct waiter_request req = {.sel = {.job_ids = &job_id, .n_jobs = 1}};
	char job[16];

	db = micro_database(&cfg.db_path);
	micro_must(
	    loop_new(&loop) == OK && metrics_new(1, &metrics) == OK, "memory");
	cfg.metrics = metrics;
	micro_must(hub_new(loop, &cfg, &hub) == OK, "there is a hub");
	job_id = job;
	for (int i = 0; i < STREAMS; i++) {
		snprintf(job, sizeof(job), "job-%05d", is_one_job ? 0 : i);
		clients[i].ops = &ops;
		stream_open(hub, &clients[i], &req);
	}
}

/* --- The cases ------------------------------------------------------------ */

static void
set_up_rows(void)
{
	open_streams(false);
	publish(HUB_BATCH, false);
}

/* The same rows each time. */
static void
run_rows(void)
{
	batch.last_id = 0;
	micro_must(hub_fetch(hub, &batch) == OK && batch.n == HUB_BATCH,
	    "rows are read");
	hub_clear(&batch);
}

/* Two frames: for the run that warms up, and the one that is counted. */
static void
set_up_fan_out(void)
{
	open_streams(true);
	publish(2, true);
	micro_must(
	    hub_fetch(hub, &batch) == OK && batch.n == 2, "rows are read");
}

static void
run_fan_out(void)
{
	static size_t next;
	struct batch one = {.n = 1};
	struct waiter *w;
	struct frame *f;

	one.item[0] = batch.item[next++];
	f = one.item[0].frame;
	f->read_us = 0; /* so long ago that it is always the last of buckets */
	hub_dispatch(&one);
	TAILQ_FOREACH(w, &hub->waiters.list, link)
		micro_must(w->cursor == f->id, "every stream has it");
}

const struct micro_case micro_live[] = {
    {"row_to_frame", HUB_BATCH, set_up_rows, run_rows},
    {"frame_to_1000_streams", STREAMS, set_up_fan_out, run_fan_out},
    {NULL, 0, NULL, NULL},
};
