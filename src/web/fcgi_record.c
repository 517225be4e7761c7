/* SPDX-License-Identifier: ISC */
/*
 * Checks FastCGI heads before libfcgi sees them, and formats the few records
 * that fcgi_out.c sends. Pure: its caller keeps the bytes and how far they were
 * judged.
 */
#include "web/fcgi_record.h"

#include <string.h>

enum {
	VERSION_1 = 1,
	ROLE_RESPONDER = 1,
	FLAG_KEEP_CONN = 1,
	BEGIN_LEN = FCGI_RECORD_HEADER_LEN + 8,
};

bool
fcgi_parse_header(
    const unsigned char p[FCGI_RECORD_HEADER_LEN], struct fcgi_record *ret)
{
	if (p[0] != VERSION_1)
		return false;
	ret->type = p[1];
	ret->request_id = (uint16_t)(p[2] << 8 | p[3]);
	ret->content_len = (uint16_t)(p[4] << 8 | p[5]);
	ret->padding_len = p[6];
	return true;
}

void
fcgi_format_header(unsigned char p[FCGI_RECORD_HEADER_LEN],
    enum fcgi_record_type type, uint16_t request_id, size_t content_len)
{
	p[0] = VERSION_1;
	p[1] = (unsigned char)type;
	p[2] = (unsigned char)(request_id >> 8);
	p[3] = (unsigned char)(request_id & 0xff);
	p[4] = (unsigned char)(content_len >> 8 & 0xff);
	p[5] = (unsigned char)(content_len & 0xff);
	p[6] = 0;
	p[7] = 0;
}

void
fcgi_format_end(unsigned char p[FCGI_RECORD_END_LEN], uint16_t request_id,
    enum fcgi_record_status status)
{
	fcgi_format_header(p, FCGI_RECORD_STDOUT, request_id, 0);
	fcgi_format_header(p + 8, FCGI_RECORD_END_REQUEST, request_id, 8);
	memset(p + 16, 0, 8); /* application status 0 */
	p[20] = (unsigned char)status;
}

/* Walks the content of consecutive PARAMS records as one stream of bytes. */
struct params {
	const unsigned char *p; /* next record's header, or content */
	size_t left;		/* content left in the present record */
	size_t padding;		/* after that content */
	bool is_end;		/* the empty PARAMS record was reached */
};

/* Makes the next content byte available; false at the end of the stream. The
 * records were checked by scan_params() before. */
static bool
params_fill(struct params *s)
{
	struct fcgi_record r = {0};

	while (s->left == 0 && !s->is_end) {
		s->p += s->padding;
		(void)fcgi_parse_header(s->p, &r);
		s->p += FCGI_RECORD_HEADER_LEN;
		s->left = r.content_len;
		s->padding = r.padding_len;
		s->is_end = r.content_len == 0;
	}
	return !s->is_end;
}

static bool
params_skip(struct params *s, size_t n)
{
	size_t step;

	while (n > 0) {
		if (!params_fill(s))
			return false;
		step = n < s->left ? n : s->left;
		s->p += step;
		s->left -= step;
		n -= step;
	}
	return true;
}

/* A length of one byte, or of four with the top bit set (section 3.4). */
static bool
params_length(struct params *s, size_t *ret)
{
	size_t len;

	if (!params_fill(s))
		return false;
	len = *s->p;
	if (!params_skip(s, 1))
		return false;
	if ((len & 0x80) != 0) {
		len &= 0x7f;
		for (int i = 0; i < 3; i++) {
			if (!params_fill(s))
				return false;
			len = len << 8 | *s->p;
			(void)params_skip(s, 1);
		}
	}
	*ret = len;
	return true;
}

/* Do the name-value pairs end exactly where the stream ends? */
static bool
params_add_up(const unsigned char *first_record)
{
	struct params s = {first_record, 0, 0, false};
	size_t name_len, value_len;

	while (params_fill(&s)) {
		if (!params_length(&s, &name_len) ||
		    !params_length(&s, &value_len) ||
		    !params_skip(&s, name_len + value_len))
			return false;
	}
	return true;
}

