/* SPDX-License-Identifier: ISC */
/* store/cluster.c and outbox.c: who joins diverts what any program writes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "intent/intent.h"
#include "store/cluster.h"
#include "store/outbox.h"
#include "store_site.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define N_EVENTS "SELECT count(*) FROM job_events"
#define N_OUTBOX "SELECT count(*) FROM outbox"

static void
join(struct site *s)
{
	assert_int_equal(db_begin(s->db), OK);
	assert_int_equal(cluster_join(s->db, "a", "0123abcd"), OK);
	assert_int_equal(db_commit(s->db), OK);
}

static int
setup_joined(void **state)
{
	site_setup(state);
	join(*state);
	return 0;
}

/* As a relay whose log has no other node. */
static void
settle(struct site *s)
{
	assert_int_equal(db_begin(s->db), OK);
	assert_int_equal(intent_settle(s->db), OK);
	assert_int_equal(db_commit(s->db), OK);
}

/* What the foreign program is told; "": it was taken. */
static const char *
raw_error(struct site *s, const char *sql)
{
	static char text[256];
	char *error = NULL;

	text[0] = '\0';
	if (sqlite3_exec(s->raw, sql, NULL, NULL, &error) != SQLITE_OK)
		snprintf(text, sizeof(text), "%s", error);
	sqlite3_free(error);
	return text;
}

static void
test_node_names(void **state)
{
	(void)state;
	assert_true(cluster_node_ok("web-1.example_org"));
	assert_true(cluster_node_ok("0123456789abcdef0123456789abcdef"));
	assert_false(cluster_node_ok("0123456789abcdef0123456789abcdef0"));
	assert_false(cluster_node_ok(""));
	assert_false(cluster_node_ok("a b"));
	assert_false(cluster_node_ok("a:b"));
}

/* A connection that was open before knows it in its next transaction. */
static void
test_all_learn_of_it(void **state)
{
	struct site *s = *state;
	struct db *other;
	char before[DB_EPOCH_SIZE];

	strcpy(before, db_epoch(s->db));
	assert_int_equal(db_open(s->path, DB_WRITE, BUSY_MS, &other, NULL), OK);
	assert_false(db_is_clustered(other));
	join(s);
	assert_string_equal(db_node_id(s->db), "a");
	assert_string_equal(db_epoch(s->db), "0123abcd");
	assert_int_equal(db_begin(other), OK);
	assert_string_equal(db_node_id(other), "a");
	assert_string_equal(db_epoch(other), "0123abcd");
	db_rollback(other);

	assert_int_equal(db_begin(other), OK);
	assert_int_equal(cluster_leave(other), OK);
	assert_int_equal(db_commit(other), OK);
	assert_int_equal(db_refresh(s->db), OK);
	assert_false(db_is_clustered(s->db));
	assert_string_not_equal(db_epoch(s->db), "0123abcd");
	assert_string_not_equal(db_epoch(s->db), before);
	db_close(&other);
	raw(s, "INSERT INTO job_events (job_id, type) VALUES ('a', 'queued')");
	assert_int_equal(raw_int(s, N_EVENTS), 1);
}

/* What is rolled back has never been. */
static void
test_rolled_back(void **state)
{
	struct site *s = *state;
	char before[DB_EPOCH_SIZE];

	strcpy(before, db_epoch(s->db));
	assert_int_equal(db_begin(s->db), OK);
	assert_int_equal(cluster_join(s->db, "a", NULL), OK);
	db_rollback(s->db);
	assert_int_equal(db_begin(s->db), OK);
	assert_false(db_is_clustered(s->db));
	assert_string_equal(db_epoch(s->db), before);
	assert_int_equal(cluster_join(s->db, "a b", NULL), ERR_PROTO);
	assert_int_equal(cluster_join(s->db, "a", "0123ABCD"), ERR_PROTO);
	assert_int_equal(cluster_join(s->db, "a", "0123abcde"), ERR_PROTO);
	db_rollback(s->db);
}

