/* SPDX-License-Identifier: ISC */
/* hook/register_call.c, publish_call.c and run_call.c: prepared, written into a
 * real database, concluded. */
#include "hook/routes.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "alloc_fail.h"
#include "store_site.h"

#define KEY "a-publish-key-of-tests"
#define EVENTS "/jobs/a/events"
#define BAD_EVENT                                                              \
	"CREATE TRIGGER refuse BEFORE INSERT ON job_events "                   \
	"WHEN NEW.type = 'bad' BEGIN SELECT RAISE(ABORT, 'no'); END"

enum { NOW = 1764000000 };

static struct hook_keys keys;
static const struct call_config cfg = {.base_url = "https://h",
    .api_prefix = "/api/v1",
    .inline_output = 64,
    .actions = "restore=abc",
    .max_input = 1000};
static struct request request;
static struct call *call;

static int
set_up(void **state)
{
	struct buf message = BUF_INIT;

	request = (struct request){0};
	assert_int_equal(secrets_load(KEY, &keys.publish, &message), OK);
	assert_int_equal(
	    secrets_load("a-webhook-key-of-tests", &keys.url, &message), OK);
	return site_setup(state);
}

static int
tear_down(void **state)
{
	call_free(&call);
	hook_keys_done(&keys);
	return site_teardown(state);
}

static bool
prepare(const char *route, const char *body)
{
	call_free(&call);
	request = (struct request){.method = "POST",
	    .route = route,
	    .query = "",
	    .content_type = "",
	    .authorization = "Bearer " KEY,
	    .variables = request.variables,
	    .body = span_of(body)};
	call = call_new(&request, &cfg, &keys);
	assert_non_null(call);
	return call_prepare(call, routes_find(call), NOW);
}

/* The key of the calls that follow; NULL: none. */
static void
set_key(const char *key)
{
	static char text[300];

	if (key == NULL) {
		request.variables = (struct span){NULL, 0};
		return;
	}
	snprintf(text, sizeof(text), "HTTP_IDEMPOTENCY_KEY=%s", key);
	request.variables = (struct span){text, strlen(text) + 1};
}

static void
on_done(struct commit_item *item)
{
	(void)item;
}

/* Commits what the call has to write, alone, and concludes it. */
static void
commit(struct site *s)
{
	struct committer_config writer = {
	    .db_path = s->path, .busy_ms = BUSY_MS, .wal_limit_bytes = 1 << 20};
	struct committer *c = NULL;

	assert_int_equal(loop_new(&writer.loop), OK);
	assert_int_equal(committer_start(&writer, &c, NULL), OK);
	call->commit.on_done = on_done;
	committer_push(c, &call->commit);
	committer_stop(&c);
	loop_free(&writer.loop);
	call_conclude(call);
}

/* The call's status. */
static int
serve(struct site *s, const char *route, const char *body)
{
	if (prepare(route, body))
		commit(s);
	return call->answer.status;
}

static bool
says(const char *text)
{
	return strstr(buf_span(&call->answer.body).p, text) != NULL;
}

static long long
count_rows(struct site *s, const char *table)
{
	char sql[64];

	snprintf(sql, sizeof(sql), "SELECT count(*) FROM %s", table);
	return raw_int(s, sql);
}

/* --- Registration --------------------------------------------------------- */

static void
test_register(void **state)
{
	struct site *s = *state;
	const char *const all =
	    "{\"job_id\":\"a\",\"owner\":\"alice\",\"external_id\":\"x\","
	    "\"restore_id\":\"r\",\"provider\":\"standard\",\"more\":[1]}";

	assert_int_equal(serve(s, "/jobs", all), 201);
	assert_int_equal(call->outcome, CALL_STORED);
	assert_true(says("{\"job_id\":\"a\",\"events_url\":"
			 "\"https://h/api/v1/events/a\",\"webhook_url\":"
			 "\"https://h/api/v1/webhooks/standard?job_id=a&"
			 "restore_id=r&exp=1764086400&sig="));
	assert_string_equal(
	    raw_text(s, "SELECT owner || external_id || restore_id FROM jobs"),
	    "alicexr");
	assert_int_equal(serve(s, "/jobs", all), 200);
	assert_int_equal(call->outcome, CALL_DUPLICATE);
	assert_int_equal(count_rows(s, "jobs"), 1);
}

