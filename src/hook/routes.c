/* SPDX-License-Identifier: ISC */
/*
 * The table of paths, and how one is found. Pure.
 */
#include "hook/routes.h"

#include <string.h>

struct route {
	const char *method;
	const char *path; /* below the prefix; {} is one segment */
	const struct call_handler *handler;
};

static const struct route routes[] = {
    {"GET", "/webhooks/healthz", &health_call},
    {"GET", "/webhooks/metrics", &metrics_call},
    {"POST", "/webhooks/{}", &webhook_call},
    {"POST", "/jobs", &register_call},
    {"POST", "/jobs/{}/events", &publish_call},
    {"POST", "/jobs/{}/cancel", &cancel_call},
    {"OPTIONS", "/jobs/{}/cancel", &preflight_call},
    {"POST", "/jobs/{}/{}", &run_call},
    {"OPTIONS", "/jobs/{}/{}", &preflight_call},
    {"POST", "/tickets", &ticket_call},
    {"OPTIONS", "/tickets", &preflight_call},
};

enum { N_ROUTES = sizeof(routes) / sizeof(routes[0]) };

/* Does the path fit the pattern? ret: what stands for each {}. */
static bool
fits(const char *pattern, const char *path, struct span ret[CALL_SEGMENTS])
{
	memset(ret, 0, CALL_SEGMENTS * sizeof(*ret));
	while (*pattern != '\0') {
		if (strncmp(pattern, "{}", 2) == 0) {
			ret->p = path;
			ret->n = strcspn(path, "/");
			if (ret->n == 0)
				return false;
			path += ret->n;
			pattern += 2;
			ret++;
		} else if (*pattern++ != *path++) {
			return false;
		}
	}
	return *path == '\0';
}

static bool
has_method(const struct route *route, const char *method)
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
		const struct route *route = &routes[i];

		if (strcmp(route->path, pattern) != 0)
			continue;
		buf_addf(headers, "%s%s", before, route->method);
		before = ", ";
		if (strcmp(route->method, "GET") == 0)
			buf_add_str(headers, ", HEAD");
	}
	buf_add_str(headers, "\r\n");
}

const struct call_handler *
routes_find(struct call *c)
{
	const char *path = c->request->route, *pattern = NULL;

	for (size_t i = 0; i < N_ROUTES; i++) {
		if (pattern != NULL ? strcmp(routes[i].path, pattern) != 0
				    : !fits(routes[i].path, path, c->segments))
			continue;
		/* The most particular one: they stand first. */
		pattern = routes[i].path;
		if (has_method(&routes[i], c->request->method))
			return routes[i].handler;
	}
	if (pattern == NULL) {
		(void)call_refuse_as(c, &refusal_not_found);
		return NULL;
	}
	(void)call_refuse(c, 405, "method_not_allowed",
	    "This path does not take this method.");
	add_allow(&c->answer.headers, pattern);
	return NULL;
}
