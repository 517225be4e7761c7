/* SPDX-License-Identifier: ISC */
/*
 * Reads an event stream as the HTML Standard, sections 9.2.5 and 9.2.6, says:
 * written from it, so that nothing in it is taken from web/sse.c.
 */
#ifndef JOBWIRE_SSE_PARSER_H
#define JOBWIRE_SSE_PARSER_H

#include <stddef.h>
#include <string.h>

#include "base/buf.h"

struct parser {
	struct buf data, type, id, last_id;
	struct buf *out;
};

static inline void
parser_dispatch(struct parser *p)
{
	buf_reset(&p->last_id);
	buf_add_span(&p->last_id, buf_span(&p->id));
	if (p->data.len > 0) {
		buf_addf(
		    p->out, "{%s|", p->type.len > 0 ? p->type.data : "message");
		buf_add_span(p->out, buf_span(&p->last_id));
		buf_add_char(p->out, '|');
		buf_add(p->out, p->data.data, p->data.len - 1); /* no last LF */
		buf_add_char(p->out, '}');
	}
	buf_reset(&p->data);
	buf_reset(&p->type);
}

static inline void
parser_field(struct parser *p, struct span name, struct span value)
{
	if (span_eq_str(name, "data")) {
		buf_add_span(&p->data, value);
		buf_add_char(&p->data, '\n');
	} else if (span_eq_str(name, "event")) {
		buf_reset(&p->type);
		buf_add_span(&p->type, value);
	} else if (span_eq_str(name, "id") &&
		   memchr(value.p, '\0', value.n) == NULL) {
		buf_reset(&p->id);
		buf_add_span(&p->id, value);
	}
}

static inline void
parser_line(struct parser *p, struct span line)
{
	const char *colon = memchr(line.p, ':', line.n);
	struct span name = line, value = {"", 0};

	if (line.n == 0) {
		parser_dispatch(p);
		return;
	}
	if (colon != NULL) {
		name.n = (size_t)(colon - line.p);
		value = (struct span){colon + 1, line.n - name.n - 1};
	}
	if (value.n > 0 && *value.p == ' ') {
		value.p++;
		value.n--;
	}
	if (name.n > 0)
		parser_field(p, name, value);
}

/* Each event becomes `{type|last event id|data}` in *out. */
static inline void
parse(struct span in, struct buf *out)
{
	struct parser p = {.out = out};
	size_t start = 0;

	if (in.n >= 3 && memcmp(in.p, "\xEF\xBB\xBF", 3) == 0)
		start = 3;
	for (size_t i = start; i < in.n; i++) {
		if (in.p[i] != '\n' && in.p[i] != '\r')
			continue;
		parser_line(&p, (struct span){in.p + start, i - start});
		if (in.p[i] == '\r' && i + 1 < in.n && in.p[i + 1] == '\n')
			i++;
		start = i + 1;
	}
	buf_done(&p.data);
	buf_done(&p.type);
	buf_done(&p.id);
	buf_done(&p.last_id);
}

#endif