/* Nothing of a refused one is written, whatever it adds. */
static void
test_register_another_owner(void **state)
{
	struct site *s = *state;

	serve(s, "/jobs", "{\"job_id\":\"a\",\"owner\":\"alice\"}");
	assert_int_equal(serve(s, "/jobs",
			     "{\"job_id\":\"a\",\"owner\":\"bob\","
			     "\"external_id\":\"x\",\"restore_id\":\"r\"}"),
	    409);
	assert_true(says("job_owned"));
	assert_string_equal(
	    raw_text(s, "SELECT owner || ifnull(external_id, '-') || "
			"ifnull(restore_id, '-') FROM jobs"),
	    "alice--");
}

static void
test_register_without_id(void **state)
{
	struct site *s = *state;
	char first[64];

	assert_int_equal(serve(s, "/jobs", "{}"), 201);
	snprintf(first, sizeof(first), "%s", call->job_id.data);
	assert_int_equal(strspn(first, "0123456789abcdef"), 32);
	assert_int_equal(strlen(first), 32);
	assert_int_equal(serve(s, "/jobs", "{\"job_id\":null}"), 201);
	assert_string_not_equal(call->job_id.data, first);
}

/* What it says is read by json-c, which would take `owner` out of the first and
 * some megabytes for the second. */
static void
test_register_refused(void **state)
{
	struct site *s = *state;
	struct buf body = BUF_INIT;

	assert_int_equal(
	    serve(s, "/jobs", "{\"owner\\u0000x\":\"alice\"}"), 400);
	assert_true(says("bad_payload"));
	assert_int_equal(serve(s, "/jobs", "{\"owner\":1}"), 400);
	assert_int_equal(serve(s, "/jobs", "{\"owner\":\"a\",}"), 400);
	assert_true(says("bad_json"));
	buf_add_str(&body, "{\"more\":[");
	for (int i = 0; i < 2000; i++)
		buf_add_str(&body, "{},");
	buf_add_str(&body, "{}]}");
	assert_int_equal(serve(s, "/jobs", body.data), 413);
	assert_true(says("body_too_large"));
	buf_done(&body);
	assert_int_equal(count_rows(s, "jobs"), 0);
}

static void
test_register_without_secret(void **state)
{
	secrets_done(&keys.url);
	keys.url = (struct secrets){0};
	assert_int_equal(serve(*state, "/jobs", "{\"job_id\":\"a\"}"), 201);
	assert_true(says(",\"webhook_url\":null}"));
}

/* --- Publication ---------------------------------------------------------- */

static void
test_publish(void **state)
{
	struct site *s = *state;
	char wanted[96];

	assert_int_equal(serve(s, EVENTS,
			     "[{\"type\":\"queued\"},{\"type\":\"step\","
			     "\"data\":{ \"n\" : 1e400 }}]"),
	    201);
	snprintf(wanted, sizeof(wanted),
	    "{\"event_ids\":[\"%s-1\",\"%s-2\"],\"state\":\"queued\"}",
	    db_epoch(s->db), db_epoch(s->db));
	assert_true(says(wanted));
	assert_string_equal(call->type, "queued");
	assert_string_equal(
	    raw_text(s, "SELECT group_concat(type || ifnull(data, '-')) "
			"FROM job_events"),
	    "queued-,step{\"n\":1e400}");
}

/* The database refuses one: none is there, its key neither. */
static void
test_publish_all_or_none(void **state)
{
	struct site *s = *state;

	raw(s, BAD_EVENT);
	set_key("k");
	assert_int_equal(serve(s, EVENTS,
			     "[{\"type\":\"step\"},{\"type\":\"bad\"},"
			     "{\"type\":\"step\"}]"),
	    400);
	assert_true(says("bad_payload"));
	assert_int_equal(count_rows(s, "job_events"), 0);
	assert_int_equal(count_rows(s, "jobs"), 0);
	assert_int_equal(count_rows(s, "idempotency_keys"), 0);
}

static void
test_publish_with_key(void **state)
{
	struct site *s = *state;
	const char *const body = "[{\"type\":\"step\"},{\"type\":\"step\"}]";

	set_key("k");
	assert_int_equal(serve(s, EVENTS, body), 201);
	set_key(NULL);
	assert_int_equal(serve(s, EVENTS, body), 201);
	set_key("k");
	assert_int_equal(serve(s, EVENTS, body), 200);
	assert_int_equal(call->outcome, CALL_DUPLICATE);
	assert_true(says("-1\","));
	assert_true(says("-2\"]"));
	assert_int_equal(serve(s, EVENTS, "[{\"type\":\"step\"}]"), 422);
	assert_int_equal(serve(s, "/jobs/b/events", body), 201);
	assert_int_equal(count_rows(s, "job_events"), 6);
	assert_string_equal(
	    raw_text(s, "SELECT key FROM idempotency_keys WHERE key = 'k'"),
	    "");
}

