/* SPDX-License-Identifier: ISC */
/* src/intent: entries of a log, also those that no node of ours wrote, and what
 * the janitor posts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "intent/retention.h"
#include "intent_pair.h"

/* An entry of that node, as the relay applies it. */
static enum err
apply_of(struct site *s, const char *origin, int64_t seq, const char *kind,
    const char *payload, struct intent_result *ret)
{
	struct buf result = BUF_INIT;
	bool goes_on;
	enum err e;

	assert_int_equal(db_begin(s->db), OK);
	assert_int_equal(db_part_begin(s->db), OK);
	assert_int_equal(cluster_apply_begin(s->db), OK);
	cluster_apply_entry(s->db, origin, seq);
	e = intent_apply(s->db, kind, span_of(payload), &result);
	assert_int_equal(cluster_apply_end(s->db), OK);
	assert_int_equal(db_part_end(s->db, e, &goes_on), e);
	assert_int_equal(db_commit(s->db), OK);
	assert_int_equal(intent_read_result(buf_span(&result), ret), OK);
	buf_done(&result);
	return e;
}

static void
test_bad_entries(void **state)
{
	static const char *const bad[][2] = {
	    {"event", ""},
	    {"event", "{"},
	    {"event", "[]"},
	    {"event", "null"},
	    {"event", "{}"},
	    {"event", "{\"job_id\":1,\"type\":\"x\"}"},
	    {"event", "{\"job_id\":\"a\\u0000b\",\"type\":\"x\"}"},
	    {"event", "{\"job_id\":\"a\",\"type\":\"x\",\"run_seq\":-1}"},
	    {"event", "{\"job_id\":\"a\",\"type\":\"x\",\"run_seq\":\"1\"}"},
	    {"event", "{\"job_id\":\"a\",\"type\":\"X\"}"},
	    {"publication", "{\"job_id\":\"a\",\"events\":{}}"},
	    {"publication", "{\"job_id\":\"a\",\"events\":[1]}"},
	    {"publication", "{\"job_id\":\"a\",\"events\":[{}]}"},
	    {"publication", "{\"job_id\":\"a\",\"events\":[]}"},
	    {"start", "{\"job_id\":\"a\"}"},
	    {"cancel", "{}"},
	    {"registration", "{}"},
	    {"ticket", "{}"},
	    {"revocation", "{}"},
	    {"deletion", "{}"},
	    {"take", "{}"},
	    {"retention", "{\"job_ids\":\"a\"}"},
	    {"", "{}"},
	    {"else", "{}"},
	};
	struct pair *p = *state;
	struct intent_result r;

	for (size_t i = 0; i < COUNT(bad); i++) {
		if (apply_of(p->node, "b", (int64_t)i + 1, bad[i][0], bad[i][1],
			&r) != ERR_PROTO)
			fail_msg("%s %s", bad[i][0], bad[i][1]);
		assert_int_equal(r.refusal, INTENT_INVALID);
	}
	assert_int_equal(raw_int(p->node, "SELECT count(*) FROM jobs"), 0);
}

static void
test_too_many_events(void **state)
{
	struct pair *p = *state;
	struct buf text = BUF_INIT;
	struct intent_result r;

	buf_add_str(&text, "{\"job_id\":\"a\",\"events\":[");
	for (int i = 0; i <= INTENT_EVENTS_MAX; i++)
		buf_addf(&text, "%s{\"type\":\"x\"}", i > 0 ? "," : "");
	buf_add_str(&text, "]}");
	assert_int_equal(
	    apply_of(p->node, "b", 1, "publication", text.data, &r), ERR_PROTO);
	buf_done(&text);
}

/* What nobody knows yet is passed over. */
static void
test_unknown_members(void **state)
{
	struct pair *p = *state;
	struct intent_result r;

	assert_int_equal(apply_of(p->node, "b", 1, "event",
			     "{\"job_id\":null,\"new\":[{\"type\":\"y\"}],"
			     "\"job_id\":\"a\",\"type\":\"x\"}",
			     &r),
	    OK);
	assert_int_equal(r.first_id, 1);
}

#define START                                                                  \
	"{\"job_id\":\"a\",\"endpoint\":\"ep\",\"spare_restore_id\":\"s\","    \
	"\"input\":\"{}\"}"

