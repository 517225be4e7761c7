/* SPDX-License-Identifier: ISC */
/*
 * hiredis' asynchronous context, whose library brings adapters to other loops
 * and none to ours. It frees itself when the connection is lost, and calls back
 * meanwhile, so users hear of it in deferred work. TLS is redis_tls.c.
 */
#include "relay/redis.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <hiredis/async.h>

#include "base/container_of.h"
#include "relay/redis_tls.h"

struct redis {
	struct loop *loop;
	redisAsyncContext *ac; /* NULL: gone */
	struct io io;
	unsigned want;
	bool is_connected;
	bool is_flushing;
	bool is_tls;
	bool is_told;	/* something, by Redis */
	bool is_closed; /* by its user: it is freed when `ac` is */
	struct deferred flush, end;
	void (*on_closed)(void *arg, const char *reason);
	void *arg;
	char reason[128];
};

struct command {
	struct redis *redis;
	redis_answer_fn *on_answer;
	void *arg;
};

bool
redis_has_tls(void)
{
	return redis_tls_exists();
}

/* --- The library and the loop --------------------------------------------- */

static void
want(struct redis *r, unsigned bits, bool is_on)
{
	unsigned next = is_on ? r->want | bits : r->want & ~bits;

	if (next == r->want || r->io.fd == -1)
		return;
	r->want = next;
	if (io_want(r->loop, &r->io, next) != OK && r->ac != NULL)
		snprintf(
		    r->reason, sizeof(r->reason), "epoll: %s", strerror(errno));
}

static void
add_read(void *arg)
{
	want(arg, IO_READ, true);
}

static void
del_read(void *arg)
{
	want(arg, IO_READ, false);
}

/* What is sent in a turn leaves at its end, in one write: the loop is asked
 * only when not all of it went. */
static void
add_write(void *arg)
{
	struct redis *r = arg;

	if (r->is_connected && !r->is_flushing)
		loop_defer(r->loop, &r->flush);
	else
		want(r, IO_WRITE, true);
}

static void
del_write(void *arg)
{
	want(arg, IO_WRITE, false);
}

static void
cleanup(void *arg)
{
	struct redis *r = arg;

	/* Of TLS hiredis has no words. */
	if (r->reason[0] == '\0')
		snprintf(r->reason, sizeof(r->reason), "%s%s",
		    r->ac->err != 0 && r->ac->errstr != NULL
			? r->ac->errstr
			: "the connection was closed",
		    r->is_tls && !r->is_told ? REDIS_TLS_HINT : "");
	io_remove(r->loop, &r->io);
	loop_undefer(r->loop, &r->flush);
	r->ac = NULL;
	loop_defer(r->loop, &r->end);
}

static void
on_end(struct deferred *d)
{
	struct redis *r = container_of(d, struct redis, end);

	if (r->is_closed)
		free(r);
	else
		r->on_closed(r->arg, r->reason);
}

static void
write_out(struct redis *r)
{
	r->is_flushing = true;
	redisAsyncHandleWrite(r->ac);
	r->is_flushing = false;
}

static void
on_flush(struct deferred *d)
{
	struct redis *r = container_of(d, struct redis, flush);

	if (r->ac != NULL)
		write_out(r);
}

/* hiredis takes a failed connection for one that is ready to write. */
static void
on_ready(struct io *io, unsigned ready)
{
	struct redis *r = container_of(io, struct redis, io);

	if ((ready & IO_WRITE) != 0 ||
	    ((ready & IO_GONE) != 0 && !r->is_connected))
		write_out(r);
	if (r->ac != NULL && (ready & (IO_READ | IO_GONE)) != 0)
		redisAsyncHandleRead(r->ac);
}

static void
on_connect(const redisAsyncContext *ac, int status)
{
	struct redis *r = ac->data;

	r->is_connected = status == REDIS_OK;
}

/* --- Opening and closing -------------------------------------------------- */

static enum err
attach(struct redis *r)
{
	redisAsyncContext *ac = r->ac;

	ac->data = r;
	r->io = (struct io){.fd = ac->c.fd, .on_ready = on_ready};
	r->want = IO_READ | IO_WRITE;
	if (io_add(r->loop, &r->io, r->want) != OK) {
		r->io.fd = -1;
		return ERR_SYS;
	}
	ac->ev.data = r;
	ac->ev.addRead = add_read;
	ac->ev.delRead = del_read;
	ac->ev.addWrite = add_write;
	ac->ev.delWrite = del_write;
	ac->ev.cleanup = cleanup;
	return redisAsyncSetConnectCallback(ac, on_connect) == REDIS_OK
		   ? OK
		   : ERR_NOMEM;
}

