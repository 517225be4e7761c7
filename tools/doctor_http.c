/* SPDX-License-Identifier: ISC */
/*
 * HTTP for the doctor, by libcurl. The callers judge the answers.
 * Blocks.
 */
#include "doctor_http.h"

#include <ctype.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <curl/curl.h>

#include "doctor.h"

enum {
	BODY_MAX = 65536,
	CONNECT_MS = 10000,
	STALL_S = 30,
	TURN_MS = 1000,
};

struct http {
	CURLM *multi;
	const char *ca; /* borrowed */
};

_Static_assert(sizeof(((struct http_answer *)0)->error) >= CURL_ERROR_SIZE,
    "libcurl writes its messages there");

/* One request on its way. */
struct transfer {
	CURL *easy;
	const struct http_request *request;
	struct http_answer *answer;
};

enum err
http_new(const char *ca, struct http **ret)
{
	struct http *h = calloc(1, sizeof(*h));

	if (h == NULL || curl_global_init(CURL_GLOBAL_DEFAULT) != 0) {
		free(h);
		return ERR_NOMEM;
	}
	/* A server that refuses a body closes while we send. */
	(void)signal(SIGPIPE, SIG_IGN);
	h->ca = ca;
	h->multi = curl_multi_init();
	if (h->multi == NULL) {
		http_free(&h);
		return ERR_NOMEM;
	}
	*ret = h;
	return OK;
}

void
http_free(struct http **http)
{
	if (*http == NULL)
		return;
	if ((*http)->multi != NULL)
		(void)curl_multi_cleanup((*http)->multi);
	curl_global_cleanup();
	free(*http);
	*http = NULL;
}

void
http_answer_done(struct http_answer *a)
{
	buf_done(&a->headers);
	buf_done(&a->body);
}

/* A line of the head, its end included. Names are kept in lower case; a status
 * line begins a new head, for a 100 may come first. */
static size_t
on_header(char *line, size_t size, size_t n, void *arg)
{
	struct transfer *t = arg;
	struct buf *out = &t->answer->headers;
	size_t len = n * size, i;

	if (len > 5 && strncmp(line, "HTTP/", 5) == 0)
		buf_reset(out);
	for (i = 0; i < len && line[i] != ':'; i++)
		buf_add_char(out, (char)tolower((unsigned char)line[i]));
	buf_add(out, line + i, len - i);
	return len;
}

static size_t
on_body(char *bytes, size_t size, size_t n, void *arg)
{
	struct transfer *t = arg;
	struct buf *body = &t->answer->body;
	size_t len = n * size, room = BODY_MAX - body->len;

	if (t->request->on_data != NULL)
		t->request->on_data(t->request->arg, (struct span){bytes, len});
	else
		buf_add(body, bytes, len < room ? len : room);
	return len;
}

/* NULL without memory. */
static struct curl_slist *
make_headers(const char *const *headers)
{
	/* No body is sent on trial: senders of webhooks do not, either. */
	struct curl_slist *list = curl_slist_append(NULL, "Expect:"), *longer;

	for (; list != NULL && headers != NULL && *headers != NULL; headers++) {
		longer = curl_slist_append(list, *headers);
		if (longer == NULL)
			curl_slist_free_all(list);
		list = longer;
	}
	return list;
}

