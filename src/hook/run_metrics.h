/* SPDX-License-Identifier: ISC */
/*
 * What the database says of runs, as metrics. Layer: hook.
 */
#ifndef JOBWIRE_RUN_METRICS_H
#define JOBWIRE_RUN_METRICS_H

#include "base/buf.h"
#include "store/db.h"

/* Appends the runs that are open and what the provider was asked, as Prometheus
 * reads it; nothing where that cannot be read, or without a database (NULL).
 * Blocks as short looks into the database do. */
void run_metrics_add(struct buf *out, struct db *db);

#endif
