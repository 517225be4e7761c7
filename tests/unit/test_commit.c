/* SPDX-License-Identifier: ISC */
/* hook/commit.c: what is in a transaction, and what becomes of who. */
#include "hook/commit.h"

#include <semaphore.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "store_site.h"

enum {
	ITEMS = 300,
	FEW = 20,
	WAIT_S = 20,
	ENDLESS_MS = 10 * WAIT_S * 1000,
};

/* Writes an event of its name, then says what it was told to. */
struct thing {
	struct commit_item item;
	char job_id[16];
	enum err says;
	bool writes_nothing;
	sem_t *entered, *gate; /* NULL, or posted and waited for in write() */
	int n_writes;
};

static struct thing things[ITEMS];
static sem_t done;

static void
wait_for(sem_t *s)
{
	struct timespec end;

	clock_gettime(CLOCK_REALTIME, &end);
	end.tv_sec += WAIT_S;
	assert_int_equal(sem_timedwait(s, &end), 0);
}

static enum err
write_thing(struct commit_item *item, struct db *db)
{
	struct thing *t = (struct thing *)(void *)item;
	const struct event_new e = {.job_id = t->job_id, .type = "step"};
	bool is_duplicate;
	int64_t id;
	enum err err = OK;

	t->n_writes++;
	if (t->entered != NULL) {
		sem_post(t->entered);
		wait_for(t->gate);
		t->entered = NULL;
	}
	if (!t->writes_nothing)
		err = events_append(db, &e, &id, &is_duplicate);
	return err == OK ? t->says : err;
}

static void
on_done(struct commit_item *item)
{
	(void)item;
	sem_post(&done);
}

static int
set_up(void **state)
{
	memset(things, 0, sizeof(things));
	for (size_t i = 0; i < ITEMS; i++) {
		things[i].item.write = write_thing;
		things[i].item.on_done = on_done;
		snprintf(
		    things[i].job_id, sizeof(things[i].job_id), "job-%zu", i);
	}
	sem_init(&done, 0, 0);
	return site_setup(state);
}

static struct committer *
start_patient(const struct site *s, size_t queue_max, int busy_ms)
{
	/* Checkpoints after each batch. */
	const struct committer_config cfg = {.db_path = s->path,
	    .busy_ms = busy_ms,
	    .queue_max = queue_max,
	    .wal_limit_bytes = 0};
	struct committer *c = NULL;

	assert_int_equal(committer_start(&cfg, &c, NULL), OK);
	return c;
}

static struct committer *
start(const struct site *s, size_t queue_max)
{
	return start_patient(s, queue_max, BUSY_MS);
}

static void
push(struct committer *c, struct thing *t)
{
	assert_true(committer_push(c, &t->item));
}

static void
wait_done(size_t n)
{
	for (size_t i = 0; i < n; i++)
		wait_for(&done);
}

/* Pushes things 1..n while the writer is busy with thing 0, so that they wait
 * together; returns how many transactions they took. */
static uint64_t
push_together(struct committer *c, size_t n)
{
	uint64_t before = committer_stats(c)->commits;
	sem_t entered, gate;

	sem_init(&entered, 0, 0);
	sem_init(&gate, 0, 0);
	things[0].entered = &entered;
	things[0].gate = &gate;
	push(c, &things[0]);
	wait_for(&entered);
	for (size_t i = 1; i <= n; i++)
		push(c, &things[i]);
	sem_post(&gate);
	wait_done(n + 1);
	sem_destroy(&entered);
	sem_destroy(&gate);
	/* The counter moves before the last on_done() of a batch. */
	return committer_stats(c)->commits - before - 1;
}

static void
assert_results(size_t n, enum err e)
{
	for (size_t i = 1; i <= n; i++)
		assert_int_equal(things[i].item.result, e);
}

static void
test_one(void **state)
{
	struct site *s = *state;
	struct committer *c = start(s, 10);

	push(c, &things[0]);
	wait_done(1);
	assert_int_equal(things[0].item.result, OK);
	assert_string_equal(things[0].item.epoch, db_epoch(s->db));
	assert_int_equal(raw_int(s, "SELECT count(*) FROM job_events"), 1);
	assert_int_equal(committer_stats(c)->items, 1);
	committer_stop(&c);
	assert_null(c);
	committer_stop(&c);
}

