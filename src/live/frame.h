/* SPDX-License-Identifier: ISC */
/*
 * Bytes of a stream that many clients share: encoded once, counted, and never
 * changed once a second one has them. Layer: live.
 */
#ifndef JOBWIRE_FRAME_H
#define JOBWIRE_FRAME_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

/* What the event does to its job's state. */
enum frame_effect {
	FRAME_NEUTRAL, /* progress, custom types, all that is no event */
	FRAME_OPENS,   /* queued, processing */
	FRAME_ENDS,    /* a terminal type */
};

/* All may be read. refs is written by the functions here, the last three by
 * hub.c, where it makes the frame of a row and before anybody else has it; they
 * are false and 0 for what is no row. */
struct frame {
	unsigned refs; /* who has it; freed with the last */
	enum frame_effect effect;
	int64_t id; /* the row's; 0 for what is no row */
	struct buf body;
	bool is_skipped; /* stands for a row that cannot be sent */
	int64_t floor;	 /* event id: retention took the job's up to here */
	int64_t read_us; /* CLOCK_MONOTONIC: when the row was read, if the hub
			    read it for everybody; else 0 */
};

/* Takes body (also on failure). Returns owned (frame_unref) with one
 * reference. ERR_NOMEM. */
CHECK_RESULT enum err frame_new(
    struct buf *body, int64_t id, enum frame_effect effect, struct frame **ret);

struct frame *frame_ref(struct frame *f);
/* Accepts NULL; frees with the last reference. */
void frame_unref(struct frame **f);

#endif
