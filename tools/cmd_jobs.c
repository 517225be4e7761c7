/* SPDX-License-Identifier: ISC */
/*
 * jobwire jobs: lists jobs.
 */
#include "base/buf.h"
#include "base/near.h"
#include "command.h"
#include "job/state.h"
#include "list.h"
#include "output.h"
#include "store/jobs.h"

static struct values {
	char *state;
	int64_t limit;
	bool silent;
} values;

static const struct opt_def flags[] = {
    {COMMAND_FLAG(struct values, state), .metavar = "STATE",
	.help = "only jobs in this state"},
    {COMMAND_FLAG(struct values, limit), .type = OPT_INT, .fallback = "1000",
	.min = 1, .max = 1000000, .help = "how many jobs"},
    {COMMAND_FLAG(struct values, silent), .type = OPT_FLAG,
	.help = "those that have not ended, the longest silence first"},
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

static void
list_job(void *arg, const struct job *j)
{
	struct list *l = arg;
	struct buf out = BUF_INIT;

	if (l->as_json) {
		output_add_job(&out, j);
		buf_add_char(&out, '}');
		list_print_json(&out);
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

static enum err
read_rows(struct db *db, struct list *l)
{
	enum job_state state =
	    values.state != NULL ? job_state_of(values.state) : JOB_NO_STATE;

	if (values.silent)
		return jobs_list_silent(db, (int)values.limit, list_job, l);
	return jobs_list(db, state, (int)values.limit, list_job, l);
}

static int
run(const struct command_line *c)
{
	static const char *const headings[] = {
	    "CHANGED", "STATE", "JOB", "PROGRESS", "OWNER", "ERROR"};

	if (values.state != NULL && job_state_of(values.state) == JOB_NO_STATE)
		return refuse_state(values.state);
	if (values.state != NULL && values.silent)
		return command_misuse("jobs", "--state or --silent, not both");
	return list_rows(c, "jobs", headings,
	    sizeof(headings) / sizeof(*headings), read_rows);
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
