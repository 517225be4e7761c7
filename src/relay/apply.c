/* SPDX-License-Identifier: ISC */
/*
 * One transaction for all that XREAD has brought, with a part for each entry:
 * what one of them may not write, nobody's may, and the log goes on. What an
 * entry means is intent/. Blocks on the disk and on other writers.
 */
#include "relay/apply.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "intent/intent.h"
#include "relay/log.h"
#include "relay/position.h"
#include "store/cluster.h"
#include "store/mark.h"
#include "store/outbox.h"

/* Nobody waits for so many. */
enum { HELD_MAX = 10000 };

struct held_answer {
	STAILQ_ENTRY(held_answer) link;
	int64_t id; /* of the entry */
	int64_t seq;
	char *result; /* owned */
};

void
applier_init(struct applier *a)
{
	*a = (struct applier){0};
	STAILQ_INIT(&a->held);
}

static struct held_answer *
take_first(struct applier *a)
{
	struct held_answer *h = STAILQ_FIRST(&a->held);

	STAILQ_REMOVE_HEAD(&a->held, link);
	a->n_held--;
	return h;
}

static void
drop_first(struct applier *a)
{
	struct held_answer *h = take_first(a);

	free(h->result);
	free(h);
}

void
applier_done(struct applier *a)
{
	while (!STAILQ_EMPTY(&a->held))
		drop_first(a);
}

enum err
applier_start(struct applier *a, struct db *db, const char *node_id)
{
	enum err e;

	if (strlen(node_id) >= sizeof(a->node_id))
		return ERR_PROTO;
	memcpy(a->node_id, node_id, strlen(node_id) + 1);
	e = replica_position(db, &a->at);
	return e == OK ? replica_own_ids(db, a->at.id, &a->own_id) : e;
}

/* --- Answers -------------------------------------------------------------- */

/* One that finds no memory is lost, and `replica_close_outbox()` ends its row:
 * who waits is told that it is pending. */
static void
hold(struct applier *a, const struct log_entry *entry, const struct buf *result)
{
	struct held_answer *h = calloc(1, sizeof(*h));

	if (h != NULL && (h->result = span_dup(buf_span(result))) != NULL) {
		h->id = entry->at.id;
		h->seq = entry->origin_seq;
		STAILQ_INSERT_TAIL(&a->held, h, link);
		if (++a->n_held > HELD_MAX)
			drop_first(a);
		return;
	}
	free(h);
}

static enum err
answer(struct applier *a, struct db *db, const struct log_entry *entry,
    const struct buf *result)
{
	if (!a->is_holding || entry->origin_seq <= a->confirmed)
		return outbox_answer(db, entry->origin_seq, buf_span(result));
	hold(a, entry, result);
	return OK;
}

enum err
applier_take_over(struct applier *a, struct db *db)
{
	return STAILQ_EMPTY(&a->held) ? replica_close_applied(db, a->node_id)
				      : OK;
}

enum err
applier_confirm(struct applier *a, struct db *db, int64_t seq)
{
	struct held_answer *h;
	enum err e;

	a->confirmed = seq;
	h = STAILQ_FIRST(&a->held);
	if (h == NULL || h->seq > seq)
		return OK;
	e = db_begin(db);
	for (; e == OK && h != NULL && h->seq <= seq; h = STAILQ_NEXT(h, link))
		e = outbox_answer(db, h->seq, span_of(h->result));
	e = mark_end(db, e);
	if (e != OK)
		return e;
	while ((h = STAILQ_FIRST(&a->held)) != NULL && h->seq <= seq)
		drop_first(a);
	return OK;
}

void
applier_cut_back(struct applier *a)
{
	for (size_t n = a->n_held; n > 0; n--) {
		if (STAILQ_FIRST(&a->held)->id > a->at.id) {
			drop_first(a);
			continue;
		}
		STAILQ_INSERT_TAIL(&a->held, take_first(a), link);
		a->n_held++;
	}
}

/* --- Entries -------------------------------------------------------------- */

