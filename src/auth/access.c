/* SPDX-License-Identifier: ISC */
/*
 * The decision to let a request read. What it is then shown is live's business.
 * Blocks as far as a look into the table jobs does.
 */
#include "auth/access.h"

#include <stddef.h>

#include "store/jobs.h"

enum err
access_identify(enum events_auth mode, const struct request *r,
    struct access *ret, const char **why)
{
	struct access a = {mode, NULL};

	if (mode == EVENTS_AUTH_SERVER) {
		if (*r->remote_user == '\0') {
			*why = "The web server has not authenticated anybody "
			       "for this request.";
			return ERR_AUTH;
		}
		a.subject = r->remote_user;
	}
	*ret = a;
	return OK;
}

enum err
access_check_job(const struct access *a, struct db *db, const char *job_id)
{
	bool is_owner = false;
	enum err e;

	if (a->subject == NULL)
		return OK;
	if (db == NULL)
		return ERR_GONE;
	e = jobs_owns(db, job_id, a->subject, &is_owner);
	if (e != OK)
		return e;
	return is_owner ? OK : ERR_AUTH;
}
