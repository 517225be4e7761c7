/* SPDX-License-Identifier: ISC */
/*
 * jobwire top: what goes on, again and again, on a terminal. The numbers are
 * those of /metrics, asked of jobwire-events on its socket; where it does not
 * answer, those that the others have left beside the database (io/sheet.h), and
 * what nobody has counted is counted here. The jobs are read from the database.
 * screen.c lays it out. Blocks in the loop, and for 10 s at most while a
 * program does not answer.
 */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/container_of.h"
#include "command.h"
#include "exposition.h"
#include "fcgi_get.h"
#include "io/loop.h"
#include "io/sheet.h"
#include "output.h"
#include "screen.h"
#include "store/gauges.h"
#include "store/jobs.h"

enum { BYTES_MAX = 1 << 20, ONCE_JOBS = 20 };

static struct values {
	int64_t every;
	bool once;
} values;

static const struct opt_def flags[] = {
    {COMMAND_FLAG(struct values, every), .type = OPT_DURATION, .fallback = "2s",
	.min = 100, .max = 3600 * 1000, .help = "time between two looks"},
    {COMMAND_FLAG(struct values, once), .type = OPT_FLAG,
	.help = "print it once, and end"},
    {.name = NULL},
};

/* Who tells his numbers. */
enum { EVENTS, WEBHOOK, JANITOR, PARTS };

struct top {
	const struct command_line *c;
	struct settings events; /* as jobwire-events reads them */
	struct db *db;
	struct loop *loop; /* NULL: once */
	struct timer tick;
	struct exposition now, before; /* what the metrics said */
	struct screen screen;
	bool is_up[PARTS];
	int64_t now_ms;
};

/* --- What is read --------------------------------------------------------- */

/* As one address has it all, or in pieces. */
static void
read_text(struct top *t, struct buf *out)
{
	const char *socket = t->events.socket, *db_path = t->c->settings->db;
	int status = 0;

	t->is_up[EVENTS] =
	    socket != NULL &&
	    fcgi_get(socket, "/metrics", BYTES_MAX, &status, out) == OK &&
	    status == 200;
	if (t->is_up[EVENTS])
		return;
	buf_reset(out);
	t->is_up[WEBHOOK] =
	    sheet_read(db_path, SHEET_WEBHOOK, t->now_ms, out) == OK;
	t->is_up[JANITOR] =
	    sheet_read(db_path, SHEET_JANITOR, t->now_ms, out) == OK;
}

static void
read_metrics(struct top *t)
{
	struct exposition e = {.at_us = clock_mono_us()};

	exposition_done(&t->before);
	t->before = t->now;
	read_text(t, &e.text);
	if (t->is_up[EVENTS]) {
		t->is_up[WEBHOOK] =
		    exposition_value(&e, "jobwire_up{part=\"webhook\"}") > 0;
		t->is_up[JANITOR] =
		    exposition_value(&e, "jobwire_up{part=\"janitor\"}") > 0;
	}
	/* What is missing all the same is shown as such. */
	if (!t->is_up[JANITOR])
		(void)!gauges_add(&e.text, t->db, 0);
	t->now = e;
}

/* --- What is shown -------------------------------------------------------- */

static void
show_parts(struct top *t)
{
	static const char *const parts[] = {
	    [EVENTS] = "events", [WEBHOOK] = "webhook", [JANITOR] = "janitor"};

	screen_line(&t->screen, "parts");
	for (size_t i = 0; i < PARTS; i++)
		screen_item(&t->screen, !t->is_up[i], "%s %s", parts[i],
		    t->is_up[i] ? "ok" : "away");
	if (exposition_value(&t->now, "jobwire_commit_failing") > 0 ||
	    exposition_value(&t->now, "jobwire_database_failing") > 0)
		screen_item(&t->screen, true, "the database fails");
}

/* The age of what began at that second. */
static void
add_age(struct buf *out, const struct top *t, double at_s)
{
	if (at_s > 0) {
		buf_add_char(out, ' ');
		screen_add_duration(out, (double)t->now_ms / 1000 - at_s);
	}
}

