/* SPDX-License-Identifier: ISC */
/*
 * Query strings (WHATWG URL section 5.1, application/x-www-form-urlencoded).
 * Layer: web, pure.
 */
#ifndef JOBWIRE_QUERY_H
#define JOBWIRE_QUERY_H

#include <stdbool.h>

#include "base/buf.h"

/* Walks `name=value&...`; both come decoded into the two buffers (reset by
 * the call). Start with `rest` = the query. Empty pairs are passed over. False
 * at the end. A failed buffer ends the walk with its `failed` set. */
bool query_next(struct span *rest, struct buf *name, struct buf *value);

/* The first value of that name, decoded, in *ret (reset first). False when
 * there is none (*ret is empty), and without memory (*ret has failed). */
bool query_get(struct span query, const char *name, struct buf *ret);

#endif
