/* SPDX-License-Identifier: ISC */
/*
 * Which runs are due, what they send, and how often the provider was called.
 * Blocks on the disk.
 */
#include "store/run_queue.h"

#include "base/clock.h"
#include "store/run_load.h"

enum err
run_queue_due(struct db *db, int64_t now_ms, int limit,
    void (*on_run)(void *arg, const struct run *r), void *arg)
{
	char now[CLOCK_RFC3339_SIZE];

	clock_rfc3339(now_ms, now);
	return run_each_of(
	    db, STMT_RUNS_DUE, limit, now, db_node_id(db), on_run, arg);
}

enum err
run_queue_next(struct db *db, int64_t now_ms, int64_t *ret)
{
	char now[CLOCK_RFC3339_SIZE];
	sqlite3_stmt *st = stmt_open(db, STMT_NEXT_RUN);
	enum err e;

	clock_rfc3339(now_ms, now);
	stmt_bind_text(db, st, 1, now);
	stmt_bind_text(db, st, 2, db_node_id(db));
	*ret = 0;
	e = stmt_row(db, st);
	if (e == OK)
		e = run_load_time(db, st, 0, ret);
	stmt_close(st);
	return e == ERR_NOENT ? OK : e;
}

enum err
run_queue_is_far(struct db *db, int64_t horizon_ms, bool *ret)
{
	char horizon[CLOCK_RFC3339_SIZE];
	sqlite3_stmt *st = stmt_open(db, STMT_FAR_RUN);

	clock_rfc3339(horizon_ms, horizon);
	stmt_bind_text(db, st, 1, horizon);
	stmt_bind_text(db, st, 2, db_node_id(db));
	return stmt_run_bool(db, st, ret);
}

enum err
run_queue_pull(struct db *db, int64_t now_ms, int64_t horizon_ms)
{
	char now[CLOCK_RFC3339_SIZE], horizon[CLOCK_RFC3339_SIZE];
	sqlite3_stmt *st = stmt_open(db, STMT_PULL_RUNS);

	clock_rfc3339(now_ms, now);
	clock_rfc3339(horizon_ms, horizon);
	stmt_bind_text(db, st, 1, now);
	stmt_bind_text(db, st, 2, horizon);
	stmt_bind_text(db, st, 3, db_node_id(db));
	return stmt_run(db, st);
}

enum err
run_queue_input(
    struct db *db, int64_t run_id, struct buf *input, struct buf *policy)
{
	sqlite3_stmt *st = stmt_open(db, STMT_RUN_INPUT);
	const char *text;
	enum err e;

	stmt_bind_int(db, st, 1, run_id);
	e = stmt_row_text(db, st, &text);
	if (e == OK)
		buf_add_span(input, span_of(text));
	if (e == OK && (e = stmt_column_text(db, st, 1, &text)) == OK)
		buf_add_span(policy, span_of(text));
	stmt_close(st);
	return e == OK && (!buf_ok(input) || !buf_ok(policy)) ? ERR_NOMEM : e;
}

enum err
run_queue_count_call(struct db *db, const char *call, const char *outcome)
{
	sqlite3_stmt *st = stmt_open(db, STMT_COUNT_CALL);

	stmt_bind_text(db, st, 1, call);
	stmt_bind_text(db, st, 2, outcome);
	return stmt_run(db, st);
}
