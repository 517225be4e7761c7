/* SPDX-License-Identifier: ISC */
/*
 * web/sse.c. What it writes is read back by the parser of sse_parser.h, which
 * the format cases of web-platform-tests (eventsource/format-*) check first.
 */
#include "web/sse.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "alloc_fail.h"
#include "sse_parser.h"
#include "text/json_text.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define EPOCH "7f3a09c1"

static void
assert_parsed(struct span in, struct span expected)
{
	struct buf out = BUF_INIT;

	parse(in, &out);
	assert_int_equal(out.len, expected.n);
	assert_true(span_eq(buf_span(&out), expected));
	buf_done(&out);
}

static void
test_parser_reads_wpt(void **state)
{
	const struct span cases[][2] = {
	    /* format-bom, format-bom-2 */
	    {SPAN_LIT("\xEF\xBB\xBF"
		      "data:1\n\n\xEF\xBB\xBF"
		      "data:2\n\n"
		      "data:3\n\n"),
		SPAN_LIT("{message||1}{message||3}")},
	    /* format-comments */
	    {SPAN_LIT("data:1\r:\0\n:\r\ndata:2\n:xx\rdata:3\n:data:fail\r"
		      ":xx\ndata:4\n\n"),
		SPAN_LIT("{message||1\n2\n3\n4}")},
	    /* format-data-before-final-empty-line */
	    {SPAN_LIT("retry:1000\ndata:test1\n\nid:test\ndata:test2"),
		SPAN_LIT("{message||test1}")},
	    /* format-field-data */
	    {SPAN_LIT("data:\n\ndata\ndata\n\ndata:test\n\n"),
		SPAN_LIT("{message||}{message||\n}{message||test}")},
	    /* format-field-event, format-field-event-empty */
	    {SPAN_LIT("event:test\ndata:x\n\ndata:x\n\nevent: \ndata:y\n\n"),
		SPAN_LIT("{test||x}{message||x}{message||y}")},
	    {SPAN_LIT("event:lost\n\ndata:x\n\n"), SPAN_LIT("{message||x}")},
	    /* format-field-id, -2, -3, and -null */
	    {SPAN_LIT("id: 1\ndata: 1\n\ndata:2\n\nid\ndata:3\n\n"),
		SPAN_LIT("{message|1|1}{message|1|2}{message||3}")},
	    {SPAN_LIT("id: 1\nid: a\0b\ndata: 1\n\n"),
		SPAN_LIT("{message|1|1}")},
	    /* format-field-parsing */
	    {SPAN_LIT("data:\0\ndata:  2\rData:1\ndata\0:2\ndata:1\r\0data:4\n"
		      "da-ta:3\rdata_5\ndata:3\rdata:\r\n data:32\ndata:4\n\n"),
		SPAN_LIT("{message||\0\n 2\n1\n3\n\n4}")},
	    /* format-field-unknown */
	    {SPAN_LIT("data:test\n data\ndata\nfoobar:xxx\njustsometext\n"
		      ":comment\ndata:test\n\n"),
		SPAN_LIT("{message||test\n\ntest}")},
	    /* format-leading-space */
	    {SPAN_LIT("data:\ttest\rdata: \ndata:test\n\n"),
		SPAN_LIT("{message||\ttest\n\ntest}")},
	    /* format-newlines */
	    {SPAN_LIT("data:test\r\ndata\ndata:test\r\n\r"),
		SPAN_LIT("{message||test\n\ntest}")},
	    /* format-null-character, format-utf-8 */
	    {SPAN_LIT("data:\0\n\n\n\n"), SPAN_LIT("{message||\0}")},
	    {SPAN_LIT("data:ok\xE2\x80\xA6\n\n"),
		SPAN_LIT("{message||ok\xE2\x80\xA6}")},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++)
		assert_parsed(cases[i][0], cases[i][1]);
}

static struct sse_event
event(const char *data)
{
	return (struct sse_event){.epoch = EPOCH,
	    .id = 42,
	    .type = "completed",
	    .job_id = "123",
	    .status = "completed",
	    .data = span_of(data),
	    .inline_output = 4096};
}

