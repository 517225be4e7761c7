/* SPDX-License-Identifier: ISC */
/*
 * `redis_url` is a secret like others, for it may have a password: the list, or
 * a file that has it. Blocks on that.
 */
#include "app/relay_settings.h"

#include <stdlib.h>

#include "auth/secrets.h"
#include "relay/redis.h"

void
relay_urls_done(struct redis_urls *urls)
{
	for (size_t i = 0; i < urls->n; i++)
		redis_url_done(&urls->urls[i]);
	free(urls->urls);
	*urls = (struct redis_urls){0};
}

static enum err
parse(const struct secrets *list, struct redis_urls *urls, struct buf *message)
{
	const char *why = "out of memory";
	enum err e = OK;

	urls->urls = calloc(list->n, sizeof(*urls->urls));
	if (urls->urls == NULL)
		e = ERR_NOMEM;
	for (size_t i = 0; e == OK && i < list->n; i++) {
		e = redis_url_parse(list->keys[i], &urls->urls[i], &why);
		if (e != OK)
			break;
		urls->n++;
		if (urls->urls[i].is_tls && !redis_has_tls()) {
			why = "this hiredis has no TLS: hiredis 1.0 or later "
			      "is needed for rediss://";
			e = ERR_PROTO;
		}
	}
	if (e != OK)
		buf_addf(message, "redis_url: URL %zu: %s", urls->n + 1, why);
	return e;
}

enum err
relay_urls_load(
    const struct settings *s, struct redis_urls *ret, struct buf *message)
{
	struct redis_urls urls = {0};
	struct secrets list = {0};
	enum err e;

	if (s->redis_url == NULL) {
		buf_add_str(message, "redis_url is not set");
		return ERR_NOENT;
	}
	e = secrets_load_min(s->redis_url, 1, &list, message);
	if (e == OK)
		e = parse(&list, &urls, message);
	if (e == OK)
		*ret = urls;
	else
		relay_urls_done(&urls);
	secrets_done(&list);
	return e;
}
