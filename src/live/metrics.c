/* SPDX-License-Identifier: ISC */
/*
 * Sums the slots of all workers and writes them down. Does not know how many
 * of them live (app/workers does). Never blocks.
 */
#include "live/metrics.h"

#include <sys/mman.h>
#include <inttypes.h>

#include "base/metric.h"

#ifndef JOBWIRE_VERSION
#define JOBWIRE_VERSION "unknown"
#endif

enum err
metrics_new(size_t n, struct metrics **ret)
{
	void *p = mmap(NULL, n * sizeof(**ret), PROT_READ | PROT_WRITE,
	    MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		return ERR_NOMEM;
	*ret = p;
	return OK;
}

void
metrics_free(struct metrics **slots, size_t n)
{
	if (*slots != NULL)
		(void)munmap(*slots, n * sizeof(**slots));
	*slots = NULL;
}

void
metrics_clear_gauges(struct metrics *slot)
{
	slot->hub.open = 0;
	slot->hub.waiting = 0;
	slot->hub.lagging = 0;
	slot->hub.is_failing = 0;
	slot->fcgi.open = 0;
	slot->fcgi.body_bytes = 0;
	slot->watch.is_blind = false;
}

/* --- Exposition ----------------------------------------------------------- */

static const char *const end_names[STREAM_END_KINDS] = {
    [STREAM_COMPLETED] = "completed",
    [STREAM_LIFETIME] = "lifetime",
    [STREAM_DRAINED] = "drained",
    [STREAM_LAGGED] = "lagged",
    [STREAM_EXPIRED] = "expired",
    [STREAM_REVOKED] = "revoked",
    [STREAM_LEFT] = "left",
    [STREAM_FAILED] = "failed",
};

#define AT(member) offsetof(struct metrics, member)

/* Every plain number. */
static const struct {
	const char *name, *type, *help;
	size_t offset;
} numbers[] = {
    {"streams_open", "gauge", "Streams that are open.", AT(hub.open)},
    {"json_waiting", "gauge", "JSON requests that wait for an event.",
	AT(hub.waiting)},
    {"streams_lagging", "gauge", "Streams whose client reads too slowly.",
	AT(hub.lagging)},
    {"database_failing", "gauge", "Workers that cannot read the database now.",
	AT(hub.is_failing)},
    {"connections_open", "gauge", "FastCGI connections that are open.",
	AT(fcgi.open)},
    {"body_bytes", "gauge",
	"Bytes of bodies, and of answers that clients are slow to take.",
	AT(fcgi.body_bytes)},
    {"streams_opened_total", "counter", "Streams opened.", AT(hub.opened)},
    {"events_delivered_total", "counter", "Events sent to streams.",
	AT(hub.delivered)},
    {"events_replayed_total", "counter",
	"Of these, read from the table for one stream.", AT(hub.replayed)},
    {"replays_total", "counter",
	"Streams that caught up with events they had missed.", AT(hub.replays)},
    {"resyncs_total", "counter", "Clients told that history was lost.",
	AT(hub.resyncs)},
    {"overloads_total", "counter", "Streams turned away at max_streams.",
	AT(hub.overloads)},
    {"rows_read_total", "counter", "Rows read from the table.",
	AT(hub.rows_read)},
    {"rows_skipped_total", "counter", "Rows that could not be sent.",
	AT(hub.rows_skipped)},
    {"read_errors_total", "counter", "Readings of the database that failed.",
	AT(hub.read_errors)},
    {"watch_wakes_total", "counter", "File system events that named us.",
	AT(watch.hints)},
    {"watch_checks_total", "counter", "Looks into the database.",
	AT(watch.looks)},
    {"connections_total", "counter", "FastCGI connections accepted.",
	AT(fcgi.accepted)},
    {"requests_total", "counter", "Whole requests.", AT(fcgi.requests)},
    {"requests_refused_total", "counter",
	"Heads that were not let in, and answers that there was no room for.",
	AT(fcgi.refused)},
    {"requests_timed_out_total", "counter",
	"Connections that took too long to send or to read.",
	AT(fcgi.timed_out)},
};

/* All are read as atomics, though most are counted by plain code: to another
 * process they are memory that changes at any time. */
static uint64_t
sum_at(const struct metrics *slots, size_t n, size_t offset)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < n; i++) {
		const void *at = (const char *)&slots[i] + offset;

		sum += *(const _Atomic uint64_t *)at;
	}
	return sum;
}

static void
add_refusals(const struct metrics *slots, size_t n, struct buf *out)
{
	struct refusal_counts sum;

	for (size_t i = 0; i < REFUSAL_CODES; i++)
		sum.n[i] =
		    sum_at(slots, n, AT(refused.n) + i * sizeof(uint64_t));
	refusal_counts_add(out, "refusals_total",
	    "Requests to read that were refused, by code.", &sum);
}

static void
add_histogram(const struct metrics *slots, size_t n, size_t offset,
    const char *name, const char *help, struct buf *out)
{
	struct histogram sum = {0};

	for (size_t i = 0; i <= HISTOGRAM_BUCKETS; i++)
		sum.counts[i] = sum_at(slots, n,
		    offset + offsetof(struct histogram, counts) +
			i * sizeof(uint64_t));
	sum.sum_us =
	    sum_at(slots, n, offset + offsetof(struct histogram, sum_us));
	metric_add_histogram(out, name, help, &sum);
}

void
metrics_format(const struct metrics *slots, size_t n, struct buf *out)
{
	size_t blind = 0;

	metric_head(out, "build_info", "gauge", "The version; always 1.");
	buf_addf(
	    out, "jobwire_build_info{version=\"%s\"} 1\n", JOBWIRE_VERSION);
	metric_add(out, "workers", "gauge", "Worker processes.", n);
	for (size_t i = 0; i < n; i++)
		blind += slots[i].watch.is_blind ? 1 : 0;
	metric_add(out, "watch_blind", "gauge",
	    "Workers that poll because inotify is unusable.", blind);
	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
		metric_add(out, numbers[i].name, numbers[i].type,
		    numbers[i].help, sum_at(slots, n, numbers[i].offset));
	}
	metric_head(out, "streams_closed_total", "counter",
	    "Streams that ended, by reason.");
	for (size_t i = 0; i < STREAM_END_KINDS; i++)
		buf_addf(out,
		    "jobwire_streams_closed_total{reason=\"%s\"} %" PRIu64 "\n",
		    end_names[i],
		    sum_at(slots, n, AT(hub.closed) + i * sizeof(uint64_t)));
	metric_head(out, "auth_failures_total", "counter",
	    "Requests whose token or ticket was not accepted, by the rule.");
	for (size_t i = 0; i < TOKEN_RULES; i++)
		buf_addf(out,
		    "jobwire_auth_failures_total{rule=\"%s\"} %" PRIu64 "\n",
		    token_rule_texts[i].name,
		    sum_at(slots, n,
			AT(authenticator.failures) + i * sizeof(uint64_t)));
	add_refusals(slots, n, out);
	add_histogram(slots, n, AT(hub.commit_to_read),
	    "commit_to_read_seconds",
	    "From a row's created_at, which has milliseconds, to its reading.",
	    out);
	add_histogram(slots, n, AT(hub.read_to_sent), "read_to_sent_seconds",
	    "From a row's reading to its sending to one stream.", out);
}
