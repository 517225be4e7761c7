/* SPDX-License-Identifier: ISC */
/*
 * The table jobs, kept by triggers on job_events (schema.sql). Layer: store.
 * Blocks on the disk.
 */
#ifndef JOBWIRE_JOBS_H
#define JOBWIRE_JOBS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "job/state.h"
#include "store/db.h"

/* Between which events a reader of a job may stand, and whether there will be
 * more. */
struct job_bounds {
	bool is_known;	  /* there is a row */
	bool is_terminal; /* its state is an end */
	int64_t floor;	  /* retention took events up to this id from the job */
	int64_t last_id;  /* the job's newest event; 0 for none */
	int64_t first_id; /* its oldest event that is there; 0 for none */
};

/* Errors of this and what follows as events_read_all(), where nothing else is
 * said. *ret is written on success only. */
CHECK_RESULT enum err jobs_bounds(
    struct db *db, const char *job_id, struct job_bounds *ret);

/* The highest event id that left with a whole job; what is asked for a job
 * without a row, or that began later, and a lower id may be lost. 0 for
 * none. */
CHECK_RESULT enum err jobs_gone_floor(struct db *db, int64_t *ret);

/* The highest floor of an owner's jobs; 0 for none. */
CHECK_RESULT enum err jobs_owner_floor(
    struct db *db, const char *owner, int64_t *ret);

/* Is there such a job, and does it belong to this owner? */
CHECK_RESULT enum err jobs_owns(
    struct db *db, const char *job_id, const char *owner, bool *ret);

/* JOB_NO_STATE when there is no such job. */
CHECK_RESULT enum err jobs_state(
    struct db *db, const char *job_id, enum job_state *ret);

/* The state of its job after that event; JOB_NO_STATE when no event up to it
 * has said one, or when the event is gone. */
CHECK_RESULT enum err jobs_state_after(
    struct db *db, int64_t event_id, enum job_state *ret);

/* The newest job with this external id; ERR_NOENT. Appends to *ret. */
CHECK_RESULT enum err jobs_find_external(
    struct db *db, const char *external_id, struct buf *ret);

/* What is to be known of a job before its first event. All borrowed; NULL:
 * not given. */
struct job_new {
	const char *job_id;
	const char *owner, *external_id, *restore_id;
};

/*
 * Makes the job, or adds to it what is given, within the caller's transaction;
 * an owner stays. Events that waited for the external id become the job's.
 * ERR_EXISTS: it has another owner; else as db_begin(). *ret_new: it was not
 * there.
 */
CHECK_RESULT enum err jobs_register(
    struct db *db, const struct job_new *j, bool *ret_new);

/* Before the job gets another restore id: its events so far keep theirs. Writes
 * nothing where it is the same. for_run_id: the run that it gets it for, or 0.
 * Errors as db_begin(). */
CHECK_RESULT enum err jobs_keep_restore_id(
    struct db *db, const char *job_id, const char *next, int64_t for_run_id);

/* A whole job for GET .../jobs/{job_id}. Everything owned (job_done). */
struct job {
	char *job_id, *owner, *external_id, *restore_id; /* NULL when unset */
	enum job_state state;
	char *progress; /* JSON text of the newest progress, NULL when none */
	char *output;	/* JSON text, NULL when none */
	char *error;	/* JSON text of why it failed; NULL when none, or not
			   asked for */
	char *created_at, *updated_at;
	int64_t last_event_id;
};

/* ERR_NOENT when there is no such job; else as events_read_all(). */
CHECK_RESULT enum err jobs_get(
    struct db *db, const char *job_id, struct job *ret);
/* The same with the error, which may name files and hosts: for those who run
 * the machine. */
CHECK_RESULT enum err jobs_get_whole(
    struct db *db, const char *job_id, struct job *ret);
void job_done(struct job *j);

/* Calls on_job for jobs of that state (JOB_NO_STATE: all), newest change
 * first. The row (its output left NULL, its error there) is valid during the
 * call. */
CHECK_RESULT enum err jobs_list(struct db *db, enum job_state state, int limit,
    void (*on_job)(void *arg, const struct job *j), void *arg);

/* The same for jobs that have not ended, the one that has been silent longest
 * first. */
CHECK_RESULT enum err jobs_list_silent(struct db *db, int limit,
    void (*on_job)(void *arg, const struct job *j), void *arg);

/* How many events of the job are stored. */
CHECK_RESULT enum err jobs_count_events(
    struct db *db, const char *job_id, int64_t *ret);

/* Removes the job and its events within the caller's transaction. ERR_NOENT:
 * there is no such job; else as db_begin(). */
CHECK_RESULT enum err jobs_delete(struct db *db, const char *job_id);

#endif
