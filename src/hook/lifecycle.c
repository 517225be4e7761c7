/* SPDX-License-Identifier: ISC */
/*
 * The table of what a report does. It is documented in docs/protocol.md, "What
 * a webhook does", and tested against that. schema.sql says the same of reports
 * that waited for their job: a row of `jobs` claims them, too. Pure.
 */
#include "hook/lifecycle.h"

#include <stddef.h>
#include <string.h>

enum { STATES = 6 };

static const char *const names[STATES] = {
    "queued", "processing", "completed", "failed", "cancelled", "timed_out"};

/*
 * Rows: the job's state; columns: the type, both in the order above.
 *
 * A job that ended well stays so: what else comes was overtaken. One that
 * failed may be tried again (RunPod's /retry keeps the id), so anything may
 * follow. One that was cancelled is over, unless its result comes after all.
 */
static const bool admits[STATES][STATES] = {
    {true, true, true, true, true, true},
    {false, true, true, true, true, true},
    {false, false, true, false, false, false},
    {true, true, true, true, true, true},
    {false, false, true, false, true, false},
    {true, true, true, true, true, true},
};

static size_t
index_of(const char *name)
{
	size_t i = 0;

	while (i < STATES && strcmp(names[i], name) != 0)
		i++;
	return i;
}

bool
lifecycle_admits(const char *state, const char *type)
{
	size_t row = index_of(state), column = index_of(type);

	return row == STATES || column == STATES || admits[row][column];
}
