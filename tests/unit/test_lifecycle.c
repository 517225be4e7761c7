/* SPDX-License-Identifier: ISC */
/* hook/lifecycle.c: the whole table, written once more from the contract. */
#include "hook/lifecycle.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static const char *const types[] = {
    "queued", "processing", "completed", "failed", "cancelled", "timed_out"};

/* Per state: a letter per type, in the order above; y is admitted. */
static const struct {
	const char *state, *row;
} table[] = {
    {"", "yyyyyy"},
    {"queued", "yyyyyy"},
    {"processing", "nyyyyy"},
    {"completed", "nnynnn"},
    {"failed", "yyyyyy"},
    {"cancelled", "nnynyn"},
    {"timed_out", "yyyyyy"},
};

static void
test_table(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(table); i++)
		for (size_t k = 0; k < COUNT(types); k++)
			if (lifecycle_admits(table[i].state, types[k]) !=
			    (table[i].row[k] == 'y'))
				fail_msg("%s in the state '%s'", types[k],
				    table[i].state);
}

/* They change no state, so no state can be in their way. */
static void
test_other_types(void **state)
{
	static const char *const others[] = {
	    "progress", "step", "", "Queued", "completed.", "queue"};

	(void)state;
	for (size_t i = 0; i < COUNT(table); i++)
		for (size_t k = 0; k < COUNT(others); k++)
			assert_true(
			    lifecycle_admits(table[i].state, others[k]));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_table),
	    cmocka_unit_test(test_other_types),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
