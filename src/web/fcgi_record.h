/* SPDX-License-Identifier: ISC */
/*
 * The FastCGI wire format, as far as we write and check it ourselves. Layer:
 * web, pure. Source: FastCGI Specification 1.0, sections 3.3, 3.4, 5, 8.
 */
#ifndef JOBWIRE_FCGI_RECORD_H
#define JOBWIRE_FCGI_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "base/buf.h"

enum {
	FCGI_RECORD_HEADER_LEN = 8,
	FCGI_RECORD_CONTENT_MAX =
	    65528, /* content per record we write: the largest
				    multiple of 8 below 2^16, so no padding */
	FCGI_RECORD_HEAD_MAX =
	    65536,		  /* BEGIN_REQUEST and all PARAMS together */
	FCGI_RECORD_END_LEN = 24, /* empty STDOUT, END_REQUEST */
};

enum fcgi_record_type {
	FCGI_RECORD_BEGIN_REQUEST = 1,
	FCGI_RECORD_ABORT_REQUEST = 2,
	FCGI_RECORD_END_REQUEST = 3,
	FCGI_RECORD_PARAMS = 4,
	FCGI_RECORD_STDIN = 5,
	FCGI_RECORD_STDOUT = 6,
};

enum fcgi_record_status {
	FCGI_RECORD_REQUEST_COMPLETE = 0,
	FCGI_RECORD_UNKNOWN_ROLE = 3,
};

enum fcgi_verdict {
	FCGI_VERDICT_MORE,  /* a good beginning; the rest is not there yet */
	FCGI_VERDICT_OPEN,  /* a whole, well-formed head */
	FCGI_VERDICT_ROLE,  /* well-formed, but not the RESPONDER role */
	FCGI_VERDICT_LARGE, /* longer than FCGI_RECORD_HEAD_MAX */
	/* Anything else: management records, several requests, lengths that do
	 * not add up, garbage. */
	FCGI_VERDICT_REFUSE,
};

struct fcgi_scan {
	/* Bytes of the records that were judged; after FCGI_VERDICT_OPEN, from
	 * BEGIN_REQUEST to the empty PARAMS and its padding. */
	size_t len;
	uint16_t request_id;
	bool keep_conn;
	uint8_t padding; /* of these, the last record's padding */
};

struct fcgi_record {
	uint8_t type;
	uint16_t request_id;
	uint16_t content_len;
	uint8_t padding_len;
};

/*
 * Judges the bytes a peer has sent so far. libfcgi is given only what is
 * FCGI_VERDICT_OPEN, because it blocks on half a head, reads GET_VALUES into a
 * buffer that overflows, closes the descriptor on a role it does not like, and
 * allocates what a length field asks for. It also takes the padding of
 * BEGIN_REQUEST for records; no web server pads that, so it is refused.
 *
 * *head is zeroed at first. After FCGI_VERDICT_MORE it is given again as it is,
 * with the same bytes and those that came: what was judged is not judged again,
 * so a head costs the same in however many pieces it comes.
 */
enum fcgi_verdict fcgi_scan_head(
    const unsigned char *p, size_t n, struct fcgi_scan *head);

/* False when the version is not 1. */
bool fcgi_parse_header(
    const unsigned char p[FCGI_RECORD_HEADER_LEN], struct fcgi_record *ret);

void fcgi_format_header(unsigned char p[FCGI_RECORD_HEADER_LEN],
    enum fcgi_record_type type, uint16_t request_id, size_t content_len);

/* The records that end a request. */
void fcgi_format_end(unsigned char p[FCGI_RECORD_END_LEN], uint16_t request_id,
    enum fcgi_record_status status);

/* Bytes on the wire for an answer body of n bytes. */
size_t fcgi_framed_len(size_t n);

/* A body cut into STDOUT records, ready for one writev(2). */
enum { FCGI_FRAME_RECORDS = 16 }; /* about 1 MiB */
struct fcgi_frame {
	unsigned char headers[FCGI_FRAME_RECORDS][FCGI_RECORD_HEADER_LEN];
	struct iovec iov[FCGI_FRAME_RECORDS * 2]; /* borrows body */
	size_t n;
};

/* What of the framed body follows its first `from` bytes (from <
 * fcgi_framed_len()), as far as FCGI_FRAME_RECORDS records go. So one body can
 * be shared by many requests and resumed at any byte. */
void fcgi_frame(
    struct fcgi_frame *f, uint16_t request_id, struct span body, size_t from);

#endif
