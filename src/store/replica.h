/* SPDX-License-Identifier: ISC */
/*
 * How far this node of a cluster has applied the log, and how it goes back.
 * Layer: store, for the relay; who only asks for the position may, too. Blocks
 * on the disk and on other writers. Errors, where nothing else is said, as
 * db_begin().
 *
 * An entry of the log is known by the id that its first event gets. Lineages of
 * the log that part, as when a failover leaves two masters, may use an id
 * twice: the tag of its epoch tells them apart.
 */
#ifndef JOBWIRE_REPLICA_H
#define JOBWIRE_REPLICA_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "store/db.h"

enum { REPLICA_TAG_SIZE = 9 };

/* An epoch has so many ids: those of one have the same bits above. */
#define LOG_EPOCH_IDS (INT64_C(1) << 40)

/* All zero: before the first entry. */
struct log_position {
	int64_t id;
	char tag[REPLICA_TAG_SIZE];
};

struct log_entry {
	struct log_position at;
	const char *origin; /* NULL: nobody's, it changes nothing */
	int64_t origin_seq;
	int64_t at_ms; /* the time that it is applied at */
};

/* Once for a connection that applies entries; node_id is this node's. */
CHECK_RESULT enum err replica_start(struct db *db, const char *node_id);

/* The last entry that was applied, and the oldest that can be gone back to.
 * Need no transaction. */
CHECK_RESULT enum err replica_position(struct db *db, struct log_position *ret);
CHECK_RESULT enum err replica_horizon(struct db *db, struct log_position *ret);

/* Calls on_epoch with the last entry that was applied of each epoch, the newest
 * first; of the last hundred, as far as can be gone back to. */
CHECK_RESULT enum err replica_lineage(struct db *db,
    void (*on_epoch)(void *arg, const struct log_position *last), void *arg);

/* The last applied entry of that tag and not behind that id, of what can be
 * gone back to. ERR_NOENT. */
CHECK_RESULT enum err replica_find(
    struct db *db, const struct log_position *last, struct log_position *ret);

/* The highest id behind that one which this database gave to what it wrote
 * while it was no node; 0: none. */
CHECK_RESULT enum err replica_own_ids(
    struct db *db, int64_t after_id, int64_t *ret);

/* Calls on_mark with each origin and the last number of its outbox that was
 * applied when the entry at_id had been, which can be gone back to. */
CHECK_RESULT enum err replica_marks(struct db *db, int64_t at_id,
    void (*on_mark)(void *arg, const char *origin, int64_t seq), void *arg);

/* Between these two, within the caller's transaction, are the writes of an
 * entry: they get its ids and time, and what can take them back is kept. The
 * second is called in any case. */
CHECK_RESULT enum err replica_begin(
    struct db *db, const struct log_entry *entry);
CHECK_RESULT enum err replica_end(
    struct db *db, const struct log_entry *entry, enum err e);

/*
 * Takes back what was applied behind `to`, which replica_find() has found, some
 * hundred entries at a time and each time in a transaction. The highest id that
 * was given out (events_last_id()) stays. *ret_n: how many entries, also where
 * it fails (then some of them may be there again).
 */
CHECK_RESULT enum err replica_cut_back(
    struct db *db, const struct log_position *to, int64_t *ret_n);

/*
 * One step of forgetting what is not needed to go back: of entries up to
 * up_to_id that were applied before that time. Within a transaction. *ret_seq:
 * the number in node_id's outbox that is not needed any more, nor any before
 * it; 0: none. *ret_more: another step is worth it.
 */
CHECK_RESULT enum err replica_prune(struct db *db, const char *node_id,
    int64_t up_to_id, int64_t before_ms, int64_t *ret_seq, bool *ret_more);

/* The database is of the cluster of that epoch from now on: clients who come
 * with an id of another one get `resync`. Within a transaction. */
CHECK_RESULT enum err replica_adopt(struct db *db, const char *epoch);

/*
 * Who this database is among those that ever had its node's name; "": nobody
 * has asked yet. It is put behind what Redis has of the name, so that what it
 * takes is not held for what was taken before: rows of the outbox that are not
 * applied get numbers above seq, and the others go. Both in a transaction.
 */
CHECK_RESULT enum err replica_owner(struct db *db, struct buf *ret);
CHECK_RESULT enum err replica_own(
    struct db *db, const char *owner, int64_t seq);

/* The highest number that the outbox of this node ever gave, and about how many
 * rows of it the log has not brought back. */
CHECK_RESULT enum err replica_outbox(
    struct db *db, const char *node_id, int64_t *ret_seq, int64_t *ret_open);

/* Rows up to that one that were applied and have no answer get an empty one:
 * the relay that had it is gone, and so is who waited. In a transaction. */
CHECK_RESULT enum err replica_close_outbox(struct db *db, int64_t up_to);
/* The same for all that are applied, where no relay holds an answer back. */
CHECK_RESULT enum err replica_close_applied(struct db *db, const char *node_id);

#endif
