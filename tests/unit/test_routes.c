/* SPDX-License-Identifier: ISC */
/* hook/routes.c: which path takes which method, what stands for {}, and what
 * is said of all others. */
#include <stdio.h>

#include "webhook_site.h"

/* Every path, its methods, and what it leads to (the first one's). */
static const struct {
	const char *path, *segments[CALL_SEGMENTS], *methods, *allow;
	const struct call_handler *handler;
} places[] = {
    {"/webhooks/healthz", {"", ""}, "GET HEAD", "GET, HEAD", &health_call},
    {"/webhooks/metrics", {"", ""}, "GET HEAD", "GET, HEAD", &metrics_call},
    {"/webhooks/anybody", {"anybody", ""}, "POST", "POST", &webhook_call},
    {"/webhooks/healthz.", {"healthz.", ""}, "POST", "POST", &webhook_call},
    {"/jobs", {"", ""}, "POST", "POST", &register_call},
    {"/jobs/a/events", {"a", ""}, "POST", "POST", &publish_call},
    {"/jobs/a%2Fb c/events", {"a%2Fb c", ""}, "POST", "POST", &publish_call},
    {"/jobs/events/events", {"events", ""}, "POST", "POST", &publish_call},
    {"/jobs/a/cancel", {"a", ""}, "POST OPTIONS", "POST, OPTIONS",
	&cancel_call},
    {"/jobs/a/restore", {"a", "restore"}, "POST OPTIONS", "POST, OPTIONS",
	&run_call},
    {"/jobs/cancel/event", {"cancel", "event"}, "POST OPTIONS", "POST, OPTIONS",
	&run_call},
    {"/tickets", {"", ""}, "POST OPTIONS", "POST, OPTIONS", &ticket_call},
};

static const char *const methods[] = {"GET", "HEAD", "POST", "PUT", "PATCH",
    "DELETE", "OPTIONS", "TRACE", "CONNECT", "get", "GETS", "GE", ""};

static const struct call_handler *
find(struct site *s, const char *method, const char *path)
{
	call_free(&s->d);
	s->request.method = method;
	s->request.route = path;
	s->d = call_new(&s->request, &s->cfg, &s->keys);
	assert_non_null(s->d);
	return routes_find(s->d);
}

/* Is the word in the list? */
static bool
is_in(const char *list, const char *word)
{
	size_t n = strlen(word);

	for (const char *at = list; n > 0 && (at = strstr(at, word)) != NULL;
	     at += n)
		if ((at == list || at[-1] == ' ') &&
		    (at[n] == ' ' || at[n] == '\0'))
			return true;
	return false;
}

/* The place where the path takes the method; COUNT(places): it does not. */
static size_t
place_of(const char *path, const char *method)
{
	size_t i = 0;

	while (i < COUNT(places) && (strcmp(places[i].path, path) != 0 ||
					!is_in(places[i].methods, method)))
		i++;
	return i;
}

static void
test_each_method_of_each_path(void **state)
{
	struct site *s = *state;
	const struct call_handler *handler;
	char allow[64];

	for (size_t i = 0; i < COUNT(places) * COUNT(methods); i++) {
		const char *method = methods[i % COUNT(methods)];
		const char *path = places[i / COUNT(methods)].path;
		size_t at = place_of(path, method);

		handler = find(s, method, path);
		if (at < COUNT(places)) {
			assert_non_null(handler);
			for (size_t k = 0; k < CALL_SEGMENTS; k++)
				assert_true(span_eq_str(
				    s->d->segments[k], places[at].segments[k]));
			assert_int_equal(s->d->answer.body.len, 0);
			continue;
		}
		assert_null(handler);
		assert_answer(s, 405, "method_not_allowed");
		assert_int_equal(s->d->outcome, CALL_REFUSED);
		snprintf(allow, sizeof(allow), "\r\nAllow: %s\r\n",
		    places[i / COUNT(methods)].allow);
		assert_true(has_header(s, allow));
	}
}

static void
test_each_path_has_its_own_steps(void **state)
{
	struct site *s = *state;
	const struct call_handler *handler;

	for (size_t i = 0; i < COUNT(places); i++) {
		char first[8] = "";

		memcpy(
		    first, places[i].methods, strcspn(places[i].methods, " "));
		handler = find(s, first, places[i].path);
		assert_non_null(handler);
		assert_true(handler == places[i].handler);
		/* What may be pushed can be written and concluded. */
		assert_true(
		    (handler->write == NULL) == (handler->conclude == NULL));
	}
	assert_true(find(s, "OPTIONS", "/tickets") == &preflight_call);
	assert_true(find(s, "OPTIONS", "/jobs/a/restore") == &preflight_call);
	assert_true(find(s, "OPTIONS", "/jobs/a/cancel") == &preflight_call);
}

/* A beginning of a path, more than a path, and what only looks like one. */
static void
test_nothing_there(void **state)
{
	static const char *const paths[] = {"", "/", "//", "/webhooks",
	    "/webhooks/", "/webhooks//", "/webhooks//healthz",
	    "/webhooks/healthz/", "/webhooks/healthz/x", "/webhooks/a/b",
	    "/Webhooks/healthz", "webhooks/healthz", "/webhookss/a", "/jobs/",
	    "/jobs/a", "/jobs/a/", "/jobs//events", "/jobs/a/events/",
	    "/jobs/a/events/1", "/jobs/a/b/events", "/jobs//", "/jobs/a//",
	    "/jobs//restore", "/jobs/a/restore/", "/job", "/jobss", "/tickets/",
	    "/tickets/a", "/ticket", "/events/a", "/healthz", "/metrics",
	    "/api/v1/webhooks/healthz", "/{}", "/webhooks/{}/"};
	struct site *s = *state;

	for (size_t i = 0; i < COUNT(paths) * COUNT(methods); i++) {
		assert_null(find(
		    s, methods[i % COUNT(methods)], paths[i / COUNT(methods)]));
		assert_answer(s, 404, "not_found");
		assert_false(has_header(s, "Allow"));
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(test_each_method_of_each_path),
	    TEST(test_each_path_has_its_own_steps),
	    TEST(test_nothing_there),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
