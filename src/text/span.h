/* SPDX-License-Identifier: ISC */
/*
 * Taking texts apart: spans (base/buf.h) are cut and trimmed, nothing is
 * copied. A set is the characters of a string; its NUL is none of them. Layer:
 * text, pure.
 */
#ifndef JOBWIRE_SPAN_H
#define JOBWIRE_SPAN_H

#include "base/buf.h"

/* Takes the text up to the first `mark`, which is dropped, off *rest; all of it
 * where there is none. It may be empty: walk while rest->n > 0. */
struct span span_cut(struct span *rest, char mark);

/* The same up to the first character of the set. */
struct span span_cut_any(struct span *rest, const char *set);

/* Without the characters of the set at the front. */
struct span span_skip(struct span s, const char *set);

/* And without those at the end. */
struct span span_trim(struct span s, const char *set);

/* Takes the prefix off *s. False, and nothing taken, where it is not there. */
bool span_cut_prefix(struct span *s, struct span prefix);

#endif
