/* SPDX-License-Identifier: ISC */
/*
 * Connects, authenticates, looks whether this Redis can be used, loads the
 * script; and all again after a pause when any of it fails. What is then asked
 * of Redis is relay.c's.
 */
#include "relay/link.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/container_of.h"
#include "relay/log.h"
#include "text/span.h"

enum {
	PAUSE_MIN_MS = 50, /* before the next attempt; doubled each time */
	PAUSE_MAX_MS = 1000,
	GREET_MS = 5000, /* for all of it */
	REASON_SIZE = 200,
};

struct link {
	struct link_config cfg;
	struct loop *loop;
	size_t at; /* of the URLs */
	struct redis *writer, *reader;
	bool is_up;
	char sha[LINK_SHA_SIZE];
	struct timer timer; /* of the next attempt, or of the greeting */
	int64_t pause_ms;
	struct deferred fail;
	char reason[REASON_SIZE];
	bool is_hopeless;
};

static void
set_timer(struct link *l, int64_t ms)
{
	/* Without memory for it: at once. */
	if (timer_set(l->loop, &l->timer, clock_mono_us() + ms * 1000) != OK)
		link_fail(l, SPAN_LIT("out of memory"), false);
}

void
link_fail(struct link *l, struct span reason, bool is_hopeless)
{
	size_t n = reason.n < REASON_SIZE - 1 ? reason.n : REASON_SIZE - 1;

	if (l->fail.is_queued)
		return;
	memcpy(l->reason, reason.p, n);
	l->reason[n] = '\0';
	l->is_hopeless = is_hopeless;
	loop_defer(l->loop, &l->fail);
}

static void
drop(struct link *l)
{
	l->is_up = false;
	redis_close(&l->writer);
	redis_close(&l->reader);
}

static void
on_fail(struct deferred *d)
{
	struct link *l = container_of(d, struct link, fail);

	drop(l);
	l->cfg.on_down(l->cfg.arg, l->reason, l->is_hopeless);
	l->at = (l->at + 1) % l->cfg.urls->n;
	/* A round through all of them first. */
	if (l->at == 0 || l->cfg.urls->n == 1)
		l->pause_ms = l->pause_ms * 2 < PAUSE_MAX_MS ? l->pause_ms * 2
							     : PAUSE_MAX_MS;
	set_timer(l, random_between(l->pause_ms / 2, l->pause_ms));
}

static void
on_closed(void *arg, const char *reason)
{
	link_fail(arg, span_of(reason), false);
}

/* --- The greeting --------------------------------------------------------- */

static void
on_ok(void *arg, const struct redis_value *v)
{
	if (redis_is_error(v))
		link_fail(arg, redis_text(v), false);
}

/* "NAME:" of INFO's lines; empty where there is none. */
static struct span
info(struct span text, struct span name)
{
	while (text.n > 0) {
		struct span line = span_cut(&text, '\n');

		if (span_cut_prefix(&line, name))
			return span_trim(line, "\r");
	}
	return text;
}

/* Keys that Redis may drop as it likes are no log. */
static void
on_memory(void *arg, const struct redis_value *v)
{
	struct span text = redis_text(v);
	struct span max = info(text, SPAN_LIT("maxmemory:"));
	struct span policy = info(text, SPAN_LIT("maxmemory_policy:"));
	char reason[REASON_SIZE];

	on_ok(arg, v);
	if (max.n == 0 || span_eq_str(max, "0") ||
	    span_eq_str(policy, "noeviction"))
		return;
	snprintf(reason, sizeof(reason),
	    "it may drop keys when it is full (maxmemory-policy %.*s): set "
	    "maxmemory-policy noeviction",
	    (int)(policy.n < 40 ? policy.n : 40), policy.p);
	link_fail(arg, span_of(reason), true);
}

static void
on_script(void *arg, const struct redis_value *v)
{
	struct link *l = arg;
	struct span sha = redis_text(v);

	on_ok(arg, v);
	if (l->fail.is_queued)
		return;
	if (sha.n != LINK_SHA_SIZE - 1) {
		link_fail(l, SPAN_LIT("no answer of Redis"), false);
		return;
	}
	memcpy(l->sha, sha.p, sha.n);
	timer_cancel(l->loop, &l->timer);
	l->is_up = true;
	l->pause_ms = PAUSE_MIN_MS;
	l->cfg.on_up(l->cfg.arg);
}

static enum err
greet(struct link *l, struct redis *r)
{
	const struct redis_url *u = &l->cfg.urls->urls[l->at];
	struct log_command c = {.text = BUF_INIT};
	enum err e = OK;

	if (u->password != NULL) {
		log_add_text(&c, "AUTH");
		if (u->user != NULL)
			log_add_text(&c, u->user);
		log_add_text(&c, u->password);
		e = log_send(&c, r, on_ok, l);
		if (c.text.data != NULL)
			explicit_bzero(c.text.data, c.text.cap);
	}
	if (e == OK && u->database != 0) {
		log_add_text(&c, "SELECT");
		log_add_int(&c, u->database);
		e = log_send(&c, r, on_ok, l);
	}
	log_command_done(&c);
	return e;
}

static enum err
prepare(struct link *l)
{
	const struct span info[] = {SPAN_LIT("INFO"), SPAN_LIT("memory")};
	const struct span load[] = {
	    SPAN_LIT("SCRIPT"), SPAN_LIT("LOAD"), log_script()};
	enum err e = greet(l, l->writer);

	if (e == OK)
		e = greet(l, l->reader);
	if (e == OK)
		e = redis_send(l->writer, info, 2, on_memory, l);
	if (e == OK)
		e = redis_send(l->writer, load, 3, on_script, l);
	return e;
}

static void
open_both(struct link *l)
{
	const struct redis_url *u = &l->cfg.urls->urls[l->at];
	const char *why = "out of memory";
	enum err e = redis_open(l->loop, u, on_closed, l, &l->writer, &why);

	if (e == OK)
		e = redis_open(l->loop, u, on_closed, l, &l->reader, &why);
	if (e == OK)
		e = prepare(l);
	if (e == OK)
		set_timer(l, GREET_MS);
	else
		link_fail(l, span_of(why), false);
}

static void
on_timer(struct timer *t)
{
	struct link *l = container_of(t, struct link, timer);

	if (l->writer != NULL)
		link_fail(l, SPAN_LIT("no answer"), false);
	else
		open_both(l);
}

enum err
link_new(struct loop *loop, const struct link_config *cfg, struct link **ret)
{
	struct link *l = calloc(1, sizeof(*l));

	if (l == NULL)
		return ERR_NOMEM;
	l->cfg = *cfg;
	l->loop = loop;
	l->pause_ms = PAUSE_MIN_MS;
	l->timer.on_due = on_timer;
	l->fail.run = on_fail;
	if (timer_set(loop, &l->timer, 0) != OK) {
		free(l);
		return ERR_NOMEM;
	}
	*ret = l;
	return OK;
}

void
link_free(struct link **link)
{
	struct link *l = *link;

	if (l == NULL)
		return;
	drop(l);
	timer_cancel(l->loop, &l->timer);
	loop_undefer(l->loop, &l->fail);
	free(l);
	*link = NULL;
}

struct redis *
link_writer(struct link *l)
{
	return l->is_up && !l->fail.is_queued ? l->writer : NULL;
}

struct redis *
link_reader(struct link *l)
{
	return l->is_up && !l->fail.is_queued ? l->reader : NULL;
}

const char *
link_sha(const struct link *l)
{
	return l->sha;
}

const char *
link_name(const struct link *l)
{
	return l->cfg.urls->urls[l->at].name;
}
