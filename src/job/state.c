/* SPDX-License-Identifier: ISC */
/*
 * Names of the states, and the table of what a report does. The table is
 * documented in docs/protocol.md, "What a webhook does", and tested against
 * that. schema.sql says the same of reports that waited for their job: a row of
 * `jobs` claims them, too. Pure.
 */
#include "job/state.h"

#include <string.h>

static const char *const names[JOB_STATES] = {
    [JOB_NO_STATE] = "",
    [JOB_QUEUED] = "queued",
    [JOB_PROCESSING] = "processing",
    [JOB_COMPLETED] = "completed",
    [JOB_FAILED] = "failed",
    [JOB_CANCELLED] = "cancelled",
    [JOB_TIMED_OUT] = "timed_out",
};

const char *
job_state_name(enum job_state state)
{
	return names[state];
}

enum job_state
job_state_of(const char *name)
{
	enum job_state state = JOB_STATES - 1;

	while (state > JOB_NO_STATE && strcmp(names[state], name) != 0)
		state--;
	return state;
}

bool
job_state_is_end(enum job_state state)
{
	return state >= JOB_COMPLETED;
}

/*
 * Rows: the job's state; columns: what is reported, both in the order of the
 * enumeration. A type that is no state changes none, so none is in its way.
 *
 * A job that ended well stays so: what else comes was overtaken. One that
 * failed may be tried again (RunPod's /retry keeps the id), so anything may
 * follow. One that was cancelled is over, unless its result comes after all.
 */
static const bool admits[JOB_STATES][JOB_STATES] = {
    [JOB_NO_STATE] = {true, true, true, true, true, true, true},
    [JOB_QUEUED] = {true, true, true, true, true, true, true},
    [JOB_PROCESSING] = {true, false, true, true, true, true, true},
    [JOB_COMPLETED] = {true, false, false, true, false, false, false},
    [JOB_FAILED] = {true, true, true, true, true, true, true},
    [JOB_CANCELLED] = {true, false, false, true, false, true, false},
    [JOB_TIMED_OUT] = {true, true, true, true, true, true, true},
};

bool
job_state_admits(enum job_state state, enum job_state reported)
{
	return admits[state][reported];
}
