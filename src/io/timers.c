/* SPDX-License-Identifier: ISC */
/*
 * A binary heap of timers, each of which knows its place, so that setting,
 * moving and cancelling cost log n without a search. When to look at it and
 * whom to call is io/loop's. Never blocks.
 */
#include "io/timers.h"

#include <stdlib.h>

enum { FIRST_SIZE = 64 };

void
timers_done(struct timers *ts)
{
	free(ts->heap);
	*ts = (struct timers){0};
}

static void
put(struct timers *ts, size_t at, struct timer *t)
{
	ts->heap[at] = t;
	t->slot = at + 1;
}

/* Finds t its place, from the free place `at` up, then down. */
static void
settle(struct timers *ts, size_t at, struct timer *t)
{
	struct timer **heap = ts->heap;
	size_t child;

	while (at > 0 && t->due_us < heap[(at - 1) / 2]->due_us) {
		put(ts, at, heap[(at - 1) / 2]);
		at = (at - 1) / 2;
	}
	while ((child = 2 * at + 1) < ts->count) {
		if (child + 1 < ts->count &&
		    heap[child + 1]->due_us < heap[child]->due_us)
			child++;
		if (t->due_us <= heap[child]->due_us)
			break;
		put(ts, at, heap[child]);
		at = child;
	}
	put(ts, at, t);
}

static enum err
grow(struct timers *ts)
{
	size_t cap = ts->cap == 0 ? FIRST_SIZE : ts->cap * 2;
	struct timer **heap;

	heap = reallocarray(ts->heap, cap, sizeof(struct timer *));
	if (heap == NULL)
		return ERR_NOMEM;
	ts->heap = heap;
	ts->cap = cap;
	return OK;
}

enum err
timers_set(struct timers *ts, struct timer *t, int64_t due_us)
{
	if (t->slot == 0) {
		if (ts->count == ts->cap && grow(ts) != OK)
			return ERR_NOMEM;
		t->slot = ++ts->count;
	}
	t->due_us = due_us;
	settle(ts, t->slot - 1, t);
	return OK;
}

void
timers_cancel(struct timers *ts, struct timer *t)
{
	size_t at = t->slot - 1;
	struct timer *last;

	if (t->slot == 0)
		return;
	t->slot = 0;
	last = ts->heap[--ts->count];
	if (last != t)
		settle(ts, at, last);
}

struct timer *
timers_first(const struct timers *ts)
{
	return ts->count == 0 ? NULL : ts->heap[0];
}
