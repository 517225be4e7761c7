/* SPDX-License-Identifier: ISC */
/*
 * One stream from its beginning to its end. Where it begins, and what is
 * answered instead, is stream_open.c's business; how it is ended,
 * stream_end.c's; who gets which event, the hub's; how bytes reach the client,
 * the exchange's. Runs on the loop; blocks only as far as hub_fetch() does.
 *
 *   open ──▶ behind ◀──▶ current ──▶ ended
 *             │  reads the table      gets frames from the hub
 *             └─ with a pending frame: waits for the client
 */
#include "live/stream.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/container_of.h"
#include "live/expiry.h"
#include "store/jobs.h"
#include "web/sse.h"

enum { GRACE_MS = 1000, BATCHES_PER_ADVANCE = 4 };

/* --- Time ----------------------------------------------------------------- */

/* The first one that begins not before so long after that moment. */
static uint32_t
tick_after(int64_t now_us, int64_t ms)
{
	int64_t tick = (now_us + ms * 1000) / STREAM_TICK_US + 1;

	return tick < UINT32_MAX ? (uint32_t)tick : UINT32_MAX;
}

static int64_t
tick_us(uint32_t tick)
{
	return (int64_t)tick * STREAM_TICK_US;
}

static void
stream_schedule(struct stream *s)
{
	uint32_t due = s->beat_due, end;

	if (s->life_due < due)
		due = s->life_due;
	if (s->lag_due != 0 && s->lag_due < due)
		due = s->lag_due;
	if (s->expiry != NULL &&
	    (end = tick_after(expiry_due_us(s->expiry), 0)) < due)
		due = end;
	/* Cannot fail: the timer is set from stream_open() on, and moved. */
	if (timer_set(s->hub->loop, &s->x->timer, tick_us(due)) != OK)
		s->is_gone = true;
}

static void
stream_set_lagging(struct stream *s, bool lags)
{
	if (lags == (s->lag_due != 0))
		return;
	s->lag_due =
	    lags ? tick_after(clock_mono_us(), s->hub->cfg.lag_timeout_ms) : 0;
	if (lags)
		s->hub->stats->lagging++;
	else
		s->hub->stats->lagging--;
	stream_schedule(s);
}

/* Sends a frame; what the client does not take stays pending. */
static void
stream_send(struct stream *s, struct frame *f)
{
	size_t progress = 0;
	enum sent sent = s->x->ops->send(s->x, buf_span(&f->body), &progress);

	if (sent == SENT_PART) {
		s->pending = frame_ref(f);
		s->progress = (uint32_t)progress;
		s->is_current = false;
		stream_set_lagging(s, true);
	} else if (sent == SENT_GONE) {
		s->is_gone = true;
	}
}

static void
stream_beat(struct stream *s, int64_t now)
{
	const struct hub *h = s->hub;

	s->beat_due = tick_after(now, h->cfg.heartbeat_ms);
	if (s->pending == NULL && s->json == NULL)
		stream_send(
		    s, s->has_beat_event ? h->beat_event : h->beat_comment);
}

/* Tells the client that its right to read will end; later, when it takes
 * nothing now. */
static void
stream_warn(struct stream *s, int64_t now)
{
	struct buf b = BUF_INIT;
	struct frame *f = NULL;

	s->expiry->warn_us =
	    s->pending != NULL ? now + GRACE_MS * 1000 : INT64_MAX;
	if (s->pending != NULL || s->json != NULL)
		return;
	expiry_add_warning(&b, s->expiry);
	if (frame_new(&b, 0, FRAME_NEUTRAL, &f) == OK)
		stream_send(s, f);
	frame_unref(&f);
}

/* May the client still read? As long as that cannot be known, nothing can be
 * read either. */
static enum err
stream_recheck(const struct stream *s, int64_t now)
{
	enum err e = OK;

	if (s->expiry != NULL && now >= s->expiry->end_us)
		return ERR_EXPIRED;
	if (s->expiry != NULL && now >= tick_us(s->beat_due))
		e = session_check(
		    &s->expiry->session, s->hub->db, clock_real_ms() / 1000);
	return e == ERR_EXPIRED || e == ERR_AUTH ? e : OK;
}

/* Its time is over. While an event is under way it gets some more: there are
 * clients that keep the id, or the first lines, of an event that breaks off.
 * How long that can last is up to lag_timeout. */
