/* SPDX-License-Identifier: ISC */
/*
 * base64url without padding (RFC 4648 section 5), as tokens are written.
 * Layer: auth, pure.
 */
#ifndef JOBWIRE_B64URL_H
#define JOBWIRE_B64URL_H

#include "base/buf.h"
#include "base/err.h"

/* Appends the text of the bytes. */
void b64url_add(struct buf *out, struct span bytes);

/*
 * Appends the bytes of the text. ERR_PROTO for everything but the one spelling
 * that b64url_add() gives them: no padding, no white space, no bits set that
 * belong to no byte. ERR_NOMEM.
 */
CHECK_RESULT enum err b64url_read(struct span text, struct buf *out);

#endif