/* As on a database that was replaced in between: the second writing counts. */
static void
test_publish_written_twice(void **state)
{
	struct site *s = *state;

	set_key("k");
	assert_true(prepare(EVENTS, "{\"type\":\"step\"}"));
	assert_int_equal(db_begin(s->db), OK);
	assert_int_equal(call->commit.write(&call->commit, s->db), OK);
	db_rollback(s->db);
	raw_events(s, "other", "step", 3);
	commit(s);
	assert_int_equal(call->answer.status, 201);
	assert_true(says("-4\"]"));
	assert_int_equal(count_rows(s, "job_events"), 4);
}

static void
test_publish_limits(void **state)
{
	struct site *s = *state;
	struct buf body = BUF_INIT;

	buf_add_str(&body, "[{\"type\":\"step\"}");
	for (int n = 1; n < 100; n++)
		buf_add_str(&body, ",{\"type\":\"step\"}");
	buf_add_str(&body, "]");
	assert_int_equal(serve(s, EVENTS, body.data), 201);
	body.len--;
	buf_add_str(&body, ",{\"type\":\"step\"}]");
	assert_int_equal(serve(s, EVENTS, body.data), 413);
	assert_true(says("too_many_events"));
	buf_done(&body);
	assert_int_equal(serve(s, EVENTS, "[]"), 400);
	assert_int_equal(count_rows(s, "job_events"), 100);
}

/* --- Delivery ------------------------------------------------------------- */

/* One event: a type of that many letters, and data of so many bytes: 0, or 7
 * and more. */
static void
add_sized_event(struct buf *body, size_t type_len, size_t data_len)
{
	char letters[65], digits[601];

	memset(letters, 'a', sizeof(letters));
	memset(digits, '1', sizeof(digits));
	buf_addf(body, "{\"type\":\"%.*s\"", (int)type_len, letters);
	if (data_len > 0)
		buf_addf(
		    body, ",\"data\":{\"d\":%.*s}", (int)data_len - 6, digits);
	buf_add_char(body, '}');
}

/* The body is taken, and as so many bytes. */
static void
check_taken(struct buf *body, size_t total)
{
	assert_true(buf_ok(body));
	if (!prepare(EVENTS, body->data))
		fail_msg("%zu bytes: %s: %s", total, body->data,
		    buf_span(&call->answer.body).p);
	assert_int_equal(call->commit.weight, total);
	buf_reset(body);
}

/* n events; each type is that much longer than the one before, up to 64. */
static void
check_array(struct buf *body, size_t n, size_t type_len, size_t longer)
{
	size_t total = 0;

	for (size_t i = 0; i < n; i++) {
		buf_add_char(body, i == 0 ? '[' : ',');
		add_sized_event(body, type_len, 0);
		total += type_len + 1;
		type_len = 1 + (type_len - 1 + longer) % 64;
	}
	buf_add_char(body, ']');
	check_taken(body, total);
}

/* What a call holds grows in one buffer, so every length at which that moves
 * has to come before. */
static void
test_publish_any_size(void **state)
{
	struct buf body = BUF_INIT;
	size_t type_len, total, n;

	(void)state;
	for (total = 2; total <= 600; total++)
		for (type_len = 1; type_len <= 64; type_len++) {
			if (total != type_len + 1 && total < type_len + 8)
				continue;
			add_sized_event(&body, type_len, total - type_len - 1);
			check_taken(&body, total);
		}
	/* An array begins as each shorter one of the same types. */
	for (type_len = 1; type_len <= 64; type_len++)
		check_array(&body, 100, type_len, 0);
	for (n = 1; n <= 100; n++)
		check_array(&body, n, 1, 7);
	buf_done(&body);
}

/* A batch is written again when the database was replaced under it. */
static void
test_delivery_written_twice(void **state)
{
	struct call_config open = cfg;
	struct site *s = *state;

	open.is_open = true;
	(void)prepare("/webhooks/runpod-completion",
	    "{\"id\":\"x\",\"status\":\"IN_PROGRESS\"}");
	request.query = "job_id=a";
	call_free(&call);
	call = call_new(&request, &open, &keys);
	assert_non_null(call);
	assert_true(call_prepare(call, routes_find(call), NOW));
	commit(s);
	raw(s, "DELETE FROM jobs; INSERT INTO job_events (job_id, type) "
	       "VALUES ('a', 'completed')");
	commit(s);
	assert_int_equal(call->outcome, CALL_IGNORED);
	assert_true(says("\"event_id\":null"));
}

