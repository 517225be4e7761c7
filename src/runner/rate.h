/* SPDX-License-Identifier: ISC */
/*
 * How many calls may begin, and when: so many a second on average, and a few
 * of them at once. Layer: runner, pure. Times are microseconds of one clock.
 */
#ifndef JOBWIRE_RATE_H
#define JOBWIRE_RATE_H

#include <stdint.h>

struct rate {
	int64_t interval_us; /* between calls; more than 0 */
	int64_t free_at_us;  /* when all that were made are paid for */
};

/* How many calls may begin now; 0 or less: none. */
int64_t rate_room(const struct rate *r, int64_t now_us);

/* When one more may begin. */
int64_t rate_next_us(const struct rate *r);

/* One begins. */
void rate_take(struct rate *r, int64_t now_us);

#endif
