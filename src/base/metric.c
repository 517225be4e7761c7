/* SPDX-License-Identifier: ISC */
/*
 * The text format of metrics. Pure.
 */
#include "base/metric.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <stdbool.h>

/* Upper bounds, microseconds, and how Prometheus writes them in seconds. */
static const struct {
	int64_t us;
	const char *seconds;
} bounds[HISTOGRAM_BUCKETS] = {
    {50, "0.00005"},
    {100, "0.0001"},
    {200, "0.0002"},
    {500, "0.0005"},
    {1000, "0.001"},
    {2000, "0.002"},
    {5000, "0.005"},
    {10000, "0.01"},
    {25000, "0.025"},
    {50000, "0.05"},
    {100000, "0.1"},
    {250000, "0.25"},
    {1000000, "1"},
    {5000000, "5"},
};

/* One writes and others read: no need to lock the bus for it. */
static void
add_alone(_Atomic uint64_t *number, uint64_t more)
{
	uint64_t now = atomic_load_explicit(number, memory_order_relaxed);

	atomic_store_explicit(number, now + more, memory_order_relaxed);
}

void
histogram_add(struct histogram *h, int64_t us)
{
	size_t i = 0;

	us = us < 0 ? 0 : us; /* the wall clock was set back */
	while (i < HISTOGRAM_BUCKETS && us > bounds[i].us)
		i++;
	add_alone(&h->counts[i], 1);
	add_alone(&h->sum_us, (uint64_t)us);
}

void
metric_head(
    struct buf *out, const char *name, const char *type, const char *help)
{
	buf_addf(out, "# HELP jobwire_%s %s\n# TYPE jobwire_%s %s\n", name,
	    help, name, type);
}

void
metric_add(struct buf *out, const char *name, const char *type,
    const char *help, uint64_t value)
{
	metric_head(out, name, type, help);
	buf_addf(out, "jobwire_%s %" PRIu64 "\n", name, value);
}

/* label: `name="value"`, or nothing. */
static void
add_samples(struct buf *out, const char *name, const char *label,
    const struct histogram *h)
{
	bool has_label = label[0] != '\0';
	const char *open = has_label ? "{" : "", *close = has_label ? "}" : "";
	uint64_t count = 0, sum = h->sum_us;

	for (size_t i = 0; i <= HISTOGRAM_BUCKETS; i++) {
		count += h->counts[i];
		buf_addf(out, "jobwire_%s_bucket{%s%sle=\"%s\"} %" PRIu64 "\n",
		    name, label, has_label ? "," : "",
		    i < HISTOGRAM_BUCKETS ? bounds[i].seconds : "+Inf", count);
	}
	buf_addf(out,
	    "jobwire_%s_sum%s%s%s %" PRIu64 ".%06" PRIu64
	    "\njobwire_%s_count%s%s%s %" PRIu64 "\n",
	    name, open, label, close, sum / 1000000, sum % 1000000, name, open,
	    label, close, count);
}

void
metric_add_histogram(struct buf *out, const char *name, const char *help,
    const struct histogram *h)
{
	metric_head(out, name, "histogram", help);
	add_samples(out, name, "", h);
}

void
metric_add_histogram_of(struct buf *out, const char *name, const char *label,
    const char *value, const struct histogram *h)
{
	struct buf pair = BUF_INIT;

	buf_addf(&pair, "%s=\"%s\"", label, value);
	if (buf_ok(&pair))
		add_samples(out, name, pair.data, h);
	out->failed = out->failed || !buf_ok(&pair);
	buf_done(&pair);
}
