/* SPDX-License-Identifier: ISC */
/*
 * json-c, with what it leaves open closed. It takes texts that are no JSON, so
 * json_text.c checks them first. And it does not look whether there is memory:
 * of the 28 allocations for a small object version 0.16 dies when five fail,
 * and six leave the object without a member or a string without its end. So
 * what it will take at the most is asked for before, at once. Never blocks.
 */
#include "text/json_value.h"

#include <string.h>

#include "base/memory.h"
#include "text/json_text.h"
#include "text/span.h"

/* Bytes that json-c takes at the most, with what glibc adds; while a table
 * grows, old and new. Version 0.16 takes 58 % of the sum at the most, for empty
 * objects. */
enum {
	COST_PARSER = 8192, /* and the locale that it makes for itself */
	COST_CONTAINER = 1024,
	COST_VALUE = 320, /* a number, with its slot and its name's */
	COST_BYTE = 8,	  /* of a string or name; in two buffers that grow */
};

/* What reading the text takes at the most; too much where strings hold such
 * characters. */
static size_t
cost_of(struct span text)
{
	size_t cost = COST_PARSER;

	for (size_t i = 0; i < text.n; i++) {
		cost += COST_BYTE;
		if (text.p[i] == '{' || text.p[i] == '[')
			cost += COST_CONTAINER;
		else if (text.p[i] == ',' || text.p[i] == ':')
			cost += COST_VALUE;
	}
	return cost;
}

static enum err
ask_for(size_t cost)
{
	if (cost > JSON_VALUE_MEMORY_MAX)
		return ERR_LIMIT;
	return memory_is_there(cost) ? OK : ERR_NOMEM;
}

enum err
json_value_lenient(struct span text, struct json_object **ret)
{
	struct json_tokener *parser;
	struct json_object *value;
	enum err e = ask_for(cost_of(text));

	if (e != OK)
		return e;
	parser = json_tokener_new_ex(JSON_TEXT_DEPTH_MAX + 1);
	if (parser == NULL)
		return ERR_NOMEM;
	value = json_tokener_parse_ex(parser, text.p, (int)text.n);
	json_tokener_free(parser);
	if (json_object_is_type(value, json_type_object)) {
		*ret = value;
		return OK;
	}
	json_object_put(value);
	return ERR_PROTO;
}

/* How many names the object's text has. json-c takes what stands before an
 * escaped U+0000 for the whole name. */
static size_t
count_names(struct span value, bool *ret_has_nul)
{
	struct json_text_iter it = {.rest = value};
	struct span key, member;
	size_t n = 0;

	*ret_has_nul = false;
	for (; json_text_next(&it, &key, &member); n++)
		if (key.n > 0 && memmem(key.p, key.n, "\\u0000", 6) != NULL)
			*ret_has_nul = true;
	return n;
}

enum err
json_value_object(struct span text, struct json_object **ret, size_t *ret_names)
{
	struct span value;
	bool has_nul = false;
	enum err e = json_text_check(text, &value);

	if (e != OK)
		return e;
	if (json_text_kind(value) != JSON_TEXT_OBJECT)
		return ERR_PROTO;
	*ret_names = count_names(value, &has_nul);
	if (has_nul)
		return ERR_PROTO;
	e = json_value_lenient(value, ret);
	/* There is nothing in the text that it could refuse. */
	return e == ERR_PROTO ? ERR_NOMEM : e;
}

bool
json_value_string(struct json_object *value, struct span *ret)
{
	if (!json_object_is_type(value, json_type_string))
		return false;
	*ret = (struct span){json_object_get_string(value),
	    (size_t)json_object_get_string_len(value)};
	return true;
}
