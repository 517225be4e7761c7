/* SPDX-License-Identifier: ISC */
/* text/base64.c */
#include "text/base64.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "alloc_fail.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static void
assert_text(struct span bytes, enum base64_form form, const char *text)
{
	struct buf out = BUF_INIT;

	base64_add(&out, bytes, form);
	assert_true(span_eq_str(buf_span(&out), text));
	buf_reset(&out);
	assert_int_equal(base64_add_bytes(&out, span_of(text), form), OK);
	assert_true(span_eq(buf_span(&out), bytes));
	assert_int_equal(out.data[out.len], '\0');
	buf_done(&out);
}

static void
assert_refused(const char *text, enum base64_form form)
{
	struct buf out = BUF_INIT;

	buf_add_str(&out, "kept");
	if (base64_add_bytes(&out, span_of(text), form) != ERR_PROTO)
		fail_msg("%s was taken", text);
	assert_string_equal(out.data, "kept");
	buf_done(&out);
}

/* RFC 4648 section 10, and the two digits of its section 5. */
static void
test_strict(void **state)
{
	const struct {
		struct span bytes;
		const char *padded, *url;
	} pairs[] = {
	    {SPAN_LIT(""), "", ""},
	    {SPAN_LIT("f"), "Zg==", "Zg"},
	    {SPAN_LIT("fo"), "Zm8=", "Zm8"},
	    {SPAN_LIT("foo"), "Zm9v", "Zm9v"},
	    {SPAN_LIT("foob"), "Zm9vYg==", "Zm9vYg"},
	    {SPAN_LIT("fooba"), "Zm9vYmE=", "Zm9vYmE"},
	    {SPAN_LIT("foobar"), "Zm9vYmFy", "Zm9vYmFy"},
	    {SPAN_LIT("\xfb\xff\xfe\0"), "+//+AA==", "-__-AA"},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(pairs); i++) {
		assert_text(pairs[i].bytes, BASE64_PADDED, pairs[i].padded);
		assert_text(pairs[i].bytes, BASE64_URL, pairs[i].url);
	}
}

static void
test_refused(void **state)
{
	static const char *const url[] = {"Z", "Zg=", "Zg==", "Zg =", "Zh",
	    "Zm9=", "Zm9vY", "Zm9vYm", "+_8", "/_8", "Zm\n9v", " Zm9v",
	    "Zm9v\t", "\xc3\xa4"};
	static const char *const padded[] = {"Z", "Zg", "Zg=", "Zm8",
	    "Zh==", "Zm9=", "Z===", "====", "-_+/", "Zm9v\n",
	    "Zg==Zg==", "Zm9v===="};

	(void)state;
	for (size_t i = 0; i < COUNT(url); i++)
		assert_refused(url[i], BASE64_URL);
	for (size_t i = 0; i < COUNT(padded); i++)
		assert_refused(padded[i], BASE64_PADDED);
}

/* NULL: refused as no base64. */
static void
assert_any(const char *text, const char *expected)
{
	unsigned char bytes[16];
	size_t n = 77;
	enum err e =
	    base64_read(span_of(text), BASE64_ANY, bytes, sizeof(bytes), &n);

	if (e != (expected == NULL ? ERR_PROTO : OK))
		fail_msg("%s: %s", text, err_text(e));
	assert_int_equal(n, expected == NULL ? 77 : strlen(expected));
	if (expected != NULL)
		assert_memory_equal(bytes, expected, n);
}

static void
test_any(void **state)
{
	(void)state;
	assert_any("", "");
	assert_any("Zg==", "f");
	assert_any("Zm8=", "fo");
	assert_any("Zm9v", "foo");
	assert_any("Zm9vYg==", "foob");
	assert_any("Zm9vYmE=", "fooba");
	assert_any("Zm9vYmFy", "foobar");
	assert_any("Zg", "f");
	assert_any("Zm9vYmE", "fooba");
	/* Bits that belong to no byte. */
	assert_any("Zh", "f");
	assert_any("Zm9=", "fo");
	assert_any("+/+/", "\xfb\xff\xbf");
	assert_any("-_-_", "\xfb\xff\xbf");
	assert_any("Z", NULL);
	assert_any("=", NULL);
	assert_any("Zg=", NULL);
	assert_any("Zm9v=", NULL);
	assert_any("Z===", NULL);
	assert_any("====", NULL);
	assert_any("Zg==Zg==", NULL);
	assert_any("Zm9v\n", NULL);
	assert_any("Zm 9", NULL);
	assert_any("Zm9\x80", NULL);
}

static void
test_limit(void **state)
{
	unsigned char bytes[4] = {0, 0, 0, 9};
	size_t n;

	(void)state;
	assert_int_equal(
	    base64_read(SPAN_LIT("Zm9v"), BASE64_ANY, bytes, 3, &n), OK);
	assert_int_equal(n, 3);
	assert_int_equal(
	    base64_read(SPAN_LIT("Zm9vYg"), BASE64_ANY, bytes, 3, &n),
	    ERR_LIMIT);
	assert_int_equal(bytes[3], 9);
	assert_int_equal(
	    base64_read(SPAN_LIT("Zg"), BASE64_ANY, bytes, 0, &n), ERR_LIMIT);
}

static void
test_no_memory(void **state)
{
	struct buf out = BUF_INIT;
	enum err e;

	(void)state;
	alloc_fail_start(1);
	e = base64_add_bytes(&out, SPAN_LIT("Zm9v"), BASE64_URL);
	assert_true(alloc_fail_stop());
	assert_int_equal(e, ERR_NOMEM);
	buf_reset(&out);
	alloc_fail_start(1);
	base64_add(&out, SPAN_LIT("foo"), BASE64_URL);
	assert_true(alloc_fail_stop());
	assert_false(buf_ok(&out));
	buf_done(&out);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_strict),
	    cmocka_unit_test(test_refused),
	    cmocka_unit_test(test_any),
	    cmocka_unit_test(test_limit),
	    cmocka_unit_test(test_no_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
