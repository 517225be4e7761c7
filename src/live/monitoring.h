/* SPDX-License-Identifier: ISC */
/*
 * What load balancers and monitors ask of the reading half: GET /healthz and
 * GET /metrics. Layer: live. The writing half answers its own, too.
 */
#ifndef JOBWIRE_MONITORING_H
#define JOBWIRE_MONITORING_H

#include <stddef.h>

#include "live/hub.h"
#include "live/metrics.h"
#include "web/answer.h"

/* Fills the answer, which must be empty: can streams be served? And where the
 * query has all=1, is the writing half well? 200 or 503. Blocks as
 * status_read(). */
void monitoring_health(
    const struct hub *h, const char *query, struct answer *ret);

/* Fills the answer, which must be empty, with the metrics of all programs: the
 * sum of the n slots, the text `more` (NULL: none), and what the writing half
 * and the janitor have left beside the database. Blocks as sheet_read(). */
void monitoring_metrics(const struct metrics *slots, size_t n, const char *more,
    const char *db_path, struct answer *ret);

#endif
