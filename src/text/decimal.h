/* SPDX-License-Identifier: ISC */
/*
 * Whole numbers in decimal digits, without a sign. Layer: text, pure.
 */
#ifndef JOBWIRE_DECIMAL_H
#define JOBWIRE_DECIMAL_H

#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

/* Takes the digits at the front off *s. ERR_PROTO, and nothing taken, where
 * there is none or the number is larger than INT64_MAX. */
CHECK_RESULT enum err decimal_cut(struct span *s, int64_t *ret);

/* Reads a text that is such a number and nothing else; ERR_PROTO: it is not. */
CHECK_RESULT enum err decimal_read(struct span text, int64_t *ret);

#endif
