/* SPDX-License-Identifier: ISC */
/*
 * The Prometheus text format (exposition format 0.0.4). Layer: base, pure.
 * Names are given without the prefix jobwire_ that all of them have.
 */
#ifndef JOBWIRE_METRIC_H
#define JOBWIRE_METRIC_H

#include <stdint.h>

#include "base/buf.h"

/* The two lines that come before a metric's samples. type: counter, gauge,
 * histogram. */
void metric_head(
    struct buf *out, const char *name, const char *type, const char *help);

/* A metric with one sample. */
void metric_add(struct buf *out, const char *name, const char *type,
    const char *help, uint64_t value);

#endif
