/* SPDX-License-Identifier: ISC */
/*
 * schema.sql against the schema of version 5, whose triggers wrote everything
 * at each event: whatever a foreign program does, both answer the same and
 * then hold the same rows. JOBWIRE_ROWS statements (5000), from a fixed seed.
 * Run from the root of the sources.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <sqlite3.h>

#include "base/buf.h"
#include "schema_sql.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define PICK(array) (array)[draw(COUNT(array))]

enum { OLD, NEW, N_SIDES, COMPARE_EACH = 100 };

struct sides {
	sqlite3 *h[N_SIDES];
	int64_t n_done; /* statements; stands for the time */
};

static const char *const tables[] = {
    "SELECT * FROM jobs ORDER BY rowid",
    "SELECT id, job_id, type, data, created_at, source, delivery_key, status "
    "FROM job_events ORDER BY id",
    "SELECT id, external_id, type, data, created_at, source, delivery_key, "
    "restore_id, output, error FROM unclaimed_events ORDER BY id",
    "SELECT key, value FROM meta WHERE key <> 'epoch'",
    "SELECT name, seq FROM sqlite_sequence",
};

/* --- Two databases -------------------------------------------------------- */

/* In place of the real one, so that times can be compared. */
static void
strftime_of_test(sqlite3_context *ctx, int n, sqlite3_value **args)
{
	const struct sides *s = sqlite3_user_data(ctx);
	char text[32];

	(void)n;
	(void)args;
	snprintf(text, sizeof(text), "%lld", (long long)s->n_done);
	sqlite3_result_text(ctx, text, -1, SQLITE_TRANSIENT);
}

static sqlite3 *
open_side(struct sides *s, const char *schema)
{
	sqlite3 *h;

	assert_int_equal(sqlite3_open(":memory:", &h), SQLITE_OK);
	assert_int_equal(sqlite3_create_function(h, "strftime", -1, SQLITE_UTF8,
			     s, strftime_of_test, NULL, NULL),
	    SQLITE_OK);
	if (sqlite3_exec(h, schema, NULL, NULL, NULL) != SQLITE_OK)
		fail_msg("%s", sqlite3_errmsg(h));
	return h;
}

static int
setup(void **state)
{
	static char old[32768];
	struct sides *s = calloc(1, sizeof(*s));
	FILE *f = fopen("tests/fixtures/schema-5.sql", "r");

	assert_non_null(s);
	assert_non_null(f);
	old[fread(old, 1, sizeof(old) - 1, f)] = '\0';
	fclose(f);
	s->h[OLD] = open_side(s, old);
	s->h[NEW] = open_side(s, schema_steps[0]);
	for (size_t i = 1; i < COUNT(schema_steps); i++)
		assert_int_equal(
		    sqlite3_exec(s->h[NEW], schema_steps[i], NULL, NULL, NULL),
		    SQLITE_OK);
	*state = s;
	return 0;
}

static int
teardown(void **state)
{
	struct sides *s = *state;

	sqlite3_close(s->h[OLD]);
	sqlite3_close(s->h[NEW]);
	free(s);
	return 0;
}

/* All rows as text. */
static void
dump(sqlite3 *h, const char *sql, struct buf *out)
{
	sqlite3_stmt *st;

	assert_int_equal(sqlite3_prepare_v2(h, sql, -1, &st, NULL), SQLITE_OK);
	while (sqlite3_step(st) == SQLITE_ROW) {
		for (int i = 0; i < sqlite3_column_count(st); i++) {
			buf_addf(out, "%d:", sqlite3_column_type(st, i));
			buf_add(out, sqlite3_column_blob(st, i),
			    (size_t)sqlite3_column_bytes(st, i));
			buf_add_str(out, "|");
		}
		buf_add_str(out, "\n");
	}
	sqlite3_finalize(st);
}

static void
assert_same(const struct sides *s, const char *query, const char *last)
{
	struct buf text[N_SIDES] = {BUF_INIT, BUF_INIT};

	for (int i = 0; i < N_SIDES; i++)
		dump(s->h[i], query, &text[i]);
	if (!span_eq(buf_span(&text[OLD]), buf_span(&text[NEW])))
		fail_msg("after statement %lld, %s\nold:\n%s\nnew:\n%s",
		    (long long)s->n_done, last, text[OLD].data, text[NEW].data);
	buf_done(&text[OLD]);
	buf_done(&text[NEW]);
}

