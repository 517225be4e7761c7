/* SPDX-License-Identifier: ISC */
/*
 * Writes metrics down. What is counted is the business of those who count.
 * Pure.
 */
#include "base/metric.h"

#include <inttypes.h>

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
