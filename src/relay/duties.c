/* SPDX-License-Identifier: ISC */
/*
 * What is due each second: to compare with Redis, to say how this node is, to
 * forget what no node needs any more.
 */
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/container_of.h"
#include "base/log.h"
#include "relay/parts.h"
#include "relay/position.h"
#include "store/outbox.h"

enum {
	SECOND_US = 1000000,
	SILENT_S = 5, /* Redis, before the connection is given up */
	/* To go back is for what a failover loses: seconds. Where it would have
	 * to go further back, the log begins anew with what the nodes have. */
	KEEP_MS = 10 * 60000,
	/* A node that is away so long keeps nobody from forgetting the way
	 * back; the script forgets it after a day, and its entries. */
	NODE_AWAY_MS = 3600000,
	PRUNE_EVERY_S = 5,
	TRIM_EVERY_S = 30,
	STALLED_S = 5,
	DETAIL_EVERY_S = 60,
};

/* --- How it is ------------------------------------------------------------ */

static enum relay_state
state_of(const struct relay *r, const char **ret_detail)
{
	*ret_detail = r->detail;
	if (r->is_behind)
		return RELAY_BEHIND;
	if (r->db_state != OK) {
		*ret_detail = r->db_detail;
		return RELAY_AWAY;
	}
	if (!r->is_met)
		return RELAY_AWAY;
	*ret_detail = "";
	return RELAY_OK;
}

static void
log_state(const struct relay *r)
{
	const struct relay_status *s = &r->status;

	if (s->state == RELAY_OK)
		log_info(
		    "cluster_ok", "redis", s->redis, "node_id", s->node_id);
	else if (s->state == RELAY_AWAY)
		log_warn("cluster_away", "detail", s->detail);
}

static void
write_status(struct relay *r)
{
	struct relay_status *s = &r->status;
	int64_t highest;

	s->position = r->applier.at.id;
	s->applied = r->applier.n_applied;
	s->refused = r->applier.n_refused;
	s->published = r->publisher.n_published;
	if (r->is_db_ready && replica_outbox(r->leader.db, r->node_id, &highest,
				  &s->waiting) != OK)
		s->waiting = -1;
	/* Who holds the lock writes it; it is of no use to say that this
	 * failed. */
	if (r->leader.lock_fd != -1 && r->db_state != ERR_AGAIN &&
	    relay_status_write(r->leader.lock_fd, s) != OK)
		return;
}

void
relay_note_state(struct relay *r)
{
	struct relay_status *s = &r->status;
	const char *detail;
	enum relay_state state = state_of(r, &detail);
	int64_t now_us = clock_mono_us();
	bool is_other = !r->was_noted || state != s->state;

	if (!is_other && strcmp(detail, s->detail) != 0)
		is_other = now_us - r->noted_at_us >
			   DETAIL_EVERY_S * (int64_t)SECOND_US;
	s->state = state;
	snprintf(s->detail, sizeof(s->detail), "%s", detail);
	snprintf(s->node_id, sizeof(s->node_id), "%s", r->node_id);
	snprintf(s->redis, sizeof(s->redis), "%s", link_name(r->link));
	if (!is_other)
		return;
	/* Before the first attempt there is nothing to say. */
	if (r->was_noted || state == RELAY_OK || link_writer(r->link) == NULL)
		log_state(r);
	r->was_noted = true;
	r->noted_at_us = now_us;
	write_status(r);
}

/* Entries that are there and are not told of: only those that were trimmed
 * before this node had them. */
static void
look_for_stall(struct relay *r, const struct log_state *s)
{
	bool is_idle = r->is_met && r->is_reading && !r->is_behind &&
		       !position_eq(&s->last, &r->applier.at);

	if (!is_idle || r->stalled_at != r->applier.at.id)
		r->n_stalled = 0;
	r->stalled_at = r->applier.at.id;
	if (is_idle && ++r->n_stalled > STALLED_S) {
		r->is_behind = true;
		snprintf(r->detail, sizeof(r->detail),
		    "entries are gone from the log that this node has not "
		    "applied; run: jobwire cluster clone");
		log_error("cluster_behind", "detail", r->detail);
	}
}

