/* SPDX-License-Identifier: ISC */
/*
 * The buffer that unit tests are linked with, in place of the library's: its
 * content moves at every append.
 */
#ifndef JOBWIRE_MOVING_BUF
#define JOBWIRE_MOVING_BUF
#endif
#include "../../src/base/buf.c"
