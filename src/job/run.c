/* SPDX-License-Identifier: ISC */
/*
 * The names of a run's states. Which follows which is decided by
 * runner/step.c and by whoever publishes an end. Pure.
 */
#include "job/run.h"

#include <string.h>

static const char *const names[RUN_STATES] = {
    [RUN_NO_STATE] = "",
    [RUN_WAITING] = "waiting",
    [RUN_SUBMITTING] = "submitting",
    [RUN_UNKNOWN] = "unknown",
    [RUN_SUBMITTED] = "submitted",
    [RUN_ENDED] = "ended",
};

const char *
run_state_name(enum run_state state)
{
	return names[state];
}

enum run_state
run_state_of(const char *name)
{
	enum run_state state = RUN_STATES - 1;

	while (state > RUN_NO_STATE && strcmp(names[state], name) != 0)
		state--;
	return state;
}
