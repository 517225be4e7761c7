/* SPDX-License-Identifier: ISC */
/*
 * Requests that cannot be answered yet, and may be soon. In a cluster they come
 * from a node that is ahead of this one, with an id or a ticket that the log
 * has still to bring; or their ticket cannot be taken while others write. They
 * wait, so that nobody is told `resync`, 401 or "not now" because of some
 * milliseconds. Layer: live.
 */
#ifndef JOBWIRE_EARLY_H
#define JOBWIRE_EARLY_H

#include <sys/queue.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "io/loop.h"
#include "web/exchange.h"

struct early; /* its own */
TAILQ_HEAD(early_list, early);

/* One hub's. */
struct early_queue {
	struct early_list list;
	struct loop *loop; /* borrowed */
	size_t n, max;
};

/* Gets the exchange back, as it came. */
typedef void early_fn(void *arg, struct exchange *x, int64_t since_us);

void early_init(struct early_queue *q, struct loop *loop, size_t max);

/*
 * Takes the exchange, of whose answer nothing was sent, and gives it back when
 * events up to `id` are there (0: when there are any new ones; INT64_MAX: not
 * for events), at until_us at the latest; with since_us, which is when it came.
 * ERR_FULL: so many wait already; ERR_NOMEM, ERR_SYS. Then it was not taken.
 */
CHECK_RESULT enum err early_park(struct early_queue *q, struct exchange *x,
    int64_t id, int64_t until_us, int64_t since_us, early_fn *retry, void *arg);

/* Events up to last_id are there: those that waited for them are given back in
 * the loop's next turn. INT64_MAX: all of them are. */
void early_look(struct early_queue *q, int64_t last_id);

/* Drops all that wait. */
void early_done(struct early_queue *q);

#endif
