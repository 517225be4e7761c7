/* SPDX-License-Identifier: ISC */
/* store/runs.c, store/run.c, store/run_queue.c and their triggers */
#include "store/runs.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "schema_sql.h"
#include "store/jobs.h"
#include "store/run_queue.h"
#include "store_site.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static enum err
try_start(struct site *s, const char *job_id, const char *restore_id,
    struct run_started *ret)
{
	const struct run_new n = {.job_id = job_id,
	    .action = "restore",
	    .endpoint = "ep1",
	    .spare_restore_id = "0123456789abcdef0123456789abcdef",
	    .restore_id = restore_id,
	    .input = SPAN_LIT("{\"seed\":1234567890123456789}")};
	enum err e;

	assert_int_equal(db_begin(s->db), OK);
	e = runs_start(s->db, &n, ret);
	if (e != OK) {
		db_rollback(s->db);
		return e;
	}
	assert_int_equal(db_commit(s->db), OK);
	return OK;
}

static int64_t
start(struct site *s, const char *job_id, const char *restore_id)
{
	struct run_started made;

	assert_int_equal(try_start(s, job_id, restore_id, &made), OK);
	return made.run_id;
}

/* Puts the newest run of the job into a state, as a runner does. */
static void
set_state(struct site *s, enum run_state state, const char *external_id)
{
	struct run r;

	assert_int_equal(runs_of_job(s->db, "j", &r), OK);
	r.state = state;
	free(r.external_id);
	r.external_id = external_id != NULL ? strdup(external_id) : NULL;
	r.attempts = 1;
	assert_int_equal(db_begin(s->db), OK);
	assert_int_equal(run_save(s->db, &r), OK);
	assert_int_equal(db_commit(s->db), OK);
	run_done(&r);
}

static const char *
state_of(struct site *s)
{
	return raw_text(s, "SELECT state FROM runs ORDER BY run_id DESC");
}

static bool
reports_late(struct site *s, const char *external_id, const char *restore_id)
{
	bool is_late;

	assert_int_equal(db_begin(s->db), OK);
	assert_int_equal(
	    runs_report(s->db, "j", external_id, restore_id, &is_late), OK);
	assert_int_equal(db_commit(s->db), OK);
	return is_late;
}

/* --- Beginning ------------------------------------------------------------ */

static void
test_start(void **state)
{
	struct site *s = *state;
	struct run_started made;
	struct run r;

	assert_int_equal(try_start(s, "j", "r1", &made), OK);
	assert_string_equal(made.restore_id, "r1");
	assert_int_equal(runs_get(s->db, made.run_id, &r), OK);
	assert_string_equal(r.job_id, "j");
	assert_string_equal(r.action, "restore");
	assert_string_equal(r.endpoint, "ep1");
	assert_int_equal(r.state, RUN_WAITING);
	assert_int_equal(r.attempts, 0);
	assert_true(r.next_at > 0 && r.created_at > 0);
	assert_true(r.deadline == 0 && r.submitted_at == 0 && r.ended_at == 0);
	assert_null(r.external_id);
	run_done(&r);
	assert_string_equal(
	    raw_text(s, "SELECT type || status || data FROM job_events"),
	    "queuedqueued{\"run_id\":1,\"action\":\"restore\"}");
	assert_string_equal(raw_text(s, "SELECT input FROM runs"),
	    "{\"seed\":1234567890123456789}");
	/* While it is open there is no other. */
	assert_int_equal(try_start(s, "j", "r2", &made), ERR_EXISTS);
	assert_int_equal(raw_int(s, "SELECT count(*) FROM job_events"), 1);
	assert_int_equal(start(s, "k", NULL), 2);
	assert_int_equal(runs_of_job(s->db, "none", &r), ERR_NOENT);
	assert_int_equal(runs_get(s->db, 99, &r), ERR_NOENT);
}

