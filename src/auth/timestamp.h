/* SPDX-License-Identifier: ISC */
/*
 * How senders write times. Layer: auth, pure.
 */
#ifndef JOBWIRE_TIMESTAMP_H
#define JOBWIRE_TIMESTAMP_H

#include <stdint.h>

#include "base/err.h"

/* Is the decimal number of seconds since 1970 at most five minutes from now_s,
 * in both directions? ERR_AUTH: it is no such number; ERR_EXPIRED: no. */
enum { TIMESTAMP_TOLERANCE_S = 300 };
CHECK_RESULT enum err timestamp_check(const char *text, int64_t now_s);

#endif
