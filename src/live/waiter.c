/* SPDX-License-Identifier: ISC */
/*
 * What is known of one waiting client, and who waits for what. stream.c and
 * poll.c decide what a client is sent, hub.c reads it. Never blocks.
 */
#include "live/waiter.h"

#include <stdlib.h>
#include <string.h>

#include "base/container_of.h"

enum { WAITERS_PER_TURN = 128 };

struct waiter *
waiter_new(const struct waiter_ops *ops, const struct selection *sel)
{
	size_t n_subs = sel->owner != NULL ? 1 : sel->n_jobs;
	struct waiter *w = calloc(1, ops->size + n_subs * sizeof(struct sub));
	struct sub *subs;

	if (w == NULL)
		return NULL;
	w->ops = ops;
	w->n_subs = (uint8_t)n_subs;
	subs = waiter_subs(w);
	for (size_t i = 0; i < n_subs; i++)
		subs[i].offset = (uint16_t)(ops->size + i * sizeof(struct sub));
	return w;
}

static bool
has_owner(struct waiter *w)
{
	return waiter_subs(w)->kind == TOPIC_OWNER;
}

struct selection
waiter_selection(struct waiter *w, const char **job_ids)
{
	const struct sub *subs = waiter_subs(w);

	if (has_owner(w))
		return (struct selection){.owner = subs->topic->name};
	for (size_t i = 0; i < w->n_subs; i++)
		job_ids[i] = subs[i].topic->name;
	return (struct selection){.job_ids = job_ids, .n_jobs = w->n_subs};
}

struct sub *
waiter_find_sub(struct waiter *w, const char *job_id)
{
	struct sub *subs = waiter_subs(w);

	if (has_owner(w))
		return subs;
	for (size_t i = 0; i < w->n_subs; i++)
		if (strcmp(subs[i].topic->name, job_id) == 0)
			return &subs[i];
	return NULL;
}

void
waiter_note(struct waiter *w, struct sub *sub, const struct frame *f)
{
	bool was_terminal = sub->is_terminal;

	w->cursor = f->id;
	if (f->effect == FRAME_NEUTRAL || sub->kind == TOPIC_OWNER)
		return;
	sub->is_terminal = f->effect == FRAME_ENDS;
	if (sub->is_terminal && !was_terminal)
		w->n_open--;
	else if (!sub->is_terminal && was_terminal)
		w->n_open++;
}

void
waiter_rewind(struct waiter *w)
{
	struct sub *subs = waiter_subs(w);

	w->cursor = 0;
	w->n_open = w->n_subs;
	for (size_t i = 0; i < w->n_subs; i++)
		subs[i].is_terminal = false;
}

/* --- Who waits for what --------------------------------------------------- */

static enum err
enter_topic(
    struct waiters *ws, struct sub *sub, enum topic_kind kind, const char *name)
{
	struct topic *t = topics_find(&ws->topics[kind], name);

	if (t == NULL)
		t = topics_add(&ws->topics[kind], name);
	if (t == NULL)
		return ERR_NOMEM;
	sub->topic = t;
	sub->kind = (uint8_t)kind;
	LIST_INSERT_HEAD(&t->subs, sub, link);
	return OK;
}

static void
leave_topic(struct waiters *ws, struct sub *sub)
{
	struct topic *t = sub->topic;

	if (t == NULL)
		return;
	LIST_REMOVE(sub, link);
	sub->topic = NULL;
	if (LIST_EMPTY(&t->subs))
		topics_remove(&ws->topics[sub->kind], t);
}

static void
leave_topics(struct waiters *ws, struct waiter *w)
{
	struct sub *subs = waiter_subs(w);

	for (size_t i = 0; i < w->n_subs; i++)
		leave_topic(ws, &subs[i]);
}

static enum err
enter_topics(struct waiters *ws, struct waiter *w, const struct selection *sel)
{
	struct sub *subs = waiter_subs(w);
	enum err e = OK;

	for (size_t i = 0; i < w->n_subs && e == OK; i++)
		e = sel->owner != NULL
			? enter_topic(ws, &subs[i], TOPIC_OWNER, sel->owner)
			: enter_topic(ws, &subs[i], TOPIC_JOB, sel->job_ids[i]);
	if (e != OK)
		leave_topics(ws, w);
	return e;
}

enum err
waiters_add(struct waiters *ws, struct waiter *w, const struct selection *sel)
{
	enum err e = enter_topics(ws, w, sel);

	if (e != OK)
		return e;
	TAILQ_INSERT_TAIL(&ws->list, w, link);
	ws->n++;
	return OK;
}

/* --- Turns ---------------------------------------------------------------- */

void
waiters_queue(struct waiters *ws, struct waiter *w)
{
	if (w->is_queued)
		return;
	w->is_queued = true;
	TAILQ_REMOVE(&ws->list, w, link);
	if (ws->last_ready != NULL)
		TAILQ_INSERT_AFTER(&ws->list, ws->last_ready, w, link);
	else
		TAILQ_INSERT_HEAD(&ws->list, w, link);
	ws->last_ready = w;
	ws->n_ready++;
	loop_defer(ws->loop, &ws->work);
}

static void
unqueue(struct waiters *ws, struct waiter *w)
{
	if (!w->is_queued)
		return;
	w->is_queued = false;
	if (ws->last_ready == w)
		ws->last_ready = TAILQ_PREV(w, waiter_list, link);
	TAILQ_REMOVE(&ws->list, w, link);
	TAILQ_INSERT_TAIL(&ws->list, w, link);
	ws->n_ready--;
}

static void
on_work(struct deferred *d)
{
	struct waiters *ws = container_of(d, struct waiters, work);
	struct waiter *w;
	size_t n =
	    ws->n_ready < WAITERS_PER_TURN ? ws->n_ready : WAITERS_PER_TURN;

	/* Not those that queue themselves again meanwhile: a long replay leaves
	 * the others their turns. */
	for (; n > 0 && ws->n_ready > 0; n--) {
		w = TAILQ_FIRST(&ws->list);
		unqueue(ws, w);
		w->ops->on_turn(w);
	}
	if (ws->n_ready > 0)
		loop_defer(ws->loop, &ws->work);
}

void
waiters_remove(struct waiters *ws, struct waiter *w)
{
	leave_topics(ws, w);
	unqueue(ws, w);
	TAILQ_REMOVE(&ws->list, w, link);
	ws->n--;
}

/* --- Life ----------------------------------------------------------------- */

void
waiters_init(struct waiters *ws, struct loop *loop)
{
	*ws = (struct waiters){.loop = loop, .work.run = on_work};
	TAILQ_INIT(&ws->list);
	for (size_t i = 0; i < TOPIC_KINDS; i++)
		topics_init(&ws->topics[i]);
}

void
waiters_done(struct waiters *ws)
{
	struct waiter *w;

	while ((w = TAILQ_FIRST(&ws->list)) != NULL)
		w->ops->on_abandon(w);
	loop_undefer(ws->loop, &ws->work);
	for (size_t i = 0; i < TOPIC_KINDS; i++)
		topics_done(&ws->topics[i]);
}