static void
test_foreign_event(void **state)
{
	struct site *s = *state;

	raw(s, "INSERT INTO job_events (job_id, type, data) VALUES "
	       "('a', 'queued', NULL), ('a', 'progress', "
	       "'{\"output\":[12345678901234567890,1e400,\"\\u0000\"] }')");
	assert_int_equal(raw_int(s, N_EVENTS), 0);
	assert_int_equal(raw_int(s, N_OUTBOX), 2);
	settle(s);
	assert_int_equal(raw_int(s, N_EVENTS), 2);
	assert_string_equal(raw_text(s, "SELECT data FROM job_events "
					"WHERE type = 'progress'"),
	    "{\"output\":[12345678901234567890,1e400,\"\\u0000\"] }");
	assert_string_equal(raw_text(s, "SELECT output FROM jobs"),
	    "[12345678901234567890,1e400,\"\\u0000\"]");
	assert_string_equal(
	    raw_text(s, "SELECT state FROM jobs"), "processing");
}

/* The mark is never seen by others, and each row is carried out once. */
static void
test_settled_once(void **state)
{
	struct site *s = *state;

	raw(s, "INSERT INTO job_events (job_id, type) VALUES ('a', 'queued')");
	settle(s);
	settle(s);
	assert_int_equal(raw_int(s, N_EVENTS), 1);
	assert_int_equal(
	    raw_int(s, "SELECT count(*) FROM meta WHERE key = 'applying'"), 0);
	raw(s, "INSERT INTO job_events (job_id, type) VALUES ('a', 'x')");
	assert_int_equal(raw_int(s, N_EVENTS), 1);
}

static void
test_delivery_keys(void **state)
{
	static const char *const keys[] = {"'k'", "''", "NULL"};
	struct site *s = *state;
	char sql[256];

	for (size_t i = 0; i < COUNT(keys); i++) {
		snprintf(sql, sizeof(sql),
		    "INSERT INTO job_events (job_id, type, source, "
		    "delivery_key) VALUES ('a', 'x', 'w', %s) "
		    "ON CONFLICT (source, delivery_key) DO NOTHING",
		    keys[i]);
		raw(s, sql);
		raw(s, sql);
	}
	settle(s);
	/* NULL is no key. */
	assert_int_equal(raw_int(s, N_EVENTS), 4);
	assert_int_equal(raw_int(s, "SELECT count(*) FROM job_events "
				    "WHERE delivery_key = ''"),
	    1);
}

/* Times of its own, and a restore id. */
static void
test_given_columns(void **state)
{
	struct site *s = *state;

	raw(s, "INSERT INTO job_events (job_id, type, created_at, restore_id) "
	       "VALUES ('a', 'x', '2001-02-03T04:05:06.789Z', 'r'), "
	       "('a', 'x', '2001-02-03T04:05:06.789Z', '')");
	assert_int_equal(raw_int(s, N_OUTBOX), 2);
	settle(s);
	assert_int_equal(raw_int(s, "SELECT count(*) FROM job_events WHERE "
				    "created_at = '2001-02-03T04:05:06.789Z'"),
	    2);
	assert_int_equal(raw_int(s, "SELECT count(*) FROM job_events "
				    "WHERE restore_id = ''"),
	    1);
}