static void
run_on_both(struct sides *s, const char *sql)
{
	int rc[N_SIDES], changes[N_SIDES];

	s->n_done++;
	for (int i = 0; i < N_SIDES; i++) {
		rc[i] = sqlite3_exec(s->h[i], sql, NULL, NULL, NULL);
		changes[i] = sqlite3_changes(s->h[i]);
	}
	if (rc[OLD] != rc[NEW] || changes[OLD] != changes[NEW] ||
	    strcmp(sqlite3_errmsg(s->h[OLD]), sqlite3_errmsg(s->h[NEW])) != 0)
		fail_msg("%s: %s, %d rows; %s, %d rows", sql,
		    sqlite3_errmsg(s->h[OLD]), changes[OLD],
		    sqlite3_errmsg(s->h[NEW]), changes[NEW]);
}

/* --- What programs do ----------------------------------------------------- */

static unsigned
draw(size_t n)
{
	static uint64_t state = UINT64_C(88172645463325252);

	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return (unsigned)((state >> 11) % n);
}

/* Mostly one of a few good names. */
static const char *
draw_job(void)
{
	static const char *const odd[] = {"''", "NULL", "'a b'", "'a/b'",
	    "'\xc3\xa9'", "'a' || char(0)", "'a' || char(0) || '/'", "x'61'",
	    "'A-Z.a_z:0~9'", "hex(zeroblob(64))", "hex(zeroblob(64)) || 'a'",
	    "CAST(x'61ff' AS TEXT)", "CAST(x'c1a1' AS TEXT)", "'-'", "7"};
	static char name[16];

	if (draw(20) == 0)
		return PICK(odd);
	snprintf(name, sizeof(name), "'job-%u'", draw(30));
	return name;
}

static const char *
draw_type(void)
{
	static const char *const types[] = {"'queued'", "'processing'",
	    "'progress'", "'progress'", "'progress'", "'completed'", "'failed'",
	    "'cancelled'", "'timed_out'", "'note'", "'x_y.z-0'"};
	static const char *const odd[] = {"''", "NULL", "'Queued'", "'1x'",
	    "'_x'", "'a b'", "'a' || char(0)", "'a\xc3\xa9'", "'a' || char(10)",
	    "'a' || hex(zeroblob(31))", "'a' || hex(zeroblob(32))", "x'71'",
	    "'a' || lower(hex(zeroblob(31)))",
	    "'a' || lower(hex(zeroblob(31))) || 'b'",
	    "'a' || lower(hex(zeroblob(32)))"};

	return draw(20) == 0 ? PICK(odd) : PICK(types);
}

static const char *
draw_data(void)
{
	static const char *const data[] = {"NULL", "NULL", "'{}'",
	    "'{\"progress\":40}'", "'{\"output\":[1.10,-0,1E+2]}'",
	    "'{\"output\":null}'", "'{\"output\":\"q\\\"u,]o\"}'",
	    "'{\"output\":12345678901234567890,\"restore_id\":\"r\"}'",
	    "'{\"restore_id\":\"s\"}'", "'{\"restore_id\":7}'",
	    "'{\"restore_id\":null,\"output\":{\"a\":{\"b\":[]}}}'"};
	static const char *const odd[] = {"''", "'[]'", "'1'", "'{'", "'{} {}'",
	    "'{}' || char(0)", "x'7b7d'", "'{\"output\":}'",
	    "CAST(x'7b2261223a22ff227d' AS TEXT)"};

	return draw(20) == 0 ? PICK(odd) : PICK(data);
}

