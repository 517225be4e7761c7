/* SPDX-License-Identifier: ISC */
/*
 * Cross-origin requests (Fetch Standard, section 3.2): an exact allow-list of
 * origins. Layer: web, pure.
 */
#ifndef JOBWIRE_CORS_H
#define JOBWIRE_CORS_H

#include "base/buf.h"

/*
 * Appends the header fields an answer to this origin needs to `headers`, errors
 * included: a page may read an answer only when they are there. `allowed` is a
 * comma-separated list of origins such as https://app.example, or NULL (then
 * nothing is appended). `origin` is the request's, "" when it has none.
 */
void cors_add(struct buf *headers, const char *allowed, const char *origin);

/* And those of an answer to a preflight. `methods` as in Allow. */
void cors_add_preflight(struct buf *headers, const char *allowed,
    const char *origin, const char *methods);

#endif
