/* SPDX-License-Identifier: ISC */
/* job/action.c: the setting runpod_actions. */
#include "job/action.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "assert_span.h"

#define LIST " restore=abc_1-2 ,colour=DEF \t progress=poll,x=y"

static void
test_find(void **state)
{
	static const char *const others[] = {
	    "", "restor", "restores", "Restore", "abc_1-2", "progress", "poll"};
	struct action a;

	(void)state;
	assert_null(action_list_fault(LIST));
	assert_true(action_find(LIST, SPAN_LIT("restore"), &a));
	assert_span(a.name, SPAN_LIT("restore"));
	assert_span(a.endpoint, SPAN_LIT("abc_1-2"));
	assert_false(a.polls_progress);
	assert_true(action_find(LIST, SPAN_LIT("colour"), &a));
	assert_span(a.endpoint, SPAN_LIT("DEF"));
	assert_true(a.polls_progress);
	assert_true(action_find(LIST, SPAN_LIT("x"), &a));
	assert_span(a.endpoint, SPAN_LIT("y"));
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
		assert_false(action_find(LIST, span_of(others[i]), &a));
}

static void
test_next(void **state)
{
	static const char *const names[] = {"restore", "colour", "x"};
	struct span rest = SPAN_LIT(LIST);
	struct action a;
	size_t n = 0;

	(void)state;
	for (; action_next(&rest, &a); n++)
		assert_span(a.name, span_of(names[n]));
	assert_int_equal(n, 3);
}

static void
test_none(void **state)
{
	struct action a;

	(void)state;
	assert_null(action_list_fault(""));
	assert_false(action_find("", SPAN_LIT(""), &a));
	assert_false(action_find("", SPAN_LIT("restore"), &a));
}

static void
test_faults(void **state)
{
	static const struct {
		const char *list, *fault;
	} cases[] = {
	    {"restore", "NAME=ENDPOINT"},
	    {"restore=", "NAME=ENDPOINT"},
	    {"restore=a/b", "NAME=ENDPOINT"},
	    {"restore=a=b", "NAME=ENDPOINT"},
	    {"=abc", "the name of an action"},
	    {"re store=abc", "NAME=ENDPOINT"},
	    {"a/b=abc", "the name of an action"},
	    {"a.b=abc", "the name of an action"},
	    {"events=abc", "events or cancel"},
	    {"cancel=abc", "events or cancel"},
	    {"a=b,,c=d", "the name of an action"},
	    {" ", "the name of an action"},
	    {"a=b progress=pol", "progress=poll"},
	    {"a=b progress=poll x", "progress=poll"},
	    {"a=b progress", "progress=poll"},
	    {"a=b,c=d,a=e", "the same name"},
	};
	char name[80], list[200];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const char *fault = action_list_fault(cases[i].list);

		if (fault == NULL || strstr(fault, cases[i].fault) == NULL)
			fail_msg("%s: %s", cases[i].list,
			    fault == NULL ? "good" : fault);
	}
	memset(name, 'n', sizeof(name));
	snprintf(list, sizeof(list), "%.64s=e", name);
	assert_null(action_list_fault(list));
	snprintf(list, sizeof(list), "%.65s=e", name);
	assert_non_null(action_list_fault(list));
	snprintf(list, sizeof(list), "a=%.64s%.64s", name, name);
	assert_null(action_list_fault(list));
	snprintf(list, sizeof(list), "a=%.64s%.65s", name, name);
	assert_non_null(action_list_fault(list));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_find),
	    cmocka_unit_test(test_next),
	    cmocka_unit_test(test_none),
	    cmocka_unit_test(test_faults),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
