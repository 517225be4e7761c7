/* SPDX-License-Identifier: ISC */
/*
 * jobwire-relay: carries a node's writes into the log of its cluster, and
 * applies what the log has. app/relay does it all.
 */
#include "app/relay.h"

static const char usage[] =
    "usage: jobwire-relay [--config FILE] ...\n"
    "Sends what this node of a cluster has taken to Redis, and applies what "
    "all\n"
    "nodes have sent there, in the one order that Redis gives it.\n";

int
main(int argc, char **argv)
{
	return relay_main(usage, argc, argv);
}
