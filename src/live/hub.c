/* SPDX-License-Identifier: ISC */
/*
 * Watching, reading and fanning out. What one client is sent, and when its
 * stream ends, is stream.c's business. Runs on the loop; blocks on the disk as
 * far as reading the page cache does, and on a locked database for busy_ms at
 * most.
 */
#include "live/hub.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/container_of.h"
#include "base/log.h"
#include "io/watch.h"
#include "job/state.h"
#include "live/stream.h"
#include "store/events.h"
#include "web/sse.h"

enum {
	BATCH_BYTES_MAX = 4 << 20,
	BATCHES_PER_LOOK = 16, /* then other work gets its turn */
	STREAMS_PER_TURN = 128,
};

/* --- Topics --------------------------------------------------------------- */

enum err
hub_subscribe(
    struct hub *h, struct sub *sub, enum topic_kind kind, const char *name)
{
	struct topic *t = topics_find(&h->topics[kind], name);

	if (t == NULL)
		t = topics_add(&h->topics[kind], name);
	if (t == NULL)
		return ERR_NOMEM;
	sub->topic = t;
	sub->kind = (uint8_t)kind;
	LIST_INSERT_HEAD(&t->subs, sub, link);
	return OK;
}

void
hub_unsubscribe(struct hub *h, struct sub *sub)
{
	struct topic *t = sub->topic;

	if (t == NULL)
		return;
	LIST_REMOVE(sub, link);
	sub->topic = NULL;
	if (LIST_EMPTY(&t->subs))
		topics_remove(&h->topics[sub->kind], t);
}

/* --- Reading -------------------------------------------------------------- */

static enum frame_effect
effect_of(const char *type)
{
	enum job_state state = job_state_of(type);

	if (job_state_is_end(state))
		return FRAME_ENDS;
	return state != JOB_NO_STATE ? FRAME_OPENS : FRAME_NEUTRAL;
}

/* How long the row took to us, as far as its created_at tells. */
static void
note_age(struct hub *h, const struct event_row *row)
{
	int64_t created_ms;

	if (clock_parse_rfc3339(row->created_at, &created_ms))
		histogram_add(&h->stats->commit_to_read,
		    (clock_real_ms() - created_ms) * 1000);
}

/* Counts and logs a row that cannot be sent; once, though every stream that
 * replays it meets it again. */
static void
hub_note_skipped(struct hub *h, int64_t id, enum err why)
{
	for (size_t i = 0; i < HUB_SKIPPED_MAX; i++)
		if (h->skipped[i] == id)
			return;
	h->skipped[h->stats->rows_skipped++ % HUB_SKIPPED_MAX] = id;
	log_warn("row_skipped", "id", LOG_INT(id), "reason", err_text(why));
}

enum err
hub_add_event(struct hub *h, const struct event_row *row,
    const struct losses *known, struct buf *out, bool *ret_is_skipped)
{
	struct sse_event e = {h->epoch, row->id, loss_at(known, row->id),
	    row->type, row->job_id, row->restore_id, row->status, row->data,
	    (size_t)h->cfg.inline_output};
	enum err err = sse_add_event(out, &e);

	*ret_is_skipped = err == ERR_PROTO || err == ERR_LIMIT;
	if (!*ret_is_skipped)
		return err;
	hub_note_skipped(h, row->id, err);
	sse_add_id(out, h->epoch, row->id, e.loss);
	return buf_ok(out) ? OK : ERR_NOMEM;
}

static enum err
frame_of_row(struct batch *b, const struct event_row *row, struct frame **ret)
{
	struct buf body = BUF_INIT;
	bool is_skipped;
	enum err err =
	    hub_add_event(b->hub, row, &b->known, &body, &is_skipped);

	if (err == OK)
		err = frame_new(&body, row->id, effect_of(row->type), ret);
	buf_done(&body);
	if (err != OK)
		return err;
	(*ret)->read_us = b->read_us;
	(*ret)->is_skipped = is_skipped;
	(*ret)->floor = row->floor;
	b->bytes += (*ret)->body.len;
	return OK;
}

