/* SPDX-License-Identifier: ISC */
/*
 * The writer: one thread that commits whatever has queued up in one
 * transaction, so that many deliveries share one fsync. Layer: hook.
 *
 * Threads that each commit for themselves wait on SQLite's unfair lock; one
 * writer needs none, and an idle one commits a lone event at once.
 *
 * While another program holds the lock, the batch is tried again and again:
 * each item is given up when it has waited for busy_ms itself.
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
	int64_t since_us; /* set by committer_push() */
	size_t weight;	  /* about how many bytes it writes */
	/* Looks whether the database can be written: counts as no transaction,
	 * and is not kept waiting by a lock. Then its result is the state. */
	bool is_look;
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
	 * and db_commit(); ERR_BUSY after busy_ms. */
	enum err result;
	char epoch[DB_EPOCH_SIZE];
	void (*on_done)(struct commit_item *item); /* on the writer's thread */
};

/* One item in a transaction of its own, on the caller's connection; sets its
 * result and epoch and does not call on_done. For programs that serve one
 * request. Returns what happened to the transaction. Blocks. */
enum err commit_alone(struct db *db, struct commit_item *item);

/* What the writer did; written by it, read by anybody. */
struct commit_stats {
	struct histogram commit;   /* what each transaction took */
	_Atomic uint64_t commits;  /* transactions */
	_Atomic uint64_t items;	   /* committed */
	_Atomic uint64_t failures; /* batches that were not */
	/* OK, or what is wrong: with the last batch, or with a lock that others
	 * have held for so long that the next one will hardly come through. */
	_Atomic enum err state;
	_Atomic int64_t
	    locked_since_us;	   /* by others, as far as known; 0: not */
	_Atomic int64_t looked_us; /* when the last batch was over */
};

enum { COMMIT_LOOK_US = 1000000 };

/* For write() of what only looks. While all goes well an empty transaction
 * tells a missing or locked database and costs no fsync. In trouble only
 * writing tells whether it is over. */
CHECK_RESULT enum err commit_look(struct db *db, enum err state);

struct committer;

struct committer_config {
	const char *db_path; /* borrowed for its life */
	int busy_ms;	     /* how long an item may wait for other writers */
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

/* To be called every COMMIT_LOOK_US: looks whether the database can be written,
 * unless a batch has just shown it. So a lock is known before calls have waited
 * in vain for it, and the end of trouble when nobody calls. */
void committer_look(struct committer *c);

const struct commit_stats *committer_stats(const struct committer *c);

/* Commits what is queued, then ends the thread. */
void committer_stop(struct committer **c);

#endif
