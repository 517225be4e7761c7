/* SPDX-License-Identifier: ISC */
/*
 * Which origin may read what is decided by the list alone: no wildcard, no
 * pattern, because answers are given with credentials. Never blocks.
 */
#include "web/cors.h"

#include <string.h>

#include "text/span.h"

static bool
is_allowed(const char *allowed, const char *origin)
{
	struct span rest = span_of(allowed);

	while (rest.n > 0 && *origin != '\0')
		if (span_eq_str(span_cut_any(&rest, ", "), origin))
			return true;
	return false;
}

bool
cors_is_foreign(const char *allowed, const struct request *r)
{
	const char *site = request_header(r, "sec-fetch-site");
	struct span host = span_of(r->origin);

	if (is_allowed(allowed, r->origin))
		return false;
	if (*site != '\0')
		return strcmp(site, "same-origin") != 0 &&
		       strcmp(site, "none") != 0;
	if (host.n == 0)
		return false;
	return (!span_cut_prefix(&host, SPAN_LIT("https://")) &&
		   !span_cut_prefix(&host, SPAN_LIT("http://"))) ||
	       !span_eq_str(host, request_header(r, "host"));
}

void
cors_add(struct buf *headers, const char *allowed, const char *origin)
{
	if (allowed == NULL)
		return;
	/* Also when the origin is not allowed: a cache must not hand this
	 * answer to one that is. */
	buf_add_str(headers, "Vary: Origin\r\n");
	/* The origin is repeated only when it stands in our list: nothing a
	 * client makes up gets into a header. */
	if (is_allowed(allowed, origin))
		buf_addf(headers,
		    "Access-Control-Allow-Origin: %s\r\n"
		    "Access-Control-Allow-Credentials: true\r\n"
		    "Access-Control-Expose-Headers: Retry-After\r\n",
		    origin);
}

/* Only what can stand for itself in a header field is repeated. */
static bool
are_names(const char *text)
{
	static const char token[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
				    "abcdefghijklmnopqrstuvwxyz0123456789"
				    "!#$%&'*+-.^_`|~";
	size_t n, n_names = 0;

	if (strnlen(text, CORS_NAMES_SIZE_MAX + 1) > CORS_NAMES_SIZE_MAX)
		return false;
	for (;; text++) {
		text += strspn(text, " ");
		n = strspn(text, token);
		if (n == 0 || ++n_names > CORS_NAMES_MAX)
			return false;
		text += n;
		text += strspn(text, " ");
		if (*text != ',')
			return *text == '\0';
	}
}

void
cors_add_preflight(struct buf *headers, const char *allowed, const char *origin,
    const char *methods, const char *names)
{
	bool has_names = are_names(names);

	cors_add(headers, allowed, origin);
	if (allowed == NULL || !is_allowed(allowed, origin))
		return;
	/* A Last-Event-ID longer than 128 bytes makes a preflight; ours are
	 * shorter, but clients send what they like. And what watches pages
	 * (tracing above all) adds fields to each fetch(): to refuse them would
	 * keep an allowed page from its events, and none of them means anything
	 * here. */
	buf_addf(headers,
	    "Access-Control-Allow-Methods: %s\r\n"
	    "Access-Control-Allow-Headers: Authorization, Cache-Control, "
	    "Content-Type, Last-Event-ID%s%s\r\n"
	    "Access-Control-Max-Age: 600\r\n",
	    methods, has_names ? ", " : "", has_names ? names : "");
}
