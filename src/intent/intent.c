/* SPDX-License-Identifier: ISC */
/*
 * The table of kinds: what each is called, what it consists of and who carries
 * it out; and the way through the outbox. Blocks on the disk.
 */
#include "intent/intent.h"

#include <string.h>

#include "intent/codec.h"
#include "store/cluster.h"
#include "store/outbox.h"
#include "text/json_text.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define TEXT(of, name, member)                                                 \
	{                                                                      \
		name, CODEC_TEXT, offsetof(of, member), 0                      \
	}
#define SPAN(of, name, member)                                                 \
	{                                                                      \
		name, CODEC_SPAN, offsetof(of, member), 0                      \
	}

#define INT(of, name, member)                                                  \
	{                                                                      \
		name, CODEC_INT, offsetof(of, member), 0                       \
	}
#define BOOL(of, name, member)                                                 \
	{                                                                      \
		name, CODEC_BOOL, offsetof(of, member), 0                      \
	}
#define ARRAY(of, name, member, size)                                          \
	{                                                                      \
		name, CODEC_ARRAY, offsetof(of, member), size                  \
	}

#define EVENT_MEMBERS(of)                                                      \
	TEXT(of, "job_id", row.job_id), TEXT(of, "type", row.type),            \
	    SPAN(of, "data", row.data), TEXT(of, "source", row.source),        \
	    TEXT(of, "delivery_key", row.delivery_key),                        \
	    TEXT(of, "restore_id", row.restore_id),                            \
	    TEXT(of, "created_at", row.created_at),                            \
	    SPAN(of, "output", row.output), SPAN(of, "error", row.error)

#define RUN_MEMBERS(of)                                                        \
	INT(of, "run_id", run.run_id), TEXT(of, "run_origin", run.origin),     \
	    INT(of, "run_seq", run.origin_seq)

static const struct codec_member event_members[] = {
    EVENT_MEMBERS(struct intent_event),
    RUN_MEMBERS(struct intent_event),
};

static const struct codec_member report_members[] = {
    EVENT_MEMBERS(struct intent_report),
    TEXT(struct intent_report, "external_id", external_id),
    TEXT(struct intent_report, "input_job_id", input_job_id),
    RUN_MEMBERS(struct intent_report),
};

static const struct codec_member publication_members[] = {
    TEXT(struct intent_publication, "job_id", job_id),
    {"events", CODEC_ENTRIES, offsetof(struct intent_publication, entries),
	offsetof(struct intent_publication, n_entries)},
    TEXT(struct intent_publication, "key", key),
    TEXT(struct intent_publication, "request", request),
};

static const struct codec_member registration_members[] = {
    TEXT(struct intent_registration, "job_id", job.job_id),
    TEXT(struct intent_registration, "owner", job.owner),
    TEXT(struct intent_registration, "external_id", job.external_id),
    TEXT(struct intent_registration, "restore_id", job.restore_id),
    TEXT(struct intent_registration, "endpoint", endpoint),
};

static const struct codec_member start_members[] = {
    TEXT(struct intent_start, "job_id", job_id),
    TEXT(struct intent_start, "owner", owner),
    TEXT(struct intent_start, "action", action),
    TEXT(struct intent_start, "endpoint", endpoint),
    TEXT(struct intent_start, "restore_id", restore_id),
    TEXT(struct intent_start, "spare_restore_id", spare_restore_id),
    SPAN(struct intent_start, "input", input),
    SPAN(struct intent_start, "policy", policy),
    TEXT(struct intent_start, "key", key),
    TEXT(struct intent_start, "request", request),
};

static const struct codec_member cancel_members[] = {
    TEXT(struct intent_cancel, "job_id", job_id),
    TEXT(struct intent_cancel, "owner", owner),
};

static const struct codec_member ticket_members[] = {
    TEXT(struct intent_ticket, "digest", digest),
    TEXT(struct intent_ticket, "sub", sub),
    SPAN(struct intent_ticket, "claims", claims),
    INT(struct intent_ticket, "expires_at", expires_at),
    INT(struct intent_ticket, "now_s", now_s),
    INT(struct intent_ticket, "max", max),
};

static const struct codec_member revocation_members[] = {
    TEXT(struct intent_revocation, "kind", kind),
    TEXT(struct intent_revocation, "digest", digest),
    INT(struct intent_revocation, "revoked_at", revoked_at),
};

