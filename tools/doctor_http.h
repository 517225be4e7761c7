/* SPDX-License-Identifier: ISC */
/*
 * An HTTP client for the doctor: one request at a time, each on a connection of
 * its own, and its answer as it arrives.
 */
#ifndef JOBWIRE_DOCTOR_HTTP_H
#define JOBWIRE_DOCTOR_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

struct http;

struct http_request {
	const char *method; /* "GET", .. */
	const char *url;
	const char *const *headers; /* "Name: value", the last one NULL */
	struct span body;	    /* sent when the method is POST */
	bool want_gzip;		    /* offer it, and undo it */
	/* Called with the body's bytes as they come; NULL: they are kept in the
	 * answer. */
	void (*on_data)(void *arg, struct span data);
	/* Called again and again, and after all that arrived. Returns how many
	 * milliseconds to wait at most before the next call, or -1 to end the
	 * request. NULL: it ends by itself, or when nothing moves for 30 s. */
	int64_t (*on_turn)(void *arg);
	void *arg;
};

struct http_answer {
	int status;  /* 0: there was no answer, `error` says why */
	int version; /* 10, 11, 20 or 30 */
	struct buf headers;
	struct buf body; /* 64 KiB at most */
	bool is_ended;	 /* by the server, cleanly or not */
	char error[256]; /* "": it came whole */
};

#define HTTP_ANSWER_INIT                                                       \
	{                                                                      \
		.headers = BUF_INIT, .body = BUF_INIT                          \
	}

/* ca: a file of certificates to trust instead of the system's; NULL. Returns
 * owned (http_free). Ignores SIGPIPE. ERR_NOMEM. */
CHECK_RESULT enum err http_new(const char *ca, struct http **ret);
void http_free(struct http **http);

/* *ret is as HTTP_ANSWER_INIT before; http_answer_done() in any case. Whatever
 * goes wrong is in the answer. Blocks, 10 s at most to connect; an interrupt of
 * the doctor ends it. */
void http_ask(
    struct http *http, const struct http_request *r, struct http_answer *ret);
void http_answer_done(struct http_answer *a);

/* The value of the n-th field of that name (lower case), n from 0; empty where
 * there is none. Valid with the answer. */
struct span http_header(
    const struct http_answer *a, const char *name, size_t n);

#endif
