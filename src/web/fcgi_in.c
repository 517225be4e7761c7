/* SPDX-License-Identifier: ISC */
/*
 * What a FastCGI peer sends: the head, judged by fcgi_record.c as it comes;
 * then the body, record by record; then the end of a client. All is read into
 * one buffer of the server, and kept only where a head is not whole: a
 * connection that is silent costs a descriptor and a timer. libfcgi parses
 * whole heads only (fcgi_head.c). Never blocks.
 */
#include <sys/socket.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "web/fcgi_conn.h"

enum { HEAD_TIMEOUT_MS = 5000 }; /* a web server sends the head at once */

/* STDIN has ended: the request is whole. */
static void
conn_hand_over(struct fcgi_conn *c)
{
	struct fcgi_server *s = c->server;

	timer_cancel(s->loop, &c->x.timer);
	c->state = FCGI_CONN_HELD;
	transport_hand_over(
	    &s->cfg, &c->x, &c->pending->request, &c->pending->body);
}

/* STDIN's content, or what is left of a record nobody wants. */
static void
conn_take_content(struct fcgi_conn *c, const unsigned char *p, size_t n)
{
	const size_t padding = c->header[6];
	size_t content =
	    c->record_left > padding ? c->record_left - padding : 0;

	content = n < content ? n : content;
	c->record_left -= (uint32_t)n;
	if (c->state == FCGI_CONN_BODY && c->header[1] == FCGI_RECORD_STDIN &&
	    content > 0)
		body_add(&c->pending->body, p, content);
}

/* A record's header is complete. */
static void
conn_take_record(struct fcgi_conn *c)
{
	struct fcgi_record r;

	c->header_len = 0;
	if (!fcgi_parse_header(c->header, &r)) {
		fcgi_conn_lost(c);
		return;
	}
	c->record_left = (uint32_t)r.content_len + r.padding_len;
	/* Only HAProxy sends ABORT; all else that is not STDIN does not
	 * belong here (FastCGI allows several requests on a connection, no web
	 * server does it). */
	if (r.type != FCGI_RECORD_STDIN || r.request_id != c->request_id) {
		fcgi_conn_lost(c);
		return;
	}
	if (c->state == FCGI_CONN_BODY && r.content_len == 0 &&
	    r.padding_len == 0)
		conn_hand_over(c);
}

/* Bytes that follow the head; how many were the request's. */
static size_t
conn_take_records(struct fcgi_conn *c, const unsigned char *p, size_t n)
{
	size_t at = 0, step;

	while (at < n && !c->saw_eof && c->state != FCGI_CONN_CLOSED &&
	       c->state != FCGI_CONN_HEAD) {
		if (c->record_left > 0) {
			step =
			    n - at < c->record_left ? n - at : c->record_left;
			conn_take_content(c, p + at, step);
			if (c->record_left == 0 && c->state == FCGI_CONN_BODY &&
			    c->header[4] == 0 && c->header[5] == 0)
				conn_hand_over(c);
		} else {
			step = FCGI_RECORD_HEADER_LEN - (size_t)c->header_len;
			step = n - at < step ? n - at : step;
			memcpy(c->header + c->header_len, p + at, step);
			c->header_len = (uint8_t)(c->header_len + step);
			if (c->header_len == FCGI_RECORD_HEADER_LEN)
				conn_take_record(c);
		}
		at += step;
	}
	return at;
}

/* The scan accepts: bytes has the whole head. */
static void
conn_open_request(struct fcgi_conn *c, const unsigned char *bytes,
    const struct fcgi_scan *head)
{
	struct fcgi_server *s = c->server;

	c->keep_conn = head->keep_conn;
	c->header_len = 0;
	c->record_left = 0;
	timer_cancel(s->loop, &c->x.timer);
	if (fcgi_conn_make_pending(c) &&
	    fcgi_parser_read(&s->parser, bytes, head, s->cfg.prefix,
		&c->pending->request) == OK) {
		buf_done(&c->pending->head);
		c->state = FCGI_CONN_BODY;
	} else {
		s->cfg.stats->refused++;
		fcgi_conn_close(c);
	}
}