static void
show_jobs(struct top *t)
{
	struct buf name = BUF_INIT, age = BUF_INIT;

	screen_line(&t->screen, "jobs");
	for (enum job_state i = JOB_QUEUED; i < JOB_STATES; i++) {
		const char *state = job_state_name(i);

		buf_reset(&name);
		buf_reset(&age);
		buf_addf(&name,
		    "jobwire_job_oldest_timestamp_seconds{state=\"%s\"}",
		    state);
		add_age(&age, t, exposition_value(&t->now, buf_span(&name).p));
		buf_reset(&name);
		buf_addf(&name, "jobwire_jobs{state=\"%s\"}", state);
		screen_number(&t->screen,
		    exposition_value(&t->now, buf_span(&name).p), "%s%s", state,
		    buf_span(&age).p);
	}
	buf_done(&name);
	buf_done(&age);
}

static void
show_runs(struct top *t)
{
	struct buf name = BUF_INIT, age = BUF_INIT;

	screen_line(&t->screen, "runs");
	for (enum run_state i = RUN_WAITING; i < RUN_ENDED; i++) {
		const char *state = run_state_name(i);
		double oldest;

		buf_reset(&name);
		buf_reset(&age);
		buf_addf(
		    &name, "jobwire_run_oldest_seconds{state=\"%s\"}", state);
		oldest = exposition_value(&t->now, buf_span(&name).p);
		if (oldest > 0)
			add_age(&age, t, (double)t->now_ms / 1000 - oldest);
		buf_reset(&name);
		buf_addf(&name, "jobwire_runs{state=\"%s\"}", state);
		screen_number(&t->screen,
		    exposition_value(&t->now, buf_span(&name).p), "%s%s", state,
		    buf_span(&age).p);
	}
	buf_done(&name);
	buf_done(&age);
}

/* How much a counter grows in a second. */
static void
show_rate(struct top *t, const char *name, const char *what)
{
	screen_number(&t->screen, exposition_rate(&t->before, &t->now, name),
	    "/s %s", what);
}

static void
show_traffic(struct top *t)
{
	double calls, seconds;

	screen_line(&t->screen, "calls");
	show_rate(t, "jobwire_calls_total{outcome=\"stored\"}", "stored");
	show_rate(t, "jobwire_calls_total{outcome=\"refused\"}", "refused");
	show_rate(t, "jobwire_calls_total{outcome=\"failed\"}", "failed");
	calls = exposition_rate(
	    &t->before, &t->now, "jobwire_commit_seconds_count");
	seconds =
	    exposition_rate(&t->before, &t->now, "jobwire_commit_seconds_sum");
	if (calls > 0)
		screen_item(&t->screen, false, "commit %.1f ms",
		    1000 * seconds / calls);
	screen_line(&t->screen, "streams");
	screen_number(&t->screen,
	    exposition_value(&t->now, "jobwire_streams_open"), "open");
	screen_number(&t->screen,
	    exposition_value(&t->now, "jobwire_streams_lagging"), "slow");
	if (exposition_value(&t->now, "jobwire_overloads_total") > 0)
		screen_number(&t->screen,
		    exposition_value(&t->now, "jobwire_overloads_total"),
		    "turned away");
	show_rate(t, "jobwire_events_delivered_total", "events sent");
}

static void
show_bytes(struct top *t, const char *name, const char *what)
{
	double bytes = exposition_value(&t->now, name);
	struct buf size = BUF_INIT;

	screen_add_bytes(&size, bytes);
	screen_item(&t->screen, false, "%s %s", what, buf_span(&size).p);
	buf_done(&size);
}

/* "checkpoint 3 s ago", as the metric of that name says. */
static void
show_age(struct top *t, const char *what)
{
	struct buf name = BUF_INIT, age = BUF_INIT;

	buf_addf(&name, "jobwire_%s_timestamp_seconds", what);
	add_age(&age, t, exposition_value(&t->now, buf_span(&name).p));
	if (age.len > 0)
		screen_item(
		    &t->screen, false, "%s%s ago", what, buf_span(&age).p);
	else
		screen_item(&t->screen, false, "no %s", what);
	buf_done(&name);
	buf_done(&age);
}

static void
show_disk(struct top *t)
{
	screen_line(&t->screen, "disk");
	show_bytes(t, "jobwire_database_bytes", "database");
	show_bytes(t, "jobwire_database_wal_bytes", "WAL");
	show_bytes(t, "jobwire_database_free_bytes", "free");
	show_age(t, "checkpoint");
	show_age(t, "backup");
}

