/* SPDX-License-Identifier: ISC */
/*
 * jobwire runs: lists runs.
 */
#include <inttypes.h>
#include <stdio.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/near.h"
#include "command.h"
#include "job/run.h"
#include "output.h"
#include "store/runs.h"
#include "table.h"

static struct values {
	char *state;
	int64_t limit;
} values;

static const struct opt_def flags[] = {
    {COMMAND_FLAG(struct values, state), .metavar = "STATE",
	.help = "only runs in this state"},
    {COMMAND_FLAG(struct values, limit), .type = OPT_INT, .fallback = "1000",
	.min = 1, .max = 1000000, .help = "how many runs"},
    {.name = NULL},
};

struct list {
	bool as_json;
	struct table table;
};

static void
add_number(struct table *t, int64_t n)
{
	char text[24];

	(void)snprintf(text, sizeof(text), "%" PRId64, n);
	table_add(t, span_of(text));
}

static void
list_run(void *arg, const struct run *r)
{
	struct list *l = arg;
	struct buf out = BUF_INIT;
	char created[CLOCK_RFC3339_SIZE];

	if (l->as_json) {
		output_add_run(&out, r);
		buf_add_char(&out, '\n');
		table_escape(&out);
		if (buf_ok(&out))
			(void)fwrite(out.data, 1, out.len, stdout);
		buf_done(&out);
		return;
	}
	clock_rfc3339(r->created_at, created);
	add_number(&l->table, r->run_id);
	table_add(&l->table, span_of(created));
	table_add(&l->table, span_of(run_state_name(r->state)));
	table_add(&l->table, span_of(r->job_id));
	table_add(&l->table, span_of(r->action));
	add_number(&l->table, r->attempts);
	table_add(&l->table, span_of(r->external_id));
	table_add(&l->table, span_of(r->error));
}

static int
refuse_state(const char *text)
{
	struct near near = {.text = text};

	for (enum run_state i = RUN_WAITING; i < RUN_STATES; i++)
		near_offer(&near, run_state_name(i));
	return command_misuse_near("runs: no such state", &near);
}

static int
run(const struct command_line *c)
{
	static const char *const heading[] = {"RUN", "CREATED", "STATE", "JOB",
	    "ACTION", "ATTEMPTS", "EXTERNAL ID", "ERROR"};
	struct list l = {c->settings->json,
	    {.n_columns = sizeof(heading) / sizeof(*heading)}};
	enum run_state state =
	    values.state != NULL ? run_state_of(values.state) : RUN_NO_STATE;
	struct db *db;
	enum err e;

	if (values.state != NULL && state == RUN_NO_STATE)
		return refuse_state(values.state);
	db = command_open(c, DB_READ);
	if (db == NULL)
		return EXIT_FAILED;
	for (int i = 0; i < l.table.n_columns; i++)
		table_add(&l.table, span_of(heading[i]));
	e = runs_list(db, state, (int)values.limit, list_run, &l);
	if (!table_print(&l.table) && e == OK)
		e = ERR_NOMEM;
	if (e != OK)
		(void)command_fail_db("runs", db, e);
	db_close(&db);
	return e == OK ? EXIT_DONE : EXIT_FAILED;
}

const struct command command_runs = {
    .name = "runs",
    .arguments = "",
    .run = run,
    .summary = "list runs, the newest first",
    .more = "Its number, when it was started, state, job, action, how often it "
	    "was\nsent, the service's id and the error: aligned on a terminal, "
	    "else\nseparated by tabs.\n",
    .flags = flags,
    .values = &values,
};