/* As the relay does after an entry. */
static void
stamp(struct site *s, const char *origin, int seq)
{
	char sql[128];

	snprintf(sql, sizeof(sql),
	    "UPDATE runs SET origin = '%s', origin_seq = %d "
	    "WHERE origin IS NULL",
	    origin, seq);
	raw(s, sql);
}

/* Of another node's run nothing is due here; and whether it was sent only its
 * own node can say. */
static void
test_run_of_another_node(void **state)
{
	struct pair *p = *state;
	struct site *s = p->node;
	struct intent_result r;

	assert_int_equal(apply_of(s, "b", 1, "start", START, &r), OK);
	stamp(s, "b", 1);
	assert_string_equal(raw_text(s, "SELECT next_at FROM runs"), "");
	assert_int_equal(
	    apply_of(s, "c", 1, "cancel", "{\"job_id\":\"a\"}", &r), OK);
	assert_false(r.is_over);
	assert_string_equal(
	    raw_text(s, "SELECT max(id) || type FROM job_events"),
	    "2cancelling");
	assert_int_equal(apply_of(s, "c", 2, "report",
			     "{\"job_id\":\"a\",\"type\":\"processing\","
			     "\"source\":\"runpod\",\"delivery_key\":\"k\","
			     "\"external_id\":\"x\",\"restore_id\":\"s\"}",
			     &r),
	    OK);
	assert_true(r.is_new);
	assert_string_equal(raw_text(s, "SELECT state FROM runs"), "waiting");
	assert_int_equal(raw_int(s, "SELECT count(*) FROM outbox"), 0);
	assert_int_equal(
	    apply_of(s, "b", 2, "submitted",
		"{\"run_origin\":\"b\",\"run_seq\":1,\"external_id\":\"x\","
		"\"submitted_at\":1000,\"deadline\":2000,\"next_at\":1500}",
		&r),
	    OK);
	assert_string_equal(raw_text(s, "SELECT state || external_id || "
					"coalesce(next_at, '-') FROM runs"),
	    "submittedx-");
	assert_string_equal(raw_text(s, "SELECT external_id FROM jobs"), "x");
}

/* Our own that is in doubt is proven, and the log told. */
static void
test_own_run_is_proven(void **state)
{
	struct pair *p = *state;
	struct site *s = p->node;
	struct intent_result r;

	assert_int_equal(apply_of(s, "a", 1, "start", START, &r), OK);
	stamp(s, "a", 1);
	assert_string_not_equal(raw_text(s, "SELECT next_at FROM runs"), "");
	raw(s, "UPDATE runs SET state = 'unknown', next_at = NULL");
	assert_int_equal(apply_of(s, "c", 1, "registration",
			     "{\"job_id\":\"a\",\"external_id\":\"x\"}", &r),
	    OK);
	assert_string_equal(raw_text(s, "SELECT state FROM runs"), "unknown");
	assert_string_equal(
	    raw_text(s, "SELECT kind FROM outbox"), "submitted");
	assert_int_equal(db_begin(s->db), OK);
	assert_int_equal(intent_settle(s->db), OK);
	assert_int_equal(db_commit(s->db), OK);
	assert_string_equal(
	    raw_text(s, "SELECT state || external_id FROM runs"), "submittedx");
}

/* After a cut back the entry comes again: the run is the same. */
static void
test_start_again(void **state)
{
	struct pair *p = *state;
	struct site *s = p->node;
	struct intent_result r;

	assert_int_equal(apply_of(s, "a", 1, "start", START, &r), OK);
	stamp(s, "a", 1);
	raw(s, "UPDATE runs SET state = 'submitting';"
	       "PRAGMA recursive_triggers = 0;");
	assert_int_equal(db_begin(s->db), OK);
	assert_int_equal(cluster_apply_begin(s->db), OK);
	cluster_apply_entry(s->db, "a", 1);
	assert_int_equal(jobs_delete(s->db, "none"), ERR_NOENT);
	assert_int_equal(cluster_apply_end(s->db), OK);
	assert_int_equal(db_commit(s->db), OK);
	assert_int_equal(apply_of(s, "a", 1, "start", START, &r), OK);
	assert_int_equal(r.run_id, 2);
	assert_int_equal(raw_int(s, "SELECT count(*) FROM runs"), 1);
	assert_string_equal(
	    raw_text(s, "SELECT run_id || state FROM runs"), "2submitting");
	assert_int_equal(raw_int(s, "SELECT count(*) FROM job_events "
				    "WHERE type = 'queued'"),
	    2);
}

