/* SPDX-License-Identifier: ISC */
/* text/json_text.c, and text/utf8.c through it. */
#include "text/json_text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "text/utf8.h"

#define FFFD "\xEF\xBF\xBD"

/* A copy with nothing behind it, so that a sanitizer sees any over-read. */
static char *
exact_copy(struct span s)
{
	char *copy = malloc(s.n > 0 ? s.n : 1);

	assert_non_null(copy);
	memcpy(copy, s.p, s.n);
	return copy;
}

static enum err
check(struct span text)
{
	char *copy = exact_copy(text);
	enum err e = json_text_check((struct span){copy, text.n}, NULL);

	free(copy);
	return e;
}

static void
assert_buf(const struct buf *b, struct span expected)
{
	assert_true(buf_ok(b));
	assert_int_equal(b->len, expected.n);
	if (expected.n > 0)
		assert_memory_equal(b->data, expected.p, expected.n);
}

struct pair {
	struct span in, out;
};
#define PAIR(in, out)                                                          \
	{                                                                      \
		{(in), sizeof(in) - 1},                                        \
		{                                                              \
			(out), sizeof(out) - 1                                 \
		}                                                              \
	}
#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static void
assert_pairs(const struct pair *pairs, size_t n,
    void (*add)(struct buf *out, struct span in))
{
	struct buf out = BUF_INIT;

	for (size_t i = 0; i < n; i++) {
		char *copy = exact_copy(pairs[i].in);

		buf_reset(&out);
		add(&out, (struct span){copy, pairs[i].in.n});
		assert_buf(&out, pairs[i].out);
		free(copy);
	}
	buf_done(&out);
}

static void
test_check_accepts(void **state)
{
	const struct span good[] = {SPAN_LIT("{}"), SPAN_LIT("[]"),
	    SPAN_LIT(" \t\r\n[ ] \n"), SPAN_LIT("\"\""), SPAN_LIT("0"),
	    SPAN_LIT("-0"), SPAN_LIT("0.1"), SPAN_LIT("1e400"),
	    SPAN_LIT("-1.5E-10"), SPAN_LIT("1E+2"), SPAN_LIT("0e0"),
	    SPAN_LIT("196619188014358660012345"), SPAN_LIT("true"),
	    SPAN_LIT("false"), SPAN_LIT("null"),
	    SPAN_LIT("[1,\"a\",null,{\"b\":[true,false]}]"),
	    SPAN_LIT("{\"a\":1,\"a\":2,\"\":3}"),
	    SPAN_LIT("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e9\\uD83D\\ude00\""),
	    SPAN_LIT("\"\\ud800\""), SPAN_LIT("\"\\u0000\""),
	    SPAN_LIT("\"\x7f\xff\xed\xa0\x80\""), SPAN_LIT("\"\xe2\x80\xa8\"")};

	(void)state;
	for (size_t i = 0; i < COUNT(good); i++)
		assert_int_equal(check(good[i]), OK);
}

