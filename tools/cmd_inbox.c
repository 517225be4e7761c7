/* SPDX-License-Identifier: ISC */
/*
 * jobwire inbox: what was refused, and what waits for a job; to be looked at,
 * taken after all, or thrown away.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/near.h"
#include "command.h"
#include "hook/replay.h"
#include "intent/intent.h"
#include "job/name.h"
#include "list.h"
#include "output.h"
#include "store/inbox.h"
#include "store/jobs.h"
#include "store/unclaimed.h"
#include "text/decimal.h"
#include "text/json_text.h"

enum { BUSY_MS = 2000 };

static struct values {
	bool all;
	int64_t limit;
} values;

static const struct opt_def flags[] = {
    {COMMAND_FLAG(struct values, all), .type = OPT_FLAG,
	.help = "forget: every refused call"},
    {COMMAND_FLAG(struct values, limit), .type = OPT_INT, .fallback = "1000",
	.min = 1, .max = 1000000, .help = "list: how many of each kind"},
    {.name = NULL},
};

/* What an id names: 12 a refused call, u12 an event that nobody has claimed. */
struct item {
	const char *text;
	bool is_unclaimed;
	int64_t id;
};

static int
fail_item(const char *id, const char *fault, enum err e)
{
	if (e == ERR_NOENT)
		return command_fail("inbox: there is no", id);
	return command_fail(
	    "inbox", fault != NULL && *fault != '\0' ? fault : err_text(e));
}

/* --- As it is shown ------------------------------------------------------- */

static void
add_call_json(struct buf *out, const struct inbox_call *call)
{
	char at[CLOCK_RFC3339_SIZE];

	clock_rfc3339(call->at_ms, at);
	buf_addf(out, "{\"id\":\"%" PRId64 "\",\"at\":\"%s\",\"status\":%d",
	    call->id, at, call->status);
	output_add_text(out, "code", call->code);
	output_add_text(out, "job_id", call->job_id);
	output_add_text(out, "restore_id", call->restore_id);
	output_add_text(out, "method", call->method);
	output_add_text(out, "path", call->path);
	output_add_text(out, "peer", call->peer);
	output_add_text(out, "request_id", call->request_id);
	output_add_text(out, "delivery_id", call->delivery_id);
	output_add_text(out, "content_type", call->content_type);
	buf_addf(out, ",\"body_bytes\":%" PRId64, call->body_bytes);
}

static void
add_event_json(struct buf *out, const struct unclaimed_event *e)
{
	buf_addf(out, "{\"id\":\"u%" PRId64 "\",\"at\":\"%s\"", e->id,
	    e->created_at);
	output_add_text(out, "code", "unclaimed");
	output_add_text(out, "external_id", e->external_id);
	output_add_text(out, "source", e->source);
	output_add_text(out, "type", e->type);
	output_add_text(out, "restore_id", e->restore_id);
}

static void
list_call(void *arg, const struct inbox_call *call)
{
	struct list *l = arg;
	struct buf out = BUF_INIT;
	char at[CLOCK_RFC3339_SIZE], id[24], status[24], bytes[24];

	if (l->as_json) {
		add_call_json(&out, call);
		buf_add_char(&out, '}');
		list_print_json(&out);
		return;
	}
	clock_rfc3339(call->at_ms, at);
	(void)snprintf(id, sizeof(id), "%" PRId64, call->id);
	(void)snprintf(status, sizeof(status), "%d", call->status);
	(void)snprintf(bytes, sizeof(bytes), "%" PRId64, call->body_bytes);
	table_add(&l->table, span_of(id));
	table_add(&l->table, span_of(at));
	table_add(&l->table, span_of(status));
	table_add(&l->table, span_of(call->code));
	table_add(&l->table, span_of(call->job_id));
	table_add(&l->table, span_of(call->path));
	table_add(&l->table, span_of(call->peer));
	table_add(&l->table, span_of(bytes));
}

