/* SPDX-License-Identifier: ISC */
/*
 * Bytes of a stream that many clients share: encoded once, counted, never
 * changed. Layer: live.
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

struct frame {
	unsigned refs;
	enum frame_effect effect;
	int64_t id; /* the row's; 0 for what is no row */
	struct buf body;
	/* Set by hub.c where it makes the frame of a row, before anybody else
	 * has it; false and 0 for what is no row. */
	bool is_skipped; /* stands for a row that cannot be sent */
	int64_t floor;	 /* event id: retention took the job's up to here */
	int64_t read_us; /* when the row was read (CLOCK_MONOTONIC) */
};

/* Takes body (also on failure). Returns owned (frame_unref) with one
 * reference. ERR_NOMEM. */
CHECK_RESULT enum err frame_new(
    struct buf *body, int64_t id, enum frame_effect effect, struct frame **ret);

struct frame *frame_ref(struct frame *f);
/* Accepts NULL; frees with the last reference. */
void frame_unref(struct frame **f);

#endif
