/* SPDX-License-Identifier: ISC */
/*
 * One row becomes one Server-Sent Event. Knows the grammar of the stream and
 * which members are ours; heartbeats, retry and the order of events are for
 * live/stream_open.c and live/stream.c. A field that could hold a line break is
 * either refused (type, epoch) or written as a JSON string (all else), so no
 * input can begin a line of its own. Never blocks.
 */
#include "web/sse.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "job/name.h"
#include "text/json_text.h"

/* Decimal without leading zeros, not above INT64_MAX. */
static bool
parse_row_id(struct span digits, int64_t *ret)
{
	int64_t n = 0;

	if (digits.n == 0 || (digits.n > 1 && *digits.p == '0'))
		return false;
	for (size_t i = 0; i < digits.n; i++) {
		int digit = digits.p[i] - '0';

		if (digit < 0 || digit > 9 || n > (INT64_MAX - digit) / 10)
			return false;
		n = n * 10 + digit;
	}
	*ret = n;
	return true;
}

static bool
is_epoch(struct span s)
{
	for (size_t i = 0; i < s.n; i++) {
		if (!(s.p[i] >= '0' && s.p[i] <= '9') &&
		    !(s.p[i] >= 'a' && s.p[i] <= 'f'))
			return false;
	}
	return true;
}

bool
sse_id_parse(struct span text, struct sse_id *ret)
{
	const struct span epoch = {text.p, SSE_EPOCH_LEN};
	struct sse_id id = {0};
	struct span row;
	const char *dot;

	if (text.n < SSE_EPOCH_LEN + 1 || text.p[SSE_EPOCH_LEN] != '-' ||
	    !is_epoch(epoch))
		return false;
	text.p += SSE_EPOCH_LEN + 1;
	text.n -= SSE_EPOCH_LEN + 1;
	dot = memchr(text.p, '.', text.n);
	row = text;
	if (dot != NULL) {
		row.n = (size_t)(dot - text.p);
		text.p += row.n + 1;
		text.n -= row.n + 1;
	}
	if (!parse_row_id(row, &id.n))
		return false;
	if (dot != NULL && (!parse_row_id(text, &id.loss) || id.loss == 0))
		return false;
	memcpy(id.epoch, epoch.p, SSE_EPOCH_LEN);
	*ret = id;
	return true;
}

void
sse_id_format(const char *epoch, int64_t n, int64_t loss, char ret[SSE_ID_SIZE])
{
	int len = snprintf(
	    ret, SSE_ID_SIZE, "%.*s-%" PRId64, SSE_EPOCH_LEN, epoch, n);

	if (loss != 0)
		snprintf(
		    ret + len, SSE_ID_SIZE - (size_t)len, ".%" PRId64, loss);
}

/* A row's data after it was checked. */
struct row {
	struct span object; /* the data, or {} where there is none */
	struct span output; /* its last member of that name; empty: none */
	bool is_omitted;    /* the output is too long to be sent */
};

/* Measured on the line that would be sent: white space does not count, and
 * U+FFFD is longer than what it replaces. */
static enum err
is_longer(struct span value, size_t max, bool *ret)
{
	struct buf line = BUF_INIT;
	bool is_whole;

	json_text_add_line(&line, value);
	is_whole = buf_ok(&line);
	*ret = line.len > max;
	buf_done(&line);
	return is_whole ? OK : ERR_NOMEM;
}

static enum err
check_row(const struct sse_event *e, struct row *ret)
{
	struct row row = {.object = SPAN_LIT("{}")};
	enum err err = OK;

	if (e->data.n > SSE_DATA_MAX)
		return ERR_LIMIT;
	if (e->data.n > 0)
		err = json_text_check(e->data, &row.object);
	if (err == OK && json_text_kind(row.object) != JSON_TEXT_OBJECT)
		err = ERR_PROTO;
	if (err == OK && json_text_get(row.object, "output", &row.output))
		err = is_longer(row.output, e->inline_output, &row.is_omitted);
	if (err == OK)
		*ret = row;
	return err;
}

