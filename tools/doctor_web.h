/* SPDX-License-Identifier: ISC */
/*
 * What the parts of the doctor share that ask a web server.
 */
#ifndef JOBWIRE_DOCTOR_WEB_H
#define JOBWIRE_DOCTOR_WEB_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "doctor.h"
#include "doctor_http.h"
#include "doctor_remedies.h"

struct web {
	struct doctor *d;
	struct db *db; /* a connection that writes */
	struct http *http;
	struct buf base; /* the URL up to the prefix, without a slash */
	struct buf user; /* of the URL; "": none */
	char job[48];	 /* ours alone */
	/* Header fields for who reads: a token, where tokens are asked for. */
	struct buf authorization;
	const char *headers[2];
	char server[80];   /* the field Server; "": not known */
	struct buf remedy; /* of web_remedy() */
};

/* BASE/PATH and so on, a printf format; valid until web_ask() has returned. */
void web_ask(struct web *w, struct http_request *r, struct http_answer *ret,
    const char *format, ...) __attribute__((format(printf, 4, 5)));

/* What mends it with this server. Valid until the next call. */
const char *web_remedy(struct web *w, enum fault fault);

/* How long the stream shall stay silent; 0: it need not. */
int64_t web_idle_ms(const struct web *w);

/* Says why an answer is not the one it should be. */
void web_explain(struct web *w, const char *check, const struct http_answer *a);

/* Publishes three events and reads them through the web server: do they come
 * one by one, and does the stream stay open? */
void web_stream(struct web *w);

#endif
