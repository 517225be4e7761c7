/* SPDX-License-Identifier: ISC */
/*
 * The commands about jobs as a whole: the list of them, all about one, and its
 * removal.
 */
#include <inttypes.h>
#include <stdio.h>

#include "base/buf.h"
#include "base/near.h"
#include "command.h"
#include "job/name.h"
#include "job/state.h"
#include "store/events.h"
#include "store/jobs.h"
#include "table.h"
#include "text/json_text.h"
#include "web/sse.h"

enum { EVENTS_SHOWN = 10 };

/* A JSON value for people: a string without its quotes. NULL: nothing. */
static void
add_value(struct buf *out, const char *json)
{
	if (json == NULL)
		return;
	if (json_text_kind(span_of(json)) == JSON_TEXT_STRING)
		json_text_add_string_value(out, span_of(json));
	else
		json_text_add_line(out, span_of(json));
}

static void
add_cell(struct table *t, const char *json)
{
	struct buf value = BUF_INIT;

	add_value(&value, json);
	t->cells.failed = t->cells.failed || !buf_ok(&value);
	table_add(t, buf_span(&value));
	buf_done(&value);
}

/* `,"name":` and a string, or null. */
static void
add_text(struct buf *out, const char *name, const char *text)
{
	buf_addf(out, ",\"%s\":", name);
	if (text != NULL)
		json_text_add_quoted(out, span_of(text));
	else
		buf_add_str(out, "null");
}

/* The same with what is JSON already. */
static void
add_json(struct buf *out, const char *name, const char *json)
{
	buf_addf(out, ",\"%s\":", name);
	if (json != NULL)
		json_text_add_line(out, span_of(json));
	else
		buf_add_str(out, "null");
}

/* What the list and a single job have in common; the object stays open. */
static void
add_job(struct buf *out, const struct job *j)
{
	buf_add_str(out, "{\"job_id\":");
	json_text_add_quoted(out, span_of(j->job_id));
	add_text(out, "state", job_state_name(j->state));
	add_text(out, "updated_at", j->updated_at);
	add_json(out, "progress", j->progress);
	add_text(out, "owner", j->owner);
	add_json(out, "error", j->error);
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
		add_job(&out, j);
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

int
command_jobs(const struct command_line *c)
{
	static const char *const heading[] = {
	    "CHANGED", "STATE", "JOB", "PROGRESS", "OWNER", "ERROR"};
	struct list l = {c->settings->json,
	    {.n_columns = sizeof(heading) / sizeof(*heading)}};
	enum job_state state =
	    c->state != NULL ? job_state_of(c->state) : JOB_NO_STATE;
	struct db *db;
	enum err e;

	if (c->state != NULL && state == JOB_NO_STATE)
		return refuse_state(c->state);
	db = command_open(c, DB_READ);
	if (db == NULL)
		return EXIT_FAILED;
	for (int i = 0; i < l.table.n_columns; i++)
		table_add(&l.table, span_of(heading[i]));
	e = jobs_list(db, state, (int)c->limit, list_job, &l);
	if (!table_print(&l.table) && e == OK)
		e = ERR_NOMEM;
	if (e != OK)
		(void)command_fail_db("jobs", db, e);
	db_close(&db);
	return e == OK ? EXIT_DONE : EXIT_FAILED;
}

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
	command_add_event(&v->events, v->c, v->db, row);
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

	add_job(out, j);
	add_text(out, "created_at", j->created_at);
	add_text(out, "external_id", j->external_id);
	add_text(out, "restore_id", j->restore_id);
	add_json(out, "output", is_small ? j->output : NULL);
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

	add_value(&value, json);
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

int
command_show(const struct command_line *c)
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

int
command_delete(const struct command_line *c)
{
	const char *job_id = c->args[0];
	struct db *db = NULL;
	int64_t n_events = 0;
	enum err e;

	if (!job_id_ok(span_of(job_id)))
		return command_misuse("delete", "not a job id");
	db = command_open(c, DB_WRITE);
	if (db == NULL)
		return EXIT_FAILED;
	e = db_begin(db);
	if (e == OK)
		e = jobs_count_events(db, job_id, &n_events);
	if (e == OK)
		e = jobs_delete(db, job_id);
	if (e == OK)
		e = db_commit(db);
	else
		db_rollback(db);
	if (e == OK)
		(void)printf(c->settings->json
				 ? "{\"job_id\":\"%s\",\"events\":%" PRId64
				   "}\n"
				 : "%s removed with %" PRId64 " events\n",
		    job_id, n_events);
	else if (e == ERR_NOENT)
		(void)command_fail("no such job", job_id);
	else
		(void)command_fail_db("delete", db, e);
	db_close(&db);
	return e == OK ? EXIT_DONE : EXIT_FAILED;
}
