/* SPDX-License-Identifier: ISC */
/*
 * The state of a relay, and what it does when. The database is leader.h's, the
 * connections link.c's. meeting.c asks Redis where the log stands, reading.c
 * follows it, publish.c sends, duties.c does what is due each second.
 *
 *   down --link is up--> meeting --"ok", and this node's entries are those of
 *   the log--> met: rows are sent, entries read
 *
 * Whatever fails goes back to `down` or `meeting`: each meeting says anew what
 * of this node the log has, and so nothing has to be remembered.
 */
#include "relay/relay.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/container_of.h"
#include "base/log.h"
#include "relay/parts.h"
#include "text/span.h"

enum {
	LOCK_POLL_MS = 1000, /* for the end of another relay */
	STOP_MS = 500,
};

/* --- The database --------------------------------------------------------- */

/* Who this database is, for Redis: a copy of it elsewhere is somebody else. */
static enum err
name_owner(struct relay *r, struct db *db)
{
	struct buf kept = BUF_INIT;
	struct span mine;
	char host[65] = "";
	enum err e = replica_owner(db, &kept);

	mine = buf_span(&kept);
	r->is_owner = span_cut_prefix(&mine, span_of(r->node_id)) &&
		      span_cut_prefix(&mine, SPAN_LIT(" "));
	if (!r->is_owner) {
		unsigned char bytes[8];

		random_bytes(bytes, sizeof(bytes));
		buf_reset(&kept);
		buf_addf(&kept, "%s ", r->node_id);
		for (size_t i = 0; i < sizeof(bytes); i++)
			buf_addf(&kept, "%02x", bytes[i]);
	}
	(void)gethostname(host, sizeof(host) - 1);
	buf_reset(&r->identity);
	buf_add_span(&r->identity, buf_span(&kept));
	buf_reset(&r->owner);
	buf_addf(&r->owner, "%s at %s of %s", buf_ok(&kept) ? kept.data : "",
	    r->cfg.db_path, host);
	if (e == OK && (!buf_ok(&kept) || !buf_ok(&r->owner)))
		e = ERR_NOMEM;
	buf_done(&kept);
	return e;
}

static enum err
refuse(struct db_fault *fault, const char *why)
{
	*fault = (struct db_fault){0};
	snprintf(fault->text, sizeof(fault->text), "%s", why);
	return ERR_NOENT;
}

static enum err
check_name(struct relay *r, struct db_fault *fault)
{
	struct db *db = r->leader.db;

	if (!db_is_clustered(db))
		return refuse(fault, "it is no node of a cluster; run: jobwire "
				     "cluster join");
	if (r->cfg.node_id != NULL &&
	    strcmp(db_node_id(db), r->cfg.node_id) != 0)
		return refuse(fault, "it has joined under another name than "
				     "node_id says");
	return OK;
}

static enum err
start_db(struct relay *r, struct db_fault *fault)
{
	struct db *db = r->leader.db;
	enum err e = check_name(r, fault);

	if (e != OK)
		return e;
	snprintf(r->node_id, sizeof(r->node_id), "%s", db_node_id(db));
	e = db_sync_normal(db);
	if (e == OK)
		e = replica_start(db, r->node_id);
	if (e == OK)
		e = applier_start(&r->applier, db, r->node_id);
	if (e == OK)
		e = name_owner(r, db);
	if (e != OK)
		*fault = *db_last_fault(db);
	else if ((e = backfill_start(r->cfg.db_path, &r->backfill)) != OK)
		(void)refuse(fault, "no thread can be started");
	r->is_db_ready = e == OK;
	return e;
}

static void
release_db(struct relay *r)
{
	backfill_stop(&r->backfill);
	leader_release(&r->leader);
	r->is_db_ready = false;
	r->is_met = false;
	r->name[0] = '\0';
	/* What is under way is of another database. */
	if (link_writer(r->link) != NULL)
		link_fail(r->link, SPAN_LIT("the database was let go"), false);
}

/* Of trouble its beginning is logged, other trouble, and its end. */
static void
note_db(struct relay *r, enum err e, const char *detail)
{
	if (e == r->db_state)
		return;
	r->db_state = e;
	snprintf(r->db_detail, sizeof(r->db_detail), "%s", detail);
	if (e == ERR_AGAIN)
		log_info(
		    "relay_waits", "detail", "another relay has this database");
	else if (e != OK)
		log_error(
		    "relay_stuck", "error", err_text(e), "detail", detail);
	else
		log_info(
		    "relay_works", "db", r->cfg.db_path, "node_id", r->node_id);
}

