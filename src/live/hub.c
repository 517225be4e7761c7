/* SPDX-License-Identifier: ISC */
/*
 * Watching, reading and fanning out. What one client is sent, and when it
 * ends, is decided in stream.c and poll.c. Runs on the loop; blocks on the disk
 * as far as reading the page cache does, and on a locked database for busy_ms
 * at most.
 */
#include "live/hub.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "store/mark.h"

enum {
	BATCHES_PER_LOOK = 16, /* then other work gets its turn */
	SKIPPED_MAX = 1024,
	/* Where nobody may write, to open it anew is of no use. */
	REOPEN_PAUSE_US = 10 * 1000 * 1000,
};

struct hub {
	struct loop *loop;
	struct hub_config cfg;
	struct db *db; /* NULL while the database is missing */
	char epoch[DB_EPOCH_SIZE];
	struct watch *watch;
	struct watch_stats watch_before; /* of who had our slot before us */
	struct waiters waiters;
	struct early_queue early;
	int64_t last_id;	      /* event id: newest row handed out */
	int64_t skipped[SKIPPED_MAX]; /* rows that were logged, a ring */
	bool has_unread;  /* a read failed or stopped at its limit */
	bool has_stalled; /* a waiter could not read: try again */
	bool is_draining;
	bool is_spoiled;	 /* the connection is to be opened anew */
	int64_t spoiled_us;	 /* since when, the last time; 0: never */
	bool is_failing;	 /* the present trouble was logged */
	enum err lack;		 /* why the database could not be opened last */
	struct hub_stats *stats; /* in cfg.metrics */
};

/* Rows as frames, in id order, each with a topic it belongs to; a row that
 * belongs to two stands there twice. */
struct batch {
	struct hub *hub;
	struct {
		struct frame *frame; /* owned */
		struct topic *topic;
	} item[HUB_BATCH * TOPIC_KINDS];
	size_t n;	 /* items */
	size_t rows;	 /* rows read, also those without an item */
	size_t bytes;	 /* of the frames */
	int64_t read_us; /* CLOCK_MONOTONIC */
	int64_t last_id; /* of the last row read */
	bool is_starved; /* stopped early: no memory */
};

/* --- Reading -------------------------------------------------------------- */

/* How long the row took to us, as far as its created_at tells. */
static void
note_age(struct hub *h, const struct event_row *row)
{
	int64_t created_ms;

	if (clock_parse_rfc3339(row->created_at, &created_ms))
		histogram_add(&h->stats->commit_to_read,
		    (clock_real_ms() - created_ms) * 1000);
}

void
hub_note_skipped(struct hub *h, int64_t id, enum err why)
{
	for (size_t i = 0; i < SKIPPED_MAX; i++)
		if (h->skipped[i] == id)
			return;
	h->skipped[h->stats->rows_skipped++ % SKIPPED_MAX] = id;
	log_warn("row_skipped", "id", LOG_INT(id), "reason", err_text(why));
}

