/* SPDX-License-Identifier: ISC */
/*
 * One client that gets Server-Sent Events. Layer: live. Its state is a cursor
 * into the table and at most one frame that the client has not taken whole.
 */
#ifndef JOBWIRE_STREAM_H
#define JOBWIRE_STREAM_H

#include "live/hub.h"
#include "web/exchange.h"

/*
 * Takes the exchange: opens the stream and sends what there is, or answers it:
 * 204 when nothing is left to say, or a stream that says "not now". Blocks as
 * hub_read_rows().
 */
void stream_open(
    struct hub *h, struct exchange *x, const struct waiter_request *req);

/* Fills the answer, which must be empty, with "not now": a stream that ends at
 * once and has a long reconnection time, for on an error status EventSource
 * closes for good. ERR_AGAIN (others write while its ticket is to be taken) has
 * a usual one. */
void stream_refuse(const struct hub *h, enum err e, struct answer *ret);

#endif
