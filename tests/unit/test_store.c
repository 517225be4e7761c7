/* SPDX-License-Identifier: ISC */
/* schema.sql; store/db.c, store/schema.c, store/stmt.c, store/events.c,
 * store/jobs.c */
#include "store/db.h"

#include <sys/stat.h>
#include <sys/wait.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/clock.h"
#include "store/events.h"
#include "store/jobs.h"
#include "store_site.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* --- helpers -------------------------------------------------------------- */

/* Opens, expects a failure, and that its text holds the words. */
static void
assert_fault(
    const char *path, enum db_mode mode, enum err expected, const char *words)
{
	struct db_fault fault = {0};
	struct db *db = NULL;

	assert_int_equal(db_open(path, mode, 20, &db, &fault), expected);
	assert_null(db);
	if (strstr(fault.text, words) == NULL)
		fail_msg("\"%s\" is not in \"%s\"", words, fault.text);
	assert_int_equal(db_open(path, mode, 20, &db, NULL), expected);
}

static void
write_file(const char *path, const char *text)
{
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

/* Commits one event; returns its id. */
static int64_t
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

/* What a reading gave, as "1:a:queued 2:b:completed ". */
struct seen {
	char text[4096];
	size_t len;
	int stop_after; /* rows; 0: never */
};

static bool
on_row(void *arg, const struct event_row *row)
{
	struct seen *seen = arg;

	seen->len += (size_t)snprintf(seen->text + seen->len,
	    sizeof(seen->text) - seen->len, "%lld:%s:%s ", (long long)row->id,
	    row->job_id, row->type);
	return --seen->stop_after != 0;
}

/* --- opening -------------------------------------------------------------- */

static void
test_create_and_reopen(void **state)
{
	struct site *s = *state;
	char epoch[DB_EPOCH_SIZE];
	struct stat file;
	mode_t mask = umask(0);

	umask(mask);
	assert_int_equal(
	    db_open(s->path, DB_CREATE, BUSY_MS, &s->db, NULL), OK);
	assert_int_equal(stat(s->path, &file), 0);
	assert_int_equal(file.st_mode & 0777, 0660 & ~mask);
	assert_string_equal(db_path(s->db), s->path);
	strcpy(epoch, db_epoch(s->db));
	assert_int_equal(strlen(epoch), 8);
	assert_int_equal(strspn(epoch, "0123456789abcdef"), 8);
	assert_int_equal(db_last_fault(s->db)->code, 0);
	db_close(&s->db);
	assert_null(s->db);
	db_close(&s->db);

	assert_int_equal(db_open(s->path, DB_READ, BUSY_MS, &s->db, NULL), OK);
	assert_string_equal(db_epoch(s->db), epoch);
	assert_int_equal(db_begin(s->db), ERR_READONLY);
	db_close(&s->db);
	assert_int_equal(
	    db_open(s->path, DB_CREATE, BUSY_MS, &s->db, NULL), OK);
	assert_string_equal(db_epoch(s->db), epoch);
	site_open_raw(s);
	assert_string_equal(raw_text(s, "PRAGMA journal_mode"), "wal");
	assert_int_equal(raw_int(s, "PRAGMA application_id"), 0x6a6f6277);
	assert_int_equal(raw_int(s, "PRAGMA user_version"), 1);
	assert_string_equal(raw_text(s, "PRAGMA integrity_check"), "ok");
}

static void
test_settings(void **state)
{
	struct site *s = *state;
	sqlite3 *h = s->raw;

	s->raw = s->db->h;
	assert_int_equal(raw_int(s, "PRAGMA synchronous"), 2);
	assert_int_equal(raw_int(s, "PRAGMA mmap_size"), 0);
	assert_int_equal(raw_int(s, "PRAGMA wal_autocheckpoint"), 0);
	assert_int_equal(raw_int(s, "PRAGMA cell_size_check"), 1);
	assert_int_equal(raw_int(s, "PRAGMA query_only"), 0);
	s->raw = h;
}

static void
test_reader_cannot_write(void **state)
{
	struct event_new e = {.job_id = "a", .type = "queued"};
	struct site *s = *state;
	bool is_duplicate;
	struct db *db;
	int64_t id;

	assert_int_equal(db_open(s->path, DB_READ, BUSY_MS, &db, NULL), OK);
	assert_int_equal(
	    events_append(db, &e, &id, &is_duplicate), ERR_READONLY);
	assert_int_equal(db_last_fault(db)->code & 0xff, SQLITE_READONLY);
	db_close(&db);
}

static void
test_empty_file_becomes_a_database(void **state)
{
	struct site *s = *state;

	write_file(s->path, "");
	assert_fault(s->path, DB_READ, ERR_VERSION,
	    "schema version 0 is older than this program's 1; "
	    "run: jobwire init");
	assert_int_equal(db_open(s->path, DB_WRITE, BUSY_MS, &s->db, NULL), OK);
}

static void
test_no_name_is_special(void **state)
{
	struct site *s = *state;
	char dir[256];

	assert_non_null(getcwd(dir, sizeof(dir)));
	assert_int_equal(chdir(s->dir), 0);
	assert_fault(":memory:", DB_READ, ERR_NOENT, "no database at :memory:");
	assert_fault("file:x?mode=memory", DB_WRITE, ERR_NOENT, "no database");
	assert_int_equal(
	    db_open("file:x?mode=memory", DB_CREATE, BUSY_MS, &s->db, NULL),
	    OK);
	assert_int_equal(access("file:x?mode=memory", F_OK), 0);
	db_close(&s->db);
	assert_int_equal(chdir(dir), 0);
}

static void
test_fault_missing(void **state)
{
	struct site *s = *state;
	char words[512], path[256];

	snprintf(words, sizeof(words),
	    "no database at %s; create it with: jobwire init --db %s", s->path,
	    s->path);
	assert_fault(s->path, DB_READ, ERR_NOENT, words);
	assert_fault(s->path, DB_WRITE, ERR_NOENT, words);
	assert_int_not_equal(access(s->path, F_OK), 0);
	snprintf(path, sizeof(path), "%s/no/jobs.db", s->dir);
	assert_fault(path, DB_CREATE, ERR_NOENT, "create the folder first");
	assert_fault(s->dir, DB_WRITE, ERR_READONLY, s->dir);
}

static void
test_fault_not_a_database(void **state)
{
	struct site *s = *state;
	char text[4096];

	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	write_file(s->path, text);
	assert_fault(s->path, DB_READ, ERR_CORRUPT, "is not a database");
	assert_fault(s->path, DB_CREATE, ERR_CORRUPT, s->path);
}

static void
test_fault_other_program(void **state)
{
	struct site *s = *state;

	site_open_raw(s);
	raw(s, "CREATE TABLE t (x)");
	assert_fault(s->path, DB_WRITE, ERR_CORRUPT,
	    "is the database of another program");
	raw(s, "PRAGMA application_id = 7; PRAGMA user_version = 1");
	assert_fault(s->path, DB_CREATE, ERR_CORRUPT,
	    "is the database of another program");
	/* It was left as it was. */
	assert_string_equal(raw_text(s, "PRAGMA journal_mode"), "delete");
}

static void
test_fault_newer(void **state)
{
	struct site *s = *state;

	raw(s, "PRAGMA user_version = 7");
	assert_fault(s->path, DB_READ, ERR_VERSION,
	    ": schema version 7 is newer than this program's 1; "
	    "upgrade jobwire");
	assert_fault(s->path, DB_WRITE, ERR_VERSION, s->path);
}

static void
test_fault_altered(void **state)
{
	struct site *s = *state;

	raw(s, "UPDATE meta SET value = 'short' WHERE key = 'epoch'");
	assert_fault(s->path, DB_READ, ERR_CORRUPT, "jobwire init");
	raw(s, "DROP TABLE meta");
	assert_fault(s->path, DB_READ, ERR_CORRUPT, "no such table");
}

static void
test_fault_locked(void **state)
{
	struct site *s = *state;

	db_close(&s->db);
	raw(s, "PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE");
	assert_fault(
	    s->path, DB_WRITE, ERR_BUSY, "database is locked; another");
	assert_fault(s->path, DB_READ, ERR_BUSY, s->path);
	raw(s, "ROLLBACK");
}

/* Root may write everything, so it becomes somebody else for a while. */
static void
test_fault_readonly(void **state)
{
	struct site *s = *state;
	bool is_root = geteuid() == 0;

	db_close(&s->db);
	sqlite3_close(s->raw);
	s->raw = NULL;
	assert_int_equal(chmod(s->path, 0444), 0);
	assert_int_equal(chmod(s->dir, 0555), 0);
	if (is_root)
		assert_int_equal(seteuid(65534), 0);
	assert_fault(s->path, DB_WRITE, ERR_READONLY,
	    "make it and its folder writable for this user");
	assert_fault(s->path, DB_CREATE, ERR_READONLY, s->path);
	if (is_root)
		assert_int_equal(seteuid(0), 0);
	assert_int_equal(chmod(s->dir, 0700), 0);
}

static void
test_creation_race(void **state)
{
	struct site *s = *state;
	pid_t pids[6];
	struct db *db;
	size_t i;
	int status;

	for (i = 0; i < COUNT(pids); i++) {
		pids[i] = fork();
		assert_int_not_equal(pids[i], -1);
		if (pids[i] == 0) {
			status =
			    (int)db_open(s->path, DB_CREATE, 10000, &db, NULL);
			if (status == OK)
				db_close(&db);
			_exit(status);
		}
	}
	for (i = 0; i < COUNT(pids); i++) {
		assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
		assert_int_equal(status, 0);
	}
	site_open_raw(s);
	assert_int_equal(raw_int(s, "SELECT count(*) FROM meta"), 2);
}

/* --- the schema, as a foreign program sees it ----------------------------- */

static void
test_bare_insert_is_complete(void **state)
{
	static const char times[] =
	    "SELECT count(*) FROM jobs AS j, job_events AS e WHERE "
	    "j.updated_at GLOB '20[0-9][0-9]-[01][0-9]-[0-3][0-9]T"
	    "[0-2][0-9]:[0-5][0-9]:[0-5][0-9].[0-9][0-9][0-9]Z' AND "
	    "e.created_at GLOB '20*T*.[0-9][0-9][0-9]Z'";
	struct site *s = *state;

	raw(s, "INSERT INTO job_events (job_id, type, data) VALUES ('j:1~x', "
	       "'completed', '{\"restore_id\":\"456\",\"output\":[1, 2]}')");
	assert_string_equal(
	    raw_text(s, "SELECT state || ' ' || restore_id || ' ' || "
			"output || ' ' || floor FROM jobs "
			"WHERE job_id = 'j:1~x'"),
	    "completed 456 [1,2] 0");
	assert_string_equal(
	    raw_text(s, "SELECT id || status FROM job_events"), "1completed");
	assert_int_equal(raw_int(s, times), 1);
}

static void
test_output_text_is_kept(void **state)
{
	static const struct {
		const char *data, *output;
	} rows[] = {
	    {"{\"output\":12345678901234567890123}", "12345678901234567890123"},
	    {"{\"output\":1e400}", "1e400"},
	    {"{\"output\":[1.10,-0,1E+2,9007199254740993]}",
		"[1.10,-0,1E+2,9007199254740993]"},
	    {"{\"output\":{\"a\":{\"b\":[]}}}", "{\"a\":{\"b\":[]}}"},
	    {"{\"output\":\"q\\\"u,]o\\u00e9\"}", "\"q\\\"u,]o\\u00e9\""},
	    {"{\"output\":\"\xc3\xa9\xf0\x9f\x98\x80\"}",
		"\"\xc3\xa9\xf0\x9f\x98\x80\""},
	    {"{\"output\":\"\xff\xe2\"}", "\"\xff\xe2\""},
	    {"{\"output\":\"\"}", "\"\""},
	    {"{\"output\":true}", "true"},
	    {"{\"output\":null}", "null"},
	    {"{\"other\":{\"output\":1}}", ""},
	    {"{}", ""},
	};
	struct event_new e = {.type = "completed"};
	struct site *s = *state;
	char job_id[8], sql[64];
	size_t i;

	for (i = 0; i < COUNT(rows); i++) {
		snprintf(job_id, sizeof(job_id), "j%u", (unsigned)i);
		e.job_id = job_id;
		e.data = span_of(rows[i].data);
		append(s->db, &e);
		snprintf(sql, sizeof(sql),
		    "SELECT output FROM jobs WHERE job_id = '%s'", job_id);
		assert_string_equal(raw_text(s, sql), rows[i].output);
	}
}

static void
test_output_stays_until_replaced(void **state)
{
	struct site *s = *state;

	raw(s, "INSERT INTO job_events (job_id, type, data) VALUES "
	       "('a', 'completed', '{\"output\":1,\"restore_id\":7}'), "
	       "('a', 'note', NULL), ('a', 'note', '{\"restore_id\":\"r\"}'), "
	       "('a', 'note', '{\"restore_id\":\"s\"}')");
	assert_string_equal(
	    raw_text(s, "SELECT output || restore_id FROM jobs"), "1r");
	raw(s, "INSERT INTO job_events (job_id, type, data) VALUES "
	       "('a', 'note', '{\"output\":null}')");
	assert_string_equal(raw_text(s, "SELECT output FROM jobs"), "null");
}

static void
test_state_machine(void **state)
{
	static const struct {
		const char *types[4]; /* in this order */
		const char *expected; /* status after each */
	} rows[] = {
	    {{"queued"}, "queued"},
	    {{"progress"}, "processing"},
	    {{"custom"}, "queued"},
	    {{"queued", "progress", "custom", "completed"},
		"queued,processing,processing,completed"},
	    {{"custom", "progress", "failed"}, "queued,processing,failed"},
	    {{"completed", "progress", "custom"},
		"completed,completed,completed"},
	    {{"failed", "queued", "progress", "timed_out"},
		"failed,queued,processing,timed_out"},
	    {{"cancelled", "processing"}, "cancelled,processing"},
	};
	struct site *s = *state;
	size_t i, k;
	char sql[256];

	for (i = 0; i < COUNT(rows); i++) {
		raw(s, "DELETE FROM jobs");
		for (k = 0; k < 4 && rows[i].types[k] != NULL; k++)
			raw_events(s, "a", rows[i].types[k], 1);
		assert_string_equal(
		    raw_text(s, "SELECT group_concat(status) FROM job_events"),
		    rows[i].expected);
		snprintf(sql, sizeof(sql),
		    "SELECT '%s' GLOB ('*' || state) FROM jobs",
		    rows[i].expected);
		assert_int_equal(raw_int(s, sql), 1);
	}
}

/* The conflict clause of the outer statement reaches into triggers. */
static void
test_outer_conflict_clause(void **state)
{
	struct site *s = *state;

	raw(s, "INSERT INTO job_events (job_id, type) VALUES ('a', 'queued');"
	       "INSERT OR IGNORE INTO job_events (job_id, type, source, "
	       "delivery_key) VALUES ('a', 'completed', 's', 'k');"
	       "INSERT OR IGNORE INTO job_events (job_id, type, source, "
	       "delivery_key) VALUES ('a', 'failed', 's', 'k');");
	assert_string_equal(raw_text(s, "SELECT state FROM jobs"), "completed");
	raw(s, "INSERT OR REPLACE INTO job_events (job_id, type) "
	       "VALUES ('a', 'failed')");
	assert_string_equal(raw_text(s, "SELECT state FROM jobs"), "failed");
	assert_int_equal(raw_int(s, "SELECT count(*) FROM job_events"), 3);
}

static void
test_invalid_rows_are_refused(void **state)
{
	static const char *const values[] = {
	    "'', 'queued', NULL",
	    "NULL, 'queued', NULL",
	    "'a b', 'queued', NULL",
	    "'a/b', 'queued', NULL",
	    "'\xc3\xa9', 'queued', NULL",
	    "substr(hex(zeroblob(65)), 2), 'queued', NULL",
	    "'a' || char(0) || '/', 'queued', NULL",
	    "CAST(x'6100' AS TEXT), 'queued', NULL",
	    "x'61', 'queued', NULL",
	    "'a', '', NULL",
	    "'a', NULL, NULL",
	    "'a', 'Queued', NULL",
	    "'a', '1x', NULL",
	    "'a', '_x', NULL",
	    "'a', 'a b', NULL",
	    "'a', 'a' || char(10), NULL",
	    "'a', 'a' || char(0), NULL",
	    "'a', 'a' || hex(zeroblob(32)), NULL",
	    "'a', 'queued', ''",
	    "'a', 'queued', 'null'",
	    "'a', 'queued', '[]'",
	    "'a', 'queued', '1'",
	    "'a', 'queued', '{'",
	    "'a', 'queued', '{a:1}'",
	    "'a', 'queued', '{} {}'",
	    "'a', 'queued', '{}' || char(0) || 'x'",
	    "'a', 'queued', x'7b7d'",
	};
	struct site *s = *state;
	char sql[256];
	size_t i;
	int rc;

	for (i = 0; i < COUNT(values); i++) {
		snprintf(sql, sizeof(sql),
		    "INSERT INTO job_events (job_id, type, data) VALUES (%s)",
		    values[i]);
		rc = sqlite3_exec(s->raw, sql, NULL, NULL, NULL);
		if (rc != SQLITE_CONSTRAINT)
			fail_msg("%s: %d", values[i], rc);
	}
	assert_int_equal(raw_int(s, "SELECT count(*) FROM jobs"), 0);
	raw(s, "INSERT INTO job_events (job_id, type, data) VALUES "
	       "(hex(zeroblob(64)), 'a' || hex(zeroblob(31)), "
	       "' { } '), ('A-Z.a_z:0~9', 'x_y.z-0', NULL)");
}

static bool
keep_data(void *arg, const struct event_row *row)
{
	buf_reset(arg);
	buf_add_span(arg, row->data);
	return true;
}

static void
test_data_is_read_as_bytes(void **state)
{
	struct buf data = BUF_INIT;
	struct site *s = *state;

	raw(s, "INSERT INTO job_events (job_id, type, data) "
	       "VALUES ('a', 'x', CAST(x'7b2261223a22ffc0227d' AS TEXT))");
	assert_int_equal(events_read_all(s->db, 0, 9, keep_data, &data), OK);
	assert_true(span_eq_str(buf_span(&data), "{\"a\":\"\xff\xc0\"}"));
	/* As a program could that switches the checks off. */
	raw(s, "PRAGMA ignore_check_constraints = ON;"
	       "UPDATE job_events SET data = CAST(x'7b00ff7d' AS TEXT)");
	assert_int_equal(events_read_all(s->db, 0, 9, keep_data, &data), OK);
	assert_true(span_eq(buf_span(&data), ((struct span){"{\0\xff}", 4})));
	buf_done(&data);
}

static void
test_floors_by_foreign_delete(void **state)
{
	struct job_place place;
	struct site *s = *state;
	int64_t gone;

	raw(s, "INSERT INTO job_events (job_id, type) VALUES ('a', 'queued'), "
	       "('a', 'progress'), ('a', 'progress'), ('a', 'completed'), "
	       "('b', 'queued'), ('c', 'progress')");
	raw(s, "DELETE FROM job_events WHERE id = 2");
	assert_int_equal(jobs_place(s->db, "a", &place), OK);
	assert_int_equal(place.floor, 0);
	raw(s, "DELETE FROM job_events WHERE id = 4");
	raw(s, "DELETE FROM job_events WHERE id = 1");
	assert_int_equal(jobs_place(s->db, "a", &place), OK);
	assert_int_equal(place.floor, 4);
	assert_int_equal(place.last_id, 3);
	assert_int_equal(jobs_place(s->db, "b", &place), OK);
	assert_int_equal(place.floor, 0);

	assert_int_equal(jobs_gone_floor(s->db, &gone), OK);
	assert_int_equal(gone, 0);
	raw(s, "DELETE FROM jobs WHERE job_id = 'b'");
	assert_int_equal(jobs_gone_floor(s->db, &gone), OK);
	assert_int_equal(gone, 5);
	raw(s, "DELETE FROM jobs WHERE job_id = 'a'");
	assert_int_equal(jobs_gone_floor(s->db, &gone), OK);
	assert_int_equal(gone, 5);
	raw(s, "DELETE FROM job_events; DELETE FROM jobs");
	assert_int_equal(jobs_gone_floor(s->db, &gone), OK);
	assert_int_equal(gone, 5);
	assert_int_equal(jobs_place(s->db, "a", &place), OK);
	assert_false(place.is_known);
}

static void
test_ids_are_never_reused(void **state)
{
	struct event_new e = {.job_id = "a", .type = "queued"};
	struct site *s = *state;
	int64_t last;

	assert_int_equal(events_last_id(s->db, &last), OK);
	assert_int_equal(last, 0);
	append(s->db, &e);
	assert_int_equal(append(s->db, &e), 2);
	raw(s, "DELETE FROM jobs");
	assert_int_equal(events_last_id(s->db, &last), OK);
	assert_int_equal(last, 2);
	assert_int_equal(append(s->db, &e), 3);
	assert_int_equal(raw_int(s, "SELECT count(*) FROM job_events"), 1);
}

/* --- appending ------------------------------------------------------------ */

static void
test_append(void **state)
{
	struct event_new e = {
	    .job_id = "a",
	    .type = "completed",
	    .data = SPAN_LIT("{\"n\":1}"),
	    .output = SPAN_LIT("[1e400]"),
	    .restore_id = "r1",
	    .external_id = "x1",
	};
	struct site *s = *state;
	struct job j;

	assert_int_equal(append(s->db, &e), 1);
	e.output = (struct span){0};
	e.restore_id = "r2";
	e.external_id = "x2";
	assert_int_equal(append(s->db, &e), 2);
	assert_int_equal(jobs_get(s->db, "a", &j), OK);
	assert_string_equal(j.output, "[1e400]");
	assert_string_equal(j.restore_id, "r1");
	assert_string_equal(j.external_id, "x1");
	assert_string_equal(j.state, "completed");
	job_done(&j);
	assert_string_equal(
	    raw_text(s, "SELECT data FROM job_events"), "{\"n\":1}");
}

static void
test_append_duplicate(void **state)
{
	struct event_new e = {
	    .job_id = "a",
	    .type = "completed",
	    .source = "runpod",
	    .delivery_key = "k1",
	    .restore_id = "r",
	};
	struct site *s = *state;
	bool is_duplicate = false;
	int64_t id = 0;

	append(s->db, &(struct event_new){.job_id = "b", .type = "queued"});
	assert_int_equal(append(s->db, &e), 2);
	e.type = "failed";
	e.job_id = "b";
	assert_int_equal(db_begin(s->db), OK);
	assert_int_equal(events_append(s->db, &e, &id, &is_duplicate), OK);
	assert_true(is_duplicate);
	assert_int_equal(id, 2);
	assert_int_equal(db_commit(s->db), OK);
	assert_int_equal(raw_int(s, "SELECT count(*) FROM job_events"), 2);
	assert_string_equal(raw_text(s, "SELECT state || (restore_id IS NULL) "
					"FROM jobs WHERE job_id = 'b'"),
	    "queued1");
	/* The refused row may have used up an id. */
	e.source = "other";
	assert_true(append(s->db, &e) > 2);
	e.source = e.delivery_key = NULL;
	append(s->db, &e);
	append(s->db, &e);
	assert_int_equal(raw_int(s, "SELECT count(*) FROM job_events"), 5);
}

static void
test_append_refused(void **state)
{
	struct event_new bad[] = {
	    {.job_id = "a b", .type = "queued"},
	    {.job_id = "", .type = "queued"},
	    {.job_id = "a", .type = "Queued"},
	    {.job_id = "a", .type = "queued", .data = SPAN_LIT("[]")},
	    {.job_id = "a", .type = "queued", .data = SPAN_LIT("{}\0{}")},
	};
	struct event_new good = {.job_id = "a", .type = "queued"};
	struct site *s = *state;
	bool is_duplicate = true;
	int64_t id = -1;
	size_t i;

	assert_int_equal(db_begin(s->db), OK);
	for (i = 0; i < COUNT(bad); i++)
		assert_int_equal(
		    events_append(s->db, &bad[i], &id, &is_duplicate),
		    ERR_PROTO);
	assert_int_equal(id, -1);
	assert_true(is_duplicate);
	assert_int_equal(db_last_fault(s->db)->code & 0xff, SQLITE_CONSTRAINT);
	assert_string_equal(db_last_fault(s->db)->text,
	    "CHECK constraint failed: data_is_json_object");
	/* The rest of the caller's transaction is not lost. */
	assert_int_equal(events_append(s->db, &good, &id, &is_duplicate), OK);
	assert_int_equal(db_commit(s->db), OK);
	assert_int_equal(raw_int(s, "SELECT count(*) FROM job_events"), 1);
}

static void
test_append_large(void **state)
{
	enum { LARGE = 32 << 20 };
	struct event_new e = {.job_id = "a", .type = "completed"};
	char *text = malloc(LARGE + 1);
	struct site *s = *state;
	bool is_duplicate;
	int64_t id;

	assert_non_null(text);
	memset(text, 'x', LARGE + 1);
	memcpy(text, "{\"output\":\"", 11);
	memcpy(text + LARGE - 2, "\"}", 3);
	e.data = e.output = (struct span){text, LARGE};
	append(s->db, &e);
	assert_int_equal(raw_int(s, "SELECT length(output) FROM jobs"), LARGE);
	memcpy(text + LARGE - 2, "x\"}", 3);
	e.data.n++;
	assert_int_equal(
	    events_append(s->db, &e, &id, &is_duplicate), ERR_PROTO);
	free(text);
}

static void
test_rollback_and_full(void **state)
{
	struct event_new e = {.job_id = "a", .type = "queued"};
	struct site *s = *state;
	bool is_duplicate;
	int64_t id = 0;
	enum err err = OK;

	assert_int_equal(db_begin(s->db), OK);
	assert_int_equal(events_append(s->db, &e, &id, &is_duplicate), OK);
	db_rollback(s->db);
	db_rollback(s->db);
	assert_int_equal(raw_int(s, "SELECT count(*) FROM job_events"), 0);

	sqlite3_exec(s->db->h, "PRAGMA max_page_count = 1", NULL, NULL, NULL);
	assert_int_equal(db_begin(s->db), OK);
	while (err == OK)
		err = events_append(s->db, &e, &id, &is_duplicate);
	assert_int_equal(err, ERR_FULL);
	db_rollback(s->db);
	assert_int_equal(db_last_fault(s->db)->code, SQLITE_FULL);
	assert_int_equal(raw_int(s, "SELECT count(*) FROM job_events"), 0);
}

/* --- reading -------------------------------------------------------------- */

static void
test_read_all(void **state)
{
	struct seen seen = {0};
	struct site *s = *state;

	raw(s, "INSERT INTO job_events (job_id, type) VALUES "
	       "('a', 'queued'), ('b', 'queued'), ('a', 'completed')");
	assert_int_equal(events_read_all(s->db, 0, 10, on_row, &seen), OK);
	assert_string_equal(seen.text, "1:a:queued 2:b:queued 3:a:completed ");
	seen = (struct seen){0};
	assert_int_equal(events_read_all(s->db, 1, 1, on_row, &seen), OK);
	assert_string_equal(seen.text, "2:b:queued ");
	seen = (struct seen){.stop_after = 2};
	assert_int_equal(events_read_all(s->db, 0, 10, on_row, &seen), OK);
	assert_string_equal(seen.text, "1:a:queued 2:b:queued ");
	seen = (struct seen){0};
	assert_int_equal(events_read_all(s->db, 3, 10, on_row, &seen), OK);
	assert_int_equal(events_read_all(s->db, 0, 0, on_row, &seen), OK);
	assert_string_equal(seen.text, "");
}

static bool
check_row(void *arg, const struct event_row *row)
{
	++*(int *)arg;
	assert_string_equal(row->job_id, "a");
	assert_string_equal(row->status, "processing");
	assert_true(strlen(row->created_at) == 24);
	if (row->id == 1) {
		assert_null(row->restore_id);
		assert_int_equal(row->data.n, 0);
		assert_null(row->owner);
	} else {
		assert_string_equal(row->restore_id, "r");
		assert_string_equal(row->owner, "alice");
	}
	return false;
}

static void
test_read_row(void **state)
{
	struct site *s = *state;
	int n = 0;

	raw_events(s, "a", "progress", 1);
	assert_int_equal(events_read_all(s->db, 0, 9, check_row, &n), OK);
	raw(s, "UPDATE jobs SET owner = 'alice', restore_id = 'r'");
	raw_events(s, "a", "custom", 1);
	assert_int_equal(events_read_all(s->db, 1, 9, check_row, &n), OK);
	assert_int_equal(n, 2);
}

static void
test_read_jobs(void **state)
{
	static const char *const ids[] = {"c", "a", "nobody", "a"};
	struct seen seen = {0};
	struct site *s = *state;

	raw(s, "INSERT INTO job_events (job_id, type) VALUES ('a', 'queued'), "
	       "('b', 'queued'), ('c', 'queued'), ('a', 'x'), ('c', 'x'), "
	       "('c', 'failed'), ('a', 'failed')");
	assert_int_equal(
	    events_read_jobs(s->db, ids, 1, 3, 9, on_row, &seen), OK);
	assert_string_equal(seen.text, "5:c:x 6:c:failed ");
	seen = (struct seen){0};
	assert_int_equal(
	    events_read_jobs(s->db, ids, 3, 0, 99, on_row, &seen), OK);
	assert_string_equal(seen.text,
	    "1:a:queued 3:c:queued 4:a:x 5:c:x 6:c:failed 7:a:failed ");
	seen = (struct seen){0};
	assert_int_equal(
	    events_read_jobs(s->db, ids, 2, 1, 3, on_row, &seen), OK);
	assert_string_equal(seen.text, "3:c:queued 4:a:x 5:c:x ");
	seen = (struct seen){.stop_after = 1};
	assert_int_equal(
	    events_read_jobs(s->db, ids, 2, 1, 3, on_row, &seen), OK);
	assert_string_equal(seen.text, "3:c:queued ");
	seen = (struct seen){0};
	assert_int_equal(
	    events_read_jobs(s->db, ids, 4, 3, 9, on_row, &seen), OK);
	assert_string_equal(seen.text, "4:a:x 5:c:x 6:c:failed 7:a:failed ");
	assert_int_equal(
	    events_read_jobs(s->db, ids, 0, 0, 9, on_row, &seen), OK);
}

static void
test_read_many_jobs(void **state)
{
	char names[STMT_JOBS_MAX][8];
	const char *ids[STMT_JOBS_MAX + 1] = {0};
	struct site *s = *state;
	struct seen seen = {0};
	int i;

	for (i = 0; i < STMT_JOBS_MAX; i++) {
		snprintf(names[i], sizeof(names[i]), "j%d", 63 - i);
		ids[i] = names[i];
		raw_events(s, names[i], "queued", 1);
	}
	for (i = 0; i < 2; i++) {
		seen = (struct seen){0};
		assert_int_equal(events_read_jobs(s->db, ids, STMT_JOBS_MAX, 60,
				     9, on_row, &seen),
		    OK);
		assert_string_equal(seen.text,
		    "61:j3:queued 62:j2:queued 63:j1:queued 64:j0:queued ");
	}
	assert_int_equal(events_read_jobs(s->db, ids, STMT_JOBS_MAX + 1, 0, 9,
			     on_row, &seen),
	    ERR_LIMIT);
}

/* Reading inside the caller's transaction leaves it open. */
static void
test_read_jobs_in_a_transaction(void **state)
{
	struct event_new e = {.job_id = "a", .type = "queued"};
	const char *ids[] = {"a", "b"};
	struct site *s = *state;
	struct seen seen = {0};
	bool is_duplicate;
	int64_t id;

	assert_int_equal(db_begin(s->db), OK);
	assert_int_equal(events_append(s->db, &e, &id, &is_duplicate), OK);
	assert_int_equal(
	    events_read_jobs(s->db, ids, 2, 0, 9, on_row, &seen), OK);
	assert_string_equal(seen.text, "1:a:queued ");
	assert_int_equal(db_commit(s->db), OK);
	assert_int_equal(raw_int(s, "SELECT count(*) FROM job_events"), 1);
}

static void
test_jobs_place(void **state)
{
	struct job_place place;
	struct site *s = *state;

	assert_int_equal(jobs_place(s->db, "a", &place), OK);
	assert_false(place.is_known);
	assert_int_equal(place.last_id, 0);
	raw(s, "INSERT INTO jobs (job_id, owner) VALUES ('a', 'alice')");
	assert_int_equal(jobs_place(s->db, "a", &place), OK);
	assert_true(place.is_known);
	assert_false(place.is_terminal);
	raw_events(s, "b", "queued", 1);
	raw_events(s, "a", "timed_out", 1);
	assert_int_equal(jobs_place(s->db, "a", &place), OK);
	assert_true(place.is_terminal);
	assert_int_equal(place.last_id, 2);
	raw_events(s, "a", "processing", 1);
	assert_int_equal(jobs_place(s->db, "a", &place), OK);
	assert_false(place.is_terminal);
}

static void
test_jobs_get(void **state)
{
	struct site *s = *state;
	struct job j;

	assert_int_equal(jobs_get(s->db, "a", &j), ERR_NOENT);
	raw(s, "INSERT INTO jobs (job_id, owner) VALUES ('a', 'alice')");
	assert_int_equal(jobs_get(s->db, "a", &j), OK);
	assert_string_equal(j.state, "queued");
	assert_null(j.progress);
	assert_null(j.output);
	assert_int_equal(j.last_event_id, 0);
	job_done(&j);
	raw(s, "INSERT INTO job_events (job_id, type, data) VALUES "
	       "('a', 'progress', '{\"progress\":10}'), "
	       "('a', 'progress', '{\"progress\": 40.50}'), "
	       "('a', 'completed', '{\"progress\":1,\"output\":{\"x\":2}}')");
	assert_int_equal(jobs_get(s->db, "a", &j), OK);
	assert_string_equal(j.job_id, "a");
	assert_string_equal(j.owner, "alice");
	assert_null(j.external_id);
	assert_string_equal(j.state, "completed");
	assert_string_equal(j.progress, "40.50");
	assert_string_equal(j.output, "{\"x\":2}");
	assert_int_equal(j.last_event_id, 3);
	assert_int_equal(strlen(j.created_at), 24);
	assert_true(strcmp(j.created_at, j.updated_at) <= 0);
	job_done(&j);
	job_done(&j);
}

static void
on_job(void *arg, const struct job *j)
{
	struct seen *seen = arg;

	assert_null(j->output);
	seen->len += (size_t)snprintf(seen->text + seen->len,
	    sizeof(seen->text) - seen->len, "%s:%s:%lld ", j->job_id, j->state,
	    (long long)j->last_event_id);
}

static void
test_jobs_list(void **state)
{
	struct site *s = *state;
	struct seen seen = {0};

	raw(s, "INSERT INTO job_events (job_id, type, data) VALUES "
	       "('a', 'queued', NULL), ('b', 'failed', '{\"output\":1}'), "
	       "('c', 'queued', NULL);"
	       "UPDATE jobs SET updated_at = '2020-01-0' || (job_id = 'a')");
	assert_int_equal(jobs_list(s->db, NULL, 1, on_job, &seen), OK);
	assert_string_equal(seen.text, "a:queued:1 ");
	seen = (struct seen){0};
	assert_int_equal(jobs_list(s->db, "queued", 9, on_job, &seen), OK);
	assert_string_equal(seen.text, "a:queued:1 c:queued:3 ");
	seen = (struct seen){0};
	assert_int_equal(jobs_list(s->db, "nonsense", 9, on_job, &seen), OK);
	assert_string_equal(seen.text, "");
}

/* No statement that a stream waits for may read a whole table. */
static void
test_queries_use_indexes(void **state)
{
	static const unsigned ids[] = {STMT_READ_ALL, STMT_READ_JOB,
	    STMT_JOB_PLACE, STMT_DELIVERED, STMT_OLD_JOB, STMT_SLICE,
	    STMT_SURPLUS, STMT_JOBS_IN_STATE, STMT_JOB};
	struct site *s = *state;
	sqlite3_stmt *st, *plan;
	const char *line;
	char *sql;
	size_t i;

	for (i = 0; i < COUNT(ids); i++) {
		assert_int_equal(stmt_open(s->db, ids[i], &st), OK);
		sql = sqlite3_mprintf("EXPLAIN QUERY PLAN %s", sqlite3_sql(st));
		assert_int_equal(
		    sqlite3_prepare_v2(s->raw, sql, -1, &plan, NULL),
		    SQLITE_OK);
		while (sqlite3_step(plan) == SQLITE_ROW) {
			line = (const char *)sqlite3_column_text(plan, 3);
			if (strncmp(line, "SCAN job", 8) == 0 ||
			    strncmp(line, "SCAN e", 6) == 0 ||
			    strncmp(line, "SCAN k", 6) == 0 ||
			    strncmp(line, "SCAN j", 6) == 0 ||
			    strstr(line, "AUTOMATIC") != NULL)
				fail_msg("%s: %s", sql, line);
		}
		sqlite3_finalize(plan);
		sqlite3_free(sql);
	}
}

/* --- watching ------------------------------------------------------------- */

static int
interrupt(void *arg)
{
	(void)arg;
	return 1;
}

static void
test_changed(void **state)
{
	struct event_new e = {.job_id = "a", .type = "queued"};
	struct site *s = *state;

	assert_true(db_changed(s->db)); /* the first time: not known */
	assert_false(db_changed(s->db));
	raw_events(s, "a", "queued", 1);
	assert_true(db_changed(s->db));
	assert_false(db_changed(s->db));
	raw(s, "BEGIN; INSERT INTO job_events (job_id, type) "
	       "VALUES ('a', 'x'); ROLLBACK");
	assert_false(db_changed(s->db));
	append(s->db, &e); /* its own commit */
	assert_false(db_changed(s->db));
	/* After an error: not known, until it was looked at again. */
	sqlite3_progress_handler(s->db->h, 1, interrupt, NULL);
	assert_true(db_changed(s->db));
	assert_true(db_changed(s->db));
	sqlite3_progress_handler(s->db->h, 0, NULL, NULL);
	assert_true(db_changed(s->db));
	assert_false(db_changed(s->db));
}

static void
test_moved_away(void **state)
{
	struct event_new e = {.job_id = "a", .type = "queued"};
	struct site *s = *state;
	bool is_duplicate;
	char path[256];
	int64_t id;

	assert_false(db_has_moved(s->db));
	snprintf(path, sizeof(path), "%s.old", s->path);
	assert_int_equal(db_begin(s->db), OK);
	assert_int_equal(events_append(s->db, &e, &id, &is_duplicate), OK);
	assert_int_equal(rename(s->path, path), 0);
	assert_true(db_has_moved(s->db));
	assert_int_equal(db_commit(s->db), ERR_GONE);
	assert_int_equal(db_last_fault(s->db)->code, SQLITE_READONLY_DBMOVED);
	assert_int_equal(rename(path, s->path), 0);
	assert_false(db_has_moved(s->db));
	assert_int_equal(unlink(s->path), 0);
	assert_true(db_has_moved(s->db));
}

static void
test_replaced(void **state)
{
	struct site *s = *state;
	struct db *other;
	char path[256];

	snprintf(path, sizeof(path), "%s.new", s->path);
	assert_int_equal(db_open(path, DB_CREATE, BUSY_MS, &other, NULL), OK);
	assert_string_not_equal(db_epoch(other), db_epoch(s->db));
	db_close(&other);
	assert_int_equal(rename(path, s->path), 0);
	assert_true(db_has_moved(s->db));
	assert_int_equal(db_begin(s->db), OK);
	assert_int_equal(db_commit(s->db), ERR_GONE);
}

static void
test_busy_deadline(void **state)
{
	struct site *s = *state;
	int64_t start_us, waited_us;

	s->db->busy_ms = 60;
	raw(s, "BEGIN IMMEDIATE");
	start_us = clock_mono_us();
	assert_int_equal(db_begin(s->db), ERR_BUSY);
	waited_us = clock_mono_us() - start_us;
	assert_in_range(waited_us, 60000, 2000000);
	assert_int_equal(db_last_fault(s->db)->code, SQLITE_BUSY);
	assert_string_equal(db_last_fault(s->db)->text, "database is locked");
	raw(s, "COMMIT");
	assert_int_equal(db_begin(s->db), OK);
	assert_int_equal(db_commit(s->db), OK);
}

#define SITE_TEST(f)                                                           \
	cmocka_unit_test_setup_teardown(f, site_setup, site_teardown)
#define EMPTY_TEST(f)                                                          \
	cmocka_unit_test_setup_teardown(f, site_empty, site_teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    EMPTY_TEST(test_create_and_reopen),
	    SITE_TEST(test_settings),
	    SITE_TEST(test_reader_cannot_write),
	    EMPTY_TEST(test_empty_file_becomes_a_database),
	    EMPTY_TEST(test_no_name_is_special),
	    EMPTY_TEST(test_fault_missing),
	    EMPTY_TEST(test_fault_not_a_database),
	    EMPTY_TEST(test_fault_other_program),
	    SITE_TEST(test_fault_newer),
	    SITE_TEST(test_fault_altered),
	    SITE_TEST(test_fault_locked),
	    SITE_TEST(test_fault_readonly),
	    EMPTY_TEST(test_creation_race),
	    SITE_TEST(test_bare_insert_is_complete),
	    SITE_TEST(test_output_text_is_kept),
	    SITE_TEST(test_output_stays_until_replaced),
	    SITE_TEST(test_state_machine),
	    SITE_TEST(test_outer_conflict_clause),
	    SITE_TEST(test_invalid_rows_are_refused),
	    SITE_TEST(test_data_is_read_as_bytes),
	    SITE_TEST(test_floors_by_foreign_delete),
	    SITE_TEST(test_ids_are_never_reused),
	    SITE_TEST(test_append),
	    SITE_TEST(test_append_duplicate),
	    SITE_TEST(test_append_refused),
	    SITE_TEST(test_append_large),
	    SITE_TEST(test_rollback_and_full),
	    SITE_TEST(test_read_all),
	    SITE_TEST(test_read_row),
	    SITE_TEST(test_read_jobs),
	    SITE_TEST(test_read_many_jobs),
	    SITE_TEST(test_read_jobs_in_a_transaction),
	    SITE_TEST(test_jobs_place),
	    SITE_TEST(test_jobs_get),
	    SITE_TEST(test_jobs_list),
	    SITE_TEST(test_queries_use_indexes),
	    SITE_TEST(test_changed),
	    SITE_TEST(test_moved_away),
	    SITE_TEST(test_replaced),
	    SITE_TEST(test_busy_deadline),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
