/* SPDX-License-Identifier: ISC */
/*
 * The doctor's questions to a web server: does each path lead to its program,
 * do Authorization, large bodies and origins come through. doctor_stream.c
 * looks at the times of a stream. Blocks.
 */
#include "doctor_web.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "auth/claims.h"
#include "auth/url_signature.h"
#include "base/clock.h"
#include "grant.h"
#include "store/jobs.h"
#include "text/hex.h"
#include "text/json_text.h"

void
web_ask(struct web *w, struct http_request *r, struct http_answer *ret,
    const char *format, ...)
{
	struct buf url = BUF_INIT;
	char path[300];
	va_list args;

	va_start(args, format);
	(void)vsnprintf(path, sizeof(path), format, args);
	va_end(args);
	buf_add_span(&url, buf_span(&w->base));
	buf_add_str(&url, path);
	r->url = url.data;
	if (buf_ok(&url))
		http_ask(w->http, r, ret);
	else
		(void)snprintf(ret->error, sizeof(ret->error), "out of memory");
	buf_done(&url);
}

const char *
web_remedy(struct web *w, enum fault fault)
{
	buf_reset(&w->remedy);
	remedies_add(&w->remedy, span_of(w->server), fault);
	return w->remedy.len > 0 ? w->remedy.data : NULL;
}

int64_t
web_idle_ms(const struct web *w)
{
	if (w->d->flags->idle > 0 || !w->d->flags->is_long)
		return w->d->flags->idle;
	return 65000;
}

/* Appends the code of a refusal of jobwire's own. False: the answer is not from
 * jobwire, or is no refusal. */
static bool
add_code(const struct http_answer *a, struct buf *ret)
{
	struct span body, error, code;

	if (json_text_check(buf_span(&a->body), &body) != OK ||
	    json_text_kind(body) != JSON_TEXT_OBJECT ||
	    !json_text_get(body, "error", &error) ||
	    json_text_kind(error) != JSON_TEXT_OBJECT ||
	    !json_text_get(error, "code", &code) ||
	    json_text_kind(code) != JSON_TEXT_STRING)
		return false;
	json_text_add_string_value(ret, code);
	return buf_ok(ret);
}

static bool
has_code(const struct http_answer *a, const char *code)
{
	struct buf text = BUF_INIT;
	bool has =
	    add_code(a, &text) && text.len > 0 && strcmp(text.data, code) == 0;

	buf_done(&text);
	return has;
}

/* What jobwire itself says no with, as far as somebody else can mend it. */
static void
explain_refusal(struct web *w, const char *check, int status, const char *code)
{
	static const struct {
		const char *code, *remedy;
		enum fault fault; /* with remedy NULL */
	} known[] = {
	    {"not_found",
		"the URL with the path that the web server gives to "
		"jobwire; see api_prefix",
		FAULT_ROUTE},
	    {"method_not_allowed", NULL, FAULT_ROUTE},
	    {"token_missing", NULL, FAULT_AUTHORIZATION},
	    {"token_invalid",
		"the same jwt_key, jwt_issuer and jwt_audience "
		"for jobwire-events and here; for RS256 and "
		"ES256: --key @FILE",
		FAULT_ROUTE},
	    {"not_authenticated",
		"a URL with user:password@, and REMOTE_USER "
		"passed on by the web server",
		FAULT_ROUTE},
	    {"publish_keys_missing",
		"start jobwire-webhook again with these "
		"settings",
		FAULT_ROUTE},
	};
	const char *remedy = NULL;

	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		if (strcmp(code, known[i].code) == 0)
			remedy = known[i].remedy != NULL
				     ? known[i].remedy
				     : web_remedy(w, known[i].fault);
	doctor_say(w->d, FINDING_FAIL, check, remedy, "jobwire answers %d %s",
	    status, code);
}

void
web_explain(struct web *w, const char *check, const struct http_answer *a)
{
	struct span to = http_header(a, "location", 0);
	struct buf code = BUF_INIT;

	if (a->status == 0)
		doctor_say(w->d, FINDING_FAIL, check,
		    "start the web server; if it has another name from here: "
		    "jobwire doctor URL",
		    "no answer: %s", a->error);
	else if (add_code(a, &code))
		explain_refusal(w, check, a->status, code.data);
	else if (to.n > 0)
		doctor_say(w->d, FINDING_FAIL, check,
		    "that URL for the doctor, and for clients",
		    "the web server sends on to %.*s", (int)to.n, to.p);
	else if (a->status == 401)
		doctor_say(w->d, FINDING_FAIL, check,
		    "a URL with user:password@, or no password for "
		    "jobwire's paths",
		    "the web server asks for a password");
	else if (a->status >= 500)
		doctor_say(w->d, FINDING_FAIL, check, web_remedy(w, FAULT_AWAY),
		    "the web server answers %d: the program does not run, or "
		    "the web server may not reach it",
		    a->status);
	else
		doctor_say(w->d, FINDING_FAIL, check,
		    web_remedy(w, FAULT_ROUTE),
		    "the web server itself answers %d: the path does not lead "
		    "to jobwire",
		    a->status);
	buf_done(&code);
}

