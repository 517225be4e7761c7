/* SPDX-License-Identifier: ISC */
/*
 * Notes of refused calls, until they are written. Of a webhook the redacted
 * body is kept, for it can be replayed; of other calls only that they were
 * refused: what a publisher or a page sends is its own affair.
 */
#include "hook/call_inbox.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "auth/standard_signature.h"
#include "base/clock.h"
#include "base/log.h"
#include "hook/redact.h"
#include "hook/routes.h"
#include "hook/webhook_call.h"
#include "job/name.h"
#include "store/inbox.h"
#include "web/query.h"

enum {
	NOTES_MAX = 64, /* that wait to be written */
	/* Also when nobody is refused what is old has to go. */
	TRIM_EVERY_MS = 3600 * 1000,
};

enum text {
	TEXT_METHOD,
	TEXT_PATH,
	TEXT_JOB_ID,
	TEXT_RESTORE_ID,
	TEXT_DELIVERY_ID,
	TEXT_CONTENT_TYPE,
	TEXT_PEER,
	TEXT_REQUEST_ID,
	TEXTS,
};

struct note {
	int64_t at_ms, body_bytes;
	int status;
	const char *code; /* a literal */
	struct buf texts; /* each terminated */
	size_t at[TEXTS]; /* where in it */
	struct buf body;
};

struct call_inbox {
	const char *db_path;
	int64_t keep, keep_days;
	struct note notes[NOTES_MAX];
	size_t n_notes;
	int64_t trimmed_ms; /* when the last time; 0: never */
	bool is_failing;    /* it was said */
	struct call_inbox_stats stats;
};

struct call_inbox *
call_inbox_new(const char *db_path, int64_t keep, int64_t keep_days)
{
	struct call_inbox *ci = calloc(1, sizeof(*ci));

	if (ci == NULL)
		return NULL;
	ci->db_path = db_path;
	ci->keep = keep;
	ci->keep_days = keep_days;
	return ci;
}

static void
drop_notes(struct call_inbox *ci)
{
	while (ci->n_notes > 0) {
		struct note *n = &ci->notes[--ci->n_notes];

		buf_done(&n->texts);
		buf_done(&n->body);
	}
}

void
call_inbox_free(struct call_inbox **inbox)
{
	if (*inbox == NULL)
		return;
	if ((*inbox)->n_notes > 0)
		call_inbox_flush(*inbox);
	drop_notes(*inbox);
	free(*inbox);
	*inbox = NULL;
}

const struct call_inbox_stats *
call_inbox_stats(const struct call_inbox *inbox)
{
	return &inbox->stats;
}

/* --- Notes ---------------------------------------------------------------- */

/* What is no label is not kept: it may be of any length. */
static void
set_text(struct note *n, enum text which, struct span text)
{
	n->at[which] = n->texts.len;
	if (job_label_ok(text))
		buf_add_span(&n->texts, text);
	buf_add_char(&n->texts, '\0');
}

static const char *
get_text(const struct note *n, enum text which)
{
	const char *text = n->texts.data + n->at[which];

	return *text != '\0' ? text : NULL;
}

static void
add_webhook(struct note *n, const struct call *c)
{
	const struct request *r = c->request;
	struct buf restore_id = BUF_INIT;

	(void)query_get(span_of(r->query), "restore_id", &restore_id);
	set_text(n, TEXT_RESTORE_ID, buf_span(&restore_id));
	set_text(n, TEXT_DELIVERY_ID, span_of(standard_header(r, "id")));
	if (r->body_error == OK && r->body.n <= INBOX_BODY_MAX)
		redact_body(&n->body, r->body);
	n->texts.failed = n->texts.failed || restore_id.failed;
	buf_done(&restore_id);
}

static void
fill(struct note *n, const struct call *c)
{
	const struct request *r = c->request;
	const struct span id = buf_span(&c->job_id);
	bool is_webhook = c->handler == &webhook_call;

	*n = (struct note){.at_ms = clock_real_ms(),
	    .status = c->answer.status,
	    .code = c->answer.code,
	    .body_bytes = (int64_t)r->body.n};
	set_text(n, TEXT_METHOD, span_of(r->method));
	set_text(n, TEXT_PATH, call_plain_route(c));
	set_text(n, TEXT_JOB_ID, job_id_ok(id) ? id : (struct span){0});
	set_text(n, TEXT_CONTENT_TYPE, span_of(r->content_type));
	set_text(n, TEXT_PEER, span_of(r->remote_addr));
	set_text(n, TEXT_REQUEST_ID, span_of(c->id));
	if (is_webhook) {
		add_webhook(n, c);
	} else {
		set_text(n, TEXT_RESTORE_ID, (struct span){0});
		set_text(n, TEXT_DELIVERY_ID, (struct span){0});
	}
}

