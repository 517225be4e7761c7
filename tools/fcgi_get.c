/* SPDX-License-Identifier: ISC */
/*
 * A FastCGI client of one request (FastCGI specification, section 3). Blocks.
 */
#include "fcgi_get.h"

#include <sys/socket.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "io/sock.h"
#include "web/fcgi_record.h"

enum { REQUEST_ID = 1 };

static void
add_record(struct buf *out, enum fcgi_record_type type, struct span content)
{
	unsigned char header[FCGI_RECORD_HEADER_LEN];

	fcgi_format_header(header, type, REQUEST_ID, content.n);
	buf_add(out, header, sizeof(header));
	buf_add_span(out, content);
}

/* Both are short. */
static void
add_param(struct buf *out, const char *name, const char *value)
{
	buf_add_char(out, (char)strlen(name));
	buf_add_char(out, (char)strlen(value));
	buf_add_str(out, name);
	buf_add_str(out, value);
}

/* The role RESPONDER, and the connection is closed after the answer. */
static void
make_request(const char *path, struct buf *ret)
{
	static const char begin[8] = {0, 1};
	struct buf params = BUF_INIT;

	add_param(&params, "REQUEST_METHOD", "GET");
	add_param(&params, "REQUEST_URI", path);
	add_record(ret, FCGI_RECORD_BEGIN_REQUEST,
	    (struct span){begin, sizeof(begin)});
	add_record(ret, FCGI_RECORD_PARAMS, buf_span(&params));
	add_record(ret, FCGI_RECORD_PARAMS, SPAN_LIT(""));
	add_record(ret, FCGI_RECORD_STDIN, SPAN_LIT(""));
	ret->failed = ret->failed || !buf_ok(&params);
	buf_done(&params);
}

/* What is sent back until the connection is closed. errno: why not. */
static bool
exchange(int fd, struct span request, size_t max, struct buf *ret)
{
	int64_t end_us = clock_mono_us() + FCGI_GET_WAIT_MS * INT64_C(1000);
	char bytes[4096];
	ssize_t n = send(fd, request.p, request.n, MSG_NOSIGNAL);

	if (n != (ssize_t)request.n)
		return false;
	while ((n = recv(fd, bytes, sizeof(bytes), 0)) > 0) {
		buf_add(ret, bytes, (size_t)n);
		if (ret->len > max || clock_mono_us() > end_us) {
			errno = EAGAIN;
			break;
		}
	}
	return n == 0;
}

/* What is in the records of STDOUT. False: it is no whole answer. */
static bool
unpack(struct span records, struct buf *ret)
{
	struct fcgi_record r;
	size_t len;

	while (records.n >= FCGI_RECORD_HEADER_LEN &&
	       fcgi_parse_header((const unsigned char *)records.p, &r)) {
		len = FCGI_RECORD_HEADER_LEN + (size_t)r.content_len +
		      r.padding_len;
		if (len > records.n)
			return false;
		if (r.type == FCGI_RECORD_STDOUT)
			buf_add(ret, records.p + FCGI_RECORD_HEADER_LEN,
			    r.content_len);
		if (r.type == FCGI_RECORD_END_REQUEST)
			return buf_ok(ret);
		records.p += len;
		records.n -= len;
	}
	return false;
}

/* Takes the header fields off. */
static enum err
take_answer(struct span records, int *ret_status, struct buf *ret_body)
{
	struct buf answer = BUF_INIT;
	const char *body = NULL;
	int status;
	enum err e = ERR_PROTO;

	if (unpack(records, &answer) && answer.len > 0)
		body = strstr(answer.data, "\r\n\r\n");
	if (body != NULL && sscanf(answer.data, "Status: %d", &status) == 1) {
		buf_add_str(ret_body, body + 4);
		*ret_status = status;
		e = buf_ok(ret_body) ? OK : ERR_NOMEM;
	}
	buf_done(&answer);
	return e;
}

enum err
fcgi_get(const char *spec, const char *path, size_t max, int *ret_status,
    struct buf *ret_body)
{
	struct buf request = BUF_INIT, records = BUF_INIT;
	int fd = -1, error = ENOMEM;
	enum err e = ERR_NOMEM;

	make_request(path, &request);
	if (!buf_ok(&request))
		goto out;
	e = ERR_SYS;
	if (sock_connect(spec, FCGI_GET_WAIT_MS, &fd) == OK &&
	    exchange(fd, buf_span(&request), max, &records))
		e = take_answer(buf_span(&records), ret_status, ret_body);
	error = errno;
out:
	if (fd != -1)
		(void)close(fd);
	buf_done(&request);
	buf_done(&records);
	errno = error;
	return e;
}