static void
list_event(void *arg, const struct unclaimed_event *e)
{
	struct list *l = arg;
	struct buf out = BUF_INIT;
	char id[24];

	if (l->as_json) {
		add_event_json(&out, e);
		buf_add_char(&out, '}');
		list_print_json(&out);
		return;
	}
	(void)snprintf(id, sizeof(id), "u%" PRId64, e->id);
	buf_addf(&out, "%s %s", e->source, e->type);
	table_add(&l->table, span_of(id));
	table_add(&l->table, span_of(e->created_at));
	table_add(&l->table, SPAN_LIT("200"));
	table_add(&l->table, SPAN_LIT("unclaimed"));
	table_add(&l->table, span_of(e->external_id));
	table_add(&l->table, buf_span(&out));
	table_add(&l->table, (struct span){0});
	table_add(&l->table, (struct span){0});
	buf_done(&out);
}

static enum err
read_list(struct db *db, struct list *l)
{
	struct db_fault fault = {0};
	struct db *inbox = NULL;
	enum err e = inbox_open(db_path(db), DB_READ, BUSY_MS, &inbox, &fault);

	if (e == OK)
		e = inbox_list(inbox, values.limit, list_call, l);
	else if (e != ERR_NOENT)
		(void)command_fail("inbox", fault.text);
	db_close(&inbox);
	if (e != OK && e != ERR_NOENT)
		return e;
	return unclaimed_list(db, values.limit, list_event, l);
}

static int
list(const struct command_line *c)
{
	static const char *const headings[] = {
	    "ID", "TIME", "STATUS", "CODE", "JOB", "PATH", "PEER", "BYTES"};

	return list_rows(c, "inbox", headings,
	    sizeof(headings) / sizeof(*headings), read_list);
}

/* A line for each member that is not null. */
static void
print_members(struct buf *json, bool as_json)
{
	struct json_text_iter it = {0};
	struct buf text = BUF_INIT, out = BUF_INIT;
	struct span key, value;

	if (as_json || !buf_ok(json)) {
		list_print_json(json);
		return;
	}
	it.rest = buf_span(json);
	while (json_text_next(&it, &key, &value)) {
		buf_reset(&text);
		if (json_text_kind(value) == JSON_TEXT_STRING)
			json_text_add_string_value(&text, value);
		else if (json_text_kind(value) != JSON_TEXT_NULL)
			json_text_add_line(&text, value);
		if (text.len == 0)
			continue;
		buf_add_span(&out, key);
		buf_add_char(&out, '\t');
		table_add_clean(&out, buf_span(&text));
		buf_add_char(&out, '\n');
	}
	if (buf_ok(&out) && out.len > 0)
		(void)fwrite(out.data, 1, out.len, stdout);
	buf_done(&text);
	buf_done(&out);
	buf_done(json);
}

static void
show_call(void *arg, const struct inbox_call *call)
{
	const struct command_line *c = arg;
	struct buf out = BUF_INIT;

	add_call_json(&out, call);
	buf_add_str(&out, ",\"body\":");
	json_text_add_line(
	    &out, call->body.n > 0 ? call->body : SPAN_LIT("null"));
	buf_add_char(&out, '}');
	print_members(&out, c->settings->json);
}

static void
show_event(void *arg, const struct unclaimed_event *e)
{
	const struct command_line *c = arg;
	struct buf out = BUF_INIT;

	add_event_json(&out, e);
	output_add_json(&out, "data", e->data);
	buf_add_char(&out, '}');
	print_members(&out, c->settings->json);
}

/* --- What is done with one ------------------------------------------------ */

static int
show(const struct command_line *c, const struct item *item, struct db *db,
    struct db *inbox)
{
	struct command_line line = *c;
	enum err e = item->is_unclaimed
			 ? unclaimed_get(db, item->id, show_event, &line)
			 : inbox_get(inbox, item->id, show_call, &line);