static void
add_leading_members(struct buf *out, const struct sse_event *e)
{
	buf_add_str(out, "{\"job_id\":");
	json_text_add_quoted(out, span_of(e->job_id));
	if (e->restore_id != NULL) {
		buf_add_str(out, ",\"restore_id\":");
		json_text_add_quoted(out, span_of(e->restore_id));
	}
	buf_add_str(out, ",\"status\":");
	json_text_add_quoted(out, span_of(e->status));
}

static void
add_member(struct buf *out, struct span key, struct span value)
{
	buf_add_char(out, ',');
	json_text_add_line(
	    out, (struct span){key.p - 1, key.n + 2}); /* quotes */
	buf_add_char(out, ':');
	json_text_add_line(out, value);
}

/* Of several outputs the last one counts, as for every JSON.parse; the others
 * go, or a page could take a stale one for the one that was left out. */
static bool
is_dropped(const struct row *row, struct span key, struct span value)
{
	return json_text_key_is(key, "job_id") ||
	       json_text_key_is(key, "restore_id") ||
	       json_text_key_is(key, "status") ||
	       (row->is_omitted && json_text_key_is(key, "output_omitted")) ||
	       (json_text_key_is(key, "output") && value.p != row->output.p);
}

static void
add_row(struct buf *out, const struct sse_event *e, const struct row *row)
{
	struct json_text_iter it = {.rest = row->object};
	struct span key, value;

	add_leading_members(out, e);
	while (json_text_next(&it, &key, &value)) {
		if (is_dropped(row, key, value))
			continue;
		if (row->is_omitted && value.p == row->output.p)
			buf_add_str(out, ",\"output_omitted\":true");
		else
			add_member(out, key, value);
	}
	buf_add_char(out, '}');
}

enum err
sse_add_data(struct buf *out, const struct sse_event *e)
{
	struct row row;
	enum err err = check_row(e, &row);

	if (err != OK)
		return err;
	add_row(out, e, &row);
	return buf_ok(out) ? OK : ERR_NOMEM;
}

/* Between tokens JSON allows the line ends that a reader puts between the
 * lines of an event's data. */
static void
add_data_lines(struct buf *out, struct span json)
{
	size_t n;

	for (; json.n > 0; json.p += n, json.n -= n) {
		n = json.n <= SSE_LINE_MAX ? json.n
					   : json_text_fit(json, SSE_LINE_MAX);
		buf_add_str(out, "data: ");
		buf_add(out, json.p, n);
		buf_add_char(out, '\n');
	}
}

enum err
sse_add_event(struct buf *out, const struct sse_event *e)
{
	char id[SSE_ID_SIZE] = "";
	struct buf json = BUF_INIT;
	struct sse_id parsed;
	enum err err;

	if (!job_type_ok(span_of(e->type)))
		return ERR_PROTO;
	if (e->id != 0) {
		sse_id_format(e->epoch, e->id, e->loss, id);
		if (!sse_id_parse(span_of(id), &parsed))
			return ERR_PROTO;
	}
	err = sse_add_data(&json, e);
	if (err == OK) {
		if (e->id != 0)
			buf_addf(out, "id: %s\n", id);
		buf_addf(out, "event: %s\n", e->type);
		add_data_lines(out, buf_span(&json));
		buf_add_char(out, '\n');
		err = buf_ok(out) ? OK : ERR_NOMEM;
	}
	buf_done(&json);
	return err;
}

void
sse_add_resync(struct buf *out, const char *epoch, const char *reason)
{
	char id[SSE_ID_SIZE];

	sse_id_format(epoch, 0, 0, id);
	buf_addf(out, "id: %s\nevent: resync\ndata: {\"reason\":\"%s\"}\n\n",
	    id, reason);
}

void
sse_add_id(struct buf *out, const char *epoch, int64_t n, int64_t loss)
{
	char id[SSE_ID_SIZE];

	sse_id_format(epoch, n, loss, id);
	buf_addf(out, "id: %s\n", id);
}
