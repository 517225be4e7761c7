/* SPDX-License-Identifier: ISC */
/*
 * relay/url.c on any text: what is taken says where Redis is, and its name for
 * people, which logs and metrics have, leads there without user and password.
 */
#undef NDEBUG
#include "relay/url.h"

#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "text/span.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
assert_name(const struct redis_url *u)
{
	struct redis_url again;
	struct buf text = BUF_INIT;
	const char *why;

	assert(span_is_plain(span_of(u->name)));
	buf_addf(&text, "%s%s", u->is_unix ? "unix:" : "redis://", u->name);
	assert(redis_url_parse(buf_span(&text), &again, &why) == OK);
	assert(strcmp(u->host, again.host) == 0 && u->port == again.port);
	assert(again.user == NULL && again.password == NULL);
	redis_url_done(&again);
	buf_done(&text);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct redis_url u = {0};
	const char *why = NULL;

	if (redis_url_parse(
		(struct span){(const char *)data, size}, &u, &why) != OK) {
		assert(why != NULL);
		return 0;
	}
	assert(u.host[0] != '\0' && u.database >= 0);
	assert(
	    u.is_unix ? u.host[0] == '/' : u.port > 0 && u.port <= UINT16_MAX);
	assert(u.user == NULL || u.password != NULL);
	assert_name(&u);
	redis_url_done(&u);
	assert(u.host == NULL && u.password == NULL);
	return 0;
}
