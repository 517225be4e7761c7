/* SPDX-License-Identifier: ISC */
/*
 * The decision who may read a job. Blocks as far as a short look into the
 * database does.
 */
#include "auth/reader.h"

#include <stdlib.h>

#include "store/jobs.h"

void
reader_done(struct reader *r)
{
	for (size_t i = 0; i < READER_TOKENS_MAX; i++)
		claims_done(&r->tokens[i].claims);
	free(r->job_ids);
	r->job_ids = NULL;
	r->n_tokens = 0;
}

enum err
reader_check_job(const struct reader *r, struct db *db, const char *job_id)
{
	bool is_owner = false;
	enum err e;

	if (r->subject == NULL)
		return OK;
	if (r->job_ids != NULL && !claims_list_has(r->job_ids, job_id))
		return ERR_AUTH;
	if (r->claims.jobs != NULL && claims_list_has(r->claims.jobs, job_id))
		return OK;
	if (db == NULL)
		return ERR_GONE;
	e = jobs_owns(db, job_id, r->subject, &is_owner);
	if (e != OK)
		return e;
	return is_owner ? OK : ERR_AUTH;
}

const char *
reader_owner(const struct reader *r)
{
	return r->job_ids == NULL ? r->subject : NULL;
}
