/* SPDX-License-Identifier: ISC */
/*
 * The event loop on epoll: timers (io/timers), a list of deferred work, a
 * signalfd and an eventfd that are watched like any other descriptor. It owns
 * no descriptor of its users and knows nothing of what they carry. Blocks in
 * wait_for_events() only.
 */
#include "io/loop.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <assert.h>
#include <errno.h>
#include <linux/time_types.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "io/timers.h"

enum { EVENTS_PER_TURN = 256 };

/* The loop's own descriptors: what io.on_ready leads back to. */
struct source {
	struct io io; /* first, so that a pointer to it is one to the source */
	void (*on_signal)(void *arg, int signal);
	void (*on_wake)(void *arg);
	void *arg;
};

struct loop {
	int epoll_fd;
	bool is_stopping;
	bool has_pwait2; /* false on kernels before 5.11, and in sandboxes */
	int64_t now_us;
	struct epoll_event events[EVENTS_PER_TURN];
	int event_count; /* of this turn */
	struct timers timers;
	STAILQ_HEAD(deferred_list, deferred) deferred;
	struct deferred turn_end; /* in the list while its front is run */
	struct source signals, wake;
};

static void run_deferred(struct loop *loop);

enum err
loop_new(struct loop **ret)
{
	struct loop *loop = calloc(1, sizeof(*loop));

	if (loop == NULL)
		return ERR_NOMEM;
	STAILQ_INIT(&loop->deferred);
	loop->signals.io.fd = loop->wake.io.fd = -1;
	loop->has_pwait2 = true;
	loop->now_us = clock_mono_us();
	loop->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (loop->epoll_fd == -1) {
		free(loop);
		return ERR_SYS;
	}
	*ret = loop;
	return OK;
}

void
loop_free(struct loop **loop)
{
	struct loop *l = *loop;

	if (l == NULL)
		return;
	*loop = NULL;
	/* What was put off till the end of the turn is mostly freeing. */
	while (!STAILQ_EMPTY(&l->deferred))
		run_deferred(l);
	if (l->signals.io.fd != -1)
		close(l->signals.io.fd);
	if (l->wake.io.fd != -1)
		close(l->wake.io.fd);
	close(l->epoll_fd);
	timers_done(&l->timers);
	free(l);
}

/* --- Descriptors ---------------------------------------------------------- */

static enum err
control(struct loop *loop, int what, struct io *io, unsigned want)
{
	struct epoll_event ev = {.data.ptr = io};

	if (want & IO_READ)
		ev.events |= EPOLLIN;
	if (want & IO_WRITE)
		ev.events |= EPOLLOUT;
	if (want & IO_EDGE)
		ev.events |= EPOLLET | EPOLLRDHUP;
	return epoll_ctl(loop->epoll_fd, what, io->fd, &ev) == 0 ? OK : ERR_SYS;
}

enum err
io_add(struct loop *loop, struct io *io, unsigned want)
{
	return control(loop, EPOLL_CTL_ADD, io, want);
}

enum err
io_want(struct loop *loop, struct io *io, unsigned want)
{
	return control(loop, EPOLL_CTL_MOD, io, want);
}

/* Drops what was to be delivered still. */
static void
forget(struct loop *loop, struct io *io)
{
	int i;

	io->fd = -1;
	for (i = 0; i < loop->event_count; i++)
		if (loop->events[i].data.ptr == io)
			loop->events[i].data.ptr = NULL;
}

void
io_remove(struct loop *loop, struct io *io)
{
	if (io->fd == -1)
		return;
	(void)epoll_ctl(loop->epoll_fd, EPOLL_CTL_DEL, io->fd, NULL);
	forget(loop, io);
}

void
io_close(struct loop *loop, struct io *io)
{
	(void)close(io->fd);
	forget(loop, io);
}

static void
deliver(struct loop *loop)
{
	unsigned ready;
	struct io *io;
	int i;

	for (i = 0; i < loop->event_count; i++) {
		uint32_t events = loop->events[i].events;

		io = loop->events[i].data.ptr;
		if (io == NULL)
			continue;
		ready = 0;
		if (events & EPOLLIN)
			ready |= IO_READ;
		if (events & EPOLLOUT)
			ready |= IO_WRITE;
		if (events & (EPOLLERR | EPOLLHUP))
			ready |= IO_GONE;
		if (events & EPOLLRDHUP)
			ready |= IO_END;
		io->on_ready(io, ready);
	}
	loop->event_count = 0;
}

/* --- Timers --------------------------------------------------------------- */

enum err
timer_set(struct loop *loop, struct timer *t, int64_t due_us)
{
	return timers_set(&loop->timers, t, due_us);
}

void
timer_cancel(struct loop *loop, struct timer *t)
{
	timers_cancel(&loop->timers, t);
}

/* At most as many as were set before, so that one which sets itself to the
 * past does not keep descriptors waiting. */
static void
run_timers(struct loop *loop)
{
	size_t n = loop->timers.count;
	struct timer *t;

	for (; n > 0; n--) {
		t = timers_first(&loop->timers);
		if (t == NULL || t->due_us > loop->now_us)
			return;
		timer_cancel(loop, t);
		t->on_due(t);
	}
}

/* --- Deferred work -------------------------------------------------------- */

void
loop_defer(struct loop *loop, struct deferred *d)
{
	if (d->is_queued)
		return;
	d->is_queued = true;
	STAILQ_INSERT_TAIL(&loop->deferred, d, link);
}

