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
#ifndef JOBWIRE_URL_SIGNATURE_H
#define JOBWIRE_URL_SIGNATURE_H

#include <stdint.h>

#include "auth/secrets.h"
#include "base/buf.h"
#include "base/err.h"

struct url_claim {
	const char *provider;
	struct span job_id;
	struct span restore_id;
	int64_t exp; /* seconds since 1970 */
};

/* Appends `job_id=..&restore_id=..&exp=..&sig=..` (percent-encoded; what is
 * empty is left out), signed with the first key. ERR_AUTH without keys or
 * for a claim with a line break (see above); ERR_NOMEM. */
CHECK_RESULT enum err url_signature_add(
    const struct secrets *k, const struct url_claim *c, struct buf *out);

/*
 * Verifies `sig` over the claim at time now_s. Every key is tried whatever the
 * others said and the comparison is constant-time. ERR_AUTH: wrong or missing;
 * ERR_EXPIRED: right, but exp < now_s; ERR_NOMEM: not known.
 */
CHECK_RESULT enum err url_signature_verify(const struct secrets *k,
    const struct url_claim *c, struct span sig, int64_t now_s);

#endif
