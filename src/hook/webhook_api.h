/* SPDX-License-Identifier: ISC */
/*
 * The writing half of the HTTP contract. Layer: hook. One thread, the loop's,
 * does it all: what comes in a turn is checked and parsed at once, committed
 * together at the end of the turn, and then answered. Only a long body goes to
 * another thread to be parsed, so that one of 30 MiB holds up nobody.
 */
#ifndef JOBWIRE_WEBHOOK_API_H
#define JOBWIRE_WEBHOOK_API_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "auth/authenticator.h"
#include "base/err.h"
#include "hook/call.h"
#include "hook/keys.h"
#include "io/loop.h"
#include "store/db.h"
#include "web/exchange.h"
#include "web/transport.h"

struct webhook_api;

enum { WEBHOOK_WORKERS_MAX = 64 };

struct webhook_config {
	struct call_config calls; /* but for what it asks the api */
	/* Borrowed for its life. */
	const char *db_path;
	const struct authenticator_stats
	    *authenticator; /* for the metrics, as is */
	const struct transport_stats *transport;
	const char *metrics; /* lines that go with ours; NULL: none */
	size_t workers; /* threads for long bodies, 1..WEBHOOK_WORKERS_MAX */
	int busy_ms;	/* how long a commit may wait for others */
	int64_t cluster_wait_ms; /* how long a call for the log */
	/* That wait for a thread or for their commit; further ones are answered
	 * 503. */
	size_t max_calls;
	/* Refused ones that are kept for the operator, 0: none; and for how
	 * many days. */
	int64_t inbox, keep_days;
	bool leaves_wal; /* another program makes the checkpoints */
	/* For a process that gets a request at a time: no threads; the database
	 * is opened, and made where it is missing, when a call is written. */
	bool is_brief;
};

/* Opens the database, waiting up to busy_ms for others, starts the threads and
 * takes the loop's wake (none of them where it is brief) and, on success, the
 * keys (leaving *keys empty). Call with signals blocked. Returns owned
 * (webhook_api_stop). Errors as db_open(), with *fault. */
CHECK_RESULT enum err webhook_api_start(struct loop *loop,
    const struct webhook_config *cfg, struct hook_keys *keys,
    struct webhook_api **ret, struct db_fault *fault);

/* Other keys for the calls that come from now on: takes them, leaving *keys
 * empty. On failure (ERR_NOMEM) nothing changes. */
CHECK_RESULT enum err webhook_api_set_keys(
    struct webhook_api *api, struct hook_keys *keys);

/* Takes the exchange; api is a struct webhook_api *. Fits
 * transport_config.on_request. Blocks on nothing; the commit at the end of the
 * turn does on the disk. */
void webhook_api_request(void *api, struct exchange *x);

/* Tries for the last time to commit what has come, and answers it: before the
 * transport is freed. */
void webhook_api_stop(struct webhook_api **api);

#endif