	return e == OK ? EXIT_DONE : fail_item(item->text, NULL, e);
}

static int
forget(const struct command_line *c, const struct item *item, struct db *db,
    struct db *inbox)
{
	enum err e = OK;

	(void)c;
	if (!item->is_unclaimed) {
		e = inbox_forget(inbox, item->id);
		return e == OK ? EXIT_DONE : fail_item(item->text, NULL, e);
	}
	e = db_begin(db);
	if (e == OK && *db_node_id(db) != '\0') {
		db_rollback(db);
		return command_fail("inbox: in a cluster all nodes have it, "
				    "and keep_days ends it",
		    item->text);
	}
	if (e == OK)
		e = unclaimed_forget(db, item->id);
	e = command_end(db, e);
	return e == OK ? EXIT_DONE : fail_item(item->text, NULL, e);
}

/* One that is replayed, and what came of it. */
struct replay {
	const struct command_line *c;
	struct db *db;
	const char *job_id; /* NULL: the call's own */
	int status;	    /* of the answer */
	struct buf body;
	enum err e;
};

static void
replay_one(void *arg, const struct inbox_call *call)
{
	struct replay *r = arg;

	r->e = replay_call(r->db, (size_t)r->c->settings->inline_output, call,
	    r->job_id, &r->status, &r->body);
}

/* An answer that is a refusal stays in the inbox. */
static int
replay_refused(const struct command_line *c, const struct item *item,
    struct db *db, struct db *inbox)
{
	struct replay r = {.c = c, .db = db};
	bool is_taken;
	enum err e;

	r.job_id = c->n > 2 ? c->args[2] : NULL;
	e = inbox_get(inbox, item->id, replay_one, &r);
	if (e == OK && r.e == ERR_NOENT) {
		buf_done(&r.body);
		return command_fail(
		    "inbox: only what it was is known, no body was kept of",
		    item->text);
	}
	is_taken = e == OK && r.e == OK && r.status < 300;
	if (e == OK && r.e == OK)
		(void)fputs(buf_span(&r.body).p, is_taken ? stdout : stderr);
	buf_done(&r.body);
	if (e != OK || r.e != OK)
		return fail_item(item->text, NULL, e != OK ? e : r.e);
	if (!is_taken)
		return EXIT_FAILED;
	e = inbox_forget(inbox, item->id);
	return e == OK || e == ERR_NOENT ? EXIT_DONE
					 : fail_item(item->text, NULL, e);
}

static void
take_external_id(void *arg, const struct unclaimed_event *e)
{
	buf_add_str(arg, e->external_id);
}

/* *ret_other: the job has another id already. */
static enum err
look_at_job(
    struct db *db, const char *job_id, const char *external_id, bool *ret_other)
{
	struct job job = {0};
	enum err e = jobs_get(db, job_id, &job);

	*ret_other = e == OK && job.external_id != NULL &&
		     strcmp(job.external_id, external_id) != 0;
	job_done(&job);
	return e == ERR_NOENT ? OK : e;
}

/* The job gets the event's external id, and with it all that waits for that. */
static int
replay_unclaimed(
    const struct command_line *c, const struct item *item, struct db *db)
{
	struct intent_registration named = {
	    .job = {.job_id = c->n > 2 ? c->args[2] : NULL}};
	struct intent_result result = {0};
	struct buf external_id = BUF_INIT;
	bool is_other = false;
	enum err e;

	if (c->n < 3)
		return command_misuse(
		    "inbox: say whose it is: jobwire inbox replay", "ID JOB");
	e = unclaimed_get(db, item->id, take_external_id, &external_id);
	if (e == OK && !buf_ok(&external_id))
		e = ERR_NOMEM;
	named.job.external_id = external_id.data;
	if (e == OK)
		e = look_at_job(
		    db, named.job.job_id, external_id.data, &is_other);
	if (e == OK && !is_other)
		e = command_write(db, INTENT_REGISTRATION, &named, &result);
	buf_done(&external_id);
	if (is_other)
		return command_fail(
		    "inbox: the job has another external id", c->args[2]);
	if (e != OK)
		return fail_item(item->text, db_last_fault(db)->text, e);
	(void)printf("%s\n", c->args[2]);
	return EXIT_DONE;
}

