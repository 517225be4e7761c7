/* SPDX-License-Identifier: ISC */
/*
 * What load balancers and monitors ask of the reading half: GET /healthz and
 * GET /metrics. Layer: live. The writing half answers its own.
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

/* Fills the answer, which must be empty, with the sum of the n slots. */
void monitoring_metrics(
    const struct metrics *slots, size_t n, struct answer *ret);

#endif
