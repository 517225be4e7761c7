/* SPDX-License-Identifier: ISC */
/*
 * The outbox without a log. Blocks on the disk.
 */
#include <string.h>

#include "intent/intent.h"
#include "store/cluster.h"
#include "store/outbox.h"

/* A copy of a row; zeroed. */
struct copy {
	int64_t seq;
	bool is_answered;
	struct buf kind, payload;
};

static bool
take_copy(void *arg, const struct outbox_row *row)
{
	struct copy *copy = arg;

	copy->seq = row->seq;
	copy->is_answered = row->is_answered;
	buf_add_str(&copy->kind, row->kind);
	buf_add_span(&copy->payload, row->payload);
	return false;
}

static enum err
carry_out(struct db *db, const struct copy *copy)
{
	struct buf result = BUF_INIT;
	bool goes_on = true;
	enum err e = db_part_begin(db);

	if (e != OK)
		return e;
	e = intent_apply(
	    db, copy->kind.data, buf_span(&copy->payload), &result);
	e = db_part_end(db, e, &goes_on);
	if (goes_on)
		e = outbox_answer(db, copy->seq, buf_span(&result));
	buf_done(&result);
	return e;
}

/* The row behind seq, which moves on to it; ERR_NOENT. */
static enum err
settle_next(struct db *db, int64_t *seq)
{
	struct copy copy = {0};
	enum err e = outbox_read(db, *seq, 1, take_copy, &copy);

	if (e == OK && copy.seq == 0)
		e = ERR_NOENT;
	if (e == OK && (!buf_ok(&copy.kind) || !buf_ok(&copy.payload)))
		e = ERR_NOMEM;
	*seq = copy.seq;
	if (e == OK && !copy.is_answered)
		e = carry_out(db, &copy);
	buf_done(&copy.kind);
	buf_done(&copy.payload);
	return e;
}

enum err
intent_settle(struct db *db)
{
	int64_t seq = 0;
	enum err e = cluster_apply_begin(db);

	cluster_apply_entry(db, db_node_id(db), 0);
	while (e == OK)
		e = settle_next(db, &seq);
	return e == ERR_NOENT ? cluster_apply_end(db) : e;
}
