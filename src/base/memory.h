/* SPDX-License-Identifier: ISC */
/*
 * For the sake of libraries that do not look whether there is memory. Layer:
 * base.
 */
#ifndef JOBWIRE_MEMORY_H
#define JOBWIRE_MEMORY_H

#include <stdbool.h>
#include <stddef.h>

/* Could so many bytes be had now? Nobody else may take them before the caller
 * does but another thread, and only where memory is at its end. */
bool memory_is_there(size_t bytes);

#endif