/* As of the last transaction: `jobwire cluster leave` asks no relay. With a
 * join after it there is another epoch. */
static bool
is_still_node(const struct relay *r)
{
	const struct db *db = r->leader.db;

	return strcmp(db_node_id(db), r->node_id) == 0 &&
	       (r->name[0] == '\0' || strcmp(db_epoch(db), r->name) == 0);
}

enum err
relay_look_at_name(struct relay *r)
{
	enum err e = db_refresh(r->leader.db);

	return e == OK && !is_still_node(r) ? ERR_NOENT : e;
}

bool
relay_check(struct relay *r, enum err e)
{
	if (e == OK)
		return true;
	if (r->is_db_ready && !is_still_node(r)) {
		release_db(r);
		relay_turn(r); /* which says why */
		return false;
	}
	note_db(r, e,
	    r->leader.db != NULL ? db_last_fault(r->leader.db)->text : "");
	if (db_is_spoiled_by(e))
		release_db(r);
	relay_later(r, RELAY_AGAIN_MS);
	return false;
}

/* Takes the database, where that is not done; false: it cannot be had now. */
static bool
has_db(struct relay *r)
{
	struct db_fault fault = {0};
	enum err e;

	if (r->is_db_ready && !db_has_moved(r->leader.db)) {
		note_db(r, OK, "");
		return true;
	}
	if (r->leader.db != NULL)
		release_db(r);
	e = leader_take(&r->leader, &fault);
	if (e == OK && !r->is_db_ready)
		e = start_db(r, &fault);
	if (e != OK && r->leader.db != NULL)
		release_db(r);
	note_db(r, e, fault.text);
	if (e != OK)
		relay_later(r, e == ERR_AGAIN || e == ERR_NOENT
				   ? LOCK_POLL_MS
				   : RELAY_AGAIN_MS);
	return e == OK;
}

/* --- Turns ---------------------------------------------------------------- */

/* Does what can be done now. */
static void
take_turn(struct relay *r)
{
	if (r->is_stopping || !has_db(r) || link_writer(r->link) == NULL)
		return;
	if (!r->is_met) {
		relay_meet(r);
		return;
	}
	if (!relay_check(r, publisher_push(&r->publisher, r->leader.db)))
		return;
	if (relay_check(r, applier_confirm(&r->applier, r->leader.db,
			       r->publisher.confirmed)))
		relay_read(r);
}

static void
on_turn(struct deferred *d)
{
	take_turn(container_of(d, struct relay, turn));
}

void
relay_turn(struct relay *r)
{
	loop_defer(r->loop, &r->turn);
}

static void
on_later(struct timer *t)
{
	struct relay *r = container_of(t, struct relay, later);

	take_turn(r);
	relay_note_state(r);
}

void
relay_later(struct relay *r, int64_t ms)
{
	if (timer_set(r->loop, &r->later, clock_mono_us() + ms * 1000) != OK)
		relay_turn(r);
}

static bool
on_look(void *arg, bool is_base)
{
	struct relay *r = arg;
	bool is_new = leader_has_news(&r->leader, is_base);

	if (!is_new)
		return false;
	publisher_news(&r->publisher);
	/* Not at the end of the turn: what is sent now leaves then. */
	if (r->db_state == OK)
		take_turn(r);
	return true;
}

static void
on_blind(void *arg, const char *why, int64_t poll_ms)
{
	(void)arg;
	log_warn("watch_blind", "detail", why, "poll_ms", LOG_INT(poll_ms));
}

/* --- The connections ------------------------------------------------------ */

static void
on_up(void *arg)
{
	struct relay *r = arg;

	r->is_met = r->is_meeting = r->is_reading = false;
	r->wants_epochs = true;
	r->rows_max = 1;
	relay_turn(r);
}