void
duties_note(struct relay *r, const struct log_state *s)
{
	struct relay_status *st = &r->status;
	struct log_node n;
	size_t count = redis_count(s->nodes);

	st->last = s->last.id;
	st->behind = position_distance(&r->applier.at, &s->last);
	st->n_nodes = 0;
	r->keep_id = r->trim_id = r->applier.at.id;
	for (size_t i = 0; i < count; i++) {
		if (!log_read_node(s, i, &n))
			continue;
		if (n.at.id < r->trim_id)
			r->trim_id = n.at.id;
		if (n.at.id < r->keep_id && n.age_ms < NODE_AWAY_MS)
			r->keep_id = n.at.id;
		if (st->n_nodes < RELAY_NODES_MAX) {
			struct relay_node *to = &st->nodes[st->n_nodes++];

			snprintf(to->name, sizeof(to->name), "%.*s",
			    (int)(n.name.n < sizeof(to->name) ? n.name.n : 0),
			    n.name.p);
			to->position = n.at.id;
			to->age_ms = n.age_ms;
		}
	}
	look_for_stall(r, s);
}

/* --- Forgetting ----------------------------------------------------------- */

static void
prune(struct relay *r)
{
	struct db *db = r->leader.db;
	int64_t seq = 0;
	bool has_more = false;
	enum err e = db_begin(db);

	if (e == OK)
		e = replica_prune(db, r->node_id, r->keep_id,
		    clock_real_ms() - KEEP_MS, &seq, &has_more);
	if (e == OK && seq > 0)
		e = replica_close_outbox(db, seq);
	if (e == OK && seq > 0)
		e = outbox_forget(db, seq);
	e = db_end(db, e);
	r->is_pruning = false;
	if (relay_check(r, e) && has_more)
		r->is_pruning = true;
}

static void
on_trimmed(void *arg, const struct redis_value *v)
{
	(void)arg;
	(void)v;
}

static void
trim(struct relay *r)
{
	struct redis *to = link_writer(r->link);
	struct log_command c = {.text = BUF_INIT};
	struct log_position oldest;
	struct buf id = BUF_INIT;

	if (to == NULL ||
	    !relay_check(r, replica_horizon(r->leader.db, &oldest)))
		return;
	position_add_id(&id, oldest.id < r->trim_id ? oldest.id : r->trim_id);
	log_add_text(&c, "XTRIM");
	log_add(&c, buf_span(&r->keys.stream));
	log_add_text(&c, "MINID");
	log_add_text(&c, "~");
	log_add(&c, buf_span(&id));
	if (buf_ok(&id) && log_send(&c, to, on_trimmed, r) != OK)
		link_fail(r->link, SPAN_LIT("out of memory"), false);
	log_command_done(&c);
	buf_done(&id);
}

/* --- Each second ---------------------------------------------------------- */

static void
on_second(struct timer *t)
{
	struct relay *r = container_of(t, struct relay, second);
	int64_t now_us = clock_mono_us();

	if (timer_set(r->loop, t, now_us + SECOND_US) != OK)
		return; /* it was set before: there is room */
	if (r->is_stopping)
		return;
	r->n_seconds++;
	if (r->is_meeting && now_us - r->met_at_us > SILENT_S * SECOND_US)
		link_fail(r->link, SPAN_LIT("no answer"), false);
	if (r->is_db_ready)
		(void)relay_check(r, relay_look_at_name(r));
	publisher_news(&r->publisher); /* whatever was not heard */
	relay_turn(r);
	if (r->is_met)
		relay_meet(r);
	if (r->is_met && r->is_db_ready &&
	    (r->is_pruning || r->n_seconds % PRUNE_EVERY_S == 0))
		prune(r);
	if (r->is_met && r->is_db_ready && r->n_seconds % TRIM_EVERY_S == 1)
		trim(r);
	relay_note_state(r);
	write_status(r);
}

enum err
duties_start(struct relay *r)
{
	r->second.on_due = on_second;
	return timer_set(r->loop, &r->second, clock_mono_us() + SECOND_US);
}

void
duties_stop(struct relay *r)
{
	timer_cancel(r->loop, &r->second);
}