static void
test_together(void **state)
{
	struct site *s = *state;
	struct committer *c = start(s, ITEMS);

	assert_int_equal(push_together(c, 200), 1);
	assert_results(200, OK);
	assert_int_equal(raw_int(s, "SELECT count(*) FROM job_events"), 201);
	committer_stop(&c);
}

static void
test_cut_by_number(void **state)
{
	struct committer *c = start(*state, ITEMS);

	assert_int_equal(push_together(c, 299), 2);
	assert_results(299, OK);
	committer_stop(&c);
}

/* 4 MiB and 4 MiB make a transaction; so does one item however heavy. */
static void
test_cut_by_weight(void **state)
{
	struct committer *c = start(*state, ITEMS);

	for (size_t i = 1; i <= 5; i++)
		things[i].item.weight = 4 << 20;
	things[6].item.weight = 30 << 20;
	assert_int_equal(push_together(c, 7), 4); /* 2, 2, 5 and 6, 7 */
	assert_results(7, OK);
	committer_stop(&c);
}

/* One refused item hurts no other, and leaves nothing. */
static void
test_refused(void **state)
{
	static const enum err refusals[] = {
	    ERR_PROTO, ERR_LIMIT, ERR_EXISTS, ERR_AUTH};
	struct site *s = *state;
	struct committer *c = start(s, ITEMS);

	for (size_t i = 0; i < 4; i++)
		things[2 + 3 * i].says = refusals[i];
	assert_int_equal(push_together(c, 20), 1);
	for (size_t i = 1; i <= 20; i++)
		assert_int_equal(things[i].item.result, things[i].says);
	assert_int_equal(raw_int(s, "SELECT count(*) FROM job_events"), 17);
	assert_int_equal(raw_int(s, "SELECT count(*) FROM jobs WHERE job_id IN "
				    "('job-2', 'job-5', 'job-8', 'job-11')"),
	    0);
	assert_int_equal(committer_stats(c)->failures, 0);
	committer_stop(&c);
}

/* Trouble with the database is everybody's, and leaves nothing at all; the
 * next transaction works, on a new connection where that one is in doubt. */
static void
test_trouble(void **state)
{
	static const enum err troubles[] = {
	    ERR_IO, ERR_FULL, ERR_NOMEM, ERR_BUSY, ERR_CORRUPT, ERR_READONLY};
	struct site *s = *state;
	struct committer *c = start(s, ITEMS);

	for (size_t i = 0; i < sizeof(troubles) / sizeof(troubles[0]); i++) {
		things[3].says = troubles[i];
		assert_int_equal(push_together(c, 5), 1);
		assert_results(5, troubles[i]);
		assert_int_equal(committer_stats(c)->failures, i + 1);
		assert_int_equal(committer_stats(c)->state, troubles[i]);
		things[3].says = OK;
		assert_int_equal(push_together(c, 0), 0);
		assert_int_equal(things[0].item.result, OK);
		assert_int_equal(committer_stats(c)->state, OK);
	}
	assert_int_equal(
	    raw_int(s, "SELECT count(*) FROM job_events WHERE job_id <> "
		       "'job-0'"),
	    0);
	committer_stop(&c);
}

static void
move(const struct site *s, const char *from, const char *to)
{
	char source[160], target[160];

	snprintf(source, sizeof(source), "%s%s", s->path, from);
	snprintf(target, sizeof(target), "%s%s", s->path, to);
	assert_int_equal(rename(source, target), 0);
}

static void
test_missing(void **state)
{
	struct site *s = *state;
	struct committer *c = start(s, ITEMS);

	move(s, "", ".away");
	for (int i = 0; i < 2; i++) {
		things[0].writes_nothing = i == 0;
		push(c, &things[0]);
		wait_done(1);
		assert_int_equal(things[0].item.result, ERR_GONE);
	}
	move(s, ".away", "");
	push(c, &things[1]);
	wait_done(1);
	assert_int_equal(things[1].item.result, OK);
	committer_stop(&c);
}