static void
test_check_refuses(void **state)
{
	const struct span bad[] = {SPAN_LIT(""), SPAN_LIT("  "), SPAN_LIT("\0"),
	    SPAN_LIT("{}\0"), SPAN_LIT("{} {}"), SPAN_LIT("{"), SPAN_LIT("}"),
	    SPAN_LIT("[}"), SPAN_LIT("{]"), SPAN_LIT("[1,]"), SPAN_LIT("[,1]"),
	    SPAN_LIT("[1 2]"), SPAN_LIT("[,]"), SPAN_LIT("{\"a\":1,}"),
	    SPAN_LIT("{,}"), SPAN_LIT("{\"a\"}"), SPAN_LIT("{\"a\":}"),
	    SPAN_LIT("{\"a\" 1}"), SPAN_LIT("{a:1}"), SPAN_LIT("{'a':1}"),
	    SPAN_LIT("{1:1}"), SPAN_LIT("{\"a\"::1}"), SPAN_LIT("[\"a\":1]"),
	    SPAN_LIT("{\"a\":1 \"b\":2}"), SPAN_LIT("01"), SPAN_LIT("-"),
	    SPAN_LIT("-01"), SPAN_LIT("+1"), SPAN_LIT(".5"), SPAN_LIT("1."),
	    SPAN_LIT("1.e1"), SPAN_LIT("1e"), SPAN_LIT("1e+"),
	    SPAN_LIT("1e+-1"), SPAN_LIT("0x1"), SPAN_LIT("1_0"),
	    SPAN_LIT("--1"), SPAN_LIT("1 .0"), SPAN_LIT("NaN"),
	    SPAN_LIT("Infinity"), SPAN_LIT("-Infinity"), SPAN_LIT("tru"),
	    SPAN_LIT("TRUE"), SPAN_LIT("nullx"), SPAN_LIT("nul\0"),
	    SPAN_LIT("undefined"), SPAN_LIT("\""), SPAN_LIT("\"\\\""),
	    SPAN_LIT("\"\\"), SPAN_LIT("\"a\nb\""), SPAN_LIT("\"a\rb\""),
	    SPAN_LIT("\"\t\""), SPAN_LIT("\"\0\""), SPAN_LIT("\"\x1f\""),
	    SPAN_LIT("\"\\x41\""), SPAN_LIT("\"\\\0\""), SPAN_LIT("\"\\a\""),
	    SPAN_LIT("\"\\'\""), SPAN_LIT("\"\\u12\""), SPAN_LIT("\"\\u12g4\""),
	    SPAN_LIT("\"\\U0041\""), SPAN_LIT("\"\\u 041\""), SPAN_LIT("'a'"),
	    SPAN_LIT("// c\n1"), SPAN_LIT("/**/1"), SPAN_LIT("[1]]"),
	    SPAN_LIT("\xEF\xBB\xBF{}"), SPAN_LIT("\xC2\xA0{}"),
	    SPAN_LIT("{}\v"), SPAN_LIT("\f1"), SPAN_LIT("[\xff]")};

	(void)state;
	for (size_t i = 0; i < COUNT(bad); i++)
		assert_int_equal(check(bad[i]), ERR_PROTO);
}

static void
test_check_returns_value_without_space(void **state)
{
	struct span value = SPAN_LIT("untouched");

	(void)state;
	assert_int_equal(json_text_check(SPAN_LIT(" {,} "), &value), ERR_PROTO);
	assert_true(span_eq_str(value, "untouched"));
	assert_int_equal(json_text_check(SPAN_LIT("\n [ 1 ]\t"), &value), OK);
	assert_true(span_eq_str(value, "[ 1 ]"));
	assert_int_equal(
	    json_text_check((struct span){NULL, 0}, &value), ERR_PROTO);
}

static void
test_check_depth(void **state)
{
	static const char *const open[] = {"[", "{\"k\":", "[{\"k\":"};
	static const char *const close[] = {"]", "}", "}]"};
	static const int levels[] = {1, 1, 2};

	(void)state;
	for (size_t kind = 0; kind < COUNT(open); kind++) {
		for (int depth = 2; depth <= 1000; depth += 2) {
			struct buf text = BUF_INIT;

			for (int i = 0; i < depth; i += levels[kind])
				buf_add_str(&text, open[kind]);
			buf_add_char(&text, '0');
			for (int i = 0; i < depth; i += levels[kind])
				buf_add_str(&text, close[kind]);
			assert_int_equal(check(buf_span(&text)),
			    depth <= JSON_TEXT_DEPTH_MAX ? OK : ERR_LIMIT);
			buf_done(&text);
		}
	}
}

static void
test_check_depth_33(void **state)
{
	char text[2 * (JSON_TEXT_DEPTH_MAX + 1)];
	const size_t half = sizeof(text) / 2;

	(void)state;
	memset(text, '[', half);
	memset(text + half, ']', half);
	assert_int_equal(check((struct span){text, sizeof(text)}), ERR_LIMIT);
	assert_int_equal(check((struct span){text + 1, sizeof(text) - 2}), OK);
}

static const char document_text[] =
    "{\"id\":\"e1\",\"seed\":196619188014358660,\"a b\":[1e400,-0,0.1,[]],"
    "\"s\":\"\\\"\\\\\\u00e9\\ud83d\\ude00\\ud800 \xc3\xa9\xed\xa0\x80\","
    "\"t\":true,\"f\":false,\"n\":null, \"o\" : { \"x\" : {} } }";
static const struct span document = {document_text, sizeof(document_text) - 1};

/* Walks everything; what it finds does not matter, only that it ends and stays
 * inside. */
static void
walk(struct span value, int depth)
{
	struct json_text_iter it = {.rest = value};
	struct span key, item;
	size_t steps = 0;

	while (json_text_next(&it, &key, &item)) {
		assert_true(item.n > 0 && item.p >= value.p &&
			    item.p + item.n <= value.p + value.n);
		assert_true(++steps <= value.n);
		if (depth < JSON_TEXT_DEPTH_MAX)
			walk(item, depth + 1);
	}
}

