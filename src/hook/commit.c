/* SPDX-License-Identifier: ISC */
/*
 * Group commit. What an item writes is its own business, what a failure is
 * answered call.c's. Runs on its own thread; blocks on the disk and on other
 * writers.
 */
#include "hook/commit.h"

#include <pthread.h>
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
	struct commit_stats stats;
};

static enum err
committer_open(struct committer *c, struct db_fault *fault)
{
	enum err e =
	    db_open(c->cfg.db_path, DB_WRITE, c->cfg.busy_ms, &c->db, fault);

	if (e != OK)
		return e;
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

static enum err
commit_items(struct db *db, const struct queue_list *batch)
{
	struct queue_item *link;
	enum err e = db_begin(db);

	if (e != OK)
		return e;
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

void
commit_alone(struct db *db, struct commit_item *item)
{
	struct queue_list batch = STAILQ_HEAD_INITIALIZER(batch);
	enum err e;

	STAILQ_INSERT_TAIL(&batch, &item->link, link);
	e = commit_items(db, &batch);
	conclude_item(item, db, e);
}

/* Logs the beginning and the end of trouble. */
static void
committer_note(struct committer *c, enum err e, const char *text)
{
	if (e != OK && !c->stats.is_failing)
		log_error("commit_failed", "path", c->cfg.db_path, "error",
		    err_text(e), "sqlite", text);
	else if (e == OK && c->stats.is_failing)
		log_info("commit_recovered", "path", c->cfg.db_path);
	c->stats.is_failing = e != OK;
	c->stats.failures += e != OK;
}

/*
 * One transaction, and what has to be done when it fails: another file under
 * our path (rows committed into the old one are lost with it) is opened and
 * the batch written again; after an I/O error the connection is not trusted
 * any more.
 */
static enum err
commit_batch(struct committer *c, const struct queue_list *batch)
{
	struct db_fault fault = {0};
	enum err e = ERR_GONE;

	for (int attempt = 0; attempt < 2 && e == ERR_GONE; attempt++) {
		if (c->db == NULL && (e = committer_open(c, &fault)) != OK)
			break;
		e = commit_items(c->db, batch);
		fault = *db_last_fault(c->db);
		if (e == ERR_GONE || e == ERR_IO || e == ERR_CORRUPT)
			db_close(&c->db);
	}
	/* At commit the file may be missing: no such file is gone, too. */
	if (e == ERR_NOENT)
		e = ERR_GONE;
	committer_note(c, e, fault.text);
	return e;
}

static void
finish_batch(struct committer *c, struct queue_list *batch, enum err e)
{
	struct commit_item *item;

	while (!STAILQ_EMPTY(batch)) {
		item = (struct commit_item *)(void *)STAILQ_FIRST(batch);
		STAILQ_REMOVE_HEAD(batch, link);
		conclude_item(item, c->db, e);
		c->stats.items += e == OK;
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
	e = janitor_checkpoint(c->db, c->cfg.wal_limit_bytes, false, &stats);
	db_set_busy(c->db, c->cfg.busy_ms);
	if (e != OK)
		c->next_checkpoint_us = now_us + CHECKPOINT_PAUSE_US;
}

/* Moves items to the empty batch as long as they do not weigh too much. */
static void
cut_batch(struct queue_list *waiting, struct queue_list *batch)
{
	struct queue_item *link;
	size_t weight = 0;

	while (
	    (link = STAILQ_FIRST(waiting)) != NULL && weight < BATCH_WEIGHT) {
		weight += ((struct commit_item *)(void *)link)->weight;
		STAILQ_REMOVE_HEAD(waiting, link);
		STAILQ_INSERT_TAIL(batch, link, link);
	}
}

static void *
run(void *arg)
{
	struct committer *c = arg;
	struct queue_list waiting = STAILQ_HEAD_INITIALIZER(waiting);
	struct queue_list batch = STAILQ_HEAD_INITIALIZER(batch);
	int64_t began_us;
	enum err e;

	while (!STAILQ_EMPTY(&waiting) ||
	       queue_pop(&c->queue, &waiting, COMMIT_BATCH_MAX, true) > 0) {
		cut_batch(&waiting, &batch);
		began_us = clock_mono_us();
		e = commit_batch(c, &batch);
		c->stats.commits++;
		histogram_add(&c->stats.commit, clock_mono_us() - began_us);
		/* The bell before the answers: the page is waiting. */
		if (e == OK)
			bell_ring(&c->bell);
		finish_batch(c, &batch, e);
		checkpoint(c);
	}
	return NULL;
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
	e = committer_open(c, fault);
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
