/* SPDX-License-Identifier: ISC */
/*
 * For tests of what runs on a loop: turns the loop until a condition holds.
 * No test sleeps; a condition that never holds fails after WAIT_LIMIT_MS.
 */
#ifndef JOBWIRE_WAIT_LOOP_H
#define JOBWIRE_WAIT_LOOP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/clock.h"
#include "io/loop.h"

enum { WAIT_LIMIT_MS = 10000, WAIT_STEP_US = 500 };

struct wait {
	struct timer timer;
	struct loop *loop;
	bool (*holds)(void);
	int64_t limit_us;
	bool held;
};

static inline void
wait_step(struct timer *t)
{
	struct wait *w = (struct wait *)(void *)t;
	int64_t now_us = clock_mono_us();

	w->held = w->holds();
	if (w->held || now_us > w->limit_us ||
	    timer_set(w->loop, t, now_us + WAIT_STEP_US) != OK)
		loop_stop(w->loop);
}

/* True when holds() became true in time. */
static inline bool
wait_until(struct loop *loop, bool (*holds)(void))
{
	struct wait w = {.timer = {.on_due = wait_step},
	    .loop = loop,
	    .holds = holds,
	    .limit_us = clock_mono_us() + WAIT_LIMIT_MS * 1000};

	return timer_set(loop, &w.timer, 0) == OK && loop_run(loop) == OK &&
	       w.held;
}

#endif