static void
say_server(struct web *w, const struct http_answer *a)
{
	struct span name = http_header(a, "server", 0);
	double version = (double)a->version / 10;

	(void)snprintf(w->server, sizeof(w->server), "%.*s", (int)name.n,
	    name.n > 0 ? name.p : "");
	if (a->version == 10)
		doctor_say(w->d, FINDING_WARN, "server",
		    web_remedy(w, FAULT_HTTP10),
		    "%s answers with HTTP/%.1f, which some proxies buffer",
		    w->server, version);
	else if (a->status != 0)
		doctor_say(w->d, FINDING_OK, "server", NULL, "%s, HTTP/%.1f",
		    *w->server != '\0' ? w->server : "one without a name",
		    version);
}

/* The stream's path, in the form that is answered at once. */
static bool
check_events(struct web *w)
{
	struct http_request r = {.method = "GET", .headers = w->headers};
	struct http_answer a = HTTP_ANSWER_INIT;
	struct span body, events;
	bool is_ours;

	web_ask(w, &r, &a, "/events/%s?format=json", w->job);
	say_server(w, &a);
	is_ours = a.status == 200 &&
		  json_text_check(buf_span(&a.body), &body) == OK &&
		  json_text_kind(body) == JSON_TEXT_OBJECT &&
		  json_text_get(body, "events", &events);
	if (is_ours)
		doctor_say(w->d, FINDING_OK, "events", NULL,
		    "/events leads to jobwire-events%s",
		    w->authorization.len > 0 ? ", which accepts our token"
					     : "");
	else
		web_explain(w, "events", &a);
	http_answer_done(&a);
	return is_ours;
}

/* An answer to no events at all with the right key. Nothing is stored. */
static void
judge_key(struct web *w, const struct http_answer *a, bool has_key)
{
	struct span challenge = http_header(a, "www-authenticate", 0);

	if (has_code(a, "bad_payload"))
		doctor_say(w->d, FINDING_OK, "authorization", NULL,
		    "the publish key reaches jobwire-webhook");
	else if (!has_key && (has_code(a, "publish_keys_missing") ||
				 has_code(a, "publish_key_invalid")))
		doctor_say(w->d, FINDING_OK, "authorization", NULL,
		    "/jobs leads to jobwire-webhook; without publish_keys "
		    "nothing more can be said");
	else if (!has_code(a, "publish_key_invalid"))
		web_explain(w, "authorization", a);
	else if (challenge.n > 0 &&
		 memmem(challenge.p, challenge.n, "error=", 6) != NULL)
		doctor_say(w->d, FINDING_FAIL, "authorization",
		    "the same publish_keys for both; jobwire-webhook reads "
		    "them again on SIGHUP",
		    "jobwire-webhook has other publish keys than these "
		    "settings");
	else
		doctor_say(w->d, FINDING_FAIL, "authorization",
		    web_remedy(w, FAULT_AUTHORIZATION),
		    "the web server does not pass Authorization on");
}

static void
check_authorization(struct web *w)
{
	struct buf field = BUF_INIT, why = BUF_INIT;
	const char *headers[] = {"Content-Type: application/json", NULL, NULL};
	struct http_request r = {
	    .method = "POST", .headers = headers, .body = SPAN_LIT("[]")};
	struct http_answer a = HTTP_ANSWER_INIT;
	struct secrets keys = {0};

	if (secrets_load(w->d->webhook.publish_keys, &keys, &why) == OK &&
	    keys.n > 0) {
		buf_add_str(&field, "Authorization: Bearer ");
		buf_add_span(&field, keys.keys[0]);
		headers[1] = field.data;
	}
	web_ask(w, &r, &a, "/jobs/%s/events", w->job);
	judge_key(w, &a, keys.n > 0);
	http_answer_done(&a);
	secrets_done(&keys);
	buf_done(&field);
	buf_done(&why);
}

/* False: the answer is not one of jobwire's to a call that is not signed. */
static bool
passes(struct web *w, struct span body, struct http_answer *ret)
{
	static const char *const headers[] = {
	    "Content-Type: application/json", NULL};
	struct http_request r = {
	    .method = "POST", .headers = headers, .body = body};
	struct buf code = BUF_INIT;
	bool is_ours;

	web_ask(w, &r, ret, "/webhooks/runpod-completion?job_id=%s", w->job);
	is_ours = add_code(ret, &code) && ret->status < 500 &&
		  ret->status != 404 && ret->status != 405 &&
		  ret->status != 413;
	buf_done(&code);
	return is_ours;
}

