/* SPDX-License-Identifier: ISC */
/*
 * Retention and checkpoints, and the thread that does both. What deleting a
 * row means for floors is in the triggers of schema.sql. Blocks on the disk
 * and on other writers; the thread exists so that nobody else does.
 *
 * Retention costs nothing while nothing happens: each event is looked at once,
 * after its commit (db->pruned_id), and finished jobs come from an index by
 * age. A new connection begins at the first event, slice by slice.
 */
#include "store/janitor.h"

#include <sys/file.h>

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "io/beside.h"
#include "store/events.h"
#include "store/stmt.h"
#include "store/tokens.h"
#include "store/wal.h"

enum {
	/* A checkpoint that waits for readers holds up writers that long. */
	BUSY_MS = 500,
	/* Between two batches, for writers to get their turn. */
	PAUSE_MS = 20,
	DAY_MS = 86400000,
};

struct janitor {
	struct janitor_config cfg;
	char *db_path; /* owned */
	pthread_t thread;
	pthread_mutex_t mutex;
	pthread_cond_t wake;
	bool is_stopping; /* under mutex; the rest is the thread's own */
	bool is_extended; /* the WAL; or it cannot be */
	int lock_fd;	  /* -1: another process may be the janitor */
	struct db *db;	  /* NULL: not open */
	char fault_text[sizeof(((struct db_fault *)0)->text)]; /* reported */
};

/* --- retention ---------------------------------------------------------- */

static enum err
run_with(struct db *db, unsigned id, int64_t row, int64_t limit)
{
	sqlite3_stmt *st = NULL;
	enum err e = stmt_open(db, id, &st);

	if (e != OK)
		return e;
	stmt_bind_int(db, st, 1, row);
	if (limit > 0)
		stmt_bind_int(db, st, 2, limit);
	return stmt_run(db, st);
}

/* *ret: the rowid of a finished job last changed before cutoff, or 0. */
static enum err
find_old_job(struct db *db, const char *cutoff, int64_t *ret)
{
	sqlite3_stmt *st = NULL;
	enum err e = stmt_open(db, STMT_OLD_JOB, &st);

	if (e != OK)
		return e;
	stmt_bind_text(db, st, 1, cutoff);
	return stmt_run_int(db, st, 0, ret);
}

/* Takes up to *budget rows from a job, its own row last. */
static enum err
delete_job(struct db *db, int64_t job, int *budget, struct janitor_stats *done)
{
	int n_events;
	enum err e;

	if ((e = run_with(db, STMT_STRIP_JOB, job, 0)) != OK ||
	    (e = run_with(db, STMT_DELETE_EVENTS, job, *budget)) != OK)
		return e;
	n_events = sqlite3_changes(db->h);
	done->pruned_events += (uint64_t)n_events;
	*budget -= n_events;
	if (*budget > 0) {
		e = run_with(db, STMT_DELETE_JOB, job, 0);
		done->pruned_jobs++;
		--*budget;
	}
	return e;
}

void
janitor_cutoff(int64_t keep_days, char ret[CLOCK_RFC3339_SIZE])
{
	clock_rfc3339(clock_real_ms() - keep_days * DAY_MS, ret);
}

static enum err
prune_jobs(struct db *db, int64_t keep_days, bool *ret_more,
    struct janitor_stats *add_to)
{
	struct janitor_stats done = *add_to;
	char cutoff[CLOCK_RFC3339_SIZE];
	int budget = STMT_BATCH_ROWS;
	int64_t job = 0;
	enum err e;

	janitor_cutoff(keep_days, cutoff);
	e = find_old_job(db, cutoff, &job);
	if (e != OK || job == 0) {
		*ret_more = false;
		return e;
	}
	if ((e = db_begin(db)) != OK)
		return e;
	/* Asked again: only now can nobody reopen it under our hands. */
	while (budget > 0 && (e = find_old_job(db, cutoff, &job)) == OK &&
	       job != 0)
		if ((e = delete_job(db, job, &budget, &done)) != OK)
			break;
	if (e != OK) {
		db_rollback(db);
		return e;
	}
	if ((e = db_commit(db)) != OK)
		return e;
	*ret_more = budget == 0;
	*add_to = done;
	return OK;
}

