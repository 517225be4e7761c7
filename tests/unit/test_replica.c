/* SPDX-License-Identifier: ISC */
/* Unit tests of store/replica, store/undo and store/entry_clock. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>

#include <cmocka.h>

#include "store/cluster.h"
#include "store/entry_clock.h"
#include "store/events.h"
#include "store/replica.h"
#include "store_site.h"

#define EPOCH(n) (INT64_C(n) << 40)

static int
setup(void **state)
{
	struct site *s;

	site_setup(state);
	s = *state;
	site_open_to_apply(s);
	assert_int_equal(replica_start(s->db, "a"), OK);
	return 0;
}

/* An entry that does what the SQL says. */
static void
apply(struct site *s, int64_t id, const char *tag, const char *origin,
    int64_t seq, const char *sql)
{
	struct log_entry entry = {.at = {.id = id},
	    .origin = origin,
	    .origin_seq = seq,
	    .at_ms = 1000000000000 + seq};

	strcpy(entry.at.tag, tag);
	assert_int_equal(db_begin(s->db), OK);
	assert_int_equal(replica_begin(s->db, &entry), OK);
	exec(s->db, sql);
	assert_int_equal(replica_end(s->db, &entry, OK), OK);
	assert_int_equal(db_commit(s->db), OK);
}

/* Everything that is replicated, as one text. */
static char *
dump(struct site *s)
{
	static const char *const tables[] = {"rowid, * FROM jobs",
	    "* FROM job_events", "* FROM unclaimed_events",
	    "* FROM idempotency_keys", "* FROM revoked", "* FROM tickets",
	    "* FROM runs", "* FROM log_marks WHERE seq > 0",
	    "* FROM meta WHERE key = 'gone_floor'"};
	struct buf b = BUF_INIT;
	sqlite3_stmt *st;
	char sql[128];

	for (size_t i = 0; i < sizeof(tables) / sizeof(*tables); i++) {
		snprintf(sql, sizeof(sql), "SELECT %s", tables[i]);
		assert_int_equal(
		    sqlite3_prepare_v2(s->raw, sql, -1, &st, NULL), SQLITE_OK);
		while (sqlite3_step(st) == SQLITE_ROW) {
			for (int k = 0; k < sqlite3_column_count(st); k++) {
				const unsigned char *text =
				    sqlite3_column_text(st, k);

				buf_addf(&b, "%s|",
				    text != NULL ? (const char *)text : "NULL");
			}
			buf_add_str(&b, "\n");
		}
		sqlite3_finalize(st);
	}
	return buf_take(&b);
}

