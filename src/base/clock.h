/* SPDX-License-Identifier: ISC */
/*
 * Time and randomness. Layer: base. Nothing here blocks.
 */
#ifndef JOBWIRE_CLOCK_H
#define JOBWIRE_CLOCK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* CLOCK_MONOTONIC in microseconds: for deadlines and durations. */
int64_t clock_mono_us(void);

/* CLOCK_REALTIME in milliseconds since 1970: for what is shown or compared
 * with other machines. */
int64_t clock_real_ms(void);

enum { CLOCK_RFC3339_SIZE = 25 };

/* "2026-11-22T16:05:03.123Z" (RFC 3339, UTC, milliseconds), terminated. */
void clock_rfc3339(int64_t real_ms, char ret_text[CLOCK_RFC3339_SIZE]);

/* The reverse, for exactly this form. False for all else. */
bool clock_parse_rfc3339(const char *text, int64_t *ret_real_ms);

/* n bytes from getrandom(2); aborts when the kernel has none (never after
 * boot). */
void random_bytes(void *p, size_t n);

/* Uniform in lo..hi, both included; lo <= hi. For jitter, not for keys. */
int64_t random_between(int64_t lo, int64_t hi);

#endif
