/* SPDX-License-Identifier: ISC */
/*
 * How long the client of a stream may read. Layer: live; embedded in streams
 * whose right to read ends, that is those opened with a token or a ticket.
 */
#ifndef JOBWIRE_EXPIRY_H
#define JOBWIRE_EXPIRY_H

#include <stdint.h>

#include "auth/session.h"
#include "base/buf.h"

enum { EXPIRY_WARNING_S = 30 };

struct expiry {
	struct session session;
	int64_t warn_us; /* CLOCK_MONOTONIC; INT64_MAX: the client was told */
	int64_t end_us;	 /* likewise */
};

/* Returns owned (free()); NULL without memory. */
struct expiry *expiry_new(const struct session *session);

/* The earlier of the two times. */
int64_t expiry_due_us(const struct expiry *l);

/* Appends the event that says how many seconds are left. It has no id: the
 * client's place stays what it is. */
void expiry_add_warning(struct buf *out, const struct expiry *l);

#endif
