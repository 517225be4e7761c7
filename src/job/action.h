/* SPDX-License-Identifier: ISC */
/*
 * What jobs can be started with: the setting runpod_actions, such as
 * `restore=abc123, colour=def456 progress=poll`. Layer: job, pure.
 */
#ifndef JOBWIRE_ACTION_H
#define JOBWIRE_ACTION_H

#include <stdbool.h>

#include "base/buf.h"

/* Spans lie within the setting. */
struct action {
	struct span name;     /* the last segment of the path that starts it */
	struct span endpoint; /* of the service, that does it */
	bool polls_progress;  /* the service is asked how far it is */
};

enum { ACTION_NAME_MAX = 64, ACTION_ENDPOINT_MAX = 128 };

/* May an endpoint be called so? [A-Za-z0-9_-]{1,128} */
bool action_endpoint_ok(struct span endpoint);

/* NULL: the list is good; it may be empty, or NULL. Else what is wrong with
 * it. */
const char *action_list_fault(const char *list);

/* The action of that name in a good list. False: there is none. */
bool action_find(const char *list, struct span name, struct action *ret);

/* The next one of a good list, taken off *rest (at first span_of(list)). False:
 * there is none left. */
bool action_next(struct span *rest, struct action *ret);

#endif
