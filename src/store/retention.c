/* SPDX-License-Identifier: ISC */
/*
 * Retention: what is deleted, batch by batch. What deleting a row means for
 * floors is in the triggers of schema.sql; when it is time is janitor.c. Blocks
 * on the disk and on other writers.
 *
 * It costs nothing while nothing happens: each event is looked at once, after
 * its commit (seen_id), and finished jobs come from an index by age.
 */
#include "store/retention.h"

#include <stdio.h>

#include "base/clock.h"
#include "store/stmt.h"
#include "store/tokens.h"

enum {
	DAY_MS = 86400000,
	SLICE_ROWS = 1000, /* that are looked at in a step */
	BATCH_JOBS = 50,   /* that an entry of a cluster's log deletes */
};

static enum err
run_with(struct db *db, unsigned id, int64_t row, int64_t limit)
{
	sqlite3_stmt *st = stmt_open(db, id);

	stmt_bind_int(db, st, 1, row);
	if (limit > 0)
		stmt_bind_int(db, st, 2, limit);
	return stmt_run(db, st);
}

/* *ret: the rowid of a finished job last changed before cutoff, or 0. */
static enum err
find_old_job(struct db *db, const char *cutoff, int64_t *ret)
{
	sqlite3_stmt *st = stmt_open(db, STMT_OLD_JOB);

	stmt_bind_text(db, st, 1, cutoff);
	return stmt_run_int(db, st, 0, ret);
}

/* Takes up to *budget rows from a job, its own row last. */
static enum err
delete_job(struct db *db, int64_t job, int *budget, struct retention_done *done)
{
	int n_events;
	enum err e;

	if ((e = run_with(db, STMT_STRIP_JOB, job, 0)) != OK ||
	    (e = run_with(db, STMT_DELETE_EVENTS, job, *budget)) != OK)
		return e;
	n_events = sqlite3_changes(db->h);
	done->events += (uint64_t)n_events;
	*budget -= n_events;
	if (*budget > 0) {
		e = run_with(db, STMT_DELETE_JOB, job, 0);
		done->jobs++;
		--*budget;
	}
	return e;
}

void
retention_cutoff(int64_t keep_days, char ret[CLOCK_RFC3339_SIZE])
{
	clock_rfc3339(clock_real_ms() - keep_days * DAY_MS, ret);
}

static enum err
prune_jobs(struct db *db, int64_t keep_days, struct retention_done *done,
    bool *ret_more)
{
	struct retention_done then = *done;
	char cutoff[CLOCK_RFC3339_SIZE];
	int budget = STMT_BATCH_ROWS;
	int64_t job = 0;
	enum err e;

	retention_cutoff(keep_days, cutoff);
	e = find_old_job(db, cutoff, &job);
	if (e != OK || job == 0) {
		*ret_more = false;
		return e;
	}
	e = db_begin(db);
	/* Asked again: only now can nobody reopen it under our hands. */
	while (e == OK && budget > 0 &&
	       (e = find_old_job(db, cutoff, &job)) == OK && job != 0)
		e = delete_job(db, job, &budget, &then);
	if ((e = db_end(db, e)) != OK)
		return e;
	*ret_more = budget == 0;
	*done = then;
	return OK;
}

/* Up to where the events behind `after` are looked at in one step; 0: there are
 * none. A slice that is not full was the last: else a writer that never rests
 * would be followed event by event. */
static enum err
find_slice(struct db *db, int64_t after, int64_t *ret_last, bool *ret_full)
{
	sqlite3_stmt *st = stmt_open(db, STMT_SLICE);
	enum err e;

	stmt_bind_int(db, st, 1, after);
	stmt_bind_int(db, st, 2, SLICE_ROWS);
	e = stmt_row(db, st);
	if (e == OK) {
		*ret_last = sqlite3_column_int64(st, 0);
		*ret_full = sqlite3_column_int64(st, 1) == SLICE_ROWS;
	}
	stmt_close(st);
	return e;
}

/* Ids of events of one kind beyond the newest `keep` of their job, for the
 * jobs that have events in after+1..last. */
static enum err
find_surplus(struct db *db, int64_t after, int64_t last, bool is_progress,
    int64_t keep, int64_t ids[STMT_BATCH_ROWS], size_t *ret_n)
{
	sqlite3_stmt *st = stmt_open(db, STMT_SURPLUS);
	bool has_row = false;
	size_t n = 0;
	enum err e;

	stmt_bind_int(db, st, 1, after);
	stmt_bind_int(db, st, 2, last);
	stmt_bind_int(db, st, 3, is_progress);
	stmt_bind_int(db, st, 4, keep);
	stmt_bind_int(db, st, 5, STMT_BATCH_ROWS);
	while ((e = stmt_step(db, st, &has_row)) == OK && has_row)
		ids[n++] = sqlite3_column_int64(st, 0);
	stmt_close(st);
	*ret_n = n;
	return e;
}

/* The newest first: its trigger raises the job's floor, and has nothing to
 * write for the others. */
