/* SPDX-License-Identifier: ISC */
#include "base/memory.h"

#include <stdlib.h>

bool
memory_is_there(size_t bytes)
{
	void *volatile p = malloc(bytes); /* or a compiler leaves it out */
	bool is_there = p != NULL;

	free(p);
	return is_there;
}
