/* SPDX-License-Identifier: ISC */
/*
 * The JSON form of a stream: {"events":[..],"last_event_id":"..",
 * "terminal":..}. Layer: live. For clients behind proxies that buffer, for curl
 * and for CI.
 */
#ifndef JOBWIRE_POLL_H
#define JOBWIRE_POLL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "live/hub.h"
#include "web/answer.h"

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
 * Fills the answer, which must be empty, from one snapshot of the database.
 * Reads the hub's db, epoch and cfg; blocks as hub_read_rows(). Errors as
 * hub_read_rows(), and ERR_NOMEM: then part of it stands in the answer, and
 * must not be sent.
 */
CHECK_RESULT enum err poll_fill(struct poll_page *f, struct hub *h,
    const struct selection *sel, struct answer *a);

#endif