static void
test_truncations(void **state)
{
	struct buf out = BUF_INIT;

	(void)state;
	assert_int_equal(check(document), OK);
	for (size_t n = 0; n < document.n; n++) {
		char *copy = exact_copy((struct span){document.p, n});
		struct span cut = {copy, n}, value;

		assert_int_equal(json_text_check(cut, NULL), ERR_PROTO);
		walk(cut, 0);
		assert_false(json_text_get(cut, "none", &value));
		buf_reset(&out);
		json_text_add_line(&out, cut);
		json_text_add_string_value(&out, cut);
		assert_true(buf_ok(&out));
		free(copy);
	}
	buf_done(&out);
}

/* Every byte of the document set to every value: no walk leaves the span. */
static void
test_mutations(void **state)
{
	char *copy = exact_copy(document);
	struct span text = {copy, document.n};

	(void)state;
	for (size_t i = 0; i < document.n; i++) {
		for (int c = 0; c < 256; c++) {
			copy[i] = (char)c;
			walk(text, 0);
		}
		copy[i] = document.p[i];
	}
	free(copy);
}

static void
test_kind(void **state)
{
	(void)state;
	assert_int_equal(json_text_kind(SPAN_LIT("{}")), JSON_TEXT_OBJECT);
	assert_int_equal(json_text_kind(SPAN_LIT("[]")), JSON_TEXT_ARRAY);
	assert_int_equal(json_text_kind(SPAN_LIT("\"\"")), JSON_TEXT_STRING);
	assert_int_equal(json_text_kind(SPAN_LIT("-1")), JSON_TEXT_NUMBER);
	assert_int_equal(json_text_kind(SPAN_LIT("0")), JSON_TEXT_NUMBER);
	assert_int_equal(json_text_kind(SPAN_LIT("true")), JSON_TEXT_TRUE);
	assert_int_equal(json_text_kind(SPAN_LIT("false")), JSON_TEXT_FALSE);
	assert_int_equal(json_text_kind(SPAN_LIT("null")), JSON_TEXT_NULL);
}

static void
assert_next(struct json_text_iter *it, const char *key, const char *value)
{
	struct span k, v;

	assert_true(json_text_next(it, &k, &v));
	assert_true(span_eq_str(k, key));
	assert_true(span_eq_str(v, value));
}

static void
test_next(void **state)
{
	struct json_text_iter object = {
	    .rest = SPAN_LIT("{ \"a\\\"}\" : \"]}\" ,\"b\":{\"c\":[1,2]},\n"
			     "\"\":-1e5 ,\"a\\\"}\":[ \"\\\\\" ] }")};
	struct json_text_iter array = {
	    .rest = SPAN_LIT("[1, \"a\" ,[],{},null]")};
	struct json_text_iter empty = {.rest = SPAN_LIT("{ }")};
	struct json_text_iter scalar = {.rest = SPAN_LIT("123")};
	struct span k, v;

	(void)state;
	assert_next(&object, "a\\\"}", "\"]}\"");
	assert_next(&object, "b", "{\"c\":[1,2]}");
	assert_next(&object, "", "-1e5");
	assert_next(&object, "a\\\"}", "[ \"\\\\\" ]");
	assert_false(json_text_next(&object, &k, &v));
	assert_false(json_text_next(&object, &k, &v));
	assert_next(&array, "", "1");
	assert_next(&array, "", "\"a\"");
	assert_next(&array, "", "[]");
	assert_next(&array, "", "{}");
	assert_next(&array, "", "null");
	assert_false(json_text_next(&array, &k, &v));
	assert_false(json_text_next(&empty, &k, &v));
	assert_false(json_text_next(&scalar, &k, &v));
}

static void
test_get(void **state)
{
	const struct span object = SPAN_LIT("{\"status\":1,\"x\":{\"y\":5},"
					    "\"st\\u0061tus\":2,\"statusx\":3,"
					    "\"statu\":4}");
	struct span value = SPAN_LIT("untouched");

	(void)state;
	assert_false(json_text_get(object, "y", &value));
	assert_false(json_text_get(SPAN_LIT("[\"status\"]"), "status", &value));
	assert_false(json_text_get(SPAN_LIT("\"status\""), "status", &value));
	assert_false(json_text_get((struct span){NULL, 0}, "status", &value));
	assert_true(span_eq_str(value, "untouched"));
	assert_true(json_text_get(object, "status", &value));
	assert_true(span_eq_str(value, "2"));
}

