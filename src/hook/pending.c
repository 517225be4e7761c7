/* SPDX-License-Identifier: ISC */
/*
 * A queue in the order of the outbox, which is the log's: where the first has
 * no answer, nobody behind it has one. The relay rings the bell after its
 * commits.
 */
#include "hook/pending.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/container_of.h"
#include "io/watch.h"
#include "store/db.h"
#include "store/outbox.h"

enum {
	BUSY_MS = 100,
	POLL_MS = 250, /* where no bell is heard */
};

struct pending {
	struct pending_config cfg;
	STAILQ_HEAD(, pending_item) items; /* as they came */
	struct db *db;			   /* NULL: not open */
	struct watch *watch;		   /* NULL: nobody has come yet */
	struct timer timer;		   /* for the first one */
};

static void
let_go(struct pending *p)
{
	struct pending_item *item = STAILQ_FIRST(&p->items);

	STAILQ_REMOVE_HEAD(&p->items, link);
	item->on_done(item);
}

/* --- Answers -------------------------------------------------------------- */

static enum err
take_db(struct pending *p)
{
	if (p->db != NULL && db_has_moved(p->db))
		db_close(&p->db);
	if (p->db != NULL)
		return OK;
	return db_open(p->cfg.db_path, DB_READ, BUSY_MS, &p->db, NULL);
}

/* What the log says of the first one; ERR_AGAIN: nothing yet. */
static enum err
take_result(struct pending *p, struct pending_item *item)
{
	struct buf text = BUF_INIT;
	enum err e = outbox_result(p->db, item->result->seq, &text);

	if (e == OK)
		e = intent_read_result(buf_span(&text), item->result);
	buf_done(&text);
	return e;
}

static bool
on_look(void *arg, bool is_base)
{
	struct pending *p = arg;
	struct pending_item *item;
	bool is_found = false;
	enum err e = take_db(p);

	(void)is_base;
	while (e == OK && (item = STAILQ_FIRST(&p->items)) != NULL) {
		e = take_result(p, item);
		/* A row that is gone answers nobody any more. */
		if (e == ERR_NOENT)
			e = OK;
		if (e == OK)
			let_go(p);
		is_found = is_found || e == OK;
	}
	if (e != OK && e != ERR_AGAIN && e != ERR_BUSY)
		db_close(&p->db);
	if (STAILQ_EMPTY(&p->items))
		watch_sleep(p->watch);
	return is_found;
}

/* --- When ----------------------------------------------------------------- */

static void
set_timer(struct pending *p)
{
	struct pending_item *item = STAILQ_FIRST(&p->items);

	/* Without memory the base poll comes by. */
	if (item == NULL)
		timer_cancel(p->cfg.loop, &p->timer);
	else
		(void)!timer_set(p->cfg.loop, &p->timer, item->due_us);
}

static void
on_due(struct timer *t)
{
	struct pending *p = container_of(t, struct pending, timer);
	int64_t now_us = loop_now_us(p->cfg.loop);
	struct pending_item *item;

	while (
	    (item = STAILQ_FIRST(&p->items)) != NULL && item->due_us <= now_us)
		let_go(p);
	set_timer(p);
}

enum err
pending_start(const struct pending_config *cfg, struct pending **ret)
{
	struct pending *p = calloc(1, sizeof(*p));

	if (p == NULL)
		return ERR_NOMEM;
	p->cfg = *cfg;
	STAILQ_INIT(&p->items);
	p->timer.on_due = on_due;
	*ret = p;
	return OK;
}

static enum err
start_watch(struct pending *p)
{
	const struct watch_config watch = {
	    .db_path = p->cfg.db_path,
	    .scope = WATCH_BELL,
	    .poll_ms = POLL_MS,
	    .on_look = on_look,
	    .arg = p,
	};

	return watch_start(p->cfg.loop, &watch, &p->watch);
}

void
pending_add(struct pending *p, struct pending_item *item)
{
	bool is_first = STAILQ_EMPTY(&p->items);

	item->due_us = clock_mono_us() + p->cfg.wait_ms * 1000;
	STAILQ_INSERT_TAIL(&p->items, item, link);
	if (!is_first)
		return;
	/* Without a watch there is the timer. */
	if (p->watch != NULL || start_watch(p) == OK)
		watch_wake(p->watch);
	set_timer(p);
}

void
pending_stop(struct pending **pending)
{
	struct pending *p = *pending;

	if (p == NULL)
		return;
	while (!STAILQ_EMPTY(&p->items))
		let_go(p);
	timer_cancel(p->cfg.loop, &p->timer);
	watch_stop(&p->watch);
	db_close(&p->db);
	free(p);
	*pending = NULL;
}
