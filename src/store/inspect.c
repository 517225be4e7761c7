/* SPDX-License-Identifier: ISC */
/*
 * Counts and checks for the command line. What is alarming is the caller's to
 * say. Blocks on the disk; the check for no longer than it may.
 */
#include "store/inspect.h"

#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "store/stmt.h"

static enum err
copy_time(
    struct db *db, sqlite3_stmt *st, int column, char ret[INSPECT_TIME_SIZE])
{
	const char *text;
	enum err e = stmt_column_text(db, st, column, &text);

	if (e == OK)
		(void)snprintf(
		    ret, INSPECT_TIME_SIZE, "%s", text != NULL ? text : "");
	return e;
}

enum err
inspect_count(struct db *db, struct inspect_counts *ret)
{
	struct inspect_counts s = {0};
	sqlite3_stmt *st = stmt_open(db, STMT_COUNT);
	enum err e = stmt_row(db, st);
	int i = 0;

	if (e == OK) {
		for (enum job_state k = JOB_QUEUED; k < JOB_STATES; k++)
			s.jobs[k] = sqlite3_column_int64(st, i++);
		s.events = sqlite3_column_int64(st, i++);
		s.unclaimed = sqlite3_column_int64(st, i++);
		e = copy_time(db, st, i++, s.oldest);
		if (e == OK)
			e = copy_time(db, st, i, s.newest);
	}
	if (e == OK)
		*ret = s;
	stmt_close(st);
	return e;
}

enum err
inspect_prunable(
    struct db *db, const struct retention *keep, struct retention_done *ret)
{
	char cutoff[CLOCK_RFC3339_SIZE];
	sqlite3_stmt *st = stmt_open(db, STMT_PRUNABLE);
	enum err e;

	retention_cutoff(keep->days, cutoff);
	stmt_bind_text(db, st, 1, cutoff);
	stmt_bind_int(db, st, 2, keep->progress);
	stmt_bind_int(db, st, 3, keep->events);
	e = stmt_row(db, st);
	if (e == OK) {
		ret->jobs = (uint64_t)sqlite3_column_int64(st, 0);
		ret->events = (uint64_t)sqlite3_column_int64(st, 1);
	}
	stmt_close(st);
	return e;
}

/* Interrupts the connection after a time, from a thread of its own: a progress
 * handler is not called while SQLite 3.40 walks through the pages of a table,
 * but an interruption is heeded. */
struct time_limit {
	sqlite3 *h;
	struct timespec at; /* CLOCK_REALTIME, as sem_timedwait() has it */
	sem_t over;
	pthread_t thread;
};

static void *
interrupt_late(void *arg)
{
	struct time_limit *t = arg;
	int rc;

	do
		rc = sem_timedwait(&t->over, &t->at);
	while (rc != 0 && errno == EINTR);
	if (rc != 0)
		sqlite3_interrupt(t->h);
	return NULL;
}

static enum err
time_limit_start(struct time_limit *t, sqlite3 *h, int64_t after_ms)
{
	t->h = h;
	(void)clock_gettime(CLOCK_REALTIME, &t->at);
	t->at.tv_sec += (time_t)(after_ms / 1000);
	t->at.tv_nsec += (long)(after_ms % 1000) * 1000000;
	if (t->at.tv_nsec >= 1000000000) {
		t->at.tv_sec++;
		t->at.tv_nsec -= 1000000000;
	}
	if (sem_init(&t->over, 0, 0) != 0)
		return ERR_SYS;
	if (pthread_create(&t->thread, NULL, interrupt_late, t) != 0) {
		(void)sem_destroy(&t->over);
		return ERR_SYS;
	}
	return OK;
}

static void
time_limit_stop(struct time_limit *t)
{
	(void)sem_post(&t->over);
	(void)pthread_join(t->thread, NULL);
	(void)sem_destroy(&t->over);
}

/* The first row says it all: "ok", or the first thing that is wrong. */
static enum err
take_finding(struct db *db, sqlite3_stmt *st)
{
	const char *text;
	enum err e = stmt_row_text(db, st, &text);

	if (e != OK)
		return e;
	if (text == NULL || strcmp(text, "ok") == 0)
		return OK;
	e = stmt_failed(db, SQLITE_CORRUPT);
	(void)snprintf(db->fault.text, sizeof(db->fault.text), "%s", text);
	db->fault.text[strcspn(db->fault.text, "\n")] = '\0';
	return e;
}

enum err
inspect_check(struct db *db, int64_t budget_ms, bool *ret_whole)
{
	struct time_limit limit;
	sqlite3_stmt *st = stmt_open(db, STMT_QUICK_CHECK);
	bool is_cut = false;
	enum err e = time_limit_start(&limit, db->h, budget_ms);

	if (e != OK)
		return e;
	e = take_finding(db, st);
	time_limit_stop(&limit);
	if (e != OK && db->fault.code == SQLITE_INTERRUPT) {
		is_cut = true;
		e = OK;
	}
	stmt_close(st);
	if (e == OK)
		*ret_whole = !is_cut;
	return e;
}

enum err
inspect_is_wal(struct db *db, bool *ret)
{
	sqlite3_stmt *st = stmt_open(db, STMT_JOURNAL);
	const char *mode;
	enum err e = stmt_row_text(db, st, &mode);

	if (e == OK)
		*ret = mode != NULL && strcmp(mode, "wal") == 0;
	stmt_close(st);
	return e;
}

const char *
inspect_sqlite(bool *ret_has_wal_reset_bug)
{
	int n = sqlite3_libversion_number();

	*ret_has_wal_reset_bug = n < 3051003 &&
				 !(n >= 3044006 && n < 3045000) &&
				 !(n >= 3050007 && n < 3051000);
	return sqlite3_libversion();
}
