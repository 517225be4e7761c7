/* SPDX-License-Identifier: ISC */
/*
 * The table jobs. Its states are written by the triggers of schema.sql, and
 * finished jobs are removed by retention.c. Blocks on the disk.
 */
#include "store/jobs.h"

#include <stdlib.h>
#include <string.h>

#include "store/stmt.h"

/* The only place where the column's text becomes a state. */
static enum err
column_state(struct db *db, sqlite3_stmt *st, int i, enum job_state *ret)
{
	const char *name;
	enum err e = stmt_column_text(db, st, i, &name);

	if (e == OK)
		*ret = name != NULL ? job_state_of(name) : JOB_NO_STATE;
	return e;
}

enum err
jobs_bounds(struct db *db, const char *job_id, struct job_bounds *ret)
{
	struct job_bounds b = {0};
	enum job_state state = JOB_NO_STATE;
	sqlite3_stmt *st = stmt_open(db, STMT_JOB_BOUNDS);
	enum err e;

	stmt_bind_text(db, st, 1, job_id);
	e = stmt_step(db, st, &b.is_known);
	if (e == OK && b.is_known)
		e = column_state(db, st, 0, &state);
	if (e == OK && b.is_known) {
		b.is_terminal = job_state_is_end(state);
		b.floor = sqlite3_column_int64(st, 1);
		b.last_id = sqlite3_column_int64(st, 2);
		b.first_id = sqlite3_column_int64(st, 3);
	}
	stmt_close(st);
	if (e == OK)
		*ret = b;
	return e;
}

/* What a statement with one parameter says; 0 where it says nothing. */
static enum err
read_int(struct db *db, unsigned id, const char *parameter, int64_t *ret)
{
	sqlite3_stmt *st = stmt_open(db, id);

	stmt_bind_text(db, st, 1, parameter);
	return stmt_run_int(db, st, 0, ret);
}

enum err
jobs_gone_floor(struct db *db, int64_t *ret)
{
	return read_int(db, STMT_META, "gone_floor", ret);
}

enum err
jobs_owner_floor(struct db *db, const char *owner, int64_t *ret)
{
	return read_int(db, STMT_OWNER_FLOOR, owner, ret);
}

enum err
jobs_owns(struct db *db, const char *job_id, const char *owner, bool *ret)
{
	sqlite3_stmt *st = stmt_open(db, STMT_OWNS_JOB);

	stmt_bind_text(db, st, 1, job_id);
	stmt_bind_text(db, st, 2, owner);
	return stmt_run_bool(db, st, ret);
}

static enum err
take_state(struct db *db, sqlite3_stmt *st, enum job_state *ret)
{
	enum job_state state = JOB_NO_STATE;
	bool has_row = false;
	enum err e = stmt_step(db, st, &has_row);

	if (e == OK && has_row)
		e = column_state(db, st, 0, &state);
	if (e == OK)
		*ret = state;
	stmt_close(st);
	return e;
}

enum err
jobs_state(struct db *db, const char *job_id, enum job_state *ret)
{
	sqlite3_stmt *st = stmt_open(db, STMT_JOB_STATE);

	stmt_bind_text(db, st, 1, job_id);
	return take_state(db, st, ret);
}

enum err
jobs_state_after(struct db *db, int64_t event_id, enum job_state *ret)
{
	sqlite3_stmt *st = stmt_open(db, STMT_STATE_AFTER);

	stmt_bind_int(db, st, 1, event_id);
	return take_state(db, st, ret);
}

enum err
jobs_find_external(struct db *db, const char *external_id, struct buf *ret)
{
	sqlite3_stmt *st = stmt_open(db, STMT_JOB_NAMED);
	const char *job_id;
	enum err e;

	stmt_bind_text(db, st, 1, external_id);
	e = stmt_row_text(db, st, &job_id);
	if (e == OK)
		buf_add_span(ret, span_of(job_id));
	stmt_close(st);
	return e == OK && !buf_ok(ret) ? ERR_NOMEM : e;
}

enum err
jobs_keep_restore_id(
    struct db *db, const char *job_id, const char *next, int64_t for_run_id)
{
	sqlite3_stmt *st = stmt_open(db, STMT_KEEP_RESTORE_ID);

	stmt_bind_text(db, st, 1, job_id);
	stmt_bind_text(db, st, 2, next);
	stmt_bind_int(db, st, 3, for_run_id);
	return stmt_run(db, st);
}

