/* SPDX-License-Identifier: ISC */
/*
 * What jobs, their events and their owners may be called, how many jobs one
 * request may name, and how large an event is. Layer: job, pure.
 */
#ifndef JOBWIRE_JOB_NAME_H
#define JOBWIRE_JOB_NAME_H

#include <stdbool.h>

#include "base/buf.h"

enum {
	JOB_ID_MAX = 128,    /* bytes of a job id */
	JOB_TYPE_MAX = 64,   /* bytes of an event's type */
	JOB_LABEL_MAX = 256, /* bytes of an owner, external id or restore id */
	JOB_IDS_MAX = 64,    /* jobs that a stream or a ticket is for */
	JOB_DATA_MAX = 32 << 20, /* bytes of an event's data */
};

/* What is said to whoever sends another one. */
#define JOB_LABEL_RULE "at most 256 bytes and no control characters"
#define JOB_ID_RULE "1 to 128 characters of A-Z a-z 0-9 . _ : ~ -"

/* Is it by JOB_ID_RULE? */
bool job_id_ok(struct span id);

/* May a row have this type? [a-z][a-z0-9_.-]{0,63}, and none of those that
 * streams send of themselves: resync, heartbeat, expiring. */
bool job_type_ok(struct span type);

/* May an owner, external id or restore id read so? JOB_LABEL_MAX bytes at most,
 * none of them a control character; it may be empty. */
bool job_label_ok(struct span label);

#endif
