/* SPDX-License-Identifier: ISC */
/*
 * The table job_events: append, and read forward from an id. Layer: store.
 * Blocks on the disk.
 */
#ifndef JOBWIRE_EVENTS_H
#define JOBWIRE_EVENTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "store/db.h"

/* A row as a reader sees it. Everything is valid during the callback only. */
struct event_row {
	int64_t id;
	const char *job_id;
	const char *type;
	struct span data;	/* JSON object, or empty */
	const char *status;	/* the job's state after this event */
	const char *restore_id; /* NULL when not known */
	const char *owner;	/* NULL when not known */
	const char *created_at; /* RFC 3339 */
	const char *origin; /* the cluster's node that took it; NULL: none */
	int64_t seq;	    /* which of its events this is; with origin */
	int64_t floor;	    /* retention took events of the job up to here */
};

/*
 * Called for each row, in id order. Must not use the connection, nor wait, nor
 * touch a socket: the statement is open. False ends the reading before the
 * next row (this one counts as read).
 */
typedef bool event_row_fn(void *arg, const struct event_row *row);

/* Rows of all jobs with id > after, at most limit. ERR_BUSY, ERR_IO,
 * ERR_CORRUPT, ERR_NOMEM. */
CHECK_RESULT enum err events_read_all(
    struct db *db, int64_t after, int limit, event_row_fn *on_row, void *arg);

/* The same for the n jobs named; one pass of the index (job_id, id) per job,
 * merged in id order, in one snapshot. ERR_LIMIT: more than JOB_IDS_MAX
 * jobs. */
CHECK_RESULT enum err events_read_jobs(struct db *db,
    const char *const *job_ids, size_t n, int64_t after, int limit,
    event_row_fn *on_row, void *arg);

/* The same for all jobs of an owner. The cost grows with the number of these
 * jobs. */
CHECK_RESULT enum err events_read_owner(struct db *db, const char *owner,
    int64_t after, int limit, event_row_fn *on_row, void *arg);

/* Highest id ever given out (0 for none), also when that row is gone. Errors of
 * this and the next as events_read_all(). */
CHECK_RESULT enum err events_last_id(struct db *db, int64_t *ret);

/* The id after which a reading finds the job's last n events. */
CHECK_RESULT enum err events_before_last(
    struct db *db, const char *job_id, int n, int64_t *ret);

/* An event to store. All borrowed. */
struct event_new {
	const char *job_id;
	const char *type;
	struct span data;	  /* JSON object; empty: NULL */
	const char *source;	  /* NULL, or who delivered it ("runpod") */
	const char *delivery_key; /* NULL, or unique within source */
	struct span output;	  /* JSON value kept with the job where the data
				      does not hold it; empty: none */
	struct span error;	  /* likewise: what the provider said in full */
	const char *created_at;	  /* NULL: now */
	const char *restore_id;	  /* NULL: the job's; else of the event, and of
				   the job where it has none */
};

/*
 * Inserts one event within the caller's transaction. When (source,
 * delivery_key) is there already nothing is written, *ret_duplicate is true
 * and *ret_id is the id of the row that is there. ERR_PROTO when a CHECK of
 * the schema, or a trigger of others, refuses the row; else as db_begin().
 */
CHECK_RESULT enum err events_append(struct db *db, const struct event_new *e,
    int64_t *ret_id, bool *ret_duplicate);

/* The id of the event with this (source, delivery_key). ERR_NOENT; else as
 * events_read_all(). */
CHECK_RESULT enum err events_find(struct db *db, const char *source,
    const char *delivery_key, int64_t *ret_id);

#endif