static void
test_restore_id_where_none_is_given(void **state)
{
	static const char hex[] = "0123456789abcdef";
	struct site *s = *state;
	struct run_started made;

	raw(s, "INSERT INTO jobs (job_id, restore_id) VALUES ('j', 'mine')");
	assert_int_equal(try_start(s, "j", NULL, &made), OK);
	assert_string_equal(made.restore_id, "mine");
	raw(s, "INSERT INTO job_events (job_id, type) VALUES ('j', 'failed')");
	assert_int_equal(try_start(s, "j", NULL, &made), OK);
	assert_int_equal(strlen(made.restore_id), 32);
	assert_int_equal(strspn(made.restore_id, hex), 32);
	assert_string_equal(
	    raw_text(s, "SELECT restore_id FROM jobs"), made.restore_id);
}

/* What the last run left is not the result of the next. */
static void
test_start_anew(void **state)
{
	struct site *s = *state;

	start(s, "j", "r1");
	raw(s, "INSERT INTO job_events (job_id, type, data) VALUES "
	       "('j', 'completed', '{\"output\":1}')");
	assert_string_equal(state_of(s), "ended");
	start(s, "j", "r2");
	assert_string_equal(state_of(s), "waiting");
	assert_string_equal(
	    raw_text(s, "SELECT state || coalesce(output, '-') FROM jobs"),
	    "queued-");
}

static bool
take_restore_id(void *arg, const struct event_row *row)
{
	struct buf *b = arg;

	buf_addf(b, "%s ", row->restore_id != NULL ? row->restore_id : "-");
	return true;
}

static void
assert_restore_ids(struct site *s, const char *expected)
{
	struct buf text = BUF_INIT;

	assert_int_equal(
	    events_read_all(s->db, 0, 100, take_restore_id, &text), OK);
	assert_string_equal(text.data, expected);
	buf_done(&text);
}

static void
test_each_event_keeps_the_restore_id_of_its_run(void **state)
{
	static const struct event_new late = {
	    .job_id = "j", .type = "note", .restore_id = "r1"};
	struct site *s = *state;

	raw(s, "INSERT INTO job_events (job_id, type) VALUES ('j', 'note')");
	assert_restore_ids(s, "- ");
	start(s, "j", "r1");
	raw(s, "INSERT INTO job_events (job_id, type) VALUES ('j', 'failed')");
	/* Registered without one, and by a registration. */
	assert_restore_ids(s, "r1 r1 r1 ");
	start(s, "j", "r2");
	raw(s, "INSERT INTO job_events (job_id, type) VALUES ('j', 'note')");
	assert_restore_ids(s, "r1 r1 r1 r2 r2 ");
	(void)append(s->db, &late);
	assert_restore_ids(s, "r1 r1 r1 r2 r2 r1 ");
	assert_string_equal(raw_text(s, "SELECT restore_id FROM jobs"), "r2");
}

static void
test_registration_changes_the_restore_id(void **state)
{
	static const struct job_new first = {.job_id = "j", .restore_id = "r1"},
				    next = {.job_id = "j", .restore_id = "r2"};
	struct site *s = *state;
	bool is_new;

	raw(s, "INSERT INTO job_events (job_id, type) VALUES ('j', 'note')");
	assert_int_equal(jobs_register(s->db, &first, &is_new), OK);
	assert_restore_ids(s, "r1 ");
	assert_int_equal(jobs_register(s->db, &next, &is_new), OK);
	raw(s, "INSERT INTO job_events (job_id, type) VALUES ('j', 'note')");
	assert_restore_ids(s, "r1 r2 ");
}

/* --- Registered runs ------------------------------------------------------ */

static enum err
register_run(struct site *s, const char *external_id)
{
	const struct job_new j = {.job_id = "j", .external_id = external_id};
	bool is_new;
	enum err e;

	assert_int_equal(db_begin(s->db), OK);
	assert_int_equal(jobs_register(s->db, &j, &is_new), OK);
	e = runs_register(s->db, "j", "ep2", external_id, NULL);
	assert_int_equal(db_commit(s->db), OK);
	return e;
}