/* What went into the old file is written again, into the new one. */
static void
test_replaced(void **state)
{
	struct site *s = *state;
	struct committer *c = start(s, ITEMS);
	char fresh[160];
	struct db *db = NULL;

	snprintf(fresh, sizeof(fresh), "%s.fresh", s->path);
	assert_int_equal(db_open(fresh, DB_CREATE, BUSY_MS, &db, NULL), OK);
	move(s, "", ".old");
	move(s, "-wal", ".old-wal");
	move(s, "-shm", ".old-shm");
	move(s, ".fresh", "");
	move(s, ".fresh-wal", "-wal");
	move(s, ".fresh-shm", "-shm");
	push(c, &things[0]);
	wait_done(1);
	assert_int_equal(things[0].item.result, OK);
	assert_int_equal(things[0].n_writes, 2);
	assert_string_equal(things[0].item.epoch, db_epoch(db));
	assert_string_not_equal(db_epoch(db), db_epoch(s->db));
	assert_int_equal(committer_stats(c)->failures, 0);
	db_close(&db);
	sqlite3_close(s->raw);
	site_open_raw(s);
	assert_int_equal(raw_int(s, "SELECT count(*) FROM job_events"), 1);
	committer_stop(&c);
}

static void
test_full_queue(void **state)
{
	struct committer *c = start(*state, 2);
	sem_t entered, gate;

	sem_init(&entered, 0, 0);
	sem_init(&gate, 0, 0);
	things[0].entered = &entered;
	things[0].gate = &gate;
	push(c, &things[0]);
	wait_for(&entered);
	push(c, &things[1]);
	push(c, &things[2]);
	assert_false(committer_push(c, &things[3].item));
	sem_post(&gate);
	wait_done(3);
	assert_int_equal(things[3].n_writes, 0);
	committer_stop(&c);
	sem_destroy(&entered);
	sem_destroy(&gate);
}

static void
test_stop_commits_what_is_queued(void **state)
{
	struct site *s = *state;
	struct committer *c = start(s, ITEMS);

	for (size_t i = 0; i < ITEMS; i++)
		push(c, &things[i]);
	committer_stop(&c);
	assert_results(ITEMS - 1, OK);
	assert_int_equal(raw_int(s, "SELECT count(*) FROM job_events"), ITEMS);
}

static void
push_one_by_one(struct committer *c)
{
	for (size_t i = 0; i < FEW; i++) {
		push(c, &things[i]);
		wait_done(1);
	}
}

static void
test_wal_is_begun_anew(void **state)
{
	struct site *s = *state;
	struct committer *c = start(s, 1);
	off_t size;

	push(c, &things[FEW]);
	wait_done(1);
	size = wal_size(s);
	push_one_by_one(c);
	assert_true(wal_size(s) < 2 * size);
	committer_stop(&c);
}

/* Deliveries do not wait for it as long as for a writer. */
static void
test_reader_that_stays(void **state)
{
	struct site *s = *state;
	struct committer *c = start_patient(s, 1, ENDLESS_MS);

	raw(s, "BEGIN; SELECT count(*) FROM jobs");
	push_one_by_one(c);
	assert_results(FEW - 1, OK);
	raw(s, "COMMIT");
	committer_stop(&c);
}

static void
test_alone(void **state)
{
	struct site *s = *state;

	commit_alone(s->db, &things[0].item);
	assert_int_equal(things[0].item.result, OK);
	assert_string_equal(things[0].item.epoch, db_epoch(s->db));
	for (enum err e = ERR_NOMEM; e <= ERR_EXISTS; e++) {
		things[1].says = e;
		commit_alone(s->db, &things[1].item);
		assert_int_equal(things[1].item.result, e);
	}
	assert_int_equal(raw_int(s, "SELECT count(*) FROM job_events"), 1);
	assert_int_equal(sem_trywait(&done), -1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, site_teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(test_one),
	    TEST(test_together),
	    TEST(test_cut_by_number),
	    TEST(test_cut_by_weight),
	    TEST(test_refused),
	    TEST(test_trouble),
	    TEST(test_missing),
	    TEST(test_replaced),
	    TEST(test_full_queue),
	    TEST(test_stop_commits_what_is_queued),
	    TEST(test_wal_is_begun_anew),
	    TEST(test_reader_that_stays),
	    TEST(test_alone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