static int64_t
number(struct site *s, const char *sql)
{
	sqlite3_stmt *st;
	int64_t n;

	assert_int_equal(
	    sqlite3_prepare_v2(s->raw, sql, -1, &st, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_step(st), SQLITE_ROW);
	n = sqlite3_column_int64(st, 0);
	sqlite3_finalize(st);
	return n;
}

static void
test_ids_times_and_origins(void **state)
{
	struct site *s = *state;
	char *text;

	apply(s, EPOCH(1), "t", "b", 7,
	    "INSERT INTO job_events (job_id, type) VALUES ('j', 'queued');"
	    "INSERT INTO job_events (job_id, type) VALUES ('j', 'completed');"
	    "INSERT INTO runs (job_id, endpoint) VALUES ('k', 'e')");
	text = dump(s);
	assert_non_null(strstr(text, "1099511627776|j|queued|NULL|"
				     "2001-09-09T01:46:40.007Z|"));
	assert_non_null(strstr(text, "1099511627777|j|completed|NULL|"
				     "2001-09-09T01:46:40.007Z|"));
	assert_int_equal(number(s, "SELECT count(*) FROM job_events WHERE "
				   "origin = 'b' AND origin_seq = 7"),
	    2);
	assert_int_equal(number(s, "SELECT count(*) FROM runs WHERE origin = "
				   "'b' AND run_id = 1099511627776"),
	    1);
	/* Afterwards it is now again. */
	exec(s->db, "UPDATE jobs SET updated_at = "
		    "strftime('%Y-%m-%dT%H:%M:%fZ', 'now')");
	assert_int_equal(
	    number(s, "SELECT count(*) FROM jobs WHERE updated_at > '2020'"),
	    1);
	free(text);
}

static const char first[] =
    "INSERT INTO jobs (job_id, owner, external_id) VALUES ('j', 'o', 'x');"
    "INSERT INTO jobs (job_id) VALUES ('gone');"
    "INSERT INTO job_events (job_id, type, data) VALUES "
    "('j', 'queued', '{\"a\":\"it''s\"}'), ('gone', 'processing', NULL);"
    "INSERT INTO unclaimed_events (external_id, type, source, delivery_key) "
    "VALUES ('y', 'completed', 's', 'k');"
    "INSERT INTO idempotency_keys (key, request, first_id, n_events) VALUES "
    "('k', 'r', 1, 1);"
    "INSERT INTO revoked VALUES ('jti', printf('%064d', 1), 5);"
    "INSERT INTO runs (job_id, endpoint, input) VALUES ('j', 'e', '{}')";
static const char second[] =
    "INSERT INTO jobs (job_id, external_id) VALUES ('late', 'y');"
    "INSERT INTO job_events (job_id, type, data) VALUES "
    "('j', 'completed', '{\"output\":{\"n\":12345678901234567890}}');"
    "DELETE FROM jobs WHERE job_id = 'gone';"
    "UPDATE revoked SET revoked_at = 6;"
    "DELETE FROM idempotency_keys";

static void
test_all_is_taken_back(void **state)
{
	struct site *s = *state;
	struct log_position to = {.id = EPOCH(1), .tag = "t"}, at;
	char *before, *after, *again;
	int64_t n = 0;

	apply(s, EPOCH(1), "t", "b", 1, first);
	before = dump(s);
	apply(s, EPOCH(1) + 128, "t", "c", 1, second);
	after = dump(s);
	assert_string_not_equal(before, after);
	apply(s, EPOCH(1) + 256, "t", NULL, 0, "SELECT 1");
	assert_int_equal(replica_cut_back(s->db, &to, &n), OK);
	assert_int_equal(n, 2);
	again = dump(s);
	assert_string_equal(again, before);
	assert_int_equal(replica_position(s->db, &at), OK);
	assert_true(at.id == to.id);
	/* And the same again makes the same. */
	free(again);
	apply(s, EPOCH(1) + 128, "t", "c", 1, second);
	again = dump(s);
	assert_string_equal(again, after);
	free(before);
	free(after);
	free(again);
}

/* What it has submitted must not be submitted again. */
static void
test_own_runs_stay(void **state)
{
	struct site *s = *state;
	struct log_position to = {0};
	int64_t n = 0;

	apply(s, EPOCH(1), "t", "a", 1,
	    "INSERT INTO runs (job_id, endpoint) VALUES ('mine', 'e')");
	apply(s, EPOCH(1) + 128, "t", "b", 1,
	    "INSERT INTO runs (job_id, endpoint) VALUES ('other', 'e')");
	assert_int_equal(replica_cut_back(s->db, &to, &n), OK);
	assert_int_equal(n, 2);
	assert_int_equal(number(s, "SELECT count(*) FROM runs"), 1);
	assert_int_equal(
	    number(s, "SELECT count(*) FROM runs WHERE job_id = 'mine'"), 1);
}

static void
test_more_events_than_an_entry_has_room_for(void **state)
{
	struct site *s = *state;

	apply(s, EPOCH(1), "t", "b", 1,
	    "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n "
	    "WHERE i < 300) INSERT INTO job_events (job_id, type) "
	    "SELECT 'j', 'note' FROM n");
	apply(s, EPOCH(1) + 128, "t", "b", 2,
	    "INSERT INTO job_events (job_id, type) VALUES ('j', 'completed')");
	assert_int_equal(
	    number(s, "SELECT max(id) FROM job_events"), EPOCH(1) + 300);
	assert_int_equal(number(s, "SELECT count(*) FROM job_events WHERE "
				   "origin_seq = 1"),
	    300);
}

static void
test_finding(void **state)
{
	struct site *s = *state;
	struct log_position want = {.id = EPOCH(2) + 512, .tag = "u"}, at;
	struct log_position none = {0};

	apply(s, EPOCH(1), "t", NULL, 0, "SELECT 1");
	apply(s, EPOCH(2), "u", NULL, 0, "SELECT 1");
	apply(s, EPOCH(2) + 128, "u", NULL, 0, "SELECT 1");
	assert_int_equal(replica_find(s->db, &want, &at), OK);
	assert_true(at.id == EPOCH(2) + 128);
	want.id = EPOCH(2);
	assert_int_equal(replica_find(s->db, &want, &at), OK);
	assert_true(at.id == EPOCH(2));
	strcpy(want.tag, "t"); /* another lineage's */
	assert_int_equal(replica_find(s->db, &want, &at), ERR_NOENT);
	assert_int_equal(replica_find(s->db, &none, &at), OK);
	assert_true(at.id == 0);
}

static void
add_position(void *arg, const struct log_position *last)
{
	buf_addf(arg, "%lld/%s ", (long long)last->id, last->tag);
}

static void
add_mark(void *arg, const char *origin, int64_t seq)
{
	buf_addf(arg, "%s %lld ", origin, (long long)seq);
}

static void
assert_marks(struct site *s, int64_t at_id, const char *want)
{
	struct buf marks = BUF_INIT;

	assert_int_equal(replica_marks(s->db, at_id, add_mark, &marks), OK);
	assert_string_equal(marks.data, want);
	buf_done(&marks);
}

/* What a node says of itself where a log begins anew: how it came here, and
 * what it had when it was elsewhere on that way. */
static void
test_the_way_here(void **state)
{
	struct site *s = *state;
	struct buf lineage = BUF_INIT;

	apply(s, EPOCH(1), "t", NULL, 0, "SELECT 1");
	apply(s, EPOCH(1) + 128, "t", "a", 7, "SELECT 1");
	apply(s, EPOCH(1) + 256, "t", "b", 1, "SELECT 1");
	apply(s, EPOCH(4), "u", NULL, 0, "SELECT 1");
	apply(s, EPOCH(4) + 128, "u", "a", 9, "SELECT 1");
	assert_int_equal(replica_lineage(s->db, add_position, &lineage), OK);
	assert_string_equal(
	    lineage.data, "4398046511232/u 1099511628032/t 0/ ");
	assert_marks(s, EPOCH(4) + 128, "a 9 b 1 ");
	assert_marks(s, EPOCH(4), "a 7 b 1 ");
	assert_marks(s, EPOCH(1) + 128, "a 7 b 0 ");
	assert_marks(s, 0, "a 0 b 0 ");
	buf_done(&lineage);
}

/* What was given out is not forgotten, and yet an entry gives its own ids where
 * the log goes on below. */
static void
test_sequences_after_a_cut(void **state)
{
	static const char event[] = "INSERT INTO job_events (job_id, type) "
				    "VALUES ('j', 'queued')";
	struct site *s = *state;
	struct log_position to = {.id = EPOCH(1), .tag = "t"};
	int64_t n = 0, last = 0;

	apply(s, EPOCH(1), "t", "b", 1, event);
	apply(s, EPOCH(5) + 128, "x", "b", 2, event);
	assert_int_equal(replica_cut_back(s->db, &to, &n), OK);
	assert_int_equal(events_last_id(s->db, &last), OK);
	assert_true(last == EPOCH(5) + 128);
	apply(s, EPOCH(2) + 128, "y", "b", 2, event);
	assert_true(
	    number(s, "SELECT max(id) FROM job_events") == EPOCH(2) + 128);
}

static void
test_forgetting(void **state)
{
	struct site *s = *state;
	struct log_position at;
	int64_t seq = 0;
	bool has_more;

	for (int i = 0; i < 10; i++)
		apply(s, EPOCH(1) + 128 * i, "t", i % 2 == 0 ? "a" : "b",
		    i / 2 + 1,
		    "INSERT INTO job_events (job_id, type) VALUES "
		    "('j', 'queued')");
	assert_int_equal(db_begin(s->db), OK);
	/* Not what is younger. */
	assert_int_equal(
	    replica_prune(s->db, "a", EPOCH(2), 1, &seq, &has_more), OK);
	assert_int_equal(seq, 0);
	assert_int_equal(replica_prune(s->db, "a", EPOCH(1) + 128 * 6,
			     INT64_MAX, &seq, &has_more),
	    OK);
	assert_int_equal(db_commit(s->db), OK);
	assert_int_equal(seq, 4);
	assert_false(has_more);
	assert_int_equal(replica_horizon(s->db, &at), OK);
	assert_true(at.id == EPOCH(1) + 128 * 6);
	assert_int_equal(number(s, "SELECT count(*) FROM log_entries"), 4);
	assert_int_equal(replica_cut_back(s->db, &at, &seq), OK);
	assert_int_equal(seq, 3);
	assert_int_equal(number(s, "SELECT count(*) FROM job_events"), 7);
	assert_int_equal(number(s, "SELECT count(*) FROM log_undo"), 0);
}

static void
test_a_place_behind_what_was(void **state)
{
	struct site *s = *state;
	struct buf owner = BUF_INIT;
	int64_t highest, waiting;

	exec(s->db, "INSERT INTO outbox (kind, payload, result) VALUES "
		    "('event', '{}', '{}');"
		    "INSERT INTO outbox (kind, payload) VALUES "
		    "('event', '{}'), ('event', '{}')");
	assert_int_equal(replica_owner(s->db, &owner), OK);
	assert_int_equal(owner.len, 0);
	assert_int_equal(db_begin(s->db), OK);
	assert_int_equal(replica_own(s->db, "a 123", 500), OK);
	assert_int_equal(db_commit(s->db), OK);
	assert_int_equal(replica_owner(s->db, &owner), OK);
	assert_string_equal(owner.data, "a 123");
	assert_int_equal(
	    number(s, "SELECT min(seq) FROM outbox WHERE result IS NULL"), 502);
	assert_int_equal(replica_outbox(s->db, "a", &highest, &waiting), OK);
	assert_int_equal(highest, 503);
	exec(s->db, "INSERT INTO outbox (kind, payload) VALUES "
		    "('event', '{}')");
	assert_int_equal(number(s, "SELECT max(seq) FROM outbox"), 504);
	buf_done(&owner);
}

/* Who waits for the answer to one never gets that to another. */
static void
test_a_place_is_nobody_elses(void **state)
{
	struct site *s = *state;

	exec(s->db, "INSERT INTO outbox (kind, payload) VALUES "
		    "('event', '1'), ('event', '2'), ('event', '3')");
	assert_int_equal(db_begin(s->db), OK);
	assert_int_equal(replica_own(s->db, "a 123", 1), OK);
	assert_int_equal(db_commit(s->db), OK);
	assert_int_equal(
	    number(s, "SELECT count(*) FROM outbox WHERE seq > 3"), 3);
	assert_int_equal(number(s, "SELECT group_concat(payload, '') FROM "
				   "(SELECT * FROM outbox ORDER BY seq)"),
	    123);
}

int
main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, site_teardown)
	const struct CMUnitTest tests[] = {
	    TEST(test_ids_times_and_origins),
	    TEST(test_all_is_taken_back),
	    TEST(test_own_runs_stay),
	    TEST(test_more_events_than_an_entry_has_room_for),
	    TEST(test_finding),
	    TEST(test_the_way_here),
	    TEST(test_sequences_after_a_cut),
	    TEST(test_forgetting),
	    TEST(test_a_place_behind_what_was),
	    TEST(test_a_place_is_nobody_elses),
	};

	return cmocka_run_group_tests_name("replica", tests, NULL, NULL);
}
