/* SPDX-License-Identifier: ISC */
/*
 * What is said of a job before its first event. Blocks on the disk.
 */
#include "intent/intent.h"
#include "store/runs.h"

enum err
intent_apply_registration(
    struct db *db, const void *intent, struct intent_result *ret)
{
	const struct intent_registration *r = intent;
	enum err e;

	if (r->job.job_id == NULL ||
	    (r->endpoint != NULL && r->job.external_id == NULL))
		return ERR_PROTO;
	e = jobs_register(db, &r->job, &ret->is_new);
	if (e == ERR_EXISTS)
		return intent_refuse(ret, INTENT_JOB_OWNED);
	if (e == OK && r->job.external_id != NULL)
		e = intent_prove(db, r->job.job_id, r->job.external_id);
	if (e != OK || r->endpoint == NULL)
		return e;
	e = runs_register(db, r->job.job_id, r->endpoint, r->job.external_id,
	    r->job.restore_id);
	return e == ERR_EXISTS ? intent_refuse(ret, INTENT_JOB_RUNNING) : e;
}