static void
add_insert(struct buf *sql)
{
	static const char *const verbs[] = {"INSERT", "INSERT", "INSERT",
	    "INSERT", "INSERT OR IGNORE", "INSERT OR REPLACE",
	    "INSERT OR ABORT"};
	static const char *const statuses[] = {
	    "'queued'", "'processing'", "'completed'", "'whatever'", "NULL"};

	switch (draw(8)) {
	case 0: /* a delivery, perhaps for the second time */
		buf_addf(sql,
		    "%s INTO job_events (job_id, type, data, source, "
		    "delivery_key) VALUES (%s, ",
		    PICK(verbs), draw_job());
		buf_addf(sql, "%s, %s, 's%u', 'k%u')", draw_type(), draw_data(),
		    draw(2), draw(200));
		if (draw(2) == 0)
			buf_add_str(sql, " ON CONFLICT (source, delivery_key) "
					 "DO NOTHING");
		break;
	case 1: /* what the triggers know better */
		buf_addf(sql,
		    "%s INTO job_events (job_id, type, data, created_at, "
		    "status) VALUES (%s, ",
		    PICK(verbs), draw_job());
		buf_addf(sql, "%s, %s, 'then', %s)", draw_type(), draw_data(),
		    PICK(statuses));
		break;
	case 2: /* several rows of one statement */
		buf_addf(sql,
		    "INSERT INTO job_events (job_id, type) VALUES (%s, ",
		    draw_job());
		buf_addf(sql, "%s), (%s, ", draw_type(), draw_job());
		buf_addf(sql, "%s)", draw_type());
		break;
	default:
		buf_addf(sql,
		    "INSERT INTO job_events (job_id, type, data) "
		    "VALUES (%s, ",
		    draw_job());
		buf_addf(sql, "%s, %s)", draw_type(), draw_data());
	}
}

static void
add_change_of_job(struct buf *sql)
{
	static const char *const columns[] = {"external_id = 'x'",
	    "external_id = 'y'", "external_id = NULL", "owner = 'alice'",
	    "restore_id = NULL", "output = '[2]'", "error = '\"e\"'",
	    "state = 'queued'", "state = 'processing'", "state = 'other'"};

	buf_addf(sql, "UPDATE jobs SET %s WHERE job_id = %s", PICK(columns),
	    draw_job());
}

static void
add_registration(struct buf *sql)
{
	buf_addf(sql,
	    "INSERT INTO jobs (job_id, external_id) VALUES (%s, 'x%u') ",
	    draw_job(), draw(4));
	buf_add_str(sql, "ON CONFLICT (job_id) DO UPDATE SET external_id = "
			 "excluded.external_id");
}

static void
add_unclaimed(struct buf *sql)
{
	buf_addf(sql,
	    "INSERT INTO unclaimed_events (external_id, type, data, source, "
	    "delivery_key, output, error, restore_id) VALUES ('x%u', %s, ",
	    draw(4), draw_type());
	buf_addf(sql, "%s, 'u', 'k%u', ", draw_data(), draw(200));
	buf_addf(sql, "%s, %s, %s)", draw(2) ? "NULL" : "'[3]'",
	    draw(2) ? "NULL" : "'\"f\"'", draw(2) ? "NULL" : "'t'");
}

static void
add_statement(struct buf *sql)
{
	unsigned kind = draw(100);

	if (kind < 70)
		add_insert(sql);
	else if (kind < 80)
		add_change_of_job(sql);
	else if (kind < 84)
		add_registration(sql);
	else if (kind < 88)
		add_unclaimed(sql);
	else if (kind < 89)
		buf_add_str(sql, "DELETE FROM unclaimed_events "
				 "WHERE id % 2 = 0");
	else if (kind < 98)
		buf_addf(sql,
		    "DELETE FROM job_events WHERE id = (SELECT seq - %u "
		    "FROM sqlite_sequence) OR id < (SELECT seq - 300 "
		    "FROM sqlite_sequence)",
		    draw(60));
	else
		buf_addf(sql, "DELETE FROM jobs WHERE job_id = %s", draw_job());
}

static void
test_same_as_before(void **state)
{
	const char *n_rows = getenv("JOBWIRE_ROWS");
	int64_t n = n_rows != NULL ? atoll(n_rows) : 5000;
	struct buf sql = BUF_INIT;
	struct sides *s = *state;

	while (s->n_done < n) {
		buf_reset(&sql);
		add_statement(&sql);
		assert_true(buf_ok(&sql));
		run_on_both(s, sql.data);
		assert_same(s,
		    "SELECT id, status FROM job_events "
		    "ORDER BY id DESC LIMIT 3",
		    sql.data);
		for (size_t i = 0;
		     s->n_done % COMPARE_EACH == 0 && i < COUNT(tables); i++)
			assert_same(s, tables[i], sql.data);
	}
	buf_done(&sql);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(
		test_same_as_before, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
