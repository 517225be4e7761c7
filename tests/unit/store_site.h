/* SPDX-License-Identifier: ISC */
/*
 * What the tests of the store share: a folder of its own with a database, our
 * connection to it, and a plain one as any foreign program would have. Include
 * after cmocka.h.
 */
#ifndef JOBWIRE_STORE_SITE_H
#define JOBWIRE_STORE_SITE_H

#include <sys/stat.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sqlite3.h>

#include "store/events.h"
#include "store/stmt.h"

enum { BUSY_MS = 2000 };

struct site {
	char dir[64];
	char path[128];
	struct db *db; /* DB_WRITE */
	sqlite3 *raw;
};

/* Only the folder. */
static inline int
site_empty(void **state)
{
	struct site *s = calloc(1, sizeof(*s));

	assert_non_null(s);
	strcpy(s->dir, "/tmp/jobwire-store-XXXXXX");
	assert_non_null(mkdtemp(s->dir));
	snprintf(s->path, sizeof(s->path), "%s/jobs.db", s->dir);
	*state = s;
	return 0;
}

static inline void
site_open_raw(struct site *s)
{
	assert_int_equal(sqlite3_open(s->path, &s->raw), SQLITE_OK);
	sqlite3_busy_timeout(s->raw, BUSY_MS);
}

static inline int
site_setup(void **state)
{
	struct site *s;

	site_empty(state);
	s = *state;
	assert_int_equal(
	    db_open(s->path, DB_CREATE, BUSY_MS, &s->db, NULL), OK);
	site_open_raw(s);
	return 0;
}

/* No statement may be left open: it would pin the WAL. */
static inline void
site_check(const struct site *s)
{
	sqlite3_stmt *st = NULL;

	if (s->db == NULL)
		return;
	while ((st = sqlite3_next_stmt(s->db->h, st)) != NULL)
		assert_false(sqlite3_stmt_busy(st));
	assert_true(sqlite3_get_autocommit(s->db->h));
}

static inline int
site_teardown(void **state)
{
	struct site *s = *state;
	const struct dirent *entry;
	char path[512];
	DIR *dir;

	site_check(s);
	db_close(&s->db);
	sqlite3_close(s->raw);
	dir = opendir(s->dir);
	assert_non_null(dir);
	while ((entry = readdir(dir)) != NULL) {
		snprintf(path, sizeof(path), "%s/%s", s->dir, entry->d_name);
		unlink(path);
	}
	closedir(dir);
	assert_int_equal(rmdir(s->dir), 0);
	free(s);
	return 0;
}

/* Runs SQL as a foreign program. */
static inline void
raw(struct site *s, const char *sql)
{
	if (sqlite3_exec(s->raw, sql, NULL, NULL, NULL) != SQLITE_OK)
		fail_msg("%s: %s", sql, sqlite3_errmsg(s->raw));
}

/* First column of the first row; "" without one. Valid until the next call. */
static inline const char *
raw_text(struct site *s, const char *sql)
{
	static char text[1024];
	sqlite3_stmt *st;

	if (sqlite3_prepare_v2(s->raw, sql, -1, &st, NULL) != SQLITE_OK)
		fail_msg("%s: %s", sql, sqlite3_errmsg(s->raw));
	text[0] = '\0';
	if (sqlite3_step(st) == SQLITE_ROW &&
	    sqlite3_column_type(st, 0) != SQLITE_NULL)
		snprintf(text, sizeof(text), "%s",
		    (const char *)sqlite3_column_text(st, 0));
	sqlite3_finalize(st);
	return text;
}

static inline long long
raw_int(struct site *s, const char *sql)
{
	return atoll(raw_text(s, sql));
}

static inline off_t
wal_size(const struct site *s)
{
	struct stat file;
	char path[256];

	snprintf(path, sizeof(path), "%s-wal", s->path);
	assert_int_equal(stat(path, &file), 0);
	return file.st_size;
}

/* One more each time that writers begin at the WAL's front again: a part of the
 * salt (https://sqlite.org/fileformat2.html, section 4.1). */
static inline uint32_t
wal_generation(const struct site *s)
{
	unsigned char header[20];
	char path[sizeof(s->path) + 8];
	FILE *f;

	snprintf(path, sizeof(path), "%s-wal", s->path);
	f = fopen(path, "r");
	assert_non_null(f);
	assert_int_equal(fread(header, 1, sizeof(header), f), sizeof(header));
	fclose(f);
	return (uint32_t)header[16] << 24 | (uint32_t)header[17] << 16 |
	       (uint32_t)header[18] << 8 | header[19];
}

/* n events of that type for the job, in one transaction. */
static inline void
raw_events(struct site *s, const char *job_id, const char *type, int n)
{
	char sql[512];

	snprintf(sql, sizeof(sql),
	    "WITH RECURSIVE k(i) AS "
	    "(SELECT 1 UNION ALL SELECT i + 1 FROM k WHERE i < %d) "
	    "INSERT INTO job_events (job_id, type) SELECT '%s', '%s' FROM k",
	    n, job_id, type);
	raw(s, sql);
}

/* Opens it anew, as a relay does. */
static inline void
site_open_to_apply(struct site *s)
{
	db_close(&s->db);
	assert_int_equal(db_open(s->path, DB_APPLY, BUSY_MS, &s->db, NULL), OK);
}

/* On the connection that is tried, not beside it as raw() does. */
static inline void
exec(struct db *db, const char *sql)
{
	char *why = NULL;

	if (sqlite3_exec(db->h, sql, NULL, NULL, &why) != SQLITE_OK)
		fail_msg("%s: %s", why, sql);
}

/* Commits one event; returns its id. */
static inline int64_t
append(struct db *db, const struct event_new *e)
{
	bool is_duplicate = true;
	int64_t id = 0;

	assert_int_equal(db_begin(db), OK);
	assert_int_equal(events_append(db, e, &id, &is_duplicate), OK);
	assert_int_equal(db_commit(db), OK);
	assert_false(is_duplicate);
	return id;
}

#endif