/* BEGIN_REQUEST; with FCGI_VERDICT_OPEN it is whole. */
static enum fcgi_verdict
scan_begin(const unsigned char *p, size_t n, struct fcgi_scan *head)
{
	struct fcgi_record r = {0};

	if (n > 0 && p[0] != VERSION_1)
		return FCGI_VERDICT_REFUSE;
	if (n < FCGI_RECORD_HEADER_LEN)
		return FCGI_VERDICT_MORE;
	if (!fcgi_parse_header(p, &r) || r.type != FCGI_RECORD_BEGIN_REQUEST ||
	    r.request_id == 0 || r.content_len != 8 || r.padding_len != 0)
		return FCGI_VERDICT_REFUSE;
	if (n < BEGIN_LEN)
		return FCGI_VERDICT_MORE;
	head->len = BEGIN_LEN;
	head->request_id = r.request_id;
	head->keep_conn = (p[10] & FLAG_KEEP_CONN) != 0;
	return FCGI_VERDICT_OPEN;
}

/*
 * From the first record that was not whole before to the empty PARAMS. Every
 * header that is there is judged at once, so garbage is refused without waiting
 * for more.
 */
static enum fcgi_verdict
scan_params(const unsigned char *p, size_t n, struct fcgi_scan *head)
{
	struct fcgi_record r = {0};
	size_t end;

	do {
		if (n - head->len < FCGI_RECORD_HEADER_LEN)
			return n >= FCGI_RECORD_HEAD_MAX ? FCGI_VERDICT_LARGE
							 : FCGI_VERDICT_MORE;
		if (!fcgi_parse_header(p + head->len, &r) ||
		    r.type != FCGI_RECORD_PARAMS ||
		    r.request_id != head->request_id)
			return FCGI_VERDICT_REFUSE;
		end = head->len + FCGI_RECORD_HEADER_LEN + r.content_len +
		      r.padding_len;
		if (end > FCGI_RECORD_HEAD_MAX)
			return FCGI_VERDICT_LARGE;
		if (end > n)
			return FCGI_VERDICT_MORE;
		head->len = end;
	} while (r.content_len > 0);
	head->padding = r.padding_len;
	return params_add_up(p + BEGIN_LEN) ? FCGI_VERDICT_OPEN
					    : FCGI_VERDICT_REFUSE;
}

enum fcgi_verdict
fcgi_scan_head(const unsigned char *p, size_t n, struct fcgi_scan *head)
{
	enum fcgi_verdict verdict = FCGI_VERDICT_OPEN;

	if (head->len == 0)
		verdict = scan_begin(p, n, head);
	if (verdict == FCGI_VERDICT_OPEN)
		verdict = scan_params(p, n, head);
	if (verdict == FCGI_VERDICT_OPEN &&
	    (p[8] << 8 | p[9]) != ROLE_RESPONDER)
		verdict = FCGI_VERDICT_ROLE;
	return verdict;
}

size_t
fcgi_framed_len(size_t n)
{
	size_t records =
	    (n + FCGI_RECORD_CONTENT_MAX - 1) / FCGI_RECORD_CONTENT_MAX;

	return n + records * FCGI_RECORD_HEADER_LEN;
}

void
fcgi_frame(
    struct fcgi_frame *f, uint16_t request_id, struct span body, size_t from)
{
	const size_t step = FCGI_RECORD_CONTENT_MAX + FCGI_RECORD_HEADER_LEN;
	size_t skip = from % step; /* bytes of the first record to leave out */
	size_t at = from / step * FCGI_RECORD_CONTENT_MAX, len;
	char *content;

	f->n = 0;
	for (int i = 0; i < FCGI_FRAME_RECORDS && at < body.n; i++) {
		len = body.n - at;
		len = len < FCGI_RECORD_CONTENT_MAX ? len
						    : FCGI_RECORD_CONTENT_MAX;
		fcgi_format_header(
		    f->headers[i], FCGI_RECORD_STDOUT, request_id, len);
		if (skip < FCGI_RECORD_HEADER_LEN) {
			f->iov[f->n++] = (struct iovec){f->headers[i] + skip,
			    FCGI_RECORD_HEADER_LEN - skip};
			skip = FCGI_RECORD_HEADER_LEN;
		}
		skip -= FCGI_RECORD_HEADER_LEN;
		/* iovec has no const; sendmsg does not write. */
		memcpy(&content, &body.p, sizeof(content));
		f->iov[f->n++] =
		    (struct iovec){content + at + skip, len - skip};
		skip = 0;
		at += len;
	}
}
