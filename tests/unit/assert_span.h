/* SPDX-License-Identifier: ISC */
/*
 * Compares spans. A test includes it behind cmocka.h.
 */
#ifndef JOBWIRE_ASSERT_SPAN_H
#define JOBWIRE_ASSERT_SPAN_H

#include "base/buf.h"

static void
assert_span(struct span actual, struct span expected)
{
	assert_int_equal(actual.n, expected.n);
	assert_true(span_eq(actual, expected));
}

#endif
