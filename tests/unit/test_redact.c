/* SPDX-License-Identifier: ISC */
/* hook/redact.c: what of a body is kept, and that the rest of it stays as it
 * came. */
#include "hook/redact.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void
assert_kept(const char *body, const char *expected)
{
	struct buf out = BUF_INIT;

	redact_body(&out, span_of(body));
	assert_true(buf_ok(&out));
	assert_string_equal(buf_span(&out).n > 0 ? out.data : "", expected);
	buf_done(&out);
}

#define LEFT_OUT "\"[left out]\""

static void
test_what_has_no_secret_is_the_same(void **state)
{
	static const char *const bodies[] = {
	    "{}",
	    "{ \"id\" : \"r\", \"status\":\"DONE\",\"n\":[1, {\"a\":null}]}",
	    "{\"output\":{\"token\":\"t\",\"u\":\"?sig=abc\",\"n\":1e400}}",
	    "{\"payload\":{\"webhook\":\"w\",\"input\":1}}",
	    "{\"data\":{\"output\":{\"secret\":\"s\"}}}",
	    "{\"input_tokens\":12,\"keys\":[1],\"auth\":null}",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(bodies) / sizeof(*bodies); i++)
		assert_kept(bodies[i], bodies[i]);
}

static void
test_what_lets_in_is_left_out(void **state)
{
	(void)state;
	assert_kept("{\"webhook\":\"http://h/?sig=a\", \"id\":\"r\"}",
	    "{\"webhook\":" LEFT_OUT ",\"id\":\"r\"}");
	assert_kept("{\"input\":{\"a\":1,\"job_id\":\"j\"}}",
	    "{\"input\":{\"job_id\":\"j\"}}");
	assert_kept("{\"input\":{\"job_id\":5}}", "{\"input\":" LEFT_OUT "}");
	assert_kept("{\"input\":[1]}", "{\"input\":" LEFT_OUT "}");
	assert_kept("{\"data\":{\"input\":{\"x\":1},\"webhook\":null}}",
	    "{\"data\":{\"input\":" LEFT_OUT ",\"webhook\":" LEFT_OUT "}}");
	assert_kept("{\"a\":[{\"X-API-Key\":\"k\"},\"b\"]}",
	    "{\"a\":[{\"X-API-Key\":" LEFT_OUT "},\"b\"]}");
	/* An escape may spell a name that counts. */
	assert_kept("{\"t\\u006fken\":\"k\",\"w\\u0065bhook\":\"h\"}",
	    "{\"t\\u006fken\":" LEFT_OUT ",\"w\\u0065bhook\":" LEFT_OUT "}");
}

static void
test_signatures_of_urls(void **state)
{
	(void)state;
	assert_kept("{\"error\":\"at ?job_id=a&sig=Ab-_9&x=1 and sig%3Dz\"}",
	    "{\"error\":\"at ?job_id=a&sig=&x=1 and sig%3D\"}");
	assert_kept("{\"e\":\"sig\\u003dAb\\u0026x sig=\"}",
	    "{\"e\":\"sig\\u003d\\u0026x sig=\"}");
	assert_kept("{\"sig=abc\":1}", "{\"sig=\":1}");
}

static void
test_what_is_no_object(void **state)
{
	static const char *const bodies[] = {"", " ", "{", "[{\"a\":1}]", "1",
	    "{\"token\":\"t\"} x", "token=abc&sig=abc"};

	(void)state;
	for (size_t i = 0; i < sizeof(bodies) / sizeof(*bodies); i++)
		assert_kept(bodies[i], "");
	assert_kept("{\"a\":NaN}", "{\"a\":null}");
	assert_kept("\xef\xbb\xbf{\"a\":1}", "{\"a\":1}");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_what_has_no_secret_is_the_same),
	    cmocka_unit_test(test_what_lets_in_is_left_out),
	    cmocka_unit_test(test_signatures_of_urls),
	    cmocka_unit_test(test_what_is_no_object),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
