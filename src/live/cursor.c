/* SPDX-License-Identifier: ISC */
/*
 * Ids and floors. stream.c and poll.c tell the client. Runs on the loop; blocks
 * as far as reading the database does.
 */
#include "live/cursor.h"

#include <limits.h>
#include <string.h>

#include "store/events.h"
#include "store/jobs.h"
#include "web/sse.h"

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
	if (strcmp(id.epoch, hub_epoch(h)) != 0)
		return "epoch";
	if (id.n > newest)
		return db_is_clustered(hub_db(h)) ? "behind" : "future";
	*ret = id;
	return NULL;
}

enum err
cursor_is_ahead(struct hub *h, struct span last_event_id, bool *ret_is_ahead,
    int64_t *ret_id)
{
	struct sse_id id;
	int64_t newest;
	enum err e;

	*ret_is_ahead = false;
	if (hub_db(h) == NULL || !db_is_clustered(hub_db(h)) ||
	    !sse_id_parse(last_event_id, &id) ||
	    strcmp(id.epoch, hub_epoch(h)) != 0)
		return OK;
	e = events_last_id(hub_db(h), &newest);
	if (e != OK)
		return e;
	*ret_is_ahead = id.n > newest;
	*ret_id = id.n;
	return OK;
}

/* Whoever stands at this row or before it has lost something. */
static void
losses_add(struct losses *l, int64_t up_to, bool is_gone)
{
	uint64_t h = ((uint64_t)up_to << 1) + is_gone;

	if (up_to <= 0)
		return;
	if (l->up_to < up_to)
		l->up_to = up_to;
	/* The finalizer of SplitMix64: ids are neighbours, and sums of them
	 * would often be equal. */
	h = (h ^ (h >> 30)) * 0xBF58476D1CE4E5B9;
	h = (h ^ (h >> 27)) * 0x94D049BB133111EB;
	l->sum = (l->sum + (int64_t)(h >> 32)) & UINT32_MAX;
}

static enum err
look_at_job(struct db *db, const char *job_id, int64_t gone_floor,
    struct cursor *c, size_t i, int64_t *last_id)
{
	struct job_bounds job;
	int64_t begin;
	enum err e = jobs_bounds(db, job_id, &job);

	if (e != OK)
		return e;
	losses_add(&c->known, job.floor - 1, false);
	/* What is gone may have been this job, as it was before it was made
	 * anew, and the client's row with it. */
	begin = job.first_id > 0 ? job.first_id : job.floor;
	if (begin > 0 && begin <= gone_floor)
		gone_floor = begin - 1;
	losses_add(&c->known, gone_floor, true);
	if (job.last_id > *last_id)
		*last_id = job.last_id;
	c->is_terminal[i] = job.is_terminal;
	c->floor[i] = job.floor;
	c->n_open += job.is_terminal ? 0 : 1;
	return OK;
}

static enum err
look_at_owner(
    struct db *db, const char *owner, int64_t gone_floor, struct cursor *c)
{
	int64_t floor = 0;
	enum err e = jobs_owner_floor(db, owner, &floor);

	losses_add(&c->known, floor - 1, false);
	losses_add(&c->known, gone_floor - 1, true);
	c->floor[0] = floor;
	c->n_open = 1; /* it never ends */
	return e;
}

/* How the topics stand now: known, n_open, is_terminal and floor of *c, which
 * is empty; *last_id: the newest event of the jobs that ever was, 0 for an
 * owner. */
static enum err
look(struct hub *h, const struct selection *sel, struct cursor *c,
    int64_t *last_id)
{
	struct db *db = hub_db(h);
	int64_t gone_floor;
	enum err e = db == NULL ? ERR_GONE : jobs_gone_floor(db, &gone_floor);

	*last_id = 0;
	for (size_t i = 0; i < sel->n_jobs && e == OK; i++)
		e = look_at_job(db, sel->job_ids[i], gone_floor, c, i, last_id);
	if (sel->owner != NULL && e == OK)
		e = look_at_owner(db, sel->owner, gone_floor, c);
	return e;
}

