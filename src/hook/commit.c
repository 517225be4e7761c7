/* SPDX-License-Identifier: ISC */
/*
 * Group commit. What an item writes is its own business, what a failure is
 * answered call.c's. Runs on its own thread; blocks on the disk and on other
 * writers.
 */
#include "hook/commit.h"

#include <pthread.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "io/bell.h"
#include "store/janitor.h"

/* Items per transaction: some ms of work. The benchmark compares it with 1. */
#ifndef COMMIT_BATCH_MAX
#define COMMIT_BATCH_MAX 256
#endif

enum {
	/* Of the wait for a lock, before the others in the queue are thought
	 * of, and who only looks is answered. */
	ATTEMPT_MS = 25,
	BATCH_WEIGHT = 8 << 20, /* bytes, so that no reader waits for long */
	/* As the janitor: without the lock in this time SQLite would do a
	 * PASSIVE one. A reader that stays costs as much; so, not soon again. */
	CHECKPOINT_BUSY_MS = 500,
	CHECKPOINT_PAUSE_US = 10000000,
};

struct committer {
	struct committer_config cfg;
	struct queue queue;
	pthread_t thread;
	struct db *db; /* the thread's; NULL while the database is missing */
	struct bell bell;
	int64_t next_checkpoint_us; /* not before */
	struct queue_list waiting;  /* taken from the queue, not tried yet */
	size_t n_waiting;
	struct db_fault fault;	 /* the last */
	struct commit_item look; /* for committer_look() */
	_Atomic bool is_looking; /* it is on its way */
	struct commit_stats stats;
};

static enum err
committer_open(struct committer *c, int busy_ms, struct db_fault *fault)
{
	enum err e = db_open(c->cfg.db_path, DB_WRITE, busy_ms, &c->db, fault);

	if (e != OK)
		return e;
	db_set_busy(c->db, ATTEMPT_MS);
	bell_close(&c->bell);
	if (bell_open(c->cfg.db_path, &c->bell) != OK)
		log_warn("bell_missing", "path", c->cfg.db_path);
	return OK;
}

/* OK also when the item failed by itself: that is its result. */
static enum err
write_item(struct db *db, struct commit_item *item)
{
	enum err e = db_part_begin(db);

	if (e != OK)
		return e;
	item->result = item->write(item, db);
	switch (item->result) {
	case OK:
		return db_part_end(db, true);
	case ERR_PROTO:
	case ERR_LIMIT:
	case ERR_EXISTS:
	case ERR_AUTH:
		return db_part_end(db, false);
	default:
		return item->result;
	}
}

/* Within a transaction that was begun; ends it. */
static enum err
commit_items(struct db *db, const struct queue_list *batch)
{
	struct queue_item *link;
	enum err e;

	STAILQ_FOREACH(link, batch, link) {
		e = write_item(db, (struct commit_item *)(void *)link);
		if (e != OK) {
			db_rollback(db);
			return e;
		}
	}
	return db_commit(db);
}

/* What becomes of an item after its transaction. */
static void
conclude_item(struct commit_item *item, const struct db *db, enum err e)
{
	if (e != OK)
		item->result = e;
	else
		memcpy(item->epoch, db_epoch(db), DB_EPOCH_SIZE);
}

enum err
commit_alone(struct db *db, struct commit_item *item)
{
	struct queue_list batch = STAILQ_HEAD_INITIALIZER(batch);
	enum err e = db_begin(db);

	STAILQ_INSERT_TAIL(&batch, &item->link, link);
	if (e == OK)
		e = commit_items(db, &batch);
	conclude_item(item, db, e);
	return e;
}

enum err
commit_look(struct db *db, enum err state)
{
	return state == OK ? OK : db_probe(db);
}

/* Logs the beginning and the end of trouble. */
static void
committer_note(struct committer *c, enum err e)
{
	if (e != OK && c->stats.state == OK)
		log_error("commit_failed", "path", c->cfg.db_path, "error",
		    err_text(e), "sqlite", c->fault.text);
	else if (e == OK && c->stats.state != OK)
		log_info("commit_recovered", "path", c->cfg.db_path);
	c->stats.state = e;
}

/*
 * One transaction, and what has to be done when it fails: another file under
 * our path (rows committed into the old one are lost with it) is opened and
 * the batch written again; after an I/O error the connection is not trusted
 * any more. *ret_locked: another program is in its transaction, and nothing
 * was tried.
 */
