/* SPDX-License-Identifier: ISC */
/*
 * jobwire-relay is another process, and writes how it is beside the database.
 */
#include "hook/cluster_health.h"

#include <inttypes.h>

#include "base/clock.h"
#include "base/metric.h"
#include "io/relay_status.h"

/* False: a single node. */
static bool
look(const struct db *db, struct relay_status *ret)
{
	*ret = (struct relay_status){.state = RELAY_AWAY};
	if (db == NULL || !db_is_clustered(db))
		return false;
	if (relay_status_read(db_path(db), clock_real_ms(), ret) != OK)
		*ret = (struct relay_status){.state = RELAY_AWAY};
	return true;
}

const char *
cluster_health_name(const struct db *db)
{
	struct relay_status s;

	return look(db, &s) ? relay_state_name(s.state) : NULL;
}

static uint64_t
counted(int64_t n)
{
	return n > 0 ? (uint64_t)n : 0;
}

void
cluster_health_add(struct buf *out, const struct db *db)
{
	struct relay_status s;
	int64_t now_ms = clock_real_ms();

	if (!look(db, &s))
		return;
	metric_head(out, "cluster_state", "gauge",
	    "1 for the state that this node is in.");
	for (enum relay_state i = RELAY_OK; i <= RELAY_BEHIND; i++)
		buf_addf(out, "jobwire_cluster_state{state=\"%s\"} %d\n",
		    relay_state_name(i), s.state == i);
	metric_add(out, "cluster_outbox_rows", "gauge",
	    "Writes of this node that the log has not brought back.",
	    counted(s.waiting));
	metric_add(out, "cluster_entries_behind", "gauge",
	    "Entries of the log that this node has not applied.",
	    counted(s.behind));
	metric_add(out, "cluster_contact_seconds", "gauge",
	    "Time since Redis has answered; 0: it never has.",
	    s.contact_ms > 0 ? counted(now_ms - s.contact_ms) / 1000 : 0);
	metric_add(out, "cluster_entries_applied_total", "counter",
	    "Entries of the log that were applied.", counted(s.applied));
	metric_add(out, "cluster_entries_refused_total", "counter",
	    "Of them those that no node carries out.", counted(s.refused));
	metric_add(out, "cluster_entries_cut_back_total", "counter",
	    "Entries taken back because Redis has lost them.",
	    counted(s.cut_back));
	metric_add(out, "cluster_entries_foreign_total", "counter",
	    "Entries removed because no relay has written them.",
	    counted(s.foreign));
	metric_add(out, "cluster_batches_total", "counter",
	    "Batches of this node that the log has taken.",
	    counted(s.published));
}
