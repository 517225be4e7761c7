/* SPDX-License-Identifier: ISC */
/*
 * A job as JSON, for GET .../jobs/{job_id}. Layer: live, pure.
 */
#ifndef JOBWIRE_JOB_JSON_H
#define JOBWIRE_JOB_JSON_H

#include "base/buf.h"

struct job;
struct run;

/* Appends the object and a newline; without the owner, the job's external id
 * and the error. epoch: the database's. run: the job's newest; NULL: none. */
void job_json_add(struct buf *out, const char *epoch, const struct job *j,
    const struct run *run);

#endif
