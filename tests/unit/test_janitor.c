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
#include "store/jobs.h"
#include "store/wal.h"
#include "store_site.h"

enum { DEADLINE_MS = 20000, LONG_MS = 3600 * 1000 };

static const char long_ago[] =
    "UPDATE jobs SET updated_at = '2020-01-01T00:00:00.000Z'";

static struct janitor_config
config(const struct site *s)
{
	return (struct janitor_config){
	    .db_path = s->path,
	    .keep_days = 7,
	    .keep_progress = 10,
	    .keep_events = 1000,
	    .wal_limit_bytes = 1 << 30,
	    .interval_ms = 1,
	};
}

/* Prunes to the end; returns what it did. */
static struct janitor_stats
prune(struct site *s, const struct janitor_config *cfg)
{
	struct janitor_stats stats = {0};
	uint64_t before;
	bool has_more = true;

	while (has_more) {
		before = stats.pruned_events + stats.pruned_jobs;
		assert_int_equal(
		    janitor_prune(s->db, cfg, &has_more, &stats), OK);
		assert_true(stats.pruned_events + stats.pruned_jobs - before <=
			    2 * STMT_BATCH_ROWS);
	}
	return stats;
}

static int64_t
floor_of(struct site *s, const char *job_id)
{
	struct job_place place;

	assert_int_equal(jobs_place(s->db, job_id, &place), OK);
	assert_true(place.is_known);
	return place.floor;
}

/* --- retention ------------------------------------------------------------ */

static void
test_progress_is_trimmed_without_loss(void **state)
{
	struct site *s = *state;
	struct janitor_config cfg = config(s);
	struct janitor_stats done;

	raw_events(s, "a", "queued", 1);
	raw_events(s, "a", "progress", 1300);
	raw_events(s, "b", "progress", 10);
	raw_events(s, "a", "completed", 1);
	done = prune(s, &cfg);
	assert_int_equal(done.pruned_events, 1290);
	assert_int_equal(done.pruned_jobs, 0);
	assert_string_equal(
	    raw_text(s,
		"SELECT group_concat(id) FROM (SELECT id FROM job_events "
		"WHERE job_id = 'a' ORDER BY id)"),
	    "1,1292,1293,1294,1295,1296,1297,1298,1299,1300,1301,1312");
	assert_int_equal(floor_of(s, "a"), 0);
	assert_int_equal(
	    raw_int(s, "SELECT count(*) FROM job_events WHERE job_id = 'b'"),
	    10);
}

static void
test_other_events_are_trimmed_with_a_floor(void **state)
{
	struct site *s = *state;
	struct janitor_config cfg = config(s);

	cfg.keep_events = 3;
	raw_events(s, "a", "note", 1000);
	raw_events(s, "b", "queued", 1);
	raw_events(s, "a", "progress", 2);
	raw_events(s, "a", "completed", 1);
	assert_int_equal(prune(s, &cfg).pruned_events, 998);
	assert_int_equal(floor_of(s, "a"), 998);
	assert_int_equal(floor_of(s, "b"), 0);
	assert_string_equal(
	    raw_text(s, "SELECT group_concat(id) FROM "
			"(SELECT id FROM job_events ORDER BY id)"),
	    "999,1000,1001,1002,1003,1004");
}

/* Each event is looked at once, so a look without events costs nothing. */
static void
test_idle_prune_writes_nothing(void **state)
{
	struct site *s = *state;
	struct janitor_config cfg = config(s);
	struct janitor_stats done;
	long long version;

	raw_events(s, "a", "progress", 5);
	assert_int_equal(prune(s, &cfg).pruned_events, 0);
	assert_int_equal(s->db->pruned_id, 5);
	version = raw_int(s, "PRAGMA data_version");
	cfg.keep_progress = 1;
	done = prune(s, &cfg);
	assert_int_equal(done.pruned_events, 0);
	assert_int_equal(raw_int(s, "PRAGMA data_version"), version);
	raw_events(s, "a", "progress", 1);
	assert_int_equal(prune(s, &cfg).pruned_events, 5);
	assert_int_equal(raw_int(s, "SELECT id FROM job_events"), 6);
}

static void
test_nothing_is_kept_of_a_kind(void **state)
{
	struct site *s = *state;
	struct janitor_config cfg = config(s);

	cfg.keep_progress = 0;
	raw_events(s, "a", "progress", 7);
	raw_events(s, "a", "completed", 1);
	assert_int_equal(prune(s, &cfg).pruned_events, 7);
}