static enum err
delete_events(
    struct db *db, const int64_t *ids, size_t n, struct retention_done *done)
{
	uint64_t n_deleted = 0;
	enum err e = db_begin(db);
	size_t i;

	for (i = 0; e == OK && i < n; i++) {
		e = run_with(db, STMT_DELETE_EVENT, ids[i], 0);
		n_deleted += (uint64_t)sqlite3_changes(db->h);
	}
	if ((e = db_end(db, e)) == OK)
		done->events += n_deleted;
	return e;
}

static enum err
prune_events(struct db *db, const struct retention *keep,
    struct retention_done *done, bool *ret_more)
{
	int64_t ids[STMT_BATCH_ROWS], last = 0;
	size_t n = 0;
	int is_progress;
	enum err e = find_slice(db, done->seen_id, &last, ret_more);

	if (e != OK || last == 0)
		return e;
	/* Progress first: a search for other events walks over all of it. */
	for (is_progress = 1; is_progress >= 0; is_progress--) {
		e = find_surplus(db, done->seen_id, last, is_progress != 0,
		    is_progress ? keep->progress : keep->events, ids, &n);
		if (e == OK && n > 0)
			e = delete_events(db, ids, n, done);
		if (e != OK || n == STMT_BATCH_ROWS) {
			*ret_more = true; /* perhaps in this slice */
			return e;
		}
	}
	done->seen_id = last;
	return OK;
}

/* What goes by its age alone. */
static const struct {
	unsigned find, delete;
	int64_t keep_ms; /* 0: as long as finished jobs */
} aged[] = {
    {STMT_OLD_KEY, STMT_DELETE_KEYS, DAY_MS},
    {STMT_OLD_UNCLAIMED, STMT_DELETE_UNCLAIMED, 0},
};

static enum err
delete_aged(struct db *db, unsigned id, const char *cutoff, bool *ret_more)
{
	sqlite3_stmt *st;
	enum err e;

	if ((e = db_begin(db)) != OK)
		return e;
	st = stmt_open(db, id);
	stmt_bind_text(db, st, 1, cutoff);
	stmt_bind_int(db, st, 2, STMT_BATCH_ROWS);
	e = stmt_run(db, st);
	*ret_more = e == OK && sqlite3_changes(db->h) == STMT_BATCH_ROWS;
	return db_end(db, e);
}

static enum err
prune_aged(struct db *db, int64_t keep_days, bool *ret_more)
{
	char cutoff[CLOCK_RFC3339_SIZE];
	sqlite3_stmt *st;
	bool is_there = false;
	enum err e = OK;

	*ret_more = false;
	for (size_t i = 0; i < sizeof(aged) / sizeof(aged[0]); i++) {
		clock_rfc3339(clock_real_ms() - (aged[i].keep_ms > 0
							? aged[i].keep_ms
							: keep_days * DAY_MS),
		    cutoff);
		/* Looked for first: a DELETE locks out writers. */
		st = stmt_open(db, aged[i].find);
		stmt_bind_text(db, st, 1, cutoff);
		if ((e = stmt_run_bool(db, st, &is_there)) != OK)
			return e;
		if (is_there)
			return delete_aged(
			    db, aged[i].delete, cutoff, ret_more);
	}
	return OK;
}

enum err
retention_step(struct db *db, const struct retention *keep,
    struct retention_done *done, bool *ret_more)
{
	enum err e = prune_jobs(db, keep->days, done, ret_more);

	if (e == OK && !*ret_more)
		e = prune_aged(db, keep->days, ret_more);
	if (e == OK && !*ret_more)
		e = prune_events(db, keep, done, ret_more);
	if (e == OK && !*ret_more)
		e = tokens_prune(db, clock_real_ms() / 1000);
	return e;
}

/* --- In a cluster --------------------------------------------------------- */

/* Appends the rows of a statement, each a job id. */
static enum err
add_jobs(struct db *db, sqlite3_stmt *st, struct buf *out)
{
	const char *job_id;
	bool has_row = false;
	enum err e;

	while ((e = stmt_step(db, st, &has_row)) == OK && has_row) {
		if ((e = stmt_column_text(db, st, 0, &job_id)) != OK)
			break;
		if (out->len > 0)
			buf_add_char(out, ',');
		buf_add_str(out, job_id);
	}
	stmt_close(st);
	return e == OK && !buf_ok(out) ? ERR_NOMEM : e;
}

static enum err
find_old_jobs(
    struct db *db, const struct retention *keep, struct retention_batch *ret)
{
	sqlite3_stmt *st = stmt_open(db, STMT_OLD_JOBS);

	retention_cutoff(keep->days, ret->before);
	stmt_bind_text(db, st, 1, ret->before);
	stmt_bind_int(db, st, 2, BATCH_JOBS);
	return add_jobs(db, st, &ret->job_ids);
}

