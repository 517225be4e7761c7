/* SPDX-License-Identifier: ISC */
/*
 * How senders write keys, signatures and times. Layer: auth, pure.
 */
#ifndef JOBWIRE_WIRE_H
#define JOBWIRE_WIRE_H

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

/*
 * Decodes base64 (RFC 4648 section 4) or base64url (section 5), with or
 * without padding. For keys, not for what is compared: several texts can mean
 * the same bytes. ERR_PROTO: neither; ERR_LIMIT: more than max bytes. *ret_n
 * is written on success only, ret[0..max) in any case.
 */
CHECK_RESULT enum err wire_base64(
    struct span text, unsigned char *ret, size_t max, size_t *ret_n);

/* Decodes exactly 2 * n hex digits of either case. ERR_PROTO. */
CHECK_RESULT enum err wire_hex(struct span text, unsigned char *ret, size_t n);

/* Is the decimal number of seconds since 1970 at most five minutes from now_s,
 * in both directions? ERR_AUTH: it is no such number; ERR_EXPIRED: no. */
enum { WIRE_TOLERANCE_S = 300 };
CHECK_RESULT enum err wire_check_time(const char *text, int64_t now_s);

#endif