/* A writer is told the same, word for word, as a single node tells him. */
static void
test_same_checks(void **state)
{
	static const char *const values[] = {
	    "('', 'x', NULL)",
	    "('a b', 'x', NULL)",
	    "('a' || char(0), 'x', NULL)",
	    "(NULL, 'x', NULL)",
	    "(hex(zeroblob(64)) || 'a', 'x', NULL)",
	    "(hex(zeroblob(64)), 'x', NULL)",
	    "('a', '', NULL)",
	    "('a', 'X', NULL)",
	    "('a', 'x' || char(0), NULL)",
	    "('a', '9', NULL)",
	    "('a', NULL, NULL)",
	    "('a', 'x' || hex(zeroblob(32)), NULL)",
	    "('a', 'x' || replace(hex(zeroblob(32)), '00', 'a'), NULL)",
	    "('a', 'x', '[]')",
	    "('a', 'x', '')",
	    "('a', 'x', '{')",
	    "('a', 'x', '{}' || char(0))",
	    "('a', 'x', '{\"a\":\"' || hex(zeroblob(16777216)) || '\"}')",
	    "('a', 'x', x'7b7d')",
	    "(x'61', 'x', NULL)",
	    "(1, 'x', NULL)",
	};
	struct site *s = *state;
	char sql[256], single[256];

	for (size_t i = 0; i < COUNT(values); i++) {
		snprintf(sql, sizeof(sql),
		    "INSERT INTO job_events (job_id, type, data) VALUES %s",
		    values[i]);
		assert_int_equal(db_begin(s->db), OK);
		assert_int_equal(cluster_leave(s->db), OK);
		assert_int_equal(db_commit(s->db), OK);
		strcpy(single, raw_error(s, sql));
		/* One that a CHECK can never see is told by its name. */
		if (strncmp(single, "NOT NULL", 8) == 0)
			strcpy(single, "CHECK");
		join(s);
		if (strncmp(raw_error(s, sql), single,
			strcmp(single, "CHECK") == 0 ? 5 : sizeof(single)) != 0)
			fail_msg("%s: single '%s', cluster '%s'", sql, single,
			    raw_error(s, sql));
		settle(s);
	}
	/* Each that was taken was taken twice. */
	assert_int_equal(raw_int(s, N_OUTBOX) * 2, raw_int(s, N_EVENTS));
	assert_int_equal(raw_int(s, "SELECT count(*) FROM outbox WHERE "
				    "result LIKE '%refused%'"),
	    0);
}

static void
test_own_checks(void **state)
{
	static const char *const refused[] = {
	    "INSERT INTO job_events (job_id, type, source) "
	    "VALUES ('a', 'x', 'w' || char(0))",
	    "INSERT INTO job_events (job_id, type, delivery_key) "
	    "VALUES ('a', 'x', char(0))",
	    /* Larger than a row that programs of ours can load. */
	    "INSERT INTO job_events (job_id, type, source) "
	    "VALUES ('a', 'x', hex(zeroblob(33100000)))",
	    "INSERT INTO jobs (job_id, state) VALUES ('a', 'failed')",
	    "INSERT INTO jobs (job_id, output) VALUES ('a', '1')",
	    "INSERT INTO jobs (job_id) VALUES ('a b')",
	};
	struct site *s = *state;

	for (size_t i = 0; i < COUNT(refused); i++)
		assert_string_not_equal(raw_error(s, refused[i]), "");
	assert_int_equal(raw_int(s, N_OUTBOX), 0);
}

/* The first owner stays, whatever the conflict clause says. */
static void
test_foreign_job(void **state)
{
	struct site *s = *state;

	raw(s, "INSERT INTO jobs (job_id, owner) VALUES ('a', 'alice') "
	       "ON CONFLICT (job_id) DO UPDATE SET owner = excluded.owner");
	assert_int_equal(raw_int(s, "SELECT count(*) FROM jobs"), 0);
	settle(s);
	assert_string_equal(raw_text(s, "SELECT owner FROM jobs"), "alice");
	raw(s, "INSERT INTO jobs (job_id, owner) VALUES ('a', 'bob') "
	       "ON CONFLICT (job_id) DO UPDATE SET owner = excluded.owner");
	settle(s);
	assert_string_equal(raw_text(s, "SELECT owner FROM jobs"), "alice");
	assert_string_equal(
	    raw_text(s, "SELECT result FROM outbox WHERE seq = 2"),
	    "{\"refused\":\"job_owned\"}");
}

static void
test_foreign_deletion(void **state)
{
	struct site *s = *state;

	raw(s, "INSERT INTO job_events (job_id, type) VALUES ('a', 'queued'), "
	       "('b', 'queued')");
	settle(s);
	raw(s, "DELETE FROM jobs WHERE job_id = 'a'");
	assert_int_equal(raw_int(s, N_EVENTS), 2);
	settle(s);
	assert_int_equal(raw_int(s, N_EVENTS), 1);
	assert_int_equal(raw_int(s, "SELECT count(*) FROM jobs"), 1);
}

