/* SPDX-License-Identifier: ISC */
/*
 * What the database says of itself, as metrics. Layer: store; called by the
 * janitor, which has the time.
 */
#ifndef JOBWIRE_GAUGES_H
#define JOBWIRE_GAUGES_H

#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "store/db.h"

/*
 * Appends the numbers of jobs and bytes as Prometheus reads them.
 * checkpoint_ms: when the WAL was last within its limit, of CLOCK_REALTIME; 0:
 * not known. Errors as events_read_all(); *out may have grown. Walks through
 * an index of all jobs: 0.1 s for a million.
 */
CHECK_RESULT enum err gauges_add(
    struct buf *out, struct db *db, int64_t checkpoint_ms);

#endif
