/* SPDX-License-Identifier: ISC */
/*
 * Group commit. What an event means is provider code's business, what a
 * failure is answered is webhook_api.c's. Runs on its own thread; blocks on
 * the disk and on other writers.
 */
#include "hook/commit.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "io/bell.h"

enum { BATCH_MAX = 256 }; /* rows per transaction: about 3 ms of work */

struct committer {
	struct committer_config cfg;
	struct queue queue;
	pthread_t thread;
	struct db *db; /* the thread's; NULL while the database is missing */
	struct bell bell;
	bool is_failing; /* the present trouble was logged */
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

static enum err
commit_rows(struct committer *c, const struct queue_list *batch)
{
	struct queue_item *link;
	struct commit_item *item;
	enum err e = db_begin(c->db);

	if (e != OK)
		return e;
	STAILQ_FOREACH(link, batch, link) {
		item = (struct commit_item *)(void *)link;
		item->result = events_append(
		    c->db, &item->event, &item->id, &item->is_duplicate);
		/* A row the schema refuses hurts nobody else. */
		if (item->result != OK && item->result != ERR_PROTO) {
			e = item->result;
			db_rollback(c->db);
			return e;
		}
	}
	return db_commit(c->db);
}

/* Logs the beginning and the end of trouble. */
static void
committer_note(struct committer *c, enum err e, const char *text)
{
	if (e != OK && !c->is_failing)
		log_error("commit_failed", "path", c->cfg.db_path, "error",
		    err_text(e), "sqlite", text);
	else if (e == OK && c->is_failing)
		log_info("commit_recovered", "path", c->cfg.db_path);
	c->is_failing = e != OK;
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
		e = commit_rows(c, batch);
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
		if (e != OK)
			item->result = e;
		else
			memcpy(item->epoch, db_epoch(c->db), DB_EPOCH_SIZE);
		item->on_done(item);
	}
}

static void *
run(void *arg)
{
	struct committer *c = arg;
	struct queue_list batch = STAILQ_HEAD_INITIALIZER(batch);
	enum err e;

	while (queue_pop(&c->queue, &batch, BATCH_MAX, true) > 0) {
		e = commit_batch(c, &batch);
		/* The bell before the answers: the page is waiting. */
		if (e == OK)
			bell_ring(&c->bell);
		finish_batch(c, &batch, e);
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
