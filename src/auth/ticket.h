/* SPDX-License-Identifier: ISC */
/*
 * Tickets: credentials for a URL, where a token must not stand. Layer: auth.
 * One works once, within TICKET_LIFE_S, and stands for the claims of the token
 * that it was got with; the database has its digest only.
 */
#ifndef JOBWIRE_TICKET_H
#define JOBWIRE_TICKET_H

#include <stdbool.h>
#include <stdint.h>

#include "auth/claims.h"
#include "base/buf.h"
#include "base/err.h"
#include "intent/intent.h"
#include "store/db.h"

enum { TICKET_LIFE_S = 30 };

/*
 * Makes a ticket and writes it, within the caller's transaction; its text is
 * appended to *ret. job_ids is a list (claims.h) of the jobs that it is limited
 * to; NULL: it is not. max: how many unused ones the subject may have; 0: any
 * number. Errors as intent_write(), with *ret_written.
 */
CHECK_RESULT enum err ticket_make(struct db *db, const struct claims *c,
    const char *job_ids, int64_t now_s, int64_t max, struct buf *ret,
    struct intent_result *ret_written);

/* Where tickets are used: a connection that writes, opened when first needed.
 * Zeroed but for the path, which is borrowed. */
struct ticket_store {
	const char *db_path;
	struct db *db;
};

/*
 * Uses the ticket up; with is_look it only looks. *ret_job_ids: owned, as given
 * to ticket_make(); NULL: none. ERR_AUTH: there is no such ticket, or it was
 * used, or is too old; ERR_AGAIN: others write, it stays good; ERR_IO also
 * where the disk is full; else as db_open() and db_commit(). claims_done() and
 * free() after OK. Blocks on the disk, not on other writers.
 */
CHECK_RESULT enum err ticket_use(struct ticket_store *store, struct span ticket,
    bool is_look, int64_t now_s, struct claims *ret, char **ret_job_ids);

/* Has it the form of a ticket, and is there none such now? False where that
 * cannot be said. */
bool ticket_is_unknown(
    struct ticket_store *store, struct span ticket, int64_t now_s);

void ticket_store_done(struct ticket_store *store);

#endif
