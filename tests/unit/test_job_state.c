/* SPDX-License-Identifier: ISC */
/* job/state.c: names, ends, and the whole table, written once more from the
 * contract. */
#include "job/state.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static const char *const states[] = {
    "queued", "processing", "completed", "failed", "cancelled", "timed_out"};

static void
test_names(void **state)
{
	(void)state;
	assert_int_equal(JOB_STATES, COUNT(states) + 1);
	assert_string_equal(job_state_name(JOB_NO_STATE), "");
	for (enum job_state i = JOB_QUEUED; i < JOB_STATES; i++) {
		assert_string_equal(job_state_name(i), states[i - JOB_QUEUED]);
		assert_int_equal(job_state_of(states[i - JOB_QUEUED]), i);
	}
}

static void
test_other_names(void **state)
{
	static const char *const others[] = {JOB_PROGRESS, "step", "", "Queued",
	    "completed.", "queue", "resync"};

	(void)state;
	for (size_t i = 0; i < COUNT(others); i++)
		assert_int_equal(job_state_of(others[i]), JOB_NO_STATE);
}

static void
test_ends(void **state)
{
	(void)state;
	assert_false(job_state_is_end(JOB_NO_STATE));
	assert_false(job_state_is_end(JOB_QUEUED));
	assert_false(job_state_is_end(JOB_PROCESSING));
	assert_true(job_state_is_end(JOB_COMPLETED));
	assert_true(job_state_is_end(JOB_FAILED));
	assert_true(job_state_is_end(JOB_CANCELLED));
	assert_true(job_state_is_end(JOB_TIMED_OUT));
}

/* Per state: a letter per reported state, in the order above; y is admitted. */
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
		for (size_t k = 0; k < COUNT(states); k++)
			if (job_state_admits(job_state_of(table[i].state),
				job_state_of(states[k])) !=
			    (table[i].row[k] == 'y'))
				fail_msg("%s in the state '%s'", states[k],
				    table[i].state);
}

/* They change no state, so no state can be in their way. */
static void
test_other_types(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(table); i++)
		assert_true(job_state_admits(
		    job_state_of(table[i].state), JOB_NO_STATE));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_names),
	    cmocka_unit_test(test_other_names),
	    cmocka_unit_test(test_ends),
	    cmocka_unit_test(test_table),
	    cmocka_unit_test(test_other_types),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
