/* SPDX-License-Identifier: ISC */
/* Unit tests of relay/apply: what XREAD brings, and what it answers. */
#include "relay/apply.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>
#include <hiredis/hiredis.h>

#include "store/cluster.h"
#include "store_site.h"

static int
setup(void **state)
{
	struct site *s;

	site_setup(state);
	s = *state;
	site_open_to_apply(s);
	assert_int_equal(db_begin(s->db), OK);
	assert_int_equal(cluster_join(s->db, "a", NULL), OK);
	assert_int_equal(db_commit(s->db), OK);
	assert_int_equal(replica_start(s->db, "a"), OK);
	return 0;
}

static void
add_text(struct buf *out, const char *text)
{
	buf_addf(out, "$%zu\r\n%s\r\n", strlen(text), text);
}

/* As Redis says it: an id, and fields as "NAME=VALUE", up to NULL. */
static void
add_row(struct buf *out, const char *id, const char *const *fields)
{
	char name[2] = "";
	int n = 0;

	while (fields[n] != NULL)
		n++;
	buf_add_str(out, "*2\r\n");
	add_text(out, id);
	buf_addf(out, "*%d\r\n", 2 * n);
	for (int i = 0; i < n; i++) {
		name[0] = fields[i][0];
		add_text(out, name);
		add_text(out, fields[i] + 2);
	}
}

static enum apply_stop
apply(struct applier *a, struct db *db, int n, const struct buf *rows,
    enum err *ret_e)
{
	redisReader *reader = redisReaderCreate();
	struct buf text = BUF_INIT;
	enum apply_stop stop;
	void *reply = NULL;
	size_t applied;

	assert_non_null(reader);
	buf_addf(&text, "*%d\r\n", n);
	buf_add_span(&text, buf_span(rows));
	assert_int_equal(
	    redisReaderFeed(reader, text.data, text.len), REDIS_OK);
	assert_int_equal(redisReaderGetReply(reader, &reply), REDIS_OK);
	assert_non_null(reply);
	stop = applier_run(
	    a, db, (const struct redis_value *)reply, &applied, ret_e);
	freeReplyObject(reply);
	redisReaderFree(reader);
	buf_done(&text);
	return stop;
}

/* Two events of this node. */
static void
add_rows(struct buf *rows)
{
	add_row(rows, "1-0",
	    (const char *const[]){"b=0-0/", "g=t", "k=epoch", "v=1", NULL});
	for (int i = 1; i <= 2; i++) {
		char id[24], base[24], seq[24];

		snprintf(id, sizeof(id), "1-%d", i);
		snprintf(base, sizeof(base), "b=1-%d/t", i - 1);
		snprintf(seq, sizeof(seq), "s=%d", i);
		add_row(rows, id,
		    (const char *const[]){base, "g=t", "k=event", "v=1", "o=a",
			seq, "t=2026-11-28T12:00:00.000Z",
			"p={\"job_id\":\"j\",\"type\":\"note\"}", NULL});
	}
}

static int64_t
answers(struct site *s)
{
	sqlite3_stmt *st;
	int64_t n;

	assert_int_equal(
	    sqlite3_prepare_v2(s->raw,
		"SELECT count(*) FROM outbox WHERE result IS NOT NULL", -1, &st,
		NULL),
	    SQLITE_OK);
	assert_int_equal(sqlite3_step(st), SQLITE_ROW);
	n = sqlite3_column_int64(st, 0);
	sqlite3_finalize(st);
	return n;
}

/* What was rolled back may come in another epoch, with other ids: nobody is
 * told of it, though a replica has it. */
static void
test_a_batch_that_fails_answers_nobody(void **state)
{
	struct site *s = *state;
	struct applier a;
	struct buf rows = BUF_INIT;
	enum err e;

	exec(s->db,
	    "INSERT INTO outbox (kind, payload) VALUES "
	    "('event', '{}'), ('event', '{}');"
	    "CREATE TEMP TRIGGER full BEFORE INSERT ON main.log_entries "
	    "WHEN NEW.origin_seq = 2 "
	    "BEGIN SELECT RAISE(ABORT, 'no room'); END");
	applier_init(&a);
	a.is_holding = true;
	assert_int_equal(applier_start(&a, s->db, "a"), OK);
	add_rows(&rows);
	assert_int_equal(apply(&a, s->db, 3, &rows, &e), APPLY_FAILED);
	assert_int_equal(applier_confirm(&a, s->db, 1), OK);
	assert_int_equal(answers(s), 0);

	exec(s->db, "DROP TRIGGER temp.full");
	assert_int_equal(apply(&a, s->db, 3, &rows, &e), APPLY_ALL);
	assert_int_equal(answers(s), 1);
	assert_int_equal(applier_confirm(&a, s->db, 2), OK);
	assert_int_equal(answers(s), 2);
	assert_true(STAILQ_EMPTY(&a.held));
	applier_done(&a);
	buf_done(&rows);
}

int
main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, site_teardown)
	const struct CMUnitTest tests[] = {
	    TEST(test_a_batch_that_fails_answers_nobody),
	};

	return cmocka_run_group_tests_name("apply", tests, NULL, NULL);
}
