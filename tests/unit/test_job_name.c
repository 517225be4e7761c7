/* SPDX-License-Identifier: ISC */
/* job/name.c: the grammar of names. */
#include "job/name.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static char x[JOB_LABEL_MAX + 1];

static void
test_type(void **state)
{
	(void)state;
	assert_true(job_type_ok((struct span){x, 64}));
	assert_false(job_type_ok((struct span){x, 65}));
	assert_true(job_type_ok(SPAN_LIT("a_b.c-1")));
	assert_false(job_type_ok((struct span){NULL, 0}));
	assert_false(job_type_ok(SPAN_LIT("1a")));
	assert_false(job_type_ok(SPAN_LIT("aB")));
	assert_false(job_type_ok(SPAN_LIT("a\0")));
	assert_false(job_type_ok(SPAN_LIT("a\n")));
	assert_false(job_type_ok(SPAN_LIT("\xc3\xa9")));
	assert_false(job_type_ok(SPAN_LIT("resync")));
	assert_false(job_type_ok(SPAN_LIT("heartbeat")));
	assert_false(job_type_ok(SPAN_LIT("expiring")));
	assert_true(job_type_ok(SPAN_LIT("resync.done")));
}

static void
test_id(void **state)
{
	(void)state;
	assert_true(job_id_ok((struct span){x, 128}));
	assert_false(job_id_ok((struct span){x, 129}));
	assert_true(job_id_ok(SPAN_LIT("Az09._:~-")));
	assert_false(job_id_ok((struct span){NULL, 0}));
	assert_false(job_id_ok(SPAN_LIT("a/b")));
	assert_false(job_id_ok(SPAN_LIT("a b")));
	assert_false(job_id_ok(SPAN_LIT("a\0")));
	assert_false(job_id_ok(SPAN_LIT("\xc3\xa9")));
}

static void
test_label(void **state)
{
	(void)state;
	assert_true(job_label_ok((struct span){x, 256}));
	assert_false(job_label_ok((struct span){x, 257}));
	assert_true(job_label_ok((struct span){NULL, 0}));
	assert_true(job_label_ok(SPAN_LIT("\xc3\xa9 a/b")));
	assert_false(job_label_ok(SPAN_LIT("a\0b")));
	assert_false(job_label_ok(SPAN_LIT("a\n")));
	assert_false(job_label_ok(SPAN_LIT("\x7f")));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_type),
	    cmocka_unit_test(test_id),
	    cmocka_unit_test(test_label),
	};

	memset(x, 'x', sizeof(x));
	return cmocka_run_group_tests(tests, NULL, NULL);
}
