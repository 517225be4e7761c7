/* SPDX-License-Identifier: ISC */
/*
 * main() of jobwire-events and events.cgi. Layer: app.
 */
#ifndef JOBWIRE_APP_EVENTS_H
#define JOBWIRE_APP_EVENTS_H

#include "conf/settings.h"

/* usage: the text before the flags. Returns the exit status. Blocks. */
int events_main(enum program program, const char *usage, int argc, char **argv);

#endif
