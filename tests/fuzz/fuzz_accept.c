/* SPDX-License-Identifier: ISC */
/*
 * web/accept.c on any bytes: case and further types that are taken change
 * nothing, and a range of our own decides as the standard says.
 */
#undef NDEBUG
#include "web/accept.h"

#include <assert.h>
#include <ctype.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"

#define TYPE "text/event-stream"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static enum accept
find_with(const char *field, const char *more)
{
	struct buf b = BUF_INIT;
	enum accept found;

	buf_add_str(&b, field);
	buf_add_str(&b, more);
	assert(buf_ok(&b));
	found = accept_find(b.len > 0 ? b.data : "", TYPE);
	buf_done(&b);
	return found;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *field = span_dup((struct span){(const char *)data, size});
	enum accept found, upper;

	assert(field != NULL);
	found = accept_find(field, TYPE);
	assert(found <= ACCEPT_NAMED);
	assert(*field != '\0' || found == ACCEPT_ANY);
	if (*field != '\0')
		assert(find_with(field, ", image/png") == found);
	/* Of ranges that name it alike, the first decides. */
	if (found == ACCEPT_NAMED)
		assert(find_with(field, "," TYPE ";q=0") == found);
	if (found == ACCEPT_GROUP || found == ACCEPT_ANY)
		assert(find_with(field, "," TYPE ";q=0.000") == ACCEPT_NOT);
	for (char *p = field; *p != '\0'; p++)
		*p = (char)toupper((unsigned char)*p);
	upper = accept_find(field, TYPE);
	assert(upper == found);
	free(field);
	return 0;
}
