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

#include "job/name.h"
#include "text/json_text.h"
#include "text/json_value.h"
#include "text/span.h"
#include "text/utf8.h"

#define SECONDS_MAX 1e12 /* about 31,700 years */

enum { MEMBERS_MAX = 64 };

enum err
claims_parse(struct span text, struct json_object **ret)
{
	struct json_object *object = NULL;
	size_t n;
	enum err e = json_value_object(text, &object, &n);

	if (e != OK)
		return e == ERR_NOMEM ? e : ERR_AUTH;
	if (n <= MEMBERS_MAX &&
	    n == (size_t)json_object_object_length(object)) {
		*ret = object;
		return OK;
	}
	json_object_put(object);
	return ERR_AUTH;
}

bool
claims_is_text(struct span text)
{
	/* json-c puts U+FFFD where half of a character was escaped, and two
	 * different names would become one. */
	return text.n > 0 && text.n <= CLAIMS_TEXT_MAX && span_is_plain(text) &&
	       utf8_is_valid(text) &&
	       memmem(text.p, text.n, "\xef\xbf\xbd", 3) == NULL;
}

bool
claims_is(struct json_object *value, const char *expected)
{
	struct span text;

	return json_value_string(value, &text) && span_eq_str(text, expected);
}

bool
claims_time(struct json_object *value, int64_t *ret_s)
{
	const char *text;
	double s;

	if (json_object_is_type(value, json_type_double)) {
		/* As it stood there; json-c keeps it. */
		text = json_object_get_userdata(value);
		if (text == NULL || strpbrk(text, "eE") != NULL)
			return false;
	} else if (!json_object_is_type(value, json_type_int)) {
		return false;
	}
	s = json_object_get_double(value);
	if (!(s >= 0 && s < SECONDS_MAX))
		return false;
	*ret_s = (int64_t)s;
	return true;
}

/* An optional text to *ret, owned; missing leaves NULL. */
static enum err
read_text(struct json_object *object, const char *name, char **ret)
{
	struct json_object *value;
	struct span text;

	if (!json_object_object_get_ex(object, name, &value))
		return OK;
	if (!json_value_string(value, &text) || !claims_is_text(text))
		return ERR_AUTH;
	*ret = span_dup(text);
	return *ret != NULL ? OK : ERR_NOMEM;
}

enum err
claims_read_list(struct json_object *value, char **ret)
{
	struct buf list = BUF_INIT;
	struct span id;

	if (value == NULL)
		return OK;
	if (!json_object_is_type(value, json_type_array))
		return ERR_AUTH;
	for (size_t i = 0; i < json_object_array_length(value); i++) {
		if (!json_value_string(
			json_object_array_get_idx(value, i), &id)) {
			buf_done(&list);
			return ERR_AUTH;
		}
		if (!job_id_ok(id))
			continue;
		if (list.len > 0)
			buf_add_char(&list, ',');
		buf_add_span(&list, id);
	}
	*ret = buf_take(&list);
	return *ret != NULL ? OK : ERR_NOMEM;
}

static enum err
read_times(
    struct json_object *object, struct claims *c, enum token_rule *ret_rule)
{
	struct json_object *iat;

	if (!claims_time(json_object_object_get(object, "exp"), &c->exp_s))
		return token_rule_break(RULE_EXP, ret_rule);
	if (json_object_object_get_ex(object, "iat", &iat) &&
	    !claims_time(iat, &c->iat_s))
		return token_rule_break(RULE_IAT, ret_rule);
	return OK;
}

enum err
claims_read(
    struct json_object *object, struct claims *ret, enum token_rule *ret_rule)
{
	struct claims c = {.iat_s = INT64_MIN};
	enum token_rule rule = RULE_SUB;
	enum err e = read_times(object, &c, &rule);

	if (e == OK) {
		rule = RULE_SUB;
		e = read_text(object, "sub", &c.sub);
		if (e == OK && c.sub == NULL)
			e = ERR_AUTH;
	}
	if (e == OK) {
		rule = RULE_JTI;
		e = read_text(object, "jti", &c.jti);
	}
	if (e == OK) {
		rule = RULE_JOBS;
		e = claims_read_list(
		    json_object_object_get(object, "jobs"), &c.jobs);
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
		claims_add_list(out, c->jobs);
	}
}

void
claims_add_list(struct buf *out, const char *list)
{
	struct span rest = span_of(list);

	buf_add_char(out, '[');
	while (rest.n > 0) {
		json_text_add_quoted(out, span_cut(&rest, ','));
		if (rest.n > 0)
			buf_add_char(out, ',');
	}
	buf_add_char(out, ']');
}

bool
claims_list_has(const char *list, const char *job_id)
{
	struct span rest = span_of(list);

	while (rest.n > 0)
		if (span_eq_str(span_cut(&rest, ','), job_id))
			return true;
	return false;
}