static void
test_old_finished_jobs_go(void **state)
{
	struct site *s = *state;
	struct janitor_config cfg = config(s);
	struct janitor_stats done;
	int64_t gone;

	raw_events(s, "done", "completed", 2);
	raw_events(s, "failed", "failed", 1);
	raw_events(s, "open", "processing", 1);
	raw_events(s, "reopened", "completed", 1);
	raw(s, long_ago);
	raw_events(s, "reopened", "queued", 1);
	raw_events(s, "young", "timed_out", 1);
	done = prune(s, &cfg);
	assert_int_equal(done.pruned_jobs, 2);
	assert_int_equal(done.pruned_events, 3);
	assert_string_equal(
	    raw_text(s, "SELECT group_concat(job_id) FROM "
			"(SELECT job_id FROM jobs ORDER BY job_id)"),
	    "open,reopened,young");
	assert_int_equal(raw_int(s, "SELECT count(*) FROM job_events"), 4);
	assert_int_equal(jobs_gone_floor(s->db, &gone), OK);
	assert_int_equal(gone, 3);
}

static void
test_a_large_old_job_goes_in_batches(void **state)
{
	struct site *s = *state;
	struct janitor_config cfg = config(s);
	struct janitor_stats done = {0};
	bool has_more = false;
	int64_t gone;

	cfg.keep_events = 10000;
	raw_events(s, "a", "note", 1100);
	raw(s, "INSERT INTO job_events (job_id, type, data) "
	       "VALUES ('a', 'completed', '{\"output\":1}')");
	raw(s, long_ago);
	assert_int_equal(janitor_prune(s->db, &cfg, &has_more, &done), OK);
	assert_true(has_more);
	assert_int_equal(done.pruned_events, STMT_BATCH_ROWS);
	assert_int_equal(done.pruned_jobs, 0);
	/* Whoever looks now is told that all of it is lost. */
	assert_int_equal(floor_of(s, "a"), 1101);
	done = prune(s, &cfg);
	assert_int_equal(done.pruned_events, 601);
	assert_int_equal(done.pruned_jobs, 1);
	assert_int_equal(raw_int(s, "SELECT count(*) FROM job_events"), 0);
	assert_int_equal(jobs_gone_floor(s->db, &gone), OK);
	assert_int_equal(gone, 1101);
}

static void
test_many_old_jobs_go_in_batches(void **state)
{
	struct site *s = *state;
	struct janitor_config cfg = config(s);
	struct janitor_stats done;

	raw(s, "WITH RECURSIVE k(i) AS "
	       "(SELECT 1 UNION ALL SELECT i + 1 FROM k WHERE i < 700) "
	       "INSERT INTO job_events (job_id, type) "
	       "SELECT 'j' || i, 'completed' FROM k");
	raw(s, long_ago);
	done = prune(s, &cfg);
	assert_int_equal(done.pruned_jobs, 700);
	assert_int_equal(done.pruned_events, 700);
	assert_int_equal(raw_int(s, "SELECT count(*) FROM jobs"), 0);
}

static void
test_prune_while_locked(void **state)
{
	struct site *s = *state;
	struct janitor_config cfg = config(s);
	struct janitor_stats done = {0};
	bool has_more;

	s->db->busy_ms = 5;
	cfg.keep_progress = 1;
	raw_events(s, "a", "progress", 5);
	raw(s, "BEGIN IMMEDIATE");
	assert_int_equal(
	    janitor_prune(s->db, &cfg, &has_more, &done), ERR_BUSY);
	assert_int_equal(done.pruned_events, 0);
	raw(s, "ROLLBACK");
	assert_int_equal(prune(s, &cfg).pruned_events, 4);
}

/* --- checkpoints ---------------------------------------------------------- */

