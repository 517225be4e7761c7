/* SPDX-License-Identifier: ISC */
/*
 * What a FastCGI peer sends: the head, judged by fcgi_gate.c while it still lies
 * in the socket (MSG_PEEK), so that a connection that is silent or half-sent
 * costs a descriptor and a timer; then the body, record by record; then the end
 * of a client. libfcgi parses whole heads only (fcgi_head.c). Never blocks.
 */
#include <sys/socket.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "web/fcgi_conn.h"

enum { PARTIAL_HEAD_TIMEOUT_MS = 5000 };

/* STDIN has ended: the request is whole. */
static void
conn_hand_over(struct fcgi_conn *c)
{
	struct fcgi_server *s = c->server;

	timer_cancel(s->loop, &c->deadline);
	c->state = HELD;
	c->in->request.body_error =
	    body_finish(&c->in->body, &c->in->request.body);
	c->in->request.is_body_mapped = body_is_mapped(&c->in->body);
	c->x.request = &c->in->request;
	s->cfg.stats->requests++;
	s->cfg.on_request(s->cfg.arg, &c->x);
}

/* STDIN's content, or what is left of a record nobody wants. */
static void
conn_take_content(struct fcgi_conn *c, const unsigned char *p, size_t n)
{
	size_t content = n < c->content_left ? n : c->content_left;

	c->content_left -= (uint32_t)content;
	c->record_left -= (uint32_t)n;
	if (c->state == BODY && c->header[1] == GATE_STDIN && content > 0)
		body_add(&c->in->body, p, content);
}

/* A record's header is complete. */
static void
conn_take_record(struct fcgi_conn *c)
{
	struct gate_record r;

	c->header_len = 0;
	if (!gate_parse_header(c->header, &r)) {
		fcgi_conn_lost(c);
		return;
	}
	c->content_left = r.content_len;
	c->record_left = (uint32_t)r.content_len + r.padding_len;
	/* Only HAProxy sends ABORT; all else that is not STDIN has no business
	 * here (FastCGI allows several requests on a connection, no web server
	 * does it). */
	if (r.type != GATE_STDIN || r.request_id != c->request_id) {
		fcgi_conn_lost(c);
		return;
	}
	if (c->state == BODY && r.content_len == 0 && r.padding_len == 0)
		conn_hand_over(c);
}

/* Bytes that follow the head. */
static void
conn_take(struct fcgi_conn *c, const unsigned char *p, size_t n)
{
	size_t step;

	while (n > 0 && !c->saw_eof && c->state != CLOSED) {
		if (c->state == HEAD) {
			/* Pipelined behind the request that was just answered. */
			fcgi_conn_close(c);
			return;
		}
		if (c->record_left > 0) {
			step = n < c->record_left ? n : c->record_left;
			conn_take_content(c, p, step);
			if (c->record_left == 0 && c->state == BODY &&
			    c->header[4] == 0 && c->header[5] == 0)
				conn_hand_over(c);
		} else {
			step = GATE_HEADER_LEN - (size_t)c->header_len;
			step = n < step ? n : step;
			memcpy(c->header + c->header_len, p, step);
			c->header_len = (uint8_t)(c->header_len + step);
			if (c->header_len == GATE_HEADER_LEN)
				conn_take_record(c);
		}
		p += step;
		n -= step;
	}
}

static void
conn_read_records(struct fcgi_conn *c)
{
	struct fcgi_server *s = c->server;
	ssize_t got;

	while (c->state != CLOSED && c->state != HEAD && !c->saw_eof) {
		got = recv(
		    c->io.fd, s->scratch, sizeof(s->scratch), MSG_DONTWAIT);
		if (got > 0) {
			conn_take(c, s->scratch, (size_t)got);
		} else if (got == 0 || (errno != EINTR && errno != EAGAIN)) {
			fcgi_conn_lost(c);
		} else if (errno != EINTR) {
			return;
		}
	}
}

/* The gate opened: take exactly the head out of the socket and parse it. */
static void
conn_open_request(struct fcgi_conn *c, const struct gate_head *head)
{
	struct fcgi_server *s = c->server;
	enum err e;

	if (recv(c->io.fd, s->scratch, head->len, MSG_DONTWAIT) !=
	    (ssize_t)head->len) {
		fcgi_conn_close(c);
		return;
	}
	c->request_id = head->request_id;
	c->keep_conn = head->keep_conn;
	c->header_len = 0;
	c->record_left = 0;
	c->content_left = 0;
	c->in = calloc(1, sizeof(*c->in));
	e = ERR_NOMEM;
	if (c->in != NULL) {
		c->in->body = body_new(&s->cfg.body);
		e = fcgi_parser_read(&s->parser, s->scratch, head->len,
		    s->cfg.prefix, &c->in->request);
	}
	if (e != OK) {
		s->cfg.stats->refused++;
		fcgi_conn_close(c);
		return;
	}
	c->state = BODY;
	fcgi_conn_set_deadline(c, s->cfg.body_timeout_ms);
}

/* Peeking shows no end of file behind data. */
static bool
is_half_closed(int fd)
{
	struct pollfd p = {fd, POLLRDHUP, 0};

	return poll(&p, 1, 0) > 0;
}

static void
conn_read_head(struct fcgi_conn *c)
{
	struct fcgi_server *s = c->server;
	struct gate_head head;
	enum gate_verdict verdict;
	ssize_t got;

	do
		got = recv(c->io.fd, s->scratch, GATE_HEAD_MAX,
		    MSG_DONTWAIT | MSG_PEEK);
	while (got < 0 && errno == EINTR);
	if (got < 0 && errno == EAGAIN)
		return;
	if (got <= 0) {
		fcgi_conn_close(c);
		return;
	}
	verdict = gate_scan(s->scratch, (size_t)got, &head);
	if (verdict == GATE_OPEN) {
		conn_open_request(c, &head);
	} else if (verdict == GATE_MORE) {
		if (is_half_closed(c->io.fd)) {
			fcgi_conn_close(c);
			return;
		}
		/* A kept connection may be idle for long, not half-sent. */
		if (c->is_kept && c->deadline.slot == 0)
			fcgi_conn_set_deadline(c, PARTIAL_HEAD_TIMEOUT_MS);
	} else {
		s->cfg.stats->refused++;
		if (verdict == GATE_ROLE) {
			c->request_id = head.request_id;
			fcgi_conn_refuse_role(c);
		} else {
			fcgi_conn_close(c);
		}
	}
}

void
fcgi_conn_read(struct fcgi_conn *c)
{
	if (c->state == HEAD)
		conn_read_head(c);
	if (c->state != HEAD)
		conn_read_records(c);
}
