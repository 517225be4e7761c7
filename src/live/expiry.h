/* SPDX-License-Identifier: ISC */
/*
 * When a client's right to read ends. Layer: live; of those that came with a
 * token or a ticket.
 */
#ifndef JOBWIRE_EXPIRY_H
#define JOBWIRE_EXPIRY_H

#include <stdbool.h>
#include <stdint.h>

#include "auth/session.h"
#include "base/buf.h"
#include "base/err.h"

struct db;

enum { EXPIRY_WARNING_S = 30 };

/* Where it never ends there is none: NULL. */
struct expiry {
	struct session session;
	/* CLOCK_MONOTONIC. Set by whoever warns: later, or INT64_MAX: never. */
	int64_t warn_us;
	int64_t end_us; /* likewise; not to be changed */
};

/* Returns owned (free()); of no session, NULL. ERR_NOMEM. */
CHECK_RESULT enum err expiry_new(
    const struct session *session, struct expiry **ret);

/* The earlier of the two times. Of NULL: INT64_MAX. */
int64_t expiry_due_us(const struct expiry *x);

/*
 * May the client still read? ERR_EXPIRED; where asks_db, ERR_AUTH: it was
 * revoked. As long as that cannot be known it is OK, for nothing can be read
 * either. Accepts NULL.
 */
CHECK_RESULT enum err expiry_check(
    const struct expiry *x, struct db *db, int64_t now_us, bool asks_db);

/* Appends the event that says how many seconds are left. It has no id: the
 * client's cursor stays what it is. */
void expiry_add_warning(struct buf *out, const struct expiry *x);

#endif
