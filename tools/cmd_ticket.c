/* SPDX-License-Identifier: ISC */
/*
 * jobwire ticket: makes a ticket, which works once.
 */
#include <stdio.h>

#include "auth/ticket.h"
#include "base/buf.h"
#include "command.h"
#include "grant.h"

static struct grant_flags values;

static const struct opt_def flags[] = {
    GRANT_FLAGS,
    {.name = NULL},
};

static int
run(const struct command_line *c)
{
	struct buf ticket = BUF_INIT;
	struct grant g = {.jti = BUF_INIT};
	struct intent_result written;
	struct db *db = NULL;
	int status = grant_init(&values, "ticket", &g);
	enum err e;

	if (status == EXIT_DONE && (db = command_open(c, DB_WRITE)) == NULL)
		status = EXIT_FAILED;
	if (status != EXIT_DONE)
		goto out;
	e = db_begin(db);
	if (e == OK)
		e = ticket_make(
		    db, &g.claims, NULL, g.claims.iat_s, 0, &ticket, &written);
	e = command_end_written(db, e, &written);
	if (e != OK)
		status = command_fail("ticket", err_text(e));
	else
		(void)printf(c->settings->json
				 ? "{\"ticket\":\"%s\",\"expires_in\":30}\n"
				 : "%s\n",
		    ticket.data);
out:
	db_close(&db);
	grant_done(&g);
	buf_done(&ticket);
	return status;
}

const struct command command_ticket = {
    .name = "ticket",
    .arguments = "",
    .run = run,
    .summary = "make a ticket: works once, for 30 seconds",
    .flags = flags,
    .values = &values,
};
