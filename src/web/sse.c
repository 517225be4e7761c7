/* SPDX-License-Identifier: ISC */
/*
 * One row becomes one Server-Sent Event. Knows the grammar of the stream and
 * which members are ours; heartbeats, retry and the order of events are for
 * live/stream.c. A field that could hold a line break is either refused (type,
 * epoch) or written as a JSON string (all else), so no input can begin a line
 * of its own. Never blocks.
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

/* The row's data, or {} where there is none. */
static enum err
check_data(const struct sse_event *e, struct span *ret)
{
	struct span object = SPAN_LIT("{}");
	enum err err = OK;

	if (e->data.n > SSE_DATA_MAX)
		return ERR_LIMIT;
	if (e->data.n > 0)
		err = json_text_check(e->data, &object);
	if (err == OK && json_text_kind(object) != JSON_TEXT_OBJECT)
		err = ERR_PROTO;
	if (err == OK)
		*ret = object;
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
	if (e->origin != NULL) {
		buf_add_str(out, ",\"origin\":");
		json_text_add_quoted(out, span_of(e->origin));
		buf_addf(out, ",\"seq\":%" PRId64, e->seq);
	}
}

/* A member as it stands in the buffer, with the comma before it; n is 0: there
 * is none. */
struct member {
	size_t at, n;
	size_t value_n; /* of these bytes, those of its value */
};

/* Puts the text in its place; `other` may stand behind it. */
static void
replace(
    struct buf *out, struct member *m, struct span text, struct member *other)
{
	const size_t end = m->at + m->n;

	if (m->n == 0)
		return;
	buf_reserve(out, text.n);
	if (!buf_ok(out))
		return;
	memmove(out->data + m->at + text.n, out->data + end, out->len - end);
	memcpy(out->data + m->at, text.p, text.n);
	out->len = out->len - m->n + text.n;
	out->data[out->len] = '\0';
	if (other->at > m->at)
		other->at = other->at - m->n + text.n;
	m->n = 0;
}

static struct member
add_member(struct buf *out, struct span key, struct span value)
{
	struct member m = {.at = out->len};

	buf_add_char(out, ',');
	json_text_add_line(
	    out, (struct span){key.p - 1, key.n + 2}); /* quotes */
	buf_add_char(out, ':');
	m.value_n = out->len;
	json_text_add_line(out, value);
	m.n = out->len - m.at;
	m.value_n = out->len - m.value_n;
	return m;
}

/* Those that we write ourselves. */
static bool
is_ours(const struct sse_event *e, struct span key)
{
	return json_text_key_is(key, "job_id") ||
	       json_text_key_is(key, "restore_id") ||
	       json_text_key_is(key, "status") ||
	       (e->origin != NULL && (json_text_key_is(key, "origin") ||
					 json_text_key_is(key, "seq")));
}

/* Of several outputs the last one counts, as for every JSON.parse; the others
 * go, or a page could take a stale one for the one that was left out. How long
 * it is can be said of the line that would be sent: without white space, and
 * with U+FFFD for less. */
static void
add_members(struct buf *out, const struct sse_event *e, struct span object)
{
	const struct span nothing = SPAN_LIT("");
	struct json_text_iter it = {.rest = object};
	struct member output = {0}, omitted = {0};
	struct span key, value;

	while (json_text_next(&it, &key, &value)) {
		if (is_ours(e, key))
			continue;
		if (json_text_key_is(key, "output")) {
			replace(out, &output, nothing, &omitted);
			output = add_member(out, key, value);
		} else if (json_text_key_is(key, "output_omitted")) {
			replace(out, &omitted, nothing, &output);
			omitted = add_member(out, key, value);
		} else {
			(void)add_member(out, key, value);
		}
	}
	if (output.value_n <= e->inline_output)
		return;
	replace(out, &omitted, nothing, &output);
	replace(out, &output, SPAN_LIT(",\"output_omitted\":true"), &omitted);
}

enum err
sse_add_data(struct buf *out, const struct sse_event *e)
{
	struct span object;
	enum err err = check_data(e, &object);

	if (err != OK)
		return err;
	add_leading_members(out, e);
	add_members(out, e, object);
	buf_add_char(out, '}');
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
