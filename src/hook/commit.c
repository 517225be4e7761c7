/* SPDX-License-Identifier: ISC */
/*
 * Group commit. The *_call.c files say what an item writes, call.c what a
 * failure is answered. Runs on the loop; blocks on the disk.
 */
#include "hook/commit.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/container_of.h"
#include "base/log.h"
#include "store/backfill.h"
#include "store/mark.h"

/* Items per transaction: some ms of work. The benchmark compares it with 1. */
#ifndef COMMIT_BATCH_MAX
#define COMMIT_BATCH_MAX 256
#endif

enum {
	BATCH_WEIGHT = 8 << 20, /* bytes, so that nothing waits for long */
	/* About how often a lock is tried: jittered, as by db.c and for the
	 * same reason. */
	RETRY_MIN_US = 500,
	RETRY_MAX_US = 1500,
};

STAILQ_HEAD(commit_list, commit_item);

struct committer {
	struct committer_config cfg;
	struct db *db;		    /* NULL: not open */
	struct backfill *backfill;  /* NULL: brief */
	struct commit_list waiting; /* as they came */
	/* So many of them, the first, are committed one by one. */
	size_t n_alone;
	struct deferred flush;
	struct timer retry;	 /* while others hold the lock */
	int64_t locked_since_us; /* by others, as far as known; 0: not */
	struct db_fault fault;	 /* the last */
	struct commit_stats stats;
};

static enum err
committer_open(struct committer *c, int busy_ms)
{
	enum err e = db_open(c->cfg.db_path,
	    c->cfg.is_brief ? DB_CREATE : DB_WRITE, busy_ms, &c->db, &c->fault);

	if (e == OK)
		db_set_busy(c->db, 0);
	return e;
}

/* --- A transaction -------------------------------------------------------- */

/* Is it about the item, and not about the database? */
static bool
is_refusal(enum err e)
{
	return e == ERR_PROTO || e == ERR_LIMIT || e == ERR_EXISTS ||
	       e == ERR_AUTH;
}

/* A refused item that has written nothing hurts no other. Of the rest, the
 * first that fails is all that is told. */
static enum err
write_batch(struct db *db, const struct commit_list *batch, bool is_look)
{
	struct commit_item *item;
	int64_t mark;
	enum err e = db_begin(db);

	if (e != OK)
		return e;
	STAILQ_FOREACH(item, batch, link) {
		mark = db_mark(db);
		e = item->result = item->write(item, db);
		if (e == OK || (is_refusal(e) && !db_has_written(db, mark)))
			continue;
		db_rollback(db);
		return e;
	}
	/* The bell before the answers: the page is waiting. */
	return is_look ? db_commit(db) : mark_end(db, OK);
}

/*
 * One transaction, and what has to be done when it fails: another file under
 * our path (rows committed into the old one are lost with it) is opened and
 * the batch written again; after other errors of the file the next batch has a
 * new connection. ERR_BUSY: others hold the lock, and nothing was written.
 */
static enum err
transact(struct committer *c, const struct commit_list *batch, bool is_look)
{
	enum err e = ERR_GONE;

	for (int attempt = 0; attempt < 2 && e == ERR_GONE; attempt++) {
		if (c->db == NULL)
			e = committer_open(c, 0);
		if (c->db == NULL) /* no such file is gone, too */
			return e == ERR_NOENT ? ERR_GONE : e;
		e = write_batch(c->db, batch, is_look);
		c->fault = *db_last_fault(c->db);
		/* A lock of a file that was replaced holds nobody up. */
		if (e == ERR_BUSY && db_has_moved(c->db))
			e = ERR_GONE;
		if (db_is_spoiled_by(e)) {
			backfill_release(c->backfill);
			db_close(&c->db);
		}
	}
	return e;
}

/* --- What it says of the database ----------------------------------------- */

