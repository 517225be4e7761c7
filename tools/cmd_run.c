/* SPDX-License-Identifier: ISC */
/*
 * jobwire run: shows a run, cancels it, or has it sent once more.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/near.h"
#include "command.h"
#include "intent/intent.h"
#include "output.h"
#include "table.h"
#include "text/decimal.h"
#include "text/json_text.h"

static int
fail_run(const struct db *db, enum err e, const char *run)
{
	if (e == ERR_NOENT)
		return command_fail("no such run", run);
	return command_fail_db("run", db, e);
}

/* --- Show ----------------------------------------------------------------- */

/* A line for each member, as `jobwire show` has them. */
static void
add_lines(struct buf *out, const struct run *r)
{
	struct buf json = BUF_INIT, text = BUF_INIT;
	struct json_text_iter it = {0};
	struct span key, value;

	output_add_run(&json, r);
	it.rest = buf_span(&json);
	while (json_text_next(&it, &key, &value)) {
		buf_reset(&text);
		if (json_text_kind(value) == JSON_TEXT_STRING)
			json_text_add_string_value(&text, value);
		else if (json_text_kind(value) != JSON_TEXT_NULL)
			buf_add_span(&text, value);
		if (text.len == 0)
			continue;
		buf_add_span(out, key);
		buf_add_char(out, '\t');
		table_add_clean(out, buf_span(&text));
		buf_add_char(out, '\n');
	}
	out->failed = out->failed || !buf_ok(&json) || !buf_ok(&text);
	buf_done(&json);
	buf_done(&text);
}

static int
show(const struct command_line *c, struct db *db, int64_t run_id)
{
	struct buf out = BUF_INIT;
	struct run r = {0};
	enum err e = runs_get(db, run_id, &r);

	if (e != OK)
		return fail_run(db, e, c->args[1]);
	if (c->settings->json) {
		output_add_run(&out, &r);
		buf_add_char(&out, '\n');
		table_escape(&out);
	} else {
		add_lines(&out, &r);
	}
	if (buf_ok(&out))
		(void)fwrite(out.data, 1, out.len, stdout);
	else
		e = ERR_NOMEM;
	buf_done(&out);
	run_done(&r);
	return e == OK ? EXIT_DONE : command_fail("run", err_text(e));
}

/* --- Cancel and retry ----------------------------------------------------- */

static int
tell(const struct command_line *c, int64_t run_id, const char *status)
{
	(void)printf(c->settings->json ? "{\"run_id\":%" PRId64
					 ",\"status\":\"%s\"}\n"
				       : "%" PRId64 " %s\n",
	    run_id, status);
	return EXIT_DONE;
}

/* Of a run that has ended, another one of its job may be open. */
static int
cancel(const struct command_line *c, struct db *db, int64_t run_id)
{
	struct intent_cancel what = {0};
	struct intent_result result = {0};
	struct run r = {0};
	enum err e = db_begin(db);

	if (e == OK)
		e = runs_get(db, run_id, &r);
	if (e == OK && r.state == RUN_ENDED) {
		db_rollback(db);
		run_done(&r);
		return command_fail("run: it has ended", c->args[1]);
	}
	what.job_id = r.job_id;
	if (e == OK)
		e = intent_write(db, INTENT_CANCEL, &what, &result);
	run_done(&r);
	e = command_end_written(db, e, &result);
	if (e != OK)
		return fail_run(db, e, c->args[1]);
	return tell(c, run_id, result.is_over ? "cancelled" : "cancelling");
}

/* Of a node that is gone for good. */
static int
take(const struct command_line *c, struct db *db, int64_t run_id)
{
	struct intent_take what = {.node_id = db_node_id(db)};
	struct intent_result result = {0};
	struct run r = {0};
	enum err e = db_begin(db);

	if (e == OK)
		e = runs_get(db, run_id, &r);
	if (e == OK && (r.state == RUN_ENDED || run_is_ours(db, &r))) {
		db_rollback(db);
		run_done(&r);
		return command_fail(
		    "run: only one of another node, that has not ended, can be "
		    "taken",
		    c->args[1]);
	}
	what.run = runs_ref(&r);
	if (e == OK)
		e = intent_write(db, INTENT_TAKE, &what, &result);
	run_done(&r);
	e = command_end_written(db, e, &result);
	return e == OK ? tell(c, run_id, result.seq > 0 ? "pending" : "taken")
		       : fail_run(db, e, c->args[1]);
}

static int
retry(const struct command_line *c, struct db *db, int64_t run_id)
{
	enum err e = db_begin(db);

	if (e == OK)
		e = runs_retry(db, run_id);
	if (e == ERR_PROTO) {
		db_rollback(db);
		return command_fail(
		    "run: only one that is unknown, and that nobody has "
		    "cancelled, is sent again",
		    c->args[1]);
	}
	e = command_end(db, e);
	return e == OK ? tell(c, run_id, "waiting")
		       : fail_run(db, e, c->args[1]);
}

static const struct {
	const char *name;
	enum db_mode mode;
	int (*run)(const struct command_line *c, struct db *db, int64_t run_id);
} verbs[] = {
    {"show", DB_READ, show},
    {"cancel", DB_WRITE, cancel},
    {"retry", DB_WRITE, retry},
    {"take", DB_WRITE, take},
};

static int
run(const struct command_line *c)
{
	struct near near = {.text = c->args[0]};
	struct db *db;
	int64_t run_id;
	int status;

	for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++) {
		if (strcmp(verbs[i].name, c->args[0]) != 0) {
			near_offer(&near, verbs[i].name);
			continue;
		}
		if (decimal_read(span_of(c->args[1]), &run_id) != OK ||
		    run_id < 1)
			return command_misuse(
			    "run: not the number of a run", c->args[1]);
		db = command_open(c, verbs[i].mode);
		if (db == NULL)
			return EXIT_FAILED;
		status = verbs[i].run(c, db, run_id);
		db_close(&db);
		return status;
	}
	return command_misuse_near(
	    "run: it can be shown, cancelled, retried, taken", &near);
}

const struct command command_run = {
    .name = "run",
    .arguments = "show|cancel|retry|take RUN",
    .min = 2,
    .max = 2,
    .run = run,
    .summary = "show a run, cancel it, send it once more, or take it",
    .more = "retry is for a run that is unknown: whether it arrived nobody "
	    "knows,\nand if it did, it is done and paid twice.\n"
	    "take is for the run of a cluster's node that is gone for good.\n",
};