static void
assert_data_of(const struct sse_event *e, const char *expected)
{
	struct buf out = BUF_INIT;

	assert_int_equal(sse_add_data(&out, e), OK);
	assert_string_equal(out.data, expected);
	buf_done(&out);
}

/* In a cluster the row's own are not taken for these two; elsewhere they are
 * the row's own. */
static void
test_origin(void **state)
{
	struct sse_event e = event("{\"origin\":\"x\",\"seq\":1,\"a\":2}");

	(void)state;
	assert_data_of(&e, "{\"job_id\":\"123\",\"status\":\"completed\","
			   "\"origin\":\"x\",\"seq\":1,\"a\":2}");
	e.origin = "node-1";
	e.seq = INT64_C(9007199254740992);
	assert_data_of(&e,
	    "{\"job_id\":\"123\",\"status\":\"completed\","
	    "\"origin\":\"node-1\",\"seq\":9007199254740992,\"a\":2}");
}

/* `members` follow the leading ones. */
static void
assert_data(const char *data, const char *members)
{
	struct sse_event e = event(data);
	struct buf expected = BUF_INIT;

	buf_addf(&expected, "{\"job_id\":\"123\",\"status\":\"completed\"%s}",
	    members);
	assert_data_of(&e, expected.data);
	buf_done(&expected);
}

static void
test_event_golden(void **state)
{
	struct sse_event e = event("{\"output\":{\"a\":1}}");
	struct buf out = BUF_INIT;

	(void)state;
	e.restore_id = "456";
	assert_int_equal(sse_add_event(&out, &e), OK);
	e.id = 0;
	e.epoch = NULL;
	e.data = (struct span){NULL, 0};
	e.type = "note";
	assert_int_equal(sse_add_event(&out, &e), OK);
	assert_string_equal(out.data,
	    "id: 7f3a09c1-42\n"
	    "event: completed\n"
	    "data: {\"job_id\":\"123\",\"restore_id\":\"456\","
	    "\"status\":\"completed\",\"output\":{\"a\":1}}\n"
	    "\n"
	    "event: note\n"
	    "data: {\"job_id\":\"123\",\"restore_id\":\"456\","
	    "\"status\":\"completed\"}\n"
	    "\n");
	assert_parsed(buf_span(&out),
	    SPAN_LIT("{completed|7f3a09c1-42|{\"job_id\":\"123\","
		     "\"restore_id\":\"456\",\"status\":\"completed\","
		     "\"output\":{\"a\":1}}}"
		     "{note|7f3a09c1-42|{\"job_id\":\"123\","
		     "\"restore_id\":\"456\",\"status\":\"completed\"}}"));
	buf_done(&out);
}

static void
test_data_passes_as_text(void **state)
{
	(void)state;
	assert_data("", "");
	assert_data("{}", "");
	assert_data(" { \n} ", "");
	assert_data("{\"seed\":1966191880143586601,\"x\":1e400,\"y\":-0,"
		    "\"z\":0.1,\"w\":1E+2}",
	    ",\"seed\":1966191880143586601,\"x\":1e400,\"y\":-0,\"z\":0.1,"
	    "\"w\":1E+2");
	assert_data("{\"z\":1,\r\n\t\"a\": [ 1 , \"b \\n c\" ],\"z\":{ }}",
	    ",\"z\":1,\"a\":[1,\"b \\n c\"],\"z\":{}");
	assert_data("{\"\":1,\"__proto__\":{},\"\\u0061\":2}",
	    ",\"\":1,\"__proto__\":{},\"\\u0061\":2");
	assert_data("{\"e\":\"\xff\\ud800\",\"\xc3\":1}",
	    ",\"e\":\"\xEF\xBF\xBD\xEF\xBF\xBD\",\"\xEF\xBF\xBD\":1");
	assert_data("{\"l\":\"\xE2\x80\xA8\\u2029\\u0000\"}",
	    ",\"l\":\"\\u2028\\u2029\\u0000\"");
}

