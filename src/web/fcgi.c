/* SPDX-License-Identifier: ISC */
/*
 * The FastCGI server: accepts connections, owns them and ends them. What they
 * say is read in fcgi_in.c, what they are answered is sent in fcgi_out.c. Knows
 * no route and no event. Runs on the loop; never blocks.
 */
#include "web/fcgi.h"

#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/container_of.h"
#include "web/fcgi_conn.h"

bool
fcgi_conn_make_pending(struct fcgi_conn *c)
{
	if (c->pending != NULL)
		return true;
	c->pending = malloc(sizeof(*c->pending));
	if (c->pending == NULL)
		return false;
	*c->pending =
	    (struct fcgi_pending){.body = body_new(&c->server->cfg.body)};
	return true;
}

void
fcgi_conn_drop_pending(struct fcgi_conn *c)
{
	struct fcgi_pending *w = c->pending;

	c->x.request = NULL;
	c->pending = NULL;
	if (w == NULL)
		return;
	buf_done(&w->head);
	request_done(&w->request);
	body_done(&w->body);
	*c->server->cfg.body.held -= w->held;
	buf_done(&w->answer);
	free(w);
}

static void
conn_free(struct fcgi_conn *c)
{
	fcgi_conn_drop_pending(c);
	free(c);
}

static void
on_reap(struct deferred *d)
{
	struct fcgi_server *s = container_of(d, struct fcgi_server, reap);
	struct fcgi_conn *c;

	while ((c = LIST_FIRST(&s->closed)) != NULL) {
		LIST_REMOVE(c, link);
		conn_free(c);
	}
}

/* Who waits for a new connection would wait as long as an old one is idle, were
 * it not served meanwhile. */
static void
stop_further(struct fcgi_server *s)
{
	if (s->n_kept == 0)
		acceptor_stop(&s->acceptor);
	if (LIST_EMPTY(&s->conns))
		s->cfg.on_idle(s->cfg.arg);
}

void
fcgi_conn_close(struct fcgi_conn *c)
{
	struct fcgi_server *s = c->server;

	if (c->state == FCGI_CONN_CLOSED)
		return;
	c->state = FCGI_CONN_CLOSED;
	io_close(s->loop, &c->io);
	timer_cancel(s->loop, &c->x.timer);
	LIST_REMOVE(c, link);
	LIST_INSERT_HEAD(&s->closed, c, link);
	loop_defer(s->loop, &s->reap);
	s->n_kept -= c->is_kept;
	s->cfg.stats->open--;
	if (s->is_stopping)
		stop_further(s);
}

static void
on_conn_deadline(struct timer *t)
{
	struct fcgi_conn *c = container_of(t, struct fcgi_conn, x.timer);

	c->server->cfg.stats->timed_out++;
	fcgi_conn_close(c);
}

void
fcgi_conn_set_deadline(struct fcgi_conn *c, int64_t ms)
{
	/* Without memory for the timer the connection is not worth keeping:
	 * nothing would ever end it. */
	if (c->x.timer.slot != 0)
		return;
	c->x.timer.on_due = on_conn_deadline;
	if (timer_set(c->server->loop, &c->x.timer,
		clock_mono_us() + ms * 1000) != OK)
		fcgi_conn_close(c);
}

bool
fcgi_conn_watch(struct fcgi_conn *c, unsigned more)
{
	const unsigned want = IO_READ | IO_EDGE | more;
	enum err e = c->is_watched ? io_want(c->server->loop, &c->io, want)
				   : io_add(c->server->loop, &c->io, want);

	if (e != OK)
		return false;
	c->is_watched = true;
	c->wants_room = (more & IO_WRITE) != 0;
	return true;
}

/* The peer left while a handler holds the exchange. */
static void
conn_gone(struct fcgi_conn *c)
{
	const bool is_held = c->state == FCGI_CONN_HELD;

	/* A handler that is not told still has the exchange: it will answer,
	 * and that ends the connection. */
	if (transport_tell_gone(&c->x) || !is_held)
		fcgi_conn_close(c);
}

/* Nothing that follows on this connection is worth reading: the peer closed
 * it, or broke the protocol. */
