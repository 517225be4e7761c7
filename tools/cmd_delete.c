/* SPDX-License-Identifier: ISC */
/*
 * jobwire delete: removes a job and its events.
 */
#include <inttypes.h>
#include <stdio.h>

#include "command.h"
#include "job/name.h"

static int
run(const struct command_line *c)
{
	const char *job_id = c->args[0];
	const struct intent_deletion deletion = {job_id};
	struct intent_result result;
	struct db *db = NULL;
	enum err e;

	if (!job_id_ok(span_of(job_id)))
		return command_misuse("delete", "not a job id");
	db = command_open(c, DB_WRITE);
	if (db == NULL)
		return EXIT_FAILED;
	e = command_write(db, INTENT_DELETION, &deletion, &result);
	if (e == OK && result.seq > 0)
		(void)puts(
		    c->settings->json ? "{\"pending\":true}" : "pending");
	else if (e == OK)
		(void)printf(c->settings->json
				 ? "{\"job_id\":\"%s\",\"events\":%" PRId64
				   "}\n"
				 : "%s removed with %" PRId64 " events\n",
		    job_id, result.n_events);
	else if (e == ERR_EXISTS)
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