static void
test_data_cannot_override(void **state)
{
	(void)state;
	assert_data("{\"job_id\":\"x\",\"a\":1,\"status\":\"y\","
		    "\"restore_id\":{\"b\":[2]},\"status\":3}",
	    ",\"a\":1");
	assert_data("{\"\\u006aob_id\":1,\"job\\u005Fid\":2,\"\\u0073tatus\":3,"
		    "\"restor\\u0065_id\":4}",
	    "");
	assert_data("{\"n\":{\"job_id\":1},\"Job_id\":2,\"job_id \":3,"
		    "\"job_id\\u0000\":4}",
	    ",\"n\":{\"job_id\":1},\"Job_id\":2,\"job_id \":3,"
	    "\"job_id\\u0000\":4");
}

static void
assert_output(const char *data, size_t inline_output, const char *expected)
{
	struct sse_event e = event(data);

	e.inline_output = inline_output;
	assert_data_of(&e, expected);
}

#define HEAD "{\"job_id\":\"123\",\"status\":\"completed\""

static void
test_output_limit(void **state)
{
	(void)state;
	assert_output("{\"a\":1,\"output\":[ 1 , 2 ],\"b\":2}", 5,
	    HEAD ",\"a\":1,\"output\":[1,2],\"b\":2}");
	assert_output("{\"a\":1,\"output\":[ 1 , 2 ],\"b\":2}", 4,
	    HEAD ",\"a\":1,\"output_omitted\":true,\"b\":2}");
	assert_output(
	    "{\"out\\u0070ut\":[1,2]}", 4, HEAD ",\"output_omitted\":true}");
	assert_output("{\"output\":1}", 0, HEAD ",\"output_omitted\":true}");
	/* U+FFFD counts as what it will be. */
	assert_output(
	    "{\"output\":\"\xff\"}", 4, HEAD ",\"output_omitted\":true}");
	assert_output("{\"output\":\"\\ud800\"}", 5,
	    HEAD ",\"output\":\"\xEF\xBF\xBD\"}");
}

/* Of several outputs only the last is meant, and it is said once that it is
 * not there. */
static void
test_output_repeated(void **state)
{
	(void)state;
	assert_output("{\"output\":123456,\"a\":1,\"output\":12345}", 4,
	    HEAD ",\"a\":1,\"output_omitted\":true}");
	assert_output("{\"output\":1,\"a\":1,\"output\":12345}", 4,
	    HEAD ",\"a\":1,\"output_omitted\":true}");
	assert_output("{\"output\":12345,\"a\":1,\"output\":1}", 4,
	    HEAD ",\"a\":1,\"output\":1}");
	assert_output("{\"output_omitted\":false,\"output\":12345,"
		      "\"output_omitted\":1}",
	    4, HEAD ",\"output_omitted\":true}");
	/* What stood between two outputs, and moved when the first went. */
	assert_output("{\"output\":12345,\"output_omitted\":1,\"output\":6}", 4,
	    HEAD ",\"output_omitted\":1,\"output\":6}");
	assert_output("{\"output\":6,\"output_omitted\":1,\"a\":2,"
		      "\"output\":12345,\"b\":3}",
	    4, HEAD ",\"a\":2,\"output_omitted\":true,\"b\":3}");
	assert_output(
	    "{\"output_omitted\":true}", 4, HEAD ",\"output_omitted\":true}");
}

/* Data of so many numbers and a text, as they are sent. */
static void
add_long(struct buf *out, size_t n_numbers, size_t n_text)
{
	struct buf data = BUF_INIT;
	struct sse_event e;

	buf_add_str(&data, "{\"x\":[0");
	for (size_t i = 0; i < n_numbers; i++)
		buf_add_str(&data, ",1");
	buf_add_str(&data, "],\"t\":\"");
	for (size_t i = 0; i < n_text; i++)
		buf_add_char(&data, 't');
	buf_add_str(&data, "\"}");
	assert_true(buf_ok(&data));
	e = event(data.data);
	assert_int_equal(sse_add_event(out, &e), OK);
	buf_done(&data);
}

