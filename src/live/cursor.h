/* SPDX-License-Identifier: ISC */
/*
 * Where a client stands in the table: what its Last-Event-ID means, and what
 * retention took of what it would have been told. Layer: live.
 */
#ifndef JOBWIRE_CURSOR_H
#define JOBWIRE_CURSOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "job/name.h"
#include "live/hub.h"

/*
 * What retention took of a selection. A client that stands at a row up to here
 * has lost something, if it was not told: its ids carry the sum of what it
 * knows of, from before it began or by its resync.
 */
struct losses {
	int64_t up_to; /* event id */
	int64_t sum;   /* of all floors' hashes, in 32 bits */
};

/* Which losses matter at row n; 0: none. Row 0 is none. */
static inline int64_t
losses_at(const struct losses *l, int64_t n)
{
	return n > 0 && n <= l->up_to ? l->sum : 0;
}

/* Where a client begins, and what it must be told first. */
struct cursor {
	int64_t at;	     /* event id: what comes after it is told */
	struct losses known; /* losses it knows of then */
	const char *resync;  /* why all is told anew, static; NULL: it is not */
	bool has_news;	     /* rows after its Last-Event-ID */
	size_t n_open;	     /* topics that are not at their end */
	/* Of each job of the selection, or of its owner: */
	bool is_terminal[JOB_IDS_MAX];
	int64_t floor[JOB_IDS_MAX]; /* event id: retention's */
};

/* In a cluster: does that Last-Event-ID come from a node that is ahead of this
 * one? *ret is its event id then. Errors as hub_read_rows(). */
CHECK_RESULT enum err cursor_is_ahead(struct hub *h, struct span last_event_id,
    bool *ret_is_ahead, int64_t *ret_id);

/* Where the client of that Last-Event-ID (as sent; empty: none) begins. Counts
 * a resync. ERR_GONE: the database is missing; else as hub_read_rows(). */
CHECK_RESULT enum err cursor_locate(struct hub *h, const struct selection *sel,
    struct span last_event_id, struct cursor *ret);

/* Is nothing left to say to a client that begins there, ever? Then all jobs
 * have ended, and no row follows that can be sent. Errors as
 * hub_read_rows(). */
CHECK_RESULT enum err cursor_check_end(struct hub *h,
    const struct selection *sel, const struct cursor *c, bool *ret);

/* Puts a waiter that was made for the same selection there. */
void cursor_apply(const struct cursor *c, struct waiter *w);

/* Puts a waiter that is in the hub back to the beginning, and counts a resync.
 * *ret: the losses its client knows of when it was told; where they cannot be
 * looked up, none, and it is told once more. */
void cursor_restart(struct hub *h, struct waiter *w, struct losses *ret);

/* Did retention take rows that this waiter, which is in the hub, was not told?
 * *ret_resync is the reason then, and unchanged if not. Only what it took since
 * the last look counts. Within the caller's snapshot of the database. Errors as
 * jobs_bounds(). */
CHECK_RESULT enum err cursor_check_loss(
    struct hub *h, struct waiter *w, const char **ret_resync);

#endif