static void
test_key_is(void **state)
{
	(void)state;
	assert_true(json_text_key_is(SPAN_LIT("job_id"), "job_id"));
	assert_true(json_text_key_is(SPAN_LIT("\\u006aob_\\u0069d"), "job_id"));
	assert_true(json_text_key_is(SPAN_LIT("\\u006Aob\\u005Fid"), "job_id"));
	assert_true(json_text_key_is(SPAN_LIT("a\\/b"), "a/b"));
	assert_true(json_text_key_is(SPAN_LIT(""), ""));
	assert_false(json_text_key_is(SPAN_LIT(""), "job_id"));
	assert_false(json_text_key_is(SPAN_LIT("job_i"), "job_id"));
	assert_false(json_text_key_is(SPAN_LIT("job_idx"), "job_id"));
	assert_false(json_text_key_is(SPAN_LIT("job_id\\u0000"), "job_id"));
	assert_false(json_text_key_is(SPAN_LIT("Job_id"), "job_id"));
	assert_false(json_text_key_is(SPAN_LIT("\\u016aob_id"), "job_id"));
	assert_false(json_text_key_is(SPAN_LIT("\\u006"), "j"));
	assert_false(json_text_key_is(SPAN_LIT("\\j"), "j"));
	assert_false(json_text_key_is(SPAN_LIT("\\"), "\\"));
}

static void
test_add_line(void **state)
{
	static const struct pair pairs[] = {
	    PAIR("{ \"a\" :\r\n [ 1 ,\t2 ] , \"b c\" : \" x \" }",
		"{\"a\":[1,2],\"b c\":\" x \"}"),
	    PAIR("{\"z\":1,\"a\":2,\"z\":3}", "{\"z\":1,\"a\":2,\"z\":3}"),
	    PAIR("[1234567890123456789,1e400,-0,0.1,1E+2,10000000000000000001]",
		"[1234567890123456789,1e400,-0,0.1,1E+2,10000000000000000001]"),
	    PAIR("\"\\u0000\\n\\u000a\\/\\u2028\"",
		"\"\\u0000\\n\\u000a\\/\\u2028\""),
	    PAIR("\"\\ud83d\\ude00\"", "\"\\ud83d\\ude00\""),
	    PAIR("\"\\uD83D\\uDE00\"", "\"\\uD83D\\uDE00\""),
	    PAIR("\"\\ud800\"", "\"" FFFD "\""),
	    PAIR("\"a\\udc00b\"", "\"a" FFFD "b\""),
	    PAIR("\"\\ude00\\ud83d\"", "\"" FFFD FFFD "\""),
	    PAIR("\"\\ud800\\ud83d\\ude00\"", "\"" FFFD "\\ud83d\\ude00\""),
	    PAIR("\"\\ud800\\n\\ud800A\\ud800\\u0041\"",
		"\"" FFFD "\\n" FFFD "A" FFFD "\\u0041\""),
	    PAIR("\"\\\\ud800\"", "\"\\\\ud800\""),
	    PAIR("\"\xed\xa0\x80\"", "\"" FFFD FFFD FFFD "\""),
	    PAIR("{\"\xff\\udfff\":1}", "{\"" FFFD FFFD "\":1}"),
	    PAIR("{\"\xe2\x80\xa8\":\"\xe2\x80\xa9 \xc2\x85\x7f\"}",
		"{\"\\u2028\":\"\\u2029 \\u0085\x7f\"}"),
	    PAIR("\"\xe2\x80\xa7\xe2\x80\xaa\xc2\x84\xc2\xe2\x80\"",
		"\"\xe2\x80\xa7\xe2\x80\xaa\xc2\x84" FFFD FFFD "\""),
	    PAIR("\"\xe2\xc2\x85\xf0\xe2\x80\xa8\"",
		"\"" FFFD "\\u0085" FFFD "\\u2028\""),
	    PAIR("\"\xe2\x82\\n\"", "\"" FFFD "\\n\""),
	};

	(void)state;
	assert_pairs(pairs, COUNT(pairs), json_text_add_line);
}

