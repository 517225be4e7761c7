/* SPDX-License-Identifier: ISC */
/*
 * The JSON form of a stream: {"events":[..],"last_event_id":"..",
 * "terminal":..}. Layer: live. For clients behind proxies that buffer, for curl
 * and for CI.
 */
#ifndef JOBWIRE_JSON_FORM_H
#define JOBWIRE_JSON_FORM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "live/hub.h"
#include "web/answer.h"

struct json_form {
	/* Before: */
	int64_t cursor;	    /* events after this row */
	const char *resync; /* reason, NULL when nothing was lost */
	/* After: */
	size_t n_events;  /* without the resync */
	bool is_terminal; /* every job has ended, and all was said */
};

/* Fills the answer from one snapshot of the database. Errors as
 * hub_fetch(). */
CHECK_RESULT enum err json_form_fill(struct json_form *f, struct hub *h,
    const struct selection *sel, struct answer *a);

/* 503 for a database that cannot be read, or for want of memory; replaces what
 * is in the answer. */
void answer_trouble(struct answer *a, enum err e);

#endif
