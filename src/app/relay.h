/* SPDX-License-Identifier: ISC */
/*
 * main() of jobwire-relay. Layer: app.
 */
#ifndef JOBWIRE_APP_RELAY_H
#define JOBWIRE_APP_RELAY_H

/* Returns the exit status. Blocks. */
int relay_main(const char *usage, int argc, char **argv);

#endif