static int
replay(const struct command_line *c, const struct item *item, struct db *db,
    struct db *inbox)
{
	return item->is_unclaimed ? replay_unclaimed(c, item, db)
				  : replay_refused(c, item, db, inbox);
}

/* --- Which of them -------------------------------------------------------- */

static const struct verb {
	const char *name;
	int max; /* arguments, its name among them */
	enum db_mode mode;
	int (*run)(const struct command_line *c, const struct item *item,
	    struct db *db, struct db *inbox);
} verbs[] = {
    {"show", 2, DB_READ, show},
    {"replay", 3, DB_WRITE, replay},
    {"forget", 2, DB_WRITE, forget},
};

/* Opens what the item is in. */
static int
run_verb(
    const struct command_line *c, const struct verb *v, const struct item *item)
{
	struct db_fault fault = {0};
	struct db *db = command_open(c, v->mode), *inbox = NULL;
	enum err e = OK;
	int status = EXIT_FAILED;

	if (db == NULL)
		return EXIT_FAILED;
	if (!item->is_unclaimed)
		e = inbox_open(
		    c->settings->db, DB_READ, BUSY_MS, &inbox, &fault);
	if (e == OK)
		status = v->run(c, item, db, inbox);
	else if (e != ERR_NOENT || item->id != 0) /* of nothing all is gone */
		status = fail_item(item->text, fault.text, e);
	else
		status = EXIT_DONE;
	db_close(&inbox);
	db_close(&db);
	return status;
}

static int
run(const struct command_line *c)
{
	struct near near = {.text = c->args[0]};
	struct item item = {.text = c->n > 1 ? c->args[1] : "--all"};
	const struct verb *v = NULL;

	if (strcmp(c->args[0], "list") == 0 && c->n == 1)
		return list(c);
	near_offer(&near, "list");
	for (size_t i = 0; i < sizeof(verbs) / sizeof(*verbs); i++) {
		near_offer(&near, verbs[i].name);
		if (strcmp(verbs[i].name, c->args[0]) == 0)
			v = &verbs[i];
	}
	if (v == NULL)
		return command_misuse_near(
		    "inbox: it can be listed, shown, replayed, forgotten",
		    &near);
	if (v->run == forget && values.all && c->n == 1)
		return run_verb(c, v, &item);
	if (c->n < 2 || c->n > v->max)
		return command_misuse("inbox: say which one", v->name);
	if (c->n > 2 && !job_id_ok(span_of(c->args[2])))
		return command_misuse(
		    "inbox: a job id is " JOB_ID_RULE, c->args[2]);
	item.is_unclaimed = *item.text == 'u';
	if (decimal_read(span_of(item.text + item.is_unclaimed), &item.id) !=
		OK ||
	    item.id < 1)
		return command_misuse(
		    "inbox: not an id of the list", item.text);
	return run_verb(c, v, &item);
}

const struct command command_inbox = {
    .name = "inbox",
    .arguments = "list | show | replay | forget [ID [JOB]]",
    .min = 1,
    .max = 3,
    .run = run,
    .summary =
	"see what was refused or belongs to no job, and take it after all",
    .more =
	"list            refused calls; events that no job has claimed (u..)\n"
	"show ID         all that was kept of it\n"
	"replay ID [JOB] takes it as if it came again: you vouch for it\n"
	"replay uID JOB  gives it, and all of its external id, to that job\n"
	"forget ID       throws it away; --all: all refused calls\n",
    .flags = flags,
    .values = &values,
};
