/* SPDX-License-Identifier: ISC */
/* hook/urls.c */
#include "hook/urls.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "web/query.h"

static const struct urls_site sites[] = {
    {"https://h.example:8443", "/api/v1"},
    {"https://h.example:8443/", "/api/v1"},
    {"https://h.example:8443///", "/api/v1"},
};

static void
test_events(void **state)
{
	struct buf out = BUF_INIT;

	(void)state;
	for (size_t i = 0; i < sizeof(sites) / sizeof(sites[0]); i++) {
		buf_reset(&out);
		urls_add_events(&out, &sites[i], SPAN_LIT("a.b:c~d_e-F9"));
		assert_true(buf_ok(&out));
		assert_string_equal(out.data,
		    "https://h.example:8443/api/v1/events/a.b%3Ac~d_e-F9");
	}
	buf_done(&out);
}

/* What is signed comes out of the URL as it went in, and verifies. */
static void
test_webhook(void **state)
{
	struct url_claim claim = {"runpod-completion", SPAN_LIT("a:b"),
	    SPAN_LIT("r/1 &=\xc3\xa4"), 1764000060};
	struct secrets keys = {0};
	struct buf out = BUF_INIT, value = BUF_INIT;
	struct span query;

	(void)state;
	assert_int_equal(
	    secrets_load("a-key-of-signed-urls", &keys, &value), OK);
	assert_int_equal(urls_add_webhook(&out, &sites[0], &keys, &claim), OK);
	query = span_of(strchr(out.data, '?') + 1);
	assert_memory_equal(out.data,
	    "https://h.example:8443/api/v1/webhooks/runpod-completion?", 57);
	assert_true(query_get(query, "restore_id", &value));
	assert_true(span_eq(buf_span(&value), claim.restore_id));
	buf_reset(&value);
	assert_true(query_get(query, "job_id", &value));
	assert_true(span_eq(buf_span(&value), claim.job_id));
	buf_reset(&value);
	assert_true(query_get(query, "sig", &value));
	assert_int_equal(
	    url_signature_verify(&keys, &claim, buf_span(&value), 1764000000),
	    OK);
	buf_done(&value);
	buf_done(&out);
	secrets_done(&keys);
}

static void
test_without_a_key(void **state)
{
	const struct url_claim claim = {
	    "runpod-completion", SPAN_LIT("a"), {NULL, 0}, 1};
	const struct secrets keys = {0};
	struct buf out = BUF_INIT;

	(void)state;
	assert_int_not_equal(
	    urls_add_webhook(&out, &sites[0], &keys, &claim), OK);
	buf_done(&out);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_events),
	    cmocka_unit_test(test_webhook),
	    cmocka_unit_test(test_without_a_key),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
