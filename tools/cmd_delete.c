/* SPDX-License-Identifier: ISC */
/*
 * jobwire delete: removes a job and its events.
 */
#include <inttypes.h>
#include <stdio.h>

#include "command.h"
#include "job/name.h"
#include "store/jobs.h"

static int
run(const struct command_line *c)
{
	const char *job_id = c->args[0];
	struct db *db = NULL;
	int64_t n_events = 0;
	enum err e;

	if (!job_id_ok(span_of(job_id)))
		return command_misuse("delete", "not a job id");
	db = command_open(c, DB_WRITE);
	if (db == NULL)
		return EXIT_FAILED;
	e = db_begin(db);
	if (e == OK)
		e = jobs_count_events(db, job_id, &n_events);
	if (e == OK)
		e = jobs_delete(db, job_id);
	e = db_end(db, e);
	if (e == OK)
		(void)printf(c->settings->json
				 ? "{\"job_id\":\"%s\",\"events\":%" PRId64
				   "}\n"
				 : "%s removed with %" PRId64 " events\n",
		    job_id, n_events);
	else if (e == ERR_NOENT)
		(void)command_fail("no such job", job_id);
	else
		(void)command_fail_db("delete", db, e);
	db_close(&db);
	return e == OK ? EXIT_DONE : EXIT_FAILED;
}

const struct command command_delete = {
    .name = "delete",
    .arguments = "JOB",
    .min = 1,
    .max = 1,
    .run = run,
    .summary = "remove a job and its events",
    .more = "Without asking back.\n",
};
