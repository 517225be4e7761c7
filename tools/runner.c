/* SPDX-License-Identifier: ISC */
/*
 * jobwire-runner: submits jobs to RunPod, asks what became of them, cancels
 * them. app/runner does it all.
 */
#include "app/runner.h"

static const char usage[] =
    "usage: jobwire-runner [--config FILE] [--once] ...\n"
    "Submits the jobs that were started by POST .../jobs/ID/ACTION to RunPod,\n"
    "asks for what its webhooks did not tell, and cancels.\n";

int
main(int argc, char **argv)
{
	return runner_main(usage, argc, argv);
}
