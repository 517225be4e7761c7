/* SPDX-License-Identifier: ISC */
/*
 * Events as a JSON document, and the clients that wait for one. Where a client
 * begins is found in cursor.c. Runs on the loop; blocks as far as
 * hub_read_rows() does.
 */
#include "live/poll.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/container_of.h"
#include "job/name.h"
#include "live/expiry.h"
#include "live/tick.h"
#include "store/jobs.h"
#include "text/json_text.h"
#include "web/refusal.h"
#include "web/sse.h"

enum {
	EVENTS_MAX = 1000, /* more are fetched with last_event_id */
	BYTES_MAX = 4 << 20,
};

/* --- The document --------------------------------------------------------- */

struct rows {
	struct hub *hub;
	const struct losses *known;
	struct buf *out;
	size_t n;	 /* events written, resync included */
	size_t n_read;	 /* rows read */
	int64_t last_id; /* of the last row read */
	bool is_short;	 /* stopped before the end */
};

static void
begin_event(struct rows *r, const char *id, const char *type)
{
	buf_add_str(r->out, r->n++ > 0 ? ",{\"id\":" : "{\"id\":");
	json_text_add_quoted(r->out, span_of(id));
	buf_add_str(r->out, ",\"event\":");
	json_text_add_quoted(r->out, span_of(type));
	buf_add_str(r->out, ",\"data\":");
}

static bool
on_row(void *arg, const struct event_row *row)
{
	struct rows *r = arg;
	struct sse_event event = {hub_epoch(r->hub), row->id,
	    losses_at(r->known, row->id), row->type, row->job_id,
	    row->restore_id, row->status, row->origin, row->seq, row->data,
	    (size_t)hub_config(r->hub)->inline_output};
	struct buf data = BUF_INIT;
	char id[SSE_ID_SIZE];
	enum err e = job_type_ok(span_of(row->type))
			 ? sse_add_data(&data, &event)
			 : ERR_PROTO;

	r->n_read++;
	r->last_id = row->id;
	/* What cannot be sent is passed over, as in a stream; what only lacks
	 * memory is not: then there is no answer. */
	if (e == ERR_NOMEM)
		r->out->failed = true;
	if (e == OK) {
		sse_id_format(hub_epoch(r->hub), row->id, event.loss, id);
		begin_event(r, id, row->type);
		buf_add_span(r->out, buf_span(&data));
		buf_add_str(r->out, ",\"created_at\":");
		json_text_add_quoted(r->out, span_of(row->created_at));
		buf_add_char(r->out, '}');
	}
	buf_done(&data);
	r->is_short = r->n_read == EVENTS_MAX || r->out->len > BYTES_MAX ||
		      !buf_ok(r->out);
	return !r->is_short;
}

/* How many of the jobs have not ended. An owner's never do. */
static enum err
count_open(struct hub *h, const struct selection *sel, size_t *ret)
{
	struct job_bounds job;
	size_t n = sel->owner != NULL ? 1 : 0;
	enum err e;

	for (size_t i = 0; i < sel->n_jobs; i++) {
		e = jobs_bounds(hub_db(h), sel->job_ids[i], &job);
		if (e != OK)
			return e;
		n += job.is_terminal ? 0 : 1;
	}
	*ret = n;
	return OK;
}

enum err
poll_fill(struct poll_page *page, struct hub *h, const struct selection *sel,
    struct answer *a)
{
	struct rows r = {.hub = h,
	    .known = &page->known,
	    .out = &a->body,
	    .last_id = page->cursor};
	char id[SSE_ID_SIZE];
	size_t n_open = 0;
	bool is_terminal;
	enum err e;

	answer_json(a, 200);
	buf_add_str(r.out, "{\"events\":[");
	if (page->resync != NULL) {
		sse_id_format(hub_epoch(h), 0, 0, id);
		begin_event(&r, id, "resync");
		buf_addf(r.out, "{\"reason\":\"%s\"}}", page->resync);
	}
	e = hub_read_rows(h, sel, page->cursor, EVENTS_MAX, on_row, &r);
	if (e == OK)
		e = count_open(h, sel, &n_open);
	if (e != OK)
		return e;
	is_terminal = n_open == 0 && !r.is_short;
	sse_id_format(
	    hub_epoch(h), r.last_id, losses_at(r.known, r.last_id), id);
	buf_addf(r.out, "],\"last_event_id\":\"%s\",\"terminal\":%s}\n", id,
	    is_terminal ? "true" : "false");
	if (!buf_ok(r.out))
		return ERR_NOMEM;
	page->n_events = r.n_read;
	page->is_terminal = is_terminal;
	return OK;
}

