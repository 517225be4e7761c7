/* SPDX-License-Identifier: ISC */
/*
 * Which path is served by which handler. Layer: hook, internal to it.
 */
#ifndef JOBWIRE_ROUTES_H
#define JOBWIRE_ROUTES_H

#include "hook/call.h"

/* The handler of the call's request; NULL, with the refusal in c->answer. Sets
 * c->segments. Pure. */
const struct call_handler *routes_find(struct call *c);

/* Each in the file of its name, webhook_call.c and so on; cancel_call is in
 * run_call.c. */
extern const struct call_handler webhook_call, register_call, publish_call,
    run_call, cancel_call, ticket_call, preflight_call, health_call,
    metrics_call;

#endif
