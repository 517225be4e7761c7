/* SPDX-License-Identifier: ISC */
/*
 * The only place that knows how an intent looks on its way. Pure but for
 * memory.
 */
#include "intent/codec.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "intent/intent.h"
#include "text/decimal.h"
#include "text/json_text.h"

struct codec_text {
	SLIST_ENTRY(codec_text) link;
	char bytes[];
};

static const struct codec_member entry_members[] = {
    {"type", CODEC_TEXT, offsetof(struct intent_entry, type), 0},
    {"data", CODEC_SPAN, offsetof(struct intent_entry, data), 0},
};

void
codec_memory_done(struct codec_memory *m)
{
	struct codec_text *t;

	while ((t = SLIST_FIRST(&m->texts)) != NULL) {
		SLIST_REMOVE_HEAD(&m->texts, link);
		free(t);
	}
}

/* Zeroed, until codec_memory_done(); NULL without memory. */
static char *
take_bytes(struct codec_memory *m, size_t n)
{
	struct codec_text *t = calloc(1, sizeof(*t) + n);

	if (t == NULL)
		return NULL;
	SLIST_INSERT_HEAD(&m->texts, t, link);
	return t->bytes;
}

/* --- There ---------------------------------------------------------------- */

static void
add_entries(const struct intent_entry *entries, size_t n, struct buf *out)
{
	buf_add_char(out, '[');
	for (size_t i = 0; i < n; i++) {
		if (i > 0)
			buf_add_char(out, ',');
		codec_encode(entry_members, 2, &entries[i], out);
	}
	buf_add_char(out, ']');
}

static bool
is_given(const struct codec_member *m, const char *at)
{
	switch (m->type) {
	case CODEC_TEXT:
	case CODEC_ENTRIES:
		return *(const void *const *)(const void *)at != NULL;
	case CODEC_SPAN:
		return ((const struct span *)(const void *)at)->n > 0;
	case CODEC_ARRAY:
		return *at != '\0';
	case CODEC_INT:
		return *(const int64_t *)(const void *)at != 0;
	case CODEC_BOOL:
		return *(const bool *)(const void *)at;
	}
	return false;
}

static void
add_value(const struct codec_member *m, const void *from, struct buf *out)
{
	const void *at = (const char *)from + m->at;

	switch (m->type) {
	case CODEC_TEXT:
		json_text_add_quoted(out, span_of(*(const char *const *)at));
		break;
	case CODEC_SPAN:
		json_text_add_quoted(out, *(const struct span *)at);
		break;
	case CODEC_ARRAY:
		json_text_add_quoted(out, span_of(at));
		break;
	case CODEC_INT:
		buf_addf(out, "%" PRId64, *(const int64_t *)at);
		break;
	case CODEC_BOOL:
		buf_add_str(out, "true");
		break;
	case CODEC_ENTRIES:
		add_entries(*(const struct intent_entry *const *)at,
		    *(const size_t *)(const void *)((const char *)from +
						    m->size),
		    out);
		break;
	}
}

void
codec_encode(const struct codec_member *members, size_t n, const void *from,
    struct buf *out)
{
	const char *before = "{";

	for (const struct codec_member *m = members; m < members + n; m++) {
		if (!is_given(m, (const char *)from + m->at))
			continue;
		buf_addf(out, "%s\"%s\":", before, m->name);
		before = ",";
		add_value(m, from, out);
	}
	buf_add_str(out, *before == '{' ? "{}" : "}");
}

/* --- And back ------------------------------------------------------------- */

static enum err
take_string(struct span value, struct codec_memory *memory, struct span *ret)
{
	struct buf text = BUF_INIT;
	char *bytes = NULL;

	if (json_text_kind(value) != JSON_TEXT_STRING)
		return ERR_PROTO;
	json_text_add_string_value(&text, value);
	if (buf_ok(&text))
		bytes = take_bytes(memory, text.len + 1);
	if (bytes != NULL && text.len > 0)
		memcpy(bytes, text.data, text.len);
	*ret = (struct span){bytes, text.len};
	buf_done(&text);
	return bytes != NULL ? OK : ERR_NOMEM;
}

static enum err
take_array(const struct codec_member *m, struct span text, char *at)
{
	if (text.n >= m->size)
		return ERR_PROTO;
	memcpy(at, text.p, text.n + 1);
	return OK;
}

/* A name ends at a NUL. */
static enum err
take_text(const struct codec_member *m, struct span value,
    struct codec_memory *memory, void *at)
{
	struct span text;
	enum err e = take_string(value, memory, &text);

	if (e == OK && m->type != CODEC_SPAN && strlen(text.p) != text.n)
		e = ERR_PROTO;
	if (e != OK)
		return e;
	if (m->type == CODEC_ARRAY)
		return take_array(m, text, at);
	if (m->type == CODEC_TEXT)
		*(const char **)at = text.p;
	else
		*(struct span *)at = text;
	return OK;
}

static enum err
take_entries(const struct codec_member *m, struct span value,
    struct codec_memory *memory, void *to)
{
	struct json_text_iter it = {.rest = value};
	struct span key, item;
	struct intent_entry *entries;
	size_t n = 0;
	enum err e = OK;

	if (json_text_kind(value) != JSON_TEXT_ARRAY)
		return ERR_PROTO;
	entries = (struct intent_entry *)(void *)take_bytes(
	    memory, INTENT_EVENTS_MAX * sizeof(*entries));
	if (entries == NULL)
		return ERR_NOMEM;
	while (e == OK && json_text_next(&it, &key, &item)) {
		if (n == INTENT_EVENTS_MAX)
			return ERR_PROTO;
		e = codec_decode(entry_members, 2, item, memory, &entries[n++]);
	}
	*(const struct intent_entry **)(void *)((char *)to + m->at) = entries;
	*(size_t *)(void *)((char *)to + m->size) = n;
	return e;
}

static enum err
take_value(const struct codec_member *m, struct span value,
    struct codec_memory *memory, void *to)
{
	void *at = (char *)to + m->at;
	enum json_text_kind kind = json_text_kind(value);

	switch (m->type) {
	case CODEC_TEXT:
	case CODEC_SPAN:
	case CODEC_ARRAY:
		return take_text(m, value, memory, at);
	case CODEC_INT:
		return kind == JSON_TEXT_NUMBER && decimal_read(value, at) == OK
			   ? OK
			   : ERR_PROTO;
	case CODEC_BOOL:
		*(bool *)at = kind == JSON_TEXT_TRUE;
		return kind == JSON_TEXT_TRUE || kind == JSON_TEXT_FALSE
			   ? OK
			   : ERR_PROTO;
	case CODEC_ENTRIES:
		return take_entries(m, value, memory, to);
	}
	return ERR_PROTO;
}

enum err
codec_decode(const struct codec_member *members, size_t n, struct span object,
    struct codec_memory *m, void *to)
{
	struct json_text_iter it = {.rest = object};
	struct span key, value;
	enum err e = OK;

	if (object.n == 0 || json_text_kind(object) != JSON_TEXT_OBJECT)
		return ERR_PROTO;
	while (e == OK && json_text_next(&it, &key, &value)) {
		if (json_text_kind(value) == JSON_TEXT_NULL)
			continue;
		for (size_t i = 0; e == OK && i < n; i++)
			if (json_text_key_is(key, members[i].name))
				e = take_value(&members[i], value, m, to);
	}
	return e;
}
