/* SPDX-License-Identifier: ISC */
/*
 * A copy of one node's database that becomes another node's. Layer: store. How
 * it takes its place is in backup.h. Blocks on the disk.
 */
#ifndef JOBWIRE_CLONE_H
#define JOBWIRE_CLONE_H

#include "base/err.h"
#include "store/db.h"

/*
 * Makes the copy that of node_id, within the caller's transaction: it keeps the
 * rows, and how far the log was applied. `old` is the database that it stands
 * in for, NULL where there is none: its outbox is taken over, which has what
 * the others lack, and what this node's runner knows of its runs. Without it,
 * those that were not submitted become unknown, for they may have been since.
 *
 * ERR_PROTO: the copy is of no node. ERR_EXISTS: old is no node of this name
 * and has events of its own. ERR_VERSION: the copy is older than what old has
 * applied, so that its node's runs would be begun again. The fault of copy says
 * so. Other errors as db_begin().
 */
CHECK_RESULT enum err clone_adapt(
    struct db *copy, const char *node_id, struct db *old);

#endif