/* Ids of events of one kind beyond the newest `keep` of their job, for the
 * jobs that have events in after+1..last. */
static enum err
find_surplus(struct db *db, int64_t last, bool is_progress, int64_t keep,
    int64_t ids[STMT_BATCH_ROWS], size_t *ret_n)
{
	sqlite3_stmt *st = NULL;
	bool has_row = false;
	size_t n = 0;
	enum err e;

	if ((e = stmt_open(db, STMT_SURPLUS, &st)) != OK)
		return e;
	stmt_bind_int(db, st, 1, db->pruned_id);
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
    struct db *db, const int64_t *ids, size_t n, struct janitor_stats *add_to)
{
	uint64_t n_deleted = 0;
	enum err e;
	size_t i;

	if ((e = db_begin(db)) != OK)
		return e;
	for (i = 0; e == OK && i < n; i++) {
		e = run_with(db, STMT_DELETE_EVENT, ids[i], 0);
		n_deleted += (uint64_t)sqlite3_changes(db->h);
	}
	if (e != OK) {
		db_rollback(db);
		return e;
	}
	if ((e = db_commit(db)) == OK)
		add_to->pruned_events += n_deleted;
	return e;
}

static enum err
prune_events(struct db *db, const struct janitor_config *cfg, bool *ret_more,
    struct janitor_stats *add_to)
{
	int64_t ids[STMT_BATCH_ROWS], last = 0;
	sqlite3_stmt *st = NULL;
	size_t n = 0;
	int is_progress;
	enum err e;

	if ((e = stmt_open(db, STMT_SLICE, &st)) != OK)
		return e;
	stmt_bind_int(db, st, 1, db->pruned_id);
	if ((e = stmt_run_int(db, st, 0, &last)) != OK)
		return e;
	*ret_more = last != 0;
	if (last == 0)
		return OK;
	/* Progress first: a search for other events walks over all of it. */
	for (is_progress = 1; is_progress >= 0; is_progress--) {
		e = find_surplus(db, last, is_progress != 0,
		    is_progress ? cfg->keep_progress : cfg->keep_events, ids,
		    &n);
		if (e == OK && n > 0)
			e = delete_events(db, ids, n, add_to);
		if (e != OK || n == STMT_BATCH_ROWS)
			return e; /* there may be more in this slice */
	}
	db->pruned_id = last;
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
	sqlite3_stmt *st = NULL;
	enum err e;

	if ((e = db_begin(db)) != OK)
		return e;
	if ((e = stmt_open(db, id, &st)) == OK) {
		stmt_bind_text(db, st, 1, cutoff);
		stmt_bind_int(db, st, 2, STMT_BATCH_ROWS);
		e = stmt_run(db, st);
	}
	if (e != OK) {
		db_rollback(db);
		return e;
	}
	*ret_more = sqlite3_changes(db->h) == STMT_BATCH_ROWS;
	return db_commit(db);
}

static enum err
prune_aged(struct db *db, int64_t keep_days, bool *ret_more)
{
	char cutoff[CLOCK_RFC3339_SIZE];
	sqlite3_stmt *st = NULL;
	int64_t is_there = 0;
	enum err e = OK;

	*ret_more = false;
	for (size_t i = 0; i < sizeof(aged) / sizeof(aged[0]); i++) {
		clock_rfc3339(clock_real_ms() - (aged[i].keep_ms > 0
							? aged[i].keep_ms
							: keep_days * DAY_MS),
		    cutoff);
		/* Looked for first: a DELETE locks out writers. */
		if ((e = stmt_open(db, aged[i].find, &st)) != OK)
			return e;
		stmt_bind_text(db, st, 1, cutoff);
		if ((e = stmt_run_int(db, st, 0, &is_there)) != OK)
			return e;
		if (is_there != 0)
			return delete_aged(
			    db, aged[i].delete, cutoff, ret_more);
	}
	return OK;
}

