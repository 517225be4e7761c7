/* SPDX-License-Identifier: ISC */
/*
 * A webhook's body without what lets somebody in. Layer: hook, pure.
 */
#ifndef JOBWIRE_REDACT_H
#define JOBWIRE_REDACT_H

#include "base/buf.h"

/*
 * Appends the JSON object that body is, fit to be kept for the operator. It
 * still makes the same event. Left out, at any depth but in a result:
 *
 *   webhook   our own URL with its signature
 *   input     the echo of what somebody submitted, all but its job_id
 *   strings under a name with token, secret, password, key, auth, signature,
 *   cookie or credential in it: "[left out]"
 *   what follows sig=
 *
 * A result (output, payload) stays as it is: streams show it, too. Where
 * nothing has to go, the text is copied byte for byte. Appends nothing when the
 * body is no JSON object, with NaN taken for null: of that nobody can say what
 * it holds. Without memory out->failed is set.
 */
void redact_body(struct buf *out, struct span body);

#endif