static void
test_fit(void **state)
{
	const struct {
		struct span text;
		size_t max, n;
	} cases[] = {
	    {SPAN_LIT(""), 5, 0}, {SPAN_LIT("{\"a\":[12,true]}"), 100, 15},
	    {SPAN_LIT("{\"a\":[12,true]}"), 14, 14},
	    {SPAN_LIT("{\"a\":[12,true]}"), 12, 9}, /* before true */
	    {SPAN_LIT("{\"a\":[12,true]}"), 7, 6},  /* before 12 */
	    {SPAN_LIT("{\"a\":[12,true]}"), 3, 1},
	    {SPAN_LIT("\"a,\\\",b\",1"), 8, 8}, /* no token in a string */
	    {SPAN_LIT("\"a,\\\",b\",1"), 2, 8}, /* too long by itself */
	    {SPAN_LIT("-1.5e10]"), 4, 7},
	    {SPAN_LIT(" \0"), 0, 1}, /* never nothing, checked or not */
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++)
		assert_int_equal(
		    json_text_fit(cases[i].text, cases[i].max), cases[i].n);
}

static void
test_add_string_value(void **state)
{
	static const struct pair pairs[] = {
	    PAIR("\"\"", ""),
	    PAIR("\"abc\"", "abc"),
	    PAIR("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"", "\"\\/\b\f\n\r\t"),
	    PAIR("\"\\u0000\\u007f\\u00e9\\u20ac\\ud83d\\ude00\"",
		"\0\x7f\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80"),
	    PAIR("\"\\udbff\\udfff\\ud800\\udc00\"",
		"\xf4\x8f\xbf\xbf\xf0\x90\x80\x80"),
	    PAIR("\"\\ud800x\\udc00\\ud800\"", FFFD "x" FFFD FFFD),
	    PAIR("\"\\uffff\\u0800\\u07ff\\u0080\"",
		"\xef\xbf\xbf\xe0\xa0\x80\xdf\xbf\xc2\x80"),
	};

	(void)state;
	assert_pairs(pairs, COUNT(pairs), json_text_add_string_value);
}

static void
test_add_quoted(void **state)
{
	static const struct pair pairs[] = {
	    PAIR("", "\"\""),
	    PAIR("a\"b\\c/", "\"a\\\"b\\\\c/\""),
	    PAIR("\b\f\n\r\t", "\"\\b\\f\\n\\r\\t\""),
	    PAIR("\0\x01\x1f\x7f", "\"\\u0000\\u0001\\u001f\x7f\""),
	    PAIR("\xc3\xa9\xe2\x80\xa8\xe2\x80\xa9\xc2\x85\xff\xc3",
		"\"\xc3\xa9\\u2028\\u2029\\u0085" FFFD FFFD "\""),
	    PAIR("\n\ndata: x\r\n", "\"\\n\\ndata: x\\r\\n\""),
	};

	(void)state;
	assert_pairs(pairs, COUNT(pairs), json_text_add_quoted);
}

static void
test_add_finite(void **state)
{
	static const struct pair pairs[] = {
	    PAIR("", ""),
	    PAIR("NaN", "null"),
	    PAIR(" [NaN,\tInfinity , -Infinity]", " [null,\tnull , null]"),
	    PAIR("{\"NaN\":\"\\\"NaN\",\"a\":{\"b\":NaN}}",
		"{\"NaN\":\"\\\"NaN\",\"a\":{\"b\":null}}"),
	    PAIR("nan NaNs +NaN -NaN - Infinity1 1e400 -",
		"nan NaNs +NaN -NaN - Infinity1 1e400 -"),
	    PAIR("\0NaN\0\xff", "\0null\0\xff"),
	    PAIR("\"NaN", "\"NaN"),
	    PAIR("NaN\"\\", "null\"\\"),
	};

	(void)state;
	assert_pairs(pairs, COUNT(pairs), json_text_add_finite);
}

/* Any bytes, quoted, are a JSON string that means the same bytes. */
static void
test_quoted_round_trip(void **state)
{
	struct buf text = BUF_INIT, quoted = BUF_INIT, back = BUF_INIT;

	(void)state;
	for (uint32_t code = 0; code < 0x11000; code += 7)
		utf8_add_code(&text, code);
	for (uint32_t code = 0; code < 256; code++)
		utf8_add_code(&text, code);
	json_text_add_quoted(&quoted, buf_span(&text));
	assert_int_equal(check(buf_span(&quoted)), OK);
	json_text_add_string_value(&back, buf_span(&quoted));
	assert_buf(&back, buf_span(&text));
	buf_done(&text);
	buf_done(&quoted);
	buf_done(&back);
}

