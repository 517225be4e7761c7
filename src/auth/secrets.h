/* SPDX-License-Identifier: ISC */
/*
 * Lists of secrets, as the settings give them. Layer: auth.
 */
#ifndef JOBWIRE_SECRETS_H
#define JOBWIRE_SECRETS_H

#include <stddef.h>

#include "base/buf.h"
#include "base/err.h"

/* Secrets for rotation: the first signs, all verify. Immutable once loaded,
 * so any thread may read it. */
struct secrets {
	struct span *keys; /* owned, each with owned bytes */
	size_t n;
};

/*
 * `value` is a comma-separated list, or @FILE whose content is such a list
 * (line breaks separate too). White space around a secret is dropped, and so
 * are empty items. NULL or empty gives n = 0. Errors: ERR_SYS (file, errno
 * kept), ERR_LIMIT (a secret shorter than SECRETS_MIN bytes, a file above
 * 64 KiB or without any), ERR_NOMEM; *message says which, never the secret;
 * *ret is written on success only. Blocks on the file.
 */
enum { SECRETS_MIN = 16 };
CHECK_RESULT enum err secrets_load(
    const char *value, struct secrets *ret, struct buf *message);
/* The same for lists of other things, each of min bytes or more. */
CHECK_RESULT enum err secrets_load_min(
    const char *value, size_t min, struct secrets *ret, struct buf *message);
void secrets_done(struct secrets *k); /* wipes the bytes */

#endif
