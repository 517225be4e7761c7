/* SPDX-License-Identifier: ISC */
/*
 * The commands that change things: they make the database, signed URLs and
 * events, and remove what retention does not keep.
 */
#include <stdio.h>

#include "auth/sign.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/opt.h"
#include "command.h"
#include "hook/provider.h"
#include "hook/urls.h"
#include "io/bell.h"
#include "store/events.h"
#include "store/janitor.h"
#include "web/jtext.h"
#include "web/sse.h"

int
command_init(const struct command_line *c)
{
	struct db *db = command_open(c, DB_CREATE);

	if (db == NULL)
		return EXIT_FAILED;
	if (c->settings->json)
		(void)printf("{\"epoch\":\"%s\"}\n", db_epoch(db));
	else
		(void)printf(
		    "%s is ready, epoch %s\n", db_path(db), db_epoch(db));
	db_close(&db);
	return EXIT_DONE;
}

int
command_url(const struct command_line *c)
{
	struct buf text = BUF_INIT;
	struct sign_keys keys = {0};
	const struct urls_site site = {
	    c->settings->base_url, c->settings->api_prefix};
	struct sign_claim claim = {"runpod-completion",
	    span_of(c->n > 0 ? c->args[0] : NULL), span_of(c->restore_id), 0};
	int64_t ttl_ms = INT64_C(1000) * URLS_TTL_S;
	int status = EXIT_DONE;

	if (c->provider != NULL)
		claim.provider = c->provider;
	if (c->n > 0 && !sse_job_id_ok(claim.job_id))
		return command_misuse("url", "not a job id");
	if (provider_find(claim.provider) == NULL)
		return command_misuse("url", "no such provider");
	if (c->expires != NULL &&
	    (opt_parse_duration(c->expires, &ttl_ms) != OK || ttl_ms <= 0))
		return command_misuse(
		    "url", "--expires takes a time such as 24h");
	claim.exp = (clock_real_ms() + ttl_ms) / 1000;
	if (sign_keys_load(c->settings->webhook_secret, &keys, &text) != OK)
		status = command_fail("webhook_secret",
		    text.len > 0 ? text.data : "cannot be used");
	else if (keys.n == 0)
		status = command_fail(
		    "url", "set webhook_secret (16 bytes or more) first");
	else if (urls_add_webhook(&text, &site, &keys, &claim) != OK ||
		 !buf_ok(&text))
		status = command_fail("url", "out of memory");
	else if (c->settings->json)
		(void)printf("{\"url\":\"%s\"}\n", text.data);
	else
		(void)puts(text.data);
	sign_keys_done(&keys);
	buf_done(&text);
	return status;
}

enum err
command_store(struct db *db, const struct event_new *e, int64_t *ret_id)
{
	bool is_duplicate;
	struct bell bell = BELL_INIT;
	enum err err = db_begin(db);

	if (err != OK)
		return err;
	err = events_append(db, e, ret_id, &is_duplicate);
	if (err != OK) {
		db_rollback(db);
		return err;
	}
	err = db_commit(db);
	if (err == OK && bell_open(db_path(db), &bell) == OK)
		bell_ring(&bell);
	bell_close(&bell);
	return err;
}

int
command_publish(const struct command_line *c)
{
	struct span data = span_of(c->n > 2 ? c->args[2] : NULL);
	struct event_new e = {.job_id = c->args[0], .type = c->args[1]};
	char text[SSE_ID_SIZE];
	struct db *db;
	int64_t id;
	enum err err;

	if (!sse_job_id_ok(span_of(e.job_id)))
		return command_misuse("publish", "not a job id");
	if (!sse_type_ok(span_of(e.type)))
		return command_misuse("publish", "not an event type");
	if (data.n > 0 && (jtext_check(data, &e.data) != OK ||
			      jtext_kind(e.data) != JTEXT_OBJECT))
		return command_misuse(
		    "publish", "the data is not a JSON object");
	if (data.n > SSE_DATA_MAX)
		return command_misuse(
		    "publish", "the data is larger than 1 MiB");
	db = command_open(c, DB_WRITE);
	if (db == NULL)
		return EXIT_FAILED;
	err = command_store(db, &e, &id);
	if (err == OK) {
		sse_id_format(db_epoch(db), id, text);
		(void)printf(
		    c->settings->json ? "{\"event_id\":\"%s\"}\n" : "%s\n",
		    text);
	} else {
		(void)command_fail("publish", db_last_fault(db)->text[0] != '\0'
						  ? db_last_fault(db)->text
						  : err_text(err));
	}
	db_close(&db);
	return err == OK ? EXIT_DONE : EXIT_FAILED;
}

int
command_prune(const struct command_line *c)
{
	struct janitor_config cfg = {
	    .db_path = c->settings->db,
	    .keep_days = c->settings->keep_days,
	    .keep_progress = c->settings->keep_progress,
	    .keep_events = c->settings->keep_events,
	};
	struct janitor_stats done = {0};
	struct db *db = command_open(c, DB_WRITE);
	bool has_more = true;
	enum err e = OK;

	if (db == NULL)
		return EXIT_FAILED;
	while (e == OK && has_more)
		e = janitor_prune(db, &cfg, &has_more, &done);
	if (e == OK)
		(void)printf(c->settings->json
				 ? "{\"events\":%llu,\"jobs\":%llu}\n"
				 : "%llu events and %llu jobs removed\n",
		    (unsigned long long)done.pruned_events,
		    (unsigned long long)done.pruned_jobs);
	else
		(void)command_fail("prune", db_last_fault(db)->text);
	db_close(&db);
	return e == OK ? EXIT_DONE : EXIT_FAILED;
}