void
fcgi_conn_lost(struct fcgi_conn *c)
{
	c->saw_eof = true;
	/* An answer that is being sent may still reach a peer that only closed
	 * its sending side. */
	if (c->state != FCGI_CONN_SENDING)
		conn_gone(c);
}

static void
on_conn_ready(struct io *io, unsigned ready)
{
	struct fcgi_conn *c = container_of(io, struct fcgi_conn, io);

	if ((ready & ~(unsigned)IO_WRITE) != 0)
		fcgi_conn_read(c, (ready & (IO_END | IO_GONE)) != 0);
	if ((ready & IO_WRITE) == 0 || c->state == FCGI_CONN_CLOSED)
		return;
	/* Should this fail, we are told of room that we did not ask for. */
	(void)fcgi_conn_watch(c, 0);
	if (c->state == FCGI_CONN_SENDING)
		fcgi_conn_flush(c);
	else if (c->state == FCGI_CONN_STREAM)
		c->x.told->on_writable(&c->x);
}

static void
on_accept(struct acceptor *a, int fd)
{
	struct fcgi_server *s = container_of(a, struct fcgi_server, acceptor);
	struct fcgi_conn *c = calloc(1, sizeof(*c));

	if (c == NULL) {
		(void)close(fd);
		return;
	}
	c->x.ops = &fcgi_conn_ops;
	c->io.fd = fd;
	c->io.on_ready = on_conn_ready;
	c->server = s;
	c->state = FCGI_CONN_HEAD;
	LIST_INSERT_HEAD(&s->conns, c, link);
	s->cfg.stats->accepted++;
	s->cfg.stats->open++;
	/* Mostly the head is there already: a web server connects and
	 * writes. */
	fcgi_conn_read(c, false);
}

static void
on_idle_end(struct timer *t)
{
	struct fcgi_server *s = container_of(t, struct fcgi_server, idle_end);
	struct fcgi_conn *c, *next;

	acceptor_stop(&s->acceptor);
	for (c = LIST_FIRST(&s->conns); c != NULL; c = next) {
		next = LIST_NEXT(c, link);
		if (c->state == FCGI_CONN_HEAD && c->is_kept)
			fcgi_conn_close(c);
	}
}

enum err
fcgi_server_new(struct loop *loop, int listen_fd,
    const struct transport_config *cfg, struct fcgi_server **ret)
{
	struct fcgi_server *s = calloc(1, sizeof(*s));
	enum err e;

	if (s == NULL) {
		(void)close(listen_fd);
		return ERR_NOMEM;
	}
	s->loop = loop;
	s->cfg = *cfg;
	LIST_INIT(&s->conns);
	LIST_INIT(&s->closed);
	s->reap.run = on_reap;
	s->parser = (struct fcgi_parser)FCGI_PARSER_INIT;
	s->acceptor.on_accept = on_accept;
	s->idle_end.on_due = on_idle_end;
	e = acceptor_start(&s->acceptor, loop, listen_fd);
	if (e == OK)
		e = fcgi_parser_init(&s->parser);
	if (e != OK) {
		fcgi_server_free(&s);
		return e;
	}
	*ret = s;
	return OK;
}

void
fcgi_server_stop(struct fcgi_server *s, int64_t idle_ms)
{
	if (s->is_stopping)
		return;
	s->is_stopping = true;
	stop_further(s);
	if (s->n_kept > 0 && timer_set(s->loop, &s->idle_end,
				 clock_mono_us() + idle_ms * 1000) != OK)
		on_idle_end(&s->idle_end);
}

void
fcgi_server_free(struct fcgi_server **server)
{
	struct fcgi_server *s = *server;
	struct fcgi_conn *c, *next;

	if (s == NULL)
		return;
	s->is_stopping = false;
	acceptor_stop(&s->acceptor);
	timer_cancel(s->loop, &s->idle_end);
	for (c = LIST_FIRST(&s->conns); c != NULL; c = next) {
		next = LIST_NEXT(c, link);
		fcgi_conn_close(c);
	}
	loop_undefer(s->loop, &s->reap);
	on_reap(&s->reap);
	fcgi_parser_done(&s->parser);
	free(s);
	*server = NULL;
}
