/* SPDX-License-Identifier: ISC */
/*
 * Counts jobs and bytes. Times are told as such and not as ages, which would
 * grow old on their way. Blocks on the disk.
 */
#include "store/gauges.h"

#include <sys/stat.h>
#include <sys/statvfs.h>

#include <inttypes.h>

#include "base/clock.h"
#include "base/metric.h"
#include "job/state.h"
#include "store/mark.h"
#include "store/stmt.h"
#include "store/wal.h"

/* The states that wait for something, in the order of STMT_GAUGES. */
static const enum job_state open_states[] = {JOB_QUEUED, JOB_PROCESSING};

enum { OPEN_STATES = sizeof(open_states) / sizeof(open_states[0]) };

/* Seconds since 1970; 0 where there is no time. */
static enum err
column_time(struct db *db, sqlite3_stmt *st, int i, int64_t *ret)
{
	const char *text;
	int64_t ms = 0;
	enum err e = stmt_column_text(db, st, i, &text);

	if (e == OK && text != NULL && !clock_parse_rfc3339(text, &ms))
		ms = 0;
	*ret = ms / 1000;
	return e;
}

static enum err
add_jobs(struct buf *out, struct db *db, sqlite3_stmt *st)
{
	enum err e = OK;
	int i = 0;

	metric_head(out, "jobs", "gauge", "Jobs that are stored, by state.");
	for (enum job_state k = JOB_QUEUED; k < JOB_STATES; k++)
		buf_addf(out, "jobwire_jobs{state=\"%s\"} %" PRId64 "\n",
		    job_state_name(k), (int64_t)sqlite3_column_int64(st, i++));
	metric_head(out, "job_oldest_timestamp_seconds", "gauge",
	    "When the job in that state had its last event that has been "
	    "silent longest; 0: there is none.");
	for (int k = 0; e == OK && k < OPEN_STATES; k++) {
		int64_t at;

		e = column_time(db, st, i++, &at);
		buf_addf(out,
		    "jobwire_job_oldest_timestamp_seconds{state=\"%s\"} "
		    "%" PRId64 "\n",
		    job_state_name(open_states[k]), at);
	}
	metric_add(out, "unclaimed_events", "gauge",
	    "Events that wait for their job to be registered.",
	    (uint64_t)sqlite3_column_int64(st, i++));
	metric_add(out, "schema_version", "gauge",
	    "The version of the database's tables.",
	    (uint64_t)sqlite3_column_int64(st, i));
	return e;
}

static void
add_bytes(struct buf *out, struct db *db)
{
	struct statvfs fs;
	struct stat file;

	if (stat(db->path, &file) == 0)
		metric_add(out, "database_bytes", "gauge",
		    "Size of the database without its WAL.",
		    (uint64_t)file.st_size);
	metric_add(out, "database_wal_bytes", "gauge",
	    "Bytes in the WAL that count; the file may be larger.",
	    (uint64_t)wal_filled(db));
	/* A file system without blocks does not say. */
	if (statvfs(db->path, &fs) == 0 && fs.f_blocks > 0)
		metric_add(out, "database_free_bytes", "gauge",
		    "What the database's file system has left for us.",
		    (uint64_t)fs.f_bavail * fs.f_frsize);
}

enum err
gauges_add(struct buf *out, struct db *db, int64_t checkpoint_ms)
{
	sqlite3_stmt *st = stmt_open(db, STMT_GAUGES);
	enum err e = stmt_row(db, st);

	if (e == OK)
		e = add_jobs(out, db, st);
	stmt_close(st);
	if (e != OK)
		return e;
	add_bytes(out, db);
	metric_add(out, "checkpoint_timestamp_seconds", "gauge",
	    "When the WAL was last found within its limit, or brought there.",
	    (uint64_t)(checkpoint_ms / 1000));
	metric_add(out, "backup_timestamp_seconds", "gauge",
	    "When `jobwire backup` last made a copy; 0: not known.",
	    (uint64_t)(mark_backup_ms(db) / 1000));
	return OK;
}
