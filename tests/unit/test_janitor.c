/* SPDX-License-Identifier: ISC */
/* store/janitor.c */
#include "store/janitor.h"

#include <sys/file.h>

#include <fcntl.h>
#include <semaphore.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "store_site.h"

enum { DEADLINE_MS = 20000, LONG_MS = 3600 * 1000 };

static const char long_ago[] =
    "UPDATE jobs SET updated_at = '2020-01-01T00:00:00.000Z'";

static struct janitor_config
config(const struct site *s)
{
	return (struct janitor_config){
	    .db_path = s->path,
	    .keep = {.days = 7, .progress = 10, .events = 1000},
	    .wal_limit_bytes = 1 << 30,
	    .interval_ms = 1,
	};
}

/* Until the query gives the value; the thread has no other way to tell. */
static void
wait_for(struct site *s, const char *sql, long long expected)
{
	const struct timespec pause = {0, 1000000};
	int64_t end_us = clock_mono_us() + DEADLINE_MS * INT64_C(1000);

	while (raw_int(s, sql) != expected) {
		if (clock_mono_us() > end_us)
			fail_msg("%s is not %lld", sql, expected);
		nanosleep(&pause, NULL);
	}
}

static void
test_thread_prunes(void **state)
{
	struct site *s = *state;
	struct janitor_config cfg = config(s);
	struct janitor *j;

	raw_events(s, "a", "progress", 50);
	assert_int_equal(janitor_start(&cfg, &j), OK);
	wait_for(s, "SELECT count(*) FROM job_events", 10);
	raw_events(s, "b", "completed", 1);
	raw(s, long_ago);
	wait_for(s, "SELECT count(*) FROM jobs", 1);
	janitor_stop(&j);
	assert_null(j);
	janitor_stop(&j);
}

static void
test_thread_stops_at_once(void **state)
{
	struct site *s = *state;
	struct janitor_config cfg = config(s);
	struct janitor *j;

	cfg.interval_ms = LONG_MS;
	raw_events(s, "a", "progress", 50);
	assert_int_equal(janitor_start(&cfg, &j), OK);
	wait_for(s, "SELECT count(*) FROM job_events", 10);
	janitor_stop(&j);
}

static void
test_thread_extends_the_wal(void **state)
{
	struct site *s = *state;
	struct janitor_config cfg = config(s);
	const struct timespec pause = {0, 1000000};
	struct janitor *j;

	cfg.wal_bytes = 3 << 20;
	assert_int_equal(janitor_start(&cfg, &j), OK);
	while (wal_size(s) != cfg.wal_bytes)
		nanosleep(&pause, NULL);
	janitor_stop(&j);
}

/* One janitor works, the others wait for its lock. */
static void
test_thread_waits_for_the_lock(void **state)
{
	struct site *s = *state;
	struct janitor_config cfg = config(s);
	struct janitor *j;
	char path[256];
	int fd;

	snprintf(path, sizeof(path), "%s-janitor", s->path);
	fd = open(path, O_RDWR | O_CREAT, 0660);
	assert_int_not_equal(fd, -1);
	assert_int_equal(flock(fd, LOCK_EX), 0);
	raw_events(s, "a", "progress", 50);
	cfg.interval_ms = LONG_MS;
	assert_int_equal(janitor_start(&cfg, &j), OK);
	janitor_stop(&j);
	assert_int_equal(raw_int(s, "SELECT count(*) FROM job_events"), 50);
	cfg.interval_ms = 1;
	assert_int_equal(janitor_start(&cfg, &j), OK);
	close(fd);
	wait_for(s, "SELECT count(*) FROM job_events", 10);
	janitor_stop(&j);
}

static void
test_thread_follows_a_replaced_database(void **state)
{
	struct site *s = *state;
	struct janitor_config cfg = config(s);
	struct janitor *j;
	struct db *other;
	char path[256];

	raw_events(s, "a", "progress", 50);
	assert_int_equal(janitor_start(&cfg, &j), OK);
	wait_for(s, "SELECT count(*) FROM job_events", 10);
	/* As an operator would: aside with all three, then a new one. */
	snprintf(path, sizeof(path), "%s-new", s->path);
	assert_int_equal(db_open(path, DB_CREATE, BUSY_MS, &other, NULL), OK);
	assert_int_equal(sqlite3_wal_checkpoint_v2(other->h, NULL,
			     SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL),
	    SQLITE_OK);
	db_close(&other);
	db_close(&s->db);
	sqlite3_close(s->raw);
	snprintf(path, sizeof(path),
	    "cd %s && rm jobs.db jobs.db-wal "
	    "jobs.db-shm && mv jobs.db-new jobs.db",
	    s->dir);
	assert_int_equal(system(path), 0);
	site_open_raw(s);
	raw_events(s, "b", "progress", 50);
	wait_for(s, "SELECT count(*) FROM job_events", 10);
	janitor_stop(&j);
}