/* Keeps the beginning of a head, up to what the longest has. False: no
 * memory. */
static bool
conn_keep_head(struct fcgi_conn *c, const unsigned char *p, size_t n)
{
	size_t room = FCGI_RECORD_HEAD_MAX;

	if (!fcgi_conn_make_pending(c))
		return false;
	room -= c->pending->head.len;
	buf_add(&c->pending->head, p, n < room ? n : room);
	return buf_ok(&c->pending->head);
}

/* The head, or a part of it; how many bytes were the head's. */
static size_t
conn_take_head(struct fcgi_conn *c, const unsigned char *p, size_t n)
{
	const size_t before = c->pending == NULL ? 0 : c->pending->head.len;
	const unsigned char *bytes = p;
	struct fcgi_scan head = {0};
	enum fcgi_verdict verdict;

	if (before > 0) {
		if (!conn_keep_head(c, p, n)) {
			fcgi_conn_close(c);
			return n;
		}
		head = c->pending->judged;
		bytes = (const unsigned char *)c->pending->head.data;
		n = c->pending->head.len;
	}
	verdict = fcgi_scan_head(bytes, n, &head);
	c->request_id = head.request_id;
	if (verdict == FCGI_VERDICT_OPEN) {
		conn_open_request(c, bytes, &head);
		return head.len - before;
	}
	if (verdict == FCGI_VERDICT_MORE) {
		if (before > 0 || conn_keep_head(c, p, n))
			c->pending->judged = head;
		else
			fcgi_conn_close(c);
		return n - before;
	}
	c->server->cfg.stats->refused++;
	if (verdict == FCGI_VERDICT_ROLE)
		fcgi_conn_refuse_role(c);
	else
		fcgi_conn_close(c);
	return n - before;
}

static void
conn_take(struct fcgi_conn *c, const unsigned char *p, size_t n)
{
	size_t used = 0;

	if (c->state == FCGI_CONN_HEAD)
		used = conn_take_head(c, p, n);
	if (c->state != FCGI_CONN_HEAD)
		used += conn_take_records(c, p + used, n - used);
	/* Pipelined behind a request that was just answered. */
	if (used < n && c->state == FCGI_CONN_HEAD)
		fcgi_conn_close(c);
}

/* After a reading: who has to wait is watched, and not for ever. is_more: there
 * may be more, and no edge will tell. */
static void
conn_wait(struct fcgi_conn *c, bool is_more)
{
	const bool is_idle =
	    c->state == FCGI_CONN_HEAD && c->is_kept && c->pending == NULL;
	const bool waits = c->state == FCGI_CONN_HEAD ||
			   c->state == FCGI_CONN_BODY || c->x.told != NULL;

	if ((c->is_watched ? is_more : waits) &&
	    !fcgi_conn_watch(c, c->wants_room ? IO_WRITE : 0))
		fcgi_conn_close(c);
	else if (c->state == FCGI_CONN_HEAD && !is_idle)
		fcgi_conn_set_deadline(c, HEAD_TIMEOUT_MS);
	else if (c->state == FCGI_CONN_BODY)
		fcgi_conn_set_deadline(c, c->server->cfg.body_timeout_ms);
}

void
fcgi_conn_read(struct fcgi_conn *c, bool is_last)
{
	struct fcgi_server *s = c->server;
	ssize_t got;

	if (c->saw_eof)
		return;
	do
		got = recv(
		    c->io.fd, s->scratch, sizeof(s->scratch), MSG_DONTWAIT);
	while (got < 0 && errno == EINTR);
	if (got > 0)
		conn_take(c, s->scratch, (size_t)got);
	else if (got == 0 || errno != EAGAIN)
		fcgi_conn_lost(c);
	/* Less than asked for was all there was (epoll(7)). */
	if (c->state != FCGI_CONN_CLOSED && !c->saw_eof)
		conn_wait(c, got > 0 && (is_last || got == FCGI_READ_SIZE));
}
