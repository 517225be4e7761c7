/* SPDX-License-Identifier: ISC */
/* web/refusal.c: which error is which refusal, and what the answer has. */
#include "web/refusal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static const struct {
	enum refusal_of what;
	enum err e;
	int status;
	const char *code;
} cases[] = {
    {REFUSAL_OF_BODY, ERR_LIMIT, 413, "body_too_large"},
    {REFUSAL_OF_BODY, ERR_AGAIN, 503, "overloaded"},
    {REFUSAL_OF_BODY, ERR_NOMEM, 503, "out_of_memory"},
    {REFUSAL_OF_BODY, ERR_FULL, 507, "spool_full"},
    {REFUSAL_OF_BODY, ERR_SYS, 507, "spool_full"},
    {REFUSAL_OF_READ, ERR_AUTH, 403, "job_forbidden"},
    {REFUSAL_OF_READ, ERR_FULL, 503, "overloaded"},
    {REFUSAL_OF_READ, ERR_NOMEM, 503, "out_of_memory"},
    {REFUSAL_OF_READ, ERR_GONE, 503, "database_unavailable"},
    {REFUSAL_OF_READ, ERR_CORRUPT, 503, "database_unavailable"},
    {REFUSAL_OF_WRITE, ERR_PROTO, 400, "bad_payload"},
    {REFUSAL_OF_WRITE, ERR_LIMIT, 413, "data_too_large"},
    {REFUSAL_OF_WRITE, ERR_BUSY, 503, "database_busy"},
    {REFUSAL_OF_WRITE, ERR_FULL, 507, "database_full"},
    {REFUSAL_OF_WRITE, ERR_GONE, 503, "database_missing"},
    {REFUSAL_OF_WRITE, ERR_NOMEM, 503, "out_of_memory"},
    {REFUSAL_OF_WRITE, ERR_READONLY, 500, "database_readonly"},
    {REFUSAL_OF_WRITE, ERR_CORRUPT, 500, "database_corrupt"},
    {REFUSAL_OF_WRITE, ERR_IO, 500, "database_error"},
};

/* Who is told "not now" is told when. */
static void
test_table(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const struct refusal *why =
		    refusal_of(cases[i].what, cases[i].e);

		assert_int_equal(why->status, cases[i].status);
		assert_string_equal(why->code, cases[i].code);
		assert_int_equal(why->retry_after_s > 0, why->status == 503);
	}
}

static void
test_answer(void **state)
{
	static const struct refusal why = {
	    401, "c", "Say \"please\".", REFUSAL_NO_TOKEN, 7};
	struct answer a = ANSWER_INIT;

	(void)state;
	buf_add_str(&a.body, "what was there");
	refusal_answer(&why, &a);
	assert_int_equal(a.status, 401);
	assert_string_equal(a.code, "c");
	assert_string_equal(a.body.data,
	    "{\"error\":{\"code\":\"c\",\"message\":\"Say \\\"please\\\".\"}}"
	    "\n");
	assert_string_equal(a.headers.data, "Content-Type: application/json\r\n"
					    "Cache-Control: no-store\r\n"
					    "WWW-Authenticate: Bearer\r\n"
					    "Retry-After: 7\r\n");
	answer_done(&a);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_table),
	    cmocka_unit_test(test_answer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
