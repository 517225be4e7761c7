/* SPDX-License-Identifier: ISC */
/*
 * Counts failed authentications per client address, in memory of a fixed size
 * that processes share. Layer: auth. Each address may fail so many times at once, and gets that
 * number back evenly over a minute. An IPv6 client has a /64, and so one place.
 */
#ifndef JOBWIRE_LIMIT_H
#define JOBWIRE_LIMIT_H

#include <stdint.h>

#include "base/err.h"

struct limit;

/* per_minute 0 gives NULL, which never says no. Children that are forked later
 * count into the same. Returns owned (limit_free). ERR_NOMEM. */
CHECK_RESULT enum err limit_new(int64_t per_minute, struct limit **ret);
/* Other processes keep theirs. */
void limit_free(struct limit **limit);

/* How many seconds (rounded up) this address must wait; 0: none. What is no
 * address counts as one. Safe for threads and processes, as is the next. */
int64_t limit_wait_s(struct limit *limit, const char *address, int64_t now_us);
void limit_count(struct limit *limit, const char *address, int64_t now_us);

#endif