static enum err
connect_to(struct redis *r, const struct redis_url *url, const char **why)
{
	static char reason[128];
	enum err e = OK;

	r->ac = url->is_unix ? redisAsyncConnectUnix(url->host)
			     : redisAsyncConnect(url->host, url->port);
	if (r->ac == NULL)
		return ERR_NOMEM;
	if (r->ac->err != 0) {
		snprintf(reason, sizeof(reason), "%s", r->ac->errstr);
		*why = reason;
		return ERR_SYS;
	}
	r->is_tls = url->is_tls;
	if (url->is_tls)
		e = redis_tls_start(r->ac, url->host, why);
	if (e == OK && (e = attach(r)) != OK)
		*why = "the loop does not take its descriptor";
	return e;
}

enum err
redis_open(struct loop *loop, const struct redis_url *url,
    void (*on_closed)(void *arg, const char *reason), void *arg,
    struct redis **ret, const char **why)
{
	struct redis *r = calloc(1, sizeof(*r));
	enum err e;

	if (r == NULL)
		return ERR_NOMEM;
	r->loop = loop;
	r->io.fd = -1;
	r->flush.run = on_flush;
	r->end.run = on_end;
	r->on_closed = on_closed;
	r->arg = arg;
	e = connect_to(r, url, why);
	if (e == OK)
		*ret = r;
	else
		redis_close(&r);
	return e;
}

void
redis_close(struct redis **redis)
{
	struct redis *r = *redis;

	if (r == NULL)
		return;
	*redis = NULL;
	r->is_closed = true;
	if (r->ac == NULL || r->ac->ev.cleanup == NULL) {
		if (r->ac != NULL)
			redisAsyncFree(r->ac);
		io_remove(r->loop, &r->io);
		loop_defer(r->loop, &r->end);
		r->ac = NULL;
		return;
	}
	/* Within a callback, after that; and then on_end() frees r. */
	redisAsyncFree(r->ac); /* NOLINT(clang-analyzer-unix.Malloc) */
}

/* --- Commands ------------------------------------------------------------- */

static void
on_reply(redisAsyncContext *ac, void *reply, void *arg)
{
	struct command *c = arg;

	(void)ac;
	c->redis->is_told = c->redis->is_told || reply != NULL;
	if (reply != NULL && !c->redis->is_closed)
		c->on_answer(c->arg, reply);
	free(c);
}

enum err
redis_send(struct redis *r, const struct span *args, size_t n,
    redis_answer_fn *on_answer, void *arg)
{
	const char **texts = calloc(n, sizeof(*texts));
	size_t *sizes = calloc(n, sizeof(*sizes));
	struct command *c = calloc(1, sizeof(*c));
	enum err e = ERR_NOMEM;

	if (texts == NULL || sizes == NULL || c == NULL)
		goto out;
	for (size_t i = 0; i < n; i++) {
		texts[i] = args[i].n > 0 ? args[i].p : "";
		sizes[i] = args[i].n;
	}
	*c = (struct command){r, on_answer, arg};
	e = ERR_GONE;
	if (r->ac != NULL && redisAsyncCommandArgv(r->ac, on_reply, c, (int)n,
				 texts, sizes) == REDIS_OK) {
		c = NULL;
		e = OK;
	}
out:
	free(c);
	free(sizes);
	free(texts);
	return e;
}

/* --- Answers -------------------------------------------------------------- */

static const redisReply *
reply_of(const struct redis_value *v)
{
	return (const redisReply *)(const void *)v;
}

bool
redis_is_error(const struct redis_value *v)
{
	return v != NULL && reply_of(v)->type == REDIS_REPLY_ERROR;
}

struct span
redis_text(const struct redis_value *v)
{
	const redisReply *r = reply_of(v);

	if (r == NULL ||
	    (r->type != REDIS_REPLY_STRING && r->type != REDIS_REPLY_STATUS &&
		r->type != REDIS_REPLY_ERROR))
		return (struct span){"", 0};
	return (struct span){r->str, r->len};
}

int64_t
redis_int(const struct redis_value *v)
{
	return v != NULL && reply_of(v)->type == REDIS_REPLY_INTEGER
		   ? reply_of(v)->integer
		   : 0;
}

size_t
redis_count(const struct redis_value *v)
{
	return v != NULL && reply_of(v)->type == REDIS_REPLY_ARRAY
		   ? reply_of(v)->elements
		   : 0;
}

const struct redis_value *
redis_item(const struct redis_value *v, size_t i)
{
	return i < redis_count(v)
		   ? (const struct redis_value *)(const void *)reply_of(v)
			 ->element[i]
		   : NULL;
}
