/* SPDX-License-Identifier: ISC */
/*
 * The doctor's look at a node of a cluster: what its relay says of itself.
 * Blocks on a small file.
 */
#include <inttypes.h>

#include "base/clock.h"
#include "doctor.h"
#include "io/relay_status.h"

void
doctor_cluster(struct doctor *d)
{
	struct relay_status s;

	if (d->db == NULL || !db_is_clustered(d->db))
		return;
	if (relay_status_read(d->file.data, clock_real_ms(), &s) != OK) {
		doctor_say(d, FINDING_FAIL, "cluster",
		    "set redis_url, and start jobwire-relay",
		    "node %s has joined, and no relay has run yet",
		    db_node_id(d->db));
		return;
	}
	switch (s.state) {
	case RELAY_OK:
		doctor_say(d, FINDING_OK, "cluster", NULL,
		    "node %s is in touch with the others", s.node_id);
		break;
	case RELAY_AWAY:
		doctor_say(d, FINDING_WARN, "cluster",
		    "start jobwire-relay or Redis, or mend redis_url: all that "
		    "waits goes on by itself",
		    "node %s is away, %" PRId64 " of its writes wait: %s",
		    s.node_id, s.waiting, s.detail);
		break;
	case RELAY_BEHIND:
		doctor_say(d, FINDING_FAIL, "cluster",
		    "see docs/cluster.md, or man jobwire-relay",
		    "node %s is behind: %s", s.node_id, s.detail);
		break;
	}
}
