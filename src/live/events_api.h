/* SPDX-License-Identifier: ISC */
/*
 * The reading half of the HTTP contract: which route and method gives what.
 * Layer: live. Shared by the FastCGI and the CGI program.
 */
#ifndef JOBWIRE_EVENTS_API_H
#define JOBWIRE_EVENTS_API_H

#include <stddef.h>

#include "auth/authenticator.h"
#include "live/hub.h"
#include "live/metrics.h"
#include "web/exchange.h"

/* All borrowed, for as long as requests come. */
struct events_api {
	struct hub *hub;
	struct authenticator *authenticator;
	const char *cors_origins;    /* NULL: none */
	const struct metrics *slots; /* of all workers */
	size_t n_slots;
	const char *metrics; /* lines that go with theirs; NULL: none */
};

/* Takes the exchange. */
void events_api_request(struct events_api *api, struct exchange *x);

#endif
