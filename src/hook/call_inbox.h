/* SPDX-License-Identifier: ISC */
/*
 * Keeps refused calls for the operator (store/inbox.h). Layer: hook.
 *
 * Anybody can be refused, so a refusal costs a copy in memory, of at most
 * INBOX_CALLS_PER_SECOND calls of each code; what they add up to is written
 * once in a second, without waiting for the disk or for anybody. Runs on the
 * loop.
 */
#ifndef JOBWIRE_CALL_INBOX_H
#define JOBWIRE_CALL_INBOX_H

#include <stdint.h>

#include "base/err.h"
#include "hook/call.h"

struct call_inbox;

struct call_inbox_stats {
	uint64_t kept, passed_over;
};

/* For `keep` calls, none older than keep_days, of the database at db_path
 * (borrowed). Returns owned; NULL without memory. */
struct call_inbox *call_inbox_new(
    const char *db_path, int64_t keep, int64_t keep_days);

/* Writes what was noted, and frees it. Accepts NULL. */
void call_inbox_free(struct call_inbox **inbox);

/* Notes a call that is about to be answered, if it was refused. NULL: nothing
 * is kept. */
void call_inbox_note(struct call_inbox *inbox, const struct call *c);

/* Writes what was noted. What cannot be written waits for the next time, as
 * far as there is room. */
void call_inbox_flush(struct call_inbox *inbox);

const struct call_inbox_stats *call_inbox_stats(const struct call_inbox *inbox);

#endif
