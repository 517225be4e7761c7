/* SPDX-License-Identifier: ISC */
/*
 * Applies entries of the log to the database, and answers those of this node's
 * outbox. Layer: relay. Blocks on the disk and on other writers.
 */
#ifndef JOBWIRE_RELAY_APPLY_H
#define JOBWIRE_RELAY_APPLY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "base/err.h"
#include "relay/redis.h"
#include "store/db.h"
#include "store/replica.h"

/* Why the next entry was not applied. */
enum apply_stop {
	APPLY_ALL,     /* all were */
	APPLY_PARTED,  /* it follows another one than the last */
	APPLY_FOREIGN, /* no relay has written it */
	APPLY_NEWER,   /* its form is that of a newer jobwire */
	APPLY_TAKEN,   /* its ids were given to what the node wrote alone */
	APPLY_FAILED,  /* the database's error: none were */
};

/* What came of an own entry that may not be told yet. */
struct held_answer;
STAILQ_HEAD(held_answers, held_answer);

struct applier {
	char node_id[DB_NODE_MAX + 1];
	struct log_position at; /* of the last entry that was applied */
	int64_t own_id;		/* ids up to it are taken: replica_own_ids() */
	bool is_holding;	/* answers, up to `confirmed`, and no further */
	int64_t confirmed;
	struct held_answers held;
	size_t n_held;
	int64_t n_applied, n_refused, n_bytes; /* since the start */
};

void applier_init(struct applier *a);
void applier_done(struct applier *a);

/* Where the database stands; once for each time that it is opened, after
 * replica_start(). */
CHECK_RESULT enum err applier_start(
    struct applier *a, struct db *db, const char *node_id);

/* Applies the entries of XREAD's answer in one transaction, as far as they
 * follow. *ret_e: the error of APPLY_FAILED; ERR_NOENT: the database is not
 * that node's any more. *ret_n: how many were applied. */
CHECK_RESULT enum apply_stop applier_run(struct applier *a, struct db *db,
    const struct redis_value *rows, size_t *ret_n, enum err *ret_e);

/* What the relay before us has held is gone with it: who waits for it is told
 * that it is pending. Once it is settled that the outbox's numbers are those of
 * this database (replica_own()). Errors as db_begin(). */
CHECK_RESULT enum err applier_take_over(struct applier *a, struct db *db);

/* The database was taken back to `at`: what was to be answered of entries
 * behind it is forgotten, for they come again, it may be with other ids. */
void applier_cut_back(struct applier *a);

/* All up to that number may be answered. Errors as db_begin(): to be called
 * again. */
CHECK_RESULT enum err applier_confirm(
    struct applier *a, struct db *db, int64_t seq);

#endif
