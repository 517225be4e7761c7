/* SPDX-License-Identifier: ISC */
/*
 * Percent-encoding (RFC 3986 section 2.1). Layer: text, pure.
 */
#ifndef JOBWIRE_PERCENT_H
#define JOBWIRE_PERCENT_H

#include "base/buf.h"

/* Appends the bytes that the text stands for; `plus` also turns + into a space
 * (WHATWG URL section 5.1). A stray % stays. */
void percent_decode(struct buf *out, struct span in, bool plus);

/* Appends the text of the bytes, all but unreserved characters encoded. */
void percent_encode(struct buf *out, struct span in);

#endif