/* Is it worth an answer, or shall the client wait? */
static bool
has_something(const struct poll_page *page)
{
	return page->n_events > 0 || page->is_terminal || page->resync != NULL;
}

/* --- Waiting -------------------------------------------------------------- */

struct poll {
	struct waiter w; /* first */
	struct hub *hub;
	struct exchange *x;    /* ours until the answer or drop; with its timer,
			       which is set to the next of the times here */
	struct expiry *expiry; /* owned; NULL */
	struct losses known;   /* losses its client knows of */
	const char *resync;    /* what it must be told first; NULL */
	char *headers;	       /* owned: header fields of the answer */
	uint32_t end_due;      /* in ticks: it has waited long enough */
	uint32_t check_due;    /* likewise: may the client still read? */
	bool is_gone;	       /* to be dropped: it has no timer */
};

static struct poll *
poll_of(struct waiter *w)
{
	return container_of(w, struct poll, w);
}

static void
poll_free(struct poll *p)
{
	free(p->expiry);
	free(p->headers);
	free(p);
}

/* Everything of it but its exchange. */
static void
poll_release(struct poll *p)
{
	hub_remove(p->hub, &p->w);
	timer_cancel(hub_loop(p->hub), &p->x->timer);
	hub_stats(p->hub)->waiting--;
	poll_free(p);
}

static void
poll_drop(struct poll *p)
{
	struct exchange *x = p->x;

	poll_release(p);
	x->ops->drop(x);
}

/* Ends it with this answer, which is used up. */
static void
poll_finish(struct poll *p, struct answer *a)
{
	struct exchange *x = p->x;

	buf_add_str(&a->headers, p->headers);
	poll_release(p);
	x->ops->answer(x, a);
	answer_done(a);
}

/* The document as of now; another one where retention took what the client was
 * not told: one snapshot, or that could happen in between. */
static enum err
poll_read(struct poll *p, struct poll_page *page, struct answer *a)
{
	const char *job_ids[JOB_IDS_MAX];
	struct selection sel = waiter_selection(&p->w, job_ids);
	struct db *db = hub_db(p->hub);
	const char *resync = NULL;
	enum err e = db == NULL ? ERR_GONE : db_begin_read(db);

	if (e == OK)
		e = cursor_check_loss(p->hub, &p->w, &resync);
	if (e == OK && resync != NULL)
		p->w.ops->on_resync(&p->w, resync);
	page->cursor = p->w.cursor;
	page->resync = p->resync;
	page->known = p->known;
	if (e == OK)
		e = poll_fill(page, p->hub, &sel, a);
	if (db != NULL)
		db_rollback(db);
	return e;
}

/* Answers when there is something to say, or when the time is over. */
static void
poll_answer(struct poll *p, bool is_over)
{
	struct poll_page page = {0};
	struct answer a = ANSWER_INIT;
	enum err e = poll_read(p, &page, &a);

	if (e == OK && !is_over && !has_something(&page)) {
		answer_done(&a);
		return;
	}
	if (e != OK)
		refusal_answer(refusal_of(REFUSAL_OF_READ, e), &a);
	poll_finish(p, &a);
}

/* The client may read no longer: ERR_EXPIRED or ERR_AUTH says why. */
static void
poll_refuse(struct poll *p, enum err e)
{
	struct answer a = ANSWER_INIT;
	struct refusal why;

	session_explain(e, &why);
	refusal_answer(&why, &a);
	poll_finish(p, &a);
}

static void
poll_schedule(struct poll *p)
{
	uint32_t due = tick_first(p->end_due, p->check_due);

	due = tick_first(due, tick_after(expiry_due_us(p->expiry), 0));
	/* Can fail in poll_begin() only, as that of a stream. */
	if (timer_set(hub_loop(p->hub), &p->x->timer, tick_us(due)) != OK)
		p->is_gone = true;
}

static void
on_due(struct timer *t)
{
	struct exchange *x = container_of(t, struct exchange, timer);
	struct poll *p = x->owner;
	int64_t now_us = loop_now_us(hub_loop(p->hub));
	bool is_check = now_us >= tick_us(p->check_due);
	enum err e = expiry_check(p->expiry, hub_db(p->hub), now_us, is_check);

	if (e != OK) {
		poll_refuse(p, e);
	} else if (now_us >= tick_us(p->end_due)) {
		poll_answer(p, true);
	} else {
		if (is_check)
			p->check_due = tick_after(
			    now_us, hub_config(p->hub)->heartbeat_ms);
		poll_schedule(p);
		if (p->is_gone)
			poll_drop(p);
	}
}

static void
on_frame(struct waiter *w, struct sub *sub, struct frame *f)
{
	(void)sub;
	(void)f;
	/* The answer has all rows of this turn, as the table has them. */
	hub_queue(poll_of(w)->hub, w);
}

