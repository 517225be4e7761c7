/* SPDX-License-Identifier: ISC */
/*
 * A queue between threads, which whoever pushes bounds. Layer: base. Items are
 * embedded in what is queued; the queue borrows them until they are popped.
 */
#ifndef JOBWIRE_QUEUE_H
#define JOBWIRE_QUEUE_H

#include <sys/queue.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

struct queue_item {
	STAILQ_ENTRY(queue_item) link;
};

STAILQ_HEAD(queue_list, queue_item);

struct queue {
	pthread_mutex_t lock;
	pthread_cond_t filled;
	struct queue_list items;
	size_t n;
	bool is_closed;
};

/* ERR_SYS. */
CHECK_RESULT enum err queue_init(struct queue *q);
void queue_done(struct queue *q);

/* Not when it is closed. */
void queue_push(struct queue *q, struct queue_item *item);

/* Moves up to max items to the end of *ret, in order. Waits for the first when
 * `wait`; returns 0 when the queue is closed and empty, or is empty and not
 * waited for. */
size_t queue_pop(
    struct queue *q, struct queue_list *ret, size_t max, bool wait);

/* Wakes who waits; what is queued can still be popped. */
void queue_close(struct queue *q);

#endif
