/* SPDX-License-Identifier: ISC */
/*
 * Who may publish: whoever has one of the publish keys (RFC 6750 section 2.1).
 * Layer: auth.
 */
#ifndef JOBWIRE_PUBLISH_KEY_H
#define JOBWIRE_PUBLISH_KEY_H

#include "auth/secrets.h"
#include "base/err.h"

/*
 * authorization: the header field's value, `Bearer KEY`. All keys are tried and
 * the comparison takes the same time whatever they hold. ERR_NOENT: there are
 * no keys; ERR_AUTH: missing or none of them; ERR_NOMEM: not known.
 */
CHECK_RESULT enum err publish_key_check(
    const struct secrets *keys, const char *authorization);

#endif