static void
say_limit(
    struct web *w, const struct http_answer *a, size_t passed, size_t refused)
{
	char said[sizeof(a->error) + 40];
	struct buf code = BUF_INIT;

	if (a->status != 0)
		(void)snprintf(said, sizeof(said), "answers %d", a->status);
	else
		(void)snprintf(said, sizeof(said), "cuts: %s", a->error);
	if (has_code(a, "body_too_large"))
		doctor_say(w->d, FINDING_FAIL, "body",
		    "start jobwire-webhook again with these settings",
		    "jobwire-webhook has a smaller max_body than %zu KiB",
		    refused / 1024);
	else if (add_code(a, &code))
		web_explain(w, "body", a);
	else
		doctor_say(w->d, FINDING_FAIL, "body",
		    web_remedy(w, FAULT_BODY),
		    "body limit: of %zu KiB pass, of %zu KiB the web server "
		    "%s; RunPod sends up to 20 MiB",
		    passed / 1024, refused / 1024, said);
	buf_done(&code);
}

/* White space is no JSON, so whatever comes of it, nothing is stored. */
static void
check_body(struct web *w)
{
	enum { K = 1024 };
	static const size_t sizes[] = {
	    64 * K, 120 * K, 256 * K, K * K, 2 * K * K, 8 * K * K, 20 * K * K};
	struct http_answer a = HTTP_ANSWER_INIT;
	size_t max = (size_t)w->d->webhook.max_body, passed = 0, i;
	char *bytes = malloc(sizes[6]);
	bool is_well = bytes != NULL;

	if (bytes != NULL)
		memset(bytes, ' ', sizes[6]);
	for (i = 0; is_well && i < 7 && sizes[i] <= max; i++) {
		http_answer_done(&a);
		a = (struct http_answer)HTTP_ANSWER_INIT;
		is_well = passes(w, (struct span){bytes, sizes[i]}, &a);
		if (is_well)
			passed = sizes[i];
		else if (passed == 0)
			web_explain(w, "webhook", &a);
		else
			say_limit(w, &a, passed, sizes[i]);
	}
	if (is_well)
		doctor_say(w->d, FINDING_OK, "body", NULL,
		    "webhooks of %zu KiB reach jobwire-webhook", passed / K);
	http_answer_done(&a);
	free(bytes);
}

/* Exactly one field, with exactly this origin: a web server that adds its own
 * makes browsers refuse both. */
static bool
allows(const struct http_answer *a, const char *origin)
{
	return span_eq_str(
		   http_header(a, "access-control-allow-origin", 0), origin) &&
	       http_header(a, "access-control-allow-origin", 1).n == 0;
}

static void
check_origin(struct web *w, const char *origin)
{
	struct buf field = BUF_INIT;
	const char *headers[] = {NULL, "Access-Control-Request-Method: GET",
	    "Access-Control-Request-Headers: last-event-id", NULL};
	struct http_request r = {.method = "OPTIONS", .headers = headers};
	struct http_answer flight = HTTP_ANSWER_INIT, a = HTTP_ANSWER_INIT;

	buf_addf(&field, "Origin: %s", origin);
	headers[0] = field.data;
	web_ask(w, &r, &flight, "/events/%s", w->job);
	r.method = "GET";
	headers[1] = w->headers[0];
	headers[2] = NULL;
	web_ask(w, &r, &a, "/events/%s?format=json", w->job);
	if (!buf_ok(&field) || a.status == 0)
		web_explain(w, "cors", &a);
	else if (http_header(&a, "access-control-allow-origin", 1).n > 0)
		doctor_say(w->d, FINDING_FAIL, "cors",
		    "let only cors_origins do it",
		    "the web server adds an Access-Control-Allow-Origin of its "
		    "own");
	else if (!allows(&a, origin) || !allows(&flight, origin) ||
		 flight.status >= 300)
		doctor_say(w->d, FINDING_FAIL, "cors",
		    "add it to cors_origins of jobwire-events, and let the web "
		    "server pass OPTIONS and the Access-Control fields",
		    "pages of %s may not read", origin);
	else
		doctor_say(w->d, FINDING_OK, "cors", NULL,
		    "pages of %s may read", origin);
	http_answer_done(&flight);
	http_answer_done(&a);
	buf_done(&field);
}