static bool
has_room(const struct call_inbox *ci, const char *code)
{
	int n = 0;

	for (size_t i = 0; i < ci->n_notes; i++)
		n += strcmp(ci->notes[i].code, code) == 0;
	return ci->n_notes < NOTES_MAX && n < INBOX_CALLS_PER_SECOND;
}

/* Not what leads nowhere: whoever tries paths is no sender. */
void
call_inbox_note(struct call_inbox *ci, const struct call *c)
{
	struct note *n;

	if (ci == NULL || c->handler == NULL || c->answer.code == NULL)
		return;
	if (!has_room(ci, c->answer.code)) {
		ci->stats.passed_over++;
		return;
	}
	n = &ci->notes[ci->n_notes++];
	fill(n, c);
	if (buf_ok(&n->texts) && buf_ok(&n->body))
		return;
	ci->stats.passed_over++;
	ci->n_notes--;
	buf_done(&n->texts);
	buf_done(&n->body);
}

/* --- Writing -------------------------------------------------------------- */

static enum err
add_notes(struct call_inbox *ci, struct db *db, uint64_t *ret_kept)
{
	bool is_kept = false;
	enum err e = OK;

	*ret_kept = 0;
	for (size_t i = 0; e == OK && i < ci->n_notes; i++) {
		const struct note *n = &ci->notes[i];
		const struct inbox_call call = {
		    .at_ms = n->at_ms,
		    .status = n->status,
		    .code = n->code,
		    .method = get_text(n, TEXT_METHOD),
		    .path = get_text(n, TEXT_PATH),
		    .job_id = get_text(n, TEXT_JOB_ID),
		    .restore_id = get_text(n, TEXT_RESTORE_ID),
		    .delivery_id = get_text(n, TEXT_DELIVERY_ID),
		    .content_type = get_text(n, TEXT_CONTENT_TYPE),
		    .peer = get_text(n, TEXT_PEER),
		    .request_id = get_text(n, TEXT_REQUEST_ID),
		    .body_bytes = n->body_bytes,
		    .body = buf_span(&n->body),
		};

		e = inbox_add(db, &call, &is_kept);
		*ret_kept += is_kept;
	}
	return e;
}

static enum err
write_notes(struct call_inbox *ci, struct db_fault *fault)
{
	struct db *db = NULL;
	uint64_t n_kept = 0;
	enum err e = inbox_open(
	    ci->db_path, ci->n_notes > 0 ? DB_WRITE : DB_READ, 0, &db, fault);

	if (e != OK)
		return e;
	e = inbox_begin(db);
	if (e == OK)
		e = add_notes(ci, db, &n_kept);
	if (e == OK)
		e = inbox_trim(db, ci->keep, ci->keep_days);
	e = inbox_end(db, e);
	if (e != OK)
		*fault = *db_last_fault(db);
	db_close(&db);
	if (e != OK)
		return e;
	ci->stats.kept += n_kept;
	ci->stats.passed_over += ci->n_notes - n_kept;
	return OK;
}

void
call_inbox_flush(struct call_inbox *ci)
{
	struct db_fault fault = {0};
	int64_t now_ms = clock_real_ms();
	enum err e;

	if (ci->n_notes == 0 && ci->trimmed_ms != 0 &&
	    now_ms - ci->trimmed_ms < TRIM_EVERY_MS)
		return;
	e = write_notes(ci, &fault);
	if (e == ERR_BUSY) /* somebody reads it: in a second */
		return;
	ci->trimmed_ms = now_ms;
	if (e == OK || e == ERR_NOENT) {
		drop_notes(ci);
		ci->is_failing = false;
		return;
	}
	if (!ci->is_failing)
		log_warn("inbox_failing", "db", ci->db_path, "error",
		    err_text(e), "sqlite",
		    fault.text[0] != '\0' ? fault.text : NULL);
	ci->is_failing = true;
}
