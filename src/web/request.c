/* SPDX-License-Identifier: ISC */
/*
 * Copies the meta-variables of one request into one block and finds its route.
 * Does not read bodies (the transports do) and knows no route by name (the
 * handlers do). Never blocks.
 */
#include "web/request.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "text/percent.h"
#include "text/span.h"

/* Which meta-variable fills which member; a second name is tried where the
 * first is missing (Apache prefixes variables after an internal redirect). */
static const struct {
	size_t offset;
	const char *name, *other_name;
} fields[] = {
    {offsetof(struct request, method), "REQUEST_METHOD", NULL},
    {offsetof(struct request, query), "QUERY_STRING", NULL},
    {offsetof(struct request, content_type), "CONTENT_TYPE", NULL},
    {offsetof(struct request, content_length), "CONTENT_LENGTH", NULL},
    {offsetof(struct request, accept), "HTTP_ACCEPT", NULL},
    {offsetof(struct request, authorization), "HTTP_AUTHORIZATION",
	"REDIRECT_HTTP_AUTHORIZATION"},
    {offsetof(struct request, cookie), "HTTP_COOKIE", NULL},
    {offsetof(struct request, origin), "HTTP_ORIGIN", NULL},
    {offsetof(struct request, last_event_id), "HTTP_LAST_EVENT_ID", NULL},
    {offsetof(struct request, remote_user), "REMOTE_USER", NULL},
    {offsetof(struct request, remote_addr), "REMOTE_ADDR", NULL},
};

/* A character of a header field's name as CGI spells it. */
static char
as_in_cgi(char c)
{
	if (c >= 'a' && c <= 'z')
		return (char)(c - 'a' + 'A');
	return c == '-' ? '_' : c;
}

/* What follows name in the text; NULL when the text does not begin with it. */
static const char *
skip_name(const char *text, const char *name)
{
	for (; *name != '\0'; name++, text++)
		if (*text != as_in_cgi(*name))
			return NULL;
	return text;
}

/* The first value of the variable that is called prefix and name together. */
static const char *
find_variable(struct span variables, const char *prefix, const char *name)
{
	const char *rest;

	for (size_t i = 0; i < variables.n; i += strlen(variables.p + i) + 1) {
		rest = skip_name(variables.p + i, prefix);
		if (rest != NULL)
			rest = skip_name(rest, name);
		if (rest != NULL && *rest == '=')
			return rest + 1;
	}
	return "";
}

/* Takes the prefix off a path that is the prefix itself or below it. */
static bool
cut_folder(struct span *path, struct span prefix)
{
	struct span rest = *path;

	if (!span_cut_prefix(&rest, prefix) || (rest.n > 0 && *rest.p != '/'))
		return false;
	*path = rest;
	return true;
}

/* The path of a request's target, which can be a whole URI (RFC 9112 section
 * 3.2.2). Apache passes that on; nginx and lighttpd pass its path. */
static struct span
path_of(const char *target)
{
	const char *authority = *target != '/' ? strstr(target, "://") : NULL;

	if (authority != NULL)
		target = authority + 3 + strcspn(authority + 3, "/?#");
	return (struct span){target, strcspn(target, "?#")};
}

static void
add_route(struct buf *out, const char *prefix_text, const char *uri,
    const char *path_info)
{
	struct span prefix = span_of(prefix_text), info = span_of(path_info);
	struct span path = path_of(uri);

	if (cut_folder(&path, prefix) || info.n == 0) {
		percent_decode(out, path, false);
	} else {
		(void)cut_folder(&info, prefix);
		buf_add_span(out, info);
	}
}

static void
set_fields(struct request *r)
{
	for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
		const char *value =
		    find_variable(r->variables, "", fields[i].name);

		if (*value == '\0' && fields[i].other_name != NULL)
			value = find_variable(
			    r->variables, "", fields[i].other_name);
		memcpy((char *)r + fields[i].offset, &value, sizeof(value));
	}
}

enum err
request_init(struct request *r, const char *prefix, const char *const *envp)
{
	struct request made = {0};
	struct buf block = BUF_INIT, route = BUF_INIT;
	size_t route_at;

	for (; *envp != NULL; envp++)
		buf_add(&block, *envp, strlen(*envp) + 1);
	route_at = block.len;
	if (buf_ok(&block))
		add_route(&route, prefix,
		    find_variable(buf_span(&block), "", "REQUEST_URI"),
		    find_variable(buf_span(&block), "", "PATH_INFO"));
	/* A decoded %00 would cut every comparison short: no route then. */
	if (route.len > 0 && memchr(route.data, '\0', route.len) == NULL)
		buf_add_span(&block, buf_span(&route));
	block.failed = block.failed || route.failed;
	buf_done(&route);
	made.block = buf_take(&block);
	if (made.block == NULL)
		return ERR_NOMEM;
	made.route = made.block + route_at;
	made.variables = (struct span){made.block, route_at};
	set_fields(&made);
	*r = made;
	return OK;
}

void
request_done(struct request *r)
{
	free(r->block);
	*r = (struct request){0};
}

const char *
request_header(const struct request *r, const char *name)
{
	return find_variable(r->variables, "HTTP_", name);
}

struct span
request_bearer(const char *authorization)
{
	static const char scheme[] = "Bearer ";
	const size_t n = sizeof(scheme) - 1;

	if (strncasecmp(authorization, scheme, n) != 0)
		return (struct span){0};
	return span_skip(span_of(authorization + n), " ");
}
