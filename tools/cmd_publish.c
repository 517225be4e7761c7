/* SPDX-License-Identifier: ISC */
/*
 * The commands that change things: they make the database, signed URLs and
 * events, and remove what retention does not keep.
 */
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "auth/sign.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/near.h"
#include "base/opt.h"
#include "command.h"
#include "hook/provider.h"
#include "hook/urls.h"
#include "io/bell.h"
#include "job/name.h"
#include "job/state.h"
#include "store/events.h"
#include "store/janitor.h"
#include "store/jobs.h"
#include "store/survey.h"
#include "web/jtext.h"
#include "web/sse.h"

enum { PIPE_WAIT_MS = 100 };

static const char too_large[] = "the data is larger than 1 MiB";

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
	if (c->n > 0 && !job_id_ok(claim.job_id))
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

/*
 * Are there bytes on standard input that nobody asked for? A pipe whose writer
 * has only just started gets a moment; one that stays open and empty is none of
 * our business, nor is a terminal or /dev/null.
 */
static bool
has_input(void)
{
	struct pollfd input = {STDIN_FILENO, POLLIN, 0};
	struct stat st;
	int n_bytes = 0;
	off_t at;

	if (fstat(STDIN_FILENO, &st) != 0)
		return false;
	if (S_ISREG(st.st_mode)) {
		at = lseek(STDIN_FILENO, 0, SEEK_CUR);
		return at >= 0 && at < st.st_size;
	}
	return (S_ISFIFO(st.st_mode) || S_ISSOCK(st.st_mode)) &&
	       poll(&input, 1, PIPE_WAIT_MS) == 1 &&
	       ioctl(STDIN_FILENO, FIONREAD, &n_bytes) == 0 && n_bytes > 0;
}

/* The text of `-` or `@FILE`. EXIT_DONE, or it has said what is wrong. */
static int
read_input(const char *source, struct buf *ret)
{
	bool is_file = *source == '@';
	const char *name = is_file ? source + 1 : "standard input";
	enum err e = is_file ? file_read(name, SSE_DATA_MAX, ret)
			     : file_read_fd(STDIN_FILENO, SSE_DATA_MAX, ret);

	if (e == ERR_LIMIT)
		return command_misuse("publish", too_large);
	if (e != OK)
		return command_fail(
		    name, e == ERR_SYS ? strerror(errno) : err_text(e));
	return ret->len > 0 ? EXIT_DONE
			    : command_misuse("publish", "the data is empty");
}

/* The third argument, or what it names, as a JSON object; *text holds it.
 * EXIT_DONE, or it has said what is wrong. */
static int
read_data(const struct command_line *c, struct buf *text, struct span *ret)
{
	const char *given = c->n > 2 ? c->args[2] : "";
	struct span data = span_of(given);
	int status;

	if (c->n == 2 && has_input())
		return command_misuse("publish",
		    "there are data on standard input: give - as the third "
		    "argument to store them, or take </dev/null");
	if (*given == '@' || strcmp(given, "-") == 0) {
		status = read_input(given, text);
		if (status != EXIT_DONE)
			return status;
		data = buf_span(text);
	}
	if (data.n > 0 &&
	    (jtext_check(data, ret) != OK || jtext_kind(*ret) != JTEXT_OBJECT))
		return command_misuse(
		    "publish", "the data is not a JSON object");
	return data.n > SSE_DATA_MAX ? command_misuse("publish", too_large)
				     : EXIT_DONE;
}

/* A page that waits for `completed` waits for ever when `complete` is what
 * comes: a type that is nearly one of ours must be meant. */
static int
check_type(const struct command_line *c, const char *type)
{
	const char *known = JOB_PROGRESS;
	enum job_state state = JOB_NO_STATE;

	if (!job_type_ok(span_of(type)))
		return command_misuse("publish", "not an event type");
	if (c->is_custom || strcmp(type, known) == 0 ||
	    job_state_of(type) != JOB_NO_STATE)
		return EXIT_DONE;
	while (near_distance(type, known) != 1) {
		if (++state == JOB_STATES)
			return EXIT_DONE;
		known = job_state_name(state);
	}
	(void)fprintf(stderr,
	    "jobwire: publish: did you mean %s? With --custom, %s is stored\n",
	    known, type);
	return EXIT_USAGE;
}

/* The state is null as long as no event has said one. */
static void
print_published(const struct command_line *c, struct db *db, int64_t id)
{
	char text[SSE_ID_SIZE];
	enum job_state state;
	const char *quote;

	sse_id_format(db_epoch(db), id, text);
	if (!c->settings->json) {
		(void)puts(text);
		return;
	}
	if (jobs_state_after(db, id, &state) != OK)
		state = JOB_NO_STATE; /* it is stored all the same */
	quote = state != JOB_NO_STATE ? "\"" : "";
	(void)printf("{\"event_id\":\"%s\",\"state\":%s%s%s}\n", text, quote,
	    state != JOB_NO_STATE ? job_state_name(state) : "null", quote);
}

int
command_publish(const struct command_line *c)
{
	struct event_new e = {.job_id = c->args[0], .type = c->args[1]};
	struct buf text = BUF_INIT;
	struct db *db = NULL;
	int64_t id;
	int status = EXIT_FAILED;
	enum err err;

	if (!job_id_ok(span_of(e.job_id)))
		return command_misuse("publish", "not a job id");
	if ((status = check_type(c, e.type)) != EXIT_DONE ||
	    (status = read_data(c, &text, &e.data)) != EXIT_DONE)
		goto out;
	status = EXIT_FAILED;
	db = command_open(c, DB_WRITE);
	if (db == NULL)
		goto out;
	err = command_store(db, &e, &id);
	if (err == OK) {
		print_published(c, db, id);
		status = EXIT_DONE;
	} else {
		(void)command_fail_db("publish", db, err);
	}
out:
	db_close(&db);
	buf_done(&text);
	return status;
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
	struct db *db = command_open(c, c->is_dry_run ? DB_READ : DB_WRITE);
	bool has_more = !c->is_dry_run;
	enum err e = OK;

	if (db == NULL)
		return EXIT_FAILED;
	if (c->is_dry_run)
		e = survey_prunable(db, &cfg, &done);
	while (e == OK && has_more)
		e = janitor_prune(db, &cfg, &has_more, &done);
	if (e != OK)
		(void)command_fail_db("prune", db, e);
	else if (c->settings->json)
		(void)printf("{\"events\":%" PRIu64 ",\"jobs\":%" PRIu64 "}\n",
		    done.pruned_events, done.pruned_jobs);
	else
		(void)printf("%" PRIu64 " events and %" PRIu64
			     " jobs %sremoved\n",
		    done.pruned_events, done.pruned_jobs,
		    c->is_dry_run ? "would be " : "");
	db_close(&db);
	return e == OK ? EXIT_DONE : EXIT_FAILED;
}