static enum err
commit_batch(
    struct committer *c, const struct queue_list *batch, bool *ret_locked)
{
	enum err e = ERR_GONE;

	*ret_locked = false;
	for (int attempt = 0; attempt < 2 && e == ERR_GONE; attempt++) {
		if (c->db == NULL)
			e = committer_open(c, ATTEMPT_MS, &c->fault);
		if (c->db == NULL) {
			*ret_locked = e == ERR_BUSY;
			break;
		}
		e = db_begin(c->db);
		*ret_locked = e == ERR_BUSY;
		if (e == OK)
			e = commit_items(c->db, batch);
		c->fault = *db_last_fault(c->db);
		if (e == ERR_GONE || e == ERR_IO || e == ERR_CORRUPT)
			db_close(&c->db);
	}
	/* At commit the file may be missing: no such file is gone, too. */
	return e == ERR_NOENT ? ERR_GONE : e;
}

static void
finish_batch(struct committer *c, struct queue_list *batch, enum err e)
{
	struct commit_item *item;

	while (!STAILQ_EMPTY(batch)) {
		item = (struct commit_item *)(void *)STAILQ_FIRST(batch);
		STAILQ_REMOVE_HEAD(batch, link);
		conclude_item(item, c->db, e);
		c->stats.items += e == OK && !item->is_look;
		item->on_done(item);
	}
}

/*
 * By the one who fills the WAL: a janitor hardly gets the lock of a writer that
 * never rests, and meanwhile the WAL grows. Why it fails is for the janitor to
 * say, which meets the same.
 */
static void
checkpoint(struct committer *c)
{
	struct janitor_stats stats = {0};
	int64_t now_us = clock_mono_us();
	enum err e;

	if (c->db == NULL || now_us < c->next_checkpoint_us)
		return;
	db_set_busy(c->db, CHECKPOINT_BUSY_MS);
	e = janitor_checkpoint(c->db, c->cfg.wal_limit_bytes, &stats);
	db_set_busy(c->db, ATTEMPT_MS);
	/* Refused at once: another program is at it, and does not restart the
	 * WAL. After the next batch, then, or the WAL grows meanwhile. */
	if (e != OK &&
	    clock_mono_us() - now_us >= CHECKPOINT_BUSY_MS * INT64_C(1000))
		c->next_checkpoint_us = now_us + CHECKPOINT_PAUSE_US;
}

/* What has come; waits for it only where nothing waits already. False when the
 * queue is closed and nothing is left. */
static bool
take_waiting(struct committer *c)
{
	c->n_waiting += queue_pop(&c->queue, &c->waiting,
	    COMMIT_BATCH_MAX - c->n_waiting, c->n_waiting == 0);
	return c->n_waiting > 0;
}

/* Moves what waits to the empty batch as long as it does not weigh too much.
 * True when something of it writes. */
static bool
cut_batch(struct committer *c, struct queue_list *batch)
{
	struct commit_item *item;
	size_t weight = 0;
	bool writes = false;

	while (!STAILQ_EMPTY(&c->waiting) && weight < BATCH_WEIGHT) {
		item = (struct commit_item *)(void *)STAILQ_FIRST(&c->waiting);
		weight += item->weight;
		writes = writes || !item->is_look;
		STAILQ_REMOVE_HEAD(&c->waiting, link);
		STAILQ_INSERT_TAIL(batch, &item->link, link);
		c->n_waiting--;
	}
	return writes;
}

/* What has waited for the lock in vain, and what only looks. */
static void
cut_overdue(struct committer *c, int64_t now_us, struct queue_list *looks,
    struct queue_list *overdue)
{
	struct queue_list kept = STAILQ_HEAD_INITIALIZER(kept), *to;
	struct commit_item *item;

	while (!STAILQ_EMPTY(&c->waiting)) {
		item = (struct commit_item *)(void *)STAILQ_FIRST(&c->waiting);
		STAILQ_REMOVE_HEAD(&c->waiting, link);
		to = &kept;
		if (item->is_look)
			to = looks;
		else if (now_us - item->since_us >= c->cfg.busy_ms * 1000LL)
			to = overdue;
		STAILQ_INSERT_TAIL(to, &item->link, link);
		c->n_waiting -= to != &kept;
	}
	STAILQ_CONCAT(&c->waiting, &kept);
}