/* One row into the batch, once for each topic that has it. */
static bool
collect(void *arg, const struct event_row *row)
{
	struct batch *b = arg;
	struct topic *topics[TOPIC_KINDS] = {
	    topics_find(&b->hub->topics[TOPIC_JOB], row->job_id),
	    row->owner == NULL
		? NULL
		: topics_find(&b->hub->topics[TOPIC_OWNER], row->owner),
	};
	struct frame *f = NULL;
	enum err e = OK;

	if (topics[TOPIC_JOB] != NULL || topics[TOPIC_OWNER] != NULL) {
		e = frame_of_row(b, row, &f);
		if (b->is_live)
			note_age(b->hub, row);
	}
	if (e != OK) {
		/* This row is read again, when there may be memory. */
		b->is_starved = true;
		return false;
	}
	b->rows++;
	b->last_id = row->id;
	for (size_t i = 0; i < TOPIC_KINDS && f != NULL; i++) {
		if (topics[i] == NULL)
			continue;
		b->item[b->n].frame = frame_ref(f);
		b->item[b->n++].topic = topics[i];
	}
	frame_unref(&f);
	b->is_short = b->bytes >= BATCH_BYTES_MAX;
	return !b->is_short;
}

bool
batch_has_more(const struct batch *b)
{
	return b->is_short || b->rows == HUB_BATCH;
}

void
batch_done(struct batch *b)
{
	for (size_t i = 0; i < b->n; i++)
		frame_unref(&b->item[i].frame);
	b->n = 0;
}

static void
hub_set_failing(struct hub *h, bool is_failing)
{
	h->is_failing = is_failing;
	h->stats->is_failing = is_failing ? 1 : 0;
}

/* Logs the beginning and the end of trouble, not every failed attempt. */
static void
hub_note(struct hub *h, enum err e)
{
	const struct db_fault *f;

	if (e == OK && h->is_failing) {
		hub_set_failing(h, false);
		log_info("database_readable", "path", h->cfg.db_path);
	} else if (e != OK) {
		h->stats->read_errors++;
		if (h->is_failing || h->db == NULL)
			return;
		hub_set_failing(h, true);
		f = db_last_fault(h->db);
		log_error("database_unreadable", "path", h->cfg.db_path,
		    "error", err_text(e), "sqlite", f->text);
	}
}

enum err
hub_read_rows(struct hub *h, const struct selection *sel, int64_t after,
    int limit, event_row_fn *on_row, void *arg)
{
	enum err e;

	if (h->db == NULL)
		return ERR_GONE;
	if (sel->owner != NULL)
		e = events_read_owner(
		    h->db, sel->owner, after, limit, on_row, arg);
	else if (sel->n_jobs > 0)
		e = events_read_jobs(h->db, sel->job_ids, sel->n_jobs, after,
		    limit, on_row, arg);
	else
		e = events_read_all(h->db, after, limit, on_row, arg);
	hub_note(h, e);
	return e;
}

enum err
hub_fetch(struct hub *h, const struct selection *sel, struct batch *batch)
{
	enum err e;

	batch->hub = h;
	batch->n = 0;
	batch->rows = 0;
	batch->bytes = 0;
	batch->is_short = false;
	batch->is_starved = false;
	batch->read_us = clock_mono_us();
	e = hub_read_rows(h, sel, batch->last_id, HUB_BATCH, collect, batch);
	return e == OK && batch->is_starved ? ERR_NOMEM : e;
}

/* The statement is reset: now sockets may be touched. stream_deliver() ends no
 * stream, so neither the list nor the topics of this batch change meanwhile. */
static void
hub_dispatch(const struct batch *b)
{
	struct sub *sub;

	for (size_t i = 0; i < b->n; i++)
		LIST_FOREACH(sub, &b->item[i].topic->subs, link)
			stream_deliver(sub, b->item[i].frame);
}

/* Reads what is new and hands it out. */
static bool
hub_read(struct hub *h)
{
	static const struct selection all = {0};
	struct batch b = {.last_id = h->last_id, .is_live = true};
	bool found = false;
	enum err e;

	h->has_unread = false;
	for (int i = 0; i < BATCHES_PER_LOOK; i++) {
		e = hub_fetch(h, &all, &b);
		h->stats->rows_read += b.rows;
		found = found || b.rows > 0;
		h->last_id = b.last_id;
		hub_dispatch(&b);
		batch_done(&b);
		h->has_unread = e != OK || batch_has_more(&b);
		if (e != OK || !h->has_unread)
			return found;
	}
	watch_hint(h->watch); /* for the rest, in the next turn */
	return found;
}

