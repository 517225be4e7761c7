/* SPDX-License-Identifier: ISC */
/*
 * One stream from its beginning to its end. Where it begins is found in
 * cursor.c; who gets which event, in hub.c; how bytes reach the client, by the
 * exchange. Runs on the loop; blocks only as far as hub_read_rows() does.
 *
 *   open ──▶ behind ◀──▶ current ──▶ ended
 *             │  reads the table      gets frames from the hub
 *             └─ with a pending frame: waits for the client
 */
#include "live/stream.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/container_of.h"
#include "live/cursor.h"
#include "live/expiry.h"
#include "live/tick.h"
#include "web/refusal.h"
#include "web/sse.h"

enum { GRACE_MS = 1000, BATCHES_PER_ADVANCE = 4 };

struct stream {
	struct waiter w; /* first */
	struct hub *hub;
	struct exchange *x; /* ours until end or drop; with its timer, which is
			       set to the next of the times here */
	struct expiry *expiry; /* owned; NULL */
	struct frame *pending; /* owned: begun, not sent whole; NULL */
	struct losses known;   /* losses its client knows of */
	uint32_t progress;     /* within pending */
	uint32_t beat_due;     /* in ticks, as the next two */
	uint32_t life_due;
	uint32_t lag_due;    /* 0: the client keeps up */
	bool is_gone;	     /* to be dropped: a send failed, say */
	bool has_beat_event; /* ?heartbeat=event */
};

/* With a job, what malloc() makes a block of 160 bytes for; there are
 * thousands. */
_Static_assert(sizeof(struct stream) + sizeof(struct sub) <= 152,
    "an idle stream has grown");

static struct stream *
stream_of(struct waiter *w)
{
	return container_of(w, struct stream, w);
}

/* --- Ends ----------------------------------------------------------------- */

static void
stream_free(struct stream *s)
{
	frame_unref(&s->pending);
	free(s->expiry);
	free(s);
}

/* Everything of the stream but its exchange. */
static void
stream_release(struct stream *s, enum stream_end why)
{
	struct hub_stats *stats = hub_stats(s->hub);

	hub_remove(s->hub, &s->w);
	timer_cancel(hub_loop(s->hub), &s->x->timer);
	if (s->lag_due != 0)
		stats->lagging--;
	stats->open--;
	stats->closed[why]++;
	stream_free(s);
}

/* With its exchange: the client sees a broken answer. */
static void
stream_drop(struct stream *s, enum stream_end why)
{
	struct exchange *x = s->x;

	stream_release(s, why);
	x->ops->drop(x);
}

/* Ends the response whole, so that proxies see no error. In the middle of a
 * record that cannot be: then the connection is cut, and the client drops the
 * incomplete event and resumes at the one before. */
static void
stream_finish(struct stream *s, enum stream_end why)
{
	struct exchange *x = s->x;
	struct buf retry = BUF_INIT;
	size_t progress = 0;
	enum sent sent = s->pending == NULL ? SENT_ALL : SENT_PART;

	if (sent == SENT_ALL && why != STREAM_COMPLETED) {
		buf_addf(&retry, "retry: %lld\n",
		    (long long)hub_draw_retry_ms(s->hub));
		if (buf_ok(&retry))
			sent = x->ops->send(x, buf_span(&retry), &progress);
		buf_done(&retry);
	}
	stream_release(s, why);
	if (sent == SENT_ALL)
		x->ops->end(x);
	else
		x->ops->drop(x);
}

/* --- Sending -------------------------------------------------------------- */

static void
stream_schedule(struct stream *s)
{
	uint32_t due = tick_first(s->beat_due, s->life_due);

	if (s->lag_due != 0)
		due = tick_first(due, s->lag_due);
	due = tick_first(due, tick_after(expiry_due_us(s->expiry), 0));
	/* Can fail in stream_new() only. Later the timer is set and is moved;
	 * or this is on_due(), for which the loop has just freed a slot. */
	if (timer_set(hub_loop(s->hub), &s->x->timer, tick_us(due)) != OK)
		s->is_gone = true;
}

static void
stream_set_lagging(struct stream *s, bool lags)
{
	if (lags == (s->lag_due != 0))
		return;
	s->lag_due = lags ? tick_after(clock_mono_us(),
				hub_config(s->hub)->lag_timeout_ms)
			  : 0;
	if (lags)
		hub_stats(s->hub)->lagging++;
	else
		hub_stats(s->hub)->lagging--;
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
		s->w.is_current = false;
		stream_set_lagging(s, true);
	} else if (sent == SENT_GONE) {
		s->is_gone = true;
	}
}

/* The same with what is for this client alone. Takes the text. False: there
 * was no memory. */
