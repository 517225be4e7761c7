/* SPDX-License-Identifier: ISC */
/*
 * CGI as a transport. Handlers know what a request means; the program ends the
 * process after it. Runs on the loop; never blocks, but on a standard output
 * that is a file.
 */
#include "web/cgi.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/container_of.h"
#include "text/decimal.h"

enum { READ_SIZE = 16384 };

enum cgi_state {
	CGI_BODY,    /* standard input is read */
	CGI_HELD,    /* on_request has the exchange */
	CGI_STREAM,  /* after the first send */
	CGI_SENDING, /* the answer waits for room */
	CGI_DONE,    /* over */
};

struct cgi {
	struct exchange x; /* first: the handler's view */
	struct io in, out; /* their fd is -1 while the loop does not watch */
	int in_fd, out_fd; /* -1: closed */
	struct deferred begin;
	struct loop *loop;
	struct transport_config cfg;
	struct request request;
	struct body body;
	int64_t body_left; /* INT64_MAX: up to the end of standard input */
	struct buf answer;
	size_t sent; /* of the answer */
	size_t step; /* what was sent when its deadline was set */
	enum cgi_state state;
	bool is_gone; /* nobody takes the answer */
};

/* --- Ends ----------------------------------------------------------------- */

static void
close_fd(int *fd)
{
	if (*fd != -1)
		(void)close(*fd);
	*fd = -1;
}

static void
cgi_shut(struct cgi *c)
{
	io_remove(c->loop, &c->in);
	io_remove(c->loop, &c->out);
	timer_cancel(c->loop, &c->x.timer);
	loop_undefer(c->loop, &c->begin);
	close_fd(&c->in_fd);
	close_fd(&c->out_fd);
	c->x.request = NULL;
	request_done(&c->request);
	body_done(&c->body);
	buf_done(&c->answer);
	c->state = CGI_DONE;
}

static void
cgi_finish(struct cgi *c)
{
	if (c->state == CGI_DONE)
		return;
	cgi_shut(c);
	c->cfg.stats->open--;
	c->cfg.on_idle(c->cfg.arg);
}

/* Nobody reads our output. */
static void
cgi_gone(struct cgi *c)
{
	const bool is_held = c->state == CGI_HELD;

	c->is_gone = true;
	io_remove(c->loop, &c->out); /* or it would say so again and again */
	/* A handler that is not told will answer, and that is the end. */
	if (transport_tell_gone(&c->x) || !is_held)
		cgi_finish(c);
}

static void
on_deadline(struct timer *t)
{
	struct cgi *c = container_of(t, struct cgi, x.timer);

	c->cfg.stats->timed_out++;
	cgi_finish(c);
}

/* Gives the request up that long from now. */
static void
cgi_set_deadline(struct cgi *c, int64_t ms)
{
	c->x.timer.on_due = on_deadline;
	if (timer_set(c->loop, &c->x.timer, clock_mono_us() + ms * 1000) != OK)
		cgi_finish(c);
}

/* --- Output --------------------------------------------------------------- */

/* SENT_PART: asked to be told of room. */
static enum sent
cgi_write(struct cgi *c, struct span bytes, size_t *sent)
{
	ssize_t got;

	while (*sent < bytes.n && !c->is_gone) {
		got = write(c->out_fd, bytes.p + *sent, bytes.n - *sent);
		if (got >= 0)
			*sent += (size_t)got;
		else if (errno == EAGAIN)
			return io_want(c->loop, &c->out, IO_WRITE) == OK
				   ? SENT_PART
				   : SENT_GONE;
		else if (errno != EINTR)
			return SENT_GONE;
	}
	return c->is_gone ? SENT_GONE : SENT_ALL;
}

static void
cgi_flush(struct cgi *c)
{
	if (cgi_write(c, buf_span(&c->answer), &c->sent) != SENT_PART) {
		cgi_finish(c);
	} else if (c->sent >= c->step + TRANSPORT_STEP) {
		c->step = c->sent;
		cgi_set_deadline(c, c->cfg.send_timeout_ms);
	}
}

static struct cgi *
cgi_of(struct exchange *x)
{
	return container_of(x, struct cgi, x);
}

static void
op_answer(struct exchange *x, const struct answer *a)
{
	struct cgi *c = cgi_of(x);

	answer_format(a, strcmp(c->request.method, "HEAD") == 0, &c->answer);
	c->state = CGI_SENDING;
	if (!buf_ok(&c->answer)) {
		cgi_finish(c);
		return;
	}
	cgi_set_deadline(c, c->cfg.send_timeout_ms);
	if (c->state == CGI_SENDING)
		cgi_flush(c);
}

static enum sent
op_send(struct exchange *x, struct span body, size_t *progress)
{
	struct cgi *c = cgi_of(x);

	c->state = CGI_STREAM;
	c->x.request = NULL;
	request_done(&c->request);
	return cgi_write(c, body, progress);
}

static void
op_end(struct exchange *x)
{
	cgi_finish(cgi_of(x));
}