/* Another program holds the lock; the batch waits on, before what came later.
 * The state is bad a little before the first wait is over: who looks once in a
 * second must know it by then. */
static void
wait_on(struct committer *c, struct queue_list *batch, int64_t began_us)
{
	struct queue_list looks = STAILQ_HEAD_INITIALIZER(looks);
	struct queue_list overdue = STAILQ_HEAD_INITIALIZER(overdue);
	struct queue_item *link;
	int64_t now_us = clock_mono_us();

	STAILQ_FOREACH(link, batch, link)
		c->n_waiting++;
	STAILQ_CONCAT(batch, &c->waiting);
	STAILQ_CONCAT(&c->waiting, batch);
	if (c->stats.locked_since_us == 0)
		c->stats.locked_since_us = began_us;
	cut_overdue(c, now_us, &looks, &overdue);
	if (!STAILQ_EMPTY(&overdue) ||
	    now_us - c->stats.locked_since_us >= c->cfg.busy_ms * 800LL)
		committer_note(c, ERR_BUSY);
	c->stats.failures += !STAILQ_EMPTY(&overdue);
	finish_batch(c, &overdue, ERR_BUSY);
	finish_batch(c, &looks, c->stats.state);
}

static void *
run(void *arg)
{
	struct committer *c = arg;
	struct queue_list batch = STAILQ_HEAD_INITIALIZER(batch);
	bool writes, is_locked;
	int64_t began_us;
	enum err e;

	while (take_waiting(c)) {
		writes = cut_batch(c, &batch);
		began_us = clock_mono_us();
		e = commit_batch(c, &batch, &is_locked);
		if (is_locked) {
			wait_on(c, &batch, began_us);
			continue;
		}
		c->stats.locked_since_us = 0;
		c->stats.looked_us = clock_mono_us();
		committer_note(c, e);
		c->stats.failures += e != OK;
		if (writes) {
			c->stats.commits++;
			histogram_add(
			    &c->stats.commit, c->stats.looked_us - began_us);
		}
		/* The bell before the answers: the page is waiting. */
		if (writes && e == OK)
			bell_ring(&c->bell);
		finish_batch(c, &batch, e);
		checkpoint(c);
	}
	return NULL;
}

static enum err
write_look(struct commit_item *item, struct db *db)
{
	struct committer *c =
	    (struct committer *)(void *)((char *)item -
					 offsetof(struct committer, look));

	return commit_look(db, c->stats.state);
}

static void
on_looked(struct commit_item *item)
{
	struct committer *c =
	    (struct committer *)(void *)((char *)item -
					 offsetof(struct committer, look));

	c->is_looking = false;
}

void
committer_look(struct committer *c)
{
	if (c->is_looking ||
	    clock_mono_us() - c->stats.looked_us < COMMIT_LOOK_US)
		return;
	c->is_looking = true;
	if (!committer_push(c, &c->look))
		c->is_looking = false;
}

enum err
committer_start(const struct committer_config *cfg, struct committer **ret,
    struct db_fault *fault)
{
	struct committer *c = calloc(1, sizeof(*c));
	enum err e;

	if (c == NULL)
		return ERR_NOMEM;
	c->cfg = *cfg;
	c->bell = (struct bell)BELL_INIT;
	e = queue_init(&c->queue, cfg->queue_max);
	if (e != OK) {
		free(c);
		return e;
	}
	STAILQ_INIT(&c->waiting);
	c->look = (struct commit_item){
	    .is_look = true, .write = write_look, .on_done = on_looked};
	e = committer_open(c, cfg->busy_ms, fault);
	if (e == OK && pthread_create(&c->thread, NULL, run, c) != 0)
		e = ERR_SYS;
	if (e != OK) {
		db_close(&c->db);
		bell_close(&c->bell);
		queue_done(&c->queue);
		free(c);
		return e;
	}
	*ret = c;
	return OK;
}

bool
committer_push(struct committer *c, struct commit_item *item)
{
	item->since_us = clock_mono_us();
	return queue_push(&c->queue, &item->link);
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
	queue_close(&c->queue);
	(void)pthread_join(c->thread, NULL);
	db_close(&c->db);
	bell_close(&c->bell);
	queue_done(&c->queue);
	free(c);
	*committer = NULL;
}
