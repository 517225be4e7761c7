/* SPDX-License-Identifier: ISC */
/*
 * Reads claims strictly: what two readers could take in two ways is refused.
 * Whether a claim is true is for jwt.c (signature) or ticket.c (it was ours).
 * Never blocks.
 */
#include "auth/claims.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "text/json_text.h"

enum {
	MEMBERS_MAX = 64, /* each is compared with each */
	SECONDS_DIGITS_MAX = 12,
};

/* Two keys that differ only in escapes are the same. */
static enum err
check_unique(struct span object)
{
	struct json_text_iter it = {.rest = object};
	struct buf seen[MEMBERS_MAX] = {{0}};
	struct span key, value;
	size_t n = 0;
	enum err e = OK;

	while (e == OK && json_text_next(&it, &key, &value)) {
		struct span quoted = {key.p - 1, key.n + 2};

		if (n == MEMBERS_MAX) {
			e = ERR_AUTH;
			break;
		}
		json_text_add_string_value(&seen[n], quoted);
		if (!buf_ok(&seen[n]))
			e = ERR_NOMEM;
		for (size_t i = 0; i < n && e == OK; i++)
			if (span_eq(buf_span(&seen[i]), buf_span(&seen[n])))
				e = ERR_AUTH;
		n++;
	}
	for (size_t i = 0; i < MEMBERS_MAX; i++)
		buf_done(&seen[i]);
	return e;
}

enum err
claims_members(struct span text, const char *const *names, struct span *values)
{
	struct span object;
	enum err e;

	if (json_text_check(text, &object) != OK ||
	    json_text_kind(object) != JSON_TEXT_OBJECT)
		return ERR_AUTH;
	e = check_unique(object);
	for (size_t i = 0; e == OK && names[i] != NULL; i++) {
		values[i] = (struct span){0};
		(void)json_text_get(object, names[i], &values[i]);
	}
	return e;
}

bool
claims_text(struct span value, struct buf *ret)
{
	static const char replacement[] = "\xef\xbf\xbd";
	struct span s;

	if (value.n == 0 || json_text_kind(value) != JSON_TEXT_STRING)
		return false;
	buf_reserve(ret, 1);
	json_text_add_string_value(ret, value);
	if (!buf_ok(ret))
		return true; /* the caller sees it */
	s = buf_span(ret);
	for (size_t i = 0; i < s.n; i++)
		if ((unsigned char)s.p[i] < ' ' || s.p[i] == 0x7f)
			return false;
	/* U+FFFD may stand for what was not UTF-8, and two different names
	 * would become one. */
	return s.n <= CLAIMS_TEXT_MAX && strstr(s.p, replacement) == NULL;
}

bool
claims_is(struct span value, const char *expected)
{
	return value.n >= 2 && json_text_kind(value) == JSON_TEXT_STRING &&
	       json_text_key_is(
		   (struct span){value.p + 1, value.n - 2}, expected);
}

bool
claims_time(struct span value, int64_t *ret_s)
{
	size_t n = 0;
	int64_t s = 0;

	for (; n < value.n && value.p[n] >= '0' && value.p[n] <= '9'; n++)
		s = n < SECONDS_DIGITS_MAX ? s * 10 + (value.p[n] - '0') : s;
	if (n == 0 || n > SECONDS_DIGITS_MAX)
		return false;
	if (n < value.n && value.p[n] == '.')
		for (n++;
		     n < value.n && value.p[n] >= '0' && value.p[n] <= '9';)
			n++;
	if (n < value.n)
		return false;
	*ret_s = s;
	return true;
}

/* An optional text to *ret, owned; missing leaves NULL. */
static enum err
read_text(struct span value, char **ret)
{
	struct buf text = BUF_INIT;
	enum err e = OK;

	if (value.n == 0)
		return OK;
	if (!claims_text(value, &text) || (buf_ok(&text) && text.len == 0))
		e = ERR_AUTH;
	else if ((*ret = buf_take(&text)) == NULL)
		e = ERR_NOMEM;
	buf_done(&text);
	return e;
}

static enum err
read_list(struct span value, char **ret)
{
	struct json_text_iter it = {.rest = value};
	struct span key, item;

	if (value.n == 0 || json_text_kind(value) == JSON_TEXT_NULL)
		return OK;
	if (json_text_kind(value) != JSON_TEXT_ARRAY)
		return ERR_AUTH;
	while (json_text_next(&it, &key, &item))
		if (json_text_kind(item) != JSON_TEXT_STRING)
			return ERR_AUTH;
	*ret = span_dup(value);
	return *ret != NULL ? OK : ERR_NOMEM;
}

enum err
claims_read(struct span text, struct claims *ret, enum token_rule *ret_rule)
{
	enum { SUB, EXP, IAT, JTI, JOBS, N };
	static const char *const names[N + 1] = {
	    "sub", "exp", "iat", "jti", "jobs", NULL};
	struct claims c = {.iat_s = INT64_MIN};
	struct span v[N];
	enum token_rule rule = RULE_PAYLOAD;
	enum err e = claims_members(text, names, v);

	if (e == OK) {
		rule = RULE_EXP;
		e = claims_time(v[EXP], &c.exp_s) ? OK : ERR_AUTH;
	}
	if (e == OK && v[IAT].n > 0) {
		rule = RULE_IAT;
		e = claims_time(v[IAT], &c.iat_s) ? OK : ERR_AUTH;
	}
	if (e == OK) {
		rule = RULE_SUB;
		e = v[SUB].n > 0 ? read_text(v[SUB], &c.sub) : ERR_AUTH;
	}
	if (e == OK) {
		rule = RULE_JTI;
		e = read_text(v[JTI], &c.jti);
	}
	if (e == OK) {
		rule = RULE_JOBS;
		e = read_list(v[JOBS], &c.jobs);
	}
	if (e == OK)
		*ret = c;
	else
		claims_done(&c);
	return e == ERR_AUTH ? token_rule_break(rule, ret_rule) : e;
}

void
claims_done(struct claims *c)
{
	free(c->sub);
	free(c->jti);
	free(c->jobs);
	*c = (struct claims){0};
}

void
claims_add(struct buf *out, const struct claims *c)
{
	buf_add_str(out, "\"sub\":");
	json_text_add_quoted(out, span_of(c->sub));
	buf_addf(out, ",\"exp\":%" PRId64, c->exp_s);
	if (c->iat_s != INT64_MIN)
		buf_addf(out, ",\"iat\":%" PRId64, c->iat_s);
	if (c->jti != NULL) {
		buf_add_str(out, ",\"jti\":");
		json_text_add_quoted(out, span_of(c->jti));
	}
	if (c->jobs != NULL) {
		buf_add_str(out, ",\"jobs\":");
		json_text_add_line(out, span_of(c->jobs));
	}
}

bool
claims_list_has(const char *list, const char *job_id)
{
	struct json_text_iter it = {.rest = span_of(list)};
	struct span key, item;

	while (json_text_next(&it, &key, &item))
		if (claims_is(item, job_id))
			return true;
	return false;
}
