/* SPDX-License-Identifier: ISC */
/* Unit tests of io/loop and io/timers. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>

#include <sys/socket.h>
#include <sys/syscall.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "io/loop.h"
#include "wait_loop.h"

static struct loop *loop;
static int ends[2][2]; /* two socket pairs; [i][1] is the far end */

static int
set_up(void **state)
{
	(void)state;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends[0]) ||
	    socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends[1]))
		return -1;
	return loop_new(&loop) == OK ? 0 : -1;
}

static int
tear_down(void **state)
{
	(void)state;
	loop_free(&loop);
	loop_free(&loop);
	close(ends[0][0]);
	close(ends[0][1]);
	close(ends[1][0]);
	close(ends[1][1]);
	return 0;
}

/* Lets the loop take n more turns, then stops it. */
struct countdown {
	struct deferred work;
	int turns;
};

static void
on_turn(struct deferred *d)
{
	struct countdown *c = (struct countdown *)d;

	if (--c->turns > 0)
		loop_defer(loop, d);
	else
		loop_stop(loop);
}

static void
run_turns(int n)
{
	struct countdown c = {{.run = on_turn}, n};

	loop_defer(loop, &c.work);
	assert_int_equal(loop_run(loop), OK);
}

/* --- Descriptors ---------------------------------------------------------- */

struct probe {
	struct io io;
	unsigned ready;
	int calls;
	struct probe *victim; /* removed by the first call */
};

static void
on_probe(struct io *io, unsigned ready)
{
	struct probe *p = (struct probe *)io;

	p->calls++;
	p->ready |= ready;
	if (p->victim != NULL)
		io_remove(loop, &p->victim->io);
}

static struct probe
probe_of(int fd)
{
	return (struct probe){.io = {.fd = fd, .on_ready = on_probe}};
}

static void
test_level_triggered(void **state)
{
	struct probe p = probe_of(ends[0][0]);

	(void)state;
	assert_int_equal(io_add(loop, &p.io, IO_READ), OK);
	run_turns(2);
	assert_int_equal(p.calls, 0);
	assert_int_equal(write(ends[0][1], "x", 1), 1);
	run_turns(3);
	assert_int_equal(p.calls, 3);
	assert_int_equal(p.ready, IO_READ);
	assert_int_equal(io_want(loop, &p.io, 0), OK);
	run_turns(3);
	assert_int_equal(p.calls, 3);
	assert_int_equal(io_want(loop, &p.io, IO_READ | IO_WRITE), OK);
	run_turns(1);
	assert_int_equal(p.ready, IO_READ | IO_WRITE);
	io_remove(loop, &p.io);
	assert_int_equal(p.io.fd, -1);
	io_remove(loop, &p.io);
}

static void
test_edge_triggered(void **state)
{
	struct probe p = probe_of(ends[0][0]);

	(void)state;
	assert_int_equal(write(ends[0][1], "x", 1), 1);
	assert_int_equal(io_add(loop, &p.io, IO_READ | IO_EDGE), OK);
	run_turns(3);
	assert_int_equal(p.calls, 1);
	assert_int_equal(write(ends[0][1], "x", 1), 1);
	run_turns(3);
	assert_int_equal(p.calls, 2);
	io_remove(loop, &p.io);
}

/* An end that comes with bytes makes one edge; asked again, the loop tells
 * again what is ready, also to who never looked. */
static void
test_edge_with_an_end(void **state)
{
	struct probe p = probe_of(ends[0][0]);

	(void)state;
	assert_int_equal(write(ends[0][1], "x", 1), 1);
	shutdown(ends[0][1], SHUT_WR);
	assert_int_equal(io_add(loop, &p.io, IO_READ | IO_EDGE), OK);
	for (int n = 1; n <= 3; n++) {
		run_turns(3);
		assert_int_equal(p.calls, n);
		assert_int_equal(p.ready, IO_READ | IO_END);
		p.ready = 0;
		assert_int_equal(io_want(loop, &p.io, IO_READ | IO_EDGE), OK);
	}
	io_remove(loop, &p.io);
}

