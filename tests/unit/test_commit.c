/* SPDX-License-Identifier: ISC */
/* hook/commit.c: what is in a transaction, and what becomes of it. */
#include "hook/commit.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "alloc_fail.h"
#include "store/mark.h"
#include "store_site.h"
#include "wait_loop.h"

enum {
	ITEMS = 300,
	FEW = 20,
	PATIENCE_MS = 300, /* of those who are to be given up */
};

/* Writes an event of its name, then says what it was told to. */
struct thing {
	struct commit_item item;
	char job_id[16];
	enum err says;
	bool writes_nothing;
	int n_writes;
};

static struct thing things[ITEMS];
static size_t n_done, n_wanted;
static struct loop *loop;
static struct committer *committer;

static enum err
write_thing(struct commit_item *item, struct db *db)
{
	struct thing *t = (struct thing *)(void *)item;
	const struct event_new e = {.job_id = t->job_id, .type = "step"};
	bool is_duplicate;
	int64_t id;
	enum err err = OK;

	t->n_writes++;
	if (!t->writes_nothing)
		err = events_append(db, &e, &id, &is_duplicate);
	return err == OK ? t->says : err;
}

static void
on_done(struct commit_item *item)
{
	(void)item;
	n_done++;
}

static void
begin(void)
{
	memset(things, 0, sizeof(things));
	for (size_t i = 0; i < ITEMS; i++) {
		things[i].item.write = write_thing;
		things[i].item.on_done = on_done;
		snprintf(
		    things[i].job_id, sizeof(things[i].job_id), "job-%zu", i);
	}
	n_done = n_wanted = 0;
	assert_int_equal(loop_new(&loop), OK);
}

static void
start(const struct site *s, int busy_ms, bool is_brief)
{
	/* Checkpoints after each batch. */
	const struct committer_config cfg = {.loop = loop,
	    .db_path = s->path,
	    .busy_ms = busy_ms,
	    .is_brief = is_brief};

	assert_int_equal(committer_start(&cfg, &committer, NULL), OK);
}

static int
set_up_empty(void **state)
{
	begin();
	return site_empty(state);
}

static int
set_up(void **state)
{
	begin();
	site_setup(state);
	start(*state, BUSY_MS, false);
	return 0;
}

static int
tear_down(void **state)
{
	committer_stop(&committer);
	assert_null(committer);
	committer_stop(&committer);
	loop_free(&loop);
	return site_teardown(state);
}

static const struct commit_stats *
stats(void)
{
	return committer_stats(committer);
}

static void
push(size_t i)
{
	committer_push(committer, &things[i].item);
}

static bool
are_done(void)
{
	return n_done >= n_wanted;
}

/* Until n more are done. */
static void
wait_done(size_t n)
{
	n_wanted += n;
	assert_true(wait_until(loop, are_done));
	assert_int_equal(n_done, n_wanted);
}

static void
commit_one(size_t i)
{
	push(i);
	wait_done(1);
}

/* Things 0..n-1 come in one turn; how many transactions they took. */
static uint64_t
commit_together(size_t n)
{
	uint64_t before = stats()->commits;

	for (size_t i = 0; i < n; i++)
		push(i);
	assert_int_equal(n_done, n_wanted);
	wait_done(n);
	return stats()->commits - before;
}

static void
assert_results(size_t n, enum err e)
{
	for (size_t i = 0; i < n; i++)
		assert_int_equal(things[i].item.result, e);
}

static long long
count_events(struct site *s)
{
	return raw_int(s, "SELECT count(*) FROM job_events");
}

/* --- Batches -------------------------------------------------------------- */

static void
test_one(void **state)
{
	struct site *s = *state;

	commit_one(0);
	assert_int_equal(things[0].item.result, OK);
	assert_string_equal(things[0].item.epoch, db_epoch(s->db));
	assert_int_equal(count_events(s), 1);
	assert_int_equal(stats()->items, 1);
	assert_int_equal(stats()->commits, 1);
}

static void
test_a_turn_is_a_transaction(void **state)
{
	struct site *s = *state;

	assert_int_equal(commit_together(200), 1);
	assert_results(200, OK);
	assert_int_equal(count_events(s), 200);
	assert_string_equal(
	    raw_text(s, "SELECT group_concat(job_id) FROM "
			"(SELECT job_id FROM job_events ORDER BY id LIMIT 3)"),
	    "job-0,job-1,job-2");
}

