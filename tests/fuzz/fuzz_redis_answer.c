/* SPDX-License-Identifier: ISC */
/*
 * relay/log.c on any answer of Redis, as hiredis reads it: what is taken can be
 * stored, and a position is written as it was read. Whoever reaches Redis can
 * write there.
 */
#undef NDEBUG
#include "relay/log.h"

#include <assert.h>
#include <stdint.h>
#include <string.h>

#include <hiredis/hiredis.h>

#include "relay/position.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { ROWS_MAX = 100, DIGITS_MAX = 3 };

/* Does it announce so many elements that hiredis takes all memory for them? */
static bool
is_huge(const uint8_t *data, size_t size)
{
	size_t n_digits = DIGITS_MAX + 1;

	for (size_t i = 0; i < size && n_digits != DIGITS_MAX; i++)
		if (strchr("*%~>|", data[i]) != NULL)
			n_digits = 0;
		else if (data[i] < '0' || data[i] > '9')
			n_digits = DIGITS_MAX + 1;
		else if (n_digits < DIGITS_MAX)
			n_digits++;
	return n_digits == DIGITS_MAX;
}

static void
assert_position(const struct log_position *at)
{
	struct log_position again;
	struct buf text = BUF_INIT;

	assert(at->id >= 0 && position_epoch(at) >= 0);
	assert(memchr(at->tag, '\0', sizeof(at->tag)) != NULL);
	position_add(&text, at);
	assert(position_read(buf_span(&text), &again) == OK);
	assert(position_eq(at, &again) && position_distance(at, &again) == 0);
	buf_done(&text);
}

static void
try_state(const struct redis_value *v)
{
	struct log_state s;
	struct log_node node;
	struct log_epoch epoch;

	(void)log_verdict(v);
	assert(log_number(v) >= -1);
	if (!log_read_state(v, &s))
		return;
	assert(s.name.n > 0 && s.name.n <= LOG_NAME_MAX && s.number >= 0);
	assert_position(&s.last);
	for (size_t i = 0; i < redis_count(s.nodes); i++)
		if (log_read_node(&s, i, &node)) {
			assert_position(&node.at);
			assert(node.age_ms >= 0);
		}
	for (size_t i = 0; i < redis_count(s.epochs); i++)
		if (log_read_epoch(&s, i, &epoch)) {
			assert_position(&epoch.base);
			assert(epoch.tag.n < REPLICA_TAG_SIZE);
			assert(span_is_plain(epoch.tag));
		}
}

static void
try_rows(const struct redis_value *rows)
{
	struct log_row row;

	for (size_t i = 0; i < redis_count(rows) && i < ROWS_MAX; i++) {
		if (!log_read_row(redis_item(rows, i), &row))
			continue;
		assert_position(&row.at);
		assert_position(&row.base);
		assert(row.at.tag[0] != '\0' && row.kind.n > 0);
		assert(row.format >= 0);
		assert(span_eq_str(row.kind, "epoch") ||
		       (row.origin_seq > 0 && row.origin.n > 0 &&
			   row.origin.n <= LOG_NAME_MAX));
	}
}

static void
try_position(struct span text)
{
	struct log_position at;

	if (position_read(text, &at) == OK)
		assert_position(&at);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	redisReader *reader;
	const struct redis_value *v;
	void *reply = NULL;

	if (is_huge(data, size))
		return 0;
	reader = redisReaderCreate();
	assert(reader != NULL);
	try_position((struct span){(const char *)data, size});
	if (redisReaderFeed(reader, (const char *)data, size) == REDIS_OK)
		while (redisReaderGetReply(reader, &reply) == REDIS_OK &&
		       reply != NULL) {
			v = reply;
			try_state(v);
			try_rows(v);
			try_rows(log_rows(v));
			freeReplyObject(reply);
		}
	redisReaderFree(reader);
	return 0;
}