/* Closed, it is not called, whether it was ever added or not, nor is one that
 * has its descriptor's number after it. */
static void
test_close(void **state)
{
	struct probe p = probe_of(dup(ends[0][0])), never = probe_of(dup(0));
	struct probe next;
	int number = p.io.fd;

	(void)state;
	close(ends[0][0]); /* only the copy is left */
	assert_int_equal(write(ends[0][1], "x", 1), 1);
	assert_int_equal(io_add(loop, &p.io, IO_READ), OK);
	io_close(loop, &p.io);
	io_close(loop, &never.io);
	assert_int_equal(p.io.fd, -1);
	assert_int_equal(never.io.fd, -1);
	ends[0][0] = dup(ends[1][0]);
	next = probe_of(dup(ends[1][0]));
	assert_true(next.io.fd == number || ends[0][0] == number);
	assert_int_equal(io_add(loop, &next.io, IO_READ), OK);
	assert_int_equal(write(ends[1][1], "x", 1), 1);
	run_turns(1);
	assert_int_equal(p.calls, 0);
	assert_int_equal(next.calls, 1);
	io_close(loop, &next.io);
}

static void
test_peer_gone(void **state)
{
	struct probe p = probe_of(ends[0][0]);

	(void)state;
	assert_int_equal(io_add(loop, &p.io, IO_READ), OK);
	shutdown(ends[0][1], SHUT_WR);
	run_turns(1);
	assert_int_equal(p.ready, IO_READ);
	shutdown(ends[0][1], SHUT_RD);
	assert_int_equal(io_want(loop, &p.io, 0), OK);
	p.ready = 0;
	run_turns(1);
	assert_int_equal(p.ready, IO_GONE);
	io_remove(loop, &p.io);
}

static void
test_removed_in_the_same_turn_is_not_called(void **state)
{
	struct probe a = probe_of(ends[0][0]), b = probe_of(ends[1][0]);

	(void)state;
	a.victim = &b;
	b.victim = &a;
	assert_int_equal(write(ends[0][1], "x", 1), 1);
	assert_int_equal(write(ends[1][1], "x", 1), 1);
	assert_int_equal(io_add(loop, &a.io, IO_READ), OK);
	assert_int_equal(io_add(loop, &b.io, IO_READ), OK);
	run_turns(1);
	assert_int_equal(a.calls + b.calls, 1);
	io_remove(loop, &a.io);
	io_remove(loop, &b.io);
}

static void
test_add_fails(void **state)
{
	struct probe p = probe_of(1 << 20);

	(void)state;
	assert_int_equal(io_add(loop, &p.io, IO_READ), ERR_SYS);
	assert_int_equal(io_want(loop, &p.io, IO_READ), ERR_SYS);
	io_remove(loop, &p.io);
}

/* --- Deferred work -------------------------------------------------------- */

static char order[32];

struct job {
	struct deferred work;
	const char *name;
	struct job *next; /* deferred by this one */
};

static void
on_job(struct deferred *d)
{
	struct job *j = (struct job *)d;

	strcat(order, j->name);
	if (j->next != NULL)
		loop_defer(loop, &j->next->work);
}

static void
test_deferred_order(void **state)
{
	struct job a = {{.run = on_job}, "a", NULL};
	struct job b = {{.run = on_job}, "b", NULL};
	struct job c = {{.run = on_job}, "c", NULL};

	(void)state;
	order[0] = '\0';
	loop_defer(loop, &a.work);
	loop_defer(loop, &b.work);
	loop_defer(loop, &a.work);
	loop_defer(loop, &c.work);
	run_turns(1);
	assert_string_equal(order, "abc");
	loop_defer(loop, &a.work);
	loop_defer(loop, &b.work);
	loop_defer(loop, &c.work);
	loop_undefer(loop, &b.work);
	loop_undefer(loop, &b.work);
	run_turns(1);
	assert_string_equal(order, "abcac");
}

