/* SPDX-License-Identifier: ISC */
/*
 * libcurl on our loop. What is called and what an answer means is for others to
 * say. TLS is verified with the system's certificates.
 */
#include "runner/http_client.h"

#include <sys/queue.h>
#include <sys/socket.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <curl/curl.h>

#include "base/clock.h"
#include "base/container_of.h"

enum {
	CONNECT_MS = 10000,
	RETRY_AFTER_MAX_S = 86400,
};

struct http_call {
	LIST_ENTRY(http_call) link;
	CURL *easy;
	struct curl_slist *headers;
	size_t max_body;
	struct http_answer answer;
	void (*on_done)(void *arg, struct http_answer *a);
	void *arg;
};

struct http_client {
	struct loop *loop;
	CURLM *multi;
	struct timer timer;
	struct deferred again; /* there was no memory */
	int64_t timeout_ms;
	size_t max_body;
	LIST_HEAD(call_list, http_call) calls;
	LIST_HEAD(watched_list, watched) watched;
};

/* A descriptor of libcurl's. */
struct watched {
	LIST_ENTRY(watched) link;
	struct io io;
	struct http_client *client;
};

void
http_request_done(struct http_request *r)
{
	buf_done(&r->url);
	buf_done(&r->body);
}

void
http_answer_done(struct http_answer *a)
{
	buf_done(&a->body);
}

/* Each of them holds the key. */
static void
free_headers(struct curl_slist *list)
{
	for (struct curl_slist *i = list; i != NULL; i = i->next)
		explicit_bzero(i->data, strlen(i->data));
	curl_slist_free_all(list);
}

static void
call_free(struct http_client *c, struct http_call *call)
{
	LIST_REMOVE(call, link);
	if (call->easy != NULL) {
		(void)curl_multi_remove_handle(c->multi, call->easy);
		curl_easy_cleanup(call->easy);
	}
	free_headers(call->headers);
	http_answer_done(&call->answer);
	free(call);
}

/* --- The end of a call ---------------------------------------------------- */

/* An answer that is cut, or longer than may be, is none. */
static void
read_end(struct http_call *call, CURLcode result)
{
	struct http_answer *a = &call->answer;
	curl_off_t retry_s = 0;
	long status = 0;

	(void)curl_easy_getinfo(call->easy, CURLINFO_RESPONSE_CODE, &status);
	(void)curl_easy_getinfo(call->easy, CURLINFO_RETRY_AFTER, &retry_s);
	a->status = result == CURLE_OK && buf_ok(&a->body) ? (int)status : 0;
	a->retry_ms = -1;
	if (retry_s > 0)
		a->retry_ms =
		    (retry_s < RETRY_AFTER_MAX_S ? retry_s
						 : RETRY_AFTER_MAX_S) *
		    1000;
	if (result != CURLE_OK && a->error[0] == '\0')
		(void)strncat(
		    a->error, curl_easy_strerror(result), sizeof(a->error) - 1);
}

static void
end_call(struct http_client *c, struct http_call *call)
{
	struct http_answer answer = call->answer;

	call->answer.body = (struct buf)BUF_INIT;
	call->on_done(call->arg, &answer);
	call_free(c, call);
}

/* The next one that libcurl has ended, its end read; NULL: there is none. */
static struct http_call *
next_ended(CURLM *multi)
{
	const CURLMsg *message;
	struct http_call *call;
	CURLcode result;
	char *arg;
	int n_left;

	while ((message = curl_multi_info_read(multi, &n_left)) != NULL) {
		if (message->msg != CURLMSG_DONE)
			continue;
		result = message->data.result;
		(void)curl_easy_getinfo(
		    message->easy_handle, CURLINFO_PRIVATE, &arg);
		call = (struct http_call *)(void *)arg;
		read_end(call, result);
		return call;
	}
	return NULL;
}

static void
finish(struct http_client *c)
{
	struct http_call *call;

	while ((call = next_ended(c->multi)) != NULL)
		end_call(c, call);
}

