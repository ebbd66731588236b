/*
 * Gathering: all journeys that may have to do with a flow, on every host, whatever NAT made of its addresses.
 */
#pragma once

#include "collector/stitch/fleet.h"

struct gathered {
	struct stored_journey *list; /* each row once, by time */
	size_t count, cap;
	struct stored_conn *conns; /* whose tuples match the flow or what it became */
	size_t conn_count, conn_cap;
	bool cut;
	struct wall_ns
		whole_from; /* of packets before that, journeys may be left out (0: of none) */
};

/*
 * Starts from the journeys that match the flow and follows, until nothing new comes or a bound is met (then cut is
 * set): the same fingerprints elsewhere, every other tuple that was seen or that conntrack knows, both
 * directions, and the ICMP errors sent to any of the senders.
 */
int gather(struct gathered *g, struct fleet *f, const struct flow *flow, size_t limit);