void
loop_undefer(struct loop *loop, struct deferred *d)
{
	if (!d->is_queued)
		return;
	d->is_queued = false;
	STAILQ_REMOVE(&loop->deferred, d, deferred, link);
}

/* What is queued meanwhile stands behind turn_end and waits its turn. */
static void
run_deferred(struct loop *loop)
{
	struct deferred *d;

	STAILQ_INSERT_TAIL(&loop->deferred, &loop->turn_end, link);
	while ((d = STAILQ_FIRST(&loop->deferred)) != &loop->turn_end) {
		STAILQ_REMOVE_HEAD(&loop->deferred, link);
		d->is_queued = false;
		d->run(d);
	}
	STAILQ_REMOVE_HEAD(&loop->deferred, link);
}

/* --- Turns ---------------------------------------------------------------- */

/* Microseconds the turn may wait; -1 without limit. */
static int64_t
wait_us(const struct loop *loop)
{
	const struct timer *first = timers_first(&loop->timers);
	int64_t left;

	if (!STAILQ_EMPTY(&loop->deferred))
		return 0;
	if (first == NULL)
		return -1;
	left = first->due_us - clock_mono_us();
	return left > 0 ? left : 0;
}

/*
 * epoll_wait(2) counts milliseconds, too coarse for re-checks after 0.1 ms, so
 * epoll_pwait2(2) is used where the kernel has it; called directly, because
 * glibc wraps it from 2.35 only. Returns the number of events, -1 with errno.
 */
static int
wait_for_events(struct loop *loop, int64_t us)
{
	struct __kernel_timespec ts = {us / 1000000, us % 1000000 * 1000};
	long n;

	if (loop->has_pwait2) {
		n = syscall(SYS_epoll_pwait2, loop->epoll_fd, loop->events,
		    EVENTS_PER_TURN, us < 0 ? NULL : &ts, NULL, (size_t)0);
		if (n >= 0 || (errno != ENOSYS && errno != EPERM))
			return (int)n;
		loop->has_pwait2 = false;
	}
	if (us > INT64_C(3600000000))
		us =
		    INT64_C(3600000000); /* fits an int; the loop waits again */
	return epoll_wait(loop->epoll_fd, loop->events, EVENTS_PER_TURN,
	    us < 0 ? -1 : (int)((us + 999) / 1000));
}

static enum err
turn(struct loop *loop)
{
	int n = wait_for_events(loop, wait_us(loop));

	if (n < 0 && errno != EINTR)
		return ERR_SYS;
	loop->event_count = n < 0 ? 0 : n;
	loop->now_us = clock_mono_us();
	run_timers(loop);
	deliver(loop);
	run_deferred(loop);
	return OK;
}

enum err
loop_run(struct loop *loop)
{
	enum err e = OK;

	while (e == OK && !loop->is_stopping)
		e = turn(loop);
	loop->is_stopping = false;
	return e;
}

void
loop_stop(struct loop *loop)
{
	loop->is_stopping = true;
}

int64_t
loop_now_us(const struct loop *loop)
{
	return loop->now_us;
}

/* --- Signals and wake-ups ------------------------------------------------- */

static void
on_signal_ready(struct io *io, unsigned ready)
{
	struct source *s = (struct source *)io;
	struct signalfd_siginfo info;

	(void)ready;
	while (read(io->fd, &info, sizeof(info)) == (ssize_t)sizeof(info))
		s->on_signal(s->arg, (int)info.ssi_signo);
}

enum err
loop_signals(struct loop *loop, const int *signals,
    void (*on_signal)(void *arg, int signal), void *arg)
{
	struct source *s = &loop->signals;
	sigset_t set;

	assert(s->io.fd == -1);
	sigemptyset(&set);
	for (; *signals != 0; signals++)
		sigaddset(&set, *signals);
	/* A peer that left, and a file at its limit, are errors of a call. */
	if (signal(SIGPIPE, SIG_IGN) == SIG_ERR ||
	    signal(SIGXFSZ, SIG_IGN) == SIG_ERR ||
	    sigprocmask(SIG_BLOCK, &set, NULL) == -1)
		return ERR_SYS;
	*s = (struct source){.on_signal = on_signal, .arg = arg};
	s->io.on_ready = on_signal_ready;
	s->io.fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
	return s->io.fd == -1 ? ERR_SYS : io_add(loop, &s->io, IO_READ);
}

static void
on_wake_ready(struct io *io, unsigned ready)
{
	struct source *s = (struct source *)io;
	uint64_t count;

	(void)ready;
	if (read(io->fd, &count, sizeof(count)) == (ssize_t)sizeof(count))
		s->on_wake(s->arg);
}

enum err
loop_on_wake(struct loop *loop, void (*on_wake)(void *arg), void *arg)
{
	struct source *s = &loop->wake;

	assert(s->io.fd == -1);
	*s = (struct source){.on_wake = on_wake, .arg = arg};
	s->io.on_ready = on_wake_ready;
	s->io.fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	return s->io.fd == -1 ? ERR_SYS : io_add(loop, &s->io, IO_READ);
}

void
loop_wake(struct loop *loop)
{
	uint64_t one = 1;

	/* Fails only when 2^64 - 2 wakes are waiting, which is as good. */
	if (write(loop->wake.io.fd, &one, sizeof(one)) == -1)
		return;
}
