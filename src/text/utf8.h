/* SPDX-License-Identifier: ISC */
/*
 * UTF-8 out of bytes nobody vouches for. Layer: text, pure.
 */
#ifndef JOBWIRE_UTF8_H
#define JOBWIRE_UTF8_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"

/* Appends the bytes as valid UTF-8. What is ill-formed becomes U+FFFD, as many
 * as a browser would show (WHATWG Encoding section 8.1.1: one for each longest
 * prefix of a sequence, so three for the surrogate ED A0 80). */
void utf8_add(struct buf *out, struct span bytes);

/* Is it valid UTF-8 as it is? */
bool utf8_is_valid(struct span bytes);

/* Appends one code point; U+FFFD for a surrogate or above U+10FFFF. */
void utf8_add_code(struct buf *out, uint32_t code);

#endif