/* Unicode 15 section 3.9, table 3-8 and its neighbours. */
static void
test_utf8(void **state)
{
	static const struct pair pairs[] = {
	    PAIR("", ""),
	    PAIR("a\x7f\xc2\x80\xdf\xbf", "a\x7f\xc2\x80\xdf\xbf"),
	    PAIR("\xe0\xa0\x80\xed\x9f\xbf\xee\x80\x80",
		"\xe0\xa0\x80\xed\x9f\xbf\xee\x80\x80"),
	    PAIR("\xf0\x90\x80\x80\xf4\x8f\xbf\xbf",
		"\xf0\x90\x80\x80\xf4\x8f\xbf\xbf"),
	    PAIR("\x80\xbf", FFFD FFFD),
	    PAIR("\xc0\xaf\xc1\xbf", FFFD FFFD FFFD FFFD),
	    PAIR("\xe0\x9f\xbf", FFFD FFFD FFFD),
	    PAIR("\xed\xa0\x80\xed\xbf\xbf", FFFD FFFD FFFD FFFD FFFD FFFD),
	    PAIR("\xf0\x8f\xbf\xbf", FFFD FFFD FFFD FFFD),
	    PAIR("\xf4\x90\x80\x80", FFFD FFFD FFFD FFFD),
	    PAIR("\xf5\xfe\xff", FFFD FFFD FFFD),
	    PAIR("\xe1\x80\xe2\xf0\x91\x92\xf1\xbf"
		 "A",
		FFFD FFFD FFFD FFFD "A"),
	    PAIR("\xc3", FFFD),
	    PAIR("\xe2\x82", FFFD),
	    PAIR("\xf0\x9f\x98", FFFD),
	    PAIR("x\xc3(y", "x" FFFD "(y"),
	    PAIR("\xef\xbb\xbf"
		 "a",
		"\xef\xbb\xbf"
		"a"),
	};
	struct buf out = BUF_INIT;

	(void)state;
	assert_pairs(pairs, COUNT(pairs), utf8_add);
	utf8_add_code(&out, 0xd800);
	utf8_add_code(&out, 0xdfff);
	utf8_add_code(&out, 0x110000);
	utf8_add_code(&out, UINT32_MAX);
	assert_buf(&out, SPAN_LIT(FFFD FFFD FFFD FFFD));
	buf_done(&out);
}

/* Quadratic work on these 4 MB would not end in anybody's lifetime. */
static void
test_large(void **state)
{
	enum { MEMBERS = 400000 };
	struct buf text = BUF_INIT, line = BUF_INIT;
	struct json_text_iter it;
	struct span value, key;
	size_t n = 0;

	(void)state;
	buf_add_char(&text, '{');
	for (int i = 0; i < MEMBERS; i++)
		buf_add_str(&text, "\"k\\u0020\":1, ");
	buf_add_str(&text, "\"last\":[\"\\ud800\"]}");
	assert_int_equal(json_text_check(buf_span(&text), &value), OK);
	it = (struct json_text_iter){.rest = value};
	while (json_text_next(&it, &key, &value))
		n++;
	assert_int_equal(n, MEMBERS + 1);
	assert_true(json_text_get(buf_span(&text), "last", &value));
	json_text_add_line(&line, buf_span(&text));
	assert_int_equal(line.len, text.len - MEMBERS - 3);
	buf_done(&text);
	buf_done(&line);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_check_accepts),
	    cmocka_unit_test(test_check_refuses),
	    cmocka_unit_test(test_check_returns_value_without_space),
	    cmocka_unit_test(test_check_depth),
	    cmocka_unit_test(test_check_depth_33),
	    cmocka_unit_test(test_truncations),
	    cmocka_unit_test(test_mutations),
	    cmocka_unit_test(test_kind),
	    cmocka_unit_test(test_next),
	    cmocka_unit_test(test_get),
	    cmocka_unit_test(test_key_is),
	    cmocka_unit_test(test_add_line),
	    cmocka_unit_test(test_fit),
	    cmocka_unit_test(test_add_string_value),
	    cmocka_unit_test(test_add_quoted),
	    cmocka_unit_test(test_add_finite),
	    cmocka_unit_test(test_quoted_round_trip),
	    cmocka_unit_test(test_utf8),
	    cmocka_unit_test(test_large),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
