/* SPDX-License-Identifier: ISC */
/*
 * The one table from errors to refusals. What only one handler says stands
 * there. Never blocks.
 */
#include "web/refusal.h"

#include <stddef.h>

#include "job/name.h"

#define SOON 2	/* seconds: until a burst is over */
#define LATER 5 /* until somebody has looked after the database */

const struct refusal refusal_no_memory = {503, "out_of_memory",
    "There is no memory for this request now.", NULL, SOON};
const struct refusal refusal_not_found = {
    404, "not_found", "There is nothing at this path.", NULL, 0};
const struct refusal refusal_bad_job_id = {
    400, "bad_job_id", "A job id is " JOB_ID_RULE, NULL, 0};

/* The last row of each kind is for all other errors. */
static const struct {
	enum refusal_of what;
	enum err e;
	struct refusal why;
} table[] = {
    {REFUSAL_OF_BODY, ERR_LIMIT,
	{413, "body_too_large",
	    "The request body is larger than this server accepts.", NULL, 0}},
    {REFUSAL_OF_BODY, ERR_AGAIN,
	{503, "overloaded", "The server is overloaded; send it again.", NULL,
	    SOON}},
    {REFUSAL_OF_BODY, OK,
	{507, "spool_full", "There is no space for a body of this length now.",
	    NULL, 0}},

    {REFUSAL_OF_READ, ERR_AUTH,
	{403, "job_forbidden", "This job does not belong to you.", NULL, 0}},
    {REFUSAL_OF_READ, ERR_FULL,
	{503, "overloaded", "No further client can wait here now.", NULL,
	    LATER}},
    {REFUSAL_OF_READ, OK,
	{503, "database_unavailable", "The database cannot be read now.", NULL,
	    LATER}},

    {REFUSAL_OF_WRITE, ERR_PROTO,
	{400, "bad_payload", "The database's checks refuse this event.", NULL,
	    0}},
    {REFUSAL_OF_WRITE, ERR_LIMIT,
	{413, "data_too_large", "The event is larger than a row may be.", NULL,
	    0}},
    {REFUSAL_OF_WRITE, ERR_BUSY,
	{503, "database_busy",
	    "Another program holds the database; send it again.", NULL, SOON}},
    {REFUSAL_OF_WRITE, ERR_FULL,
	{507, "database_full", "The disk is full.", NULL, 0}},
    {REFUSAL_OF_WRITE, ERR_GONE,
	{503, "database_missing",
	    "The database is not there now; send it again.", NULL, SOON}},
    {REFUSAL_OF_WRITE, ERR_READONLY,
	{500, "database_readonly", "The database cannot be written.", NULL, 0}},
    {REFUSAL_OF_WRITE, ERR_CORRUPT,
	{500, "database_corrupt", "The database is damaged.", NULL, 0}},
    {REFUSAL_OF_WRITE, OK,
	{500, "database_error", "The database could not be written.", NULL, 0}},
};

const struct refusal *
refusal_of(enum refusal_of what, enum err e)
{
	size_t i = 0;

	if (e == ERR_NOMEM)
		return &refusal_no_memory;
	while (table[i].what != what || (table[i].e != e && table[i].e != OK))
		i++;
	return &table[i].why;
}

void
refusal_answer(const struct refusal *why, struct answer *ret)
{
	answer_error(ret, why->status, why->code, why->message);
	if (why->challenge != NULL)
		answer_header(ret, "WWW-Authenticate", why->challenge);
	if (why->retry_after_s > 0)
		buf_addf(&ret->headers, "Retry-After: %lld\r\n",
		    (long long)why->retry_after_s);
}
