/* SPDX-License-Identifier: ISC */
/*
 * main() of jobwire-runner. Layer: app.
 */
#ifndef JOBWIRE_APP_RUNNER_H
#define JOBWIRE_APP_RUNNER_H

/* Returns the exit status. Blocks. */
int runner_main(const char *usage, int argc, char **argv);

#endif
