/* SPDX-License-Identifier: ISC */
/*
 * jobwire jobs: lists jobs.
 */
#include <stdio.h>

#include "base/buf.h"
#include "base/near.h"
#include "command.h"
#include "job/state.h"
#include "output.h"
#include "store/jobs.h"
#include "table.h"

static struct values {
	char *state;
	int64_t limit;
} values;

static const struct opt_def flags[] = {
    {COMMAND_FLAG(struct values, state), .metavar = "STATE",
	.help = "only jobs in this state"},
    {COMMAND_FLAG(struct values, limit), .type = OPT_INT, .fallback = "1000",
	.min = 1, .max = 1000000, .help = "how many jobs"},
    {.name = NULL},
};

static void
add_cell(struct table *t, const char *json)
{
	struct buf value = BUF_INIT;

	output_add_value(&value, json);
	t->cells.failed = t->cells.failed || !buf_ok(&value);
	table_add(t, buf_span(&value));
	buf_done(&value);
}

struct list {
	bool as_json;
	struct table table;
};

static void
list_job(void *arg, const struct job *j)
{
	struct list *l = arg;
	struct buf out = BUF_INIT;

	if (l->as_json) {
		output_add_job(&out, j);
		buf_add_str(&out, "}\n");
		table_escape(&out);
		if (buf_ok(&out))
			(void)fwrite(out.data, 1, out.len, stdout);
		buf_done(&out);
		return;
	}
	table_add(&l->table, span_of(j->updated_at));
	table_add(&l->table, span_of(job_state_name(j->state)));
	table_add(&l->table, span_of(j->job_id));
	add_cell(&l->table, j->progress);
	table_add(&l->table, span_of(j->owner));
	add_cell(&l->table, j->error);
}

static int
refuse_state(const char *text)
{
	struct near near = {.text = text};

	for (enum job_state i = JOB_QUEUED; i < JOB_STATES; i++)
		near_offer(&near, job_state_name(i));
	return command_misuse_near("jobs: no such state", &near);
}

static int
run(const struct command_line *c)
{
	static const char *const heading[] = {
	    "CHANGED", "STATE", "JOB", "PROGRESS", "OWNER", "ERROR"};
	struct list l = {c->settings->json,
	    {.n_columns = sizeof(heading) / sizeof(*heading)}};
	enum job_state state =
	    values.state != NULL ? job_state_of(values.state) : JOB_NO_STATE;
	struct db *db;
	enum err e;

	if (values.state != NULL && state == JOB_NO_STATE)
		return refuse_state(values.state);
	db = command_open(c, DB_READ);
	if (db == NULL)
		return EXIT_FAILED;
	for (int i = 0; i < l.table.n_columns; i++)
		table_add(&l.table, span_of(heading[i]));
	e = jobs_list(db, state, (int)values.limit, list_job, &l);
	if (!table_print(&l.table) && e == OK)
		e = ERR_NOMEM;
	if (e != OK)
		(void)command_fail_db("jobs", db, e);
	db_close(&db);
	return e == OK ? EXIT_DONE : EXIT_FAILED;
}

const struct command command_jobs = {
    .name = "jobs",
    .arguments = "",
    .run = run,
    .summary = "list jobs, the latest change first",
    .more =
	"Time of the change, state, job, progress, owner and error: aligned\n"
	"on a terminal, else separated by tabs.\n",
    .flags = flags,
    .values = &values,
};
