/* SPDX-License-Identifier: ISC */
/*
 * events.cgi: streams job events to one client per process, started by the web
 * server as a CGI program, or as a FastCGI process (mod_fcgid). app/events does
 * it all.
 */
#include "app/events.h"

static const char usage[] =
    "usage: events.cgi [--config FILE] [--db FILE] ...\n"
    "Streams job events from the database to a browser. A web server starts\n"
    "it, as a CGI program or with a listening socket as descriptor 0; from a\n"
    "shell use --check.\n";

int
main(int argc, char **argv)
{
	return events_main(PROGRAM_EVENTS_CGI, usage, argc, argv);
}
