/* SPDX-License-Identifier: ISC */
/*
 * Who may read which job. Layer: auth.
 */
#ifndef JOBWIRE_ACCESS_H
#define JOBWIRE_ACCESS_H

#include <stdbool.h>

#include "base/err.h"
#include "conf/settings.h"
#include "store/db.h"
#include "web/request.h"

/* Whom the request comes from, as far as the mode asks. */
struct access {
	enum events_auth mode;
	const char *subject; /* borrowed from the request; NULL: anybody */
};

/*
 * Authenticates. ERR_AUTH with *why, a sentence, when the mode wants a subject
 * and the request has none.
 */
CHECK_RESULT enum err access_identify(enum events_auth mode,
    const struct request *r, struct access *ret, const char **why);

/* May it read this job? In the mode job-id, knowing the id is the permission.
 * ERR_AUTH when not; ERR_GONE without a database (NULL); else as
 * jobs_owns(). */
CHECK_RESULT enum err access_check_job(
    const struct access *a, struct db *db, const char *job_id);

#endif
