/* SPDX-License-Identifier: ISC */
/*
 * What differs between the services that do jobs: how they are asked, and what
 * else than its webhooks say their answers say. Layer: runner. A service is one
 * file; its webhooks are the file of the same provider in src/hook.
 */
#ifndef JOBWIRE_PROVIDER_API_H
#define JOBWIRE_PROVIDER_API_H

#include <stdbool.h>

#include "base/buf.h"
#include "runner/http_client.h"

/* A job to submit. All borrowed; JSON texts, webhook is a URL or empty. */
struct provider_job {
	struct span endpoint, input, policy, webhook;
};

/* Each fills *ret, zeroed before; whether there was memory shows when it is
 * sent. url: what the setting says, without a slash at its end. */
struct provider_api {
	const char *provider; /* name of its webhooks: provider_find() */
	void (*submit)(const char *url, const struct provider_job *job,
	    struct http_request *ret);
	void (*status)(const char *url, const char *endpoint,
	    const char *external_id, struct http_request *ret);
	void (*cancel)(const char *url, const char *endpoint,
	    const char *external_id, struct http_request *ret);
	/* Of a job that has not ended: does the answer say that it was carried
	 * out? NULL: it never says so. */
	bool (*is_executed)(struct span body);
	/* How far it is, as the service passes it on from whoever does the
	 * job; empty: nothing. NULL: it passes nothing on. */
	struct span (*progress)(struct span body);
};

/* Each in the file of its name. */
extern const struct provider_api runpod_api, replicate_api;

#endif
