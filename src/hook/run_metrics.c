/* SPDX-License-Identifier: ISC */
/*
 * Runs outlive processes, and jobwire-runner is another one, so these numbers
 * stand in the database. Blocks on short looks into it.
 */
#include "hook/run_metrics.h"

#include <inttypes.h>
#include <string.h>

#include "base/clock.h"
#include "base/metric.h"
#include "store/runs.h"

static const char *const calls[] = {"submit", "status", "cancel"};
static const char *const outcomes[] = {
    "ok", "refused", "unreachable", "unknown"};

enum {
	CALLS = sizeof(calls) / sizeof(calls[0]),
	OUTCOMES = sizeof(outcomes) / sizeof(outcomes[0]),
};

struct table {
	int64_t n[CALLS][OUTCOMES];
};

static void
on_count(void *arg, const char *call, const char *outcome, int64_t n)
{
	struct table *t = arg;

	for (size_t i = 0; i < CALLS; i++)
		for (size_t k = 0; k < OUTCOMES; k++)
			if (strcmp(calls[i], call) == 0 &&
			    strcmp(outcomes[k], outcome) == 0)
				t->n[i][k] = n;
}

static void
add_runs(struct buf *out, const struct runs_open *open)
{
	int64_t now_ms = clock_real_ms();

	metric_head(
	    out, "runs", "gauge", "Runs that have not ended, by state.");
	for (enum run_state s = RUN_WAITING; s < RUN_ENDED; s++)
		buf_addf(out, "jobwire_runs{state=\"%s\"} %" PRId64 "\n",
		    run_state_name(s), open->n[s]);
	metric_head(out, "run_oldest_seconds", "gauge",
	    "Age of the oldest run in that state; 0: there is none.");
	for (enum run_state s = RUN_WAITING; s < RUN_ENDED; s++) {
		int64_t at = open->oldest_at[s];

		buf_addf(out,
		    "jobwire_run_oldest_seconds{state=\"%s\"} %" PRId64 "\n",
		    run_state_name(s),
		    at > 0 && at < now_ms ? (now_ms - at) / 1000 : 0);
	}
}

static void
add_calls(struct buf *out, const struct table *t)
{
	metric_head(out, "provider_calls_total", "counter",
	    "Calls of the provider's API, by what came of them.");
	for (size_t i = 0; i < CALLS; i++)
		for (size_t k = 0; k < OUTCOMES; k++)
			buf_addf(out,
			    "jobwire_provider_calls_total{call=\"%s\","
			    "outcome=\"%s\"} %" PRId64 "\n",
			    calls[i], outcomes[k], t->n[i][k]);
}

void
run_metrics_add(struct buf *out, struct db *db)
{
	struct runs_open open;
	struct table table = {0};

	if (db == NULL)
		return;
	if (runs_count(db, &open) == OK)
		add_runs(out, &open);
	if (runs_calls(db, on_count, &table) == OK)
		add_calls(out, &table);
}
