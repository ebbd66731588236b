/*
 * The hosts that a packet may have reached next, by the routes and routing rules of the one that it left.
 */
#pragma once

#include "collector/stitch/path.h"

enum { FLEET_NEXT_MAX = 4 };

struct fleet_next {
	bool known;       /* the host's routes tell where it went */
	struct addr addr; /* the first next hop's; family 0: none */
	const struct fleet_host *hosts[FLEET_NEXT_MAX];
	size_t count;  /* of hosts, also beyond FLEET_NEXT_MAX */
	bool stranger; /* some next hop is nobody's in the fleet */
};

/*
 * The hosts other than `from` that have a next hop's address, for the packet of h, which left by an interface of `from`. What chose its table is
 * followed as far as it is known; where that does not lead to the interface, each table's best route by it counts.
 */
void fleet_next(struct fleet_next *n, const struct fleet *f, const struct fleet_host *from,
		const struct hop *h);
