/* SPDX-License-Identifier: ISC */
/*
 * Follows the stream from where the node stands: what comes is applied, or it
 * is found out why it does not fit. Blocks on the disk.
 */
#include <string.h>

#include "base/clock.h"
#include "base/container_of.h"
#include "base/log.h"
#include "relay/parts.h"
#include "relay/position.h"

enum {
	BLOCK_MS = 2000, /* XREAD comes back empty after that */
	ROWS_MAX = 64,	 /* of one XREAD, and so of one transaction */
	ROWS_BYTES = 1 << 20,
	FOREIGN_LOG_MS = 60000,
	WAL_LIMIT_BYTES = 6 << 20,
	/* From rows that came to the next XREAD, where more may come: a
	 * transaction of one entry costs three times what an entry does. */
	MERGE_US = 1000,
	PARTED_MAX = 3, /* another relay may mend, too */
};

static void
note_foreign(struct relay *r, int64_t n)
{
	int64_t now_us = clock_mono_us();

	r->status.foreign += n;
	if (r->foreign_at_us != 0 &&
	    now_us - r->foreign_at_us < FOREIGN_LOG_MS * 1000LL)
		return;
	r->foreign_at_us = now_us;
	log_warn("entry_foreign", "detail",
	    "what no relay has written was removed from the stream", "count",
	    LOG_INT(r->status.foreign));
}

static void
on_mended(void *arg, const struct redis_value *v)
{
	struct relay *r = arg;
	int64_t n = log_number(v);

	if (redis_is_error(v)) {
		link_fail(r->link, redis_text(v), false);
	} else if (log_verdict(v) == LOG_STALE) {
		relay_start_over(r);
	} else {
		if (n > 0) {
			note_foreign(r, n);
			r->n_parted = 0;
		}
		relay_read(r);
	}
}

/* What no relay has written is taken out, or it would stand in the way of the
 * next entry. */
static void
mend(struct relay *r)
{
	struct redis *to = link_writer(r->link);
	struct log_command c = {.text = BUF_INIT};

	if (to == NULL)
		return;
	log_call(&c, &r->keys, link_sha(r->link), "mend", r->node_id);
	if (log_send(&c, to, on_mended, r) != OK)
		relay_later(r, RELAY_AGAIN_MS);
	log_command_done(&c);
}

/* The log went another way, which the epochs tell; or this entry is nobody's;
 * or entries are gone that this node has not applied. */
static void
on_parted(struct relay *r)
{
	r->n_parted++;
	if (r->n_parted == 1) {
		r->wants_epochs = true;
		relay_meet(r);
	} else if (r->n_parted <= PARTED_MAX) {
		mend(r);
	} else {
		relay_fall_behind(r,
		    "entries are gone from the log that this node has not "
		    "applied; run: jobwire cluster clone");
	}
}

/* A transaction keeps other writers waiting, and an answer is in memory. */
static void
adapt(struct relay *r, size_t n, int64_t bytes)
{
	if (bytes > ROWS_BYTES && r->rows_max > 1)
		r->rows_max /= 2;
	else if (n == (size_t)r->rows_max && r->rows_max < ROWS_MAX)
		r->rows_max *= 2;
}

static void
apply_rows(struct relay *r, const struct redis_value *rows)
{
	int64_t bytes = r->applier.n_bytes;
	size_t n = 0;
	enum err e = OK;
	enum apply_stop stop =
	    applier_run(&r->applier, r->leader.db, rows, &n, &e);

	if (n > 0) {
		r->n_parted = 0;
		backfill_checkpoint(r->backfill, r->leader.db, WAL_LIMIT_BYTES);
		if (n < (size_t)r->rows_max)
			r->read_at_us = loop_now_us(r->loop) + MERGE_US;
		adapt(r, n, r->applier.n_bytes - bytes);
	}
	switch (stop) {
	case APPLY_ALL:
		relay_read(r);
		break;
	case APPLY_PARTED:
		on_parted(r);
		break;
	case APPLY_FOREIGN:
		mend(r);
		break;
	case APPLY_NEWER:
		relay_fall_behind(r, "the log has entries of a newer jobwire: "
				     "upgrade this node");
		break;
	case APPLY_TAKEN:
		relay_fall_behind(r, "this node has written on its own since "
				     "it left; run: jobwire cluster clone");
		break;
	case APPLY_FAILED:
		(void)relay_check(r, e);
		break;
	}
}

static void
on_rows(void *arg, const struct redis_value *v)
{
	struct relay *r = arg;
	const struct redis_value *rows = log_rows(v);

	r->is_reading = false;
	if (redis_is_error(v))
		link_fail(r->link, redis_text(v), false);
	else if (rows == NULL)
		relay_read(r);
	else if (r->is_db_ready && r->is_met)
		apply_rows(r, rows);
}

static void
send_xread(struct relay *r, struct redis *from)
{
	struct log_command c = {.text = BUF_INIT};
	struct buf at = BUF_INIT;
	enum err e;

	position_add_id(&at, r->applier.at.id);
	log_add_text(&c, "XREAD");
	log_add_text(&c, "COUNT");
	log_add_int(&c, r->rows_max);
	log_add_text(&c, "BLOCK");
	log_add_int(&c, BLOCK_MS);
	log_add_text(&c, "STREAMS");
	log_add(&c, buf_span(&r->keys.stream));
	log_add(&c, buf_span(&at));
	e = buf_ok(&at) ? log_send(&c, from, on_rows, r) : ERR_NOMEM;
	log_command_done(&c);
	buf_done(&at);
	r->is_reading = e == OK;
	if (e == ERR_NOMEM)
		relay_later(r, RELAY_AGAIN_MS);
}

/* One XREAD is under way at any time, and none while something has to be
 * settled first. Without memory for the timer it is sent at once. */
void
relay_read(struct relay *r)
{
	struct redis *from = link_reader(r->link);

	if (from == NULL || r->is_reading || !r->is_met || !r->is_db_ready ||
	    r->is_behind || r->wants_epochs)
		return;
	if (clock_mono_us() >= r->read_at_us ||
	    timer_set(r->loop, &r->read_later, r->read_at_us) != OK)
		send_xread(r, from);
}

void
relay_read_later(struct timer *t)
{
	relay_read(container_of(t, struct relay, read_later));
}
