/* SPDX-License-Identifier: ISC */
/*
 * Decides what a client that asks for events gets: a stream and from where, a
 * JSON answer now or later, 204, or a refusal. The stream itself is stream.c's
 * business. Runs on the loop; blocks as far as reading the database does.
 */
#include "live/stream.h"

#include <limits.h>
#include <string.h>

#include "base/clock.h"
#include "live/poll.h"
#include "store/events.h"
#include "store/jobs.h"
#include "web/sse.h"

enum {
	OVERLOAD_RETRY_MIN_MS = 10 * 1000,
	OVERLOAD_RETRY_MAX_MS = 30 * 1000,
};

#define STREAM_TYPE                                                            \
	"Content-Type: text/event-stream; charset=utf-8\r\n"                   \
	"Cache-Control: no-cache, no-transform\r\n"                            \
	"X-Accel-Buffering: no\r\n"

/* --- Where it begins ------------------------------------------------------ */

/* What an id means without looking at any job: its reason for a resync, or
 * NULL and the id, which is empty where there is none. */
static const char *
read_last_event_id(
    const struct hub *h, struct span text, int64_t newest, struct sse_id *ret)
{
	struct sse_id id;

	*ret = (struct sse_id){0};
	if (text.n == 0)
		return NULL;
	if (!sse_id_parse(text, &id))
		return "unknown";
	if (strcmp(id.epoch, h->epoch) != 0)
		return "epoch";
	if (id.n > newest)
		return "future";
	*ret = id;
	return NULL;
}

/* Whoever stands at this row or before it has lost something. */
static void
loss_add(struct losses *l, int64_t up_to, bool is_gone)
{
	uint64_t h = ((uint64_t)up_to << 1) + is_gone;

	if (l->up_to < up_to)
		l->up_to = up_to;
	/* The finalizer of SplitMix64: ids are neighbours, and sums of them
	 * would often be equal. */
	h = (h ^ (h >> 30)) * 0xBF58476D1CE4E5B9;
	h = (h ^ (h >> 27)) * 0x94D049BB133111EB;
	l->sum = (l->sum + (int64_t)(h >> 32)) & UINT32_MAX;
}

static enum err
look_at_job(struct hub *h, const char *job_id, int64_t gone_floor,
    struct stream_place *place, size_t i)
{
	struct job_bounds job;
	enum err e = jobs_bounds(h->db, job_id, &job);

	if (e != OK)
		return e;
	/* What is gone may have been the row itself. */
	loss_add(&place->known, job.is_known ? job.floor - 1 : gone_floor,
	    !job.is_known);
	if (job.last_id > place->last_id)
		place->last_id = job.last_id;
	place->is_terminal[i] = job.is_terminal;
	place->floor[i] = job.floor;
	place->n_open += job.is_terminal ? 0 : 1;
	return OK;
}

static enum err
look_at_owner(struct hub *h, const char *owner, int64_t gone_floor,
    struct stream_place *place)
{
	int64_t floor = 0;
	enum err e = jobs_owner_floor(h->db, owner, &floor);

	loss_add(&place->known, floor - 1, false);
	loss_add(&place->known, gone_floor - 1, true);
	place->floor[0] = floor;
	place->n_open = 1; /* it never ends */
	return e;
}

enum err
stream_look(
    struct hub *h, const struct selection *sel, struct stream_place *place)
{
	int64_t gone_floor;
	enum err e = jobs_gone_floor(h->db, &gone_floor);

	for (size_t i = 0; i < sel->n_jobs && e == OK; i++)
		e = look_at_job(h, sel->job_ids[i], gone_floor, place, i);
	if (sel->owner != NULL && e == OK)
		e = look_at_owner(h, sel->owner, gone_floor, place);
	return e;
}

/* Looks for one row that can be sent. */
struct search {
	struct hub *hub;
	bool is_found;
	enum err e;
};

static bool
on_row(void *arg, const struct event_row *row)
{
	static const struct losses nothing = {0};
	struct search *s = arg;
	struct buf event = BUF_INIT;
	bool is_skipped;

	s->e = hub_add_event(s->hub, row, &nothing, &event, &is_skipped);
	s->is_found = !is_skipped;
	buf_done(&event);
	return s->e == OK && is_skipped;
}

/* When all jobs have ended, and only rows follow that cannot be sent, nothing
 * is left: such a row moves no client, which would come back for ever. */
static enum err
look_for_events(
    struct hub *h, const struct selection *sel, int64_t after, bool *ret)
{
	struct search search = {.hub = h};
	enum err e = hub_read_rows(h, sel, after, INT_MAX, on_row, &search);

	if (e == OK)
		e = search.e;
	*ret = search.is_found;
	return e;
}

static enum err
stream_locate(
    struct hub *h, const struct stream_request *req, struct stream_place *ret)
{
	struct stream_place place = {0};
	struct sse_id id;
	bool has_news;
	int64_t newest, loss;
	enum err e;

