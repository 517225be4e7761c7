/* SPDX-License-Identifier: ISC */
/*
 * Where the log stands, and whether this node stands in it: asked at each new
 * connection, each second, and whenever something does not fit. Blocks on the
 * disk where the node has to go back.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "relay/parts.h"
#include "relay/position.h"
#include "relay/rewind.h"
#include "store/events.h"

enum { VACANT_MS = 200 /* between looks whether there is a log */ };

static void
add_mark(void *arg, const char *origin, int64_t seq)
{
	struct log_command *c = arg;

	log_add_text(c, origin);
	log_add_int(c, seq);
}

static void on_meet(void *arg, const struct redis_value *v);

static void
add_epoch(void *arg, const struct log_position *last)
{
	struct buf *lineage = arg;

	if (lineage->len > 0)
		buf_add_span(lineage, SPAN_LIT(" "));
	position_add(lineage, last);
}

/* Where a new log would begin: with the entry that the script has named, if
 * this node has it still. */
static enum err
find_base(struct relay *r, struct log_position *ret)
{
	struct log_position found;
	enum err e = replica_find(r->leader.db, &r->base, &found);

	*ret = e == OK && position_eq(&found, &r->base) ? found : r->applier.at;
	return e == ERR_NOENT ? OK : e;
}

static enum err
send_meet(struct relay *r, struct redis *to)
{
	struct log_command c = {.text = BUF_INIT};
	struct buf lineage = BUF_INIT, horizon = BUF_INIT, from = BUF_INIT;
	struct log_position oldest, base;
	int64_t highest = 0;
	enum err e = replica_horizon(r->leader.db, &oldest);

	if (e == OK)
		e = events_last_id(r->leader.db, &highest);
	if (e == OK)
		e = replica_lineage(r->leader.db, add_epoch, &lineage);
	if (e == OK)
		e = find_base(r, &base);
	if (e == OK) {
		position_add(&horizon, &oldest);
		position_add(&from, &base);
		log_call(&c, &r->keys, link_sha(r->link), "meet", r->node_id);
		log_add(&c, buf_span(&r->owner));
		log_add(&c, buf_span(&lineage));
		log_add(&c, buf_span(&horizon));
		log_add_text(&c, db_epoch(r->leader.db));
		log_add_int(&c, LOG_FORMAT);
		log_add_int(&c, r->wants_epochs);
		log_add_int(&c, highest / LOG_EPOCH_IDS);
		log_add(&c, buf_span(&from));
		e = replica_marks(r->leader.db, base.id, add_mark, &c);
	}
	if (e == OK)
		e = buf_ok(&lineage) && buf_ok(&horizon) && buf_ok(&from)
			? log_send(&c, to, on_meet, r)
			: ERR_NOMEM;
	log_command_done(&c);
	buf_done(&lineage);
	buf_done(&horizon);
	buf_done(&from);
	return e;
}

void
relay_meet(struct relay *r)
{
	struct redis *to = link_writer(r->link);
	enum err e;

	if (to == NULL || !r->is_db_ready || r->is_meeting)
		return;
	e = send_meet(r, to);
	if (e == ERR_GONE || !relay_check(r, e))
		return;
	r->is_meeting = true;
	r->met_at_us = clock_mono_us();
	if (publisher_ask_replica(&r->publisher) != OK)
		link_fail(r->link, SPAN_LIT("out of memory"), false);
}

/* NULL: it has that name. Waits for the disk: rows that were sent by numbers
 * which a power cut takes back would be sent again by others. */
static enum err
take_names(struct relay *r, const char *name, bool is_placed, int64_t number)
{
	struct db *db = r->leader.db;
	enum err e = db_sync_full(db), back;

	if (e == OK && (e = db_begin(db)) == OK) {
		if (strcmp(db_node_id(db), r->node_id) != 0)
			e = ERR_NOENT; /* it has left since we looked */
		if (e == OK && name != NULL)
			e = replica_adopt(db, name);
		if (e == OK && !is_placed)
			e = replica_own(db, buf_span(&r->identity).p, number);
		e = db_end(db, e);
	}
	back = db_sync_normal(db);
	return e != OK ? e : back;
}

/* The cluster's epoch, and a place of its own behind what the log has of this
 * node's name: both before anything is sent. */
