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
#include "list.h"
#include "output.h"
#include "store/runs.h"

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
		list_print_json(&out);
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

static enum err
read_rows(struct db *db, struct list *l)
{
	enum run_state state =
	    values.state != NULL ? run_state_of(values.state) : RUN_NO_STATE;

	return runs_list(db, state, (int)values.limit, list_run, l);
}

static int
run(const struct command_line *c)
{
	static const char *const headings[] = {"RUN", "CREATED", "STATE", "JOB",
	    "ACTION", "ATTEMPTS", "EXTERNAL ID", "ERROR"};

	if (values.state != NULL && run_state_of(values.state) == RUN_NO_STATE)
		return refuse_state(values.state);
	return list_rows(c, "runs", headings,
	    sizeof(headings) / sizeof(*headings), read_rows);
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
