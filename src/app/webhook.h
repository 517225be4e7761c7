/* SPDX-License-Identifier: ISC */
/*
 * main() of jobwire-webhook and webhook.cgi. Layer: app.
 */
#ifndef JOBWIRE_APP_WEBHOOK_H
#define JOBWIRE_APP_WEBHOOK_H

#include "conf/settings.h"

/* usage: the text before the flags. Returns the exit status. Blocks. */
int webhook_main(
    enum program program, const char *usage, int argc, char **argv);

#endif