/* The lengths of the lines' data, up to `max` lines; returns how many. */
static size_t
data_lines(const struct buf *event, size_t *lengths, size_t max)
{
	static const char mark[] = "\ndata: ";
	const char *at = event->data;
	size_t n = 0;

	while ((at = strstr(at, mark)) != NULL && n < max) {
		at += sizeof(mark) - 1;
		lengths[n++] = strcspn(at, "\n");
	}
	return n;
}

/* Up to the limit one line, above it as few as hold it; what a parser makes of
 * them is the JSON that one line would be. */
static void
test_long_data(void **state)
{
	struct buf one = BUF_INIT, out = BUF_INIT, line = BUF_INIT;
	struct buf parsed = BUF_INIT;
	size_t lengths[8], n, head;
	const char *json;

	(void)state;
	add_long(&one, 0, 0);
	assert_int_equal(data_lines(&one, lengths, 8), 1);
	head = lengths[0];
	add_long(&out, 0, SSE_LINE_MAX - head);
	assert_int_equal(data_lines(&out, lengths, 8), 1);
	assert_int_equal(lengths[0], SSE_LINE_MAX);
	buf_reset(&out);
	add_long(&out, 0, SSE_LINE_MAX - head + 1);
	assert_int_equal(data_lines(&out, lengths, 8), 2);
	buf_reset(&out);

	add_long(&out, 60000, 2 * SSE_LINE_MAX);
	n = data_lines(&out, lengths, 8);
	assert_int_equal(n, 6); /* four, the text, and what is behind it */
	for (size_t i = 0; i < n; i++)
		assert_true((lengths[i] <= SSE_LINE_MAX) != (i == 4));
	assert_int_equal(lengths[4], 2 * SSE_LINE_MAX + 2);
	parse(buf_span(&out), &parsed);
	json = strchr(parsed.data + 1, '{');
	n = (size_t)(json - parsed.data);
	json_text_add_line(&line, (struct span){json, parsed.len - 1 - n});
	assert_int_equal(line.len, head + 2 * 60000 + 2 * SSE_LINE_MAX);
	buf_done(&one);
	buf_done(&out);
	buf_done(&line);
	buf_done(&parsed);
}

static void
assert_refused(const struct sse_event *e, enum err expected)
{
	struct buf out = BUF_INIT;

	buf_add_str(&out, "before");
	assert_int_equal(sse_add_event(&out, e), expected);
	assert_string_equal(out.data, "before");
	buf_done(&out);
}

static void
test_bad_data(void **state)
{
	const struct span bad[] = {SPAN_LIT("[]"), SPAN_LIT("null"),
	    SPAN_LIT("\"a\""), SPAN_LIT("1"), SPAN_LIT(" "), SPAN_LIT("{"),
	    SPAN_LIT("{}x"), SPAN_LIT("{}\0"), SPAN_LIT("{\"a\":\"\0\"}"),
	    SPAN_LIT("{\"a\":\"b\nc\"}"), SPAN_LIT("{\"a\":\"\r\"}"),
	    SPAN_LIT("{\"a\n\":1}"), SPAN_LIT("{}\n\ndata: {}"),
	    SPAN_LIT("{\"a\":1,}")};
	struct buf out = BUF_INIT;

	(void)state;
	for (size_t i = 0; i < COUNT(bad); i++) {
		struct sse_event e = event("");

		e.data = bad[i];
		assert_int_equal(sse_add_data(&out, &e), ERR_PROTO);
		assert_int_equal(out.len, 0);
		assert_refused(&e, ERR_PROTO);
	}
	buf_done(&out);
}

static void
test_data_limits(void **state)
{
	struct sse_event e = event("");
	struct buf data = BUF_INIT, out = BUF_INIT;

	(void)state;
	buf_add_str(&data, "{\"a\":\"");
	while (data.len < SSE_DATA_MAX - 2)
		buf_add_char(&data, 'x');
	buf_add_str(&data, "\"}");
	e.data = buf_span(&data);
	assert_int_equal(sse_add_event(&out, &e), OK);
	buf_add_char(&data, ' ');
	e.data = buf_span(&data);
	assert_refused(&e, ERR_LIMIT);

	buf_reset(&data);
	buf_add_str(&data, "{\"a\":");
	for (int i = 0; i < JSON_TEXT_DEPTH_MAX; i++)
		buf_add_char(&data, '[');
	e.data = buf_span(&data);
	assert_refused(&e, ERR_LIMIT);
	buf_done(&data);
	buf_done(&out);
}

