/* SPDX-License-Identifier: ISC */
/*
 * Cross-origin requests (Fetch Standard, section 3.2): an exact allow-list of
 * origins. Layer: web, pure.
 */
#ifndef JOBWIRE_CORS_H
#define JOBWIRE_CORS_H

#include <stdbool.h>

#include "base/buf.h"
#include "web/request.h"

/*
 * Appends the header fields an answer to this origin needs to `headers`, errors
 * included: a page may read an answer only when they are there. `allowed` is a
 * comma-separated list of origins such as https://app.example, or NULL (then
 * nothing is appended). `origin` is the request's, "" when it has none.
 */
void cors_add(struct buf *headers, const char *allowed, const char *origin);

/*
 * Is this the call of a page of another origin that is not in `allowed`, by the
 * browser's word (Fetch Metadata; else Origin, compared with Host)? Browsers
 * send cookies and passwords along, whatever page it is, so it must not change
 * anything. What is no browser says nothing of the kind.
 */
bool cors_is_foreign(const char *allowed, const struct request *r);

enum { CORS_NAMES_MAX = 32, CORS_NAMES_SIZE_MAX = 1024 };

/*
 * And those of an answer to a preflight. `methods` as in Allow. `names` is its
 * Access-Control-Request-Headers: allowed too, if all of them are tokens (RFC
 * 9110 section 5.6.2) and there are not more than the above, in number and in
 * bytes; "" when it has none.
 */
void cors_add_preflight(struct buf *headers, const char *allowed,
    const char *origin, const char *methods, const char *names);

#endif