enum err
janitor_prune(struct db *db, const struct janitor_config *cfg, bool *ret_more,
    struct janitor_stats *add_to)
{
	enum err e = prune_jobs(db, cfg->keep_days, ret_more, add_to);

	if (e == OK && !*ret_more)
		e = prune_aged(db, cfg->keep_days, ret_more);
	if (e == OK && !*ret_more)
		e = prune_events(db, cfg, ret_more, add_to);
	if (e == OK && !*ret_more)
		e = tokens_prune(db, clock_real_ms() / 1000);
	return e;
}

/* --- checkpoints -------------------------------------------------------- */

enum err
janitor_checkpoint(
    struct db *db, int64_t limit_bytes, struct janitor_stats *add_to)
{
	enum err e;
	int rc;

	if (!wal_is_filled(db, limit_bytes))
		return OK;
	/* Where others hold the lock, SQLite would do a PASSIVE one. */
	if ((e = db_begin(db)) != OK)
		return e;
	db_rollback(db);
	rc = sqlite3_wal_checkpoint_v2(
	    db->h, "main", SQLITE_CHECKPOINT_RESTART, NULL, NULL);
	if (rc != SQLITE_OK)
		return stmt_failed(db, rc);
	add_to->checkpoints++;
	return OK;
}

/* --- the thread --------------------------------------------------------- */

/* True when it is time to end. */
static bool
wait_ms(struct janitor *j, int64_t ms)
{
	int64_t end_us = clock_mono_us() + ms * 1000;
	struct timespec end = {
	    .tv_sec = (time_t)(end_us / 1000000),
	    .tv_nsec = (long)(end_us % 1000000) * 1000,
	};
	bool is_stopping;

	pthread_mutex_lock(&j->mutex);
	while (!j->is_stopping &&
	       pthread_cond_timedwait(&j->wake, &j->mutex, &end) != ETIMEDOUT)
		;
	is_stopping = j->is_stopping;
	pthread_mutex_unlock(&j->mutex);
	return is_stopping;
}

/* NULL: all is well. Tells of a change only: the same fault at each look is
 * one fault. */
static void
report(struct janitor *j, const struct db_fault *fault)
{
	const char *text = fault != NULL ? fault->text : "";

	if (strcmp(j->fault_text, text) == 0)
		return;
	snprintf(j->fault_text, sizeof(j->fault_text), "%s", text);
	if (j->cfg.on_fault != NULL)
		j->cfg.on_fault(j->cfg.arg, fault);
}

static void
let_go(struct janitor *j)
{
	db_close(&j->db);
	if (j->lock_fd != -1)
		close(j->lock_fd);
	j->lock_fd = -1;
}

/* Is this process the janitor? The lock is kept until let_go(). */
static bool
take_lock(struct janitor *j)
{
	struct db_fault fault = {0};
	struct buf path = BUF_INIT;

	if (j->lock_fd != -1)
		return true;
	beside_add(&path, j->db_path, "-janitor");
	errno = ENOMEM;
	if (buf_ok(&path))
		j->lock_fd =
		    open(path.data, O_RDWR | O_CREAT | O_CLOEXEC, 0660);
	if (j->lock_fd == -1) {
		fault.sys_errno = errno;
		snprintf(fault.text, sizeof(fault.text),
		    "cannot open %.100s: %s", buf_span(&path).p,
		    strerror(fault.sys_errno));
		report(j, &fault);
	}
	buf_done(&path);
	if (j->lock_fd == -1)
		return false;
	if (flock(j->lock_fd, LOCK_EX | LOCK_NB) == 0)
		return true;
	close(j->lock_fd);
	j->lock_fd = -1;
	return false;
}

