/* SPDX-License-Identifier: ISC */
/*
 * The parent of worker processes. It opens nothing but what it inherited and
 * has no loop: it waits for signals. What a worker does stands in events.c.
 * Blocks.
 */
#include "app/workers.h"

#include <sys/prctl.h>
#include <sys/wait.h>
#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"

enum {
	PAUSE_MIN_MS = 100,
	PAUSE_MAX_MS = 5000,
	YOUNG_MS = 10 * 1000, /* dead before this age: the pause doubles */
};

struct worker {
	pid_t pid; /* 0: not running */
	int64_t began_us;
	int64_t due_us; /* to be started again */
	int64_t pause_ms;
};

struct crew {
	struct worker *workers;
	size_t n, n_alive;
	struct metrics *slots;
	int (*work)(void *arg, size_t index);
	int (*on_signal)(void *arg, int signal);
	void (*on_stop)(void *arg);
	void *arg;
	sigset_t signals, old_signals;
	int signals_to_stop; /* how many have come */
	int status;
};

static void
crew_pause(struct worker *w)
{
	int64_t now = clock_mono_us();
	bool is_young = now - w->began_us < YOUNG_MS * 1000;

	w->pause_ms =
	    is_young && w->pause_ms > 0 ? w->pause_ms * 2 : PAUSE_MIN_MS;
	if (w->pause_ms > PAUSE_MAX_MS)
		w->pause_ms = PAUSE_MAX_MS;
	w->due_us = now + w->pause_ms * 1000;
}

static void
crew_spawn(struct crew *c, size_t index)
{
	struct worker *w = &c->workers[index];
	pid_t parent = getpid(), pid = fork();

	w->began_us = clock_mono_us();
	if (pid < 0) {
		log_error("fork_failed", "worker", LOG_INT(index), "errno",
		    LOG_INT(errno));
		crew_pause(w);
		return;
	}
	if (pid == 0) {
		/* A parent that is killed takes its workers along: whoever
		 * starts it again would find the socket taken. */
		(void)prctl(PR_SET_PDEATHSIG, SIGTERM);
		if (getppid() != parent)
			_exit(EXIT_FAILURE);
		(void)sigprocmask(SIG_SETMASK, &c->old_signals, NULL);
		exit(c->work(c->arg, index));
	}
	w->pid = pid;
	c->n_alive++;
}

static void
crew_bury(struct crew *c, pid_t pid, int status)
{
	for (size_t i = 0; i < c->n; i++) {
		struct worker *w = &c->workers[i];

		if (w->pid != pid)
			continue;
		w->pid = 0;
		c->n_alive--;
		metrics_clear_gauges(&c->slots[i]);
		if (c->signals_to_stop > 0) {
			if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
				c->status = EXIT_FAILURE;
			return;
		}
		crew_pause(w);
		log_error("worker_died", "worker", LOG_INT(i), "pid",
		    LOG_INT(pid), WIFSIGNALED(status) ? "signal" : "exit",
		    LOG_INT(WIFSIGNALED(status) ? WTERMSIG(status)
						: WEXITSTATUS(status)),
		    "again_in_ms", LOG_INT(w->pause_ms));
	}
}

/* Starts what is due; returns the milliseconds to the next, -1 for none. */
static int64_t
crew_start_due(struct crew *c)
{
	int64_t next_us = -1, left;

	for (size_t i = 0; i < c->n && c->signals_to_stop == 0; i++) {
		if (c->workers[i].pid != 0)
			continue;
		left = c->workers[i].due_us - clock_mono_us();
		if (left <= 0) {
			crew_spawn(c, i);
			if (c->workers[i].pid != 0)
				continue;
			left = c->workers[i].pause_ms * 1000;
		}
		if (next_us < 0 || left < next_us)
			next_us = left;
	}
	return next_us < 0 ? -1 : next_us / 1000 + 1;
}

static void
crew_tell(struct crew *c, int signal)
{
	for (size_t i = 0; i < c->n; i++)
		if (c->workers[i].pid != 0)
			(void)kill(c->workers[i].pid, signal);
}

static void
crew_stop(struct crew *c)
{
	if (c->signals_to_stop++ == 0)
		c->on_stop(c->arg);
	crew_tell(c, c->signals_to_stop == 1 ? SIGTERM : SIGKILL);
}

static void
crew_reap(struct crew *c)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
		crew_bury(c, pid, status);
}

static int
crew_run(struct crew *c)
{
	struct timespec t;
	int64_t wait_ms;
	int sig;

	for (;;) {
		wait_ms = crew_start_due(c);
		if (c->signals_to_stop > 0 && c->n_alive == 0)
			return c->status;
		t = (struct timespec){wait_ms / 1000, wait_ms % 1000 * 1000000};
		sig = wait_ms < 0 ? sigwaitinfo(&c->signals, NULL)
				  : sigtimedwait(&c->signals, NULL, &t);
		if (sig == SIGCHLD)
			crew_reap(c);
		else if (sig == SIGHUP || sig == SIGUSR1)
			crew_tell(c, c->on_signal(c->arg, sig));
		else if (sig > 0)
			crew_stop(c);
	}
}

int
workers_run(size_t n, struct metrics *slots,
    int (*work)(void *arg, size_t index),
    int (*on_signal)(void *arg, int signal), void (*on_stop)(void *arg),
    void *arg)
{
	struct crew c = {.n = n,
	    .slots = slots,
	    .work = work,
	    .on_signal = on_signal,
	    .on_stop = on_stop,
	    .arg = arg};
	int status;

	if (n == 1)
		return work(arg, 0);
	c.workers = calloc(n, sizeof(*c.workers));
	if (c.workers == NULL)
		return EXIT_FAILURE;
	(void)sigemptyset(&c.signals);
	(void)sigaddset(&c.signals, SIGTERM);
	(void)sigaddset(&c.signals, SIGINT);
	(void)sigaddset(&c.signals, SIGHUP);
	(void)sigaddset(&c.signals, SIGUSR1);
	(void)sigaddset(&c.signals, SIGCHLD);
	(void)sigprocmask(SIG_BLOCK, &c.signals, &c.old_signals);
	status = crew_run(&c);
	free(c.workers);
	return status;
}