/* What deferred work defers belongs to the next turn. */
static void
test_deferred_by_deferred(void **state)
{
	struct job late = {{.run = on_job}, "l", NULL};
	struct job first = {{.run = on_job}, "f", &late};

	(void)state;
	order[0] = '\0';
	loop_defer(loop, &first.work);
	run_turns(1);
	assert_string_equal(order, "f");
	assert_true(late.work.is_queued);
	run_turns(1); /* without waiting, or this would hang */
	assert_string_equal(order, "fl");
	late.next = &late;
	loop_defer(loop, &late.work);
	run_turns(3); /* late, then the countdown, three times */
	assert_string_equal(order, "fllll");
	loop_undefer(loop, &late.work);
}

static void
on_undefer(struct deferred *d)
{
	loop_undefer(loop, &((struct job *)d)->next->work);
}

static void
test_undefer_within_the_turn(void **state)
{
	struct job b = {{.run = on_job}, "b", NULL};
	struct job a = {{.run = on_undefer}, "a", &b};

	(void)state;
	order[0] = '\0';
	loop_defer(loop, &a.work);
	loop_defer(loop, &b.work);
	run_turns(1);
	assert_string_equal(order, "");
}

/* --- Timers --------------------------------------------------------------- */

enum { TIMERS = 500 };

static struct timer timers[TIMERS];
static int due_count;
static int64_t last_due_us;

static void
on_ordered(struct timer *t)
{
	assert_true(t->due_us <= clock_mono_us());
	assert_true(t->due_us >= last_due_us);
	assert_int_equal(t->slot, 0);
	last_due_us = t->due_us;
	due_count++;
}

static bool
none_left(void)
{
	for (int i = 0; i < TIMERS; i++)
		if (timers[i].slot != 0)
			return false;
	return true;
}

static void
test_timers_in_order(void **state)
{
	int64_t start = clock_mono_us();
	int i, expected = TIMERS;

	(void)state;
	due_count = 0;
	last_due_us = 0;
	for (i = 0; i < TIMERS; i++) {
		timers[i] = (struct timer){.on_due = on_ordered};
		assert_int_equal(timer_set(loop, &timers[i],
				     start + random_between(0, 20000)),
		    OK);
	}
	for (i = 0; i < TIMERS; i += 2)
		assert_int_equal(timer_set(loop, &timers[i],
				     start + random_between(0, 20000)),
		    OK);
	for (i = 0; i < TIMERS; i += 5, expected--) {
		timer_cancel(loop, &timers[i]);
		timer_cancel(loop, &timers[i]);
	}
	assert_true(wait_until(loop, none_left));
	assert_int_equal(due_count, expected);
}

static void
on_cancel_next(struct timer *t)
{
	due_count++;
	timer_cancel(loop, t + 1);
}

static void
test_timer_cancelled_in_a_callback(void **state)
{
	int i;

	(void)state;
	due_count = 0;
	for (i = 0; i < 4; i++) {
		timers[i] = (struct timer){.on_due = on_cancel_next};
		assert_int_equal(timer_set(loop, &timers[i], i + 1), OK);
	}
	run_turns(2);
	assert_int_equal(due_count, 2); /* 0 cancelled 1, 2 cancelled 3 */
}

static void
on_again(struct timer *t)
{
	due_count++;
	assert_int_equal(timer_set(loop, t, 0), OK);
}

static void
test_timer_in_the_past_starves_nobody(void **state)
{
	struct probe p = probe_of(ends[0][0]);

	(void)state;
	due_count = 0;
	timers[0] = (struct timer){.on_due = on_again};
	assert_int_equal(write(ends[0][1], "x", 1), 1);
	assert_int_equal(io_add(loop, &p.io, IO_READ), OK);
	assert_int_equal(timer_set(loop, &timers[0], 0), OK);
	run_turns(3);
	assert_int_equal(p.calls, 3);
	assert_int_equal(due_count, 3);
	timer_cancel(loop, &timers[0]);
	io_remove(loop, &p.io);
}

