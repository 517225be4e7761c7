/* SPDX-License-Identifier: ISC */
/*
 * Runs as those see them who start and follow them. What a provider's answer
 * means for a run is decided by runner/step.c; that the end of a job ends its
 * run by a trigger of schema.sql. Blocks on the disk.
 */
#include "store/runs.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "store/cluster.h"
#include "store/events.h"
#include "store/jobs.h"
#include "store/run_load.h"
#include "text/json_text.h"

/* --- What there is -------------------------------------------------------- */

static enum err
find_run(struct db *db, unsigned id, const char *job_id, struct run *ret)
{
	sqlite3_stmt *st = stmt_open(db, id);

	stmt_bind_text(db, st, 1, job_id);
	return run_take(db, st, ret);
}

enum err
runs_of_job(struct db *db, const char *job_id, struct run *ret)
{
	return find_run(db, STMT_LAST_RUN, job_id, ret);
}

enum err
runs_get(struct db *db, int64_t run_id, struct run *ret)
{
	sqlite3_stmt *st = stmt_open(db, STMT_RUN);

	stmt_bind_int(db, st, 1, run_id);
	return run_take(db, st, ret);
}

enum err
runs_find(struct db *db, const struct run_ref *ref, struct run *ret)
{
	sqlite3_stmt *st;

	if (ref->origin == NULL)
		return runs_get(db, ref->run_id, ret);
	st = stmt_open(db, STMT_RUN_OF_ORIGIN);
	stmt_bind_text(db, st, 1, ref->origin);
	stmt_bind_int(db, st, 2, ref->origin_seq);
	return run_take(db, st, ret);
}

struct run_ref
runs_ref(const struct run *r)
{
	return (struct run_ref){r->run_id, r->origin, r->origin_seq};
}

enum err
runs_list(struct db *db, enum run_state state, int limit,
    void (*on_run)(void *arg, const struct run *r), void *arg)
{
	if (state == RUN_NO_STATE)
		return run_each(db, STMT_RUNS, limit, NULL, on_run, arg);
	return run_each(
	    db, STMT_RUNS_IN_STATE, limit, run_state_name(state), on_run, arg);
}

enum err
runs_count(struct db *db, struct runs_open *ret)
{
	struct runs_open open = {0};
	sqlite3_stmt *st = stmt_open(db, STMT_COUNT_RUNS);
	bool has_row = false;
	enum run_state state;
	const char *name;
	enum err e;

	while ((e = stmt_step(db, st, &has_row)) == OK && has_row) {
		if ((e = stmt_column_text(db, st, 0, &name)) != OK)
			break;
		state = run_state_of(name != NULL ? name : "");
		open.n[state] = sqlite3_column_int64(st, 1);
		e = run_load_time(db, st, 2, &open.oldest_at[state]);
		if (e != OK)
			break;
	}
	stmt_close(st);
	if (e == OK)
		*ret = open;
	return e;
}

enum err
runs_calls(struct db *db,
    void (*on_count)(
	void *arg, const char *call, const char *outcome, int64_t n),
    void *arg)
{
	sqlite3_stmt *st = stmt_open(db, STMT_CALLS);
	const char *call, *outcome;
	bool has_row = false;
	enum err e;

	while ((e = stmt_step(db, st, &has_row)) == OK && has_row) {
		if ((e = stmt_column_text(db, st, 0, &call)) != OK ||
		    (e = stmt_column_text(db, st, 1, &outcome)) != OK)
			break;
		on_count(arg, call, outcome, sqlite3_column_int64(st, 2));
	}
	stmt_close(st);
	return e;
}

/* --- Events --------------------------------------------------------------- */

/* An event of the run, whose data says which run it is. */
static enum err
publish(
    struct db *db, const struct run *r, const char *type, const char *action)
{
	struct buf data = BUF_INIT;
	struct event_new ev = {
	    .job_id = r->job_id, .type = type, .restore_id = r->restore_id};
	bool is_duplicate;
	int64_t id;
	enum err e = ERR_NOMEM;

