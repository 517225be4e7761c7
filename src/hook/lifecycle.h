/* SPDX-License-Identifier: ISC */
/*
 * What a provider's report does in each state of a job. Layer: hook, pure.
 *
 * Reports come late, twice and out of order; whoever publishes by a row or by
 * the publish API is believed instead (schema.sql has the rule for rows).
 */
#ifndef JOBWIRE_LIFECYCLE_H
#define JOBWIRE_LIFECYCLE_H

#include <stdbool.h>

/* Does an event of this type change anything for a job in that state ("" for a
 * job nobody has heard of)? Types that are no state always do. */
bool lifecycle_admits(const char *state, const char *type);

#endif