static void
show_job(void *arg, const struct job *j)
{
	struct top *t = arg;
	struct buf silence = BUF_INIT, progress = BUF_INIT;
	int64_t at_ms;

	if (clock_parse_rfc3339(j->updated_at, &at_ms))
		screen_add_duration(
		    &silence, (double)(t->now_ms - at_ms) / 1000);
	output_add_value(&progress, j->progress);
	screen_row(&t->screen, "%-8.8s %-10s %s%s%s", buf_span(&silence).p,
	    job_state_name(j->state), j->job_id, progress.len > 0 ? "  " : "",
	    buf_span(&progress).p);
	buf_done(&silence);
	buf_done(&progress);
}

/* NULL: a lock, and the next look is soon. */
static const char *
show(struct top *t)
{
	char at[CLOCK_RFC3339_SIZE];
	enum err e;
	int n;

	t->now_ms = clock_real_ms();
	read_metrics(t);
	clock_rfc3339(t->now_ms, at);
	screen_begin(&t->screen, t->loop != NULL);
	screen_row(&t->screen, "jobwire %s  %s", JOBWIRE_VERSION, at);
	show_parts(t);
	show_jobs(t);
	show_runs(t);
	show_traffic(t);
	show_disk(t);
	screen_row(&t->screen, "%s", "");
	screen_heading(&t->screen, "SILENT   STATE      JOB  PROGRESS");
	n = t->loop != NULL ? screen_rows_left(&t->screen) : ONCE_JOBS;
	e = n > 0 ? jobs_list_silent(t->db, n, show_job, t) : OK;
	if (e != OK)
		screen_row(&t->screen, "%s", db_last_fault(t->db)->text);
	return screen_end(&t->screen) || e != OK ? NULL : "out of memory";
}

/* --- The program ---------------------------------------------------------- */

static void
look(struct top *t)
{
	if (db_has_moved(t->db)) {
		struct db *db = NULL;

		if (db_open(t->c->settings->db, DB_READ, 1000, &db, NULL) ==
		    OK) {
			db_close(&t->db);
			t->db = db;
		}
	}
	(void)show(t);
}

static void
on_tick(struct timer *timer)
{
	struct top *t = container_of(timer, struct top, tick);

	look(t);
	/* A timer that is due has a place in the heap. */
	(void)!timer_set(
	    t->loop, timer, loop_now_us(t->loop) + values.every * 1000);
}

static void
on_signal(void *arg, int signal)
{
	struct top *t = arg;

	if (signal == SIGWINCH)
		look(t);
	else
		loop_stop(t->loop);
}

static enum err
watch(struct top *t)
{
	static const int signals[] = {SIGINT, SIGTERM, SIGHUP, SIGWINCH, 0};
	enum err e = loop_new(&t->loop);

	if (e == OK)
		e = loop_signals(t->loop, signals, on_signal, t);
	t->tick.on_due = on_tick;
	if (e == OK)
		e = timer_set(t->loop, &t->tick, clock_mono_us());
	screen_open();
	if (e == OK)
		e = loop_run(t->loop);
	screen_close();
	loop_free(&t->loop);
	return e;
}

static int
run(const struct command_line *c)
{
	struct top t = {.c = c};
	struct buf message = BUF_INIT;
	enum err e;

	if (c->settings->json)
		return command_misuse("top", "--json is for stats and jobs");
	/* Without them the socket is not known, and the rest is shown. */
	if (command_settings_of(
		c, PROGRAM_EVENTS, "jobwire-events", &t.events, &message) != OK)
		(void)command_fail("top", buf_span(&message).p);
	t.db = command_open(c, DB_READ);
	e = t.db == NULL ? ERR_GONE : OK;
	if (e == OK && !values.once && isatty(STDOUT_FILENO)) {
		e = watch(&t);
	} else if (e == OK) {
		const char *why = show(&t);

		if (why != NULL)
			(void)command_fail("top", why);
	}
	screen_done(&t.screen);
	exposition_done(&t.now);
	exposition_done(&t.before);
	db_close(&t.db);
	settings_done(&t.events);
	buf_done(&message);
	return e == OK ? EXIT_DONE : EXIT_FAILED;
}

const struct command command_top = {
    .name = "top",
    .arguments = "",
    .run = run,
    .summary = "show what goes on, live",
    .more = "Which parts answer, jobs and runs by state with the oldest,\n"
	    "calls, streams, bytes, and the open jobs, the longest silence\n"
	    "first. Ctrl-C ends it.\n",
    .flags = flags,
    .values = &values,
};
