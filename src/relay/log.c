/* SPDX-License-Identifier: ISC */
/*
 * Puts commands together and takes answers apart. Nothing that comes is
 * trusted: whoever reaches Redis can write there. Never blocks.
 */
#include "relay/log.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "relay/position.h"
#include "sequence_lua.h"
#include "text/decimal.h"

enum {
	ARGS_MIN = 16,
	FIELDS_MAX = 16, /* of an entry */
};

enum err
log_keys_init(struct log_keys *ret, const char *prefix)
{
	struct log_keys k = {BUF_INIT, BUF_INIT, BUF_INIT};

	buf_addf(&k.state, "{%s}:log", prefix);
	buf_addf(&k.stream, "{%s}:stream", prefix);
	buf_addf(&k.nodes, "{%s}:nodes", prefix);
	if (!buf_ok(&k.state) || !buf_ok(&k.stream) || !buf_ok(&k.nodes)) {
		log_keys_done(&k);
		return ERR_NOMEM;
	}
	*ret = k;
	return OK;
}

void
log_keys_done(struct log_keys *k)
{
	buf_done(&k->state);
	buf_done(&k->stream);
	buf_done(&k->nodes);
}

struct span
log_script(void)
{
	return (struct span){sequence_script, sizeof(sequence_script) - 1};
}

/* --- Commands ------------------------------------------------------------- */

void
log_command_done(struct log_command *c)
{
	buf_done(&c->text);
	free(c->args);
	*c = (struct log_command){.text = BUF_INIT};
}

void
log_add(struct log_command *c, struct span arg)
{
	size_t cap = c->cap == 0 ? ARGS_MIN : 2 * c->cap;
	struct span *args;

	if (c->n == c->cap) {
		args = realloc(c->args, cap * sizeof(*args));
		if (args == NULL) {
			c->failed = true;
			return;
		}
		c->args = args;
		c->cap = cap;
	}
	c->args[c->n++] = (struct span){NULL, arg.n};
	buf_add_span(&c->text, arg);
}

void
log_add_text(struct log_command *c, const char *arg)
{
	log_add(c, span_of(arg));
}

void
log_add_int(struct log_command *c, int64_t n)
{
	char text[24];

	snprintf(text, sizeof(text), "%" PRId64, n);
	log_add_text(c, text);
}

void
log_call(struct log_command *c, const struct log_keys *keys, const char *sha,
    const char *operation, const char *node_id)
{
	log_add_text(c, "EVALSHA");
	log_add_text(c, sha);
	log_add_text(c, "3");
	log_add(c, buf_span(&keys->state));
	log_add(c, buf_span(&keys->stream));
	log_add(c, buf_span(&keys->nodes));
	log_add_text(c, operation);
	log_add_text(c, node_id);
}

enum err
log_send(struct log_command *c, struct redis *r, redis_answer_fn *on_answer,
    void *arg)
{
	enum err e = ERR_NOMEM;
	size_t at = 0;

	for (size_t i = 0; i < c->n && buf_ok(&c->text); i++) {
		c->args[i].p = buf_span(&c->text).p + at;
		at += c->args[i].n;
	}
	if (buf_ok(&c->text) && !c->failed)
		e = redis_send(r, c->args, c->n, on_answer, arg);
	buf_reset(&c->text);
	c->n = 0;
	c->failed = false;
	return e;
}

/* --- Answers -------------------------------------------------------------- */

enum log_verdict
log_verdict(const struct redis_value *v)
{
	static const struct {
		const char *text;
		enum log_verdict verdict;
	} words[] = {{"ok", LOG_OK}, {"behind", LOG_BEHIND},
	    {"stale", LOG_STALE}, {"wait", LOG_WAIT}, {"twice", LOG_TWICE}};
	struct span word = redis_text(redis_item(v, 0));

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (span_eq_str(word, words[i].text))
			return words[i].verdict;
	return LOG_FAILED;
}