/* Logs the beginning of trouble, of other trouble, and the end. */
static void
note_state(struct committer *c, enum err e)
{
	if (e == c->stats.state)
		return;
	if (e != OK)
		log_error("commit_failed", "path", c->cfg.db_path, "error",
		    err_text(e), "sqlite", c->fault.text);
	else
		log_info("commit_recovered", "path", c->cfg.db_path);
	c->stats.state = e;
}

/* Without memory for the timer the next turn tries it. */
static void
try_later(struct committer *c)
{
	int64_t due_us =
	    clock_mono_us() + random_between(RETRY_MIN_US, RETRY_MAX_US);

	if (timer_set(c->cfg.loop, &c->retry, due_us) != OK)
		loop_defer(c->cfg.loop, &c->flush);
}

/* After a transaction, begun then. A lock turns the state bad a little before
 * the first wait for it is over: who looks once in a second must know by
 * then. */
static void
note_end(struct committer *c, enum err e, int64_t began_us)
{
	if (e != ERR_BUSY) {
		c->locked_since_us = 0;
		timer_cancel(c->cfg.loop, &c->retry);
		note_state(c, e);
		/* Also after a look, which came before the next try. */
		if (!STAILQ_EMPTY(&c->waiting))
			loop_defer(c->cfg.loop, &c->flush);
		return;
	}
	if (c->locked_since_us == 0)
		c->locked_since_us = began_us;
	if (began_us - c->locked_since_us >= c->cfg.busy_ms * 800LL)
		note_state(c, e);
	try_later(c);
}

/* --- Batches -------------------------------------------------------------- */

/* Moves what waits to the empty batch, as far as it is not too much; how many
 * items it is then. */
static size_t
cut_batch(struct committer *c, struct commit_list *batch)
{
	struct commit_item *item;
	size_t weight = 0, n = 0, most = c->n_alone > 0 ? 1 : COMMIT_BATCH_MAX;

	while ((item = STAILQ_FIRST(&c->waiting)) != NULL && n < most &&
	       weight < BATCH_WEIGHT) {
		n++;
		weight += item->weight;
		STAILQ_REMOVE_HEAD(&c->waiting, link);
		STAILQ_INSERT_TAIL(batch, item, link);
	}
	c->n_alone -= c->n_alone > 0;
	return n;
}

/* The batch waits on, before what came later. */
static void
give_back(struct committer *c, struct commit_list *batch)
{
	STAILQ_CONCAT(batch, &c->waiting);
	STAILQ_CONCAT(&c->waiting, batch);
}

static void
finish_batch(struct committer *c, struct commit_list *batch, enum err e)
{
	struct commit_item *item;

	while ((item = STAILQ_FIRST(batch)) != NULL) {
		STAILQ_REMOVE_HEAD(batch, link);
		if (e != OK)
			item->result = e;
		else
			memcpy(item->epoch, db_epoch(c->db), DB_EPOCH_SIZE);
		c->stats.items += e == OK;
		item->on_done(item);
	}
}

/* The batch waits on; but who has waited for so long, is told. */
static void
wait_on(struct committer *c, struct commit_list *batch, int64_t now_us)
{
	struct commit_list overdue = STAILQ_HEAD_INITIALIZER(overdue);
	struct commit_item *item;

	give_back(c, batch);
	while ((item = STAILQ_FIRST(&c->waiting)) != NULL &&
	       now_us - item->since_us >= c->cfg.busy_ms * 1000LL) {
		STAILQ_REMOVE_HEAD(&c->waiting, link);
		STAILQ_INSERT_TAIL(&overdue, item, link);
	}
	if (STAILQ_EMPTY(&overdue))
		return;
	note_state(c, ERR_BUSY);
	c->stats.failures++;
	finish_batch(c, &overdue, ERR_BUSY);
}

