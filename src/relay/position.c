/* SPDX-License-Identifier: ISC */
/*
 * Ids of events and of the stream's entries. Pure.
 */
#include "relay/position.h"

#include <inttypes.h>
#include <string.h>

#include "text/decimal.h"
#include "text/span.h"

enum {
	ENTRY_BITS = 7,
	EPOCH_BITS = 40,
};

#define EPOCH_MAX (INT64_MAX >> EPOCH_BITS)
#define N_MAX ((INT64_C(1) << (EPOCH_BITS - ENTRY_BITS)) - 1)

enum err
position_read(struct span text, struct log_position *ret)
{
	struct log_position at = {0};
	int64_t epoch, n;

	if (decimal_cut(&text, &epoch) != OK || epoch > EPOCH_MAX ||
	    !span_cut_prefix(&text, SPAN_LIT("-")) ||
	    decimal_cut(&text, &n) != OK || n > N_MAX)
		return ERR_PROTO;
	if (text.n > 0 && !span_cut_prefix(&text, SPAN_LIT("/")))
		return ERR_PROTO;
	if (text.n >= sizeof(at.tag) || !span_is_plain(text))
		return ERR_PROTO;
	at.id = epoch << EPOCH_BITS | n << ENTRY_BITS;
	memcpy(at.tag, text.p, text.n);
	*ret = at;
	return OK;
}

void
position_add_id(struct buf *out, int64_t id)
{
	buf_addf(out, "%" PRId64 "-%" PRId64, id >> EPOCH_BITS,
	    id >> ENTRY_BITS & N_MAX);
}

void
position_add(struct buf *out, const struct log_position *at)
{
	position_add_id(out, at->id);
	buf_addf(out, "/%s", at->tag);
}

bool
position_eq(const struct log_position *a, const struct log_position *b)
{
	return a->id == b->id && strcmp(a->tag, b->tag) == 0;
}

int64_t
position_epoch(const struct log_position *at)
{
	return at->id >> EPOCH_BITS;
}

int64_t
position_distance(
    const struct log_position *from, const struct log_position *to)
{
	if (position_epoch(from) != position_epoch(to))
		return -1;
	return (to->id - from->id) >> ENTRY_BITS;
}
