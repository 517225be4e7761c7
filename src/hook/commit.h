/* SPDX-License-Identifier: ISC */
/*
 * The writer: what has come in a turn of the loop is committed at its end, as
 * one transaction, so that many deliveries share one fsync. Layer: hook.
 *
 * It holds the loop for as long as the disk takes and never waits for another
 * program: while one holds the lock, all is tried again each millisecond by a
 * timer, and an item is given up when it has waited for busy_ms itself.
 */
#ifndef JOBWIRE_COMMIT_H
#define JOBWIRE_COMMIT_H

#include <sys/queue.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/metric.h"
#include "io/loop.h"
#include "store/db.h"

/* One call's writing, all or nothing; embedded in its owner. */
struct commit_item {
	STAILQ_ENTRY(commit_item) link;
	int64_t since_us; /* set by committer_push() */
	size_t weight;	  /* about how many bytes it writes */
	/*
	 * Writes, within the writer's transaction. May be called again, when
	 * that could not be committed, or another's writing failed: then what
	 * had come together is committed one by one. ERR_PROTO, ERR_LIMIT,
	 * ERR_EXISTS and ERR_AUTH are about this item; any other error is the
	 * database's. What it wrote is undone.
	 */
	enum err (*write)(struct commit_item *item, struct db *db);
	/* Set before on_done. OK: committed with synchronous=FULL into the file
	 * under the database's path. Else what write() said, or as db_begin()
	 * and db_commit(); ERR_BUSY after busy_ms. */
	enum err result;
	char epoch[DB_EPOCH_SIZE];
	void (*on_done)(struct commit_item *item); /* may push others */
};

/* What the writer did. */
struct commit_stats {
	struct histogram commit; /* what each transaction took */
	uint64_t commits;	 /* transactions, also those that failed */
	uint64_t items;		 /* committed */
	uint64_t failures;	 /* transactions that failed for good */
	/* OK, or what is wrong: with the last batch, or with a lock that others
	 * have held for so long that the next one will hardly come through. */
	enum err state;
};

struct committer;

struct committer_config {
	struct loop *loop; /* borrowed for its life, as is the path */
	const char *db_path;
	int busy_ms; /* how long an item may wait for other writers */
	/* The WAL is copied and restarted before it is filled so far. */
	int64_t wal_limit_bytes;
	/* For a process that mostly has one item: makes the database where it
	 * is missing, opens it for each batch, and leaves checkpoints alone. */
	bool is_brief;
};

/* Opens the database, waiting up to busy_ms for others; not where it is brief.
 * Returns owned (committer_stop). Errors as db_open(), with *fault. */
CHECK_RESULT enum err committer_start(const struct committer_config *cfg,
    struct committer **ret, struct db_fault *fault);

/* The item, borrowed until its on_done(), is committed at the end of this turn,
 * after those that came before. */
void committer_push(struct committer *c, struct commit_item *item);

/*
 * Can the database be written? Asks it, and returns the state, without waiting
 * for others. While all goes well an empty transaction tells a missing or
 * locked database and costs no fsync; in trouble only writing tells whether it
 * is over, so that blocks on the disk. To be called each second: then a lock is
 * known before calls have waited in vain for it, and the end of trouble when
 * nobody calls.
 */
enum err committer_look(struct committer *c);

/* The connection, to read by on the loop's thread, between two batches; NULL
 * while there is none. */
struct db *committer_db(struct committer *c);

const struct commit_stats *committer_stats(const struct committer *c);

/* Tries for the last time what waits, calls each on_done(), and ends. Accepts
 * NULL. */
void committer_stop(struct committer **c);

#endif
