/* SPDX-License-Identifier: ISC */
/*
 * jobwire backup: a whole copy of the database, while it is in use.
 */
#include <inttypes.h>
#include <stdio.h>

#include "command.h"
#include "store/backup.h"
#include "text/json_text.h"

static void
say(const struct command_line *c, const struct backup *b)
{
	struct buf out = BUF_INIT;

	if (c->settings->json) {
		buf_add_str(&out, "{\"copy\":");
		json_text_add_quoted(&out, span_of(c->args[0]));
		buf_addf(&out,
		    ",\"epoch\":\"%s\",\"last_id\":%" PRId64
		    ",\"bytes\":%" PRId64 "}\n",
		    b->epoch, b->last_id, b->bytes);
	} else {
		buf_addf(&out,
		    "%s: %" PRId64 " bytes, epoch %s, last event %" PRId64 "\n",
		    c->args[0], b->bytes, b->epoch, b->last_id);
	}
	(void)fputs(buf_span(&out).p, stdout);
	buf_done(&out);
}

static int
run(const struct command_line *c)
{
	struct db *db = command_open(c, DB_AS_IS);
	struct backup b;
	int status = EXIT_FAILED;
	enum err e;

	if (db == NULL)
		return EXIT_FAILED;
	command_hold_signals();
	e = backup_make(db, c->args[0], &b);
	if (e == OK) {
		say(c, &b);
		status = EXIT_DONE;
	} else {
		(void)command_fail_db("backup", db, e);
	}
	db_close(&db);
	command_release_signals();
	return status;
}

const struct command command_backup = {
    .name = "backup",
    .arguments = "DEST",
    .min = 1,
    .max = 1,
    .run = run,
    .summary = "copy the database while it is in use",
    .more = "DEST must not exist. It is one file, checked and on the disk, or "
	    "nothing.\n",
};