/* scheme://[user[:password]@]host[:port][/prefix]. False: it is not. */
static bool
take_url(struct web *w, const char *url)
{
	const char *host = strstr(url, "://"), *path, *at;
	size_t n = strlen(url);

	if (host == NULL || strpbrk(url, "?# ") != NULL ||
	    (strncmp(url, "http:", 5) != 0 && strncmp(url, "https:", 6) != 0))
		return false;
	host += 3;
	while (n > 0 && url[n - 1] == '/')
		n--;
	path = memchr(
	    host, '/', n > (size_t)(host - url) ? n - (size_t)(host - url) : 0);
	buf_add(&w->base, url, n);
	if (path == NULL)
		buf_add_str(&w->base, w->d->c->settings->api_prefix);
	at = strchr(host, '@');
	if (at != NULL && (path == NULL || at < path))
		buf_add(&w->user, host, strcspn(host, ":@"));
	return n > (size_t)(host - url);
}

/* Whom the web server will name in REMOTE_USER must own the job. */
static enum err
give_job(struct web *w)
{
	const struct intent_registration job = {
	    .job = {.job_id = w->job,
		.owner = w->user.len > 0 ? w->user.data : NULL}};
	struct intent_result result;

	return command_write(w->db, INTENT_REGISTRATION, &job, &result);
}

/* Said also after an interrupt. */
static void
take_job(struct web *w)
{
	const struct intent_deletion job = {w->job};
	struct intent_result result;
	enum err e = command_write(w->db, INTENT_DELETION, &job, &result);

	if (e != OK) {
		(void)command_fail_db(
		    "cannot delete the doctor's job", w->db, e);
		w->d->has_failed = true;
	}
}

/* A token for our job, where readers need one. */
static enum err
give_token(struct web *w, struct buf *why)
{
	struct claims claims = {.sub = (char *)(uintptr_t) "jobwire-doctor"};
	enum err e;

	if (w->d->events.events_auth != EVENTS_AUTH_JWT &&
	    w->d->events.events_auth != EVENTS_AUTH_TICKET)
		return OK;
	buf_add_str(&w->authorization, "Authorization: Bearer ");
	claims.jobs = w->job;
	claims.iat_s = clock_real_ms() / 1000;
	claims.exp_s = claims.iat_s + 3600 + web_idle_ms(w) / 1000;
	e = grant_sign(w->d->c->settings, w->d->flags->key, &claims,
	    &w->authorization, why);
	w->headers[0] = w->authorization.data;
	return e;
}

static void
run(struct web *w)
{
	struct buf why = BUF_INIT;
	enum err e = give_token(w, &why);

	if (e != OK)
		doctor_say(w->d, FINDING_FAIL, "events",
		    "--key @FILE with the private key, for RS256 and ES256",
		    "no token could be made to read with: %s",
		    why.len > 0 ? why.data : err_text(e));
	else if (check_events(w))
		web_stream(w);
	/* They are quick, and say nothing more after an interrupt. */
	check_authorization(w);
	check_body(w);
	if (w->d->flags->origin != NULL)
		check_origin(w, w->d->flags->origin);
	buf_done(&why);
}

static void
done(struct web *w)
{
	http_free(&w->http);
	db_close(&w->db);
	buf_done(&w->base);
	buf_done(&w->user);
	buf_done(&w->authorization);
	buf_done(&w->remedy);
}

int
doctor_usage(struct doctor *d)
{
	struct web w = {.d = d, .base = BUF_INIT};
	int status = EXIT_DONE;

	if (d->url != NULL && !take_url(&w, d->url))
		status = command_misuse(
		    "doctor", "the URL is http(s)://HOST[:PORT][/PREFIX]");
	done(&w);
	return status;
}

static void
name_job(struct web *w)
{
	unsigned char bytes[16];
	char digits[2 * sizeof(bytes) + 1];

	random_bytes(bytes, sizeof(bytes));
	hex_write(digits, bytes, sizeof(bytes));
	(void)snprintf(w->job, sizeof(w->job), "doctor-%s", digits);
}

void
doctor_web(struct doctor *d)
{
	enum { WAIT_MS = 5000 };
	struct web w = {.d = d, .base = BUF_INIT};
	struct db_fault fault = {.text = "out of memory"};

	name_job(&w);
	if (d->db == NULL || d->events.db == NULL || d->webhook.db == NULL) {
		doctor_say(d, FINDING_FAIL, "server", "mend what is above",
		    "it is not asked without settings and a database");
	} else if (!take_url(&w, d->url) || !buf_ok(&w.base) ||
		   http_new(d->flags->ca, &w.http) != OK ||
		   db_open(d->c->settings->db, DB_WRITE, WAIT_MS, &w.db,
		       &fault) != OK) {
		doctor_say(d, FINDING_FAIL, "server", NULL,
		    "it is not asked: %s", fault.text);
	} else {
		doctor_hold_signals();
		if (give_job(&w) == OK) {
			run(&w);
			take_job(&w);
		} else {
			doctor_say(d, FINDING_FAIL, "server", NULL,
			    "it is not asked: %s", db_last_fault(w.db)->text);
		}
	}
	done(&w);
}
