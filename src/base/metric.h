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

enum { HISTOGRAM_BUCKETS = 14 };

/* Durations. Any thread may read it. */
struct histogram {
	_Atomic uint64_t
	    counts[HISTOGRAM_BUCKETS + 1]; /* the last: above all */
	_Atomic uint64_t sum_us;
};

/* From one thread. Less than nothing (the wall clock was set back) counts as
 * nothing. */
void histogram_add(struct histogram *h, int64_t us);

/* A histogram without labels; its name should end in _seconds. */
void metric_add_histogram(struct buf *out, const char *name, const char *help,
    const struct histogram *h);

/* The samples of one, after metric_head(), with a label; its value is written
 * as it is. */
void metric_add_histogram_of(struct buf *out, const char *name,
    const char *label, const char *value, const struct histogram *h);

#endif