static void
test_register(void **state)
{
	struct site *s = *state;
	struct run r;

	assert_int_equal(register_run(s, "e1"), OK);
	assert_int_equal(register_run(s, "e1"), OK);
	assert_int_equal(raw_int(s, "SELECT count(*) FROM runs"), 1);
	assert_int_equal(runs_of_job(s->db, "j", &r), OK);
	assert_null(r.action);
	assert_string_equal(r.endpoint, "ep2");
	assert_string_equal(r.external_id, "e1");
	assert_int_equal(r.state, RUN_SUBMITTED);
	assert_true(r.submitted_at > 0 && r.next_at > 0 && r.deadline == 0);
	run_done(&r);
	/* The site has sent it once more. */
	assert_int_equal(register_run(s, "e2"), OK);
	assert_string_equal(
	    raw_text(s, "SELECT group_concat(external_id || state || "
			"coalesce(error, '')) FROM runs"),
	    "e1endedreplaced,e2submitted");
	/* One that jobwire submits is not taken from it. */
	raw(s, "INSERT INTO job_events (job_id, type) VALUES ('j', 'failed')");
	start(s, "j", NULL);
	assert_int_equal(register_run(s, "e3"), ERR_EXISTS);
	assert_string_equal(state_of(s), "waiting");
}

/* The webhook was here before the registration. */
static void
test_register_late(void **state)
{
	struct site *s = *state;

	raw(s, "INSERT INTO unclaimed_events (external_id, type, data, source, "
	       "delivery_key) VALUES ('e1', 'completed', "
	       "'{\"external_id\":\"e1\"}', 'runpod', 'k')");
	assert_int_equal(register_run(s, "e1"), OK);
	assert_string_equal(raw_text(s, "SELECT state FROM jobs"), "completed");
	assert_int_equal(raw_int(s, "SELECT count(*) FROM runs"), 0);
	/* And for a job that ended under another id. */
	assert_int_equal(register_run(s, "e2"), OK);
	assert_string_equal(state_of(s), "submitted");
}

/* --- Its end -------------------------------------------------------------- */

static void
test_an_end_by_anybody_ends_it(void **state)
{
	static const struct {
		const char *insert, *error;
	} rows[] = {
	    {"('j', 'completed', NULL)", ""},
	    {"('j', 'failed', NULL)", "failed"},
	    {"('j', 'failed', '{\"code\":\"oops\"}')", "oops"},
	    {"('j', 'cancelled', '{}')", "cancelled"},
	    {"('j', 'timed_out', '{\"external_id\":\"e1\"}')", "timed_out"},
	};
	struct site *s = *state;
	char sql[256];

	for (size_t i = 0; i < COUNT(rows); i++) {
		start(s, "j", NULL);
		raw(s, "INSERT INTO job_events (job_id, type) VALUES "
		       "('j', 'processing'), ('j', 'note'), ('k', 'failed')");
		assert_string_equal(state_of(s), "waiting");
		snprintf(sql, sizeof(sql),
		    "INSERT INTO job_events (job_id, type, data) VALUES %s",
		    rows[i].insert);
		raw(s, sql);
		assert_string_equal(state_of(s), "ended");
		assert_string_equal(raw_text(s, "SELECT coalesce(error, '') "
						"FROM runs ORDER BY run_id "
						"DESC"),
		    rows[i].error);
		assert_int_equal(
		    raw_int(s, "SELECT count(*) FROM runs WHERE input IS NULL "
			       "AND next_at IS NULL AND ended_at IS NOT NULL"),
		    (int)i + 1);
	}
	raw(s, "DELETE FROM jobs");
	assert_int_equal(raw_int(s, "SELECT count(*) FROM runs"), 0);
}

/* Names of a report against those of a run (r2, e2): in the trigger and in
 * runs_report() alike. */