/* --- The database as a whole ---------------------------------------------- */

/* After the file was opened again: where do the streams stand? */
static void
hub_resync_waiters(struct hub *h, const char *old_epoch)
{
	struct stream *s, *next;
	const char *reason;

	for (s = TAILQ_FIRST(&h->streams); s != NULL; s = next) {
		next = TAILQ_NEXT(s, link);
		reason = NULL;
		if (strcmp(old_epoch, h->epoch) != 0)
			reason = "epoch";
		else if (s->cursor > h->last_id)
			reason = "future";
		if (reason != NULL)
			stream_resync(s, reason);
		s->is_current = false;
		hub_queue(h, s);
	}
}

static enum err
hub_open(struct hub *h, struct db_fault *fault)
{
	struct db *db = NULL;
	int64_t last_id = 0;
	enum err e;

	e = db_open(h->cfg.db_path, h->cfg.db_mode, h->cfg.busy_ms, &db, fault);
	if (e == OK)
		e = events_last_id(db, &last_id);
	if (e != OK) {
		db_close(&db);
		return e;
	}
	h->db = db;
	h->last_id = last_id;
	memset(h->skipped, 0, sizeof(h->skipped));
	memcpy(h->epoch, db_epoch(db), sizeof(h->epoch));
	return OK;
}

/* Another reason than the last is news: the database is back, say, but may not
 * be opened. */
static void
hub_note_missing(struct hub *h, enum err e, const struct db_fault *fault)
{
	if (!h->is_failing || e != h->lack)
		log_error("database_missing", "error", fault->text);
	h->lack = e;
	hub_set_failing(h, true);
}

/* The file under our path is not the one we read: renamed, replaced, gone. */
static void
hub_reopen(struct hub *h)
{
	char old_epoch[DB_EPOCH_SIZE];
	struct db_fault fault = {0};
	enum err e;

	if (h->db != NULL) {
		log_warn("database_moved", "path", h->cfg.db_path);
		db_close(&h->db);
	}
	memcpy(old_epoch, h->epoch, sizeof(old_epoch));
	if ((e = hub_open(h, &fault)) != OK) {
		hub_note_missing(h, e, &fault);
		return;
	}
	hub_set_failing(h, false);
	log_info(
	    "database_reopened", "path", h->cfg.db_path, "epoch", h->epoch);
	hub_resync_waiters(h, old_epoch);
}

/* Streams that a failed read left behind get another chance. */
static void
hub_retry_stalled(struct hub *h)
{
	struct stream *s, *next;

	if (!h->has_stalled)
		return;
	h->has_stalled = false;
	for (s = TAILQ_FIRST(&h->streams); s != NULL; s = next) {
		next = TAILQ_NEXT(s, link); /* queueing moves it */
		if (!s->is_current && s->pending == NULL)
			hub_queue(h, s);
	}
}

static void
hub_note_watch(struct hub *h)
{
	struct watch_stats now = watch_get_stats(h->watch);

	now.hints += h->watch_before.hints;
	now.looks += h->watch_before.looks;
	h->cfg.metrics->watch = now;
}

/* Nobody waits for the rows that are new. */
static void
hub_pass_over(struct hub *h)
{
	enum err e = events_last_id(h->db, &h->last_id);

	h->has_unread = e != OK;
	hub_note(h, e);
}

void
hub_catch_up(struct hub *h)
{
	if (TAILQ_EMPTY(&h->streams) && h->db != NULL)
		hub_pass_over(h);
}

void
hub_add(struct hub *h, struct stream *s)
{
	TAILQ_INSERT_TAIL(&h->streams, s, link);
	watch_wake(h->watch);
}

static bool
on_look(void *arg, bool is_base)
{
	struct hub *h = arg;

	if (is_base)
		hub_note_watch(h);
	if (TAILQ_EMPTY(&h->streams))
		watch_sleep(h->watch);
	if (h->db == NULL || (is_base && db_has_moved(h->db)))
		hub_reopen(h);
	if (h->db == NULL)
		return false;
	hub_retry_stalled(h);
	if (!TAILQ_EMPTY(&h->streams))
		return (db_changed(h->db) || h->has_unread) && hub_read(h);
	hub_pass_over(h); /* as cheap as to ask whether there is a change */
	return false;
}

