/* SPDX-License-Identifier: ISC */
/* store/db.c, store/schema.c, store/stmt.c: opening and watching */
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

/* --- Opening -------------------------------------------------------------- */

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
	assert_true(raw_int(s, "PRAGMA user_version") >= 2);
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
	assert_int_equal(db_sync_normal(s->db), OK);
	assert_int_equal(raw_int(s, "PRAGMA synchronous"), 1);
	assert_int_equal(db_sync_full(s->db), OK);
	assert_int_equal(raw_int(s, "PRAGMA synchronous"), 2);
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
	static const char said[] =
	    "is empty, as is a copy of a database in use without its -wal";
	struct site *s = *state;

	write_file(s->path, "");
	assert_fault(s->path, DB_READ, ERR_VERSION, said);
	assert_fault(s->path, DB_WRITE, ERR_VERSION, said);
	assert_int_equal(
	    db_open(s->path, DB_CREATE, BUSY_MS, &s->db, NULL), OK);
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
	assert_fault(s->dir, DB_CREATE, ERR_READONLY, "is a folder");
	assert_fault("/dev/null", DB_READ, ERR_READONLY, "is no file");
	snprintf(path, sizeof(path), "%s/link", s->dir);
	assert_int_equal(symlink("nowhere", path), 0);
	assert_fault(path, DB_READ, ERR_NOENT, "leads nowhere");
	assert_fault(path, DB_CREATE, ERR_NOENT, "leads nowhere");
	assert_int_equal(unlink(path), 0);
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

	raw(s, "PRAGMA user_version = 99");
	assert_fault(s->path, DB_READ, ERR_VERSION,
	    ": schema version 99 is newer than this program's ");
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
	assert_int_equal(raw_int(s, "SELECT count(*) FROM meta"), 3);
}

/* What came of the transaction decides, and is what is answered. */
static void
test_end_of_a_transaction(void **state)
{
	static const char count[] =
	    "SELECT count(*) FROM meta WHERE key = 'probed_at'";
	struct site *s = *state;

	assert_int_equal(db_begin(s->db), OK);
	assert_int_equal(db_probe(s->db), OK);
	assert_int_equal(db_end(s->db, ERR_LIMIT), ERR_LIMIT);
	assert_int_equal(raw_int(s, count), 0);
	assert_int_equal(db_begin(s->db), OK);
	assert_int_equal(db_probe(s->db), OK);
	assert_int_equal(db_end(s->db, OK), OK);
	assert_int_equal(raw_int(s, count), 1);
	/* One that could not begin. */
	db_set_busy(s->db, 1);
	raw(s, "BEGIN IMMEDIATE");
	assert_int_equal(db_end(s->db, db_begin(s->db)), ERR_BUSY);
	raw(s, "ROLLBACK");
}

/* --- Watching ------------------------------------------------------------- */

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
	    SITE_TEST(test_end_of_a_transaction),
	    SITE_TEST(test_changed),
	    SITE_TEST(test_moved_away),
	    SITE_TEST(test_replaced),
	    SITE_TEST(test_busy_deadline),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