static void
test_checkpoint_restarts_the_wal(void **state)
{
	struct site *s = *state;
	struct janitor_stats done = {0};
	off_t size;
	int i;

	raw(s, "PRAGMA wal_autocheckpoint = 0");
	for (i = 0; i < 20; i++)
		raw_events(s, "a", "note", 10);
	size = wal_size(s);
	assert_int_equal(janitor_checkpoint(s->db, size + 1, &done), OK);
	assert_int_equal(done.checkpoints, 0);
	assert_int_equal(janitor_checkpoint(s->db, size / 2, &done), OK);
	assert_int_equal(done.checkpoints, 1);
	/* Writers begin at the front again, and the file keeps its size:
	 * that it is large does not make another one due. */
	raw_events(s, "a", "note", 1);
	assert_int_equal(wal_size(s), size);
	assert_int_equal(janitor_checkpoint(s->db, size / 2, &done), OK);
	assert_int_equal(done.checkpoints, 1);
	for (i = 0; i < 15; i++)
		raw_events(s, "a", "note", 10);
	assert_int_equal(janitor_checkpoint(s->db, size / 2, &done), OK);
	assert_int_equal(done.checkpoints, 2);
	raw_events(s, "a", "note", 1);
	assert_int_equal(janitor_checkpoint(s->db, 0, &done), OK);
	assert_int_equal(done.checkpoints, 3);
}

/* What was larger for once is cut back when the WAL begins anew. */
static void
test_checkpoint_bounds_the_wal(void **state)
{
	struct event_new e = {.job_id = "b", .type = "note"};
	struct site *s = *state;
	struct janitor_stats done = {0};

	assert_int_equal(wal_extend(s->db, DB_WAL_BYTES), OK);
	assert_int_equal(wal_size(s), DB_WAL_BYTES);
	raw(s, "PRAGMA wal_autocheckpoint = 0");
	raw(s, "INSERT INTO job_events (job_id, type, data) VALUES "
	       "('a', 'note', '{\"x\":\"' || hex(zeroblob(5000000)) || '\"}')");
	assert_true(wal_size(s) > DB_WAL_BYTES);
	assert_int_equal(janitor_checkpoint(s->db, 0, &done), OK);
	assert_int_equal(done.checkpoints, 1);
	append(s->db, &e);
	assert_int_equal(wal_size(s), DB_WAL_BYTES);
	assert_int_equal(janitor_checkpoint(s->db, 0, &done), OK);
	append(s->db, &e);
	assert_int_equal(wal_size(s), DB_WAL_BYTES);
	assert_int_equal(raw_int(s, "SELECT count(*) FROM job_events"), 3);
}

static void
test_checkpoint_held_up_by_a_reader(void **state)
{
	struct site *s = *state;
	struct janitor_stats done = {0};

	s->db->busy_ms = 5;
	raw_events(s, "a", "note", 1);
	raw(s, "BEGIN; SELECT count(*) FROM jobs");
	assert_int_equal(janitor_checkpoint(s->db, 0, &done), ERR_BUSY);
	assert_int_equal(done.checkpoints, 0);
	raw(s, "COMMIT");
	assert_int_equal(janitor_checkpoint(s->db, 0, &done), OK);
	assert_int_equal(done.checkpoints, 1);
}

/* Then SQLite would copy what it can without the lock. */
static void
test_checkpoint_beside_a_writer(void **state)
{
	struct site *s = *state;
	struct janitor_stats done = {0};
	struct stat before, after;

	s->db->busy_ms = 5;
	raw_events(s, "a", "note", 100);
	assert_int_equal(stat(s->path, &before), 0);
	raw(s, "BEGIN IMMEDIATE");
	assert_int_equal(janitor_checkpoint(s->db, 0, &done), ERR_BUSY);
	assert_int_equal(stat(s->path, &after), 0);
	assert_int_equal(after.st_size, before.st_size);
	raw(s, "COMMIT");
	assert_int_equal(janitor_checkpoint(s->db, 0, &done), OK);
	assert_int_equal(stat(s->path, &after), 0);
	assert_true(after.st_size > before.st_size);
}

/* --- the thread ----------------------------------------------------------- */

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

/* --- a step --------------------------------------------------------------- */

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
	    SITE_TEST(test_progress_is_trimmed_without_loss),
	    SITE_TEST(test_other_events_are_trimmed_with_a_floor),
	    SITE_TEST(test_idle_prune_writes_nothing),
	    SITE_TEST(test_nothing_is_kept_of_a_kind),
	    SITE_TEST(test_old_finished_jobs_go),
	    SITE_TEST(test_a_large_old_job_goes_in_batches),
	    SITE_TEST(test_many_old_jobs_go_in_batches),
	    SITE_TEST(test_prune_while_locked),
	    SITE_TEST(test_checkpoint_restarts_the_wal),
	    SITE_TEST(test_checkpoint_bounds_the_wal),
	    SITE_TEST(test_checkpoint_held_up_by_a_reader),
	    SITE_TEST(test_checkpoint_beside_a_writer),
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
