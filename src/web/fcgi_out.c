/* SPDX-License-Identifier: ISC */
/*
 * What a FastCGI peer is sent: whole answers and streams, as records of our own,
 * with MSG_DONTWAIT. A whole answer that does not fit waits in the connection;
 * of a stream nothing waits here, its owner sends on when there is room. Never
 * blocks.
 */
#include <sys/socket.h>
#include <errno.h>
#include <string.h>

#include "web/fcgi_conn.h"

static struct fcgi_conn *
conn_of(struct exchange *x)
{
	return (struct fcgi_conn *)(void *)x;
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
	return fcgi_conn_want_write(c, true) ? SENT_PART : SENT_GONE;
}

static enum sent
op_send(struct exchange *x, struct span body, size_t *progress)
{
	struct fcgi_conn *c = conn_of(x);
	struct gate_frame frame;
	size_t total = gate_framed_len(body.n);
	enum sent r = SENT_ALL;

	if (c->state == HELD) {
		c->state = STREAM;
		fcgi_conn_drop_intake(c);
		if (c->saw_eof)
			return SENT_GONE;
	}
	if (c->state != STREAM)
		return SENT_GONE;
	while (r == SENT_ALL && *progress < total) {
		gate_frame(&frame, c->request_id, body, *progress);
		r = conn_sendmsg(c, frame.iov, frame.n, progress);
	}
	return r;
}

/* After the last byte: the next request on this connection, or its end. */
static void
conn_answered(struct fcgi_conn *c)
{
	buf_done(&c->out);
	c->out_sent = 0;
	if (!c->keep_conn || c->saw_eof || c->server->is_stopping) {
		fcgi_conn_close(c);
		return;
	}
	c->state = HEAD;
	c->is_kept = true;
	timer_cancel(c->server->loop, &c->deadline);
	/* Nothing to read yet: no web server sends the next request before it
	 * has the end of this one, and then there is a new edge. */
}

void
fcgi_conn_flush(struct fcgi_conn *c)
{
	struct iovec iov;
	enum sent r = SENT_ALL;

	while (r == SENT_ALL && c->out_sent < c->out.len) {
		iov = (struct iovec){
		    c->out.data + c->out_sent, c->out.len - c->out_sent};
		r = conn_sendmsg(c, &iov, 1, &c->out_sent);
	}
	if (r == SENT_GONE)
		fcgi_conn_close(c);
	else if (r == SENT_ALL)
		conn_answered(c);
}

/* c->out is complete: send it, within the time for it. */
static void
conn_begin_sending(struct fcgi_conn *c)
{
	fcgi_conn_drop_intake(c);
	if (!buf_ok(&c->out)) {
		fcgi_conn_close(c);
		return;
	}
	c->state = SENDING;
	fcgi_conn_set_deadline(c, c->server->cfg.send_timeout_ms);
	if (c->state == SENDING)
		fcgi_conn_flush(c);
}

static void
conn_add_end(struct fcgi_conn *c, enum gate_status status)
{
	unsigned char end[GATE_END_LEN];

	gate_format_end(end, c->request_id, status);
	buf_add(&c->out, end, sizeof(end));
}

static void
op_answer(struct exchange *x, const struct answer *a)
{
	struct fcgi_conn *c = conn_of(x);
	bool for_head = strcmp(c->in->request.method, "HEAD") == 0;
	struct buf cgi = BUF_INIT;
	unsigned char header[GATE_HEADER_LEN];
	size_t len;

	answer_format(a, for_head, &cgi);
	buf_reserve(&c->out, gate_framed_len(cgi.len) + GATE_END_LEN);
	for (size_t at = 0; at < cgi.len; at += len) {
		len = cgi.len - at < GATE_RECORD_MAX ? cgi.len - at
						     : GATE_RECORD_MAX;
		gate_format_header(header, GATE_STDOUT, c->request_id, len);
		buf_add(&c->out, header, sizeof(header));
		buf_add(&c->out, cgi.data + at, len);
	}
	if (!buf_ok(&cgi))
		c->out.failed = true;
	buf_done(&cgi);
	conn_add_end(c, GATE_REQUEST_COMPLETE);
	conn_begin_sending(c);
}

static void
op_end(struct exchange *x)
{
	struct fcgi_conn *c = conn_of(x);

	conn_add_end(c, GATE_REQUEST_COMPLETE);
	conn_begin_sending(c);
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
fcgi_conn_refuse(
    struct fcgi_conn *c, int status, const char *code, const char *message)
{
	struct answer a = ANSWER_INIT;

	answer_error(&a, status, code, message);
	op_answer(&c->x, &a);
	answer_done(&a);
}

void
fcgi_conn_refuse_role(struct fcgi_conn *c)
{
	c->keep_conn = false;
	conn_add_end(c, GATE_UNKNOWN_ROLE);
	conn_begin_sending(c);
}
