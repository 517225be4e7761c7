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

#include "web/query.h"

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
    {offsetof(struct request, idempotency_key), "HTTP_IDEMPOTENCY_KEY", NULL},
    {offsetof(struct request, webhook_id), "HTTP_WEBHOOK_ID", "HTTP_SVIX_ID"},
    {offsetof(struct request, webhook_timestamp), "HTTP_WEBHOOK_TIMESTAMP",
	"HTTP_SVIX_TIMESTAMP"},
    {offsetof(struct request, webhook_signature), "HTTP_WEBHOOK_SIGNATURE",
	"HTTP_SVIX_SIGNATURE"},
    {offsetof(struct request, remote_user), "REMOTE_USER", NULL},
    {offsetof(struct request, remote_addr), "REMOTE_ADDR", NULL},
};

enum { N_FIELDS = sizeof(fields) / sizeof(fields[0]) };

static const char *
param_or_empty(request_param_fn *param, void *arg, const char *name)
{
	const char *value = name == NULL ? NULL : param(arg, name);

	return value == NULL ? "" : value;
}

/* Is path the prefix itself, or something below it? */
static bool
has_prefix(struct span path, struct span prefix)
{
	return path.n >= prefix.n && memcmp(path.p, prefix.p, prefix.n) == 0 &&
	       (path.n == prefix.n || path.p[prefix.n] == '/');
}

static void
add_route(struct buf *out, const char *prefix_text, const char *uri,
    const char *path_info)
{
	struct span prefix = span_of(prefix_text), info = span_of(path_info);
	struct span path = {uri, strcspn(uri, "?#")};

	if (has_prefix(path, prefix)) {
		path.p += prefix.n;
		path.n -= prefix.n;
		query_decode(out, path, false);
	} else if (info.n > 0) {
		if (has_prefix(info, prefix)) {
			info.p += prefix.n;
			info.n -= prefix.n;
		}
		buf_add_span(out, info);
	} else {
		query_decode(out, path, false);
	}
}

enum err
request_init(
    struct request *r, const char *prefix, request_param_fn *param, void *arg)
{
	struct request made = {0};
	struct buf block = BUF_INIT;
	size_t starts[N_FIELDS];
	const char *value;

	add_route(&block, prefix, param_or_empty(param, arg, "REQUEST_URI"),
	    param_or_empty(param, arg, "PATH_INFO"));
	/* A decoded %00 would cut every comparison short: no route then. */
	if (buf_ok(&block) && block.len > 0 &&
	    memchr(block.data, '\0', block.len) != NULL)
		buf_reset(&block);
	buf_add_char(&block, '\0');
	for (size_t i = 0; i < N_FIELDS; i++) {
		value = param_or_empty(param, arg, fields[i].name);
		if (*value == '\0')
			value =
			    param_or_empty(param, arg, fields[i].other_name);
		starts[i] = block.len;
		buf_add(&block, value, strlen(value) + 1);
	}
	made.block = buf_take(&block);
	if (made.block == NULL)
		return ERR_NOMEM;
	made.route = made.block;
	for (size_t i = 0; i < N_FIELDS; i++) {
		value = made.block + starts[i];
		memcpy((char *)&made + fields[i].offset, &value, sizeof(value));
	}
	*r = made;
	return OK;
}

void
request_done(struct request *r)
{
	free(r->block);
	*r = (struct request){0};
}
