/* SPDX-License-Identifier: ISC */
/* store/gauges.c: numbers of jobs and bytes, as Prometheus reads them. */
#include "store/gauges.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "store/wal.h"
#include "store_site.h"

static struct buf text;

static void
read_gauges(struct site *s, int64_t checkpoint_ms)
{
	buf_reset(&text);
	assert_int_equal(gauges_add(&text, s->db, checkpoint_ms), OK);
	assert_true(buf_ok(&text));
}

/* The sample of that name with its labels. */
static long long
value(const char *name)
{
	size_t n = strlen(name);
	const char *at = text.data;

	while ((at = strstr(at, name)) != NULL) {
		if (at[-1] == '\n' && at[n] == ' ')
			return strtoll(at + n, NULL, 10);
		at += n;
	}
	fail_msg("no %s in:\n%s", name, text.data);
	return 0;
}

static int
teardown(void **state)
{
	buf_done(&text);
	return site_teardown(state);
}

static void
test_jobs_by_state(void **state)
{
	struct site *s = *state;

	read_gauges(s, 0);
	assert_int_equal(value("jobwire_jobs{state=\"queued\"}"), 0);
	assert_int_equal(value("jobwire_job_oldest_timestamp_seconds"
			       "{state=\"queued\"}"),
	    0);
	raw_events(s, "a", "queued", 1);
	raw_events(s, "b", "progress", 1);
	raw_events(s, "c", "progress", 1);
	raw_events(s, "d", "failed", 1);
	raw(s, "UPDATE jobs SET updated_at = '2020-01-01T00:00:00.000Z' "
	       "WHERE job_id = 'c'; INSERT INTO unclaimed_events (external_id, "
	       "type, source, delivery_key) VALUES ('e', 'failed', 's', 'k')");
	read_gauges(s, 0);
	assert_int_equal(value("jobwire_jobs{state=\"queued\"}"), 1);
	assert_int_equal(value("jobwire_jobs{state=\"processing\"}"), 2);
	assert_int_equal(value("jobwire_jobs{state=\"completed\"}"), 0);
	assert_int_equal(value("jobwire_jobs{state=\"failed\"}"), 1);
	assert_int_equal(value("jobwire_unclaimed_events"), 1);
	assert_int_equal(value("jobwire_job_oldest_timestamp_seconds"
			       "{state=\"processing\"}"),
	    1577836800);
	assert_true(value("jobwire_job_oldest_timestamp_seconds"
			  "{state=\"queued\"}") > 1577836800);
	assert_int_equal(
	    value("jobwire_schema_version"), raw_int(s, "PRAGMA user_version"));
}

static void
test_bytes(void **state)
{
	struct site *s = *state;
	long long before;

	read_gauges(s, 1577836800999);
	assert_int_equal(
	    value("jobwire_checkpoint_timestamp_seconds"), 1577836800);
	assert_true(value("jobwire_database_free_bytes") > 0);
	before = value("jobwire_database_wal_bytes");
	assert_int_equal(wal_extend(s->db, 4 << 20), OK);
	read_gauges(s, 0);
	assert_int_equal(value("jobwire_database_wal_bytes"), before);
	raw_events(s, "a", "note", 300);
	read_gauges(s, 0);
	assert_true(value("jobwire_database_wal_bytes") > before);
	assert_true(value("jobwire_database_wal_bytes") < 4 << 20);
	assert_int_equal(sqlite3_wal_checkpoint_v2(s->raw, NULL,
			     SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL),
	    SQLITE_OK);
	read_gauges(s, 0);
	assert_int_equal(value("jobwire_database_wal_bytes"), 0);
	assert_true(value("jobwire_database_bytes") > 4096);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, site_setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(test_jobs_by_state),
	    TEST(test_bytes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
