/* SPDX-License-Identifier: ISC */
/*
 * What src/job says of states and names is said once more where C cannot be
 * included: by schema.sql, by the SQL of store/stmt.c and by the client. Here
 * they are held against each other, by running them.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "job/name.h"
#include "job/state.h"
#include "store/inspect.h"
#include "store/jobs.h"
#include "store/retention.h"
#include "store_site.h"

/* JOB_NO_STATE's are types that are no state. */
static const char *
type_of(enum job_state state)
{
	return state == JOB_NO_STATE ? "step" : job_state_name(state);
}

/* Runs one statement with two texts as a foreign program; was it taken? */
static bool
takes(struct site *s, const char *sql, struct span one, struct span two)
{
	sqlite3_stmt *st = NULL;
	bool is_done;

	assert_int_equal(
	    sqlite3_prepare_v2(s->raw, sql, -1, &st, NULL), SQLITE_OK);
	sqlite3_bind_text(st, 1, one.p, (int)one.n, SQLITE_STATIC);
	sqlite3_bind_text(st, 2, two.p, (int)two.n, SQLITE_STATIC);
	is_done = sqlite3_step(st) == SQLITE_DONE;
	sqlite3_finalize(st);
	return is_done;
}

static bool
takes_job(struct site *s, const char *job_id, const char *state)
{
	return takes(s, "INSERT INTO jobs (job_id, state) VALUES (?1, ?2)",
	    span_of(job_id), span_of(state));
}

static bool
takes_event(struct site *s, struct span job_id, struct span type)
{
	return takes(s, "INSERT INTO job_events (job_id, type) VALUES (?1, ?2)",
	    job_id, type);
}

static void
test_states_of_schema(void **state)
{
	static const char *const others[] = {
	    "", "Queued", "progress", "step", "canceled", "completed "};
	struct site *s = *state;

	for (enum job_state i = JOB_QUEUED; i < JOB_STATES; i++)
		assert_true(takes_job(s, job_state_name(i), job_state_name(i)));
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
		assert_false(takes_job(s, "other", others[i]));
}

/* A row of that type, for a job in that state. */
static void
check_event(struct site *s, enum job_state before, const char *type)
{
	enum job_state said = job_state_of(type), expected = before, now;

	if (before == JOB_NO_STATE)
		expected = JOB_QUEUED;
	if (strcmp(type, JOB_PROGRESS) == 0 && expected == JOB_QUEUED)
		expected = JOB_PROCESSING;
	if (said != JOB_NO_STATE)
		expected = said;
	raw(s, "BEGIN");
	if (before != JOB_NO_STATE)
		assert_true(takes_job(s, "a", job_state_name(before)));
	assert_true(takes_event(s, SPAN_LIT("a"), span_of(type)));
	assert_string_equal(raw_text(s, "SELECT status FROM job_events"),
	    job_state_name(expected));
	raw(s, "COMMIT");
	assert_int_equal(jobs_state(s->db, "a", &now), OK);
	if (now != expected)
		fail_msg("%s in the state '%s'", type, job_state_name(before));
	raw(s, "DELETE FROM jobs");
}

static void
test_triggers_of_schema(void **state)
{
	struct site *s = *state;

	for (enum job_state before = 0; before < JOB_STATES; before++) {
		for (enum job_state said = 0; said < JOB_STATES; said++)
			check_event(s, before, type_of(said));
		check_event(s, before, JOB_PROGRESS);
	}
}

/* A report that waited for a job in that state: does its event come? */
static void
check_claimed(struct site *s, enum job_state before, const char *type)
{
	raw(s, "BEGIN");
	assert_true(takes_job(s, "a", job_state_name(before)));
	assert_true(takes(s,
	    "INSERT INTO unclaimed_events (external_id, type, source, "
	    "delivery_key) VALUES (?1, ?2, 'us', 'key')",
	    SPAN_LIT("x"), span_of(type)));
	raw(s, "UPDATE jobs SET external_id = 'x'");
	assert_int_equal(
	    raw_int(s, "SELECT count(*) FROM unclaimed_events"), 0);
	if (raw_int(s, "SELECT count(*) FROM job_events") !=
	    job_state_admits(before, job_state_of(type)))
		fail_msg("%s in the state '%s'", type, job_state_name(before));
	raw(s, "ROLLBACK");
}

static void
test_late_reports_of_schema(void **state)
{
	struct site *s = *state;

	for (enum job_state before = JOB_QUEUED; before < JOB_STATES;
	     before++) {
		for (enum job_state said = JOB_QUEUED; said < JOB_STATES;
		     said++)
			check_claimed(s, before, job_state_name(said));
		check_claimed(s, before, JOB_PROGRESS);
	}
}

static void
check_id(struct site *s, struct span id)
{
	if (takes_event(s, id, SPAN_LIT("step")) != job_id_ok(id))
		fail_msg("job id of %zu bytes, the last 0x%02x", id.n,
		    id.n > 0 ? (unsigned char)id.p[id.n - 1] : 0);
}

static void
check_type(struct site *s, struct span type)
{
	if (takes_event(s, SPAN_LIT("a"), type) != job_type_ok(type))
		fail_msg("type of %zu bytes, the last 0x%02x", type.n,
		    type.n > 0 ? (unsigned char)type.p[type.n - 1] : 0);
}

