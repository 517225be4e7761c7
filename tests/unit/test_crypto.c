/* SPDX-License-Identifier: ISC */
/* auth/crypto.c. */
#include "auth/crypto.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void
assert_digest(struct span bytes, const char *expected)
{
	char digest[CRYPTO_SHA256_SIZE];

	assert_int_equal(crypto_sha256(bytes, digest), OK);
	assert_string_equal(digest, expected);
}

static void
test_digest_of_parts(void **state)
{
	const struct span parts[] = {
	    SPAN_LIT("a"), {NULL, 0}, SPAN_LIT("b"), SPAN_LIT("c")};
	char whole[CRYPTO_SHA256_SIZE], digest[CRYPTO_SHA256_SIZE];

	(void)state;
	assert_int_equal(crypto_sha256(SPAN_LIT("abc"), whole), OK);
	assert_int_equal(crypto_sha256_of(parts, 4, digest), OK);
	assert_string_equal(digest, whole);
}

/* FIPS 180-4 examples. */
static void
test_digest(void **state)
{
	(void)state;
	assert_digest((struct span){NULL, 0},
	    "e3b0c44298fc1c149afbf4c8996fb924"
	    "27ae41e4649b934ca495991b7852b855");
	assert_digest(SPAN_LIT("abc"), "ba7816bf8f01cfea414140de5dae2223"
				       "b00361a396177a9cb410ff61f20015ad");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_digest),
	    cmocka_unit_test(test_digest_of_parts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
