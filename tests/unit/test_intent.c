/* SPDX-License-Identifier: ISC */
/* src/intent: what is written at once and what comes back from a log are the
 * same, member by member and row by row. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "alloc_fail.h"
#include "intent_pair.h"

/* Numbers that no double holds, an escaped NUL, a lone surrogate, a line end
 * that is none to JSON, DEL, and blanks that nobody may drop. */
#define ODD                                                                    \
	"{ \"seed\":12345678901234567890,\"huge\":1e400,"                      \
	"\"nul\":\"\\u0000\",\"lone\":\"\\ud800\",\"quote\":\"\\\"\\\\\","     \
	"\"line\":\"\xe2\x80\xa8\",\"del\":\"\x7f\",\t\"z\":-0.0 }"

static void
test_events(void **state)
{
	struct pair *p = *state;
	struct intent_event v = {.row = {.job_id = "a",
				     .type = "progress",
				     .data = SPAN_LIT(ODD),
				     .source = "w",
				     .delivery_key = "k",
				     .restore_id = "r \xc3\xa9\"",
				     .created_at = "2001-02-03T04:05:06.789Z"}};

	assert_int_equal(write_both(p, INTENT_EVENT, &v).first_id, 1);
	assert_true(write_both(p, INTENT_EVENT, &v).is_duplicate);
	v.row = (struct event_new){.job_id = "b", .type = "completed"};
	assert_int_equal(write_both(p, INTENT_EVENT, &v).state, JOB_COMPLETED);
	v.row.data = SPAN_LIT("[]");
	assert_int_equal(
	    write_both(p, INTENT_EVENT, &v).refusal, INTENT_INVALID);
	v.row = (struct event_new){.job_id = "b"};
	assert_int_equal(
	    write_both(p, INTENT_EVENT, &v).refusal, INTENT_INVALID);
	assert_same_rows(p);
	assert_string_equal(
	    raw_text(p->node, "SELECT data FROM job_events"), ODD);
}

static void
test_reports(void **state)
{
	struct pair *p = *state;
	struct intent_report r = {.row = {.type = "completed",
				      .data = SPAN_LIT("{\"a\":1}"),
				      .source = "runpod",
				      .delivery_key = "k1",
				      .output = SPAN_LIT(ODD),
				      .error = SPAN_LIT("\"\\u0000\"")},
	    .external_id = "x-1"};
	struct intent_registration j = {
	    .job = {.job_id = "late", .external_id = "x-1"}};

	assert_true(write_both(p, INTENT_REPORT, &r).is_unclaimed);
	assert_true(write_both(p, INTENT_REPORT, &r).is_duplicate);
	assert_true(write_both(p, INTENT_REGISTRATION, &j).is_new);
	assert_same_rows(p);
	/* Now it has a job, and `processing` comes too late for it. */
	r.row.delivery_key = "k2";
	r.row.type = "processing";
	assert_string_equal(write_both(p, INTENT_REPORT, &r).job_id, "late");
	r.row.job_id = "other";
	r.row.restore_id = "r";
	assert_true(write_both(p, INTENT_REPORT, &r).is_new);
	r.row.delivery_key = "k3";
	r.row.job_id = NULL;
	r.external_id = NULL;
	assert_int_equal(
	    write_both(p, INTENT_REPORT, &r).refusal, INTENT_INVALID);
	r.input_job_id = "by-input";
	assert_string_equal(
	    write_both(p, INTENT_REPORT, &r).job_id, "by-input");
	r.row.source = NULL;
	assert_int_equal(
	    write_both(p, INTENT_REPORT, &r).refusal, INTENT_INVALID);
	assert_same_rows(p);
}

static void
test_publications(void **state)
{
	const struct intent_entry entries[] = {
	    {"processing", {0}}, {"progress", SPAN_LIT(ODD)}, {"x", {0}}};
	struct pair *p = *state;
	struct intent_publication v = {.job_id = "a",
	    .entries = entries,
	    .n_entries = COUNT(entries),
	    .key = DIGEST,
	    .request = OTHER};
	struct intent_result r = write_both(p, INTENT_PUBLICATION, &v);

	assert_int_equal(r.first_id, 1);
	assert_int_equal(r.n_events, 3);
	assert_true(write_both(p, INTENT_PUBLICATION, &v).is_duplicate);
	v.request = DIGEST;
	assert_int_equal(
	    write_both(p, INTENT_PUBLICATION, &v).refusal, INTENT_KEY_REUSED);
	v.key = v.request = NULL;
	assert_false(write_both(p, INTENT_PUBLICATION, &v).is_duplicate);
	v.n_entries = 0;
	assert_int_equal(
	    write_both(p, INTENT_PUBLICATION, &v).refusal, INTENT_INVALID);
	assert_same_rows(p);
}

static void
test_registrations(void **state)
{
	struct pair *p = *state;
	struct intent_registration v = {.job = {.job_id = "a",
					    .owner = "alice \"\\",
					    .external_id = "x",
					    .restore_id = "r"}};

	assert_true(write_both(p, INTENT_REGISTRATION, &v).is_new);
	assert_false(write_both(p, INTENT_REGISTRATION, &v).is_new);
	v.job.owner = "bob";
	assert_int_equal(
	    write_both(p, INTENT_REGISTRATION, &v).refusal, INTENT_JOB_OWNED);
	v.job.owner = NULL;
	v.endpoint = "ep";
	write_both(p, INTENT_REGISTRATION, &v);
	v.job.external_id = NULL;
	assert_int_equal(
	    write_both(p, INTENT_REGISTRATION, &v).refusal, INTENT_INVALID);
	assert_same_rows(p);
}