static void
test_names_of_schema(void **state)
{
	struct site *s = *state;
	char x[JOB_ID_MAX + 1], two[2] = "a";

	memset(x, 'x', sizeof(x));
	raw(s, "BEGIN");
	check_id(s, SPAN_LIT(""));
	check_id(s, (struct span){x, JOB_ID_MAX});
	check_id(s, (struct span){x, JOB_ID_MAX + 1});
	check_type(s, SPAN_LIT(""));
	check_type(s, (struct span){x, JOB_TYPE_MAX});
	check_type(s, (struct span){x, JOB_TYPE_MAX + 1});
	for (int c = 0; c < 256; c++) {
		two[1] = (char)c;
		check_id(s, (struct span){two, 2});
		check_id(s, (struct span){two + 1, 1});
		check_type(s, (struct span){two, 2});
		check_type(s, (struct span){two + 1, 1});
	}
	raw(s, "ROLLBACK");
}

/* An event whose data has so many bytes. */
static bool
takes_bytes(struct site *s, size_t n)
{
	static const char before[] = "{\"x\":\"", after[] = "\"}";
	char *data = malloc(n);
	bool is_taken;

	assert_non_null(data);
	memset(data, 'x', n);
	memcpy(data, before, strlen(before));
	memcpy(data + n - strlen(after), after, strlen(after));
	is_taken = takes(s,
	    "INSERT INTO job_events (job_id, type, data) "
	    "VALUES ('a', ?1, ?2)",
	    SPAN_LIT("step"), (struct span){data, n});
	free(data);
	return is_taken;
}

static void
test_data_of_schema(void **state)
{
	assert_true(takes_bytes(*state, JOB_DATA_MAX));
	assert_false(takes_bytes(*state, JOB_DATA_MAX + 1));
}

/* Those that streams send of themselves are stored, and not streamed. */
static void
test_reserved_types(void **state)
{
	static const char *const types[] = {"resync", "heartbeat", "expiring"};
	struct site *s = *state;

	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		assert_true(takes_event(s, SPAN_LIT("a"), span_of(types[i])));
		assert_false(job_type_ok(span_of(types[i])));
	}
}

/* All that our own SQL makes of a job's state. */
static void
check_end(struct site *s, enum job_state at)
{
	const struct retention keep = {1, 9, 9};
	struct retention_done would = {0}, did = {0};
	struct job_bounds bounds;
	struct inspect_counts counts;
	struct job job;
	bool is_end = job_state_is_end(at), is_more = true;

	assert_true(takes_job(s, "a", job_state_name(at)));
	raw(s, "UPDATE jobs SET error = '1', updated_at = '2020-01-01'");
	assert_int_equal(inspect_count(s->db, &counts), OK);
	for (enum job_state i = JOB_QUEUED; i < JOB_STATES; i++)
		assert_int_equal(counts.jobs[i], i == at);
	assert_int_equal(jobs_bounds(s->db, "a", &bounds), OK);
	assert_int_equal(bounds.is_terminal, is_end);
	assert_int_equal(jobs_get_whole(s->db, "a", &job), OK);
	assert_int_equal(job.state, at);
	assert_int_equal(job.error != NULL, is_end && at != JOB_COMPLETED);
	job_done(&job);
	assert_int_equal(inspect_prunable(s->db, &keep, &would), OK);
	assert_int_equal(would.jobs, is_end);
	while (is_more)
		assert_int_equal(
		    retention_step(s->db, &keep, &did, &is_more), OK);
	assert_int_equal(did.jobs, is_end);
	raw(s, "DELETE FROM jobs");
}

static void
test_states_of_statements(void **state)
{
	for (enum job_state at = JOB_QUEUED; at < JOB_STATES; at++)
		check_end(*state, at);
}

/* --- The client ----------------------------------------------------------- */

static void
assert_file_has(const char *path, const struct buf *line)
{
	static char text[65536];
	FILE *f = fopen(path, "r");
	size_t n;

	assert_non_null(f);
	n = fread(text, 1, sizeof(text) - 1, f);
	fclose(f);
	text[n] = '\0';
	assert_true(buf_ok(line));
	if (strstr(text, line->data) == NULL)
		fail_msg("%s lacks: %s", path, line->data);
}

/* The names of the states from..to, in quotes. */
static void
add_names(struct buf *out, enum job_state from, enum job_state to,
    const char *between)
{
	for (enum job_state i = from; i <= to; i++)
		buf_addf(out, "%s\"%s\"", i > from ? between : "",
		    job_state_name(i));
}

static void
test_client(void **state)
{
	struct buf line = BUF_INIT;

	(void)state;
	assert_false(job_state_is_end(JOB_PROCESSING));
	buf_add_str(&line, "\nconst TERMINAL = [");
	add_names(&line, JOB_COMPLETED, JOB_STATES - 1, ", ");
	buf_add_str(&line, "];\nexport const TYPES = [");
	add_names(&line, JOB_QUEUED, JOB_PROCESSING, ", ");
	buf_add_str(
	    &line, ", \"" JOB_PROGRESS "\", ...TERMINAL, \"cancelling\"];\n");
	assert_file_has("client/src/protocol.ts", &line);
	buf_reset(&line);
	buf_add_str(&line, "\nexport type JobStatus = ");
	add_names(&line, JOB_QUEUED, JOB_STATES - 1, " | ");
	buf_add_str(&line, ";\n");
	assert_file_has("client/src/jobwire.ts", &line);
	buf_done(&line);
}

#define SITE_TEST(f)                                                           \
	cmocka_unit_test_setup_teardown(f, site_setup, site_teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    SITE_TEST(test_states_of_schema),
	    SITE_TEST(test_triggers_of_schema),
	    SITE_TEST(test_late_reports_of_schema),
	    SITE_TEST(test_names_of_schema),
	    SITE_TEST(test_data_of_schema),
	    SITE_TEST(test_reserved_types),
	    SITE_TEST(test_states_of_statements),
	    cmocka_unit_test(test_client),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
