/* SPDX-License-Identifier: ISC */
/*
 * Several processes that do the same work on one socket. Layer: app.
 */
#ifndef JOBWIRE_WORKERS_H
#define JOBWIRE_WORKERS_H

#include <stdbool.h>
#include <stddef.h>

#include "live/metrics.h"

/*
 * Runs work(arg, index) in n child processes and returns the exit status when
 * all have ended after SIGTERM or SIGINT, which they are sent. A child that
 * dies by itself is started again, after a pause that grows from 0.1 to 5 s
 * while it keeps dying young; the gauges of its slot, of which there are n, are
 * cleared. A second signal kills. Of SIGHUP and SIGUSR1 on_signal, in the
 * parent, says which signal they are sent. on_stop runs in the parent at the
 * first signal: it gives up what the parent holds open for its workers, the
 * listening socket above all, where clients would queue for nobody. With n = 1
 * there is no child: work runs in this process. Call with no threads and no
 * database open. Blocks.
 */
int workers_run(size_t n, struct metrics *slots,
    int (*work)(void *arg, size_t index),
    int (*on_signal)(void *arg, int signal), void (*on_stop)(void *arg),
    void *arg);

#endif