static void
test_late_reports(void **state)
{
	static const struct {
		const char *external_id, *restore_id;
		bool is_late;
	} rows[] = {
	    {NULL, NULL, false},
	    {"e2", "r2", false},
	    {"e2", NULL, false},
	    {NULL, "r2", false},
	    {"e1", "r2", false}, /* sent twice, by resubmit */
	    {"e2", "r1", false},
	    {"e1", "r1", true},
	    {"e1", NULL, true},
	    {NULL, "r1", true},
	};
	struct site *s = *state;
	char sql[256], data[64];

	for (size_t i = 0; i < COUNT(rows); i++) {
		start(s, "j", "r2");
		set_state(s, RUN_SUBMITTED, "e2");
		assert_int_equal(
		    reports_late(s, rows[i].external_id, rows[i].restore_id),
		    rows[i].is_late);
		snprintf(data, sizeof(data), "'{\"external_id\":\"%s\"}'",
		    rows[i].external_id != NULL ? rows[i].external_id : "");
		snprintf(sql, sizeof(sql),
		    "INSERT INTO job_events (job_id, type, data, restore_id) "
		    "VALUES ('j', 'failed', %s, nullif('%s', ''))",
		    rows[i].external_id != NULL ? data : "NULL",
		    rows[i].restore_id != NULL ? rows[i].restore_id : "");
		raw(s, sql);
		assert_string_equal(
		    state_of(s), rows[i].is_late ? "submitted" : "ended");
		raw(s, "INSERT INTO job_events (job_id, type) VALUES "
		       "('j', 'failed')");
	}
	/* Where the data says it. */
	start(s, "j", "r2");
	raw(s, "INSERT INTO job_events (job_id, type, data) VALUES "
	       "('j', 'failed', '{\"restore_id\":\"r1\"}')");
	assert_string_equal(state_of(s), "waiting");
	assert_false(reports_late(s, "e", "r2"));
	raw(s, "INSERT INTO job_events (job_id, type, data) VALUES "
	       "('j', 'failed', '{\"restore_id\":\"r2\"}')");
	assert_string_equal(state_of(s), "ended");
	assert_false(reports_late(s, "e1", "r1"));
}

static void
test_a_report_is_the_proof(void **state)
{
	static const enum run_state doubtful[] = {
	    RUN_SUBMITTING, RUN_UNKNOWN, RUN_WAITING};
	struct site *s = *state;

	for (size_t i = 0; i < COUNT(doubtful); i++) {
		raw(s, "DELETE FROM jobs");
		start(s, "j", "r2");
		assert_false(reports_late(s, "e0", NULL));
		assert_string_equal(state_of(s), "waiting"); /* never sent */
		set_state(s, doubtful[i], NULL);
		assert_true(reports_late(s, "e1", "r1"));
		assert_string_equal(state_of(s), run_state_name(doubtful[i]));
		assert_false(reports_late(s, "e2", "r2"));
		assert_string_equal(state_of(s), "submitted");
		assert_string_equal(
		    raw_text(s, "SELECT external_id FROM jobs"), "e2");
		assert_int_equal(
		    raw_int(s, "SELECT count(*) FROM runs WHERE external_id = "
			       "'e2' AND submitted_at IS NOT NULL"),
		    1);
	}
}

static void
test_an_external_id_is_the_proof(void **state)
{
	struct site *s = *state;

	start(s, "j", "r2");
	raw(s, "UPDATE jobs SET external_id = 'e1'");
	assert_string_equal(state_of(s), "waiting");
	set_state(s, RUN_UNKNOWN, NULL);
	/* That of an earlier run, said once more. */
	raw(s, "UPDATE jobs SET external_id = 'e1'");
	assert_string_equal(state_of(s), "unknown");
	assert_int_equal(register_run(s, "e2"), OK);
	assert_string_equal(
	    raw_text(s, "SELECT state || external_id FROM runs"),
	    "submittede2");
	/* Of one that is to be sent once more, too: then it is not. */
	set_state(s, RUN_UNKNOWN, NULL);
	assert_int_equal(runs_retry(s->db, 1), OK);
	assert_string_equal(state_of(s), "waiting");
	assert_int_equal(register_run(s, "e3"), OK);
	assert_string_equal(
	    raw_text(s, "SELECT state || external_id FROM runs"),
	    "submittede3");
}

/* --- By hand -------------------------------------------------------------- */

