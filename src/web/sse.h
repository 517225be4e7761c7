/* SPDX-License-Identifier: ISC */
/*
 * Writes Server-Sent Events (HTML Standard section 9.2.6) and reads the ids we
 * gave. Layer: web, pure.
 */
#ifndef JOBWIRE_SSE_H
#define JOBWIRE_SSE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

enum {
	SSE_EPOCH_LEN = 8, /* hex digits */
	SSE_ID_SIZE = 8 + 1 + 19 + 1 + 19 + 1,
	SSE_DATA_MAX = 1 << 20, /* bytes of a row's data that we pass on */
	/* Bytes of data in a line, but for longer tokens: there are clients
	 * that read lines of 64 KiB at most (Go's bufio.Scanner). */
	SSE_LINE_MAX = 32000,
};

/* The header fields that every event stream has. */
#define SSE_HEADERS                                                            \
	"Content-Type: text/event-stream; charset=utf-8\r\n"                   \
	"Cache-Control: no-cache, no-transform\r\n"                            \
	"X-Accel-Buffering: no\r\n"

/* A row's id, as clients hand it back. */
struct sse_id {
	char epoch[SSE_EPOCH_LEN + 1];
	int64_t n;    /* row id, >= 0 */
	int64_t loss; /* 0, or which losses its client knows of */
};

/* `<epoch>-<n>`, or `<epoch>-<n>.<loss>` where loss is not 0, strictly: 8
 * lower-case hex digits, dash, decimals without leading zeros that fit an
 * int64_t. False for all else. */
bool sse_id_parse(struct span text, struct sse_id *ret);
void sse_id_format(
    const char *epoch, int64_t n, int64_t loss, char ret[SSE_ID_SIZE]);

/* What one row becomes. */
struct sse_event {
	const char *epoch;
	int64_t id;   /* 0: no id line */
	int64_t loss; /* as in its id */
	const char *type;
	const char *job_id;
	const char *restore_id; /* NULL: not known */
	const char *status;
	const char *origin; /* the cluster's node that took it; NULL: none */
	int64_t seq;	    /* which of its events this is; with origin */
	struct span data;   /* the row's JSON object; empty: none */
	size_t inline_output;
};

/*
 * Appends the event's data: one line of JSON that begins with job_id,
 * restore_id (where known), status, and origin and seq (where given), then the
 * row's own members except these; an `output` longer than inline_output bytes
 * (as the line it would be) is left out and `"output_omitted":true` stands for
 * it. Of several outputs only the last counts. ERR_PROTO when data is not a
 * JSON object; ERR_LIMIT when it is longer than SSE_DATA_MAX or nested deeper
 * than JSON_TEXT_DEPTH_MAX; ERR_NOMEM. On error nothing was appended (without
 * memory, *out may have failed).
 */
CHECK_RESULT enum err sse_add_data(struct buf *out, const struct sse_event *e);

/* Appends `id:`, `event:`, `data:` and the empty line; data above SSE_LINE_MAX
 * as several lines, cut between tokens. Errors as above, and
 * ERR_PROTO for a type that job_type_ok() refuses or an epoch and id that
 * sse_id_parse() would refuse (either could break the line). */
CHECK_RESULT enum err sse_add_event(struct buf *out, const struct sse_event *e);

/* Appends an id alone, without the empty line that ends an event: many clients
 * hand an event without data to the page. So it counts with the next event,
 * unless that has an id of its own (HTML Standard section 9.2.6: the last event
 * ID is set when an event is dispatched). */
void sse_add_id(struct buf *out, const char *epoch, int64_t n, int64_t loss);

/* Appends the event that tells a client that history was lost (`reason` is one
 * of the contract's words). Its id `<epoch>-0` moves the client's
 * Last-Event-ID into this epoch, so that it is not told twice. */
void sse_add_resync(struct buf *out, const char *epoch, const char *reason);

#endif
