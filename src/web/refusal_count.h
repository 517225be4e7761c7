/* SPDX-License-Identifier: ISC */
/*
 * How often requests were refused, by code. Layer: web, pure.
 */
#ifndef JOBWIRE_REFUSAL_COUNT_H
#define JOBWIRE_REFUSAL_COUNT_H

#include <stdint.h>

#include "base/buf.h"

/* The codes of docs/protocol.md, and one for any other. */
enum { REFUSAL_CODES = 53 };

struct refusal_counts {
	uint64_t n[REFUSAL_CODES];
};

/* NULL, which is no refusal, counts nothing. */
void refusal_count(struct refusal_counts *counts, const char *code);

/* Appends them as the counter of that name, without jobwire_, a sample for each
 * code. */
void refusal_counts_add(struct buf *out, const char *name, const char *help,
    const struct refusal_counts *counts);

#endif