static enum err
settle_names(struct relay *r, const struct log_state *s)
{
	struct db *db = r->leader.db;
	char *name = span_dup(s->name);
	int64_t highest = 0, waiting;
	enum err e = name == NULL
			 ? ERR_NOMEM
			 : replica_outbox(db, r->node_id, &highest, &waiting);
	bool is_same = e == OK && strcmp(name, db_epoch(db)) == 0;
	bool is_placed = r->is_owner && highest >= s->number;

	if (e == OK && (!is_same || !is_placed))
		e = take_names(r, is_same ? NULL : name, is_placed, s->number);
	if (e == OK && !is_placed) {
		r->is_owner = true;
		log_info("outbox_placed", "number", LOG_INT(s->number));
	}
	if (e == OK && !is_same) {
		log_info("epoch_adopted", "epoch", name);
		e = db_refresh(db);
	}
	if (e == OK)
		memcpy(r->name, db_epoch(db), sizeof(r->name));
	free(name);
	return e;
}

void
relay_fall_behind(struct relay *r, const char *why)
{
	if (!r->is_behind)
		log_error("cluster_behind", "detail", why);
	r->is_behind = true;
	snprintf(r->detail, sizeof(r->detail), "%s", why);
	relay_note_state(r);
}

/* False: the database is in trouble. */
static bool
rewind_to(struct relay *r, const struct log_state *s)
{
	int64_t n = 0;
	enum err e = rewind_to_log(r->leader.db, s, &r->applier.at, &n);

	if (e == ERR_NOENT) {
		relay_fall_behind(r, "the log does not go on where this node "
				     "stands; run: jobwire cluster clone");
		return true;
	}
	if (n > 0) {
		log_warn("cut_back", "entries", LOG_INT(n), "detail",
		    "Redis has lost them; their nodes send them again");
		r->status.cut_back += n;
		applier_cut_back(&r->applier);
		r->n_parted = 0;
	}
	if (!relay_check(r, e))
		return false;
	r->is_behind = false;
	return true;
}

/* The first meeting, or one with epochs. */
static void
settle(struct relay *r, const struct log_state *s)
{
	if (!relay_check(r, relay_look_at_name(r)) ||
	    !relay_check(r, settle_names(r, s)) || !rewind_to(r, s))
		return;
	if (!r->is_met &&
	    !relay_check(r, applier_take_over(&r->applier, r->leader.db)))
		return;
	r->wants_epochs = false;
	r->epoch = s->last;
	if (!r->is_met) {
		r->is_met = r->was_met = true;
		publisher_start(&r->publisher, s->number);
	}
	relay_read(r);
}

static void
on_ok(struct relay *r, const struct log_state *s)
{
	r->status.contact_ms = clock_real_ms();
	r->base = LOG_NOWHERE;
	duties_note(r, s);
	/* An epoch may have begun. */
	if (!r->is_met || strcmp(r->epoch.tag, s->last.tag) != 0 ||
	    position_epoch(&r->epoch) != position_epoch(&s->last))
		r->wants_epochs = true;
	if (r->wants_epochs && redis_count(s->epochs) > 0)
		settle(r, s);
	else if (r->wants_epochs) /* since it was asked */
		relay_meet(r);
	if (r->is_met) {
		publisher_compare(&r->publisher, s->number);
		relay_turn(r);
	}
	relay_note_state(r);
}

static void
on_twice(struct relay *r, const struct redis_value *v)
{
	struct span other = redis_text(redis_item(v, 1));
	char *text = span_dup(other);

	log_error("node_twice", "node_id", r->node_id, "this",
	    buf_span(&r->owner).p, "other", text != NULL ? text : "");
	free(text);
	link_fail(
	    r->link, SPAN_LIT("another database has this node's name"), true);
}

static void
on_meet(void *arg, const struct redis_value *v)
{
	struct relay *r = arg;
	struct log_state s;

	r->is_meeting = false;
	switch (log_verdict(v)) {
	case LOG_OK:
		if (!log_read_state(v, &s))
			link_fail(r->link,
			    SPAN_LIT("its keys are none of ours"), false);
		else if (r->is_db_ready)
			on_ok(r, &s);
		break;
	case LOG_WAIT:
		r->is_met = false;
		r->wants_epochs = true;
		r->base = log_read_base(v);
		/* What is under way will be answered, and counts. */
		r->publisher.is_started = false;
		snprintf(r->detail, sizeof(r->detail),
		    "there is no log yet: waiting for other nodes");
		relay_note_state(r);
		relay_later(r, VACANT_MS);
		break;
	case LOG_TWICE:
		on_twice(r, v);
		break;
	case LOG_BEHIND:
	case LOG_STALE:
	case LOG_FAILED:
		link_fail(r->link,
		    redis_is_error(v) ? redis_text(v)
				      : SPAN_LIT("no answer of the script"),
		    false);
		break;
	}
}
