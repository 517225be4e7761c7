/* SPDX-License-Identifier: ISC */
/*
 * intent/codec.c on any bytes, as an entry of a cluster's log: what it takes it
 * writes as a text that it reads as the same again. Nothing is stored.
 */
#undef NDEBUG
#include <assert.h>
#include <stdint.h>

#include "intent/codec.h"
#include "intent/intent.h"
#include "text/json_text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct sample {
	const char *text;
	struct span span;
	char array[8];
	int64_t number;
	bool is;
	const struct intent_entry *entries;
	size_t n_entries;
};

static const struct codec_member members[] = {
    {"text", CODEC_TEXT, offsetof(struct sample, text), 0},
    {"span", CODEC_SPAN, offsetof(struct sample, span), 0},
    {"array", CODEC_ARRAY, offsetof(struct sample, array), 8},
    {"number", CODEC_INT, offsetof(struct sample, number), 0},
    {"is", CODEC_BOOL, offsetof(struct sample, is), 0},
    {"events", CODEC_ENTRIES, offsetof(struct sample, entries),
	offsetof(struct sample, n_entries)},
};

enum { N = sizeof(members) / sizeof(members[0]) };

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct codec_memory first = {0}, second = {0};
	struct sample a = {0}, b = {0};
	struct buf once = BUF_INIT, twice = BUF_INIT;
	struct intent_result result;
	struct span object, text = {(const char *)data, size};

	(void)!intent_read_result(text, &result);
	if (json_text_check(text, &object) == OK &&
	    codec_decode(members, N, object, &first, &a) == OK) {
		assert(a.n_entries <= INTENT_EVENTS_MAX);
		codec_encode(members, N, &a, &once);
		assert(json_text_check(buf_span(&once), &object) == OK);
		assert(codec_decode(members, N, object, &second, &b) == OK);
		codec_encode(members, N, &b, &twice);
		assert(span_eq(buf_span(&once), buf_span(&twice)));
	}
	codec_memory_done(&first);
	codec_memory_done(&second);
	buf_done(&once);
	buf_done(&twice);
	return 0;
}