static void
test_cancel(void **state)
{
	struct site *s = *state;
	struct run_cancelled c;

	assert_int_equal(runs_cancel(s->db, "j", &c), ERR_NOENT);
	start(s, "j", "r1");
	assert_int_equal(runs_cancel(s->db, "j", &c), OK);
	assert_true(c.is_over && c.run_id == 1);
	assert_string_equal(raw_text(s, "SELECT state FROM jobs"), "cancelled");
	assert_string_equal(state_of(s), "ended");
	assert_int_equal(runs_cancel(s->db, "j", &c), ERR_NOENT);

	start(s, "j", "r2");
	set_state(s, RUN_SUBMITTED, "e");
	for (int i = 0; i < 2; i++) {
		assert_int_equal(runs_cancel(s->db, "j", &c), OK);
		assert_true(!c.is_over && c.run_id == 2);
	}
	assert_string_equal(
	    raw_text(s, "SELECT cancel_wanted || state FROM runs "
			"WHERE run_id = 2 AND next_at <= "
			"strftime('%Y-%m-%dT%H:%M:%fZ', 'now')"),
	    "1submitted");
	assert_string_equal(
	    raw_text(s, "SELECT count(*) || status || data FROM job_events "
			"WHERE type = 'cancelling'"),
	    "1queued{\"run_id\":2}");
}

/* It waits, and was sent before: the runner has to say what became of it. */
static void
test_cancel_of_what_may_have_arrived(void **state)
{
	struct site *s = *state;
	struct run_cancelled c;

	start(s, "j", "r1");
	set_state(s, RUN_UNKNOWN, NULL);
	assert_int_equal(runs_retry(s->db, 1), OK);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(runs_cancel(s->db, "j", &c), OK);
		assert_false(c.is_over);
	}
	assert_string_equal(
	    raw_text(s, "SELECT cancel_wanted || state FROM runs"), "1waiting");
	assert_string_equal(
	    raw_text(s, "SELECT type FROM job_events ORDER BY id DESC LIMIT 1"),
	    "cancelling");
	set_state(s, RUN_UNKNOWN, NULL);
	assert_int_equal(runs_retry(s->db, 1), ERR_PROTO);
}

static void
test_retry(void **state)
{
	struct site *s = *state;

	assert_int_equal(runs_retry(s->db, 1), ERR_NOENT);
	start(s, "j", "r1");
	assert_int_equal(runs_retry(s->db, 1), ERR_PROTO);
	set_state(s, RUN_SUBMITTED, NULL);
	assert_int_equal(runs_retry(s->db, 1), ERR_PROTO);
	set_state(s, RUN_UNKNOWN, NULL);
	assert_int_equal(runs_retry(s->db, 1), OK);
	assert_string_equal(state_of(s), "waiting");
}

/* --- The queue ------------------------------------------------------------ */

static void
note_run(void *arg, const struct run *r)
{
	buf_addf(arg, "%lld ", (long long)r->run_id);
}

static const char *
due(struct site *s, int64_t now_ms, int limit)
{
	static char text[64];
	struct buf b = BUF_INIT;

	assert_int_equal(run_queue_due(s->db, now_ms, limit, note_run, &b), OK);
	snprintf(text, sizeof(text), "%s", buf_span(&b).n > 0 ? b.data : "");
	buf_done(&b);
	return text;
}

