/* SPDX-License-Identifier: ISC */
/*
 * The timers of one loop, ordered by when they are due. Layer: io; for
 * io/loop only, everybody else calls timer_set() and timer_cancel().
 */
#ifndef JOBWIRE_TIMERS_H
#define JOBWIRE_TIMERS_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "io/loop.h"

/* A binary heap; all zero is an empty one. */
struct timers {
	struct timer **heap; /* owned; the timers are borrowed while set */
	size_t count, cap;
};

void timers_done(struct timers *ts);

/* As timer_set() and timer_cancel(). */
CHECK_RESULT enum err timers_set(
    struct timers *ts, struct timer *t, int64_t due_us);
void timers_cancel(struct timers *ts, struct timer *t);

/* The one that is due first, NULL when none is set. */
struct timer *timers_first(const struct timers *ts);

#endif