static void
stream_retire(struct stream *s, int64_t now)
{
	const struct hub *h = s->hub;

	if (s->pending != NULL && !h->is_draining) {
		s->life_due = tick_after(now, GRACE_MS);
		stream_schedule(s);
	} else {
		stream_finish(
		    s, h->is_draining ? STREAM_DRAINED : STREAM_LIFETIME);
	}
}

static void
on_timer(struct timer *t)
{
	struct exchange *x = container_of(t, struct exchange, timer);
	struct stream *s = x->owner;
	struct hub *h = s->hub;
	int64_t now = loop_now_us(h->loop);
	enum err e = stream_recheck(s, now);

	if (s->lag_due != 0 && now >= tick_us(s->lag_due)) {
		stream_drop(s, STREAM_LAGGED);
	} else if (e != OK) {
		stream_dismiss(s, e);
	} else if (now >= tick_us(s->life_due) && s->json != NULL) {
		stream_answer_json(s, true);
	} else if (now >= tick_us(s->life_due)) {
		stream_retire(s, now);
	} else {
		if (now >= tick_us(s->beat_due))
			stream_beat(s, now);
		if (s->expiry != NULL && now >= s->expiry->warn_us)
			stream_warn(s, now);
		if (s->is_gone)
			stream_drop(s, STREAM_LEFT);
		else
			stream_schedule(s);
	}
}

void
stream_drain(struct stream *s, int64_t within_ms)
{
	s->life_due = tick_after(clock_mono_us(), random_between(0, within_ms));
	stream_schedule(s);
}

/* --- Events --------------------------------------------------------------- */

/* The event is on its way to the client: move the cursor, and what we know of
 * the job's state. */
static void
stream_note(struct stream *s, struct sub *sub, const struct frame *f)
{
	bool was_terminal = sub->is_terminal;

	s->cursor = f->id;
	s->hub->stats->delivered += f->is_skipped ? 0 : 1;
	/* Owner streams do not end. */
	if (f->effect == FRAME_NEUTRAL || s->has_owner)
		return;
	sub->is_terminal = f->effect == FRAME_ENDS;
	if (sub->is_terminal && !was_terminal)
		s->n_open--;
	else if (!sub->is_terminal && was_terminal)
		s->n_open++;
}

static struct stream *
stream_of(struct sub *sub)
{
	return container_of(sub - sub->at, struct stream, subs);
}

void
stream_deliver(struct sub *sub, struct frame *f)
{
	struct stream *s = stream_of(sub);

	if (!s->is_current || s->cursor >= f->id || s->is_gone)
		return;
	/* Retention can have taken rows that nobody read yet: then, and for
	 * JSON, the stream looks into the table itself. */
	if (s->json != NULL ||
	    (f->floor > sub->floor && f->floor > s->cursor)) {
		s->is_current = s->json != NULL;
		hub_queue(s->hub, s);
		return;
	}
	stream_send(s, f);
	stream_note(s, sub, f);
	histogram_add(
	    &s->hub->stats->read_to_sent, clock_mono_us() - f->read_us);
	/* Its end is decided at the end of the turn: a later row of the same
	 * batch may reopen the job. */
	if (s->n_open == 0 || s->is_gone)
		hub_queue(s->hub, s);
}

static struct sub *
stream_sub_of(struct stream *s, const struct topic *t)
{
	for (uint32_t i = 0; i < s->n_subs; i++)
		if (s->subs[i].topic == t)
			return &s->subs[i];
	return NULL;
}

/* Goes on with the pending frame. True when the way is free. */
static bool
stream_flush(struct stream *s)
{
	size_t progress = s->progress;
	enum sent sent;

	if (s->pending == NULL)
		return true;
	sent = s->x->ops->send(s->x, buf_span(&s->pending->body), &progress);
	s->progress = (uint32_t)progress;
	if (sent == SENT_GONE)
		s->is_gone = true;
	if (sent != SENT_ALL)
		return false;
	frame_unref(&s->pending);
	return true;
}

/* Where they cannot be looked up, the client is told once more. */
static struct losses
stream_losses(const struct stream *s)
{
	const char *job_ids[JOB_IDS_MAX];
	struct selection sel = stream_selection(s, job_ids);
	struct stream_place now = {0};

	if (stream_look(s->hub, &sel, &now) != OK)
		return (struct losses){0};
	return now.known;
}