static void
test_cut_by_number(void **state)
{
	(void)state;
	assert_int_equal(commit_together(256), 1);
	assert_int_equal(commit_together(299), 2);
	assert_results(299, OK);
}

/* 4 MiB and 4 MiB make a transaction; so does one item however heavy. */
static void
test_cut_by_weight(void **state)
{
	(void)state;
	for (size_t i = 0; i < 5; i++)
		things[i].item.weight = 4 << 20;
	things[5].item.weight = 30 << 20;
	assert_int_equal(commit_together(7), 4); /* 2, 2, 4 and 5, 6 */
	assert_results(7, OK);
}

/* One refused item hurts no other, and leaves nothing; where it has written
 * something, each is committed alone. */
static void
refuse_some(struct site *s, bool writes_nothing)
{
	static const enum err refusals[] = {
	    ERR_PROTO, ERR_LIMIT, ERR_EXISTS, ERR_AUTH};

	for (size_t i = 0; i < 4; i++) {
		things[2 + 3 * i].says = refusals[i];
		things[2 + 3 * i].writes_nothing = writes_nothing;
	}
	assert_int_equal(commit_together(20), writes_nothing ? 1 : 1 + 20);
	for (size_t i = 0; i < 20; i++)
		assert_int_equal(things[i].item.result, things[i].says);
	assert_int_equal(count_events(s), 16);
	assert_int_equal(raw_int(s, "SELECT count(*) FROM jobs WHERE job_id IN "
				    "('job-2', 'job-5', 'job-8', 'job-11')"),
	    0);
	assert_int_equal(stats()->failures, 0);
}

static void
test_refused(void **state)
{
	refuse_some(*state, false);
}

static void
test_refused_and_wrote_nothing(void **state)
{
	refuse_some(*state, true);
}

/* --- Trouble -------------------------------------------------------------- */

/* What one item meets, the others of its batch do not; and the next transaction
 * works, on a new connection where that one is in doubt. */
static void
test_trouble(void **state)
{
	static const enum err troubles[] = {
	    ERR_IO, ERR_FULL, ERR_NOMEM, ERR_CORRUPT, ERR_READONLY};
	struct site *s = *state;

	for (size_t i = 0; i < sizeof(troubles) / sizeof(troubles[0]); i++) {
		things[3].says = troubles[i];
		assert_int_equal(commit_together(4), 1 + 4);
		assert_results(3, OK);
		assert_int_equal(things[3].item.result, troubles[i]);
		assert_int_equal(stats()->failures, i + 1);
		assert_int_equal(stats()->state, troubles[i]);
		assert_int_equal(count_events(s), (long long)(4 * i + 3));
		commit_one(0);
		assert_int_equal(things[0].item.result, OK);
		assert_int_equal(stats()->state, OK);
	}
}

static size_t fails_at;
static bool has_failed;

static void
begin_failing(struct deferred *d)
{
	(void)d;
	alloc_fail_start((unsigned)fails_at);
}

static void
end_failing(struct commit_item *item)
{
	has_failed = alloc_fail_stop();
	on_done(item);
}

/* Whatever allocation of a transaction fails, nothing of it is stored; of
 * several that come together each is tried again. The next one works. */
static void
fail_allocations(struct site *s, size_t n)
{
	struct deferred begin = {.run = begin_failing};
	enum err e;

	things[n - 1].item.on_done = end_failing;
	for (fails_at = 1, has_failed = true; has_failed; fails_at++) {
		long long n_events = count_events(s);

		loop_defer(loop, &begin);
		(void)commit_together(n);
		e = things[0].item.result;
		assert_true(e == OK || (n == 1 && e == ERR_NOMEM));
		assert_results(n, e);
		n_events += e == OK ? (long long)n : 0;
		assert_int_equal(count_events(s), n_events);
	}
	assert_true(fails_at > 3);
	assert_results(n, OK);
	assert_int_equal(stats()->state, OK);
	things[n - 1].item.on_done = on_done;
}

static void
test_no_memory(void **state)
{
	(void)commit_together(3); /* prepares the statements */
	fail_allocations(*state, 1);
	fail_allocations(*state, 3);
}

static void
move(const struct site *s, const char *from, const char *to)
{
	char source[160], target[160];

	snprintf(source, sizeof(source), "%s%s", s->path, from);
	snprintf(target, sizeof(target), "%s%s", s->path, to);
	assert_int_equal(rename(source, target), 0);
}

