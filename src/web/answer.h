/* SPDX-License-Identifier: ISC */
/*
 * A whole HTTP answer, built by a handler and written by a transport. Layer:
 * web, pure.
 */
#ifndef JOBWIRE_ANSWER_H
#define JOBWIRE_ANSWER_H

#include <stdbool.h>

#include "base/buf.h"

struct answer {
	int status;
	const char *code; /* of the refusal that it is, a literal; else NULL */
	struct buf headers; /* "Name: value\r\n" each, without Status and
			       Content-Length */
	struct buf body;
};

#define ANSWER_INIT                                                            \
	{                                                                      \
		200, NULL, BUF_INIT, BUF_INIT                                  \
	}

void answer_done(struct answer *a);

/* The value must not come from a client: it is not escaped. */
void answer_header(struct answer *a, const char *name, const char *value);

/* Sets the status and the type application/json; the body is a->body, which
 * the caller fills. */
void answer_json(struct answer *a, int status);

/*
 * The contract's error body: {"error":{"code":"..","message":".."}}, not to be
 * cached. Replaces what was in the answer. code is one of those listed in
 * docs/protocol.md, and lives as long as the program; message is a sentence for
 * a developer and never holds a secret.
 */
void answer_error(
    struct answer *a, int status, const char *code, const char *message);

/* Appends the CGI response (RFC 3875 section 6): header fields, Status first,
 * then the body, unless for_head. */
void answer_format(const struct answer *a, bool for_head, struct buf *out);

#endif