static void
set_options(struct transfer *t, const struct http *h, struct curl_slist *list)
{
	const struct http_request *r = t->request;
	CURL *e = t->easy;

	curl_easy_setopt(e, CURLOPT_URL, r->url);
	curl_easy_setopt(e, CURLOPT_HTTPHEADER, list);
	curl_easy_setopt(e, CURLOPT_HEADERFUNCTION, on_header);
	curl_easy_setopt(e, CURLOPT_HEADERDATA, t);
	curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, on_body);
	curl_easy_setopt(e, CURLOPT_WRITEDATA, t);
	curl_easy_setopt(e, CURLOPT_ERRORBUFFER, t->answer->error);
	curl_easy_setopt(e, CURLOPT_CONNECTTIMEOUT_MS, (long)CONNECT_MS);
	curl_easy_setopt(e, CURLOPT_FORBID_REUSE, 1L);
	curl_easy_setopt(e, CURLOPT_NOSIGNAL, 1L);
	/* The web server is asked, and not a proxy in the environment. */
	curl_easy_setopt(e, CURLOPT_PROXY, "");
	if (strcmp(r->method, "POST") == 0) {
		curl_easy_setopt(e, CURLOPT_POSTFIELDS, r->body.p);
		curl_easy_setopt(
		    e, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)r->body.n);
	} else if (strcmp(r->method, "GET") != 0) {
		curl_easy_setopt(e, CURLOPT_CUSTOMREQUEST, r->method);
	}
	if (r->want_gzip)
		curl_easy_setopt(e, CURLOPT_ACCEPT_ENCODING, "gzip");
	if (r->on_turn == NULL) {
		curl_easy_setopt(e, CURLOPT_LOW_SPEED_LIMIT, 1L);
		curl_easy_setopt(e, CURLOPT_LOW_SPEED_TIME, (long)STALL_S);
	}
	if (h->ca != NULL)
		curl_easy_setopt(e, CURLOPT_CAINFO, h->ca);
}

static void
read_end(struct http *h, struct http_answer *a)
{
	const CURLMsg *message;
	int n_left;

	while ((message = curl_multi_info_read(h->multi, &n_left)) != NULL) {
		if (message->msg != CURLMSG_DONE)
			continue;
		a->is_ended = true;
		if (message->data.result == CURLE_OK)
			a->error[0] = '\0';
		else if (a->error[0] == '\0')
			(void)snprintf(a->error, sizeof(a->error), "%s",
			    curl_easy_strerror(message->data.result));
	}
}

static void
run(struct http *h, struct transfer *t)
{
	const struct http_request *r = t->request;
	int n_running = 1;
	int64_t wait_ms = TURN_MS;

	for (;;) {
		if (curl_multi_perform(h->multi, &n_running) != CURLM_OK)
			return;
		if (n_running == 0 || doctor_is_interrupted())
			return;
		if (r->on_turn != NULL)
			wait_ms = r->on_turn(r->arg);
		if (wait_ms < 0)
			return;
		(void)curl_multi_poll(h->multi, NULL, 0,
		    (int)(wait_ms < TURN_MS ? wait_ms : TURN_MS), NULL);
	}
}

static int
version_of(CURL *easy)
{
	long version = 0;

	curl_easy_getinfo(easy, CURLINFO_HTTP_VERSION, &version);
	switch (version) {
	case CURL_HTTP_VERSION_1_0:
		return 10;
	case CURL_HTTP_VERSION_2_0:
		return 20;
	case CURL_HTTP_VERSION_3:
		return 30;
	default:
		return 11;
	}
}

void
http_ask(struct http *h, const struct http_request *r, struct http_answer *ret)
{
	struct transfer t = {curl_easy_init(), r, ret};
	struct curl_slist *list = make_headers(r->headers);
	long status = 0;

	(void)snprintf(ret->error, sizeof(ret->error), "out of memory");
	if (t.easy == NULL || list == NULL)
		goto out;
	ret->error[0] = '\0';
	set_options(&t, h, list);
	if (curl_multi_add_handle(h->multi, t.easy) == CURLM_OK) {
		run(h, &t);
		read_end(h, ret);
		curl_easy_getinfo(t.easy, CURLINFO_RESPONSE_CODE, &status);
		ret->status = (int)status;
		ret->version = version_of(t.easy);
		(void)curl_multi_remove_handle(h->multi, t.easy);
	}
out:
	curl_slist_free_all(list);
	curl_easy_cleanup(t.easy);
}

struct span
http_header(const struct http_answer *a, const char *name, size_t n)
{
	size_t len = strlen(name);
	const char *line = a->headers.data, *end, *value;

	for (; line != NULL && (end = strchr(line, '\n')) != NULL;
	     line = end + 1) {
		if (strncmp(line, name, len) != 0 || line[len] != ':' ||
		    n-- > 0)
			continue;
		value = line + len + 1;
		while (value < end && isspace((unsigned char)*value))
			value++;
		while (end > value && isspace((unsigned char)end[-1]))
			end--;
		return (struct span){value, (size_t)(end - value)};
	}
	return (struct span){NULL, 0};
}