void
stream_resync(struct stream *s, const char *reason)
{
	struct buf b = BUF_INIT;
	struct frame *f = NULL;

	s->hub->stats->resyncs++;
	s->cursor = 0;
	s->known = stream_losses(s);
	/* What was known of the jobs is void; the replay tells it anew. */
	for (uint32_t i = 0; i < s->n_subs; i++)
		s->subs[i].is_terminal = false;
	s->n_open = s->n_subs;
	if (s->json != NULL) {
		s->json->resync = reason;
		hub_queue(s->hub, s);
		return;
	}
	/* With half a frame under way nothing else can be sent; the client
	 * comes back with an id that is answered with the same resync. */
	sse_add_resync(&b, s->hub->epoch, reason);
	if (s->pending != NULL || frame_new(&b, 0, FRAME_NEUTRAL, &f) != OK) {
		buf_done(&b);
		s->is_gone = true;
		return;
	}
	stream_send(s, f);
	frame_unref(&f);
}

/* Did retention take rows that this stream has not sent? Only what it took
 * since the stream began counts; the rest was looked at then. */
static enum err
stream_check_loss(struct stream *s, const char **ret_reason)
{
	for (uint32_t i = 0; i < s->n_subs; i++) {
		struct sub *sub = &s->subs[i];
		const char *name = sub->topic->name;
		struct job_bounds job;
		enum err e = s->has_owner ? jobs_owner_floor(
						s->hub->db, name, &job.floor)
					  : jobs_bounds(s->hub->db, name, &job);

		if (e != OK)
			return e;
		if (job.floor <= sub->floor)
			continue;
		sub->floor = job.floor;
		if (job.floor > s->cursor)
			*ret_reason = "expired";
	}
	return OK;
}

/* What the table has after the cursor, and whether it still has all of it: one
 * snapshot, or retention could come in between. */
static enum err
stream_read(struct stream *s, const struct selection *sel, struct batch *b,
    const char **ret_reason)
{
	struct hub *h = s->hub;
	enum err e = h->db == NULL ? ERR_GONE : db_begin_read(h->db);

	if (e == OK)
		e = stream_check_loss(s, ret_reason);
	if (e == OK)
		e = hub_fetch(h, sel, b);
	if (h->db != NULL)
		db_rollback(h->db);
	return e;
}

/* One batch from the table. True when there may be more and the client takes
 * it. Frames it does not take are read again later: the table is the queue. */
static bool
stream_replay(struct stream *s)
{
	const char *job_ids[JOB_IDS_MAX];
	struct selection sel = stream_selection(s, job_ids);
	struct batch b = {.last_id = s->cursor, .known = s->known};
	struct sub *sub;
	const char *reason = NULL;
	enum err e = stream_read(s, &sel, &b, &reason);

	if (reason != NULL) {
		batch_done(&b);
		stream_resync(s, reason);
		return !s->is_gone && s->pending == NULL;
	}
	for (size_t i = 0; i < b.n && s->pending == NULL && !s->is_gone; i++) {
		sub = stream_sub_of(s, b.item[i].topic);
		if (sub == NULL) /* somebody else's topic of the same row */
			continue;
		stream_send(s, b.item[i].frame);
		stream_note(s, sub, b.item[i].frame);
		s->hub->stats->replayed++;
	}
	batch_done(&b);
	if (s->pending != NULL || s->is_gone)
		return false;
	s->cursor = b.last_id; /* also past rows that cannot be sent */
	if (e != OK) {
		s->hub->has_stalled = true;
		return false;
	}
	if (batch_has_more(&b))
		return true;
	s->is_current = true;
	stream_set_lagging(s, false);
	return false;
}

void
stream_advance(struct stream *s)
{
	if (s->json != NULL && !s->is_gone) {
		stream_answer_json(s, false);
		return;
	}
	if (!s->is_gone && stream_flush(s)) {
		for (int i = 0; i < BATCHES_PER_ADVANCE; i++) {
			if (!stream_replay(s))
				break;
			if (i == BATCHES_PER_ADVANCE - 1)
				hub_queue(s->hub, s);
		}
	}
	if (s->is_gone)
		stream_drop(s, STREAM_LEFT);
	else if (s->is_current && s->n_open == 0)
		stream_finish(s, STREAM_COMPLETED);
}

static void
on_gone(struct exchange *x)
{
	stream_release(x->owner, STREAM_LEFT);
}

static void
on_writable(struct exchange *x)
{
	stream_advance(x->owner);
}

