/* SPDX-License-Identifier: ISC */
/*
 * Positions in the log as Redis has them: an entry's id in the stream is
 * EPOCH-N, and with the tag of its epoch EPOCH-N/TAG. Layer: relay, pure.
 *
 * The id of its first event is EPOCH << 40 | N << 7: there is room for 128.
 */
#ifndef JOBWIRE_RELAY_POSITION_H
#define JOBWIRE_RELAY_POSITION_H

#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "store/replica.h"

/* Reads EPOCH-N/TAG, or EPOCH-N with an empty tag. ERR_PROTO: it is none, or
 * more than an id holds. */
CHECK_RESULT enum err position_read(struct span text, struct log_position *ret);

/* Appends EPOCH-N/TAG, or EPOCH-N alone. */
void position_add(struct buf *out, const struct log_position *at);
void position_add_id(struct buf *out, int64_t id);

bool position_eq(const struct log_position *a, const struct log_position *b);

/* How many entries lie between, in one epoch; -1: they are of two. */
int64_t position_distance(
    const struct log_position *from, const struct log_position *to);

int64_t position_epoch(const struct log_position *at);

#endif