static bool
stream_say(struct stream *s, struct buf *text)
{
	struct frame *f = NULL;

	if (frame_new(text, 0, FRAME_NEUTRAL, &f) != OK)
		return false;
	stream_send(s, f);
	frame_unref(&f);
	return true;
}

/* An event of one of its topics. */
static void
stream_send_event(struct stream *s, struct sub *sub, struct frame *f)
{
	stream_send(s, f);
	waiter_note(&s->w, sub, f);
	hub_stats(s->hub)->delivered += f->is_skipped ? 0 : 1;
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

/* --- Time ----------------------------------------------------------------- */

/* All streams send the same two, so no memory is needed for them. They keep
 * their first reference. */
static struct frame *
heartbeat(bool is_event)
{
	static char comment[] = ": heartbeat\n";
	static char event[] = "event: heartbeat\ndata: {}\n\n";
	static struct frame frames[] = {
	    {.refs = 1, .body = {comment, sizeof(comment) - 1, 0, false}},
	    {.refs = 1, .body = {event, sizeof(event) - 1, 0, false}},
	};

	return &frames[is_event];
}

static void
stream_beat(struct stream *s, int64_t now_us)
{
	s->beat_due = tick_after(now_us, hub_config(s->hub)->heartbeat_ms);
	if (s->pending == NULL)
		stream_send(s, heartbeat(s->has_beat_event));
}

/* Tells the client that its right to read will end; later, when it takes
 * nothing now. */
static void
stream_warn(struct stream *s, int64_t now_us)
{
	struct buf b = BUF_INIT;

	s->expiry->warn_us =
	    s->pending != NULL ? now_us + GRACE_MS * 1000 : INT64_MAX;
	if (s->pending != NULL)
		return;
	expiry_add_warning(&b, s->expiry);
	(void)stream_say(s, &b);
}

/* Its time is over. While an event is under way it gets some more: there are
 * clients that keep the id, or the first lines, of an event that breaks off.
 * How long that can last is up to lag_timeout. */
static void
stream_retire(struct stream *s, int64_t now_us)
{
	bool is_draining = hub_is_draining(s->hub);

	if (s->pending != NULL && !is_draining) {
		s->life_due = tick_after(now_us, GRACE_MS);
		stream_schedule(s);
	} else {
		stream_finish(
		    s, is_draining ? STREAM_DRAINED : STREAM_LIFETIME);
	}
}

static void
on_due(struct timer *t)
{
	struct exchange *x = container_of(t, struct exchange, timer);
	struct stream *s = x->owner;
	int64_t now_us = loop_now_us(hub_loop(s->hub));
	bool is_beat = now_us >= tick_us(s->beat_due);
	enum err e = expiry_check(s->expiry, hub_db(s->hub), now_us, is_beat);

	if (s->lag_due != 0 && now_us >= tick_us(s->lag_due)) {
		stream_drop(s, STREAM_LAGGED);
	} else if (e != OK) {
		stream_finish(
		    s, e == ERR_EXPIRED ? STREAM_EXPIRED : STREAM_REVOKED);
	} else if (now_us >= tick_us(s->life_due)) {
		stream_retire(s, now_us);
	} else {
		if (is_beat)
			stream_beat(s, now_us);
		if (s->expiry != NULL && now_us >= s->expiry->warn_us)
			stream_warn(s, now_us);
		if (s->is_gone)
			stream_drop(s, STREAM_LEFT);
		else
			stream_schedule(s);
	}
}

/* --- Events --------------------------------------------------------------- */

static void
on_frame(struct waiter *w, struct sub *sub, struct frame *f)
{
	struct stream *s = stream_of(w);

	if (s->is_gone)
		return;
	/* Retention can have taken rows that nobody read yet: then the stream
	 * looks into the table itself. */
	if (f->floor > sub->floor && f->floor > w->cursor) {
		w->is_current = false;
		hub_queue(s->hub, w);
		return;
	}
	stream_send_event(s, sub, f);
	histogram_add(
	    &hub_stats(s->hub)->read_to_sent, clock_mono_us() - f->read_us);
	/* Its end is decided at the end of the turn: a later row of the same
	 * batch may reopen the job. */
	if (w->n_open == 0 || s->is_gone)
		hub_queue(s->hub, w);
}

static void
on_resync(struct waiter *w, const char *reason)
{
	struct stream *s = stream_of(w);
	struct buf b = BUF_INIT;

	cursor_restart(s->hub, w, &s->known);
	/* With half a frame under way nothing else can be sent; the client
	 * comes back with an id that is answered with the same resync. */
	if (s->pending != NULL) {
		s->is_gone = true;
		return;
	}
	sse_add_resync(&b, hub_epoch(s->hub), reason);
	if (!stream_say(s, &b))
		s->is_gone = true;
}

/* Rows of one stream as frames. */
struct replay {
	struct stream *s;
	struct {
		struct frame *frame; /* owned */
		struct sub *sub;
	} item[HUB_BATCH];
	size_t n, bytes;
	enum err e;
};

static bool
on_row(void *arg, const struct event_row *row)
{
	struct replay *r = arg;
	struct stream *s = r->s;
	struct sub *sub = waiter_find_sub(&s->w, row->job_id);
	struct frame *f;

	if (sub == NULL) /* the index and the table do not agree */
		return true;
	r->e = hub_make_frame(s->hub, row, losses_at(&s->known, row->id), &f);
	if (r->e != OK)
		return false;
	r->item[r->n].frame = f;
	r->item[r->n++].sub = sub;
	r->bytes += f->body.len;
	return r->bytes < HUB_BATCH_BYTES;
}

/* What the table has after the cursor, and whether it still has all of it: one
 * snapshot, or retention could come in between. */
static enum err
stream_read(struct replay *r, const char **ret_resync)
{
	struct stream *s = r->s;
	const char *job_ids[JOB_IDS_MAX];
	struct selection sel = waiter_selection(&s->w, job_ids);
	struct db *db = hub_db(s->hub);
	enum err e = db == NULL ? ERR_GONE : db_begin_read(db);

	if (e == OK)
		e = cursor_check_loss(s->hub, &s->w, ret_resync);
	if (e == OK && *ret_resync == NULL)
		e = hub_read_rows(
		    s->hub, &sel, s->w.cursor, HUB_BATCH, on_row, r);
	if (db != NULL)
		db_rollback(db);
	return e == OK ? r->e : e;
}

/* Frames that the client does not take are read again later: the table is the
 * queue. */
static void
stream_send_replay(struct stream *s, struct replay *r)
{
	for (size_t i = 0; i < r->n; i++) {
		if (s->pending == NULL && !s->is_gone) {
			stream_send_event(s, r->item[i].sub, r->item[i].frame);
			hub_stats(s->hub)->replayed++;
		}
		frame_unref(&r->item[i].frame);
	}
}

/* One batch from the table. True when there may be more and the client takes
 * it. */
static bool
stream_replay(struct stream *s)
{
	struct replay r = {.s = s};
	const char *resync = NULL;
	enum err e = stream_read(&r, &resync);

	if (resync != NULL)
		on_resync(&s->w, resync);
	else
		stream_send_replay(s, &r);
	if (s->pending != NULL || s->is_gone)
		return false;
	if (e != OK) {
		hub_retry_later(s->hub);
		return false;
	}
	if (resync != NULL || r.n == HUB_BATCH || r.bytes >= HUB_BATCH_BYTES)
		return true;
	s->w.is_current = true;
	stream_set_lagging(s, false);
	return false;
}

/* Sends what is pending and what the table has after the cursor, a few
 * batches. */
static void
on_turn(struct waiter *w)
{
	struct stream *s = stream_of(w);

	if (!s->is_gone && stream_flush(s)) {
		for (int i = 0; i < BATCHES_PER_ADVANCE; i++) {
			if (!stream_replay(s))
				break;
			if (i == BATCHES_PER_ADVANCE - 1)
				hub_queue(s->hub, w);
		}
	}
	if (s->is_gone)
		stream_drop(s, STREAM_LEFT);
	else if (w->is_current && w->n_open == 0)
		stream_finish(s, STREAM_COMPLETED);
}

static void
on_drain(struct waiter *w, int64_t within_ms)
{
	struct stream *s = stream_of(w);

	s->life_due = tick_after(clock_mono_us(), random_between(0, within_ms));
	stream_schedule(s);
}

static void
on_abandon(struct waiter *w)
{
	stream_drop(stream_of(w), STREAM_DRAINED);
}

static const struct waiter_ops stream_ops = {
    .size = sizeof(struct stream),
    .on_frame = on_frame,
    .on_turn = on_turn,
    .on_resync = on_resync,
    .on_drain = on_drain,
    .on_abandon = on_abandon,
};

static void
on_gone(struct exchange *x)
{
	stream_release(x->owner, STREAM_LEFT);
}

static void
on_writable(struct exchange *x)
{
	struct stream *s = x->owner;

	on_turn(&s->w);
}

static const struct exchange_told told = {on_writable, on_gone};

/* --- Beginning ------------------------------------------------------------ */

/* When it beats first, and when it ends: both at random moments, so that what
 * began together does not stay together. */
static void
stream_draw_times(struct stream *s)
{
	const struct hub_config *cfg = hub_config(s->hub);
	int64_t now_us = clock_mono_us(), life_ms = cfg->lifetime_ms;

	s->beat_due = tick_after(now_us, random_between(0, cfg->heartbeat_ms));
	s->life_due = tick_after(now_us,
	    random_between(life_ms - life_ms / 10, life_ms + life_ms / 10));
}

/* What a stream is made of, and nothing that knows of it yet. */
static struct stream *
stream_alloc(const struct waiter_request *req)
{
	struct waiter *w = waiter_new(&stream_ops, &req->sel);
	struct stream *s;

	if (w == NULL)
		return NULL;
	s = stream_of(w);
	if (expiry_new(req->session, &s->expiry) == OK)
		return s;
	stream_free(s);
	return NULL;
}

/* In the hub, timed by x's timer and counted; x is not taken yet. ERR_FULL: no
 * further one can be had now; ERR_SYS, ERR_NOMEM. */
static enum err
stream_new(struct hub *h, struct exchange *x, const struct waiter_request *req,
    const struct cursor *c, struct stream **ret)
{
	struct stream *s = stream_alloc(req);
	enum err e;

	if (s == NULL)
		return ERR_NOMEM;
	s->hub = h;
	s->x = x;
	s->known = c->known;
	s->has_beat_event = req->wants_beat_event;
	cursor_apply(c, &s->w);
	stream_draw_times(s);
	e = hub_add(h, &s->w, &req->sel);
	if (e != OK) {
		stream_free(s);
		return e;
	}
	hub_stats(h)->open++;
	hub_stats(h)->opened++;
	x->owner = s;
	x->timer.on_due = on_due;
	stream_schedule(s);
	if (s->is_gone) {
		stream_release(s, STREAM_FAILED);
		return ERR_NOMEM;
	}
	*ret = s;
	return OK;
}

/* Header fields, the reconnection time, the comment that opens every stream,
 * and the resync where there is one: one frame, so one packet. No empty line
 * stands behind the first two, which hold without it: many clients would take
 * it for an event. */
static void
add_prelude(struct buf *out, const struct hub *h, struct span headers,
    const char *resync)
{
	buf_add_str(out, "Status: 200 OK\r\n" SSE_HEADERS);
	buf_add_span(out, headers);
	buf_addf(out, "\r\nretry: %lld\n: jobwire 1 epoch=%s\n",
	    (long long)hub_draw_retry_ms(h), hub_epoch(h));
	if (resync != NULL)
		sse_add_resync(out, hub_epoch(h), resync);
}

void
stream_refuse(const struct hub *h, enum err e, struct answer *ret)
{
	/* A ticket that could not be taken is good, but not for long. */
	int64_t retry_ms = e == ERR_AGAIN
			       ? hub_draw_retry_ms(h)
			       : random_between(HUB_LATER_MIN_S * 1000,
				     HUB_LATER_MAX_S * 1000);

	buf_add_str(&ret->headers, SSE_HEADERS);
	buf_addf(&ret->body, "retry: %lld\n: %s\n", (long long)retry_ms,
	    refusal_of(REFUSAL_OF_READ, e)->message);
}

/* Takes the exchange, but on error. */
static enum err
stream_begin(struct hub *h, struct exchange *x,
    const struct waiter_request *req, const struct cursor *c)
{
	struct buf prelude = BUF_INIT;
	struct stream *s = NULL;
	/* First what stays: nothing short-lived lies between streams then. */
	enum err e = stream_new(h, x, req, c, &s);

	if (e != OK)
		return e;
	add_prelude(&prelude, h, req->headers, c->resync);
	if (!stream_say(s, &prelude)) {
		stream_release(s, STREAM_FAILED);
		return ERR_NOMEM;
	}
	x->told = &told;
	on_turn(&s->w);
	return OK;
}

void
stream_open(struct hub *h, struct exchange *x, const struct waiter_request *req)
{
	struct answer a = ANSWER_INIT;
	struct cursor c;
	bool is_over = false;
	enum err e;

	hub_catch_up(h);
	e = cursor_locate(h, &req->sel, req->last_event_id, &c);
	if (e == OK)
		e = cursor_check_end(h, &req->sel, &c, &is_over);
	if (e == OK && !is_over) {
		if (c.at > 0 && c.has_news)
			hub_stats(h)->replays++;
		e = stream_begin(h, x, req, &c);
		if (e == OK)
			return;
	}
	if (e == OK) {
		a.status = 204;
		answer_header(&a, "Cache-Control", "no-store");
	} else {
		stream_refuse(h, e, &a);
	}
	buf_add_span(&a.headers, req->headers);
	x->ops->answer(x, &a);
	answer_done(&a);
}