/* --- Runs ----------------------------------------------------------------- */

#define RESTORE "/jobs/a/restore"
#define INPUT                                                                  \
	"{\"input\":{ \"seed\":9196619188014358660 },\"restore_id\":\"R\"}"

static void
test_start(void **state)
{
	struct site *s = *state;

	assert_int_equal(serve(s, RESTORE, INPUT), 202);
	assert_true(says("{\"job_id\":\"a\",\"restore_id\":\"R\",\"run_id\":1,"
			 "\"status\":\"queued\",\"events_url\":"
			 "\"https://h/api/v1/events/a\"}\n"));
	assert_string_equal(call->type, "queued");
	assert_string_equal(raw_text(s, "SELECT action || endpoint || state || "
					"input FROM runs"),
	    "restoreabcwaiting{ \"seed\":9196619188014358660 }");
	assert_int_equal(serve(s, RESTORE, INPUT), 409);
	assert_true(says("job_running"));
	assert_int_equal(count_rows(s, "job_events"), 1);
}

/* As on a database that was replaced in between: the second writing counts,
 * and a key that the first had found is not taken for found. */
static void
test_start_written_twice(void **state)
{
	struct site *s = *state;

	set_key("k");
	assert_int_equal(serve(s, RESTORE, INPUT), 202);
	assert_true(prepare(RESTORE, INPUT));
	assert_int_equal(db_begin(s->db), OK);
	assert_int_equal(call->commit.write(&call->commit, s->db), OK);
	db_rollback(s->db);
	raw(s, "DELETE FROM idempotency_keys; DELETE FROM jobs");
	commit(s);
	assert_int_equal(call->answer.status, 202);
	assert_true(says("\"run_id\":2,"));
	assert_int_equal(count_rows(s, "runs"), 1);
	assert_int_equal(serve(s, RESTORE, INPUT), 200);
	assert_int_equal(call->outcome, CALL_DUPLICATE);
}

static void
test_cancel(void **state)
{
	struct site *s = *state;

	assert_int_equal(serve(s, "/jobs/a/cancel", "anything"), 409);
	assert_true(says("no_run"));
	assert_int_equal(count_rows(s, "jobs"), 0);
	assert_int_equal(serve(s, RESTORE, INPUT), 202);
	raw(s, "UPDATE runs SET state = 'submitted'");
	assert_int_equal(serve(s, "/jobs/a/cancel", ""), 202);
	assert_true(says("{\"job_id\":\"a\",\"run_id\":1,"
			 "\"status\":\"cancelling\"}\n"));
	raw(s, "UPDATE runs SET state = 'waiting'");
	assert_int_equal(serve(s, "/jobs/a/cancel", ""), 200);
	assert_true(says("\"status\":\"cancelled\""));
	assert_string_equal(call->type, "cancelled");
}

/* --- Memory --------------------------------------------------------------- */

/* Whatever allocation of a call fails: it is served whole, or refused with 503
 * and nothing is written. */
static void
check_memory(struct site *s, int status, const char *route, const char *body)
{
	bool is_more = true, is_ready;

	for (unsigned n = 2; is_more; n++) { /* 1 is prepare()'s own */
		alloc_fail_start(n);
		is_ready = prepare(route, body);
		is_more = alloc_fail_stop();
		if (!is_ready && !call->answer.body.failed)
			assert_int_equal(call->answer.status, 503);
		assert_true(is_more || is_ready);
	}
	commit(s);
	assert_int_equal(call->answer.status, status);
}

static void
test_no_memory(void **state)
{
	set_key("k");
	check_memory(*state, 201, EVENTS,
	    "[{\"type\":\"step\",\"data\":{\"a\":1}},{\"type\":\"step\"}]");
	check_memory(*state, 201, "/jobs",
	    "{\"owner\":\"o\",\"external_id\":\"x\",\"endpoint\":\"e\"}");
	check_memory(*state, 202, "/jobs/b/restore", INPUT);
	check_memory(*state, 200, "/jobs/b/cancel", "");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(test_register),
	    TEST(test_register_another_owner),
	    TEST(test_register_without_id),
	    TEST(test_register_without_secret),
	    TEST(test_register_refused),
	    TEST(test_publish),
	    TEST(test_publish_all_or_none),
	    TEST(test_publish_with_key),
	    TEST(test_publish_written_twice),
	    TEST(test_publish_limits),
	    TEST(test_publish_any_size),
	    TEST(test_delivery_written_twice),
	    TEST(test_start),
	    TEST(test_start_written_twice),
	    TEST(test_cancel),
	    TEST(test_no_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
