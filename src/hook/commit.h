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
#include "base/metric.h"
#include "base/queue.h"
#include "store/db.h"

/* One call's writing, all or nothing; embedded in its owner. */
struct commit_item {
	struct queue_item link;
	size_t weight; /* about how many bytes it writes */
	/*
	 * Writes, within the writer's transaction. May be called again, when
	 * the database turned out to be another one. ERR_PROTO, ERR_LIMIT,
	 * ERR_EXISTS and ERR_AUTH are about this item: what it wrote is undone,
	 * and the others of the batch do not notice. Any other error is the
	 * database's and fails the batch.
	 */
	enum err (*write)(struct commit_item *item, struct db *db);
	/* Set before on_done. OK: committed with synchronous=FULL into the file
	 * under the database's path. Else what write() said, or as db_begin()
	 * and db_commit(). */
	enum err result;
	char epoch[DB_EPOCH_SIZE];
	void (*on_done)(struct commit_item *item); /* on the writer's thread */
};

/* One item in a transaction of its own, on the caller's connection; sets its
 * result and epoch and does not call on_done. For programs that serve one
 * request. Blocks. */
void commit_alone(struct db *db, struct commit_item *item);

/* What the writer did; written by it, read by anybody. */
struct commit_stats {
	struct histogram commit;     /* what each transaction took */
	_Atomic uint64_t commits;    /* transactions */
	_Atomic uint64_t items;	     /* committed */
	_Atomic uint64_t failures;   /* batches that were not */
	_Atomic uint64_t is_failing; /* 1: the last one failed */
};

struct committer;

struct committer_config {
	const char *db_path; /* borrowed for its life */
	int busy_ms;	     /* how long to wait for other writers */
	size_t queue_max;    /* items that may wait */
	/* Checkpoints when the WAL is filled beyond it. */
	int64_t wal_limit_bytes;
};

/* Opens the database and starts the thread. Returns owned (committer_stop).
 * Errors as db_open(), with *fault. */
CHECK_RESULT enum err committer_start(const struct committer_config *cfg,
    struct committer **ret, struct db_fault *fault);

/* Thread-safe. False when the queue is full: on_done is not called. */
bool committer_push(struct committer *c, struct commit_item *item);

const struct commit_stats *committer_stats(const struct committer *c);

/* Commits what is queued, then ends the thread. */
void committer_stop(struct committer **c);

#endif
