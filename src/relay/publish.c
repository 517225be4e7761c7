/* SPDX-License-Identifier: ISC */
/*
 * A window of batches on the one connection that writes. Never waits for an
 * answer.
 */
#include "relay/publish.h"

#include <string.h>

#include "store/outbox.h"

enum {
	WINDOW = 4, /* batches under way */
	BATCH_ROWS = 64,
	BATCH_BYTES = 1 << 20, /* but one row at least */
	WAIT_MS = 500,	       /* for a replica */
};

void
publisher_done(struct publisher *p)
{
	log_command_done(&p->command);
}

void
publisher_start(struct publisher *p, int64_t number)
{
	p->sent = p->published = number;
	if (!p->wants_replica)
		p->confirmed = number;
	p->is_started = p->has_news = true;
	p->is_lost = false;
}

void
publisher_news(struct publisher *p)
{
	p->has_news = true;
}

void
publisher_stop(struct publisher *p)
{
	p->is_started = false;
	p->in_flight = 0;
	p->is_lost = false;
}

/* --- Answers -------------------------------------------------------------- */

static void
on_taken(struct publisher *p, int64_t number)
{
	p->n_published++;
	p->published = number;
	if (!p->wants_replica)
		p->confirmed = number;
}

/* What is under way behind it will not be taken either. */
static void
note_verdict(struct publisher *p, const struct redis_value *v)
{
	int64_t number = log_number(v);

	switch (log_verdict(v)) {
	case LOG_OK:
		on_taken(p, number);
		break;
	case LOG_BEHIND:
		p->is_lost = true;
		p->published = number;
		break;
	case LOG_STALE:
		p->is_started = false;
		break;
	case LOG_WAIT:
	case LOG_TWICE:
	case LOG_FAILED:
		/* Full, another type, not the master any more: nothing is
		 * lost, and all begins anew. */
		p->is_started = false;
		link_fail(p->link,
		    redis_is_error(v) ? redis_text(v)
				      : SPAN_LIT("no answer of the script"),
		    false);
		break;
	}
}

static void
on_pushed(void *arg, const struct redis_value *v)
{
	struct publisher *p = arg;
	bool was_started = p->is_started;

	p->in_flight--;
	note_verdict(p, v);
	if (p->in_flight == 0 && p->is_lost && p->is_started)
		publisher_start(p, p->published);
	if (was_started && !p->is_started)
		p->on_stale(p->arg);
	else
		p->on_progress(p->arg);
}

/* Answers come in order, so what was taken before WAIT was sent is what is
 * `published` now. */
static void
on_replica(void *arg, const struct redis_value *v)
{
	struct publisher *p = arg;

	if (redis_int(v) < 1 || p->confirmed == p->published)
		return;
	p->confirmed = p->published;
	p->on_progress(p->arg);
}

enum err
publisher_ask_replica(struct publisher *p)
{
	struct redis *r = link_writer(p->link);
	enum err e;

	if (!p->wants_replica || r == NULL)
		return OK;
	log_add_text(&p->command, "WAIT");
	log_add_text(&p->command, "1");
	log_add_int(&p->command, WAIT_MS);
	e = log_send(&p->command, r, on_replica, p);
	return e == ERR_GONE ? OK : e;
}

void
publisher_compare(struct publisher *p, int64_t number)
{
	if (!p->is_started || number == p->published)
		return;
	p->is_lost = true;
	p->published = number;
	if (p->in_flight == 0)
		publisher_start(p, number);
}

/* --- Batches -------------------------------------------------------------- */

struct batch {
	struct publisher *p;
	int64_t last; /* 0: it is empty */
	int n;
};

static bool
add_row(void *arg, const struct outbox_row *row)
{
	struct batch *b = arg;
	struct log_command *c = &b->p->command;

	log_add_int(c, row->seq);
	log_add_text(c, row->created_at);
	log_add_text(c, row->kind);
	log_add(c, row->payload);
	b->last = row->seq;
	b->n++;
	return c->text.len < BATCH_BYTES;
}

static void
clear(struct log_command *c)
{
	buf_reset(&c->text);
	c->n = 0;
}

static enum err
push_batch(struct publisher *p, struct db *db, struct redis *r)
{
	struct batch b = {.p = p};
	bool is_full;
	enum err e;

	log_call(&p->command, p->keys, link_sha(p->link), "push", p->node_id);
	log_add_int(&p->command, p->sent);
	log_add_int(&p->command, LOG_FORMAT);
	e = outbox_read(db, p->sent, BATCH_ROWS, add_row, &b);
	is_full = b.n == BATCH_ROWS || p->command.text.len >= BATCH_BYTES;
	if (e == OK && !is_full)
		p->has_news = false;
	if (e != OK || b.last == 0) {
		clear(&p->command);
		return e;
	}
	e = log_send(&p->command, r, on_pushed, p);
	if (e == OK) {
		p->sent = b.last;
		p->in_flight++;
		e = publisher_ask_replica(p);
	}
	/* Gone: that will be told, and then all begins anew. */
	return e;
}

enum err
publisher_push(struct publisher *p, struct db *db)
{
	struct redis *r = link_writer(p->link);
	enum err e = OK;

	while (e == OK && r != NULL && p->is_started && !p->is_lost &&
	       p->has_news && p->in_flight < WINDOW)
		e = push_batch(p, db, r);
	return e == ERR_GONE ? OK : e;
}
