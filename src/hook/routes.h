/* SPDX-License-Identifier: ISC */
/*
 * Which path is served by which handler. Layer: hook, internal to it.
 */
#ifndef JOBWIRE_ROUTES_H
#define JOBWIRE_ROUTES_H

#include "hook/call.h"

/* The handler of the call's request; NULL, with the refusal in c->answer. Sets
 * c->segment. Pure. */
const struct call_handler *routes_find(struct call *c);

/* Each in the file of its name: webhook_call.c and so on. */
extern const struct call_handler webhook_call, register_call, publish_call,
    ticket_call, ticket_preflight, health_call, metrics_call;

#endif
