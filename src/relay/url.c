/* SPDX-License-Identifier: ISC */
/*
 * Takes a URL of Redis apart. Pure.
 */
#include "relay/url.h"

#include <stdlib.h>
#include <string.h>

#include "text/decimal.h"
#include "text/percent.h"
#include "text/span.h"

enum { DATABASE_MAX = 65535 };

static bool
take_decoded(struct span s, char **ret)
{
	struct buf b = BUF_INIT;

	percent_decode(&b, s, false);
	*ret = buf_take(&b);
	return *ret != NULL;
}

/* What is before the last @ of *rest; a path may not have one. */
static enum err
cut_credentials(struct span *rest, struct redis_url *u, const char **why)
{
	const char *at = memrchr(rest->p, '@', rest->n);
	struct span who, user;

	if (at == NULL)
		return OK;
	who = (struct span){rest->p, (size_t)(at - rest->p)};
	*rest = (struct span){at + 1, rest->n - who.n - 1};
	if (memchr(who.p, ':', who.n) == NULL) {
		*why = "what stands before @ must be :PASSWORD or "
		       "USER:PASSWORD";
		return ERR_PROTO;
	}
	user = span_cut(&who, ':');
	if (user.n > 0 && !take_decoded(user, &u->user))
		return ERR_NOMEM;
	return take_decoded(who, &u->password) ? OK : ERR_NOMEM;
}

static enum err
read_database(struct span text, struct redis_url *u, const char **why)
{
	if (text.n == 0)
		return OK;
	if (decimal_read(text, &u->database) == OK &&
	    u->database <= DATABASE_MAX)
		return OK;
	*why = "the database must be a number";
	return ERR_PROTO;
}

static enum err
read_port(struct span text, struct redis_url *u, const char **why)
{
	int64_t port = URL_PORT;

	if (text.n > 0 && (decimal_read(text, &port) != OK || port < 1 ||
			      port > UINT16_MAX)) {
		*why = "the port must be 1 to 65535";
		return ERR_PROTO;
	}
	u->port = (int)port;
	return OK;
}

static enum err
read_host(struct span text, struct redis_url *u, const char **why)
{
	struct span host;
	bool is_whole;

	if (text.n > 0 && text.p[0] == '[') {
		text = (struct span){text.p + 1, text.n - 1};
		is_whole = memchr(text.p, ']', text.n) != NULL;
		host = span_cut(&text, ']');
		if (!is_whole || (text.n > 0 && text.p[0] != ':')) {
			*why = "an IPv6 address must be in brackets";
			return ERR_PROTO;
		}
		text = span_skip(text, ":");
	} else {
		host = span_cut(&text, ':');
	}
	if (host.n == 0 || !span_is_plain(host) ||
	    memchr(host.p, '[', host.n) != NULL) {
		*why = "it names no host";
		return ERR_PROTO;
	}
	u->host = span_dup(host);
	return u->host == NULL ? ERR_NOMEM : read_port(text, u, why);
}

static enum err
parse_net(struct span rest, struct redis_url *u, const char **why)
{
	struct span host;
	enum err e = cut_credentials(&rest, u, why);
	struct buf name = BUF_INIT;

	if (e != OK)
		return e;
	host = span_cut(&rest, '/');
	e = read_host(host, u, why);
	if (e == OK)
		e = read_database(rest, u, why);
	if (e != OK)
		return e;
	buf_addf(&name, strchr(u->host, ':') != NULL ? "[%s]:%d" : "%s:%d",
	    u->host, u->port);
	u->name = buf_take(&name);
	return u->name == NULL ? ERR_NOMEM : OK;
}

static enum err
parse_unix(struct span rest, struct redis_url *u, const char **why)
{
	struct span path;
	enum err e = cut_credentials(&rest, u, why);

	if (e != OK)
		return e;
	path = span_cut(&rest, '?');
	if (path.n == 0 || path.p[0] != '/' || !span_is_plain(path)) {
		*why = "the path of a socket must begin with /";
		return ERR_PROTO;
	}
	if (rest.n > 0 && !span_cut_prefix(&rest, SPAN_LIT("db="))) {
		*why = "behind ? there can only be db=";
		return ERR_PROTO;
	}
	u->is_unix = true;
	u->host = span_dup(path);
	u->name = span_dup(path);
	if (u->host == NULL || u->name == NULL)
		return ERR_NOMEM;
	return read_database(rest, u, why);
}

enum err
redis_url_parse(struct span text, struct redis_url *ret, const char **why)
{
	struct redis_url u = {0};
	enum err e;

	if (span_cut_prefix(&text, SPAN_LIT("redis://"))) {
		e = parse_net(text, &u, why);
	} else if (span_cut_prefix(&text, SPAN_LIT("rediss://"))) {
		u.is_tls = true;
		e = parse_net(text, &u, why);
	} else if (span_cut_prefix(&text, SPAN_LIT("unix:"))) {
		e = parse_unix(text, &u, why);
	} else {
		*why = "it must begin with redis://, rediss:// or unix:";
		e = ERR_PROTO;
	}
	if (e == OK)
		*ret = u;
	else
		redis_url_done(&u);
	return e;
}

void
redis_url_done(struct redis_url *u)
{
	if (u->password != NULL)
		explicit_bzero(u->password, strlen(u->password));
	free(u->password);
	free(u->user);
	free(u->host);
	free(u->name);
	*u = (struct redis_url){0};
}
