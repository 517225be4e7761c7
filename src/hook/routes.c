/* SPDX-License-Identifier: ISC */
/*
 * The table of paths, and how one is found. What they do is in the files that
 * the steps are named after. Pure.
 */
#include <string.h>

#include "hook/call.h"

const struct hook_route hook_routes[] = {
    {"GET", "/webhooks/healthz", health_prepare, health_write, health_conclude,
	NULL},
    {"GET", "/webhooks/metrics", metrics_prepare, NULL, NULL, NULL},
    {"POST", "/webhooks/{}", delivery_prepare, delivery_write,
	delivery_conclude, delivery_done},
    {"POST", "/jobs", registration_prepare, registration_write,
	registration_conclude, registration_done},
    {"POST", "/jobs/{}/events", publication_prepare, publication_write,
	publication_conclude, publication_done},
    {"POST", "/tickets", ticket_call_prepare, ticket_call_write,
	ticket_call_conclude, ticket_call_done},
    {"OPTIONS", "/tickets", ticket_preflight_prepare, NULL, NULL, NULL},
};

enum { N_ROUTES = sizeof(hook_routes) / sizeof(hook_routes[0]) };

/* Does the path fit the pattern? *ret: what stands for {}; else empty. */
static bool
fits(const char *pattern, const char *path, struct span *ret)
{
	*ret = (struct span){path, 0};
	while (*pattern != '\0') {
		if (strncmp(pattern, "{}", 2) == 0) {
			*ret = (struct span){path, strcspn(path, "/")};
			if (ret->n == 0)
				return false;
			path += ret->n;
			pattern += 2;
		} else if (*pattern++ != *path++) {
			return false;
		}
	}
	return *path == '\0';
}

static bool
has_method(const struct hook_route *route, const char *method)
{
	return strcmp(method, route->method) == 0 ||
	       (strcmp(method, "HEAD") == 0 &&
		   strcmp(route->method, "GET") == 0);
}

/* All that the path takes: RFC 9110, section 15.5.6. */
static void
add_allow(struct buf *headers, const char *pattern)
{
	const char *before = "Allow: ";

	for (size_t i = 0; i < N_ROUTES; i++) {
		const struct hook_route *route = &hook_routes[i];

		if (strcmp(route->path, pattern) != 0)
			continue;
		buf_addf(headers, "%s%s", before, route->method);
		before = ", ";
		if (strcmp(route->method, "GET") == 0)
			buf_add_str(headers, ", HEAD");
	}
	buf_add_str(headers, "\r\n");
}

const struct hook_route *
hook_find_route(struct hook_call *c)
{
	const char *path = c->request->route, *pattern = NULL;
	struct span segment;

	for (size_t i = 0; i < N_ROUTES; i++) {
		if (!fits(hook_routes[i].path, path, &segment))
			continue;
		/* The most particular path: they stand first. */
		if (pattern == NULL)
			pattern = hook_routes[i].path;
		if (!has_method(&hook_routes[i], c->request->method))
			continue;
		buf_add_span(&c->segment, segment);
		buf_reserve(&c->segment, 1);
		if (buf_ok(&c->segment))
			return &hook_routes[i];
		(void)call_refuse_memory(c);
		return NULL;
	}
	if (pattern == NULL) {
		(void)call_refuse(
		    c, 404, "not_found", "There is nothing at this path.");
		return NULL;
	}
	(void)call_refuse(c, 405, "method_not_allowed",
	    "This path does not take this method.");
	add_allow(&c->answer.headers, pattern);
	return NULL;
}