static void
on_down(void *arg, const char *reason, bool is_hopeless)
{
	struct relay *r = arg;

	r->is_met = r->is_meeting = r->is_reading = false;
	publisher_stop(&r->publisher);
	if (!r->is_behind)
		snprintf(r->detail, sizeof(r->detail), "%s: %s",
		    link_name(r->link), reason);
	relay_note_state(r);
	if (is_hopeless && !r->was_met && !r->is_stopping) {
		log_error("cannot_start", "redis", link_name(r->link), "detail",
		    reason);
		r->is_stopping = true;
		r->cfg.on_end(r->cfg.arg, false);
	}
}

static void
on_progress(void *arg)
{
	relay_turn(arg);
}

void
relay_start_over(struct relay *r)
{
	r->is_met = false;
	r->wants_epochs = true;
	relay_turn(r);
}

static void
on_stale(void *arg)
{
	relay_start_over(arg);
}

/* --- Life ----------------------------------------------------------------- */

static void
set_up(struct relay *r, struct loop *loop, const struct relay_config *cfg)
{
	r->cfg = *cfg;
	r->loop = loop;
	r->db_state = ERR_EXPIRED; /* none yet: the first is logged */
	r->leader =
	    (struct leader)LEADER_INIT(r->cfg.db_path, "-relay", DB_APPLY);
	r->turn.run = on_turn;
	r->later.on_due = on_later;
	r->read_later.on_due = relay_read_later;
	r->rows_max = 1;
	r->base = LOG_NOWHERE;
	applier_init(&r->applier);
	r->applier.is_holding = cfg->wants_replica;
	r->publisher = (struct publisher){.keys = &r->keys,
	    .node_id = r->node_id,
	    .wants_replica = cfg->wants_replica,
	    .on_progress = on_progress,
	    .on_stale = on_stale,
	    .arg = r};
	snprintf(r->detail, sizeof(r->detail), "not connected yet");
}

enum err
relay_new(struct loop *loop, const struct relay_config *cfg, struct relay **ret)
{
	struct relay *r = calloc(1, sizeof(*r));
	struct watch_config watch = {.db_path = cfg->db_path,
	    .scope = cfg->scope,
	    .poll_ms = cfg->poll_ms,
	    .on_look = on_look,
	    .on_blind = on_blind,
	    .arg = r};
	struct link_config link = {
	    .urls = cfg->urls, .on_up = on_up, .on_down = on_down, .arg = r};
	enum err e;

	if (r == NULL)
		return ERR_NOMEM;
	set_up(r, loop, cfg);
	e = log_keys_init(&r->keys, cfg->key);
	if (e == OK)
		e = link_new(loop, &link, &r->link);
	r->publisher.link = r->link;
	if (e == OK)
		e = watch_start(loop, &watch, &r->watch);
	if (e == OK)
		e = duties_start(r);
	if (e != OK) {
		relay_free(&r);
		return e;
	}
	relay_turn(r);
	*ret = r;
	return OK;
}

static void
on_parted_with(void *arg, const struct redis_value *v)
{
	struct relay *r = arg;

	(void)v;
	timer_cancel(r->loop, &r->later);
	r->cfg.on_end(r->cfg.arg, true);
}

static void
on_stop_late(struct timer *t)
{
	struct relay *r = container_of(t, struct relay, later);

	r->cfg.on_end(r->cfg.arg, true);
}

void
relay_stop(struct relay *r)
{
	struct redis *to = link_writer(r->link);
	struct log_command c = {.text = BUF_INIT};

	if (r->is_stopping)
		return;
	r->is_stopping = true;
	r->later.on_due = on_stop_late;
	relay_later(r, to != NULL && r->is_met ? STOP_MS : 0);
	if (to == NULL || !r->is_met)
		return;
	log_call(&c, &r->keys, link_sha(r->link), "part", r->node_id);
	if (log_send(&c, to, on_parted_with, r) != OK)
		relay_later(r, 0);
	log_command_done(&c);
}

void
relay_free(struct relay **relay)
{
	struct relay *r = *relay;

	if (r == NULL)
		return;
	duties_stop(r);
	watch_stop(&r->watch);
	link_free(&r->link);
	publisher_done(&r->publisher);
	applier_done(&r->applier);
	loop_undefer(r->loop, &r->turn);
	timer_cancel(r->loop, &r->later);
	timer_cancel(r->loop, &r->read_later);
	backfill_stop(&r->backfill);
	leader_release(&r->leader);
	log_keys_done(&r->keys);
	buf_done(&r->owner);
	buf_done(&r->identity);
	free(r);
	*relay = NULL;
}