	if (h->db == NULL)
		return ERR_GONE;
	e = events_last_id(h->db, &newest);
	if (e != OK)
		return e;
	place.resync = read_last_event_id(h, req->last_event_id, newest, &id);
	e = stream_look(h, &req->sel, &place);
	has_news = place.last_id > id.n;
	if (e == OK && place.n_open == 0 && has_news && !req->wants_json)
		e = look_for_events(h, &req->sel, id.n, &has_news);
	if (e != OK)
		return e;
	loss = loss_at(&place.known, id.n);
	if (loss != 0 && loss != id.loss)
		place.resync = "expired";
	place.cursor = place.resync == NULL ? id.n : 0;
	place.is_finished =
	    place.resync == NULL && !has_news && place.n_open == 0;
	if (place.resync != NULL)
		h->stats->resyncs++;
	if (place.cursor > 0 && has_news && !req->wants_json)
		h->stats->replays++;
	*ret = place;
	return OK;
}

/* --- Answers -------------------------------------------------------------- */

/* Sends it with the header fields that every answer to this request has. */
static void
send_answer(
    struct exchange *x, const struct stream_request *req, struct answer *a)
{
	buf_add_span(&a->headers, req->headers);
	x->ops->answer(x, a);
	answer_done(a);
}

/* "Not now": EventSource closes for good on an error status, so it gets a
 * stream that ends at once and a long reconnection time. Others read 503. */
static void
answer_later(struct exchange *x, const struct stream_request *req,
    const struct refusal *why)
{
	struct refusal later = *why;
	struct answer a = ANSWER_INIT;
	int64_t wait_ms =
	    random_between(OVERLOAD_RETRY_MIN_MS, OVERLOAD_RETRY_MAX_MS);

	if (req->wants_json) {
		later.retry_after_s = wait_ms / 1000;
		refusal_answer(&later, &a);
	} else {
		buf_add_str(&a.headers, STREAM_TYPE);
		buf_addf(&a.body, "retry: %lld\n: %s\n", (long long)wait_ms,
		    why->message);
	}
	send_answer(x, req, &a);
}

void
stream_refuse(struct hub *h, struct exchange *x,
    const struct stream_request *req, enum err e)
{
	if (e == ERR_FULL)
		h->stats->overloads++;
	answer_later(x, req, refusal_of(REFUSAL_OF_READ, e));
}

static void
answer_nothing_left(struct exchange *x, const struct stream_request *req)
{
	struct answer a = ANSWER_INIT;

	a.status = 204;
	answer_header(&a, "Cache-Control", "no-store");
	send_answer(x, req, &a);
}

/* Answers at once where there is something to say, else waits. */
static void
open_json(struct hub *h, struct exchange *x, const struct stream_request *req,
    const struct stream_place *place)
{
	struct poll_page form = {
	    .cursor = place->cursor,
	    .resync = place->resync,
	    .known = place->known,
	};
	struct answer a = ANSWER_INIT;
	struct stream *s = NULL;
	enum err e = poll_fill(&form, h, &req->sel, &a);

	if (e == OK && (form.n_events > 0 || form.is_terminal ||
			   place->resync != NULL || req->wait_ms == 0)) {
		send_answer(x, req, &a);
		return;
	}
	answer_done(&a);
	if (e == OK)
		e = stream_new(h, x, req, place, &s);
	if (e != OK)
		stream_refuse(h, x, req, e);
	else
		stream_begin(s, NULL);
}

/* Header fields, the reconnection time, the comment that opens every stream,
 * and the resync where there is one: one frame, so one packet. No empty line
 * stands behind the first two, which hold without it: many clients would take
 * it for an event. */
static enum err
prelude_frame(struct hub *h, const struct stream_request *req,
    const struct stream_place *place, struct frame **ret)
{
	struct buf b = BUF_INIT;

	buf_add_str(&b, "Status: 200 OK\r\n" STREAM_TYPE);
	buf_add_span(&b, req->headers);
	buf_addf(&b, "\r\nretry: %lld\n: jobwire 1 epoch=%s\n",
	    (long long)hub_draw_retry_ms(h), h->epoch);
	if (place->resync != NULL)
		sse_add_resync(&b, h->epoch, place->resync);
	return frame_new(&b, 0, FRAME_NEUTRAL, ret);
}

static void
open_sse(struct hub *h, struct exchange *x, const struct stream_request *req,
    const struct stream_place *place)
{
	struct frame *prelude = NULL;
	struct stream *s = NULL;
	/* First what stays: nothing short-lived lies between streams then. */
	enum err e = stream_new(h, x, req, place, &s);

	if (e == OK && (e = prelude_frame(h, req, place, &prelude)) != OK)
		stream_release(s, STREAM_FAILED);
	if (e == OK)
		stream_begin(s, prelude);
	else
		stream_refuse(h, x, req, e);
	frame_unref(&prelude);
}

void
stream_open(struct hub *h, struct exchange *x, const struct stream_request *req)
{
	struct stream_place place;
	enum err e;

	hub_catch_up(h);
	e = stream_locate(h, req, &place);
	if (e != OK)
		stream_refuse(h, x, req, e);
	else if (req->wants_json)
		open_json(h, x, req, &place);
	else if (place.is_finished)
		answer_nothing_left(x, req);
	else
		open_sse(h, x, req, &place);
}