static void
unwatch(struct http_client *c, struct watched *w)
{
	if (w == NULL)
		return;
	LIST_REMOVE(w, link);
	io_remove(c->loop, &w->io);
	free(w);
}

/* The number of what is closed may be another's at once. So what is no socket
 * stays open: from 8.9 on a thread that looks up a name writes there. */
static void
drop(int fd)
{
	if (shutdown(fd, SHUT_RDWR) == 0 || errno != ENOTSOCK)
		(void)close(fd);
}

/*
 * libcurl had no memory. 7.88 then leaves a table behind that is none, and
 * divides by zero at the next call for the same descriptor. So it is called no
 * more, not even to free anything: that is lost, but for the connections that
 * are watched. All calls end; what has left may have arrived. What is begun
 * meanwhile stands before them in the list.
 */
static void
start_anew(struct http_client *c)
{
	CURLM *lost = c->multi;
	struct watched *w, *next_watched;
	struct http_call *call, *next;
	int fd;

	c->multi = NULL;
	timer_cancel(c->loop, &c->timer);
	for (w = LIST_FIRST(&c->watched); w != NULL; w = next_watched) {
		next_watched = LIST_NEXT(w, link);
		fd = w->io.fd;
		unwatch(c, w);
		drop(fd);
	}
	while ((call = next_ended(lost)) != NULL)
		call->easy = NULL;
	for (call = LIST_FIRST(&c->calls); call != NULL; call = next) {
		next = LIST_NEXT(call, link);
		if (call->easy != NULL)
			read_end(call, CURLE_OUT_OF_MEMORY);
		call->easy = NULL;
		end_call(c, call);
	}
}

/* --- Libcurl and the loop ------------------------------------------------- */

static void
act(struct http_client *c, curl_socket_t fd, int what)
{
	int n_running;

	if (curl_multi_socket_action(c->multi, fd, what, &n_running) ==
	    CURLM_OUT_OF_MEMORY)
		start_anew(c);
	else
		finish(c);
}

static void
on_ready(struct io *io, unsigned ready)
{
	struct watched *w = container_of(io, struct watched, io);
	int what = 0;

	if (ready & (IO_READ | IO_END))
		what |= CURL_CSELECT_IN;
	if (ready & IO_WRITE)
		what |= CURL_CSELECT_OUT;
	if (ready & IO_GONE)
		what |= CURL_CSELECT_ERR;
	act(w->client, io->fd, what); /* may free it */
}

static void
on_due(struct timer *t)
{
	act(container_of(t, struct http_client, timer), CURL_SOCKET_TIMEOUT, 0);
}

static int
on_timer(CURLM *multi, long ms, void *arg)
{
	struct http_client *c = arg;

	(void)multi;
	if (ms < 0)
		timer_cancel(c->loop, &c->timer);
	else if (timer_set(c->loop, &c->timer, clock_mono_us() + ms * 1000) !=
		 OK)
		loop_defer(c->loop, &c->again);
	return 0;
}

/* libcurl says once when it wants to be called. */
static void
on_again(struct deferred *d)
{
	struct http_client *c = container_of(d, struct http_client, again);
	long ms = -1;

	(void)curl_multi_timeout(c->multi, &ms);
	(void)on_timer(c->multi, ms, c);
}

/* What is not watched, for want of memory, ends by its timeout. To fail the
 * callback would give up all transfers, in a way that libcurl 7.88 does not
 * survive. */
static void
watch(struct http_client *c, curl_socket_t fd, unsigned want)
{
	struct watched *w = calloc(1, sizeof(*w));

	if (w == NULL)
		return;
	LIST_INSERT_HEAD(&c->watched, w, link);
	w->client = c;
	w->io.fd = fd;
	w->io.on_ready = on_ready;
	if (io_add(c->loop, &w->io, want) != OK ||
	    curl_multi_assign(c->multi, fd, w) != CURLM_OK) {
		unwatch(c, w);
	}
}