/* One row into the batch, once for each topic that has it. */
static bool
collect(void *arg, const struct event_row *row)
{
	struct batch *b = arg;
	struct topic *topics[TOPIC_KINDS] = {
	    topics_find(&b->hub->waiters.topics[TOPIC_JOB], row->job_id),
	    row->owner == NULL
		? NULL
		: topics_find(&b->hub->waiters.topics[TOPIC_OWNER], row->owner),
	};
	struct frame *f = NULL;

	if (topics[TOPIC_JOB] != NULL || topics[TOPIC_OWNER] != NULL) {
		if (hub_make_frame(b->hub, row, 0, &f) != OK) {
			/* It is read again, when there may be memory. */
			b->is_starved = true;
			return false;
		}
		f->read_us = b->read_us;
		b->bytes += f->body.len;
		note_age(b->hub, row);
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
	return b->bytes < HUB_BATCH_BYTES;
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

/* Reads the rows after the batch's last_id into it. OK, or why not: those read
 * so far are in it then. hub_clear() in any case. */
static enum err
hub_fetch(struct hub *h, struct batch *b)
{
	static const struct selection all = {0};
	enum err e;

	b->hub = h;
	b->rows = 0;
	b->bytes = 0;
	b->is_starved = false;
	b->read_us = clock_mono_us();
	e = hub_read_rows(h, &all, b->last_id, HUB_BATCH, collect, b);
	return e == OK && b->is_starved ? ERR_NOMEM : e;
}

static void
hub_clear(struct batch *b)
{
	for (size_t i = 0; i < b->n; i++)
		frame_unref(&b->item[i].frame);
	b->n = 0;
}

/* Only now that the statement is reset may sockets be touched. on_frame() ends
 * no waiter, so neither the list nor the topics of this batch change
 * meanwhile. */
static void
hub_dispatch(const struct batch *b)
{
	struct frame *f;
	struct waiter *w;
	struct sub *sub;

	for (size_t i = 0; i < b->n; i++) {
		f = b->item[i].frame;
		LIST_FOREACH(sub, &b->item[i].topic->subs, link) {
			w = waiter_of(sub);
			if (w->is_current && w->cursor < f->id)
				w->ops->on_frame(w, sub, f);
		}
	}
}

/* It is another file, or another epoch: where do the waiters stand? */
static void
hub_resync_waiters(struct hub *h, const char *old_epoch)
{
	struct waiter *w, *next;
	const char *reason;

	for (w = TAILQ_FIRST(&h->waiters.list); w != NULL; w = next) {
		next = TAILQ_NEXT(w, link); /* queueing moves it */
		reason = NULL;
		if (strcmp(old_epoch, h->epoch) != 0)
			reason = "epoch";
		else if (w->cursor > h->last_id)
			reason = "future";
		if (reason != NULL)
			w->ops->on_resync(w, reason);
		w->is_current = false;
		hub_queue(h, w);
	}
}

/* Marks what is about to be given out. False: it must not be, for it cannot be
 * known whose it is, or it is of another epoch than was thought. */
static bool
hub_mark(struct hub *h)
{
	char old_epoch[DB_EPOCH_SIZE];
	bool has_new_epoch = false;
	int64_t last_id;
	enum err e = mark_look(h->db, &last_id, &has_new_epoch);

	if (!has_new_epoch) {
		hub_note(h, e);
		return e == OK;
	}
	h->last_id = last_id;
	memcpy(old_epoch, h->epoch, sizeof(old_epoch));
	memcpy(h->epoch, db_epoch(h->db), sizeof(h->epoch));
	log_info("epoch_changed", "path", h->cfg.db_path, "epoch", h->epoch);
	hub_resync_waiters(h, old_epoch);
	return false;
}

/* Reads what is new and hands it out. */
static bool
hub_read(struct hub *h)
{
	struct batch b = {.last_id = h->last_id};
	bool found = false;
	enum err e;

	h->has_unread = false;
	for (int i = 0; i < BATCHES_PER_LOOK; i++) {
		e = hub_fetch(h, &b);
		h->stats->rows_read += b.rows;
		if (b.rows > 0 && !hub_mark(h)) {
			hub_clear(&b);
			h->has_unread = true;
			return found;
		}
		found = found || b.rows > 0;
		h->last_id = b.last_id;
		hub_dispatch(&b);
		hub_clear(&b);
		h->has_unread = e != OK || b.rows == HUB_BATCH ||
				b.bytes >= HUB_BATCH_BYTES;
		if (e != OK || !h->has_unread)
			return found;
	}
	watch_hint(h->watch); /* for the rest, in the next turn */
	return found;
}

/* --- The database as a whole ---------------------------------------------- */

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

/* The file under our path is not the one we read (renamed, replaced, gone), or
 * the connection is spoiled. */
static void
hub_reopen(struct hub *h)
{
	char old_epoch[DB_EPOCH_SIZE];
	struct db_fault fault = {0};
	enum err e;

	if (h->db != NULL) {
		if (!h->is_spoiled)
			log_warn("database_moved", "path", h->cfg.db_path);
		db_close(&h->db);
	}
	h->is_spoiled = false;
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

/* A database that joins a cluster, or leaves one, gets another epoch. */
static void
hub_refresh(struct hub *h)
{
	char old_epoch[DB_EPOCH_SIZE];

	memcpy(old_epoch, h->epoch, sizeof(old_epoch));
	if (db_refresh(h->db) != OK || strcmp(old_epoch, db_epoch(h->db)) == 0)
		return;
	memcpy(h->epoch, db_epoch(h->db), sizeof(h->epoch));
	log_info("epoch_changed", "path", h->cfg.db_path, "epoch", h->epoch);
	hub_resync_waiters(h, old_epoch);
}

/* Waiters that a failed read left behind get another chance. Those that are
 * behind because their client is slow lose nothing by it. */
static void
hub_retry_stalled(struct hub *h)
{
	struct waiter *w, *next;

	if (!h->has_stalled)
		return;
	h->has_stalled = false;
	for (w = TAILQ_FIRST(&h->waiters.list); w != NULL; w = next) {
		next = TAILQ_NEXT(w, link); /* queueing moves it */
		if (!w->is_current)
			hub_queue(h, w);
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
	bool has_new_epoch = false;
	enum err e = mark_look(h->db, &h->last_id, &has_new_epoch);

	memcpy(h->epoch, db_epoch(h->db), sizeof(h->epoch));
	h->has_unread = e != OK;
	hub_note(h, e);
}

/* Reads what is new; was there something? */
static bool
hub_look(struct hub *h)
{
	if (!TAILQ_EMPTY(&h->waiters.list))
		return (db_changed(h->db) || h->has_unread) && hub_read(h);
	hub_pass_over(h); /* as cheap as to ask whether there is a change */
	return false;
}

static bool
on_look(void *arg, bool is_base)
{
	struct hub *h = arg;
	bool found;

	if (is_base)
		hub_note_watch(h);
	if (TAILQ_EMPTY(&h->waiters.list) && h->early.n == 0)
		watch_sleep(h->watch);
	if (h->db == NULL ||
	    (is_base && (h->is_spoiled || db_has_moved(h->db))))
		hub_reopen(h);
	if (h->db == NULL)
		return false;
	if (is_base)
		hub_refresh(h);
	hub_retry_stalled(h);
	found = hub_look(h);
	if (h->early.n > 0)
		early_look(&h->early, h->last_id);
	return found;
}

static void
on_blind(void *arg, const char *why, int64_t poll_ms)
{
	(void)arg;
	log_warn(
	    "inotify_unusable", "reason", why, "poll_ms", LOG_INT(poll_ms));
}

void
hub_reopen_later(struct hub *h)
{
	int64_t now_us = clock_mono_us();

	if (h->spoiled_us != 0 && now_us - h->spoiled_us < REOPEN_PAUSE_US)
		return;
	h->spoiled_us = now_us;
	h->is_spoiled = true;
}

/* --- Waiters -------------------------------------------------------------- */

struct early_queue *
hub_early(struct hub *h)
{
	watch_wake(h->watch);
	return &h->early;
}

void
hub_catch_up(struct hub *h)
{
	if (TAILQ_EMPTY(&h->waiters.list) && h->db != NULL)
		hub_pass_over(h);
}

static void
hub_give_slot(struct hub *h, const struct waiter *w)
{
	if (h->cfg.places != NULL)
		places_give(h->cfg.places, w->slot);
}

enum err
hub_add(struct hub *h, struct waiter *w, const struct selection *sel)
{
	size_t slot = 0;
	enum err e = OK;

	if (h->is_draining || h->waiters.n >= (size_t)h->cfg.max_streams)
		e = ERR_FULL;
	else if (h->cfg.places != NULL)
		e = places_take(h->cfg.places, &slot);
	if (e == ERR_FULL)
		h->stats->overloads++;
	if (e != OK)
		return e;
	w->slot = (uint32_t)slot;
	e = waiters_add(&h->waiters, w, sel);
	if (e != OK) {
		hub_give_slot(h, w);
		return e;
	}
	watch_wake(h->watch);
	return OK;
}

void
hub_remove(struct hub *h, struct waiter *w)
{
	waiters_remove(&h->waiters, w);
	hub_give_slot(h, w);
}

void
hub_queue(struct hub *h, struct waiter *w)
{
	waiters_queue(&h->waiters, w);
}

void
hub_retry_later(struct hub *h)
{
	h->has_stalled = true;
}

/* --- Life ----------------------------------------------------------------- */

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
	waiters_init(&h->waiters, loop);
	early_init(&h->early, loop, (size_t)cfg->max_streams);
	watch.arg = h;
	if ((e = hub_open(h, &fault)) != OK)
		hub_note_missing(h, e, &fault);
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

struct loop *
hub_loop(const struct hub *h)
{
	return h->loop;
}

const struct hub_config *
hub_config(const struct hub *h)
{
	return &h->cfg;
}

struct hub_stats *
hub_stats(const struct hub *h)
{
	return h->stats;
}

struct db *
hub_db(const struct hub *h)
{
	return h->db;
}

const char *
hub_epoch(const struct hub *h)
{
	return h->epoch;
}

int64_t
hub_draw_retry_ms(const struct hub *h)
{
	return random_between(h->cfg.retry_min_ms, h->cfg.retry_max_ms);
}

bool
hub_is_draining(const struct hub *h)
{
	return h->is_draining;
}

void
hub_drain(struct hub *h)
{
	struct waiter *w;

	h->is_draining = true;
	early_look(&h->early, INT64_MAX);
	TAILQ_FOREACH(w, &h->waiters.list, link)
		w->ops->on_drain(w, h->cfg.drain_ms);
}

void
hub_free(struct hub **hub)
{
	struct hub *h = *hub;

	if (h == NULL)
		return;
	early_done(&h->early);
	waiters_done(&h->waiters);
	watch_stop(&h->watch);
	db_close(&h->db);
	free(h);
	*hub = NULL;
}
