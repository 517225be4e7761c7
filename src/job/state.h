/* SPDX-License-Identifier: ISC */
/*
 * The states of a job. Each is also the type of the event that brings a job
 * there. Layer: job, pure.
 *
 * schema.sql says the same to programs that publish, client/src/protocol.ts to
 * pages; tests/unit/test_job_agreed.c holds both against this.
 */
#ifndef JOBWIRE_JOB_STATE_H
#define JOBWIRE_JOB_STATE_H

#include <stdbool.h>

/* In the order in which a job has them. */
enum job_state {
	JOB_NO_STATE, /* of a job that nobody has heard of; what a type that is
			 no state stands for */
	JOB_QUEUED,
	JOB_PROCESSING,
	JOB_COMPLETED,
	JOB_FAILED,
	JOB_CANCELLED,
	JOB_TIMED_OUT,
	JOB_STATES /* how many values there are */
};

/* The one type with a meaning that is no state: a waiting job runs. */
#define JOB_PROGRESS "progress"

/* The name as it is stored and sent, static; "" for JOB_NO_STATE. */
const char *job_state_name(enum job_state state);

/* The state of that name, or that an event of that type leads to. */
enum job_state job_state_of(const char *name);

/* Has a job in that state ended? */
bool job_state_is_end(enum job_state state);

/*
 * Does a provider's report change anything for a job in that state? Reports
 * come late, twice and out of order. Whoever publishes by a row or by the
 * publish API is believed instead (schema.sql has the rule for rows).
 */
bool job_state_admits(enum job_state state, enum job_state reported);

#endif
