/* SPDX-License-Identifier: ISC */
/* src/intent: what is written at once and what comes back from a log are the
 * same, member by member and row by row. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "alloc_fail.h"
#include "intent/intent.h"
#include "intent/retention.h"
#include "store/cluster.h"
#include "store/outbox.h"
#include "store_site.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define DIGEST                                                                 \
	"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define OTHER "f123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

/* Numbers that no double holds, an escaped NUL, a lone surrogate, a line end
 * that is none to JSON, DEL, and blanks that nobody may drop. */
#define ODD                                                                      \
	"{ \"seed\":12345678901234567890,\"huge\":1e400,\"nul\":\"\\u0000\","    \
	"\"lone\":\"\\ud800\",\"quote\":\"\\\"\\\\\",\"line\":\"\xe2\x80\xa8\"," \
	"\"del\":\"\x7f\",\t\"z\":-0.0 }"

struct pair {
	struct site *single, *node;
};

static int
setup(void **state)
{
	struct pair *p = calloc(1, sizeof(*p));

	assert_non_null(p);
	site_setup((void **)&p->single);
	site_setup((void **)&p->node);
	assert_int_equal(db_begin(p->node->db), OK);
	assert_int_equal(cluster_join(p->node->db, "a", NULL), OK);
	assert_int_equal(db_commit(p->node->db), OK);
	*state = p;
	return 0;
}

static int
teardown(void **state)
{
	struct pair *p = *state;

	site_teardown((void **)&p->single);
	site_teardown((void **)&p->node);
	free(p);
	return 0;
}

/* As a relay. *ret: what it says of the last row. */
static void
settle(struct site *s, int64_t seq, struct intent_result *ret)
{
	struct buf text = BUF_INIT;

	assert_int_equal(db_begin(s->db), OK);
	assert_int_equal(intent_settle(s->db), OK);
	assert_int_equal(db_commit(s->db), OK);
	assert_int_equal(outbox_result(s->db, seq, &text), OK);
	assert_int_equal(intent_read_result(buf_span(&text), ret), OK);
	buf_done(&text);
}

static void
assert_same_result(const struct intent_result *a, const struct intent_result *b)
{
	assert_int_equal(a->refusal, b->refusal);
	assert_int_equal(a->is_duplicate, b->is_duplicate);
	assert_int_equal(a->is_new, b->is_new);
	assert_int_equal(a->is_unclaimed, b->is_unclaimed);
	assert_int_equal(a->is_over, b->is_over);
	assert_int_equal(a->run_id, b->run_id);
	assert_int_equal(a->first_id, b->first_id);
	assert_int_equal(a->n_events, b->n_events);
	assert_int_equal(a->state, b->state);
	assert_string_equal(a->job_id, b->job_id);
	assert_string_equal(a->restore_id, b->restore_id);
}

/* On both; the result. */
static struct intent_result
write_both(struct pair *p, enum intent_kind kind, const void *intent)
{
	struct intent_result direct, posted, logged;
	enum err e;

	assert_int_equal(db_begin(p->single->db), OK);
	e = intent_write(p->single->db, kind, intent, &direct);
	assert_int_equal(
	    db_end(p->single->db, e), direct.refusal ? ERR_EXISTS : e);
	if (e == ERR_PROTO)
		direct = (struct intent_result){.refusal = INTENT_INVALID};
	assert_int_equal(direct.seq, 0);

	assert_int_equal(db_begin(p->node->db), OK);
	e = intent_write(p->node->db, kind, intent, &posted);
	assert_int_equal(db_end(p->node->db, e), OK);
	assert_true(posted.seq > 0);
	settle(p->node, posted.seq, &logged);
	if (direct.refusal != INTENT_ACCEPTED)
		assert_int_equal(direct.refusal, logged.refusal);
	else
		assert_same_result(&direct, &logged);
	return direct;
}

static const char *const queries[] = {
    "SELECT id, job_id, type, data, source, delivery_key, restore_id, status "
    "FROM job_events ORDER BY id",
    "SELECT job_id, owner, external_id, restore_id, state, floor, output, "
    "error FROM jobs ORDER BY job_id",
    "SELECT external_id, type, data, source, delivery_key, restore_id, output, "
    "error FROM unclaimed_events ORDER BY id",
    "SELECT key, request, first_id, n_events FROM idempotency_keys",
    "SELECT run_id, job_id, action, endpoint, restore_id, input, policy, state, "
    "external_id, cancel_wanted, error FROM runs ORDER BY run_id",
    "SELECT kind, digest, revoked_at FROM revoked",
    "SELECT digest, claims, expires_at FROM tickets",
    "SELECT value FROM meta WHERE key = 'gone_floor'",
};

static void
dump(struct site *s, const char *sql, struct buf *out)
{
	sqlite3_stmt *st;

	assert_int_equal(
	    sqlite3_prepare_v2(s->raw, sql, -1, &st, NULL), SQLITE_OK);
	while (sqlite3_step(st) == SQLITE_ROW) {
		for (int i = 0; i < sqlite3_column_count(st); i++) {
			buf_addf(out, "%d:", sqlite3_column_type(st, i));
			buf_add(out, sqlite3_column_blob(st, i),
			    (size_t)sqlite3_column_bytes(st, i));
			buf_add_char(out, '|');
		}
		buf_add_char(out, '\n');
	}
	sqlite3_finalize(st);
}

static void
assert_same_rows(struct pair *p)
{
	struct buf a = BUF_INIT, b = BUF_INIT;

	for (size_t i = 0; i < COUNT(queries); i++) {
		buf_reset(&a);
		buf_reset(&b);
		dump(p->single, queries[i], &a);
		dump(p->node, queries[i], &b);
		if (!span_eq(buf_span(&a), buf_span(&b)))
			fail_msg("%s\nsingle:\n%s\nnode:\n%s", queries[i],
			    buf_span(&a).p, buf_span(&b).p);
	}
	buf_done(&a);
	buf_done(&b);
}

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

/* --- From a log ----------------------------------------------------------- */

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
	assert_int_equal(cluster_apply_begin(s->db, origin, seq), OK);
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
	assert_int_equal(cluster_apply_begin(s->db, "a", 1), OK);
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
		assert_int_equal(cluster_apply_begin(s->db, "b", 1), OK);
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

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

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
	    TEST(test_bad_entries),
	    TEST(test_too_many_events),
	    TEST(test_unknown_members),
	    TEST(test_run_of_another_node),
	    TEST(test_own_run_is_proven),
	    TEST(test_start_again),
	    TEST(test_take),
	    TEST(test_event_of_ended_run),
	    TEST(test_retention),
	    TEST(test_no_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
