/* SPDX-License-Identifier: ISC */
/* store/wal.c */
#include "store/wal.h"

#include <sys/resource.h>
#include <sys/wait.h>

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "store_site.h"

enum { EVENTS = 20 };

static const struct event_new event = {.job_id = "a", .type = "note"};

static void
test_extended_once(void **state)
{
	struct site *s = *state;
	off_t before = wal_size(s);

	assert_true(before < 1 << 20);
	assert_int_equal(wal_extend(s->db, 1 << 20), OK);
	assert_int_equal(wal_size(s), 1 << 20);
	assert_int_equal(wal_extend(s->db, 1 << 19), OK);
	assert_int_equal(wal_size(s), 1 << 20);
	assert_true(wal_is_filled(s->db, 0));
	assert_false(wal_is_filled(s->db, before));
	append(s->db, &event);
	assert_int_equal(wal_size(s), 1 << 20);
	assert_true(wal_is_filled(s->db, before));
	assert_string_equal(raw_text(s, "PRAGMA integrity_check"), "ok");
}

/* Found among zeros and among what an earlier generation left. */
static void
test_how_far_it_is_filled(void **state)
{
	struct site *s = *state;
	int64_t before, after;

	assert_int_equal(wal_extend(s->db, 1 << 20), OK);
	before = wal_filled(s->db);
	assert_true(before > 0 && wal_is_filled(s->db, before - 1));
	assert_false(wal_is_filled(s->db, before));
	raw_events(s, "a", "note", EVENTS);
	after = wal_filled(s->db);
	assert_true(after > before);
	assert_true(wal_is_filled(s->db, after - 1));
	assert_false(wal_is_filled(s->db, after));
	assert_int_equal(sqlite3_wal_checkpoint_v2(s->raw, NULL,
			     SQLITE_CHECKPOINT_RESTART, NULL, NULL),
	    SQLITE_OK);
	append(s->db, &event);
	assert_true(wal_filled(s->db) < before);
}

/* Other programs write on, and the last of them takes the file away. */
static void
test_beside_other_programs(void **state)
{
	struct site *s = *state;
	char wal[256];

	assert_int_equal(wal_extend(s->db, 1 << 20), OK);
	raw_events(s, "a", "note", EVENTS);
	append(s->db, &event);
	assert_int_equal(
	    raw_int(s, "SELECT count(*) FROM job_events"), EVENTS + 1);
	db_close(&s->db);
	sqlite3_close(s->raw);
	snprintf(wal, sizeof(wal), "%s-wal", s->path);
	assert_int_not_equal(access(wal, F_OK), 0);

	site_open_raw(s);
	assert_int_equal(db_open(s->path, DB_WRITE, BUSY_MS, &s->db, NULL), OK);
	assert_int_equal(wal_extend(s->db, 1 << 20), OK);
	assert_int_equal(wal_size(s), 1 << 20);
	append(s->db, &event);
	assert_int_equal(
	    raw_int(s, "SELECT count(*) FROM job_events"), EVENTS + 2);
}

/* Commits behind the zeros' front, and is killed. */
static void
write_and_die(const struct site *s)
{
	bool is_duplicate;
	struct db *db;
	int64_t id;

	if (db_open(s->path, DB_CREATE, BUSY_MS, &db, NULL) != OK ||
	    wal_extend(db, 1 << 20) != OK)
		_exit(1);
	for (int i = 0; i < EVENTS; i++)
		if (db_begin(db) != OK ||
		    events_append(db, &event, &id, &is_duplicate) != OK ||
		    db_commit(db) != OK)
			_exit(1);
	(void)raise(SIGKILL);
}

static void
copy_file(const char *from, const char *to)
{
	static char bytes[2 << 20];
	FILE *in = fopen(from, "rb"), *out = fopen(to, "wb");
	size_t n;

	assert_non_null(in);
	assert_non_null(out);
	n = fread(bytes, 1, sizeof(bytes), in);
	assert_int_equal(fwrite(bytes, 1, n, out), n);
	fclose(in);
	assert_int_equal(fclose(out), 0);
}

/* The file and a copy of it, read without what the dead process left in
 * memory. */
static void
test_recovery(void **state)
{
	struct site *s = *state;
	char from[256], to[256];
	int status;
	pid_t pid = fork();

	assert_int_not_equal(pid, -1);
	if (pid == 0)
		write_and_die(s);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status));
	assert_int_equal(wal_size(s), 1 << 20);
	snprintf(to, sizeof(to), "%s/copy.db", s->dir);
	copy_file(s->path, to);
	snprintf(from, sizeof(from), "%s-wal", s->path);
	snprintf(to, sizeof(to), "%s/copy.db-wal", s->dir);
	copy_file(from, to);

	site_open_raw(s);
	assert_int_equal(raw_int(s, "SELECT count(*) FROM job_events"), EVENTS);
	assert_string_equal(raw_text(s, "PRAGMA integrity_check"), "ok");
	sqlite3_close(s->raw);
	strcpy(s->path + strlen(s->path) - strlen("jobs.db"), "copy.db");
	assert_int_equal(db_open(s->path, DB_WRITE, BUSY_MS, &s->db, NULL), OK);
	site_open_raw(s);
	assert_int_equal(raw_int(s, "SELECT count(*) FROM job_events"), EVENTS);
	append(s->db, &event);
	assert_string_equal(raw_text(s, "PRAGMA integrity_check"), "ok");
}

/* A full disk, played by a limit: what was there stays as it was, and commits
 * go on. */
static void
test_no_room(void **state)
{
	struct rlimit before, limit;
	struct site *s = *state;
	off_t size;

	append(s->db, &event);
	size = wal_size(s);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
	limit = before;
	limit.rlim_cur = 1 << 20;
	assert_true(signal(SIGXFSZ, SIG_IGN) != SIG_ERR);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
	assert_int_not_equal(wal_extend(s->db, 2 << 20), OK);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
	assert_int_equal(wal_size(s), size);
	append(s->db, &event);
	assert_int_equal(raw_int(s, "SELECT count(*) FROM job_events"), 2);
	/* More than a quarter of any disk. */
	size = wal_size(s);
	assert_int_equal(wal_extend(s->db, INT64_C(1) << 50), OK);
	assert_int_equal(wal_size(s), size);
}

static void
test_locked(void **state)
{
	struct site *s = *state;

	s->db->busy_ms = 5;
	raw(s, "BEGIN IMMEDIATE");
	assert_int_equal(wal_extend(s->db, 1 << 20), ERR_BUSY);
	raw(s, "COMMIT");
	assert_int_equal(wal_extend(s->db, 1 << 20), OK);
}

#define SITE_TEST(f)                                                           \
	cmocka_unit_test_setup_teardown(f, site_setup, site_teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    SITE_TEST(test_extended_once),
	    SITE_TEST(test_how_far_it_is_filled),
	    SITE_TEST(test_beside_other_programs),
	    cmocka_unit_test_setup_teardown(
		test_recovery, site_empty, site_teardown),
	    SITE_TEST(test_no_room),
	    SITE_TEST(test_locked),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
