/* SPDX-License-Identifier: ISC */
/*
 * jobwire-events: the FastCGI responder that streams job events. app/events
 * does it all.
 */
#include "app/events.h"

static const char usage[] =
    "usage: jobwire-events [--config FILE] [--socket PATH|HOST:PORT] ...\n"
    "Streams job events from the database to browsers, as a FastCGI\n"
    "responder. Listens on descriptor 0 when that is a socket, on LISTEN_FDS,\n"
    "or on --socket.\n";

int
main(int argc, char **argv)
{
	return events_main(PROGRAM_EVENTS, usage, argc, argv);
}