static void
on_turn(struct waiter *w)
{
	struct poll *p = poll_of(w);

	w->is_current = true;
	if (p->is_gone)
		poll_drop(p);
	else
		poll_answer(p, false);
}

static void
on_resync(struct waiter *w, const char *reason)
{
	struct poll *p = poll_of(w);

	cursor_restart(p->hub, w, &p->known);
	p->resync = reason;
}

static void
on_drain(struct waiter *w, int64_t within_ms)
{
	struct poll *p = poll_of(w);

	p->end_due = tick_after(clock_mono_us(), random_between(0, within_ms));
	poll_schedule(p);
}

static void
on_abandon(struct waiter *w)
{
	poll_drop(poll_of(w));
}

static const struct waiter_ops poll_ops = {
    .size = sizeof(struct poll),
    .on_frame = on_frame,
    .on_turn = on_turn,
    .on_resync = on_resync,
    .on_drain = on_drain,
    .on_abandon = on_abandon,
};

static void
on_gone(struct exchange *x)
{
	poll_release(x->owner);
}

/* It sends nothing before its answer, so it is never told of room. */
static const struct exchange_told told = {.on_gone = on_gone};

/* --- Beginning ------------------------------------------------------------ */

/* What it is made of, and nothing that knows of it yet. */
static struct poll *
poll_alloc(const struct waiter_request *req)
{
	struct waiter *w = waiter_new(&poll_ops, &req->sel);
	struct poll *p;

	if (w == NULL)
		return NULL;
	p = poll_of(w);
	p->headers = span_dup(req->headers);
	if (p->headers == NULL || expiry_new(req->session, &p->expiry) != OK) {
		poll_free(p);
		return NULL;
	}
	/* An answer cannot be preceded by a warning. */
	if (p->expiry != NULL)
		p->expiry->warn_us = INT64_MAX;
	return p;
}

/* Takes the exchange, but on error. ERR_FULL: no further one can be had now;
 * ERR_SYS, ERR_NOMEM. */
static enum err
poll_begin(struct hub *h, struct exchange *x, const struct waiter_request *req,
    const struct cursor *c)
{
	int64_t now_us = clock_mono_us();
	struct poll *p = poll_alloc(req);
	enum err e;

	if (p == NULL)
		return ERR_NOMEM;
	p->hub = h;
	p->x = x;
	p->known = c->known;
	p->w.is_current = true;
	cursor_apply(c, &p->w);
	p->end_due = tick_after(now_us, req->wait_ms);
	/* At a random moment, so that what began together does not stay
	 * together. */
	p->check_due =
	    tick_after(now_us, random_between(0, hub_config(h)->heartbeat_ms));
	e = hub_add(h, &p->w, &req->sel);
	if (e != OK) {
		poll_free(p);
		return e;
	}
	hub_stats(h)->waiting++;
	x->owner = p;
	x->timer.on_due = on_due;
	poll_schedule(p);
	if (p->is_gone) {
		poll_release(p);
		return ERR_NOMEM;
	}
	x->told = &told;
	return OK;
}

/* "Not now". */
static void
refuse(enum err e, struct answer *ret)
{
	struct refusal why = *refusal_of(REFUSAL_OF_READ, e);

	why.retry_after_s = random_between(HUB_LATER_MIN_S, HUB_LATER_MAX_S);
	refusal_answer(&why, ret);
}

/* Where the client begins, and the document from there, of one snapshot. */
static enum err
begin_page(struct hub *h, const struct waiter_request *req, struct cursor *c,
    struct poll_page *page, struct answer *a)
{
	struct db *db = hub_db(h);
	enum err e = db == NULL ? ERR_GONE : db_begin_read(db);

	if (e == OK)
		e = cursor_locate(h, &req->sel, req->last_event_id, c);
	if (e == OK) {
		*page = (struct poll_page){
		    .cursor = c->at, .resync = c->resync, .known = c->known};
		e = poll_fill(page, h, &req->sel, a);
	}
	if (db != NULL)
		db_rollback(db);
	return e;
}

void
poll_open(struct hub *h, struct exchange *x, const struct waiter_request *req)
{
	struct answer a = ANSWER_INIT;
	struct poll_page page = {0};
	struct cursor c;
	enum err e;

	hub_catch_up(h);
	e = begin_page(h, req, &c, &page, &a);
	if (e == OK && req->wait_ms > 0 && !has_something(&page)) {
		answer_done(&a);
		e = poll_begin(h, x, req, &c);
		if (e == OK)
			return;
	}
	if (e != OK)
		refuse(e, &a);
	buf_add_span(&a.headers, req->headers);
	x->ops->answer(x, &a);
	answer_done(&a);
}
