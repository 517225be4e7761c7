/* SPDX-License-Identifier: ISC */
/*
 * What differs between the services that call our webhooks: how a call shows
 * who made it, and how its body becomes an event. Layer: hook. A provider is
 * one file and one row of the table in provider.c; docs/add-a-provider.md
 * makes one.
 */
#ifndef JOBWIRE_PROVIDER_H
#define JOBWIRE_PROVIDER_H

#include <stddef.h>
#include <stdint.h>

#include "auth/crypto.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/near.h"
#include "hook/keys.h"
#include "store/events.h"
#include "web/request.h"

enum {
	PROVIDER_IDENTITY_MAX = 10,
	PROVIDERS_MAX = 16,
};

/* What a body says. */
struct provider_event {
	/* Of it type (NULL: nothing a stream should hear of), data, output and
	 * error, which are JSON texts within the body, the last two borrowed.
	 * Output is the result, when data leaves it out for its size; error the
	 * whole error, of which data has only what is for the page. */
	struct event_new row;
	struct buf data;	/* owned: row.data, once payload_end() did it */
	struct buf external_id; /* owned: the provider's id of the job */
	struct buf input_job_id; /* owned: our id of the job, where the body
				     echoes it as input.job_id; else empty */
	/* Together they are the same when the call is sent again, and others
	 * for any other call about the job. Borrowed, for one may be a body of
	 * 30 MiB; those that are left are empty. */
	struct span identity[PROVIDER_IDENTITY_MAX];
};

void provider_event_done(struct provider_event *e);

/* Adds to the identity; borrows the bytes for the event's life. At most
 * PROVIDER_IDENTITY_MAX that are not empty. */
void provider_event_identify(struct provider_event *e, struct span part);

/*
 * The key under which a report is known, whichever way it comes. job_id is the
 * one that its URL names, or a report that was asked for by a job's own: so one
 * body can stand behind two jobs. A job that is found later is none, or a call
 * that is sent again after its job was registered would count twice.
 * ERR_NOMEM.
 */
CHECK_RESULT enum err provider_event_key(const struct provider_event *e,
    struct span job_id, char ret[CRYPTO_SHA256_SIZE]);

/*
 * r->body is one JSON object, checked by json_text_check(), and body is that
 * object. Fills *ret (zeroed before; provider_event_done() in any case).
 * ERR_PROTO with *why, a sentence, when members have the wrong type; ERR_NOMEM.
 */
typedef enum err provider_normalise_fn(const struct request *r,
    struct span body, size_t inline_output, struct provider_event *ret,
    const char **why);

struct provider {
	const char *name;   /* in the path: /webhooks/NAME */
	const char *source; /* in job_events.source */
	/*
	 * Checks the signature in the header fields over r->body as it came,
	 * before anything is parsed. ERR_NOENT: no key is configured; ERR_AUTH;
	 * ERR_EXPIRED: its time is too far from now_s; ERR_NOMEM. NULL: the
	 * signed URL is all there is.
	 */
	enum err (*verify)(const struct request *r,
	    const struct hook_keys *keys, int64_t now_s);
	provider_normalise_fn *normalise;
};

/* NULL when there is none of that name. */
const struct provider *provider_find(struct span name);

/* The one at that place of the table, from 0; NULL behind the last, of at most
 * PROVIDERS_MAX. */
const struct provider *provider_at(size_t i);

/* Offers the names of all. */
void provider_offer(struct near *near);

/* Each in the file of its name. */
provider_normalise_fn runpod_normalise, replicate_normalise, fal_normalise,
    standard_normalise;

#endif
