/* SPDX-License-Identifier: ISC */
/*
 * The commands that read: events as they come, and the list of jobs.
 */
#include <signal.h>
#include <stdio.h>

#include "base/buf.h"
#include "command.h"
#include "io/loop.h"
#include "io/watch.h"
#include "store/events.h"
#include "store/jobs.h"
#include "web/jtext.h"
#include "web/sse.h"

enum { ROWS_PER_READ = 256, JOBS_MAX = 1000 };

struct tail {
	const struct command_line *c;
	struct loop *loop;
	struct db *db;
	int64_t last_id;
	size_t rows; /* of the present read */
};

/* `created_at id job type data` with tabs, or the whole as JSON. */
static bool
print_row(void *arg, const struct event_row *row)
{
	struct tail *t = arg;
	char id[SSE_ID_SIZE];
	struct buf out = BUF_INIT, data = BUF_INIT;
	struct sse_event e = {db_epoch(t->db), row->id, row->type, row->job_id,
	    row->restore_id, row->status, row->data,
	    (size_t)t->c->settings->inline_output};
	enum err err = sse_add_data(&data, &e);
	bool is_whole;

	sse_id_format(e.epoch, row->id, id);
	if (err == ERR_NOMEM)
		out.failed = true;
	else if (err != OK)
		buf_add_str(&data, "null");
	if (t->c->settings->json) {
		buf_addf(&out, "{\"id\":\"%s\",\"event\":", id);
		jtext_add_quoted(&out, span_of(row->type));
		buf_add_str(&out, ",\"created_at\":");
		jtext_add_quoted(&out, span_of(row->created_at));
		buf_add_str(&out, ",\"data\":");
		buf_add_span(&out, buf_span(&data));
		buf_add_str(&out, "}\n");
	} else {
		buf_addf(&out, "%s\t%s\t%s\t%s\t%s\n", row->created_at, id,
		    row->job_id, row->type, buf_span(&data).p);
	}
	/* Without memory the row is read again. */
	is_whole = buf_ok(&out) && buf_ok(&data);
	if (is_whole) {
		(void)fwrite(out.data, 1, out.len, stdout);
		t->last_id = row->id;
		t->rows++;
	}
	buf_done(&out);
	buf_done(&data);
	return is_whole;
}

static bool
on_look(void *arg, bool is_base)
{
	struct tail *t = arg;
	bool found = false;
	enum err e;

	(void)is_base;
	if (!db_changed(t->db))
		return false;
	do {
		t->rows = 0;
		if (t->c->n == 0)
			e = events_read_all(
			    t->db, t->last_id, ROWS_PER_READ, print_row, t);
		else
			e = events_read_jobs(t->db,
			    (const char *const *)t->c->args, (size_t)t->c->n,
			    t->last_id, ROWS_PER_READ, print_row, t);
		found = found || t->rows > 0;
	} while (e == OK && t->rows == ROWS_PER_READ);
	if (fflush(stdout) != 0)
		loop_stop(t->loop);
	return found;
}

static void
on_signal(void *arg, int signal)
{
	struct tail *t = arg;

	(void)signal;
	loop_stop(t->loop);
}

/* With jobs named, their history first; else only what is new. */
int
command_tail(const struct command_line *c)
{
	static const int signals[] = {SIGINT, SIGTERM, 0};
	struct tail t = {.c = c};
	struct watch_config cfg = {c->settings->db,
	    c->settings->inotify == INOTIFY_AUTO, c->settings->poll, on_look,
	    NULL, &t};
	struct watch *watch = NULL;
	enum err e;

	for (int i = 0; i < c->n; i++)
		if (!sse_job_id_ok(span_of(c->args[i])))
			return command_misuse("tail", "not a job id");
	t.db = command_open(c, DB_READ);
	if (t.db == NULL)
		return EXIT_FAILED;
	e = c->n == 0 ? events_last_id(t.db, &t.last_id) : OK;
	if (e == OK)
		e = loop_new(&t.loop);
	if (e == OK)
		e = loop_signals(t.loop, signals, on_signal, &t);
	/* Whoever reads our output may be gone: head(1). */
	(void)signal(SIGPIPE, SIG_DFL);
	if (e == OK)
		e = watch_start(t.loop, &cfg, &watch);
	if (e == OK) {
		watch_hint(watch);
		e = loop_run(t.loop);
	}
	watch_stop(&watch);
	loop_free(&t.loop);
	db_close(&t.db);
	return e == OK ? EXIT_DONE : command_fail("tail", err_text(e));
}

static void
print_job(void *arg, const struct job *j)
{
	const bool *as_json = arg;
	struct buf out = BUF_INIT;

	if (*as_json) {
		buf_add_str(&out, "{\"job_id\":");
		jtext_add_quoted(&out, span_of(j->job_id));
		buf_add_str(&out, ",\"state\":");
		jtext_add_quoted(&out, span_of(j->state));
		buf_add_str(&out, ",\"updated_at\":");
		jtext_add_quoted(&out, span_of(j->updated_at));
		buf_add_str(&out, "}\n");
	} else {
		buf_addf(
		    &out, "%s\t%s\t%s\n", j->updated_at, j->state, j->job_id);
	}
	if (buf_ok(&out))
		(void)fwrite(out.data, 1, out.len, stdout);
	buf_done(&out);
}

int
command_jobs(const struct command_line *c)
{
	struct db *db;
	bool as_json = c->settings->json;
	enum err e;

	if (c->state != NULL && !sse_type_is_lifecycle(c->state))
		return command_misuse("jobs", "no such state");
	db = command_open(c, DB_READ);
	if (db == NULL)
		return EXIT_FAILED;
	e = jobs_list(db, c->state, JOBS_MAX, print_job, &as_json);
	db_close(&db);
	return e == OK ? EXIT_DONE : command_fail("jobs", err_text(e));
}
