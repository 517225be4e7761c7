/* SPDX-License-Identifier: ISC */
/*
 * Long polling: a client that gets its events as one JSON document,
 * {"events":[..],"last_event_id":"..","terminal":..}, at once or when there is
 * something to say. Layer: live. For clients behind proxies that buffer, for
 * curl and for CI.
 */
#ifndef JOBWIRE_POLL_H
#define JOBWIRE_POLL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "live/cursor.h"
#include "live/hub.h"
#include "web/answer.h"
#include "web/exchange.h"

/*
 * Takes the exchange and answers it: at once, at the first event, when the
 * time is over, or 503. Blocks as hub_read_rows().
 */
void poll_open(
    struct hub *h, struct exchange *x, const struct waiter_request *req);

/* A document of events. */
struct poll_page {
	/* Set by the caller: */
	int64_t cursor;	     /* event id: what comes after it is told */
	const char *resync;  /* reason, borrowed; NULL: nothing was lost */
	struct losses known; /* losses that the client knows of then */
	/* Set on success: */
	size_t n_events;  /* rows read, without the resync */
	bool is_terminal; /* every job has ended, and all was said */
};

/*
 * Fills the answer, which must be empty, within the caller's snapshot of the
 * database. Blocks as hub_read_rows(). Errors as hub_read_rows(), and
 * ERR_NOMEM: then part of it stands in the answer, and must not be sent.
 */
CHECK_RESULT enum err poll_fill(struct poll_page *page, struct hub *h,
    const struct selection *sel, struct answer *a);

#endif
