/* SPDX-License-Identifier: ISC */
/*
 * Rows of the table runs, there and back. Who adds them and when they are due
 * is in runs.c and run_queue.c. Blocks on the disk.
 */
#include "store/run.h"

#include <stdlib.h>
#include <string.h>
#include <string.h>

#include "base/clock.h"
#include "store/run_load.h"

void
run_done(struct run *r)
{
	free(r->job_id);
	free(r->action);
	free(r->endpoint);
	free(r->restore_id);
	free(r->external_id);
	free(r->error);
	free(r->origin);
	free(r->taken_by);
	*r = (struct run){0};
}

bool
run_is_ours(const struct db *db, const struct run *r)
{
	const char *node = r->taken_by != NULL ? r->taken_by : r->origin;

	return node == NULL || strcmp(node, db_node_id(db)) == 0;
}

bool
run_doubt(struct run *r)
{
	free(r->error);
	r->error = strdup(RUN_IN_DOUBT);
	return r->error != NULL;
}

bool
run_is_doubted(const struct run *r)
{
	return r->error != NULL && strcmp(r->error, RUN_IN_DOUBT) == 0;
}

enum err
run_load_time(struct db *db, sqlite3_stmt *st, int i, int64_t *ret)
{
	const char *text;
	enum err e = stmt_column_text(db, st, i, &text);

	if (e == OK && (text == NULL || !clock_parse_rfc3339(text, ret)))
		*ret = 0;
	return e;
}

enum err
run_load(struct db *db, sqlite3_stmt *st, struct run *ret)
{
	struct run r = {
	    .run_id = sqlite3_column_int64(st, 0),
	    .attempts = sqlite3_column_int64(st, 8),
	    .cancel_wanted = sqlite3_column_int64(st, 9),
	    .origin_seq = sqlite3_column_int64(st, 17),
	};
	char **const texts[] = {&r.job_id, &r.action, &r.endpoint,
	    &r.restore_id, &r.external_id, &r.error};
	int64_t *const times[] = {&r.next_at, &r.deadline, &r.created_at,
	    &r.submitted_at, &r.ended_at};
	const char *state;
	enum err e = stmt_column_text(db, st, 7, &state);

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		if (e == OK)
			e = stmt_column_dup(db, st, 1 + (int)i, texts[i]);
	for (size_t i = 0; i < sizeof(times) / sizeof(times[0]); i++)
		if (e == OK)
			e = run_load_time(db, st, 10 + (int)i, times[i]);
	if (e == OK)
		e = stmt_column_dup(db, st, 15, &r.origin);
	if (e == OK)
		e = stmt_column_dup(db, st, 16, &r.taken_by);
	if (e != OK) {
		run_done(&r);
		return e;
	}
	r.state = run_state_of(state != NULL ? state : "");
	*ret = r;
	return OK;
}

enum err
run_take(struct db *db, sqlite3_stmt *st, struct run *ret)
{
	enum err e = stmt_row(db, st);

	if (e == OK)
		e = run_load(db, st, ret);
	stmt_close(st);
	return e;
}

enum err
run_each(struct db *db, unsigned id, int limit, const char *text,
    void (*on_run)(void *arg, const struct run *r), void *arg)
{
	return run_each_of(db, id, limit, text, NULL, on_run, arg);
}

enum err
run_each_of(struct db *db, unsigned id, int limit, const char *text,
    const char *node_id, void (*on_run)(void *arg, const struct run *r),
    void *arg)
{
	sqlite3_stmt *st = stmt_open(db, id);
	bool has_row = false;
	struct run r;
	enum err e;

	stmt_bind_int(db, st, 1, limit);
	if (text != NULL)
		stmt_bind_text(db, st, 2, text);
	if (node_id != NULL)
		stmt_bind_text(db, st, 3, node_id);
	while ((e = stmt_step(db, st, &has_row)) == OK && has_row) {
		if ((e = run_load(db, st, &r)) != OK)
			break;
		on_run(arg, &r);
		run_done(&r);
	}
	stmt_close(st);
	return e;
}

static enum err
identify_job(struct db *db, const char *job_id, const char *external_id)
{
	sqlite3_stmt *st = stmt_open(db, STMT_IDENTIFY_JOB);

	stmt_bind_text(db, st, 1, job_id);
	stmt_bind_text(db, st, 2, external_id);
	return stmt_judge_json(db, stmt_run(db, st), (struct span){0});
}

/* The text of a time in room for it; NULL: it is unset. */
static const char *
time_text(int64_t ms, char room[CLOCK_RFC3339_SIZE])
{
	if (ms == 0)
		return NULL;
	clock_rfc3339(ms, room);
	return room;
}

enum err
run_save(struct db *db, const struct run *r)
{
	char times[3][CLOCK_RFC3339_SIZE];
	sqlite3_stmt *st = stmt_open(db, STMT_SAVE_RUN);
	enum err e;

	stmt_bind_int(db, st, 1, r->run_id);
	stmt_bind_text(db, st, 2, run_state_name(r->state));
	stmt_bind_text(db, st, 3, r->external_id);
	stmt_bind_text(db, st, 4, r->error);
	stmt_bind_int(db, st, 5, r->attempts);
	stmt_bind_int(db, st, 6, r->cancel_wanted);
	stmt_bind_text(db, st, 7, time_text(r->next_at, times[0]));
	stmt_bind_text(db, st, 8, time_text(r->deadline, times[1]));
	stmt_bind_text(db, st, 9, time_text(r->submitted_at, times[2]));
	e = stmt_run(db, st);
	/* Of one that has ended the job may have another run by now. */
	if (e == OK && r->external_id != NULL && r->state != RUN_ENDED)
		e = identify_job(db, r->job_id, r->external_id);
	return e;
}
