/* SPDX-License-Identifier: ISC */
/*
 * web/request.c on any environment, as a CGI program or a FastCGI responder
 * gets it, and what reads its fields: cookies, origins, a bearer's token. An
 * input is its variables, each with a NUL behind it.
 */
#undef NDEBUG
#include "web/request.h"

#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "auth/authenticator.h"
#include "text/span.h"
#include "web/cors.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { VARIABLES_MAX = 64, NOW_S = 1764000000 };

#define PREFIX "/api/v1"
#define KEY "0123456789abcdef0123456789abcdef"

/* One field of the answer to each line, and no more lines. */
static void
assert_fields(struct buf *headers)
{
	struct span rest = buf_span(headers);

	assert(buf_ok(headers));
	while (rest.n > 0) {
		struct span line = span_cut(&rest, '\n');

		assert(line.n > 3 && line.p[line.n - 1] == '\r');
		assert(memchr(line.p, '\r', line.n - 1) == NULL);
		assert(memchr(line.p, ':', line.n) != NULL);
	}
	buf_done(headers);
}

static void
try_cors(const struct request *r)
{
	static const char *const allowed[] = {NULL, "*", "https://a.example"};
	struct buf headers = BUF_INIT;

	for (size_t i = 0; i < sizeof(allowed) / sizeof(allowed[0]); i++) {
		(void)cors_is_foreign(allowed[i], r);
		cors_add(&headers, allowed[i], r->origin);
		cors_add_preflight(&headers, allowed[i], r->origin, "GET",
		    request_header(r, "Access-Control-Request-Headers"));
		assert_fields(&headers);
	}
}

/* Nobody has a token that we have signed. */
static void
try_readers(const struct request *r)
{
	static struct authenticator_stats stats;
	static struct authenticator a;
	static const struct authenticator_config config = {.mode = AUTH_JWT,
	    .jwt = {.alg = JWS_HS256, .key = KEY},
	    .cookie = "session"};
	struct buf message = BUF_INIT;
	struct reader reader;
	struct refusal why;

	if (a.jwt == NULL)
		assert(authenticator_init(&a, &config, &stats, &message) == OK);
	assert(authenticator_read(&a, r, NOW_S, &reader, &why) == ERR_AUTH);
	assert(why.status >= 400);
}

static void
assert_inside(const struct request *r, const char *text)
{
	assert(text != NULL);
	assert(*text == '\0' || (text >= r->variables.p &&
				    text < r->variables.p + r->variables.n));
}

static void
try_request(const char *const *envp)
{
	struct request r;
	struct span token;

	assert(request_init(&r, PREFIX, envp) == OK);
	assert_inside(&r, r.method);
	assert_inside(&r, r.query);
	assert_inside(&r, r.cookie);
	assert_inside(&r, r.last_event_id);
	assert(r.route != NULL);
	token = request_bearer(r.authorization);
	assert(token.n <= strlen(r.authorization));
	try_cors(&r);
	try_readers(&r);
	request_done(&r);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = span_dup((struct span){(const char *)data, size});
	const char *envp[VARIABLES_MAX + 1] = {NULL};
	size_t n = 0;

	assert(text != NULL);
	for (size_t at = 0; at < size && n < VARIABLES_MAX; n++) {
		envp[n] = text + at;
		at += strlen(text + at) + 1;
	}
	try_request(envp);
	free(text);
	return 0;
}