/* The text as one event's three lines: no field began a line of its own. */
static void
assert_one_event(const struct buf *out)
{
	static const char start[] = "id: " EPOCH "-42\nevent: ";
	const char *line = out->data;
	size_t lines = 0;

	assert_null(memchr(out->data, '\0', out->len));
	assert_null(memchr(out->data, '\r', out->len));
	for (; (line = strchr(line, '\n')) != NULL; line++)
		lines++;
	assert_int_equal(lines, 4);
	assert_memory_equal(out->data, start, sizeof(start) - 1);
	assert_string_equal(out->data + out->len - 3, "}\n\n");
}

static void
test_injection(void **state)
{
	static const char *const attacks[] = {"a\nb", "a\rb", "a\r\nb", "\n\n",
	    "x\n\ndata: {}\n\n", "x\ndata:y", "x\rid: 1", "\"}\n\ndata: \"",
	    "\xE2\x80\xA8", "\xE2\x80\xA9", "\xC2\x85", "\xff\n", "\\", "\"",
	    "\x01\x1f\x7f", "\xEF\xBB\xBF"};
	struct buf out = BUF_INIT, data = BUF_INIT;

	(void)state;
	for (size_t i = 0; i < COUNT(attacks); i++) {
		struct sse_event e = event(NULL);
		struct span value;
		const char *text;

		e.job_id = e.restore_id = e.status = attacks[i];
		buf_reset(&data);
		buf_add_char(&data, '{');
		json_text_add_quoted(&data, span_of(attacks[i]));
		buf_add_char(&data, ':');
		json_text_add_quoted(&data, span_of(attacks[i]));
		buf_add_char(&data, '}');
		e.data = buf_span(&data);
		buf_reset(&out);
		assert_int_equal(sse_add_event(&out, &e), OK);
		assert_one_event(&out);
		text = strstr(out.data, "data: ") + 6;
		assert_int_equal(json_text_check(span_of(text), &value), OK);
		e.type = attacks[i];
		assert_refused(&e, ERR_PROTO);
	}
	buf_done(&out);
	buf_done(&data);
}

static void
test_bad_id(void **state)
{
	static const char *const epochs[] = {
	    "", "7f3a09c", "7F3A09C1", "7f3a09\n1", "\ndata: x", "7f3a09g1"};

	(void)state;
	for (size_t i = 0; i < COUNT(epochs); i++) {
		struct sse_event e = event("{}");

		e.epoch = epochs[i];
		assert_refused(&e, ERR_PROTO);
	}
	for (int64_t id = -1; id >= INT64_MIN / 2; id *= 2) {
		struct sse_event e = event("{}");

		e.id = id;
		assert_refused(&e, ERR_PROTO);
	}
}

static void
test_id_parse(void **state)
{
	const struct {
		struct span text;
		int64_t n, loss;
	} good[] = {{SPAN_LIT(EPOCH "-0"), 0, 0}, {SPAN_LIT(EPOCH "-7"), 7, 0},
	    {SPAN_LIT(EPOCH "-7.1"), 7, 1}, {SPAN_LIT(EPOCH "-9.20"), 9, 20},
	    {SPAN_LIT(EPOCH "-9223372036854775807.9223372036854775807"),
		INT64_MAX, INT64_MAX}};
	char text[SSE_ID_SIZE];
	struct sse_id id;

	(void)state;
	for (size_t i = 0; i < COUNT(good); i++) {
		memset(&id, 'x', sizeof(id));
		assert_true(sse_id_parse(good[i].text, &id));
		assert_string_equal(id.epoch, EPOCH);
		assert_int_equal(id.n, good[i].n);
		assert_int_equal(id.loss, good[i].loss);
		sse_id_format(id.epoch, id.n, id.loss, text);
		assert_true(span_eq_str(good[i].text, text));
	}
}