static enum err
find_full_jobs(struct db *db, const struct retention *keep,
    struct retention_done *done, struct retention_batch *ret, bool *ret_more)
{
	sqlite3_stmt *st;
	int64_t last = 0;
	enum err e = find_slice(db, done->seen_id, &last, ret_more);

	if (e != OK || last == 0)
		return e;
	st = stmt_open(db, STMT_FULL_JOBS);
	stmt_bind_int(db, st, 1, done->seen_id);
	stmt_bind_int(db, st, 2, last);
	stmt_bind_int(db, st, 3, keep->progress);
	stmt_bind_int(db, st, 4, keep->events);
	e = add_jobs(db, st, &ret->job_ids);
	if (e == OK)
		done->seen_id = last;
	return e;
}

/* Up to when the oldest rows reach that one entry of the log deletes, none of
 * them younger than keep_ms. */
static enum err
find_aged(
    struct db *db, unsigned id, int64_t keep_ms, char ret[RETENTION_TIME_SIZE])
{
	char cutoff[CLOCK_RFC3339_SIZE];
	sqlite3_stmt *st = stmt_open(db, id);
	const char *before = NULL;
	enum err e;

	clock_rfc3339(clock_real_ms() - keep_ms, cutoff);
	stmt_bind_text(db, st, 1, cutoff);
	stmt_bind_int(db, st, 2, STMT_BATCH_ROWS);
	e = stmt_row_text(db, st, &before);
	if (e == OK && before != NULL)
		(void)snprintf(ret, RETENTION_TIME_SIZE, "%s", before);
	stmt_close(st);
	return e == ERR_NOENT ? OK : e;
}

enum err
retention_find(struct db *db, const struct retention *keep,
    struct retention_done *done, struct retention_batch *ret, bool *ret_more)
{
	enum err e = find_old_jobs(db, keep, ret);

	*ret_more = false;
	if (e == OK && ret->job_ids.len == 0)
		e = find_full_jobs(db, keep, done, ret, ret_more);
	if (e == OK)
		e = find_aged(db, STMT_AGED_KEY, DAY_MS, ret->keys_before);
	if (e == OK)
		e = find_aged(db, STMT_AGED_UNCLAIMED, keep->days * DAY_MS,
		    ret->unclaimed_before);
	return e;
}

static bool
is_empty(const struct retention_batch *b)
{
	return b->job_ids.len == 0 && *b->keys_before == '\0' &&
	       *b->unclaimed_before == '\0';
}

static enum err
find_and_post(struct db *db, const struct retention *keep,
    retention_post_fn *post, struct retention_done *done, bool *ret_more)
{
	struct retention_batch batch = {.job_ids = BUF_INIT};
	enum err e = retention_find(db, keep, done, &batch, ret_more);

	if (e == OK && !is_empty(&batch) && (e = db_begin(db)) == OK)
		e = db_end(db, post(db, &batch, keep));
	buf_done(&batch.job_ids);
	return e;
}

enum err
retention_step_clustered(struct db *db, const struct retention *keep,
    retention_post_fn *post, struct retention_done *done, bool *ret_more)
{
	sqlite3_stmt *st = stmt_open(db, STMT_OUTBOX_HAS);
	bool is_under_way = false;
	enum err e;

	*ret_more = false;
	stmt_bind_text(db, st, 1, "retention");
	e = stmt_run_bool(db, st, &is_under_way);
	if (e == OK && !is_under_way)
		e = find_and_post(db, keep, post, done, ret_more);
	if (e == OK)
		e = tokens_prune(db, clock_real_ms() / 1000);
	return e;
}

static enum err
trim(struct db *db, const char *job_id, bool is_progress, int64_t keep)
{
	sqlite3_stmt *st = stmt_open(db, STMT_TRIM_JOB);

	stmt_bind_text(db, st, 1, job_id);
	stmt_bind_int(db, st, 2, is_progress);
	stmt_bind_int(db, st, 3, keep);
	return stmt_run(db, st);
}

enum err
retention_apply(struct db *db, const char *job_id, const char *before,
    const struct retention *keep)
{
	sqlite3_stmt *st = stmt_open(db, STMT_REMOVE_OLD_JOB);
	enum err e;

	stmt_bind_text(db, st, 1, job_id);
	stmt_bind_text(db, st, 2, before);
	if ((e = stmt_run(db, st)) != OK || sqlite3_changes(db->h) > 0)
		return e;
	e = trim(db, job_id, true, keep->progress);
	return e == OK ? trim(db, job_id, false, keep->events) : e;
}

static enum err
delete_before(struct db *db, unsigned id, const char *before)
{
	sqlite3_stmt *st = stmt_open(db, id);

	stmt_bind_text(db, st, 1, before);
	stmt_bind_int(db, st, 2, -1);
	return stmt_run(db, st);
}

enum err
retention_apply_keys(struct db *db, const char *before)
{
	return delete_before(db, STMT_DELETE_KEYS, before);
}

enum err
retention_apply_unclaimed(struct db *db, const char *before)
{
	return delete_before(db, STMT_DELETE_UNCLAIMED, before);
}