static bool
take_db(struct janitor *j)
{
	struct db_fault fault;

	if (j->db != NULL)
		return true;
	if (db_open(j->cfg.db_path, DB_WRITE, BUSY_MS, &j->db, &fault) != OK) {
		report(j, &fault);
		return false;
	}
	j->is_extended = false;
	return true;
}

static enum err
work(struct janitor *j)
{
	struct janitor_stats stats = {0};
	bool has_more = true;
	enum err e;

	/* All works without, as on a full disk; but a lock is not for ever. */
	if (!j->is_extended)
		j->is_extended =
		    wal_extend(j->db, j->cfg.wal_bytes) != ERR_BUSY;
	for (;;) {
		e = janitor_checkpoint(j->db, j->cfg.wal_limit_bytes, &stats);
		if (e == OK || e == ERR_BUSY)
			e = janitor_prune(j->db, &j->cfg, &has_more, &stats);
		if (e != OK)
			return e;
		if (!has_more || wait_ms(j, PAUSE_MS))
			return OK;
	}
}

static void
look(struct janitor *j)
{
	enum err e;

	if (j->db != NULL && db_has_moved(j->db))
		let_go(j);
	if (!take_lock(j) || !take_db(j))
		return;
	e = work(j);
	if (e == OK) {
		report(j, NULL);
	} else if (e != ERR_BUSY) {
		report(j, db_last_fault(j->db));
		let_go(j); /* a fresh connection next time */
	}
}

static void *
run(void *arg)
{
	struct janitor *j = arg;

	do
		look(j);
	while (!wait_ms(j, j->cfg.interval_ms));
	let_go(j);
	return NULL;
}

static void
janitor_free(struct janitor **j)
{
	pthread_cond_destroy(&(*j)->wake);
	pthread_mutex_destroy(&(*j)->mutex);
	free((*j)->db_path);
	free(*j);
	*j = NULL;
}

static struct janitor *
janitor_new(const struct janitor_config *cfg)
{
	struct janitor *j = calloc(1, sizeof(*j));
	pthread_condattr_t attr;

	if (j == NULL)
		return NULL;
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&j->wake, &attr);
	pthread_condattr_destroy(&attr);
	pthread_mutex_init(&j->mutex, NULL);
	j->lock_fd = -1;
	j->cfg = *cfg;
	j->cfg.db_path = j->db_path = strdup(cfg->db_path);
	if (j->db_path == NULL)
		janitor_free(&j);
	return j;
}

enum err
janitor_start(const struct janitor_config *cfg, struct janitor **ret)
{
	struct janitor *j = janitor_new(cfg);
	int rc;

	if (j == NULL)
		return ERR_NOMEM;
	rc = pthread_create(&j->thread, NULL, run, j);
	if (rc != 0) {
		janitor_free(&j);
		errno = rc;
		return ERR_SYS;
	}
	*ret = j;
	return OK;
}

void
janitor_stop(struct janitor **j)
{
	if (*j == NULL)
		return;
	pthread_mutex_lock(&(*j)->mutex);
	(*j)->is_stopping = true;
	pthread_cond_signal(&(*j)->wake);
	pthread_mutex_unlock(&(*j)->mutex);
	pthread_join((*j)->thread, NULL);
	janitor_free(j);
}

void
janitor_step(const struct janitor_config *cfg)
{
	struct janitor *j = janitor_new(cfg);
	struct janitor_stats stats = {0};
	int64_t last = 0;
	bool has_more;
	enum err e;

	if (j == NULL)
		return;
	if (take_lock(j) && take_db(j)) {
		e = janitor_checkpoint(j->db, cfg->wal_limit_bytes, &stats);
		if (e == OK || e == ERR_BUSY)
			e = events_last_id(j->db, &last);
		j->db->pruned_id = random_between(0, last);
		if (e == OK)
			e = janitor_prune(j->db, cfg, &has_more, &stats);
		if (e != OK && e != ERR_BUSY)
			report(j, db_last_fault(j->db));
	}
	let_go(j);
	janitor_free(&j);
}
