/* SPDX-License-Identifier: ISC */
/*
 * Signed webhook URLs. Layer: auth.
 *
 * RunPod signs nothing, so the URL is the credential: it carries the job, the
 * restore id, an expiry and an HMAC-SHA256 over all of them and the provider's
 * name, so that none can be moved to another job or another provider.
 *
 *   .../webhooks/runpod-completion?job_id=J&restore_id=R&exp=1764000000&sig=S
 *
 * S is base64url without padding of HMAC-SHA256(secret, message), message being
 *   "jobwire-webhook-v1\n" provider "\n" job_id "\n" restore_id "\n" exp
 * job_id and restore_id are empty when absent; exp is decimal seconds since
 * 1970. A line break in provider or job_id is refused: it would make the text
 * ambiguous.
 */
#ifndef JOBWIRE_SIGN_H
#define JOBWIRE_SIGN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

/* Secrets for rotation: the first signs, all verify. Immutable once loaded,
 * so any thread may read it. */
struct sign_keys {
	struct span *keys; /* owned, each with owned bytes */
	size_t n;
};

/*
 * `value` is a comma-separated list, or @FILE whose content is such a list
 * (line breaks separate too). White space around a secret is dropped, and so
 * are empty items. NULL or empty gives n = 0. Errors: ERR_SYS (file, errno
 * kept), ERR_LIMIT (a secret shorter than SIGN_KEY_MIN bytes, a file above
 * 64 KiB or without any), ERR_NOMEM; *message says which, never the secret;
 * *ret is written on success only. Blocks on the file.
 */
enum { SIGN_KEY_MIN = 16 };
CHECK_RESULT enum err sign_keys_load(
    const char *value, struct sign_keys *ret, struct buf *message);
/* The same for lists of other things, each of min bytes or more. */
CHECK_RESULT enum err sign_list_load(
    const char *value, size_t min, struct sign_keys *ret, struct buf *message);
void sign_keys_done(struct sign_keys *k); /* wipes the bytes */

struct sign_claim {
	const char *provider;
	struct span job_id;
	struct span restore_id;
	int64_t exp; /* seconds since 1970 */
};

/* Appends `job_id=..&restore_id=..&exp=..&sig=..` (percent-encoded; what is
 * empty is left out), signed with the first key. ERR_AUTH without keys or
 * for a claim with a line break (see above); ERR_NOMEM. */
CHECK_RESULT enum err sign_add_query(
    const struct sign_keys *k, const struct sign_claim *c, struct buf *out);

/*
 * Verifies `sig` over the claim at time now_s. Every key is tried whatever the
 * others said and the comparison is constant-time. ERR_AUTH: wrong or missing;
 * ERR_EXPIRED: right, but exp < now_s; ERR_NOMEM: not known.
 */
CHECK_RESULT enum err sign_verify(const struct sign_keys *k,
    const struct sign_claim *c, struct span sig, int64_t now_s);

/* Lower-case hex SHA-256 of the bytes, terminated. ERR_NOMEM when libcrypto
 * cannot; to go on with no digest would make two deliveries one. */
enum { SIGN_DIGEST_SIZE = 65 };
CHECK_RESULT enum err sign_digest(
    struct span bytes, char ret[SIGN_DIGEST_SIZE]);

/* The same of n parts, one after the other, without a copy of them. */
CHECK_RESULT enum err sign_digest_of(
    const struct span *parts, size_t n, char ret[SIGN_DIGEST_SIZE]);

/* Has libcrypto read its configuration now, and not at the first use, when the
 * process may open no files of the system any more. Blocks on them. */
void sign_prepare(void);

#endif
