/* SPDX-License-Identifier: ISC */
/*
 * The log is a chain of epochs, each of which went on behind an entry of one
 * before. An epoch that is not in the chain was another master's: what it had
 * more is not in the log, and its origins send it again.
 */
#include "relay/rewind.h"

#include "relay/position.h"

/* Where the epoch of *top went on. ERR_NOENT: the log does not know. */
static enum err
step_back(const struct log_state *s, struct log_position *top)
{
	struct log_epoch epoch;

	for (size_t i = 0; i < redis_count(s->epochs); i++)
		if (log_read_epoch(s, i, &epoch) &&
		    epoch.number == position_epoch(top) &&
		    span_eq_str(epoch.tag, top->tag) &&
		    epoch.base.id < top->id) {
			*top = epoch.base;
			return OK;
		}
	return ERR_NOENT;
}

enum err
rewind_to_log(struct db *db, const struct log_state *s, struct log_position *at,
    int64_t *ret_n)
{
	struct log_position top = s->last, to;
	enum err e;

	*ret_n = 0;
	while ((e = replica_find(db, &top, &to)) == ERR_NOENT)
		if ((e = step_back(s, &top)) != OK)
			break;
	if (e != OK || position_eq(&to, at))
		return e;
	e = replica_cut_back(db, &to, ret_n);
	return e == OK ? replica_position(db, at) : e;
}
