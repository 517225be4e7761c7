/* SPDX-License-Identifier: ISC */
/*
 * jobwire restore: puts a copy in the database's place.
 */
#include <inttypes.h>
#include <stdio.h>

#include "command.h"
#include "io/holders.h"
#include "store/backup.h"

static struct values {
	bool keep_epoch;
} values;

static const struct opt_def flags[] = {
    {COMMAND_FLAG(struct values, keep_epoch), .type = OPT_FLAG,
	.help = "for a move: nothing happened since the copy was made"},
    {.name = NULL},
};

static int
refuse_while_used(const struct command_line *c)
{
	struct buf who = BUF_INIT;
	int status = EXIT_DONE;

	if (holders_find(c->settings->db, &who)) {
		buf_addf(&who, " has %s open; stop all programs first",
		    c->settings->db);
		status = command_fail("restore", buf_span(&who).p);
	}
	buf_done(&who);
	return status;
}

static int
run(const struct command_line *c)
{
	const struct restore r = {.src = c->args[0],
	    .db_path = c->settings->db,
	    .keeps_epoch = values.keep_epoch};
	struct db_fault fault = {0};
	struct backup b;
	int status = refuse_while_used(c);
	enum err e;

	if (status != EXIT_DONE)
		return status;
	command_hold_signals();
	e = backup_restore(&r, &b, &fault);
	if (e != OK)
		status = command_fail("restore",
		    fault.text[0] != '\0' ? fault.text : err_text(e));
	else if (c->settings->json)
		(void)printf("{\"epoch\":\"%s\",\"last_id\":%" PRId64
			     ",\"bytes\":%" PRId64 "}\n",
		    b.epoch, b.last_id, b.bytes);
	else
		(void)printf("%s: %" PRId64
			     " bytes, epoch %s, last event %" PRId64 "\n",
		    r.db_path, b.bytes, b.epoch, b.last_id);
	command_release_signals();
	return status;
}

const struct command command_restore = {
    .name = "restore",
    .arguments = "SRC",
    .min = 1,
    .max = 1,
    .run = run,
    .summary = "put a copy in the database's place",
    .more = "All programs must be stopped. What is there is replaced. Clients "
	    "are told to begin\nanew, and runs that were not submitted are "
	    "not sent again by themselves.\n",
    .flags = flags,
    .values = &values,
};
