/* SPDX-License-Identifier: ISC */
/*
 * All keys by which the writing half knows its callers. Layer: hook.
 */
#ifndef JOBWIRE_KEYS_H
#define JOBWIRE_KEYS_H

#include "auth/authenticator.h"
#include "auth/fal_signature.h"
#include "auth/url_signature.h"
#include "auth/standard_signature.h"
#include "base/buf.h"
#include "base/err.h"

/* Immutable once loaded, so any thread may read it. To read the files again,
 * load another one and put it in the place of this one. */
struct hook_keys {
	struct secrets url;		    /* webhook_secret */
	struct secrets publish;		    /* publish_keys */
	struct standard_keys standard;	    /* standard_secret */
	struct fal_keys fal;		    /* fal_jwks */
	struct authenticator authenticator; /* jwt_key: of who gets tickets */
};

/* The settings of these names; what is NULL gives no keys. */
struct hook_keys_config {
	const char *webhook_secret, *publish_keys, *standard_secret, *fal_jwks;
	struct authenticator_config authenticator;
};

/*
 * Loads them. Borrows config and stats as authenticator_init() does. Errors:
 * ERR_SYS (a file, errno kept), ERR_LIMIT, ERR_PROTO, ERR_AUTH (no jwt_key),
 * ERR_NOMEM; *message says which setting and why, never a key. *ret is written
 * on success only (hook_keys_done()). Blocks on the files.
 */
CHECK_RESULT enum err hook_keys_load(const struct hook_keys_config *config,
    struct authenticator_stats *stats, struct hook_keys *ret,
    struct buf *message);
void hook_keys_done(struct hook_keys *k); /* wipes the bytes */

#endif