static struct intent_start
start_of(const char *job_id)
{
	return (struct intent_start){.job_id = job_id,
	    .action = "restore",
	    .endpoint = "ep",
	    .spare_restore_id = "spare",
	    .input = SPAN_LIT(ODD),
	    .policy = SPAN_LIT("{\"ttl\":1e400}")};
}

static void
test_runs(void **state)
{
	struct pair *p = *state;
	struct intent_start v = start_of("a");
	struct intent_cancel c = {.job_id = "a"};
	struct intent_registration own = {
	    .job = {.job_id = "b", .owner = "alice"}};
	struct intent_result r;

	v.key = DIGEST;
	v.request = OTHER;
	r = write_both(p, INTENT_START, &v);
	assert_int_equal(r.run_id, 1);
	assert_string_equal(r.restore_id, "spare");
	r = write_both(p, INTENT_START, &v);
	assert_true(r.is_duplicate);
	assert_string_equal(r.restore_id, "spare");
	v.key = NULL;
	assert_int_equal(
	    write_both(p, INTENT_START, &v).refusal, INTENT_JOB_RUNNING);
	assert_true(write_both(p, INTENT_CANCEL, &c).is_over);
	assert_int_equal(
	    write_both(p, INTENT_CANCEL, &c).refusal, INTENT_NO_RUN);
	c.job_id = "nobody's";
	c.owner = "alice";
	assert_int_equal(
	    write_both(p, INTENT_CANCEL, &c).refusal, INTENT_NO_RUN);
	write_both(p, INTENT_REGISTRATION, &own);
	v = start_of("b");
	v.owner = "bob";
	assert_int_equal(
	    write_both(p, INTENT_START, &v).refusal, INTENT_JOB_FORBIDDEN);
	v.owner = "alice";
	v.restore_id = "mine";
	assert_string_equal(write_both(p, INTENT_START, &v).restore_id, "mine");
	assert_same_rows(p);
}

static void
test_access(void **state)
{
	struct pair *p = *state;
	struct intent_ticket t = {.digest = DIGEST,
	    .sub = "al\"ice",
	    .claims = SPAN_LIT("{\"sub\":\"al\\\"ice\",\"exp\":1e400}"),
	    .expires_at = 4000000000,
	    .now_s = 1,
	    .max = 1};
	struct intent_revocation r = {"jti", DIGEST, 17};
	struct intent_deletion d = {"a"};
	struct intent_event v = {.row = {.job_id = "a", .type = "x"}};

	write_both(p, INTENT_TICKET, &t);
	t.digest = OTHER;
	assert_int_equal(
	    write_both(p, INTENT_TICKET, &t).refusal, INTENT_TOO_MANY);
	write_both(p, INTENT_REVOCATION, &r);
	r.kind = "iss";
	assert_int_equal(
	    write_both(p, INTENT_REVOCATION, &r).refusal, INTENT_INVALID);
	assert_int_equal(
	    write_both(p, INTENT_DELETION, &d).refusal, INTENT_NO_JOB);
	write_both(p, INTENT_EVENT, &v);
	assert_int_equal(write_both(p, INTENT_DELETION, &d).n_events, 1);
	assert_same_rows(p);
}

/* --- Memory --------------------------------------------------------------- */

static void
test_no_memory(void **state)
{
	static const char payload[] =
	    "{\"job_id\":\"a\",\"events\":[{\"type\":\"x\",\"data\":\"{}\"},"
	    "{\"type\":\"y\"}],\"key\":\"" DIGEST "\",\"request\":\"" OTHER
	    "\"}";
	const struct intent_entry entries[] = {{"x", SPAN_LIT("{}")}};
	const struct intent_publication v = {
	    .job_id = "a", .entries = entries, .n_entries = 1};
	struct pair *p = *state;
	struct site *s = p->node;
	bool is_more = true;
	enum err e;

	for (unsigned n = 1; is_more; n++) {
		struct buf text = BUF_INIT;

		assert_int_equal(db_begin(s->db), OK);
		assert_int_equal(cluster_apply_begin(s->db), OK);
		cluster_apply_entry(s->db, "b", 1);
		alloc_fail_start(n);
		e = intent_apply(s->db, "publication", span_of(payload), &text);
		is_more = alloc_fail_stop();
		assert_int_equal(e, is_more ? ERR_NOMEM : OK);
		db_rollback(s->db);
		buf_done(&text);
	}
	for (unsigned n = 1; is_more || n == 1; n++) {
		struct buf text = BUF_INIT;

		alloc_fail_start(n);
		e = intent_encode(INTENT_PUBLICATION, &v, &text);
		is_more = alloc_fail_stop();
		assert_int_equal(e, is_more ? ERR_NOMEM : OK);
		buf_done(&text);
	}
	assert_int_equal(db_begin(s->db), OK);
	assert_int_equal(cluster_apply_end(s->db), OK);
	assert_int_equal(db_commit(s->db), OK);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
	    TEST(test_events),
	    TEST(test_reports),
	    TEST(test_publications),
	    TEST(test_registrations),
	    TEST(test_runs),
	    TEST(test_access),
	    TEST(test_no_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
