/* SPDX-License-Identifier: ISC */
/*
 * Reads the list of actions where it is asked for: it is short. Pure.
 */
#include "job/action.h"

#include "text/span.h"

#define WHITE " \t"

static bool
is_word(struct span s, size_t max)
{
	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];

		if (!(c >= 'a' && c <= 'z') && !(c >= 'A' && c <= 'Z') &&
		    !(c >= '0' && c <= '9') && c != '_' && c != '-')
			return false;
	}
	return s.n >= 1 && s.n <= max;
}

bool
action_endpoint_ok(struct span endpoint)
{
	return is_word(endpoint, ACTION_ENDPOINT_MAX);
}

/* Reads `NAME=ENDPOINT[ progress=poll]`; what is wrong with it. */
static const char *
read_one(struct span text, struct action *ret)
{
	struct span word = span_cut_any(&text, WHITE);

	ret->name = span_cut(&word, '=');
	ret->endpoint = word;
	text = span_skip(text, WHITE);
	ret->polls_progress = span_eq_str(text, "progress=poll");
	if (!is_word(ret->name, ACTION_NAME_MAX))
		return "the name of an action is 1 to 64 of A-Z a-z 0-9 _ -";
	if (span_eq_str(ret->name, "events") ||
	    span_eq_str(ret->name, "cancel"))
		return "no action may be named events or cancel";
	if (!action_endpoint_ok(ret->endpoint))
		return "an action is NAME=ENDPOINT, and an endpoint is 1 to "
		       "128 of A-Z a-z 0-9 _ -";
	if (text.n > 0 && !ret->polls_progress)
		return "behind the endpoint of an action only progress=poll "
		       "may stand";
	return NULL;
}

bool
action_next(struct span *rest, struct action *ret)
{
	struct span text;

	if (span_trim(*rest, WHITE).n == 0)
		return false;
	text = span_cut(rest, ',');
	(void)read_one(span_trim(text, WHITE), ret);
	return true;
}

bool
action_find(const char *list, struct span name, struct action *ret)
{
	struct span rest = span_of(list);

	while (action_next(&rest, ret))
		if (span_eq(ret->name, name))
			return true;
	return false;
}

const char *
action_list_fault(const char *list)
{
	struct span rest = span_of(list);
	struct action action, first;

	while (rest.n > 0) {
		struct span text = span_trim(span_cut(&rest, ','), WHITE);
		const char *fault = read_one(text, &action);

		if (fault != NULL)
			return fault;
		if (action_find(list, action.name, &first) &&
		    first.name.p != action.name.p)
			return "two actions have the same name";
	}
	return NULL;
}
