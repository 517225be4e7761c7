/* SPDX-License-Identifier: ISC */
/*
 * jobwire tail: prints events as they come. Blocks in the loop.
 */
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "command.h"
#include "io/loop.h"
#include "io/watch.h"
#include "job/name.h"
#include "output.h"
#include "store/events.h"
#include "table.h"

enum { ROWS_PER_READ = 256, BUSY_MS = 1000 };

struct tail {
	const struct command_line *c;
	struct loop *loop;
	struct db *db;
	char epoch[DB_EPOCH_SIZE];
	int64_t last_id;
	size_t rows;	 /* of the present read */
	bool is_short;	 /* for want of memory it ended early */
	bool is_failing; /* the last read failed: what it missed is unread */
};

/* Without memory the row is read again, with the next look. */
static bool
print_row(void *arg, const struct event_row *row)
{
	struct tail *t = arg;
	struct buf out = BUF_INIT;
	bool is_whole;

	output_add_event(&out, t->c, t->db, row);
	if (t->c->settings->json) {
		table_escape(&out);
		buf_add_char(&out, '\n');
	}
	is_whole = buf_ok(&out);
	if (is_whole) {
		(void)fwrite(out.data, 1, out.len, stdout);
		t->last_id = row->id;
		t->rows++;
	}
	t->is_short = !is_whole;
	buf_done(&out);
	return is_whole;
}

static enum err
read_rows(struct tail *t)
{
	enum err e;

	t->rows = 0;
	t->is_short = false;
	if (t->c->n == 0)
		e = events_read_all(
		    t->db, t->last_id, ROWS_PER_READ, print_row, t);
	else
		e = events_read_jobs(t->db, (const char *const *)t->c->args,
		    (size_t)t->c->n, t->last_id, ROWS_PER_READ, print_row, t);
	return e == OK && t->is_short ? ERR_NOMEM : e;
}

/* Says the beginning of trouble, not every failed attempt. */
static void
note(struct tail *t, enum err e, const char *why)
{
	if (e != OK && e != ERR_BUSY && !t->is_failing)
		(void)command_fail("tail", why[0] != '\0' ? why : err_text(e));
	t->is_failing = e != OK;
}

/* The file under our path is not the one we read. Of another database all
 * events are new; one with our epoch goes on where we are. */
static bool
reopen(struct tail *t)
{
	struct db_fault fault = {0};
	enum err e;

	db_close(&t->db);
	e = db_open(t->c->settings->db, DB_READ, BUSY_MS, &t->db, &fault);
	note(t, e, fault.text);
	if (e != OK)
		return false;
	(void)fprintf(stderr,
	    "jobwire: tail: the database was replaced, "
	    "epoch %s is read now\n",
	    db_epoch(t->db));
	if (strcmp(t->epoch, db_epoch(t->db)) != 0)
		t->last_id = 0;
	(void)snprintf(t->epoch, sizeof(t->epoch), "%s", db_epoch(t->db));
	return true;
}

static bool
on_look(void *arg, bool is_base)
{
	struct tail *t = arg;
	bool found = false;
	enum err e;

	if (t->db == NULL || (is_base && db_has_moved(t->db)))
		if (!reopen(t))
			return false;
	if (!db_changed(t->db) && !t->is_failing)
		return false;
	do {
		e = read_rows(t);
		found = found || t->rows > 0;
	} while (e == OK && t->rows == ROWS_PER_READ);
	note(t, e, e == OK ? "" : db_last_fault(t->db)->text);
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
static int
run(const struct command_line *c)
{
	static const int signals[] = {SIGINT, SIGTERM, 0};
	struct tail t = {.c = c};
	struct watch_config cfg = {c->settings->db,
	    c->settings->inotify == INOTIFY_AUTO ? WATCH_FOLDER : WATCH_NOTHING,
	    c->settings->poll, on_look, NULL, &t};
	struct watch *watch = NULL;
	enum err e;

	for (int i = 0; i < c->n; i++)
		if (!job_id_ok(span_of(c->args[i])))
			return command_misuse("tail", "not a job id");
	t.db = command_open(c, DB_READ);
	if (t.db == NULL)
		return EXIT_FAILED;
	(void)snprintf(t.epoch, sizeof(t.epoch), "%s", db_epoch(t.db));
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

const struct command command_tail = {
    .name = "tail",
    .arguments = "[JOB...]",
    .max = JOB_IDS_MAX,
    .run = run,
    .summary = "print events as they come",
    .more = "With jobs, at most 64: their stored events first.\n",
};