	buf_addf(&data, "{\"run_id\":%lld", (long long)r->run_id);
	if (action != NULL) {
		buf_add_str(&data, ",\"action\":");
		json_text_add_quoted(&data, span_of(action));
	}
	buf_add_char(&data, '}');
	ev.data = buf_span(&data);
	if (buf_ok(&data))
		e = events_append(db, &ev, &id, &is_duplicate);
	buf_done(&data);
	return e;
}

/* --- Beginning ------------------------------------------------------------ */

/* The restore id of the next run, to text. */
static enum err
choose_restore_id(struct db *db, const struct run_new *n, char *text)
{
	struct run last = {0};
	struct job job = {0};
	enum err e = OK;

	*text = '\0';
	if (n->restore_id != NULL) {
		snprintf(text, JOB_LABEL_MAX + 1, "%s", n->restore_id);
		return OK;
	}
	e = runs_of_job(db, n->job_id, &last);
	run_done(&last);
	if (e == ERR_NOENT) {
		e = jobs_get(db, n->job_id, &job);
		if (e == OK && job.restore_id != NULL)
			snprintf(text, JOB_LABEL_MAX + 1, "%s", job.restore_id);
		job_done(&job);
	}
	if (*text == '\0')
		snprintf(text, JOB_LABEL_MAX + 1, "%s", n->spare_restore_id);
	return e == ERR_NOENT ? OK : e;
}

static enum err
add_run(struct db *db, const struct run_new *n, const char *restore_id,
    int64_t *ret_run_id)
{
	sqlite3_stmt *st = stmt_open(db, STMT_ADD_RUN);
	enum err e;

	stmt_bind_text(db, st, 1, n->job_id);
	stmt_bind_text(db, st, 2, n->action);
	stmt_bind_text(db, st, 3, n->endpoint);
	stmt_bind_text(db, st, 4, restore_id);
	stmt_bind_span(db, st, 5, n->input);
	stmt_bind_span(db, st, 6, n->policy);
	e = stmt_run(db, st);
	*ret_run_id = sqlite3_last_insert_rowid(db->h);
	return e;
}

/* What the job's last run has left. */
static enum err
restart_job(struct db *db, const char *job_id, const char *restore_id)
{
	sqlite3_stmt *st = stmt_open(db, STMT_RESTART_JOB);

	stmt_bind_text(db, st, 1, job_id);
	stmt_bind_text(db, st, 2, restore_id);
	return stmt_run(db, st);
}

/* *ret: the run that this entry of the log made when it was applied before.
 * What the log takes back it leaves as it is, for nobody can take back that it
 * was sent; it only gets the number that it now has. ERR_NOENT. */
static enum err
find_again(struct db *db, struct run *ret)
{
	const struct run_ref ref = {
	    0, cluster_entry_origin(db), cluster_entry_seq(db)};
	sqlite3_stmt *st;
	enum err e;

	if (ref.origin == NULL)
		return ERR_NOENT;
	st = stmt_open(db, STMT_MOVE_RUN);
	stmt_bind_text(db, st, 1, ref.origin);
	stmt_bind_int(db, st, 2, ref.origin_seq);
	e = stmt_run(db, st);
	return e == OK ? runs_find(db, &ref, ret) : e;
}

/* The new row. ERR_EXISTS: one is open. */
static enum err
make_run(struct db *db, const struct run_new *n, struct run *ret)
{
	char restore_id[JOB_LABEL_MAX + 1];
	int64_t run_id;
	const char *origin = cluster_entry_origin(db);
	enum err e = find_run(db, STMT_OPEN_RUN, n->job_id, ret);

	run_done(ret);
	if (e != ERR_NOENT)
		return e == OK ? ERR_EXISTS : e;
	if ((e = choose_restore_id(db, n, restore_id)) != OK ||
	    (e = add_run(db, n, restore_id, &run_id)) != OK)
		return e;
	if (origin != NULL && strcmp(origin, db_node_id(db)) != 0 &&
	    (e = runs_rest(db, run_id)) != OK)
		return e;
	return runs_get(db, run_id, ret);
}