static void
on_stop(struct timer *t)
{
	assert_true(loop_now_us(loop) >= t->due_us);
	loop_stop(loop);
}

static void
test_timers_below_a_millisecond(void **state)
{
	int64_t start, best = INT64_MAX;
	int i;

	(void)state;
	/* Old kernels, valgrind and some sandboxes have milliseconds only. */
	if (syscall(SYS_epoll_pwait2, -1, NULL, 0, NULL, NULL, (size_t)0) ==
		-1 &&
	    (errno == ENOSYS || errno == EPERM)) {
		print_message("skipped: this kernel has no epoll_pwait2\n");
		skip();
	}
	timers[0] = (struct timer){.on_due = on_stop};
	for (i = 0; i < 50; i++) {
		start = clock_mono_us();
		assert_int_equal(timer_set(loop, &timers[0], start + 100), OK);
		assert_int_equal(loop_run(loop), OK);
		if (clock_mono_us() - start < best)
			best = clock_mono_us() - start;
	}
	/* The best of many, because the machine may be busy. */
	assert_in_range(best, 100, 900);
}

/* --- Stop, signals, wake-ups ---------------------------------------------- */

static void
test_stop_before_run(void **state)
{
	(void)state;
	loop_stop(loop);
	assert_int_equal(loop_run(loop), OK); /* does not hang */
	run_turns(1);
}

static int got_signals;

static void
on_signal(void *arg, int number)
{
	assert_ptr_equal(arg, &got_signals);
	got_signals += number;
}

static bool
got_both_signals(void)
{
	return got_signals == SIGUSR1 + SIGTERM;
}

static void
test_signals(void **state)
{
	static const int list[] = {SIGUSR1, SIGTERM, 0};
	sigset_t set;

	(void)state;
	got_signals = 0;
	assert_int_equal(loop_signals(loop, list, on_signal, &got_signals), OK);
	raise(SIGUSR1);
	raise(SIGTERM);
	raise(SIGPIPE);
	assert_true(wait_until(loop, got_both_signals));
	sigemptyset(&set);
	sigprocmask(SIG_SETMASK, &set, NULL);
}

static int wakes;

static void
on_wake(void *arg)
{
	assert_ptr_equal(arg, &wakes);
	wakes++;
	loop_stop(loop);
}

static void *
wake_from_thread(void *arg)
{
	int i;

	for (i = 0; i < 100; i++)
		loop_wake(arg);
	return NULL;
}

static void
test_wake_from_thread(void **state)
{
	pthread_t thread;

	(void)state;
	wakes = 0;
	assert_int_equal(loop_on_wake(loop, on_wake, &wakes), OK);
	assert_int_equal(
	    pthread_create(&thread, NULL, wake_from_thread, loop), 0);
	assert_int_equal(loop_run(loop), OK);
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_in_range(wakes, 1, 100);
	loop_wake(loop);
	assert_int_equal(loop_run(loop), OK);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(test_level_triggered),
	    TEST(test_edge_triggered),
	    TEST(test_edge_with_an_end),
	    TEST(test_close),
	    TEST(test_peer_gone),
	    TEST(test_removed_in_the_same_turn_is_not_called),
	    TEST(test_add_fails),
	    TEST(test_deferred_order),
	    TEST(test_deferred_by_deferred),
	    TEST(test_undefer_within_the_turn),
	    TEST(test_timers_in_order),
	    TEST(test_timer_cancelled_in_a_callback),
	    TEST(test_timer_in_the_past_starves_nobody),
	    TEST(test_timers_below_a_millisecond),
	    TEST(test_stop_before_run),
	    TEST(test_signals),
	    TEST(test_wake_from_thread),
	};

	alarm(60);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
