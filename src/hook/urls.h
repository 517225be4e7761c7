/* SPDX-License-Identifier: ISC */
/*
 * The URLs that are given out. Layer: hook, pure.
 */
#ifndef JOBWIRE_URLS_H
#define JOBWIRE_URLS_H

#include "auth/url_signature.h"
#include "base/buf.h"
#include "base/err.h"

enum { URLS_TTL_S = 86400 }; /* what RunPod gives a job to be done, too */

struct urls_site {
	const char *base_url, *api_prefix; /* borrowed */
};

/* .../events/JOB */
void urls_add_events(
    struct buf *out, const struct urls_site *site, struct span job_id);

/* .../webhooks/PROVIDER?job_id=..&sig=.. Errors as url_signature_add(). */
CHECK_RESULT enum err urls_add_webhook(struct buf *out,
    const struct urls_site *site, const struct secrets *keys,
    const struct url_claim *claim);

#endif
