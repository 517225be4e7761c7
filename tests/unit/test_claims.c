/* SPDX-License-Identifier: ISC */
/* auth/claims.c */
#include "auth/claims.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "alloc_fail.h"
#include "text/json_value.h"

static int64_t
time_of(const char *text)
{
	struct buf object = BUF_INIT;
	struct json_object *o;
	int64_t s = -1;
	size_t n;

	buf_addf(&object, "{\"t\":%s}", text);
	if (json_value_object(buf_span(&object), &o, &n) == OK) {
		if (!claims_time(json_object_object_get(o, "t"), &s))
			s = -1;
		json_object_put(o);
	}
	buf_done(&object);
	return s;
}

static void
test_times(void **state)
{
	static const char *const bad[] = {"", "-1", "1e3", "1E3", "\"1\"",
	    "true", "null", "1.5e1", "1234567890123", "[1]", ".5"};

	(void)state;
	assert_int_equal(time_of("0"), 0);
	assert_int_equal(time_of("1800000000"), 1800000000);
	assert_int_equal(time_of("1800000000.999"), 1800000000);
	assert_int_equal(time_of("999999999999"), INT64_C(999999999999));
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(time_of(bad[i]), -1);
}

static void
test_lists(void **state)
{
	(void)state;
	assert_true(claims_list_has("a,b-c", "a"));
	assert_true(claims_list_has("a,b-c", "b-c"));
	assert_false(claims_list_has("a,b-c", "b"));
	assert_false(claims_list_has("a,b-c", "a,b-c"));
	assert_false(claims_list_has("a,b-c", ""));
	assert_false(claims_list_has("", ""));
}

static enum token_rule rule; /* that the last bad claims broke */

static enum err
read_claims(const char *text, struct claims *ret)
{
	struct json_object *o = NULL;
	enum err e = claims_parse(span_of(text), &o);

	if (e == OK)
		e = claims_read(o, ret, &rule);
	json_object_put(o);
	return e;
}

static void
test_read(void **state)
{
	static const char text[] =
	    " {\"jobs\" : [\"a\", \"x,y\", \"b\\u002dc\",\"\"], "
	    "\"sub\":\"\\u0061l\\u00efce\",\"iat\":12.9,"
	    "\"exp\":34,\"jti\":\"j\",\"other\":{\"sub\":1,\"sub\":2}} ";
	struct buf out = BUF_INIT;
	struct claims c;

	(void)state;
	assert_int_equal(read_claims(text, &c), OK);
	assert_string_equal(c.sub, "al\xc3\xaf"
				   "ce");
	assert_string_equal(c.jti, "j");
	assert_string_equal(c.jobs, "a,b-c");
	assert_int_equal(c.exp_s, 34);
	assert_int_equal(c.iat_s, 12);
	claims_add(&out, &c);
	assert_string_equal(out.data,
	    "\"sub\":\"al\xc3\xaf"
	    "ce\",\"exp\":34,\"iat\":12,\"jti\":\"j\","
	    "\"jobs\":[\"a\",\"b-c\"]");
	claims_done(&c);
	buf_done(&out);
	assert_int_equal(read_claims("{\"sub\":\"a\",\"exp\":1}", &c), OK);
	assert_null(c.jti);
	assert_null(c.jobs);
	assert_true(c.iat_s == INT64_MIN);
	claims_done(&c);
}

static void
test_read_refuses(void **state)
{
	static const char *const bad[] = {"", "[]", "{}", "{\"sub\":\"a\"}",
	    "{\"exp\":1}", "{\"sub\":\"\",\"exp\":1}",
	    "{\"sub\":\"a\",\"exp\":\"1\"}",
	    "{\"sub\":\"a\",\"exp\":1,\"exp\":1}",
	    "{\"sub\":\"a\",\"exp\":1,\"\\u0065xp\":1}",
	    "{\"sub\":\"a\",\"exp\":1,\"x\":1,\"x\":1}",
	    "{\"sub\":\"a\\u0000b\",\"exp\":1}",
	    "{\"sub\\u0000b\":\"a\",\"exp\":1}", "{\"sub\":\"a\",\"exp\":1e9}",
	    "{\"sub\":\"a\",\"exp\":1e400}",
	    "{\"sub\":\"a\",\"exp\":9223372036854775808}",
	    "{\"sub\":\"a\",\"exp\":NaN}", "{\"sub\":\"a\",\"exp\":1,}",
	    "{\"sub\":\"a\",/**/\"exp\":1}", "{'sub':\"a\",\"exp\":1}",
	    "{\"sub\":\"a\",\"exp\":1}}", "{\"sub\":\"\xc0\xaf\",\"exp\":1}",
	    "{\"sub\":\"a\\u001f\",\"exp\":1}", "{\"sub\":\"\xff\",\"exp\":1}",
	    "{\"sub\":\"\\udc00\",\"exp\":1}",
	    "{\"sub\":\"a\",\"exp\":1,\"iat\":\"1\"}",
	    "{\"sub\":\"a\",\"exp\":1,\"jti\":1}",
	    "{\"sub\":\"a\",\"exp\":1,\"jti\":\"\"}",
	    "{\"sub\":\"a\",\"exp\":1,\"jobs\":\"a\"}",
	    "{\"sub\":\"a\",\"exp\":1,\"jobs\":[1]}"};
	struct claims c = {.exp_s = 77};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_int_equal(read_claims(bad[i], &c), ERR_AUTH);
		assert_int_equal(c.exp_s, 77);
		assert_null(c.sub);
	}
}

/* Members are compared with each other, so there is a limit. */
static void
test_many_members(void **state)
{
	struct buf text = BUF_INIT;
	struct claims c;

	(void)state;
	buf_add_str(&text, "{\"sub\":\"a\",\"exp\":1");
	for (int i = 2; i < 64; i++)
		buf_addf(&text, ",\"c%d\":0", i);
	buf_add_char(&text, '}');
	assert_int_equal(read_claims(text.data, &c), OK);
	claims_done(&c);
	text.data[text.len - 1] = ',';
	buf_add_str(&text, "\"one\":0}");
	assert_int_equal(read_claims(text.data, &c), ERR_AUTH);
	buf_done(&text);
}

static void
test_no_memory(void **state)
{
	bool is_more = true;
	struct claims c;
	enum err e;

	(void)state;
	for (unsigned n = 1; is_more; n++) {
		alloc_fail_start(n);
		e = read_claims("{\"sub\":\"a\",\"exp\":1,\"jti\":\"j\","
				"\"jobs\":[\"a\"]}",
		    &c);
		is_more = alloc_fail_stop();
		assert_int_equal(e, is_more ? ERR_NOMEM : OK);
	}
	claims_done(&c);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_times),
	    cmocka_unit_test(test_lists),
	    cmocka_unit_test(test_read),
	    cmocka_unit_test(test_read_refuses),
	    cmocka_unit_test(test_many_members),
	    cmocka_unit_test(test_no_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
