/* SPDX-License-Identifier: ISC */
/*
 * webhook.cgi: takes a webhook, a registration or a publication per process,
 * started by the web server as a CGI program, or as a FastCGI process
 * (mod_fcgid). app/webhook does it all.
 */
#include "app/webhook.h"

static const char usage[] =
    "usage: webhook.cgi [--config FILE] [--db FILE] ...\n"
    "Takes webhooks and stores them as job events. A web server starts it, as\n"
    "a CGI program or with a listening socket as descriptor 0; from a shell\n"
    "use --check.\n";

int
main(int argc, char **argv)
{
	return webhook_main(PROGRAM_WEBHOOK_CGI, usage, argc, argv);
}
