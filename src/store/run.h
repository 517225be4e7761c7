/* SPDX-License-Identifier: ISC */
/*
 * A row of the table runs. Layer: store.
 */
#ifndef JOBWIRE_RUN_H
#define JOBWIRE_RUN_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "job/run.h"
#include "store/db.h"

/* A row without input and policy. Strings are owned (run_done) and NULL where
 * unset; times are milliseconds since 1970, 0 where unset. */
struct run {
	int64_t run_id;
	char *job_id, *action, *endpoint, *restore_id, *external_id, *error;
	enum run_state state;
	int64_t attempts;      /* how often it was sent, or tried to */
	int64_t cancel_wanted; /* enum run_cancel */
	int64_t next_at;       /* when there is something to do */
	int64_t deadline;      /* when it ends by itself */
	int64_t created_at, submitted_at, ended_at;
	char *origin, *taken_by; /* nodes of a cluster */
	int64_t origin_seq;
};

enum run_cancel {
	RUN_CANCEL_NOT,
	RUN_CANCEL_WANTED, /* by somebody */
	RUN_CANCEL_TOLD,   /* the provider knows */
};

void run_done(struct run *r);

/* Is it this node's to be carried out? Of a cluster's runs only its own are, or
 * each would be submitted, and paid, by every node. */
bool run_is_ours(const struct db *db, const struct run *r);

/* It was sent, and what came of it nobody has seen: so it stays marked until it
 * has ended, however often it is sent again. False without memory. */
CHECK_RESULT bool run_doubt(struct run *r);
bool run_is_doubted(const struct run *r);

/* Writes what may change of a run: state, external_id, error, attempts,
 * next_at, cancel_wanted, deadline, submitted_at. While it is open its external
 * id becomes the job's. It ends by an event only. */
CHECK_RESULT enum err run_save(struct db *db, const struct run *r);

#endif
