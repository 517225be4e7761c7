/* SPDX-License-Identifier: ISC */
/*
 * What libcrypto computes for several kinds of signatures. Layer: auth, pure.
 */
#ifndef JOBWIRE_CRYPTO_H
#define JOBWIRE_CRYPTO_H

#include <stddef.h>

#include "base/buf.h"
#include "base/err.h"

enum { CRYPTO_MAC_SIZE = 32 };

/* HMAC-SHA256 under the key of n parts, one after the other, without a copy of
 * them: a body can have 32 MiB. ERR_NOMEM when libcrypto cannot. */
CHECK_RESULT enum err crypto_hmac(struct span key, const struct span *parts,
    size_t n, unsigned char ret[CRYPTO_MAC_SIZE]);

/* Is the signature the key's over the message? `digest` is the one that the
 * message is signed by; NULL: the kind of the key says how. ERR_AUTH: no;
 * ERR_NOMEM. */
struct evp_pkey_st;
struct evp_md_st;
CHECK_RESULT enum err crypto_verify(struct evp_pkey_st *key,
    const struct evp_md_st *digest, struct span message, struct span signature);

#endif