static bool
read_number(const struct redis_value *v, int64_t *ret)
{
	return decimal_read(redis_text(v), ret) == OK;
}

static bool
read_at(const struct redis_value *v, struct log_position *ret)
{
	return position_read(redis_text(v), ret) == OK;
}

int64_t
log_number(const struct redis_value *v)
{
	int64_t n;

	return read_number(redis_item(v, 1), &n) ? n : -1;
}

struct log_position
log_read_base(const struct redis_value *v)
{
	struct log_position at = LOG_NOWHERE;

	return read_at(redis_item(v, 1), &at) ? at : LOG_NOWHERE;
}

bool
log_read_state(const struct redis_value *v, struct log_state *ret)
{
	struct log_state s = {
	    .name = redis_text(redis_item(v, 3)),
	    .nodes = redis_item(v, 4),
	    .epochs = redis_item(v, 5),
	};

	if (!read_number(redis_item(v, 1), &s.number) ||
	    !read_at(redis_item(v, 2), &s.last) || s.name.n == 0 ||
	    s.name.n > LOG_NAME_MAX)
		return false;
	*ret = s;
	return true;
}

bool
log_read_node(const struct log_state *s, size_t i, struct log_node *ret)
{
	const struct redis_value *v = redis_item(s->nodes, i);

	ret->name = redis_text(redis_item(v, 0));
	return read_at(redis_item(v, 1), &ret->at) &&
	       read_number(redis_item(v, 2), &ret->age_ms);
}

bool
log_read_epoch(const struct log_state *s, size_t i, struct log_epoch *ret)
{
	const struct redis_value *v = redis_item(s->epochs, i);

	ret->tag = redis_text(redis_item(v, 1));
	return read_number(redis_item(v, 0), &ret->number) &&
	       ret->tag.n < REPLICA_TAG_SIZE && span_is_plain(ret->tag) &&
	       read_at(redis_item(v, 2), &ret->base);
}

/* --- Entries -------------------------------------------------------------- */

const struct redis_value *
log_rows(const struct redis_value *v)
{
	return redis_item(redis_item(v, 0), 1);
}

/* False: it belongs to no entry of ours. */
static bool
take_field(struct log_row *row, struct span name, const struct redis_value *v)
{
	struct span text = redis_text(v);

	if (name.n != 1)
		return false;
	switch (name.p[0]) {
	case 'b':
		return position_read(text, &row->base) == OK;
	case 'g':
		if (text.n >= sizeof(row->at.tag) || !span_is_plain(text))
			return false;
		memset(row->at.tag, 0, sizeof(row->at.tag));
		memcpy(row->at.tag, text.p, text.n);
		return true;
	case 'k':
		row->kind = text;
		return true;
	case 'v':
		return decimal_read(text, &row->format) == OK;
	case 'o':
		row->origin = text;
		return true;
	case 's':
		return decimal_read(text, &row->origin_seq) == OK;
	case 't':
		row->time = text;
		return true;
	case 'p':
		row->payload = text;
		return true;
	default:
		return false;
	}
}

bool
log_read_row(const struct redis_value *v, struct log_row *ret)
{
	const struct redis_value *fields = redis_item(v, 1);
	struct log_row row = {.format = -1};
	size_t n = redis_count(fields);

	if (position_read(redis_text(redis_item(v, 0)), &row.at) != OK ||
	    n > FIELDS_MAX || n % 2 != 0)
		return false;
	for (size_t i = 0; i < n; i += 2)
		if (!take_field(&row, redis_text(redis_item(fields, i)),
			redis_item(fields, i + 1)))
			return false;
	if (row.at.tag[0] == '\0' || row.kind.n == 0 || row.format < 0)
		return false;
	if (!span_eq_str(row.kind, "epoch") &&
	    (row.origin.n == 0 || row.origin.n > LOG_NAME_MAX ||
		row.origin_seq <= 0 || !span_is_plain(row.origin) ||
		!span_is_plain(row.kind)))
		return false;
	*ret = row;
	return true;
}