enum err
runs_start(struct db *db, const struct run_new *n, struct run_started *ret)
{
	struct run run = {0};
	struct run_started made;
	enum err e = find_again(db, &run);

	if (e == ERR_NOENT)
		e = make_run(db, n, &run);
	if (e != OK)
		return e;
	made.run_id = run.run_id;
	snprintf(
	    made.restore_id, sizeof(made.restore_id), "%s", run.restore_id);
	e = jobs_keep_restore_id(db, n->job_id, made.restore_id, made.run_id);
	if (e != OK) {
		run_done(&run);
		return e;
	}
	e = publish(db, &run, job_state_name(JOB_QUEUED), n->action);
	run_done(&run);
	if (e == OK)
		e = restart_job(db, n->job_id, made.restore_id);
	if (e == OK)
		*ret = made;
	return e;
}

/* What one of these statements says of a job and an external id. */
static enum err
ask_about(struct db *db, unsigned id, const char *job_id,
    const char *external_id, bool *ret)
{
	sqlite3_stmt *st = stmt_open(db, id);

	stmt_bind_text(db, st, 1, job_id);
	stmt_bind_text(db, st, 2, external_id);
	return stmt_run_bool(db, st, ret);
}

enum err
runs_end(struct db *db, int64_t run_id, const char *why)
{
	sqlite3_stmt *st = stmt_open(db, STMT_END_RUN);

	stmt_bind_int(db, st, 1, run_id);
	stmt_bind_text(db, st, 2, why);
	return stmt_run(db, st);
}

/* Makes room for a run under that external id. *ret_has: it is there. */
static enum err
replace_open(
    struct db *db, const char *job_id, const char *external_id, bool *ret_has)
{
	struct run open = {0};
	enum err e = find_run(db, STMT_OPEN_RUN, job_id, &open);

	if (e == OK && open.external_id != NULL &&
	    strcmp(open.external_id, external_id) == 0)
		*ret_has = true;
	else if (e == OK && open.action != NULL)
		e = ERR_EXISTS;
	else if (e == OK)
		e = runs_end(db, open.run_id, "replaced");
	run_done(&open);
	return e == ERR_NOENT ? OK : e;
}

enum err
runs_register(struct db *db, const char *job_id, const char *endpoint,
    const char *external_id, const char *restore_id)
{
	sqlite3_stmt *st;
	bool has = false;
	enum err e = ask_about(db, STMT_ENDED_AS, job_id, external_id, &has);

	if (e == OK && !has)
		e = replace_open(db, job_id, external_id, &has);
	if (e != OK || has)
		return e;
	st = stmt_open(db, STMT_ADD_SUBMITTED_RUN);
	stmt_bind_text(db, st, 1, job_id);
	stmt_bind_text(db, st, 2, endpoint);
	stmt_bind_text(db, st, 3, restore_id);
	stmt_bind_text(db, st, 4, external_id);
	return stmt_run(db, st);
}

/* --- What becomes of it --------------------------------------------------- */

enum err
runs_cancel(struct db *db, const char *job_id, struct run_cancelled *ret)
{
	struct run r = {0};
	enum err e = find_run(db, STMT_OPEN_RUN, job_id, &r);
	bool is_over =
	    r.state == RUN_WAITING && !run_is_doubted(&r) && r.origin == NULL;
	bool is_new = r.cancel_wanted == RUN_CANCEL_NOT;

	if (e == OK && is_over) {
		e = publish(db, &r, job_state_name(JOB_CANCELLED), NULL);
	} else if (e == OK && is_new) {
		r.cancel_wanted = RUN_CANCEL_WANTED;
		/* Of an unknown one nobody can be asked. */
		if ((r.state == RUN_SUBMITTED || r.state == RUN_WAITING) &&
		    run_is_ours(db, &r))
			r.next_at = clock_real_ms();
		e = run_save(db, &r);
		if (e == OK)
			e = publish(db, &r, "cancelling", NULL);
	}
	if (e == OK)
		*ret = (struct run_cancelled){r.run_id, is_over};
	run_done(&r);
	return e;
}