struct faults {
	sem_t is_bad, is_good;
	char text[200];
};

static void
on_fault(void *arg, const struct db_fault *fault)
{
	struct faults *f = arg;

	if (fault == NULL) {
		sem_post(&f->is_good);
		return;
	}
	memcpy(f->text, fault->text, sizeof(f->text));
	sem_post(&f->is_bad);
}

static void
wait_sem(sem_t *sem)
{
	struct timespec end;

	clock_gettime(CLOCK_REALTIME, &end);
	end.tv_sec += DEADLINE_MS / 1000;
	assert_int_equal(sem_timedwait(sem, &end), 0);
}

static void
test_thread_reports_a_fault_once(void **state)
{
	struct site *s = *state;
	struct janitor_config cfg = config(s);
	struct faults faults;
	struct janitor *j;
	char link[sizeof(s->path) + 8];
	int n;

	sem_init(&faults.is_bad, 0, 0);
	sem_init(&faults.is_good, 0, 0);
	cfg.on_fault = on_fault;
	cfg.arg = &faults;
	/* It appears at once: while it is made it is empty, another fault. */
	(void)snprintf(link, sizeof(link), "%s.link", s->path);
	cfg.db_path = link;
	assert_int_equal(janitor_start(&cfg, &j), OK);
	wait_sem(&faults.is_bad);
	assert_non_null(strstr(faults.text, "no database at"));
	assert_int_equal(
	    db_open(s->path, DB_CREATE, BUSY_MS, &s->db, NULL), OK);
	assert_int_equal(symlink(s->path, link), 0);
	wait_sem(&faults.is_good);
	janitor_stop(&j);
	assert_int_equal(unlink(link), 0);
	assert_int_equal(sem_getvalue(&faults.is_bad, &n), 0);
	assert_int_equal(n, 0);
	sem_destroy(&faults.is_bad);
	sem_destroy(&faults.is_good);
}

static void
test_thread_reports_a_lock_it_cannot_open(void **state)
{
	struct site *s = *state;
	struct janitor_config cfg = config(s);
	struct faults faults;
	struct janitor *j;
	char path[256];

	snprintf(path, sizeof(path), "%s/no/jobs.db", s->dir);
	cfg.db_path = path;
	cfg.on_fault = on_fault;
	cfg.arg = &faults;
	sem_init(&faults.is_bad, 0, 0);
	sem_init(&faults.is_good, 0, 0);
	assert_int_equal(janitor_start(&cfg, &j), OK);
	wait_sem(&faults.is_bad);
	janitor_stop(&j);
	assert_non_null(strstr(faults.text, "-janitor: No such file"));
	sem_destroy(&faults.is_bad);
	sem_destroy(&faults.is_good);
}

#define SITE_TEST(f)                                                           \
	cmocka_unit_test_setup_teardown(f, site_setup, site_teardown)

/* Each does little, together they do all, wherever each begins. */
static void
test_steps_of_short_processes(void **state)
{
	static const char count[] = "SELECT count(*) FROM job_events";
	struct site *s = *state;
	struct janitor_config cfg = config(s);
	long long before, now = 2000;
	char lock[160];
	int fd, n = 0;

	raw_events(s, "a", "progress", 1500);
	raw_events(s, "b", "progress", 500);
	snprintf(lock, sizeof(lock), "%s-janitor", s->path);
	fd = open(lock, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	assert_int_equal(flock(fd, LOCK_EX), 0);
	janitor_step(&cfg);
	assert_int_equal(raw_int(s, count), now);
	assert_int_equal(close(fd), 0);
	do {
		before = now;
		janitor_step(&cfg);
		now = raw_int(s, count);
		assert_true(before - now <= 2 * STMT_BATCH_ROWS);
	} while (now > 20 && ++n < 1000);
	assert_int_equal(now, 20);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    SITE_TEST(test_thread_prunes),
	    SITE_TEST(test_thread_stops_at_once),
	    SITE_TEST(test_thread_extends_the_wal),
	    SITE_TEST(test_thread_waits_for_the_lock),
	    SITE_TEST(test_steps_of_short_processes),
	    SITE_TEST(test_thread_follows_a_replaced_database),
	    cmocka_unit_test_setup_teardown(
		test_thread_reports_a_fault_once, site_empty, site_teardown),
	    cmocka_unit_test_setup_teardown(
		test_thread_reports_a_lock_it_cannot_open, site_empty,
		site_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