static const struct codec_member deletion_members[] = {
    TEXT(struct intent_deletion, "job_id", job_id),
};

static const struct codec_member submitted_members[] = {
    RUN_MEMBERS(struct intent_submitted),
    TEXT(struct intent_submitted, "external_id", external_id),
    INT(struct intent_submitted, "submitted_at", submitted_at),
    INT(struct intent_submitted, "deadline", deadline),
    INT(struct intent_submitted, "next_at", next_at),
};

static const struct codec_member take_members[] = {
    RUN_MEMBERS(struct intent_take),
    TEXT(struct intent_take, "node_id", node_id),
};

static const struct codec_member retention_members[] = {
    SPAN(struct intent_retention, "job_ids", job_ids),
    TEXT(struct intent_retention, "before", before),
    INT(struct intent_retention, "progress", progress),
    INT(struct intent_retention, "events", events),
    TEXT(struct intent_retention, "keys_before", keys_before),
    TEXT(struct intent_retention, "unclaimed_before", unclaimed_before),
};

/* How a result stands in the outbox: the words of its refusal and state
 * besides. */
static const struct codec_member result_members[] = {
    BOOL(struct intent_result, "duplicate", is_duplicate),
    BOOL(struct intent_result, "new", is_new),
    BOOL(struct intent_result, "unclaimed", is_unclaimed),
    BOOL(struct intent_result, "over", is_over),
    INT(struct intent_result, "run_id", run_id),
    INT(struct intent_result, "first_id", first_id),
    INT(struct intent_result, "n_events", n_events),
    ARRAY(struct intent_result, "job_id", job_id, JOB_ID_MAX + 1),
    ARRAY(struct intent_result, "restore_id", restore_id, JOB_LABEL_MAX + 1),
};

#define KIND(name, members)                                                    \
	{                                                                      \
#name, members, COUNT(members), intent_apply_##name            \
	}

static const struct kind {
	const char *name;
	const struct codec_member *members;
	size_t n_members;
	intent_apply_fn *apply;
} kinds[INTENT_KINDS] = {
    [INTENT_EVENT] = KIND(event, event_members),
    [INTENT_REPORT] = KIND(report, report_members),
    [INTENT_PUBLICATION] = KIND(publication, publication_members),
    [INTENT_REGISTRATION] = KIND(registration, registration_members),
    [INTENT_START] = KIND(start, start_members),
    [INTENT_CANCEL] = KIND(cancel, cancel_members),
    [INTENT_TICKET] = KIND(ticket, ticket_members),
    [INTENT_REVOCATION] = KIND(revocation, revocation_members),
    [INTENT_DELETION] = KIND(deletion, deletion_members),
    [INTENT_SUBMITTED] = KIND(submitted, submitted_members),
    [INTENT_TAKE] = KIND(take, take_members),
    [INTENT_RETENTION] = KIND(retention, retention_members),
};

static const char *const refusal_names[INTENT_REFUSALS] = {
    [INTENT_INVALID] = "invalid",
    [INTENT_KEY_REUSED] = "key_reused",
    [INTENT_JOB_OWNED] = "job_owned",
    [INTENT_JOB_RUNNING] = "job_running",
    [INTENT_JOB_FORBIDDEN] = "job_forbidden",
    [INTENT_NO_RUN] = "no_run",
    [INTENT_NO_JOB] = "no_job",
    [INTENT_TOO_MANY] = "too_many",
};

/* Room for a decoded intent of any kind. */
union any_intent {
	struct intent_event event;
	struct intent_report report;
	struct intent_publication publication;
	struct intent_registration registration;
	struct intent_start start;
	struct intent_cancel cancel;
	struct intent_ticket ticket;
	struct intent_revocation revocation;
	struct intent_deletion deletion;
	struct intent_submitted submitted;
	struct intent_take take;
	struct intent_retention retention;
};

enum err
intent_encode(enum intent_kind kind, const void *intent, struct buf *ret)
{
	codec_encode(kinds[kind].members, kinds[kind].n_members, intent, ret);
	return buf_ok(ret) ? OK : ERR_NOMEM;
}

static enum err
post(struct db *db, enum intent_kind kind, const void *intent,
    struct intent_result *ret)
{
	struct buf payload = BUF_INIT;
	enum err e = intent_encode(kind, intent, &payload);

	if (e == OK)
		e = outbox_add(
		    db, kinds[kind].name, buf_span(&payload), &ret->seq);
	buf_done(&payload);
	return e;
}