static void
on_blind(void *arg, const char *why, int64_t poll_ms)
{
	(void)arg;
	log_warn(
	    "inotify_unusable", "reason", why, "poll_ms", LOG_INT(poll_ms));
}

int64_t
hub_draw_retry_ms(const struct hub *h)
{
	return random_between(h->cfg.retry_min_ms, h->cfg.retry_max_ms);
}

/* --- Turns ---------------------------------------------------------------- */

void
hub_queue(struct hub *h, struct stream *s)
{
	if (s->is_queued)
		return;
	s->is_queued = true;
	TAILQ_REMOVE(&h->streams, s, link);
	if (h->last_ready != NULL)
		TAILQ_INSERT_AFTER(&h->streams, h->last_ready, s, link);
	else
		TAILQ_INSERT_HEAD(&h->streams, s, link);
	h->last_ready = s;
	h->n_ready++;
	loop_defer(h->loop, &h->work);
}

void
hub_unqueue(struct hub *h, struct stream *s)
{
	if (!s->is_queued)
		return;
	s->is_queued = false;
	if (h->last_ready == s)
		h->last_ready = TAILQ_PREV(s, streams, link);
	TAILQ_REMOVE(&h->streams, s, link);
	TAILQ_INSERT_TAIL(&h->streams, s, link);
	h->n_ready--;
}

static void
on_work(struct deferred *d)
{
	struct hub *h = container_of(d, struct hub, work);
	struct stream *s;
	size_t n =
	    h->n_ready < STREAMS_PER_TURN ? h->n_ready : STREAMS_PER_TURN;

	/* Not those that queue themselves again meanwhile: a long replay leaves
	 * the others their turns. */
	for (; n > 0 && h->n_ready > 0; n--) {
		s = TAILQ_FIRST(&h->streams);
		hub_unqueue(h, s);
		stream_advance(s);
	}
	if (h->n_ready > 0)
		loop_defer(h->loop, &h->work);
}

/* --- Life ----------------------------------------------------------------- */

static enum err
text_frame(const char *text, struct frame **ret)
{
	struct buf b = BUF_INIT;

	buf_add_str(&b, text);
	return frame_new(&b, 0, FRAME_NEUTRAL, ret);
}

enum err
hub_new(struct loop *loop, const struct hub_config *cfg, struct hub **ret)
{
	struct watch_config watch = {
	    cfg->db_path, cfg->watch, cfg->poll_ms, on_look, on_blind, NULL};
	struct hub *h = calloc(1, sizeof(*h));
	struct db_fault fault = {0};
	enum err e;

	if (h == NULL)
		return ERR_NOMEM;
	h->loop = loop;
	h->cfg = *cfg;
	h->stats = &cfg->metrics->hub;
	h->watch_before = cfg->metrics->watch;
	h->work.run = on_work;
	for (size_t i = 0; i < TOPIC_KINDS; i++)
		topics_init(&h->topics[i]);
	TAILQ_INIT(&h->streams);
	watch.arg = h;
	if ((e = hub_open(h, &fault)) != OK)
		hub_note_missing(h, e, &fault);
	e = text_frame(": heartbeat\n", &h->beat_comment);
	if (e == OK)
		e = text_frame(
		    "event: heartbeat\ndata: {}\n\n", &h->beat_event);
	if (e == OK)
		e = watch_start(loop, &watch, &h->watch);
	if (e != OK) {
		hub_free(&h);
		return e;
	}
	*ret = h;
	return OK;
}

bool
hub_is_well(const struct hub *h)
{
	return h->db != NULL && !h->is_failing;
}

void
hub_drain(struct hub *h)
{
	struct stream *s;

	h->is_draining = true;
	TAILQ_FOREACH(s, &h->streams, link)
		stream_drain(s, h->cfg.drain_ms);
}

void
hub_free(struct hub **hub)
{
	struct hub *h = *hub;

	if (h == NULL)
		return;
	while (!TAILQ_EMPTY(&h->streams))
		stream_abandon(TAILQ_FIRST(&h->streams));
	loop_undefer(h->loop, &h->work);
	watch_stop(&h->watch);
	frame_unref(&h->beat_comment);
	frame_unref(&h->beat_event);
	for (size_t i = 0; i < TOPIC_KINDS; i++)
		topics_done(&h->topics[i]);
	db_close(&h->db);
	free(h);
	*hub = NULL;
}