static int
on_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *watched)
{
	struct http_client *c = arg;
	struct watched *w = watched;
	unsigned want = 0;

	(void)easy;
	if (what & CURL_POLL_IN)
		want |= IO_READ;
	if (what & CURL_POLL_OUT)
		want |= IO_WRITE;
	if (what == CURL_POLL_REMOVE) {
		unwatch(c, w);
		return 0;
	}
	if (w == NULL)
		watch(c, fd, want);
	else
		(void)!io_want(c->loop, &w->io, want);
	return 0;
}

static bool
has_multi(struct http_client *c)
{
	if (c->multi != NULL)
		return true;
	c->multi = curl_multi_init();
	if (c->multi == NULL)
		return false;
	curl_multi_setopt(c->multi, CURLMOPT_SOCKETFUNCTION, on_socket);
	curl_multi_setopt(c->multi, CURLMOPT_SOCKETDATA, c);
	curl_multi_setopt(c->multi, CURLMOPT_TIMERFUNCTION, on_timer);
	curl_multi_setopt(c->multi, CURLMOPT_TIMERDATA, c);
	return true;
}

enum err
http_client_new(struct loop *loop, int64_t timeout_ms, size_t max_body,
    struct http_client **ret)
{
	struct http_client *c = calloc(1, sizeof(*c));

	if (c == NULL || curl_global_init(CURL_GLOBAL_DEFAULT) != 0) {
		free(c);
		return ERR_NOMEM;
	}
	c->loop = loop;
	c->timeout_ms = timeout_ms;
	c->max_body = max_body;
	c->timer.on_due = on_due;
	c->again.run = on_again;
	if (!has_multi(c)) {
		http_client_free(&c);
		return ERR_NOMEM;
	}
	*ret = c;
	return OK;
}

void
http_client_free(struct http_client **client)
{
	struct http_client *c = *client;
	struct http_call *call;

	if (c == NULL)
		return;
	while ((call = LIST_FIRST(&c->calls)) != NULL)
		call_free(c, call);
	if (c->multi != NULL)
		(void)curl_multi_cleanup(c->multi);
	timer_cancel(c->loop, &c->timer);
	loop_undefer(c->loop, &c->again);
	curl_global_cleanup();
	free(c);
	*client = NULL;
}

/* --- The beginning of a call ---------------------------------------------- */

/* There is a connection. Whatever goes wrong now, bytes may have left: how
 * many, libcurl does not know. Before 8.7 it counts nothing of a request whose
 * first part OpenSSL did not take at once, though it goes on with it; 8.7
 * nothing. */
static int
on_connected(void *arg, char *to, char *from, int to_port, int from_port)
{
	struct http_call *call = arg;

	(void)to;
	(void)from;
	(void)to_port;
	(void)from_port;
	call->answer.has_left = true;
	return CURL_PREREQFUNC_OK;
}

static size_t
on_body(char *bytes, size_t size, size_t n, void *arg)
{
	struct http_call *call = arg;
	struct buf *body = &call->answer.body;

	if (n * size > call->max_body - body->len)
		return 0;
	buf_add(body, bytes, n * size);
	return buf_ok(body) ? n * size : 0;
}

static bool
add_header(struct http_call *call, const char *line)
{
	struct curl_slist *longer = curl_slist_append(call->headers, line);

	if (longer != NULL)
		call->headers = longer;
	return longer != NULL;
}

static bool
make_headers(struct http_call *call, struct span key)
{
	struct buf line = BUF_INIT;
	bool ok;

	buf_add_str(&line, "Authorization: Bearer ");
	buf_add_span(&line, key);
	ok = buf_ok(&line) && add_header(call, line.data) &&
	     add_header(call, "Content-Type: application/json") &&
	     add_header(call, "Accept: application/json") &&
	     /* No trial without the body: a refusal of it would be followed by
	      * a second request. */
	     add_header(call, "Expect:");
	if (line.data != NULL)
		explicit_bzero(line.data, line.len);
	buf_done(&line);
	return ok;
}

