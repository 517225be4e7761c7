/* SPDX-License-Identifier: ISC */
/*
 * jobwire-webhook: the FastCGI responder that takes webhooks. app/webhook does
 * it all.
 */
#include "app/webhook.h"

static const char usage[] =
    "usage: jobwire-webhook [--config FILE] [--socket PATH|HOST:PORT] ...\n"
    "Takes webhooks and stores them as job events, as a FastCGI responder.\n"
    "Answers 200 only when the event is on the disk. Listens on descriptor 0\n"
    "when that is a socket, on LISTEN_FDS, or on --socket.\n";

int
main(int argc, char **argv)
{
	return webhook_main(PROGRAM_WEBHOOK, usage, argc, argv);
}
