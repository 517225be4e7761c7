/* SPDX-License-Identifier: ISC */
/*
 * Formats whole answers. Streams have no Content-Length and are begun by
 * live/stream.c. Never blocks.
 */
#include "web/answer.h"

#include <stddef.h>

#include "text/json_text.h"

static const struct {
	int status;
	const char *reason;
} reasons[] = {
    {200, "OK"},
    {201, "Created"},
    {204, "No Content"},
    {400, "Bad Request"},
    {401, "Unauthorized"},
    {403, "Forbidden"},
    {404, "Not Found"},
    {405, "Method Not Allowed"},
    {406, "Not Acceptable"},
    {408, "Request Timeout"},
    {409, "Conflict"},
    {413, "Content Too Large"},
    {415, "Unsupported Media Type"},
    {422, "Unprocessable Content"},
    {429, "Too Many Requests"},
    {431, "Request Header Fields Too Large"},
    {500, "Internal Server Error"},
    {503, "Service Unavailable"},
    {507, "Insufficient Storage"},
};

static const char *
reason_of(int status)
{
	for (size_t i = 0; i < sizeof(reasons) / sizeof(reasons[0]); i++)
		if (reasons[i].status == status)
			return reasons[i].reason;
	return "Unknown";
}

void
answer_done(struct answer *a)
{
	buf_done(&a->headers);
	buf_done(&a->body);
}

void
answer_header(struct answer *a, const char *name, const char *value)
{
	buf_addf(&a->headers, "%s: %s\r\n", name, value);
}

void
answer_json(struct answer *a, int status)
{
	a->status = status;
	answer_header(a, "Content-Type", "application/json");
	answer_header(a, "Cache-Control", "no-store");
}

void
answer_error(
    struct answer *a, int status, const char *code, const char *message)
{
	buf_reset(&a->headers);
	buf_reset(&a->body);
	answer_json(a, status);
	a->code = code;
	buf_add_str(&a->body, "{\"error\":{\"code\":");
	json_text_add_quoted(&a->body, span_of(code));
	buf_add_str(&a->body, ",\"message\":");
	json_text_add_quoted(&a->body, span_of(message));
	buf_add_str(&a->body, "}}\n");
}

void
answer_format(const struct answer *a, bool for_head, struct buf *out)
{
	buf_addf(out, "Status: %d %s\r\n", a->status, reason_of(a->status));
	buf_add_span(out, buf_span(&a->headers));
	/* RFC 9110 section 8.6: none with 204; with HEAD it would be the length
	 * of a body that was not made. */
	if (a->status != 204 && !for_head)
		buf_addf(out, "Content-Length: %zu\r\n", a->body.len);
	buf_add_str(out, "\r\n");
	if (!for_head)
		buf_add_span(out, buf_span(&a->body));
	if (a->headers.failed || a->body.failed)
		out->failed = true;
}
