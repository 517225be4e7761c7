/* SPDX-License-Identifier: ISC */
/*
 * The event loop: descriptors (epoll), timers, signals, work at the end of a
 * turn. Layer: io. One thread owns a loop; only loop_wake() may be called from
 * another one.
 *
 * A turn is: wait, timers that are due, ready descriptors, then everything
 * given to loop_defer(), in order. Objects are freed in that last step only,
 * so no callback can find memory that an earlier callback of the same turn
 * freed.
 */
#ifndef JOBWIRE_LOOP_H
#define JOBWIRE_LOOP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "base/err.h"

struct loop;

/* What a descriptor is ready for; also what is asked for. */
enum {
	IO_READ = 1,  /* readable, or end of file */
	IO_WRITE = 2, /* writable */
	IO_GONE = 4,  /* error or hang-up; reported unasked */
	/* Asked for only: edge-triggered, and IO_END is told. One edge may
	 * stand for bytes and for the end behind them. */
	IO_EDGE = 8,
	IO_END = 16, /* the peer sends no more: what can be read is the last */
};

/* One watched descriptor; embedded in its owner. The loop borrows it between
 * io_add() and io_remove(). */
struct io {
	int fd; /* -1 when not added; the descriptor itself belongs to the
		   owner */
	void (*on_ready)(struct io *io, unsigned ready);
};

/* One timer; embedded in its owner. Zeroed means not set. */
struct timer {
	int64_t due_us; /* CLOCK_MONOTONIC */
	size_t slot;	/* place in the heap plus one; 0 when not set */
	void (*on_due)(struct timer *t);
};

/* Work for the end of the turn; embedded in its owner. */
struct deferred {
	STAILQ_ENTRY(deferred) link;
	void (*run)(struct deferred *d);
	bool is_queued;
};

/* Returns owned (loop_free). ERR_SYS, ERR_NOMEM. */
CHECK_RESULT enum err loop_new(struct loop **ret);
/* Runs the work that was deferred, then frees. */
void loop_free(struct loop **loop);

/*
 * Turns until loop_stop(). Blocks. ERR_SYS when epoll_wait itself fails.
 */
CHECK_RESULT enum err loop_run(struct loop *loop);

/* Makes loop_run() return after the present turn. */
void loop_stop(struct loop *loop);

/* Start of the present turn, microseconds (CLOCK_MONOTONIC). */
int64_t loop_now_us(const struct loop *loop);

/* io->fd and io->on_ready are set by the caller. ERR_SYS. */
CHECK_RESULT enum err io_add(struct loop *loop, struct io *io, unsigned want);
/* Changes what is asked for. Also with what was asked for already, what is
 * ready now is told again. ERR_SYS. */
CHECK_RESULT enum err io_want(struct loop *loop, struct io *io, unsigned want);
/* Forgets the descriptor and sets io->fd to -1 without closing it. Events of
 * this turn that are not delivered yet are dropped. Accepts fd -1. */
void io_remove(struct loop *loop, struct io *io);
/* The same, and closes the descriptor, which ends the kernel's watch without a
 * call more. For one that nobody else has open, added or not. */
void io_close(struct loop *loop, struct io *io);

/* Sets or moves the timer; on_due is set by the caller. ERR_NOMEM only when
 * the timer was not set before. */
CHECK_RESULT enum err timer_set(
    struct loop *loop, struct timer *t, int64_t due_us);
void timer_cancel(struct loop *loop, struct timer *t);

/* Runs d->run at the end of this turn; once, however often it is asked. Work
 * queued by deferred work runs in the next turn, which does not wait then. */
void loop_defer(struct loop *loop, struct deferred *d);
void loop_undefer(struct loop *loop, struct deferred *d);

/*
 * Delivers these signals (a list ended by 0) to on_signal on the loop's
 * thread, through a signalfd; blocks them in the calling thread, so call it
 * before any thread is started. Ignores SIGPIPE and SIGXFSZ. ERR_SYS.
 */
CHECK_RESULT enum err loop_signals(struct loop *loop, const int *signals,
    void (*on_signal)(void *arg, int signal), void *arg);

/*
 * Thread-safe: makes on_wake (given once, before threads) run on the loop's
 * thread soon. Several wakes may become one call.
 */
CHECK_RESULT enum err loop_on_wake(
    struct loop *loop, void (*on_wake)(void *arg), void *arg);
void loop_wake(struct loop *loop);

#endif
