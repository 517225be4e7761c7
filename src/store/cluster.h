/* SPDX-License-Identifier: ISC */
/*
 * What makes a database that of a node of a cluster. Layer: store. Blocks on
 * the disk and on other writers.
 *
 * In a cluster (meta.cluster is the node's id) nothing is written into
 * job_events and jobs but by who applies the log; what other programs insert
 * there, and delete from jobs, is put into the outbox by triggers. Connections
 * learn of a join when they begin their next transaction (db_node_id()).
 */
#ifndef JOBWIRE_CLUSTER_H
#define JOBWIRE_CLUSTER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "store/db.h"

/* Is it 1 to DB_NODE_MAX of A-Z a-z 0-9 . _ - ? */
bool cluster_node_ok(const char *node_id);

/*
 * Joins, or leaves, within the caller's transaction: from its commit on all
 * programs act accordingly. Either gives the database another epoch, `epoch` or
 * where that is NULL a new one, so that clients who come with an id get
 * `resync`. To join again is to take another epoch or node id. ERR_PROTO: no
 * node id, or no epoch; ERR_EXISTS: to leave while the outbox holds what has
 * not been applied (intent_settle()); else as db_begin().
 */
CHECK_RESULT enum err cluster_join(
    struct db *db, const char *node_id, const char *epoch);
CHECK_RESULT enum err cluster_leave(struct db *db);

/*
 * Between these two, within one transaction of the caller's, this connection's
 * writes go into the tables. Nobody else ever sees the mark that tells the
 * triggers so. Errors as db_begin(): with a rollback the mark is gone, too.
 */
CHECK_RESULT enum err cluster_apply_begin(struct db *db);
CHECK_RESULT enum err cluster_apply_end(struct db *db);

/* In between: from now on they are those of the log's entry number origin_seq
 * of node `origin` (borrowed; NULL and 0: of none). */
void cluster_apply_entry(struct db *db, const char *origin, int64_t origin_seq);

/* The entry that is being applied; NULL and 0: none is. */
const char *cluster_entry_origin(const struct db *db);
int64_t cluster_entry_seq(const struct db *db);

#endif
