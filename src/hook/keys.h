/* SPDX-License-Identifier: ISC */
/*
 * All keys by which the writing half knows its callers. Layer: hook.
 */
#ifndef JOBWIRE_KEYS_H
#define JOBWIRE_KEYS_H

#include "auth/access.h"
#include "auth/fal.h"
#include "auth/sign.h"
#include "auth/standard.h"
#include "base/buf.h"
#include "base/err.h"
#include "conf/settings.h"

/* Immutable once loaded, so any thread may read it. To read the files again,
 * load another one and put it in the place of this one. */
struct hook_keys {
	struct sign_keys url;	       /* webhook_secret */
	struct sign_keys publish;      /* publish_keys */
	struct standard_keys standard; /* standard_secret */
	struct fal_keys fal;	       /* fal_jwks */
	struct guard guard;	       /* jwt_key: of who gets tickets */
};

/*
 * Loads them; a setting that is not there gives no keys. Borrows s and stats
 * as guard_init() does. Errors: ERR_SYS (a file, errno kept), ERR_LIMIT,
 * ERR_PROTO, ERR_AUTH (no jwt_key), ERR_NOMEM; *message says which setting and
 * why, never a key. *ret is written on success only (hook_keys_done()). Blocks
 * on the files.
 */
CHECK_RESULT enum err hook_keys_load(const struct settings *s,
    struct access_stats *stats, struct hook_keys *ret, struct buf *message);
void hook_keys_done(struct hook_keys *k); /* wipes the bytes */

#endif
