/* SPDX-License-Identifier: ISC */
/*
 * The table runs: submissions of jobs to the service that does them; what
 * starts them, stops them and tells of them. Layer: store. What writes does so
 * within the caller's transaction and may be undone with it. Errors as
 * db_begin(), unless a function says more.
 *
 * That the end of a job ends its run is done by a trigger of schema.sql.
 */
#ifndef JOBWIRE_RUNS_H
#define JOBWIRE_RUNS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "job/name.h"
#include "store/db.h"
#include "store/run.h"

/* All borrowed. */
struct run_new {
	const char *job_id, *action, *endpoint;
	/* NULL: the one that the job is registered with for its first run, and
	 * then the other. */
	const char *restore_id, *spare_restore_id;
	struct span input;  /* JSON object */
	struct span policy; /* likewise; empty: none */
};

struct run_started {
	int64_t run_id;
	char restore_id[JOB_LABEL_MAX + 1];
};

/* Which run: by its number or, where origin is given, by who took it of a
 * cluster's nodes, since a number may change there. */
struct run_ref {
	int64_t run_id;
	const char *origin;
	int64_t origin_seq;
};

/* ERR_NOENT. */
CHECK_RESULT enum err runs_find(
    struct db *db, const struct run_ref *ref, struct run *ret);
struct run_ref runs_ref(const struct run *r); /* borrows from it */

/* Adds a run that waits, and the event `queued`, which reopens the job or makes
 * it. ERR_EXISTS: the job has a run that has not ended. */
CHECK_RESULT enum err runs_start(
    struct db *db, const struct run_new *n, struct run_started *ret);

/*
 * After jobs_register(): a run that the site has submitted itself. Nothing is
 * added when the job has ended already with that external id, or has its run.
 * An open run of the site's under another id is ended as `replaced`.
 * ERR_EXISTS: jobwire itself has submitted the job, or is about to.
 */
CHECK_RESULT enum err runs_register(struct db *db, const char *job_id,
    const char *endpoint, const char *external_id, const char *restore_id);

struct run_cancelled {
	int64_t run_id;
	bool is_over; /* it has not arrived: the job is cancelled */
};

/* Publishes `cancelled` where it cannot have arrived, or has the runner see to
 * it and publishes `cancelling`, once. Of a cluster's run only its own node
 * knows whether it was sent, so that is left to its runner. ERR_NOENT: no run
 * of the job is open. */
CHECK_RESULT enum err runs_cancel(
    struct db *db, const char *job_id, struct run_cancelled *ret);

/* Ends it without an event: the job has ended, or is another run's. One that
 * has ended keeps its reason. */
CHECK_RESULT enum err runs_end(struct db *db, int64_t run_id, const char *why);

/* Has a run sent once more, which may pay for it twice. ERR_NOENT: no such run;
 * ERR_PROTO: it is not unknown, or is to be cancelled, or another node's. */
CHECK_RESULT enum err runs_retry(struct db *db, int64_t run_id);

/*
 * Before a provider's report about the job is stored: whose it is. The names
 * are those of the report, NULL where it has none. *ret_is_late: it is about an
 * earlier run than the open one, so it must not be stored. Else it proves,
 * where nobody knew, that the open run was submitted; of a cluster's run that
 * is runs_doubted()'s.
 */
CHECK_RESULT enum err runs_report(struct db *db, const char *job_id,
    const char *external_id, const char *restore_id, bool *ret_is_late);

/* The job's open run, where it is this node's and nobody knows whether it was
 * submitted. ERR_NOENT: there is none. */
CHECK_RESULT enum err runs_doubted(
    struct db *db, const char *job_id, struct run *ret);

/* A run was submitted: r->external_id, submitted_at and deadline say how. It is
 * due at r->next_at, if this node carries it out. */
CHECK_RESULT enum err runs_submitted(struct db *db, struct run *r);

/* Nothing is to be done for it until the log says more. */
CHECK_RESULT enum err runs_rest(struct db *db, int64_t run_id);

/* From now on that node carries it out. */
CHECK_RESULT enum err runs_take(
    struct db *db, int64_t run_id, const char *node_id);

/* The newest run of the job, open or not; ERR_NOENT. */
CHECK_RESULT enum err runs_of_job(
    struct db *db, const char *job_id, struct run *ret);
CHECK_RESULT enum err runs_get(struct db *db, int64_t run_id, struct run *ret);

/* Calls on_run for runs in that state (RUN_NO_STATE: all), newest first. The
 * row is valid during the call. */
CHECK_RESULT enum err runs_list(struct db *db, enum run_state state, int limit,
    void (*on_run)(void *arg, const struct run *r), void *arg);

/* The open runs. */
struct runs_open {
	int64_t n[RUN_STATES];
	int64_t oldest_at[RUN_STATES]; /* created_at; 0: there are none */
};
CHECK_RESULT enum err runs_count(struct db *db, struct runs_open *ret);

/* Calls on_count for each kind of call of a provider and what came of it. */
CHECK_RESULT enum err runs_calls(struct db *db,
    void (*on_count)(
	void *arg, const char *call, const char *outcome, int64_t n),
    void *arg);

#endif