/* What it writes, or nothing. *result gets what came of it. */
static enum err
carry_out(struct applier *a, struct db *db, const struct log_entry *entry,
    const struct log_row *row, struct buf *result)
{
	char *kind = span_dup(row->kind);
	enum err e = kind == NULL ? ERR_NOMEM : db_part_begin(db);
	bool is_part = e == OK, goes_on = false;

	cluster_apply_entry(db, entry->origin, entry->origin_seq);
	if (e == OK)
		e = intent_apply(db, kind, row->payload, result);
	cluster_apply_entry(db, NULL, 0);
	e = replica_end(db, entry, e);
	if (is_part)
		e = db_part_end(db, e, &goes_on);
	free(kind);
	if (e == OK || !goes_on)
		return e;
	a->n_refused++;
	if (result->len == 0)
		buf_add_str(result, "{}");
	return OK;
}

static enum err
apply_row(struct applier *a, struct db *db, const struct log_row *row,
    struct buf *text)
{
	struct log_entry entry = {.at = row->at, .origin_seq = row->origin_seq};
	struct buf result = BUF_INIT;
	size_t origin_at, time_at;
	enum err e;

	if (row->origin.n == 0) {
		e = replica_begin(db, &entry);
		return replica_end(db, &entry, e);
	}
	a->n_applied++;
	a->n_bytes += (int64_t)row->payload.n;
	buf_reset(text);
	origin_at = text->len;
	buf_add_span(text, row->origin);
	buf_add_char(text, '\0');
	time_at = text->len;
	buf_add_span(text, row->time);
	if (!buf_ok(text))
		return ERR_NOMEM;
	entry.origin = text->data + origin_at;
	/* Whatever stands there, all nodes take it for the same. */
	if (!clock_parse_rfc3339(text->data + time_at, &entry.at_ms))
		entry.at_ms = 1;
	e = replica_begin(db, &entry);
	if (e == OK)
		e = carry_out(a, db, &entry, row, &result);
	else
		e = replica_end(db, &entry, e);
	if (e == OK && strcmp(entry.origin, a->node_id) == 0)
		e = answer(a, db, &entry, &result);
	buf_done(&result);
	return e;
}

/* Is it the next one, and can it be applied? */
static enum apply_stop
judge(const struct applier *a, const struct log_position *at,
    const struct log_row *row)
{
	if (row->format > LOG_FORMAT)
		return APPLY_NEWER;
	if (!position_eq(at, &row->base))
		return APPLY_PARTED;
	return row->at.id > a->own_id ? APPLY_ALL : APPLY_TAKEN;
}

/* A node that has left, since the rows were asked for, is on its own. */
static enum err
begin(const struct applier *a, struct db *db)
{
	enum err e = db_begin(db);

	if (e == OK && strcmp(db_node_id(db), a->node_id) != 0)
		e = ERR_NOENT;
	return e == OK ? cluster_apply_begin(db) : e;
}

enum apply_stop
applier_run(struct applier *a, struct db *db, const struct redis_value *rows,
    size_t *ret_n, enum err *ret_e)
{
	struct log_position at = a->at;
	enum apply_stop stop = APPLY_ALL;
	struct buf text = BUF_INIT;
	struct log_row row;
	size_t n = 0;
	enum err e = OK;

	for (; n < redis_count(rows) && e == OK; n++) {
		stop = log_read_row(redis_item(rows, n), &row)
			   ? judge(a, &at, &row)
			   : APPLY_FOREIGN;
		if (stop != APPLY_ALL)
			break;
		if (n == 0)
			e = begin(a, db);
		if (e == OK)
			e = apply_row(a, db, &row, &text);
		at = row.at;
	}
	buf_done(&text);
	if (n > 0 && e == OK)
		e = cluster_apply_end(db);
	if (n > 0)
		e = mark_end(db, e);
	*ret_e = e;
	*ret_n = e == OK ? n : 0;
	if (e != OK) {
		applier_cut_back(a);
		return APPLY_FAILED;
	}
	a->at = at;
	return stop;
}
