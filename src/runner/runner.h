/* SPDX-License-Identifier: ISC */
/*
 * Works off the table runs: submits, asks, cancels. Layer: runner. One thread,
 * its loop's; blocks on the disk, and on other writers for BUSY_MS.
 *
 * One process per database does it; another one waits until that is gone.
 */
#ifndef JOBWIRE_RUNNER_H
#define JOBWIRE_RUNNER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "io/loop.h"
#include "io/watch.h"
#include "runner/work.h"

struct runner;

struct runner_config {
	struct work_config work;
	const char *db_path; /* borrowed for its life */
	enum watch_scope scope;
	int64_t poll_ms;
	int64_t rate;	    /* calls per second */
	int64_t parallel;   /* calls at one time */
	int64_t timeout_ms; /* of a call */
	bool is_once;	    /* what is due, then on_idle */
	/* With is_once, or after runner_stop(): nothing is under way. An error
	 * is the database's. */
	void (*on_idle)(void *arg, enum err e);
	void *arg;
};

/* Takes keys, which are wiped in the end. Returns owned (runner_free).
 * ERR_NOMEM. */
CHECK_RESULT enum err runner_new(struct loop *loop,
    const struct runner_config *cfg, struct work_keys *keys,
    struct runner **ret);

/* Begins nothing any more; calls that are under way are waited for. */
void runner_stop(struct runner *r);

/* Takes them in place of those from before. */
void runner_set_keys(struct runner *r, struct work_keys *keys);

/* What is still under way is dropped: a submission is unknown then. Accepts
 * NULL. */
void runner_free(struct runner **r);

#endif
