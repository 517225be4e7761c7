/* SPDX-License-Identifier: ISC */
/*
 * How this node of a cluster is, as its relay says. Layer: hook. Blocks no
 * longer than a small file takes.
 */
#ifndef JOBWIRE_CLUSTER_HEALTH_H
#define JOBWIRE_CLUSTER_HEALTH_H

#include "base/buf.h"
#include "store/db.h"

/* "ok", "away" or "behind"; NULL: it is a single node, or the database (NULL)
 * does not say. */
const char *cluster_health_name(const struct db *db);

/* Appends what the relay counts, as Prometheus reads it; nothing for a single
 * node. */
void cluster_health_add(struct buf *out, const struct db *db);

#endif
