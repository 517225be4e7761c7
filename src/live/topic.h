/* SPDX-License-Identifier: ISC */
/*
 * What clients can wait for, found by name. Layer: live; waiter.c keeps the
 * tables, and hub.c looks into them. With a job per stream a topic is a part of
 * what a stream costs: it has a link to the next one of its bucket, and nothing
 * else that is not needed.
 */
#ifndef JOBWIRE_TOPIC_H
#define JOBWIRE_TOPIC_H

#include <sys/queue.h>
#include <stddef.h>
#include <stdint.h>

struct sub;

enum topic_kind {
	TOPIC_JOB,   /* the events of one job */
	TOPIC_OWNER, /* those of all jobs of an owner */
	TOPIC_KINDS,
};

struct topic {
	struct topic *next; /* in its bucket */
	LIST_HEAD(, sub) subs;
	char name[];
};

/* A hash table by name. All zero but for the seed is an empty one. */
struct topics {
	struct topic **buckets; /* owned; a power of two, or NULL: none yet */
	size_t n_buckets, count;
	uint64_t seed; /* clients choose the names: not the buckets, too */
};

void topics_init(struct topics *ts);
/* All topics must have been removed. */
void topics_done(struct topics *ts);

/* NULL when there is none of that name. */
struct topic *topics_find(const struct topics *ts, const char *name);

/* A new one, which is not there yet, without subs; the table owns it. NULL
 * without memory. */
struct topic *topics_add(struct topics *ts, const char *name);

/* Frees it. */
void topics_remove(struct topics *ts, struct topic *t);

#endif
