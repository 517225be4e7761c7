/* SPDX-License-Identifier: ISC */
/*
 * jobwire init: makes the database, or brings an older one up to date.
 */
#include <stdio.h>

#include "command.h"

static int
run(const struct command_line *c)
{
	struct db *db = command_open(c, DB_CREATE);

	if (db == NULL)
		return EXIT_FAILED;
	if (c->settings->json)
		(void)printf("{\"epoch\":\"%s\"}\n", db_epoch(db));
	else
		(void)printf(
		    "%s is ready, epoch %s\n", db_path(db), db_epoch(db));
	db_close(&db);
	return EXIT_DONE;
}

const struct command command_init = {
    .name = "init",
    .arguments = "",
    .run = run,
    .summary = "make the database",
    .more = "Brings an older database up to date. Prints its epoch.\n",
};
