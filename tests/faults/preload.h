/* SPDX-License-Identifier: ISC */
/* For libraries that are preloaded: what they stand in front of. */
#ifndef JOBWIRE_PRELOAD_H
#define JOBWIRE_PRELOAD_H

#include <dlfcn.h>
#include <stdlib.h>

#define REAL(name) (__extension__(__typeof__(&name)) real(#name))

static inline void *
real(const char *name)
{
	void *found = dlsym(RTLD_NEXT, name);

	if (found == NULL)
		abort();
	return found;
}

#endif
