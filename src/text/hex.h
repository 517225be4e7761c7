/* SPDX-License-Identifier: ISC */
/*
 * Hexadecimal digits. Layer: text, pure.
 */
#ifndef JOBWIRE_HEX_H
#define JOBWIRE_HEX_H

#include "base/buf.h"
#include "base/err.h"

/* The value of the n digits at p, of either case and 7 at the most; -1 where
 * one of them is no digit. */
int hex_value(const char *p, size_t n);

/* Decodes exactly 2 * n digits of either case. ERR_PROTO for all else, with
 * ret[0..n) overwritten in part. */
CHECK_RESULT enum err hex_read(struct span text, unsigned char *ret, size_t n);

/* Writes the 2 * n digits of the bytes, in lower case and terminated. */
void hex_write(char *ret, const unsigned char *bytes, size_t n);

#endif
