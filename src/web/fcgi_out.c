/* SPDX-License-Identifier: ISC */
/*
 * What a FastCGI peer is sent: whole answers and streams, as records of our
 * own, with MSG_DONTWAIT. A whole answer that does not fit waits in the
 * connection; of a stream nothing waits here, its owner sends on when there is
 * room. Never blocks.
 */
#include <sys/socket.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/container_of.h"
#include "web/fcgi_conn.h"

static struct fcgi_conn *
conn_of(struct exchange *x)
{
	return container_of(x, struct fcgi_conn, x);
}

/* One non-blocking sendmsg. SENT_ALL: something went. */
static enum sent
conn_sendmsg(struct fcgi_conn *c, struct iovec *iov, size_t n, size_t *sent)
{
	struct msghdr msg = {.msg_iov = iov, .msg_iovlen = n};
	ssize_t got;

	do
		got = sendmsg(c->io.fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);
	while (got < 0 && errno == EINTR);
	if (got >= 0) {
		*sent += (size_t)got;
		return SENT_ALL;
	}
	if (errno != EAGAIN && errno != ENOBUFS)
		return SENT_GONE;
	if (!c->wants_room && !fcgi_conn_watch(c, IO_WRITE))
		return SENT_GONE;
	return SENT_PART;
}

static enum sent
op_send(struct exchange *x, struct span body, size_t *progress)
{
	struct fcgi_conn *c = conn_of(x);
	struct fcgi_frame frame;
	size_t total = fcgi_framed_len(body.n);
	enum sent r = SENT_ALL;

	if (c->state == FCGI_CONN_HELD) {
		c->state = FCGI_CONN_STREAM;
		fcgi_conn_drop_pending(c);
		if (c->saw_eof || (!c->is_watched && !fcgi_conn_watch(c, 0)))
			return SENT_GONE;
	}
	if (c->state != FCGI_CONN_STREAM)
		return SENT_GONE;
	while (r == SENT_ALL && *progress < total) {
		fcgi_frame(&frame, c->request_id, body, *progress);
		r = conn_sendmsg(c, frame.iov, frame.n, progress);
	}
	return r;
}

/* After the last byte: the next request on this connection, or its end. */
static void
conn_answered(struct fcgi_conn *c)
{
	fcgi_conn_drop_pending(c);
	if (!c->keep_conn || c->saw_eof || c->server->is_stopping) {
		fcgi_conn_close(c);
		return;
	}
	c->state = FCGI_CONN_HEAD;
	c->server->n_kept += !c->is_kept;
	c->is_kept = true;
	timer_cancel(c->server->loop, &c->x.timer);
	if (!c->is_watched && !fcgi_conn_watch(c, 0))
		fcgi_conn_close(c);
}

/* An answer that its client does not take at once lies in memory, as bodies
 * do, and within their bound. False: there is no room. */
static bool
conn_hold_answer(struct fcgi_conn *c)
{
	const struct body_limits *limits = &c->server->cfg.body;
	struct fcgi_pending *w = c->pending;

	if (w->held > 0)
		return true;
	if (*limits->held + w->answer.len > limits->all) {
		c->server->cfg.stats->refused++;
		return false;
	}
	w->held = w->answer.len;
	*limits->held += w->held;
	return true;
}

void
fcgi_conn_flush(struct fcgi_conn *c)
{
	struct fcgi_pending *w = c->pending;
	struct iovec iov;
	enum sent r = SENT_ALL;

	while (r == SENT_ALL && w->sent < w->answer.len) {
		iov = (struct iovec){
		    w->answer.data + w->sent, w->answer.len - w->sent};
		r = conn_sendmsg(c, &iov, 1, &w->sent);
	}
	if (r == SENT_ALL) {
		conn_answered(c);
	} else if (r == SENT_GONE || !conn_hold_answer(c)) {
		fcgi_conn_close(c);
	} else {
		if (w->sent >= w->step + TRANSPORT_STEP) {
			timer_cancel(c->server->loop, &c->x.timer);
			w->step = w->sent;
		}
		fcgi_conn_set_deadline(c, c->server->cfg.send_timeout_ms);
	}
}

/* Takes the last bytes of the answer and sends them, within the time for it. */
static void
conn_finish(struct fcgi_conn *c, struct buf *b)
{
	fcgi_conn_drop_pending(c);
	timer_cancel(c->server->loop, &c->x.timer);
	c->x = (struct exchange){.ops = &fcgi_conn_ops};
	if (!buf_ok(b) || !fcgi_conn_make_pending(c)) {
		buf_done(b);
		fcgi_conn_close(c);
		return;
	}
	c->pending->answer = *b;
	c->state = FCGI_CONN_SENDING;
	fcgi_conn_flush(c);
}

static void
add_end(struct buf *b, uint16_t request_id, enum fcgi_record_status status)
{
	unsigned char end[FCGI_RECORD_END_LEN];

	fcgi_format_end(end, request_id, status);
	buf_add(b, end, sizeof(end));
}

/* Appends content as STDOUT records. */
static void
add_records(struct buf *b, uint16_t request_id, struct span content)
{
	unsigned char header[FCGI_RECORD_HEADER_LEN];
	size_t len;

	buf_reserve(b, fcgi_framed_len(content.n) + FCGI_RECORD_END_LEN);
	for (size_t at = 0; at < content.n; at += len) {
		len = content.n - at;
		len = len < FCGI_RECORD_CONTENT_MAX ? len
						    : FCGI_RECORD_CONTENT_MAX;
		fcgi_format_header(header, FCGI_RECORD_STDOUT, request_id, len);
		buf_add(b, header, sizeof(header));
		buf_add(b, content.p + at, len);
	}
}

static void
op_answer(struct exchange *x, const struct answer *a)
{
	struct fcgi_conn *c = conn_of(x);
	bool for_head = strcmp(c->pending->request.method, "HEAD") == 0;
	struct buf cgi = BUF_INIT, out = BUF_INIT;

	answer_format(a, for_head, &cgi);
	add_records(&out, c->request_id, buf_span(&cgi));
	out.failed = out.failed || cgi.failed;
	buf_done(&cgi);
	add_end(&out, c->request_id, FCGI_RECORD_REQUEST_COMPLETE);
	conn_finish(c, &out);
}

static void
op_end(struct exchange *x)
{
	struct fcgi_conn *c = conn_of(x);
	struct buf out = BUF_INIT;

	add_end(&out, c->request_id, FCGI_RECORD_REQUEST_COMPLETE);
	conn_finish(c, &out);
}

static void
op_drop(struct exchange *x)
{
	fcgi_conn_close(conn_of(x));
}

const struct exchange_ops fcgi_conn_ops = {
    .answer = op_answer,
    .send = op_send,
    .end = op_end,
    .drop = op_drop,
};

void
fcgi_conn_refuse_role(struct fcgi_conn *c)
{
	struct buf out = BUF_INIT;

	c->keep_conn = false;
	add_end(&out, c->request_id, FCGI_RECORD_UNKNOWN_ROLE);
	conn_finish(c, &out);
}
