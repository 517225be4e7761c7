/* SPDX-License-Identifier: ISC */
/*
 * Changes the settings of a running program for those that were loaded anew, by
 * the same table; opt.c loads. Pure.
 */
#include "conf/opt.h"

#include <string.h>

/* Of the member; what is not in a file has nothing to swap. */
static size_t
size_of(enum opt_type type)
{
	static const size_t sizes[] = {
	    [OPT_STRING] = sizeof(char *),
	    [OPT_INT] = sizeof(int64_t),
	    [OPT_DURATION] = sizeof(int64_t),
	    [OPT_SIZE] = sizeof(int64_t),
	    [OPT_CHOICE] = sizeof(int),
	    [OPT_FLAG] = 0,
	    [OPT_GONE] = 0,
	};

	return sizes[type];
}

static bool
is_same(const struct opt_def *d, const void *a, const void *b)
{
	if (d->type != OPT_STRING)
		return memcmp(a, b, size_of(d->type)) == 0;
	return span_eq(span_of(*(char *const *)a), span_of(*(char *const *)b));
}

static void
swap_bytes(void *a, void *b, size_t n)
{
	char kept[sizeof(int64_t)];

	memcpy(kept, a, n);
	memcpy(a, b, n);
	memcpy(b, kept, n);
}

void
opt_swap(const struct opt_def *defs, unsigned program, void *a, void *b,
    struct buf *ret_kept)
{
	for (; defs->name != NULL; defs++) {
		char *x = (char *)a + defs->offset;
		char *y = (char *)b + defs->offset;

		if ((defs->programs & program) == 0 || is_same(defs, x, y))
			continue;
		if (defs->live)
			swap_bytes(x, y, size_of(defs->type));
		else
			buf_addf(ret_kept, "%s%s",
			    ret_kept->len > 0 ? ", " : "", defs->name);
	}
}
