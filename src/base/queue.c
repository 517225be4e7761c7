/* SPDX-License-Identifier: ISC */
/*
 * One mutex, one condition. Blocks where a caller asks to wait.
 */
#include "base/queue.h"

enum err
queue_init(struct queue *q)
{
	*q = (struct queue){0};
	STAILQ_INIT(&q->items);
	if (pthread_mutex_init(&q->lock, NULL) != 0)
		return ERR_SYS;
	if (pthread_cond_init(&q->filled, NULL) != 0) {
		(void)pthread_mutex_destroy(&q->lock);
		return ERR_SYS;
	}
	return OK;
}

void
queue_done(struct queue *q)
{
	(void)pthread_cond_destroy(&q->filled);
	(void)pthread_mutex_destroy(&q->lock);
}

void
queue_push(struct queue *q, struct queue_item *item)
{
	(void)pthread_mutex_lock(&q->lock);
	STAILQ_INSERT_TAIL(&q->items, item, link);
	q->n++;
	(void)pthread_cond_signal(&q->filled);
	(void)pthread_mutex_unlock(&q->lock);
}

size_t
queue_pop(struct queue *q, struct queue_list *ret, size_t max, bool wait)
{
	struct queue_item *item;
	size_t n = 0;

	(void)pthread_mutex_lock(&q->lock);
	while (wait && q->n == 0 && !q->is_closed)
		(void)pthread_cond_wait(&q->filled, &q->lock);
	for (; n < max && q->n > 0; n++) {
		item = STAILQ_FIRST(&q->items);
		STAILQ_REMOVE_HEAD(&q->items, link);
		q->n--;
		STAILQ_INSERT_TAIL(ret, item, link);
	}
	(void)pthread_mutex_unlock(&q->lock);
	return n;
}

void
queue_close(struct queue *q)
{
	(void)pthread_mutex_lock(&q->lock);
	q->is_closed = true;
	(void)pthread_cond_broadcast(&q->filled);
	(void)pthread_mutex_unlock(&q->lock);
}
