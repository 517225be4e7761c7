/* SPDX-License-Identifier: ISC */
/*
 * How the members of a provider's body become an event. Layer: hook, for the
 * files of the providers. All of these find and copy JSON as text, so numbers
 * and outputs stay as they are written; none may block.
 *
 *   payload_find(body, ...);          where the provider has its members
 *   payload_begin(&m, ret, &why);     id, type
 *   payload_add_number(...) ...       what only this provider has
 *   payload_end(&m, limit, ret);      error, output
 */
#ifndef JOBWIRE_PAYLOAD_H
#define JOBWIRE_PAYLOAD_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "base/err.h"
#include "hook/provider.h"

/* One to look for, and where its value goes. */
struct payload_member {
	const char *name;   /* plain ASCII */
	struct span *value; /* left alone when the member is missing */
};

/* Finds them in one walk: a body may have 20 MB. Of doubles the last counts.
 * What is not an object has no members. */
void payload_find(
    struct span object, const struct payload_member *wanted, size_t n);

/* Is it there, and not null? */
bool payload_is_given(struct span value);

/* What providers have in common; empty where it is missing. */
struct payload {
	struct span id;	    /* the provider's id of the job; a string */
	struct span status; /* a string; see payload_begin() */
	struct span error;
	struct span output;
	struct span input; /* echo of the request; never copied */
};

/*
 * Reads id and status and begins the event's data. The type is what the last
 * segment of the status means (`job.completed`, `COMPLETED`), whatever its
 * case. Where it is NULL after OK, the status is unknown and nothing is left
 * to do. ERR_PROTO with *why: id or status is no string, or the id is too long
 * or has control characters; ERR_NOMEM.
 */
CHECK_RESULT enum err payload_begin(
    const struct payload *m, struct provider_event *ret, const char **why);

/* Begins a member of the object that is being written. The name is plain ASCII
 * without quotes. */
void payload_add_key(struct buf *data, struct span name);

/* Copies a number of a sane length; anything else is left out. */
void payload_add_number(struct buf *data, struct span name, struct span value);

/* The delivery's id of Standard Webhooks as the event's identity; without one,
 * the whole body. */
void payload_add_delivery_id(
    const struct request *r, struct span body, struct provider_event *ret);

/*
 * Ends the event: an error's message and type, the output where it is not
 * longer than inline_output, and input.job_id. ERR_NOMEM, also for what was
 * added before.
 */
CHECK_RESULT enum err payload_end(
    const struct payload *m, size_t inline_output, struct provider_event *ret);

#endif