static void
commit_waiting(struct committer *c)
{
	struct commit_list batch = STAILQ_HEAD_INITIALIZER(batch);
	int64_t began_us = clock_mono_us(), since_us = began_us;
	size_t n = cut_batch(c, &batch);
	enum err e;

	if (c->locked_since_us != 0)
		since_us = STAILQ_FIRST(&batch)->since_us;
	e = transact(c, &batch, false);
	if (e == ERR_BUSY) {
		note_end(c, e, began_us);
		wait_on(c, &batch, began_us);
		return;
	}
	c->stats.commits++;
	histogram_add(&c->stats.commit, clock_mono_us() - since_us);
	if (n > 1 && e != OK && e != ERR_GONE) {
		/* One of them may be why, and shall be the only one. */
		c->n_alone = n;
		give_back(c, &batch);
		note_end(c, c->stats.state, began_us);
		return;
	}
	note_end(c, is_refusal(e) ? OK : e, began_us);
	c->stats.failures += e != OK && !is_refusal(e);
	finish_batch(c, &batch, e);
	if (c->cfg.is_brief)
		db_close(&c->db);
	else if (c->db != NULL)
		backfill_checkpoint(c->backfill, c->db, c->cfg.wal_limit_bytes);
}

/* --- Looks ---------------------------------------------------------------- */

struct look {
	struct commit_item item;
	bool is_well; /* all was, before */
};

static enum err
write_look(struct commit_item *item, struct db *db)
{
	const struct look *look = (const struct look *)(void *)item;

	return look->is_well ? OK : db_probe(db);
}

enum err
committer_look(struct committer *c)
{
	struct commit_list batch = STAILQ_HEAD_INITIALIZER(batch);
	struct look look = {{.write = write_look}, c->stats.state == OK};
	int64_t began_us = clock_mono_us();

	STAILQ_INSERT_TAIL(&batch, &look.item, link);
	note_end(c, transact(c, &batch, true), began_us);
	return c->stats.state;
}

/* --- When ----------------------------------------------------------------- */

static void
go_on(struct committer *c)
{
	if (!STAILQ_EMPTY(&c->waiting))
		commit_waiting(c);
	else if (c->locked_since_us != 0)
		(void)committer_look(c);
}

static void
on_flush(struct deferred *d)
{
	go_on(container_of(d, struct committer, flush));
}

static void
on_retry(struct timer *t)
{
	go_on(container_of(t, struct committer, retry));
}

enum err
committer_start(const struct committer_config *cfg, struct committer **ret,
    struct db_fault *fault)
{
	struct committer *c = calloc(1, sizeof(*c));
	enum err e = OK;

	if (c == NULL)
		return ERR_NOMEM;
	c->cfg = *cfg;
	STAILQ_INIT(&c->waiting);
	c->flush.run = on_flush;
	c->retry.on_due = on_retry;
	if (!cfg->is_brief)
		e = committer_open(c, cfg->busy_ms);
	if (e == OK && !cfg->is_brief)
		e = backfill_start(cfg->db_path, &c->backfill);
	if (e == OK) {
		*ret = c;
		return OK;
	}
	if (fault != NULL)
		*fault = c->fault;
	db_close(&c->db);
	free(c);
	return e;
}

void
committer_push(struct committer *c, struct commit_item *item)
{
	item->since_us = clock_mono_us();
	STAILQ_INSERT_TAIL(&c->waiting, item, link);
	/* Else the next try takes it along. */
	if (c->locked_since_us == 0)
		loop_defer(c->cfg.loop, &c->flush);
}

struct db *
committer_db(struct committer *c)
{
	return c->db;
}

const struct commit_stats *
committer_stats(const struct committer *c)
{
	return &c->stats;
}

void
committer_stop(struct committer **committer)
{
	struct committer *c = *committer;

	if (c == NULL)
		return;
	c->cfg.busy_ms = 0; /* nobody is left to try it later */
	while (!STAILQ_EMPTY(&c->waiting))
		commit_waiting(c);
	timer_cancel(c->cfg.loop, &c->retry);
	loop_undefer(c->cfg.loop, &c->flush);
	backfill_stop(&c->backfill);
	db_close(&c->db);
	free(c);
	*committer = NULL;
}
