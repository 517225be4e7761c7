/* SPDX-License-Identifier: ISC */
/*
 * Keeps exchanges and gives them back. Whether one comes too early is decided
 * in events_api.c, when to look by the hub. Runs on the loop; never blocks.
 */
#include "live/early.h"

#include <stdlib.h>

#include "base/container_of.h"

struct early {
	TAILQ_ENTRY(early) link;
	struct early_queue *q;
	struct exchange *x; /* ours until it is given back; with its timer */
	int64_t id;	    /* event id: what it waits for; 0: anything new */
	int64_t since_us;
	early_fn *retry;
	void *arg;
};

void
early_init(struct early_queue *q, struct loop *loop, size_t max)
{
	*q = (struct early_queue){.loop = loop, .max = max};
	TAILQ_INIT(&q->list);
}

/* The exchange is as it was before. */
static void
early_free(struct early *e)
{
	timer_cancel(e->q->loop, &e->x->timer);
	e->x->owner = NULL;
	e->x->told = NULL;
	TAILQ_REMOVE(&e->q->list, e, link);
	e->q->n--;
	free(e);
}

static void
on_due(struct timer *t)
{
	struct exchange *x = container_of(t, struct exchange, timer);
	struct early kept = *(struct early *)x->owner;

	early_free(x->owner);
	kept.retry(kept.arg, x, kept.since_us);
}

static void
on_gone(struct exchange *x)
{
	early_free(x->owner);
}

static const struct exchange_told told = {.on_gone = on_gone};

enum err
early_park(struct early_queue *q, struct exchange *x, int64_t id,
    int64_t until_us, int64_t since_us, early_fn *retry, void *arg)
{
	struct early *e;
	enum err err;

	if (q->n >= q->max)
		return ERR_FULL;
	e = calloc(1, sizeof(*e));
	if (e == NULL)
		return ERR_NOMEM;
	*e = (struct early){
	    .q = q,
	    .x = x,
	    .id = id,
	    .since_us = since_us,
	    .retry = retry,
	    .arg = arg,
	};
	x->timer.on_due = on_due;
	err = timer_set(q->loop, &x->timer, until_us);
	if (err != OK) {
		free(e);
		return err;
	}
	x->owner = e;
	x->told = &told;
	TAILQ_INSERT_TAIL(&q->list, e, link);
	q->n++;
	return OK;
}

void
early_look(struct early_queue *q, int64_t last_id)
{
	struct early *e;

	/* Not now: the caller is in the middle of something. A timer that is
	 * set can always be moved; else it would wait for its time. */
	TAILQ_FOREACH(e, &q->list, link)
		if (e->id <= last_id &&
		    timer_set(q->loop, &e->x->timer, 0) != OK)
			return;
}

void
early_done(struct early_queue *q)
{
	struct exchange *x;

	while (!TAILQ_EMPTY(&q->list)) {
		x = TAILQ_FIRST(&q->list)->x;
		early_free(TAILQ_FIRST(&q->list));
		x->ops->drop(x);
	}
}