/* While the file is away nothing is stored, nor taken for stored. */
static void
test_missing(void **state)
{
	struct site *s = *state;

	move(s, "", ".away");
	for (int i = 0; i < 2; i++) {
		things[0].writes_nothing = i == 0;
		commit_one(0);
		assert_int_equal(things[0].item.result, ERR_GONE);
		assert_int_equal(committer_look(committer), ERR_GONE);
	}
	move(s, ".away", "");
	assert_int_equal(committer_look(committer), OK);
	commit_one(1);
	assert_int_equal(things[1].item.result, OK);
}

/* Puts a new database in the place of the old one. */
static struct db *
replace(const struct site *s)
{
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
	return db;
}

/* It has another one than it came with: mark.h. */
static const char *
epoch_now(struct db *db)
{
	bool has_new_epoch;
	int64_t last_id;

	assert_int_equal(mark_look(db, &last_id, &has_new_epoch), OK);
	return db_epoch(db);
}

/* What went into the old file is written again, into the new one. */
static void
test_replaced(void **state)
{
	struct site *s = *state;
	struct db *db = replace(s);

	commit_one(0);
	assert_int_equal(things[0].item.result, OK);
	assert_int_equal(things[0].n_writes, 2);
	assert_string_equal(things[0].item.epoch, epoch_now(db));
	assert_string_not_equal(db_epoch(db), db_epoch(s->db));
	assert_int_equal(stats()->failures, 0);
	db_close(&db);
	sqlite3_close(s->raw);
	site_open_raw(s);
	assert_int_equal(count_events(s), 1);
}

/* Who holds the lock of the old one holds up nobody. */
static void
test_replaced_while_locked(void **state)
{
	struct site *s = *state;
	struct db *db;

	raw(s, "BEGIN IMMEDIATE");
	db = replace(s);
	commit_one(0);
	assert_int_equal(things[0].item.result, OK);
	assert_int_equal(things[0].n_writes, 1);
	assert_string_equal(things[0].item.epoch, epoch_now(db));
	db_close(&db);
}

/* --- Locks ---------------------------------------------------------------- */

static int n_ticks;

/* Each half a millisecond, so the loop turns on meanwhile. */
static bool
has_ticked(void)
{
	return ++n_ticks > 40;
}

static bool
is_bad(void)
{
	return stats()->state == ERR_BUSY;
}

static bool
is_well(void)
{
	return stats()->state == OK;
}

static void
test_busy_then_free(void **state)
{
	struct site *s = *state;

	raw(s, "BEGIN IMMEDIATE");
	for (size_t i = 0; i < FEW; i++)
		push(i);
	n_ticks = 0;
	assert_true(wait_until(loop, has_ticked));
	push(FEW);
	assert_int_equal(n_done, 0);
	assert_int_equal(stats()->state, OK);
	raw(s, "COMMIT");
	wait_done(FEW + 1);
	assert_results(FEW + 1, OK);
	assert_int_equal(things[0].n_writes, 1);
	assert_int_equal(stats()->commits, 1);
	assert_int_equal(stats()->failures, 0);
}

/* Each is given up when it has waited for so long itself; and after that the
 * lock's end is found by nobody's asking. */
static void
test_busy_for_too_long(void **state)
{
	struct site *s = *state;
	int64_t began_us;

	committer_stop(&committer);
	start(s, PATIENCE_MS, false);
	raw(s, "BEGIN IMMEDIATE");
	began_us = clock_mono_us();
	push(0);
	n_ticks = 0;
	assert_true(wait_until(loop, has_ticked));
	push(1);
	n_wanted++; /* on a machine that stalls both are over at once */
	assert_true(wait_until(loop, are_done));
	assert_true(clock_mono_us() - began_us >= PATIENCE_MS * 1000);
	assert_int_equal(things[0].item.result, ERR_BUSY);
	assert_int_equal(stats()->state, ERR_BUSY);
	assert_in_range(stats()->failures, 1, n_done);
	wait_done(1);
	assert_true(things[1].item.since_us - began_us >= 40 * WAIT_STEP_US);
	assert_true(
	    clock_mono_us() - things[1].item.since_us >= PATIENCE_MS * 1000);
	assert_int_equal(things[1].item.result, ERR_BUSY);
	assert_int_equal(stats()->commits, 0);
	raw(s, "COMMIT");
	assert_true(wait_until(loop, is_well));
	commit_one(2);
	assert_int_equal(things[2].item.result, OK);
	assert_int_equal(count_events(s), 1);
}

