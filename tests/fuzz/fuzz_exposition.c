/* SPDX-License-Identifier: ISC */
/*
 * tools/exposition.c on any metrics that a web server hands to `jobwire top`:
 * what is there is a number, and a rate is none below 0.
 */
#undef NDEBUG
#include "../../tools/exposition.h"

#include <assert.h>
#include <math.h>
#include <stdint.h>

#include "base/buf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char name[] = "jobs{state=\"a\"}";
	struct exposition now = {BUF_INIT, 2000000}, before = {BUF_INIT, 0};
	double value, rate;

	buf_add(&now.text, data, size);
	buf_addf(&before.text, "%s 1\n", name);
	value = exposition_value(&now, name);
	assert(exposition_has(&now, name) == !isnan(value));
	rate = exposition_rate(&before, &now, name);
	assert(isnan(rate) || rate >= 0);
	exposition_done(&now);
	exposition_done(&before);
	return 0;
}
