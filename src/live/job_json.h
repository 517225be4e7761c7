/* SPDX-License-Identifier: ISC */
/*
 * A job as JSON, for GET .../jobs/{job_id}. Layer: live, pure.
 */
#ifndef JOBWIRE_JOB_JSON_H
#define JOBWIRE_JOB_JSON_H

#include "base/buf.h"

struct job;

/* Appends the object and a newline; without the owner, the external id and the
 * error. epoch: the database's. */
void job_json_add(struct buf *out, const char *epoch, const struct job *j);

#endif