static void
test_id_parse_refuses(void **state)
{
	const struct span bad[] = {{NULL, 0}, SPAN_LIT(""), SPAN_LIT("-"),
	    SPAN_LIT("42"), SPAN_LIT(EPOCH), SPAN_LIT(EPOCH "-"),
	    SPAN_LIT("7F3A09C1-42"), SPAN_LIT("7f3a09g1-42"),
	    SPAN_LIT("7f3a09c-42"), SPAN_LIT("7f3a09c11-42"),
	    SPAN_LIT(EPOCH "_42"), SPAN_LIT(EPOCH "-042"),
	    SPAN_LIT(EPOCH "-00"), SPAN_LIT(EPOCH "--1"), SPAN_LIT(EPOCH "-+1"),
	    SPAN_LIT(EPOCH "- 1"), SPAN_LIT(EPOCH "-1 "),
	    SPAN_LIT(" " EPOCH "-1"), SPAN_LIT(EPOCH "-1\n"),
	    SPAN_LIT(EPOCH "-1\0"),
	    SPAN_LIT(EPOCH "-1\0"
			   "2"),
	    SPAN_LIT("\0f3a09c1-1"), SPAN_LIT(EPOCH "-1e3"),
	    SPAN_LIT(EPOCH "-0x1"), SPAN_LIT(EPOCH "-1.0"),
	    SPAN_LIT(EPOCH "-1."), SPAN_LIT(EPOCH "-.1"),
	    SPAN_LIT(EPOCH "-1.02"), SPAN_LIT(EPOCH "-1.2.3"),
	    SPAN_LIT(EPOCH "-1.-2"), SPAN_LIT(EPOCH "-1.2 "),
	    SPAN_LIT(EPOCH "-1.9223372036854775808"),
	    SPAN_LIT(EPOCH "-\xD9\xA1"), SPAN_LIT(EPOCH "-9223372036854775808"),
	    SPAN_LIT(EPOCH "-9999999999999999999"),
	    SPAN_LIT(EPOCH "-18446744073709551617"),
	    SPAN_LIT(EPOCH "-92233720368547758070")};
	struct sse_id id = {"same", 5, 6};
	char large[4096];

	(void)state;
	for (size_t i = 0; i < COUNT(bad); i++)
		assert_false(sse_id_parse(bad[i], &id));
	memset(large, '9', sizeof(large));
	memcpy(large, EPOCH "-", SSE_EPOCH_LEN + 1);
	assert_false(sse_id_parse((struct span){large, sizeof(large)}, &id));
	assert_string_equal(id.epoch, "same");
	assert_int_equal(id.n, 5);
	assert_int_equal(id.loss, 6);
}

static void
test_no_memory(void **state)
{
	struct sse_event e = event("{\"output\":[1],\"a\":\"b\"}");
	bool is_more = true;

	(void)state;
	for (unsigned n = 1; is_more; n++) {
		struct buf out = BUF_INIT;
		enum err err;

		alloc_fail_start(n);
		err = sse_add_event(&out, &e);
		is_more = alloc_fail_stop();
		assert_int_equal(err, is_more ? ERR_NOMEM : OK);
		assert_true(is_more || buf_ok(&out));
		buf_done(&out);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_parser_reads_wpt),
	    cmocka_unit_test(test_event_golden),
	    cmocka_unit_test(test_data_passes_as_text),
	    cmocka_unit_test(test_data_cannot_override),
	    cmocka_unit_test(test_origin),
	    cmocka_unit_test(test_output_limit),
	    cmocka_unit_test(test_output_repeated),
	    cmocka_unit_test(test_long_data),
	    cmocka_unit_test(test_bad_data),
	    cmocka_unit_test(test_data_limits),
	    cmocka_unit_test(test_injection),
	    cmocka_unit_test(test_bad_id),
	    cmocka_unit_test(test_id_parse),
	    cmocka_unit_test(test_id_parse_refuses),
	    cmocka_unit_test(test_no_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