static void
test_take(void **state)
{
	struct pair *p = *state;
	struct site *s = p->node;
	struct intent_result r;

	assert_int_equal(apply_of(s, "b", 1, "start", START, &r), OK);
	stamp(s, "b", 1);
	assert_int_equal(apply_of(s, "a", 1, "take",
			     "{\"run_origin\":\"b\",\"run_seq\":1,"
			     "\"node_id\":\"a\"}",
			     &r),
	    OK);
	assert_string_equal(
	    raw_text(s, "SELECT state || taken_by FROM runs "
			"WHERE next_at IS NOT NULL AND deadline IS NULL"),
	    "unknowna");
	assert_int_equal(apply_of(s, "a", 2, "take",
			     "{\"run_origin\":\"b\",\"run_seq\":2,"
			     "\"node_id\":\"a\"}",
			     &r),
	    ERR_PROTO);
	assert_int_equal(r.refusal, INTENT_NO_RUN);
}

/* An event of a run that has ended comes too late. */
static void
test_event_of_ended_run(void **state)
{
	struct pair *p = *state;
	struct site *s = p->node;
	struct intent_result r;

	assert_int_equal(apply_of(s, "a", 1, "start", START, &r), OK);
	stamp(s, "a", 1);
	for (int i = 0; i < 2; i++)
		assert_int_equal(
		    apply_of(s, "a", 2 + i, "event",
			"{\"job_id\":\"a\",\"type\":\"failed\","
			"\"restore_id\":\"s\",\"run_origin\":\"a\","
			"\"run_seq\":1}",
			&r),
		    OK);
	assert_int_equal(raw_int(s, "SELECT count(*) FROM job_events "
				    "WHERE type = 'failed'"),
	    1);
	assert_string_equal(
	    raw_text(s, "SELECT state || error FROM runs"), "endedfailed");
}

/* What the janitor finds goes by way of the log, and its floors are those that
 * a single node's have. */
static void
test_retention(void **state)
{
	const struct retention keep = {1, 1, 2};
	struct pair *p = *state;
	struct retention_done done = {0}, done_too = {0};
	struct intent_event v = {.row = {.job_id = "a"}};
	struct intent_result r;
	bool has_more = true;

	for (int i = 0; i < 4; i++) {
		v.row.type = "progress";
		write_both(p, INTENT_EVENT, &v);
		v.row.type = "x";
		write_both(p, INTENT_EVENT, &v);
	}
	v.row = (struct event_new){.job_id = "old", .type = "completed"};
	write_both(p, INTENT_EVENT, &v);
	for (int i = 0; i < 2; i++)
		raw(i == 0 ? p->single : p->node,
		    "UPDATE jobs SET updated_at = '2001-02-03T04:05:06.789Z' "
		    "WHERE job_id = 'old'; "
		    "INSERT INTO unclaimed_events (external_id, type, "
		    "created_at, source, delivery_key) VALUES ('x', 'x', "
		    "'2001-02-03T04:05:06.789Z', 's', 'k');"
		    "INSERT INTO idempotency_keys VALUES ('k', 'r', 1, 1, "
		    "'2001-02-03T04:05:06.789Z')");
	/* One kind of row at a time. */
	for (int i = 0; i < 4 || has_more; i++)
		assert_int_equal(
		    retention_step(p->single->db, &keep, &done, &has_more), OK);
	for (int i = 0; i < 4; i++) {
		assert_int_equal(
		    retention_step_clustered(p->node->db, &keep,
			intent_post_retention, &done_too, &has_more),
		    OK);
		/* Or it would follow a writer event by event. */
		assert_false(has_more);
		/* What is on its way is not posted again. */
		assert_int_equal(
		    retention_step_clustered(p->node->db, &keep,
			intent_post_retention, &done_too, &has_more),
		    OK);
		assert_true(raw_int(p->node, "SELECT count(*) FROM outbox "
					     "WHERE result IS NULL") <= 1);
		settle(p->node, 1, &r);
	}
	assert_same_rows(p);
	assert_int_equal(
	    raw_int(p->node, "SELECT count(*) FROM job_events"), 3);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
	    TEST(test_bad_entries),
	    TEST(test_too_many_events),
	    TEST(test_unknown_members),
	    TEST(test_run_of_another_node),
	    TEST(test_own_run_is_proven),
	    TEST(test_start_again),
	    TEST(test_take),
	    TEST(test_event_of_ended_run),
	    TEST(test_retention),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
