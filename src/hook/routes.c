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
    {"POST", "/tickets", &ticket_call},
    {"OPTIONS", "/tickets", &ticket_preflight},
};

enum { N_ROUTES = sizeof(routes) / sizeof(routes[0]) };

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
		if (!fits(routes[i].path, path, &c->segment))
			continue;
		/* The most particular path: they stand first. */
		if (pattern == NULL)
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