/* What was taken is not lost. */
static void
test_leave(void **state)
{
	struct site *s = *state;

	raw(s, "INSERT INTO job_events (job_id, type) VALUES ('a', 'queued')");
	assert_int_equal(db_begin(s->db), OK);
	assert_int_equal(cluster_leave(s->db), ERR_EXISTS);
	assert_int_equal(intent_settle(s->db), OK);
	assert_int_equal(cluster_leave(s->db), OK);
	assert_int_equal(db_commit(s->db), OK);
	assert_int_equal(raw_int(s, N_EVENTS), 1);
	assert_int_equal(raw_int(s, "SELECT count(*) FROM sqlite_master "
				    "WHERE name LIKE 'cluster%'"),
	    0);
}

/* --- The outbox ----------------------------------------------------------- */

static void
test_outbox(void **state)
{
	struct site *s = *state;
	struct buf result = BUF_INIT;
	int64_t seq = 0;

	assert_int_equal(db_begin(s->db), OK);
	assert_int_equal(outbox_add(s->db, "event", SPAN_LIT("{}"), &seq), OK);
	assert_int_equal(seq, 1);
	assert_int_equal(outbox_result(s->db, 1, &result), ERR_AGAIN);
	assert_int_equal(outbox_result(s->db, 2, &result), ERR_NOENT);
	assert_int_equal(outbox_answer(s->db, 1, SPAN_LIT("{\"a\":1}")), OK);
	assert_int_equal(outbox_answer(s->db, 2, SPAN_LIT("{\"a\":1}")), OK);
	assert_int_equal(outbox_result(s->db, 1, &result), OK);
	assert_string_equal(result.data, "{\"a\":1}");
	assert_int_equal(db_commit(s->db), OK);
	buf_done(&result);
}

/* Answered, old enough, and up to that one. */
static void
test_forget(void **state)
{
	struct site *s = *state;

	raw(s, "INSERT INTO outbox (kind, payload, created_at, result) VALUES "
	       "('a', '', '2001-02-03T04:05:06.789Z', '{}'), "
	       "('b', '', '2001-02-03T04:05:06.789Z', NULL), "
	       "('c', '', strftime('%Y-%m-%dT%H:%M:%fZ', 'now'), '{}'), "
	       "('d', '', '2001-02-03T04:05:06.789Z', '{}'), "
	       "('e', '', '2001-02-03T04:05:06.789Z', '{}')");
	assert_int_equal(outbox_forget(s->db, 4), OK);
	assert_string_equal(
	    raw_text(s, "SELECT group_concat(kind, '') FROM outbox"), "bce");
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_node_names),
	    cmocka_unit_test_setup_teardown(
		test_all_learn_of_it, site_setup, site_teardown),
	    cmocka_unit_test_setup_teardown(
		test_rolled_back, site_setup, site_teardown),
	    cmocka_unit_test_setup_teardown(
		test_foreign_event, setup_joined, site_teardown),
	    cmocka_unit_test_setup_teardown(
		test_settled_once, setup_joined, site_teardown),
	    cmocka_unit_test_setup_teardown(
		test_delivery_keys, setup_joined, site_teardown),
	    cmocka_unit_test_setup_teardown(
		test_given_columns, setup_joined, site_teardown),
	    cmocka_unit_test_setup_teardown(
		test_same_checks, setup_joined, site_teardown),
	    cmocka_unit_test_setup_teardown(
		test_own_checks, setup_joined, site_teardown),
	    cmocka_unit_test_setup_teardown(
		test_foreign_job, setup_joined, site_teardown),
	    cmocka_unit_test_setup_teardown(
		test_foreign_deletion, setup_joined, site_teardown),
	    cmocka_unit_test_setup_teardown(
		test_leave, setup_joined, site_teardown),
	    cmocka_unit_test_setup_teardown(
		test_outbox, site_setup, site_teardown),
	    cmocka_unit_test_setup_teardown(
		test_forget, site_setup, site_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