static const struct exchange_told told = {on_writable, on_gone};

/* --- Beginning ------------------------------------------------------------ */

static enum err
stream_subscribe(struct stream *s, const struct selection *sel,
    const struct stream_place *place)
{
	size_t n = sel->owner != NULL ? 1 : sel->n_jobs;
	enum err e = OK;

	for (size_t i = 0; i < n && e == OK; i++) {
		s->subs[i].at = (uint8_t)i;
		s->subs[i].is_terminal = place->is_terminal[i];
		s->subs[i].floor = place->floor[i];
		e = hub_subscribe(s->hub, &s->subs[i],
		    s->has_owner ? TOPIC_OWNER : TOPIC_JOB,
		    s->has_owner ? sel->owner : sel->job_ids[i]);
		if (e == OK)
			s->n_subs++;
	}
	return e;
}

/* When it beats first, and when it ends: both at random moments, so that what
 * began together does not stay together. */
static void
stream_draw_times(struct stream *s, const struct stream_request *req)
{
	int64_t now = clock_mono_us();
	int64_t life_ms = s->hub->cfg.lifetime_ms;

	/* For JSON it is but the time to look at its right to read again. */
	s->beat_due =
	    tick_after(now, random_between(0, s->hub->cfg.heartbeat_ms));
	if (req->wants_json) {
		s->life_due = tick_after(now, req->wait_ms);
		return;
	}
	s->life_due = tick_after(now,
	    random_between(life_ms - life_ms / 10, life_ms + life_ms / 10));
}

static bool
is_full(const struct hub *h)
{
	return h->is_draining || h->stats->open + h->stats->waiting >=
				     (uint64_t)h->cfg.max_streams;
}

static struct json_wait *
json_wait_new(struct span headers)
{
	struct json_wait *w = malloc(sizeof(*w) + headers.n + 1);

	if (w == NULL)
		return NULL;
	w->resync = NULL;
	if (headers.n > 0)
		memcpy(w->headers, headers.p, headers.n);
	w->headers[headers.n] = '\0';
	return w;
}

/* What a stream is made of, and nothing that knows of it yet. */
static struct stream *
stream_alloc(const struct stream_request *req)
{
	size_t n_subs = req->sel.owner != NULL ? 1 : req->sel.n_jobs;
	struct stream *s = calloc(1, sizeof(*s) + n_subs * sizeof(s->subs[0]));

	if (s == NULL)
		return NULL;
	if (req->wants_json)
		s->json = json_wait_new(req->headers);
	if (req->session != NULL)
		s->expiry = expiry_new(req->session);
	if ((s->json != NULL) == req->wants_json &&
	    (s->expiry != NULL) == (req->session != NULL))
		return s;
	stream_free(s);
	return NULL;
}

enum err
stream_new(struct hub *h, struct exchange *x, const struct stream_request *req,
    const struct stream_place *place, struct stream **ret)
{
	size_t place_n = 0;
	struct stream *s;
	enum err e = OK;

	if (is_full(h))
		return ERR_FULL;
	s = stream_alloc(req);
	if (s == NULL)
		return ERR_NOMEM;
	if (h->cfg.places != NULL)
		e = places_take(h->cfg.places, &place_n);
	if (e != OK) {
		stream_free(s);
		return e;
	}
	s->place = (uint32_t)place_n;
	s->hub = h;
	s->x = x;
	x->owner = s;
	x->timer.on_due = on_timer;
	s->cursor = place->cursor;
	s->known = place->known;
	s->has_owner = req->sel.owner != NULL;
	s->has_beat_event = req->wants_beat_event;
	s->n_open = (uint8_t)place->n_open;
	hub_add(h, s);
	if (s->json != NULL) {
		h->stats->waiting++;
	} else {
		h->stats->open++;
		h->stats->opened++;
	}
	stream_draw_times(s, req);
	e = stream_subscribe(s, &req->sel, place);
	if (e == OK)
		e = timer_set(h->loop, &x->timer, tick_us(s->beat_due));
	if (e != OK) {
		stream_release(s, STREAM_FAILED);
		return e;
	}
	stream_schedule(s);
	*ret = s;
	return OK;
}

void
stream_begin(struct stream *s, struct frame *prelude)
{
	s->x->told = &told;
	if (s->json != NULL) {
		s->is_current = true;
		return;
	}
	stream_send(s, prelude);
	stream_advance(s);
}