static void
test_queue(void **state)
{
	static const int64_t day = 86400000;
	struct buf input = BUF_INIT, policy = BUF_INIT, names = BUF_INIT;
	struct site *s = *state;
	int64_t now_ms, next;
	bool is_far;

	start(s, "j", NULL);
	start(s, "k", NULL);
	start(s, "l", NULL);
	raw(s, "INSERT INTO job_events (job_id, type) VALUES ('l', 'failed')");
	raw(s, "UPDATE runs SET next_at = '2030-01-01T00:00:00.250Z' "
	       "WHERE run_id = 2");
	now_ms = clock_real_ms();
	assert_string_equal(due(s, now_ms, 9), "1 ");
	assert_string_equal(due(s, now_ms - day, 9), "");
	assert_int_equal(run_queue_next(s->db, now_ms, &next), OK);
	assert_int_equal(next, INT64_C(1893456000250));
	assert_string_equal(due(s, next, 9), "1 2 ");
	assert_string_equal(due(s, next, 1), "1 ");
	assert_int_equal(run_queue_next(s->db, next, &next), OK);
	assert_int_equal(next, 0);

	/* The clock was set back: nobody waits a day. */
	assert_int_equal(run_queue_is_far(s->db, now_ms + day, &is_far), OK);
	assert_true(is_far);
	assert_int_equal(run_queue_pull(s->db, now_ms, now_ms + day), OK);
	assert_int_equal(run_queue_is_far(s->db, now_ms + day, &is_far), OK);
	assert_false(is_far);
	assert_string_equal(due(s, now_ms, 9), "1 2 ");

	assert_int_equal(run_queue_input(s->db, 1, &input, &policy), OK);
	assert_string_equal(input.data, "{\"seed\":1234567890123456789}");
	assert_int_equal(policy.len, 0);
	assert_int_equal(run_queue_input(s->db, 3, &input, &policy), ERR_NOENT);
	assert_int_equal(
	    runs_list(s->db, RUN_NO_STATE, 2, note_run, &names), OK);
	assert_int_equal(
	    runs_list(s->db, RUN_WAITING, 9, note_run, &names), OK);
	assert_string_equal(names.data, "3 2 2 1 ");
	buf_done(&input);
	buf_done(&policy);
	buf_done(&names);
}

static void
note_count(void *arg, const char *call, const char *outcome, int64_t n)
{
	buf_addf(arg, "%s-%s-%lld ", call, outcome, (long long)n);
}

static void
test_counts(void **state)
{
	struct site *s = *state;
	struct buf text = BUF_INIT;
	struct runs_open open;

	start(s, "j", NULL);
	start(s, "k", NULL);
	assert_int_equal(runs_count(s->db, &open), OK);
	assert_int_equal(open.n[RUN_WAITING], 2);
	assert_int_equal(open.n[RUN_SUBMITTED], 0);
	assert_true(open.oldest_at[RUN_WAITING] > 0);
	for (int i = 0; i < 2; i++)
		assert_int_equal(
		    run_queue_count_call(s->db, "submit", "ok"), OK);
	assert_int_equal(run_queue_count_call(s->db, "status", "unknown"), OK);
	assert_int_equal(runs_calls(s->db, note_count, &text), OK);
	assert_string_equal(text.data, "status-unknown-1 submit-ok-2 ");
	buf_done(&text);
}

/* --- A database of version 6 ---------------------------------------------- */

static void
test_upgrade(void **state)
{
	struct site *s = *state;

	site_open_raw(s);
	raw(s, schema_steps[0]);
	raw(s, "INSERT INTO job_events (job_id, type, data) VALUES "
	       "('j', 'note', '{\"restore_id\":\"r1\"}')");
	assert_int_equal(
	    db_open(s->path, DB_READ, BUSY_MS, &s->db, NULL), ERR_VERSION);
	assert_int_equal(db_open(s->path, DB_WRITE, BUSY_MS, &s->db, NULL), OK);
	start(s, "j", "r2");
	assert_restore_ids(s, "r1 r2 ");
}

#define SITE_TEST(f)                                                           \
	cmocka_unit_test_setup_teardown(f, site_setup, site_teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    SITE_TEST(test_start),
	    SITE_TEST(test_restore_id_where_none_is_given),
	    SITE_TEST(test_start_anew),
	    SITE_TEST(test_each_event_keeps_the_restore_id_of_its_run),
	    SITE_TEST(test_registration_changes_the_restore_id),
	    SITE_TEST(test_register),
	    SITE_TEST(test_register_late),
	    SITE_TEST(test_an_end_by_anybody_ends_it),
	    SITE_TEST(test_late_reports),
	    SITE_TEST(test_a_report_is_the_proof),
	    SITE_TEST(test_an_external_id_is_the_proof),
	    SITE_TEST(test_cancel),
	    SITE_TEST(test_cancel_of_what_may_have_arrived),
	    SITE_TEST(test_retry),
	    SITE_TEST(test_queue),
	    SITE_TEST(test_counts),
	    cmocka_unit_test_setup_teardown(
		test_upgrade, site_empty, site_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
