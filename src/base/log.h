/* SPDX-License-Identifier: ISC */
/*
 * Structured log lines on standard error. Layer: base.
 *
 *   2026-11-22T16:05:03.123Z level=warn event=accept_paused errno=EMFILE
 *
 * One line per call, written with one write(2), so lines of several threads
 * and processes do not mix. `event` is the stable name an operator greps for.
 * Values are escaped and cut to LOG_VALUE_MAX here and nowhere else, so a
 * hostile string can never forge a line. Never pass a secret, a token, a query
 * string or a body.
 */
#ifndef JOBWIRE_LOG_H
#define JOBWIRE_LOG_H

#include "base/err.h"

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARN, LOG_LEVEL_INFO };

enum { LOG_VALUE_MAX = 256 };

/* Lines above this level are dropped. Start value: info. Thread-safe. */
void log_set_level(enum log_level level);

/*
 * From now on lines go to the end of that file, which is made where it is
 * missing: it takes the place of descriptor 2, so that what libraries say goes
 * there, too. Again, once it was moved away. Lines of other threads go to the
 * one or the other, whole. On failure (ERR_SYS, errno kept) nothing changes.
 * Blocks on the disk.
 */
CHECK_RESULT enum err log_open(const char *path);

/*
 * Pairs of `const char *key, const char *value`, ended by NULL. A NULL value
 * drops its pair. Thread-safe; may block on a full pipe behind descriptor 2.
 */
void log_pairs(enum log_level level, const char *event, ...)
    __attribute__((sentinel));

#define log_error(...) log_pairs(LOG_LEVEL_ERROR, __VA_ARGS__, NULL)
#define log_warn(...) log_pairs(LOG_LEVEL_WARN, __VA_ARGS__, NULL)
#define log_info(...) log_pairs(LOG_LEVEL_INFO, __VA_ARGS__, NULL)

/* A number as a value: LOG_INT(n). Lives until the end of the block. */
#define LOG_INT(n) log_int((char[24]){0}, (long long)(n))
const char *log_int(char text[24], long long n);

#endif