enum err
intent_write(struct db *db, enum intent_kind kind, const void *intent,
    struct intent_result *ret)
{
	*ret = (struct intent_result){0};
	if (db_is_clustered(db))
		return post(db, kind, intent, ret);
	return kinds[kind].apply(db, intent, ret);
}

/* --- From the log --------------------------------------------------------- */

static const struct kind *
find_kind(const char *name)
{
	for (size_t i = 0; i < COUNT(kinds); i++)
		if (strcmp(kinds[i].name, name) == 0)
			return &kinds[i];
	return NULL;
}

static void
add_word(struct buf *out, const char *name, const char *word)
{
	/* In the place of the bracket that ends the object. */
	bool is_empty = out->data[out->len - 2] == '{';

	out->len--;
	buf_addf(out, "%s\"%s\":\"%s\"}", is_empty ? "" : ",", name, word);
}

static enum err
add_result(const struct intent_result *r, struct buf *out)
{
	struct buf text = BUF_INIT;

	codec_encode(result_members, COUNT(result_members), r, &text);
	if (buf_ok(&text) && r->refusal != INTENT_ACCEPTED)
		add_word(&text, "refused", refusal_names[r->refusal]);
	if (buf_ok(&text) && r->state != JOB_NO_STATE)
		add_word(&text, "state", job_state_name(r->state));
	buf_add_span(out, buf_span(&text));
	out->failed = out->failed || text.failed;
	buf_done(&text);
	return buf_ok(out) ? OK : ERR_NOMEM;
}

enum err
intent_post(struct db *db, enum intent_kind kind, const void *intent)
{
	struct intent_result ignored;

	return post(db, kind, intent, &ignored);
}

static enum err
decode(const struct kind *kind, struct span payload,
    struct codec_memory *memory, union any_intent *ret)
{
	struct span object;
	enum err e = json_text_check(payload, &object);

	if (e == OK)
		e = codec_decode(
		    kind->members, kind->n_members, object, memory, ret);
	return e == ERR_LIMIT ? ERR_PROTO : e;
}

enum err
intent_apply(struct db *db, const char *name, struct span payload,
    struct buf *ret_result)
{
	const struct kind *kind = find_kind(name);
	struct codec_memory memory = {0};
	union any_intent intent = {0};
	struct intent_result result = {0};
	enum err e = ERR_PROTO, added;

	if (kind != NULL)
		e = decode(kind, payload, &memory, &intent);
	if (e == OK)
		e = kind->apply(db, &intent, &result);
	codec_memory_done(&memory);
	if (e == ERR_PROTO || e == ERR_LIMIT)
		result = (struct intent_result){.refusal = INTENT_INVALID};
	else if (e != OK && e != ERR_EXISTS)
		return e;
	added = add_result(&result, ret_result);
	if (added != OK)
		return added;
	return e == OK ? OK : ERR_PROTO;
}

static enum intent_refusal
refusal_of_name(struct span name)
{
	for (enum intent_refusal i = INTENT_INVALID; i < INTENT_REFUSALS; i++)
		if (span_eq_str(name, refusal_names[i]))
			return i;
	return INTENT_INVALID;
}

/* The word of a member; empty where it is none. */
static struct span
word_of(struct span object, const char *name)
{
	struct span value;

	if (!json_text_get(object, name, &value) ||
	    json_text_kind(value) != JSON_TEXT_STRING)
		return (struct span){0};
	return (struct span){value.p + 1, value.n - 2};
}

static enum job_state
state_of_word(struct span word)
{
	for (enum job_state i = JOB_QUEUED; i < JOB_STATES; i++)
		if (span_eq_str(word, job_state_name(i)))
			return i;
	return JOB_NO_STATE;
}

enum err
intent_read_result(struct span text, struct intent_result *ret)
{
	struct codec_memory memory = {0};
	struct intent_result r = {0};
	struct span object, word;
	enum err e = json_text_check(text, &object);

	if (e == OK)
		e = codec_decode(
		    result_members, COUNT(result_members), object, &memory, &r);
	codec_memory_done(&memory);
	if (e != OK)
		return e;
	word = word_of(object, "refused");
	if (word.n > 0)
		r.refusal = refusal_of_name(word);
	r.state = state_of_word(word_of(object, "state"));
	*ret = r;
	return OK;
}