/* libcurl sends a request once more, by itself, when a connection that it had
 * kept ends without an answer. HTTP/2 has such ways, too. */
static void
set_options(
    struct http_client *c, struct http_call *call, const struct http_request *r)
{
	CURL *e = call->easy;
	const char *authorities = getenv("SSL_CERT_FILE");
	long is_once = r->is_once ? 1 : 0;

	curl_easy_setopt(e, CURLOPT_URL, r->url.data);
	curl_easy_setopt(e, CURLOPT_PRIVATE, (void *)call);
	curl_easy_setopt(e, CURLOPT_HTTPHEADER, call->headers);
	curl_easy_setopt(e, CURLOPT_PREREQFUNCTION, on_connected);
	curl_easy_setopt(e, CURLOPT_PREREQDATA, call);
	curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, on_body);
	curl_easy_setopt(e, CURLOPT_WRITEDATA, call);
	curl_easy_setopt(e, CURLOPT_ERRORBUFFER, call->answer.error);
	curl_easy_setopt(e, CURLOPT_TIMEOUT_MS, (long)c->timeout_ms);
	curl_easy_setopt(e, CURLOPT_CONNECTTIMEOUT_MS,
	    (long)(c->timeout_ms < CONNECT_MS ? c->timeout_ms : CONNECT_MS));
	curl_easy_setopt(e, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	curl_easy_setopt(e, CURLOPT_FRESH_CONNECT, is_once);
	curl_easy_setopt(e, CURLOPT_FORBID_REUSE, is_once);
	curl_easy_setopt(e, CURLOPT_NOSIGNAL, 1L);
#if LIBCURL_VERSION_NUM >= 0x075700
	/* A call whose time is over does not wait for the thread that looks up
	 * its name, and all others with it. */
	curl_easy_setopt(e, CURLOPT_QUICK_EXIT, 1L);
#endif
	curl_easy_setopt(e, CURLOPT_USERAGENT, "jobwire/" JOBWIRE_VERSION);
	/* libcurl knows where Debian has them. Taken along to another system,
	 * it has to be told, and reads the variable in its own program only. */
	if (authorities != NULL && *authorities != '\0')
		curl_easy_setopt(e, CURLOPT_CAINFO, authorities);
	/* What is not encrypted stays on this machine. */
	if (strncmp(r->url.data, "http:", 5) == 0)
		curl_easy_setopt(e, CURLOPT_PROXY, "");
	if (!r->is_post)
		return;
	curl_easy_setopt(
	    e, CURLOPT_POSTFIELDS, r->body.len > 0 ? r->body.data : "");
	curl_easy_setopt(
	    e, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)r->body.len);
}

_Static_assert(sizeof(((struct http_answer *)0)->error) >= CURL_ERROR_SIZE,
    "libcurl writes its messages there");

enum err
http_client_send(struct http_client *c, const struct http_request *r,
    struct span key, void (*on_done)(void *arg, struct http_answer *a),
    void *arg)
{
	struct http_call *call = calloc(1, sizeof(*call));

	if (call == NULL)
		return ERR_NOMEM;
	LIST_INSERT_HEAD(&c->calls, call, link);
	call->max_body = c->max_body;
	call->on_done = on_done;
	call->arg = arg;
	call->easy = curl_easy_init();
	if (call->easy == NULL || !has_multi(c) || !buf_ok(&r->url) ||
	    !buf_ok(&r->body) || !make_headers(call, key)) {
		call_free(c, call);
		return ERR_NOMEM;
	}
	set_options(c, call, r);
	if (curl_multi_add_handle(c->multi, call->easy) != CURLM_OK) {
		call_free(c, call);
		return ERR_NOMEM;
	}
	return OK;
}