/* A look says that all is well until the lock has been held for a while, and
 * leaves nothing. */
static void
test_look_at_a_lock(void **state)
{
	struct site *s = *state;
	int64_t began_us;

	committer_stop(&committer);
	start(s, PATIENCE_MS, false);
	raw(s, "BEGIN IMMEDIATE");
	began_us = clock_mono_us();
	assert_int_equal(committer_look(committer), OK);
	assert_true(wait_until(loop, is_bad));
	assert_true(clock_mono_us() - began_us >= PATIENCE_MS * 800);
	assert_int_equal(committer_look(committer), ERR_BUSY);
	raw(s, "COMMIT");
	assert_int_equal(committer_look(committer), OK);
	assert_int_equal(stats()->commits + stats()->items, 0);
	assert_int_equal(count_events(s), 0);
}

/* Between two tries, too: what waits is then committed without a third. */
static void
test_look_finds_the_end_of_a_lock(void **state)
{
	struct site *s = *state;

	raw(s, "BEGIN IMMEDIATE");
	push(0);
	n_ticks = 0;
	assert_true(wait_until(loop, has_ticked));
	raw(s, "COMMIT");
	assert_int_equal(committer_look(committer), OK);
	wait_done(1);
	assert_int_equal(things[0].item.result, OK);
	assert_int_equal(count_events(s), 1);
}

/* --- The end -------------------------------------------------------------- */

static void
test_stop_commits_what_waits(void **state)
{
	struct site *s = *state;

	for (size_t i = 0; i < ITEMS; i++)
		push(i);
	committer_stop(&committer);
	assert_int_equal(n_done, ITEMS);
	assert_results(ITEMS, OK);
	assert_int_equal(count_events(s), ITEMS);
}

/* Waits for nobody. */
static void
test_stop_while_locked(void **state)
{
	struct site *s = *state;

	raw(s, "BEGIN IMMEDIATE");
	for (size_t i = 0; i < ITEMS; i++)
		push(i);
	committer_stop(&committer);
	assert_int_equal(n_done, ITEMS);
	assert_results(ITEMS, ERR_BUSY);
	raw(s, "COMMIT");
	assert_int_equal(count_events(s), 0);
}

/* --- Checkpoints ---------------------------------------------------------- */

static void
test_wal_is_begun_anew(void **state)
{
	off_t size;

	commit_one(FEW);
	size = wal_size(*state);
	for (size_t i = 0; i < FEW; i++)
		commit_one(i);
	assert_true(wal_size(*state) < 2 * size);
}

/* --- A process for one call ----------------------------------------------- */

static void
test_brief(void **state)
{
	struct site *s = *state;

	start(s, BUSY_MS, true);
	assert_int_not_equal(access(s->path, F_OK), 0);
	commit_one(0);
	assert_int_equal(things[0].item.result, OK);
	commit_one(1);
	assert_int_equal(things[1].item.result, OK);
	site_open_raw(s);
	assert_int_equal(count_events(s), 2);
	assert_string_equal(
	    raw_text(s, "SELECT value FROM meta WHERE key = 'epoch'"),
	    things[1].item.epoch);
}

static void
test_brief_without_a_folder(void **state)
{
	struct site *s = *state;

	strcat(s->path, "/none");
	start(s, BUSY_MS, true);
	commit_one(0);
	assert_int_equal(things[0].item.result, ERR_GONE);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
#define TEST_EMPTY(name)                                                       \
	cmocka_unit_test_setup_teardown(name, set_up_empty, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(test_one),
	    TEST(test_a_turn_is_a_transaction),
	    TEST(test_cut_by_number),
	    TEST(test_cut_by_weight),
	    TEST(test_refused),
	    TEST(test_refused_and_wrote_nothing),
	    TEST(test_trouble),
	    TEST(test_no_memory),
	    TEST(test_missing),
	    TEST(test_replaced),
	    TEST(test_replaced_while_locked),
	    TEST(test_busy_then_free),
	    TEST(test_busy_for_too_long),
	    TEST(test_look_at_a_lock),
	    TEST(test_look_finds_the_end_of_a_lock),
	    TEST(test_stop_commits_what_waits),
	    TEST(test_stop_while_locked),
	    TEST(test_wal_is_begun_anew),
	    TEST_EMPTY(test_brief),
	    TEST_EMPTY(test_brief_without_a_folder),
	};

	return cmocka_run_group_tests(tests, alloc_fail_reach_sqlite, NULL);
}
