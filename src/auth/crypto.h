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

/* Lower-case hex SHA-256 of the bytes, terminated. ERR_NOMEM when libcrypto
 * cannot; to go on with no digest would make two deliveries one. */
enum { CRYPTO_SHA256_SIZE = 65 };
CHECK_RESULT enum err crypto_sha256(
    struct span bytes, char ret[CRYPTO_SHA256_SIZE]);

/* The same of n parts, one after the other, without a copy of them. */
CHECK_RESULT enum err crypto_sha256_of(
    const struct span *parts, size_t n, char ret[CRYPTO_SHA256_SIZE]);

/* Has libcrypto read its configuration now, and not at the first use, when the
 * process may open no files of the system any more, and finds the algorithms.
 * Blocks on them. */
void crypto_prepare(void);

#endif
