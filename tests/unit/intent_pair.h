/* SPDX-License-Identifier: ISC */
/*
 * A single node and one of a cluster, side by side: what is written on the one
 * and comes back from the log on the other is the same.
 */
#ifndef JOBWIRE_INTENT_PAIR_H
#define JOBWIRE_INTENT_PAIR_H

#include "intent/intent.h"
#include "store/cluster.h"
#include "store/outbox.h"
#include "store_site.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define DIGEST                                                                 \
	"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define OTHER "f123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

struct pair {
	struct site *single, *node;
};

static inline int
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

static inline int
teardown(void **state)
{
	struct pair *p = *state;

	site_teardown((void **)&p->single);
	site_teardown((void **)&p->node);
	free(p);
	return 0;
}

/* As a relay. *ret: what it says of the last row. */
static inline void
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

static inline void
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
static inline struct intent_result
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
    "SELECT run_id, job_id, action, endpoint, restore_id, input, policy, "
    "state, external_id, cancel_wanted, error FROM runs ORDER BY run_id",
    "SELECT kind, digest, revoked_at FROM revoked",
    "SELECT digest, claims, expires_at FROM tickets",
    "SELECT value FROM meta WHERE key = 'gone_floor'",
};

static inline void
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

static inline void
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

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

#endif
