/* SPDX-License-Identifier: ISC */
/*
 * The FastCGI wire format, as far as we write and check it ourselves. Layer:
 * web, pure. Source: FastCGI Specification 1.0, sections 3.3, 3.4, 5, 8.
 */
#ifndef JOBWIRE_FCGI_GATE_H
#define JOBWIRE_FCGI_GATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "base/buf.h"

enum {
	GATE_HEADER_LEN = 8,
	GATE_RECORD_MAX = 65528, /* content per record we write: the largest
				    multiple of 8 below 2^16, so no padding */
	GATE_HEAD_MAX = 65536,	 /* BEGIN_REQUEST and all PARAMS together */
	GATE_END_LEN = 24,	 /* empty STDOUT, END_REQUEST */
};

enum gate_type {
	GATE_BEGIN_REQUEST = 1,
	GATE_ABORT_REQUEST = 2,
	GATE_END_REQUEST = 3,
	GATE_PARAMS = 4,
	GATE_STDIN = 5,
	GATE_STDOUT = 6,
};

enum gate_status {
	GATE_REQUEST_COMPLETE = 0,
	GATE_UNKNOWN_ROLE = 3,
};

enum gate_verdict {
	GATE_MORE,   /* a good beginning; the rest is not there yet */
	GATE_OPEN,   /* a whole, well-formed head */
	GATE_ROLE,   /* well-formed, but not the RESPONDER role */
	GATE_LARGE,  /* longer than GATE_HEAD_MAX */
	GATE_REFUSE, /* anything else: management records, several requests,
			lengths that do not add up, garbage */
};

struct gate_head {
	/* Bytes of the records that were judged; when the gate is open, from
	 * BEGIN_REQUEST to the empty PARAMS and its padding. */
	size_t len;
	uint16_t request_id;
	bool keep_conn;
	uint8_t padding; /* of these, the last record's padding */
};

struct gate_record {
	uint8_t type;
	uint16_t request_id;
	uint16_t content_len;
	uint8_t padding_len;
};

/*
 * Judges the bytes a peer has sent so far. libfcgi is given only what is
 * GATE_OPEN, because it blocks on half a head, reads GET_VALUES into a buffer
 * that overflows, closes the descriptor on a role it does not like, and
 * allocates what a length field asks for. It also takes the padding of
 * BEGIN_REQUEST for records; no web server pads that, so it is refused.
 *
 * *head is zeroed at first. After GATE_MORE it is given again as it is, with
 * the same bytes and those that came: what was judged is not judged again, so a
 * head costs the same in however many pieces it comes.
 */
enum gate_verdict gate_scan(
    const unsigned char *p, size_t n, struct gate_head *head);

/* False when the version is not 1. */
bool gate_parse_header(
    const unsigned char p[GATE_HEADER_LEN], struct gate_record *ret);

void gate_format_header(unsigned char p[GATE_HEADER_LEN], enum gate_type type,
    uint16_t request_id, size_t content_len);

/* The records that end a request. */
void gate_format_end(unsigned char p[GATE_END_LEN], uint16_t request_id,
    enum gate_status status);

/* Bytes on the wire for an answer body of n bytes. */
size_t gate_framed_len(size_t n);

/* A body cut into STDOUT records, ready for one writev(2). */
enum { GATE_FRAME_RECORDS = 16 }; /* about 1 MiB */
struct gate_frame {
	unsigned char headers[GATE_FRAME_RECORDS][GATE_HEADER_LEN];
	struct iovec iov[GATE_FRAME_RECORDS * 2]; /* borrows body */
	size_t n;
};

/* What of the framed body follows its first `from` bytes (from <
 * gate_framed_len()), as far as GATE_FRAME_RECORDS records go. So one body can
 * be shared by many requests and resumed at any byte. */
void gate_frame(
    struct gate_frame *f, uint16_t request_id, struct span body, size_t from);

#endif