enum err
runs_retry(struct db *db, int64_t run_id)
{
	struct run r = {0};
	enum err e = runs_get(db, run_id, &r);

	if (e == OK &&
	    (r.state != RUN_UNKNOWN || r.cancel_wanted != RUN_CANCEL_NOT ||
		!run_is_ours(db, &r)))
		e = ERR_PROTO;
	if (e == OK && !run_doubt(&r))
		e = ERR_NOMEM;
	if (e == OK) {
		r.state = RUN_WAITING;
		r.next_at = clock_real_ms();
		r.deadline = 0;
		e = run_save(db, &r);
	}
	run_done(&r);
	return e;
}

/* 1: the same; -1: others; 0: one is not known. */
static int
compare_names(const char *a, const char *b)
{
	if (a == NULL || b == NULL)
		return 0;
	return strcmp(a, b) == 0 ? 1 : -1;
}

/* As the trigger job_events_ended has it; and two runs may have been given one
 * restore id, but never one external id. */
static enum err
is_of_earlier(struct db *db, const struct run *open, const char *external_id,
    const char *restore_id, bool *ret)
{
	int restore = compare_names(open->restore_id, restore_id);
	int external = compare_names(open->external_id, external_id);

	*ret = restore != 1 && external != 1 && restore + external < 0;
	if (*ret || external == 1 || external_id == NULL)
		return OK;
	return ask_about(db, STMT_WAS_RUN, open->job_id, external_id, ret);
}

/* Could it be that it arrived, for all we knew? */
static bool
is_in_doubt(const struct run *r)
{
	return r->state == RUN_SUBMITTING || r->state == RUN_UNKNOWN ||
	       (r->state == RUN_WAITING && r->attempts > 0);
}

static enum err
prove(struct db *db, struct run *r, const char *external_id)
{
	int64_t now_ms = clock_real_ms();

	if (external_id != NULL) {
		free(r->external_id);
		r->external_id = strdup(external_id);
		if (r->external_id == NULL)
			return ERR_NOMEM;
	}
	r->state = RUN_SUBMITTED;
	r->submitted_at = r->next_at = now_ms;
	r->deadline = 0;
	return run_save(db, r);
}

enum err
runs_report(struct db *db, const char *job_id, const char *external_id,
    const char *restore_id, bool *ret_is_late)
{
	struct run open = {0};
	enum err e = find_run(db, STMT_OPEN_RUN, job_id, &open);

	*ret_is_late = false;
	if (e == OK)
		e = is_of_earlier(
		    db, &open, external_id, restore_id, ret_is_late);
	if (e == OK && !*ret_is_late && open.origin == NULL &&
	    is_in_doubt(&open))
		e = prove(db, &open, external_id);
	run_done(&open);
	return e == ERR_NOENT ? OK : e;
}

enum err
runs_doubted(struct db *db, const char *job_id, struct run *ret)
{
	struct run r = {0};
	enum err e = find_run(db, STMT_OPEN_RUN, job_id, &r);

	if (e == OK && (!is_in_doubt(&r) || !run_is_ours(db, &r)))
		e = ERR_NOENT;
	if (e == OK)
		*ret = r;
	else
		run_done(&r);
	return e;
}

enum err
runs_submitted(struct db *db, struct run *r)
{
	r->state = RUN_SUBMITTED;
	if (!run_is_ours(db, r))
		r->next_at = 0;
	return run_save(db, r);
}

enum err
runs_rest(struct db *db, int64_t run_id)
{
	sqlite3_stmt *st = stmt_open(db, STMT_REST_RUN);

	stmt_bind_int(db, st, 1, run_id);
	return stmt_run(db, st);
}

enum err
runs_take(struct db *db, int64_t run_id, const char *node_id)
{
	sqlite3_stmt *st = stmt_open(db, STMT_TAKE_RUN);

	stmt_bind_int(db, st, 1, run_id);
	stmt_bind_text(db, st, 2, node_id);
	return stmt_run(db, st);
}
