/* SPDX-License-Identifier: ISC */
/*
 * What differs between the services that call our webhooks: how a body becomes
 * an event. Layer: hook. A provider is one file and one row of the table in
 * provider.c.
 */
#ifndef JOBWIRE_PROVIDER_H
#define JOBWIRE_PROVIDER_H

#include <stddef.h>

#include "base/buf.h"
#include "base/err.h"
#include "hook/keys.h"
#include "web/request.h"

/* What a body says. */
struct hook_event {
	const char *type;   /* NULL: nothing a stream should hear of */
	struct buf data;    /* owned: the event's JSON object */
	struct span output; /* the result's JSON text within the body, when data
				leaves it out for its size; else empty */
	struct span error;  /* likewise: the whole `error` member */
	struct buf external_id;	 /* owned: the provider's id of the job */
	struct buf input_job_id; /* owned: input.job_id where it is one */
	struct buf
	    identity; /* owned: what tells this call from other calls about
				the same job, but not from its own repetition */
};

void hook_event_done(struct hook_event *e);

struct provider {
	const char *name;   /* in the path: /webhooks/NAME */
	const char *source; /* in job_events.source */
	/*
	 * body is one JSON object, checked by jtext_check(). Fills *ret (zeroed
	 * before; hook_event_done() in any case). ERR_PROTO with *why, a
	 * sentence, when members have the wrong type; ERR_NOMEM.
	 */
	enum err (*verify)(const struct request *r,
	    const struct hook_keys *keys, int64_t now_s);
	enum err (*normalise)(const struct request *r, struct span body,
	    size_t inline_output, struct hook_event *ret, const char **why);
};

/* NULL when there is none of that name. */
const struct provider *provider_find(const char *name);

/* In runpod.c. */
enum err runpod_normalise(const struct request *r, struct span body,
    size_t inline_output, struct hook_event *ret, const char **why);

#endif