enum err
cursor_locate(struct hub *h, const struct selection *sel,
    struct span last_event_id, struct cursor *ret)
{
	struct cursor c = {0};
	struct sse_id id;
	int64_t newest, last_id, loss;
	enum err e;

	if (hub_db(h) == NULL)
		return ERR_GONE;
	e = events_last_id(hub_db(h), &newest);
	if (e != OK)
		return e;
	c.resync = read_last_event_id(h, last_event_id, newest, &id);
	e = look(h, sel, &c, &last_id);
	if (e != OK)
		return e;
	loss = losses_at(&c.known, id.n);
	if (loss != 0 && loss != id.loss)
		c.resync = "expired";
	c.at = c.resync == NULL ? id.n : 0;
	c.has_news = last_id > id.n;
	if (c.resync != NULL)
		hub_stats(h)->resyncs++;
	*ret = c;
	return OK;
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
	struct search *s = arg;
	struct frame *f = NULL;

	s->e = hub_make_frame(s->hub, row, 0, &f);
	s->is_found = s->e == OK && !f->is_skipped;
	frame_unref(&f);
	return s->e == OK && !s->is_found;
}

enum err
cursor_check_end(struct hub *h, const struct selection *sel,
    const struct cursor *c, bool *ret)
{
	struct search search = {.hub = h};
	enum err e = OK;

	/* Rows that cannot be sent move no client, which would come back for
	 * ever. */
	*ret = c->resync == NULL && c->n_open == 0;
	if (*ret && c->has_news)
		e = hub_read_rows(h, sel, c->at, INT_MAX, on_row, &search);
	*ret = *ret && !search.is_found;
	return e == OK ? search.e : e;
}

/* Of these losses the waiter knows, or is told now. */
static void
set_floors(const struct cursor *c, struct waiter *w)
{
	struct sub *subs = waiter_subs(w);

	for (size_t i = 0; i < w->n_subs; i++)
		subs[i].floor = c->floor[i];
}

void
cursor_apply(const struct cursor *c, struct waiter *w)
{
	struct sub *subs = waiter_subs(w);

	w->cursor = c->at;
	w->n_open = (uint8_t)c->n_open;
	for (size_t i = 0; i < w->n_subs; i++)
		subs[i].is_terminal = c->is_terminal[i];
	set_floors(c, w);
}

void
cursor_restart(struct hub *h, struct waiter *w, struct losses *ret)
{
	const char *job_ids[JOB_IDS_MAX];
	struct selection sel = waiter_selection(w, job_ids);
	struct cursor now = {0};
	int64_t last_id;

	hub_stats(h)->resyncs++;
	waiter_rewind(w);
	*ret = (struct losses){0};
	if (look(h, &sel, &now, &last_id) != OK)
		return;
	*ret = now.known;
	set_floors(&now, w);
}

static enum err
read_floor(struct db *db, const struct sub *sub, int64_t *ret)
{
	struct job_bounds job;
	enum err e;

	if (sub->kind == TOPIC_OWNER)
		return jobs_owner_floor(db, sub->topic->name, ret);
	e = jobs_bounds(db, sub->topic->name, &job);
	if (e == OK)
		*ret = job.floor;
	return e;
}

enum err
cursor_check_loss(struct hub *h, struct waiter *w, const char **ret_resync)
{
	struct sub *subs = waiter_subs(w);
	int64_t floor;
	enum err e;

	for (size_t i = 0; i < w->n_subs; i++) {
		e = read_floor(hub_db(h), &subs[i], &floor);
		if (e != OK)
			return e;
		if (floor <= subs[i].floor)
			continue;
		subs[i].floor = floor;
		if (floor > w->cursor)
			*ret_resync = "expired";
	}
	return OK;
}
