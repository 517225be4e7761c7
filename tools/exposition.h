/* SPDX-License-Identifier: ISC */
/*
 * Reads samples out of metrics as our programs write them.
 */
#ifndef JOBWIRE_EXPOSITION_H
#define JOBWIRE_EXPOSITION_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"

struct exposition {
	struct buf text; /* owned (exposition_done) */
	int64_t at_us;	 /* CLOCK_MONOTONIC */
};

void exposition_done(struct exposition *e);

/* The sample of that name with its labels, letter by letter. NAN: there is
 * none. */
double exposition_value(const struct exposition *e, const char *name);
bool exposition_has(const struct exposition *e, const char *name);

/* How much it has grown in a second from one reading to the next; NAN where
 * one of them has none, or it began anew. */
double exposition_rate(const struct exposition *before,
    const struct exposition *now, const char *name);

#endif