enum err
jobs_register(struct db *db, const struct job_new *j, bool *ret_new)
{
	enum job_state state;
	sqlite3_stmt *st;
	enum err e;

	if ((e = jobs_state(db, j->job_id, &state)) != OK)
		return e;
	if (j->restore_id != NULL &&
	    (e = jobs_keep_restore_id(db, j->job_id, j->restore_id, 0)) != OK)
		return e;
	st = stmt_open(db, STMT_REGISTER_JOB);
	stmt_bind_text(db, st, 1, j->job_id);
	stmt_bind_text(db, st, 2, j->owner);
	stmt_bind_text(db, st, 3, j->external_id);
	stmt_bind_text(db, st, 4, j->restore_id);
	e = stmt_run(db, st);
	e = stmt_judge_json(db, e, (struct span){0}); /* of what waited */
	if (e != OK)
		return e;
	if (sqlite3_changes(db->h) == 0)
		return ERR_EXISTS;
	*ret_new = state == JOB_NO_STATE;
	return OK;
}

/* The present row of st. On failure *j is left empty. */
static enum err
jobs_load(struct db *db, sqlite3_stmt *st, struct job *ret)
{
	struct job j = {.last_event_id = sqlite3_column_int64(st, 8)};

	if (stmt_column_dup(db, st, 0, &j.job_id) != OK ||
	    stmt_column_dup(db, st, 1, &j.owner) != OK ||
	    stmt_column_dup(db, st, 2, &j.external_id) != OK ||
	    stmt_column_dup(db, st, 3, &j.restore_id) != OK ||
	    column_state(db, st, 4, &j.state) != OK ||
	    stmt_column_dup(db, st, 5, &j.progress) != OK ||
	    stmt_column_dup(db, st, 6, &j.created_at) != OK ||
	    stmt_column_dup(db, st, 7, &j.updated_at) != OK ||
	    stmt_column_dup(db, st, 9, &j.output) != OK ||
	    stmt_column_dup(db, st, 10, &j.error) != OK) {
		job_done(&j);
		return ERR_NOMEM;
	}
	*ret = j;
	return OK;
}

static enum err
get(struct db *db, unsigned id, const char *job_id, struct job *ret)
{
	sqlite3_stmt *st = stmt_open(db, id);
	enum err e;

	stmt_bind_text(db, st, 1, job_id);
	e = stmt_row(db, st);
	if (e == OK)
		e = jobs_load(db, st, ret);
	stmt_close(st);
	return e;
}

enum err
jobs_get(struct db *db, const char *job_id, struct job *ret)
{
	return get(db, STMT_JOB, job_id, ret);
}

enum err
jobs_get_whole(struct db *db, const char *job_id, struct job *ret)
{
	return get(db, STMT_JOB_WHOLE, job_id, ret);
}

enum err
jobs_count_events(struct db *db, const char *job_id, int64_t *ret)
{
	return read_int(db, STMT_JOB_EVENTS, job_id, ret);
}

enum err
jobs_delete(struct db *db, const char *job_id)
{
	sqlite3_stmt *st = stmt_open(db, STMT_REMOVE_JOB);
	enum err e;

	stmt_bind_text(db, st, 1, job_id);
	if ((e = stmt_run(db, st)) != OK)
		return e;
	return sqlite3_changes(db->h) > 0 ? OK : ERR_NOENT;
}

void
job_done(struct job *j)
{
	free(j->error);
	free(j->job_id);
	free(j->owner);
	free(j->external_id);
	free(j->restore_id);
	free(j->progress);
	free(j->output);
	free(j->created_at);
	free(j->updated_at);
	*j = (struct job){0};
}

/* state: NULL, or for the second parameter. */
static enum err
list(struct db *db, unsigned id, int limit, const char *state,
    void (*on_job)(void *arg, const struct job *j), void *arg)
{
	sqlite3_stmt *st = stmt_open(db, id);
	struct job j;
	bool has_row = false;
	enum err e;

	stmt_bind_int(db, st, 1, limit);
	if (state != NULL)
		stmt_bind_text(db, st, 2, state);
	while ((e = stmt_step(db, st, &has_row)) == OK && has_row) {
		if ((e = jobs_load(db, st, &j)) != OK)
			break;
		on_job(arg, &j);
		job_done(&j);
	}
	stmt_close(st);
	return e;
}

enum err
jobs_list(struct db *db, enum job_state state, int limit,
    void (*on_job)(void *arg, const struct job *j), void *arg)
{
	if (state == JOB_NO_STATE)
		return list(db, STMT_JOBS, limit, NULL, on_job, arg);
	return list(
	    db, STMT_JOBS_IN_STATE, limit, job_state_name(state), on_job, arg);
}

enum err
jobs_list_silent(struct db *db, int limit,
    void (*on_job)(void *arg, const struct job *j), void *arg)
{
	return list(db, STMT_JOBS_SILENT, limit, NULL, on_job, arg);
}
