/* SPDX-License-Identifier: ISC */
/*
 * Signatures of fal.ai's webhooks. Layer: auth.
 *
 *   x-fal-webhook-request-id, -user-id, -timestamp, -signature
 *
 * The signature is the hex form of an ed25519 signature over
 *   request_id "\n" user_id "\n" timestamp "\n" hex(SHA-256(body))
 * by one of the public keys that fal publishes as a JWKS (RFC 7517, RFC 8037).
 * Source: https://docs.fal.ai/model-endpoints/webhooks
 */
#ifndef JOBWIRE_FAL_SIGNATURE_H
#define JOBWIRE_FAL_SIGNATURE_H

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "web/request.h"

enum { FAL_KEY_SIZE = 32 };

struct fal_key {
	unsigned char bytes[FAL_KEY_SIZE];
};

/* Immutable once loaded, so any thread may read it. */
struct fal_keys {
	struct fal_key *keys; /* owned */
	size_t n;
};

/*
 * Reads a JWKS file; keys in it that are not Ed25519 are passed over. NULL or
 * "" gives n = 0. Errors: ERR_SYS (errno kept), ERR_LIMIT (above 64 KiB),
 * ERR_PROTO (no JWKS, or no such key in it), ERR_NOMEM; *message says more.
 * *ret is written on success only. Blocks on the file.
 */
CHECK_RESULT enum err fal_keys_load(
    const char *path, struct fal_keys *ret, struct buf *message);
void fal_keys_done(struct fal_keys *k);

/*
 * Verifies the request's body, as it came, and its header fields; any key may
 * have signed. ERR_NOENT: there are no keys; ERR_AUTH: wrong, or a field is
 * missing; ERR_EXPIRED: right, but more than TIMESTAMP_TOLERANCE_S from now_s;
 * ERR_NOMEM.
 */
CHECK_RESULT enum err fal_verify(
    const struct fal_keys *k, const struct request *r, int64_t now_s);

#endif
