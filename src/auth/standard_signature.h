/* SPDX-License-Identifier: ISC */
/*
 * Signatures of Standard Webhooks, symmetric form. Layer: auth. Replicate and
 * whoever sends with Svix use them.
 *
 *   webhook-id, webhook-timestamp, webhook-signature   (or svix-..)
 *
 * The signature field is a list, separated by spaces, of `v1,` with the base64
 * of HMAC-SHA256(secret, id "." timestamp "." body). Source:
 * https://github.com/standard-webhooks/standard-webhooks, spec and libraries
 * (the tolerance of five minutes is theirs). Public keys (`v1a,`) are not
 * taken.
 */
#ifndef JOBWIRE_STANDARD_SIGNATURE_H
#define JOBWIRE_STANDARD_SIGNATURE_H

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "web/request.h"

enum {
	STANDARD_KEY_MIN = 24, /* bytes, of the spec */
	STANDARD_KEY_MAX = 64,
	STANDARD_RAW_MAX = 256, /* of a secret that is no base64 */
};

struct standard_key {
	unsigned char bytes[STANDARD_RAW_MAX];
	size_t n;
};

/* Immutable once loaded, so any thread may read it. */
struct standard_keys {
	struct standard_key *keys; /* owned */
	size_t n;
};

/*
 * `value` is a list or @FILE as for secrets_load(), of secrets as a sender
 * shows them: `whsec_` and base64, or, as the reference libraries have it, the
 * base64 alone, both also behind `v1,`; or `raw:` and the bytes themselves.
 * Errors as there, and ERR_PROTO for what is no base64 or is a public key
 * (`v1a,`), ERR_LIMIT for another length than STANDARD_KEY_MIN..MAX, of raw
 * ones SECRETS_MIN..STANDARD_RAW_MAX; *message says which, never the secret.
 * *ret is written on success only. Blocks on the file.
 */
CHECK_RESULT enum err standard_keys_load(
    const char *value, struct standard_keys *ret, struct buf *message);
void standard_keys_done(struct standard_keys *k); /* wipes the bytes */

/* The field webhook-NAME of the request, else svix-NAME, else "". NAME is "id",
 * "timestamp" or "signature". */
const char *standard_header(const struct request *r, const char *name);

/*
 * Verifies the request's body, as it came, and its header fields. Every key is
 * tried on every signature, whatever the others said, in constant time.
 * ERR_NOENT: there are no keys; ERR_AUTH: wrong, or a field is missing;
 * ERR_EXPIRED: right, but more than TIMESTAMP_TOLERANCE_S from now_s;
 * ERR_NOMEM.
 */
CHECK_RESULT enum err standard_verify(
    const struct standard_keys *k, const struct request *r, int64_t now_s);

#endif