static const struct exchange_ops cgi_ops = {
    .answer = op_answer,
    .send = op_send,
    .end = op_end,
    .drop = op_end,
};

static void
on_out_ready(struct io *io, unsigned ready)
{
	struct cgi *c = container_of(io, struct cgi, out);

	if ((ready & IO_GONE) != 0) {
		cgi_gone(c);
		return;
	}
	/* Should this fail, we are told of room that we did not ask for. */
	if (io_want(c->loop, io, 0) != OK)
		return;
	if (c->state == CGI_SENDING)
		cgi_flush(c);
	else if (c->state == CGI_STREAM)
		c->x.told->on_writable(&c->x);
}

/* --- Input ---------------------------------------------------------------- */

/* The body is whole. */
static void
cgi_hand_over(struct cgi *c)
{
	io_remove(c->loop, &c->in);
	timer_cancel(c->loop, &c->x.timer);
	c->state = CGI_HELD;
	transport_hand_over(&c->cfg, &c->x, &c->request, &c->body);
}

static void
cgi_take(struct cgi *c, const char *p, size_t n)
{
	if (c->body_left != INT64_MAX)
		c->body_left -= (int64_t)n;
	body_add(&c->body, p, n);
}

/* Never more than the body: RFC 3875, section 4.2. */
static void
cgi_read(struct cgi *c)
{
	char bytes[READ_SIZE];
	size_t room;
	ssize_t got;

	while (c->body_left > 0) {
		room =
		    c->body_left < READ_SIZE ? (size_t)c->body_left : READ_SIZE;
		got = read(c->in_fd, bytes, room);
		if (got > 0) {
			cgi_take(c, bytes, (size_t)got);
		} else if (got == 0 && c->body_left == INT64_MAX) {
			c->body_left = 0;
		} else if (got < 0 && errno == EAGAIN) {
			return;
		} else if (got == 0 || errno != EINTR) {
			cgi_finish(c); /* the client left in the middle */
			return;
		}
	}
	cgi_hand_over(c);
}

static void
on_in_ready(struct io *io, unsigned ready)
{
	struct cgi *c = container_of(io, struct cgi, in);

	(void)ready;
	cgi_read(c);
}

/* --- Beginning ------------------------------------------------------------ */

/* Without a length only the methods that have a body are read, to the end: of
 * the others standard input may stay open for ever. */
static int64_t
body_length(const struct request *r)
{
	int64_t n;

	if (decimal_read(span_of(r->content_length), &n) == OK)
		return n;
	return strcmp(r->method, "POST") == 0 ? INT64_MAX : 0;
}

/* Watches a pipe or socket; what the loop cannot watch is a file, which is
 * always ready. */
static enum err
watch_fd(struct cgi *c, struct io *io, int fd, unsigned want)
{
	int flags = fcntl(fd, F_GETFL);

	io->fd = fd;
	if (flags != -1 && io_add(c->loop, io, want) == OK)
		return fcntl(fd, F_SETFL, flags | O_NONBLOCK) == 0 ? OK
								   : ERR_SYS;
	io->fd = -1;
	return flags != -1 && errno == EPERM ? OK : ERR_SYS;
}

static void
on_begin(struct deferred *d)
{
	struct cgi *c = container_of(d, struct cgi, begin);

	c->body_left = body_length(&c->request);
	cgi_set_deadline(c, c->cfg.body_timeout_ms);
	if (c->state != CGI_BODY)
		return;
	if (c->body_left > 0 && watch_fd(c, &c->in, c->in_fd, IO_READ) != OK)
		cgi_finish(c);
	else
		cgi_read(c);
}

enum err
cgi_new(struct loop *loop, const char *const *envp, int in_fd, int out_fd,
    const struct transport_config *cfg, struct cgi **ret)
{
	struct cgi *c = calloc(1, sizeof(*c));
	enum err e;

	if (c == NULL) {
		close_fd(&in_fd);
		close_fd(&out_fd);
		return ERR_NOMEM;
	}
	c->x.ops = &cgi_ops;
	c->in = (struct io){.fd = -1, .on_ready = on_in_ready};
	c->out = (struct io){.fd = -1, .on_ready = on_out_ready};
	c->in_fd = in_fd;
	c->out_fd = out_fd;
	c->begin.run = on_begin;
	c->loop = loop;
	c->cfg = *cfg;
	c->body = body_new(&c->cfg.body);
	e = request_init(&c->request, cfg->prefix, envp);
	if (e == OK)
		e = watch_fd(c, &c->out, out_fd, 0);
	if (e != OK) {
		cgi_free(&c);
		return e;
	}
	c->cfg.stats->accepted++;
	c->cfg.stats->open++;
	loop_defer(loop, &c->begin);
	*ret = c;
	return OK;
}

void
cgi_free(struct cgi **c)
{
	if (*c == NULL)
		return;
	cgi_shut(*c);
	free(*c);
	*c = NULL;
}
