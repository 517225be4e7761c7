/* SPDX-License-Identifier: ISC */
/*
 * jobwire show: prints all about a job, and its last events.
 */
#include <inttypes.h>
#include <stdio.h>

#include "base/buf.h"
#include "command.h"
#include "job/name.h"
#include "job/state.h"
#include "output.h"
#include "store/events.h"
#include "store/jobs.h"
#include "table.h"

enum { EVENTS_SHOWN = 10 };

/* A job as it is shown. */
struct view {
	const struct command_line *c;
	const struct db *db;
	struct job job;
	int64_t n_events;  /* stored */
	struct buf events; /* the last of them */
};

static bool
take_event(void *arg, const struct event_row *row)
{
	struct view *v = arg;

	if (v->c->settings->json && v->events.len > 0)
		buf_add_char(&v->events, ',');
	output_add_event(&v->events, v->c, v->db, row);
	return true;
}

static enum err
read_view(struct db *db, const char *job_id, struct view *v)
{
	int64_t after = 0;
	enum err e = db_begin_read(db); /* one moment for all of it */

	if (e == OK)
		e = jobs_get_whole(db, job_id, &v->job);
	if (e == OK)
		e = jobs_count_events(db, job_id, &v->n_events);
	if (e == OK)
		e = events_before_last(db, job_id, EVENTS_SHOWN, &after);
	if (e == OK)
		e = events_read_jobs(
		    db, &job_id, 1, after, EVENTS_SHOWN, take_event, v);
	db_rollback(db);
	return e == OK && !buf_ok(&v->events) ? ERR_NOMEM : e;
}

/* The output whole where an event would hold it, too. */
static void
add_view_json(struct buf *out, const struct view *v)
{
	const struct job *j = &v->job;
	struct span output = span_of(j->output);
	bool is_small = output.n <= (size_t)v->c->settings->inline_output;

	output_add_job(out, j);
	output_add_text(out, "created_at", j->created_at);
	output_add_text(out, "external_id", j->external_id);
	output_add_text(out, "restore_id", j->restore_id);
	output_add_json(out, "output", is_small ? j->output : NULL);
	buf_addf(out,
	    ",\"output_bytes\":%zu,\"events\":%" PRId64 ",\"last_events\":[",
	    output.n, v->n_events);
	buf_add_span(out, buf_span(&v->events));
	buf_add_str(out, "]}\n");
}

static void
add_line(struct buf *out, const char *name, struct span text)
{
	buf_addf(out, "%s\t", name);
	table_add_clean(out, text);
	buf_add_char(out, '\n');
}

static void
add_value_line(struct buf *out, const char *name, const char *json)
{
	struct buf value = BUF_INIT;

	output_add_value(&value, json);
	out->failed = out->failed || !buf_ok(&value);
	add_line(out, name, buf_span(&value));
	buf_done(&value);
}

static void
add_view_lines(struct buf *out, const struct view *v)
{
	const struct job *j = &v->job;
	struct span output = span_of(j->output);

	add_line(out, "job", span_of(j->job_id));
	add_line(out, "state", span_of(job_state_name(j->state)));
	add_line(out, "created", span_of(j->created_at));
	add_line(out, "changed", span_of(j->updated_at));
	add_line(out, "owner", span_of(j->owner));
	add_line(out, "external id", span_of(j->external_id));
	add_line(out, "restore id", span_of(j->restore_id));
	add_value_line(out, "progress", j->progress);
	add_value_line(out, "error", j->error);
	buf_addf(out, "output bytes\t%zu\n", output.n);
	if (output.n > (size_t)v->c->settings->inline_output)
		add_line(out, "output", span_of("(larger than inline_output)"));
	else
		add_value_line(out, "output", j->output);
	buf_addf(out, "events\t%" PRId64 "\n", v->n_events);
	buf_add_span(out, buf_span(&v->events));
}

static int
run(const struct command_line *c)
{
	struct db *db = NULL;
	struct buf out = BUF_INIT;
	struct view v = {.c = c};
	enum err e;

	if (!job_id_ok(span_of(c->args[0])))
		return command_misuse("show", "not a job id");
	db = command_open(c, DB_READ);
	if (db == NULL)
		return EXIT_FAILED;
	v.db = db;
	e = read_view(db, c->args[0], &v);
	if (e == OK && c->settings->json) {
		add_view_json(&out, &v);
		table_escape(&out);
	} else if (e == OK) {
		add_view_lines(&out, &v);
	}
	if (e == OK && !buf_ok(&out))
		e = ERR_NOMEM;
	if (e == OK)
		(void)fwrite(out.data, 1, out.len, stdout);
	else if (e == ERR_NOENT)
		(void)command_fail("no such job", c->args[0]);
	else
		(void)command_fail_db("show", db, e);
	buf_done(&out);
	buf_done(&v.events);
	job_done(&v.job);
	db_close(&db);
	return e == OK ? EXIT_DONE : EXIT_FAILED;
}

const struct command command_show = {
    .name = "show",
    .arguments = "JOB",
    .min = 1,
    .max = 1,
    .run = run,
    .summary = "print all about a job, and its last 10 events",
};
