/* SPDX-License-Identifier: ISC */
/*
 * One HTTP request as a handler sees it, whatever transport it came by. Layer:
 * web. Meta-variables are those of RFC 3875 section 4.1.
 */
#ifndef JOBWIRE_REQUEST_H
#define JOBWIRE_REQUEST_H

#include <stdbool.h>

#include "base/buf.h"
#include "base/err.h"

/*
 * Strings are owned by the request and never NULL: what was not sent is "".
 * A web server passes a header once, so an empty one and a missing one are
 * the same here.
 */
struct request {
	const char *method;
	const char *route; /* decoded path below the prefix: "/events/123" */
	const char *query; /* raw */
	const char *content_type;
	const char *content_length; /* as sent; a hint, never trusted */
	const char *accept;
	const char *authorization;
	const char *cookie;
	const char *origin;
	const char *last_event_id;
	const char *remote_user;
	const char *remote_addr;
	struct span variables; /* all of them: NAME=value, each terminated */
	/* Set by the transport; borrowed from it. Empty with body_error, which
	 * refusal_of() has the words for. */
	struct span body;
	enum err body_error; /* OK, or why the body was not let in */
	bool is_body_mapped; /* for body_release_pages() */
	char *block;	     /* owned: all the strings */
};

/*
 * Copies the meta-variables: a NULL-terminated array of "NAME=value" as
 * environ(7) is, borrowed for the call. Of two with one name the first counts.
 * The route is the path of REQUEST_URI where it begins with prefix, else
 * PATH_INFO where that is not empty, else the whole path of REQUEST_URI; the
 * prefix is removed and, where it came from REQUEST_URI, percent-encoding
 * undone. ERR_NOMEM.
 */
CHECK_RESULT enum err request_init(
    struct request *r, const char *prefix, const char *const *envp);
void request_done(struct request *r);

/* The value of a header field by its name ("webhook-id"), which is compared as
 * CGI spells it: without case, - like _. "" when it was not sent. Lives as long
 * as the request. */
const char *request_header(const struct request *r, const char *name);

/* The token of an Authorization field, `Bearer TOKEN` (RFC 6750 section 2.1);
 * empty where there is none, or another scheme. Lives as long as the field. */
struct span request_bearer(const char *authorization);

#endif
