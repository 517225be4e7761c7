/* SPDX-License-Identifier: ISC */
/*
 * The writer: one thread that commits whatever has queued up in one
 * transaction, so that many deliveries share one fsync. Layer: hook.
 *
 * Threads that each commit for themselves wait on SQLite's unfair lock; one
 * writer needs none, and an idle one commits a lone event at once.
 */
#ifndef JOBWIRE_COMMIT_H
#define JOBWIRE_COMMIT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/queue.h"
#include "store/db.h"
#include "store/events.h"

/* One event on its way into the table; embedded in its owner. */
struct commit_item {
	struct queue_item link;
	struct event_new event; /* borrows; valid until on_done */
	/* Set before on_done. OK: committed with synchronous=FULL into the file
	 * under the database's path. ERR_PROTO: the schema refuses the row. The
	 * rest as db_begin() and db_commit(). */
	enum err result;
	bool is_duplicate;
	int64_t id;
	char epoch[DB_EPOCH_SIZE];
	void (*on_done)(struct commit_item *item); /* on the writer's thread */
};

struct committer;

struct committer_config {
	const char *db_path; /* borrowed for its life */
	int busy_ms;	     /* how long to wait for other writers */
	size_t queue_max;    /* items that may wait */
};

/* Opens the database and starts the thread. Returns owned (committer_stop).
 * Errors as db_open(), with *fault. */
CHECK_RESULT enum err committer_start(const struct committer_config *cfg,
    struct committer **ret, struct db_fault *fault);

/* Thread-safe. False when the queue is full: on_done is not called. */
bool committer_push(struct committer *c, struct commit_item *item);

/* Commits what is queued, then ends the thread. */
void committer_stop(struct committer **c);

#endif
