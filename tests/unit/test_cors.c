/* SPDX-License-Identifier: ISC */
/* web/cors.c */
#include "web/cors.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define ALLOWED "https://a.example, http://b.example:8080,https://c.example"
#define FIXED                                                                  \
	"Access-Control-Allow-Headers: Authorization, Cache-Control, "         \
	"Content-Type, Last-Event-ID"

static void
test_origins(void **state)
{
	static const struct {
		const char *origin;
		bool is_allowed;
	} cases[] = {
	    {"https://a.example", true},
	    {"http://b.example:8080", true},
	    {"https://c.example", true},
	    {"", false},
	    {"https://a.exampl", false},
	    {"https://a.example.evil", false},
	    {"http://a.example", false},
	    {"https://A.example", false},
	    {"https://a.example, http://b.example:8080", false},
	    {"null", false},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct buf out = BUF_INIT, expected = BUF_INIT;

		cors_add(&out, ALLOWED, cases[i].origin);
		buf_addf(&expected, "Access-Control-Allow-Origin: %s\r\n",
		    cases[i].origin);
		assert_non_null(strstr(out.data, "Vary: Origin\r\n"));
		assert_int_equal(strstr(out.data, expected.data) != NULL,
		    cases[i].is_allowed);
		assert_int_equal(strstr(out.data, "Credentials") != NULL,
		    cases[i].is_allowed);
		buf_done(&out);
		buf_done(&expected);
	}
}

static void
test_off(void **state)
{
	struct buf out = BUF_INIT;

	(void)state;
	cors_add(&out, NULL, "https://a.example");
	cors_add_preflight(&out, NULL, "https://a.example", "GET", "a");
	assert_int_equal(out.len, 0);
}

static void
assert_names(const char *names, bool is_taken)
{
	struct buf out = BUF_INIT, expected = BUF_INIT;

	cors_add_preflight(
	    &out, ALLOWED, "https://a.example", "GET, HEAD", names);
	buf_addf(&expected, FIXED "%s%s\r\n", is_taken ? ", " : "",
	    is_taken ? names : "");
	assert_non_null(strstr(out.data, "-Methods: GET, HEAD\r\n"));
	assert_non_null(strstr(out.data, expected.data));
	buf_done(&out);
	buf_done(&expected);
}

static void
test_names(void **state)
{
	static const char *const good[] = {
	    "baggage", "baggage,sentry-trace", "a, b , c", "x!#$%&'*+-.^_`|~9"};
	static const char *const bad[] = {"", ",", "a,", ",a", "a,,b", "a b",
	    "a;b", "a:b", "a\r\nb: c", "a\tb", "\"a\"", "\xc3\xa4"};
	char many[CORS_NAMES_SIZE_MAX + 2] = "";

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		assert_names(good[i], true);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_names(bad[i], false);
	memset(many, 'n', CORS_NAMES_SIZE_MAX);
	assert_names(many, true);
	many[CORS_NAMES_SIZE_MAX] = 'n';
	assert_names(many, false);
	memset(many, 0, sizeof(many));
	for (size_t i = 0; i < CORS_NAMES_MAX; i++)
		strcat(many, i == 0 ? "n" : ",n");
	assert_names(many, true);
	strcat(many, ",n");
	assert_names(many, false);
}

/* Who is not allowed learns nothing. */
static void
test_preflight_of_others(void **state)
{
	struct buf out = BUF_INIT;

	(void)state;
	cors_add_preflight(&out, ALLOWED, "https://evil.example", "GET", "a");
	assert_string_equal(out.data, "Vary: Origin\r\n");
	buf_done(&out);
}

/* Who asks, by what a browser says of it. */
static void
test_foreign(void **state)
{
	static const struct {
		const char *site, *origin, *host;
		bool is_foreign;
	} cases[] = {
	    {"", "", "own.example", false},
	    {"", "https://own.example", "own.example", false},
	    {"", "http://own.example:81", "own.example:81", false},
	    {"", "https://own.example", "", true},
	    {"", "https://own.example:81", "own.example", true},
	    {"", "ftp://own.example", "own.example", true},
	    {"", "null", "null", true},
	    {"", "null", "own.example", true},
	    {"", "https://evil.example", "own.example", true},
	    {"", "https://a.example", "own.example", false},
	    {"same-origin", "https://behind.a.proxy", "own.example", false},
	    {"none", "", "own.example", false},
	    {"same-site", "https://x.own.example", "own.example", true},
	    {"cross-site", "", "own.example", true},
	    {"cross-site", "https://own.example", "own.example", true},
	    {"cross-site", "https://a.example", "own.example", false},
	    {"new-word", "https://own.example", "own.example", true},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct buf v = BUF_INIT;
		struct request r = {.origin = cases[i].origin};

		buf_addf(&v, "HTTP_SEC_FETCH_SITE=%s", cases[i].site);
		buf_add_char(&v, '\0');
		buf_addf(&v, "HTTP_HOST=%s", cases[i].host);
		buf_add_char(&v, '\0');
		r.variables = buf_span(&v);
		if (cors_is_foreign(ALLOWED, &r) != cases[i].is_foreign)
			fail_msg("%s %s %s", cases[i].site, cases[i].origin,
			    cases[i].host);
		buf_done(&v);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_origins),
	    cmocka_unit_test(test_off),
	    cmocka_unit_test(test_names),
	    cmocka_unit_test(test_preflight_of_others),
	    cmocka_unit_test(test_foreign),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
