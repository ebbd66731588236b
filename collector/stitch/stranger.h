/*
 * Strangers: what stands between two watched hosts and is not watched itself. The packet tells what it must have done.
 */
#pragma once

#include "collector/stitch/path.h"

struct stranger {
	struct addr addr; /* whom the host before sent it to; family 0: its routes do not tell */
	const struct fleet_host
		*host;  /* that one is watched, but told nothing of it; NULL: nobody of the fleet */
	int ttl;        /* by how much the TTL fell on the way; 0 also when unknown */
	bool ttl_known; /* both sides told it */
	bool translated;      /* it left the one host and reached the other with other addresses: */
	struct tuple in, out; /* as it left the one before, as it came to the one after */
};

/*
 * Does anything stand between two neighbouring hops of a path? It does when the TTL differs (and the one does not send it straight
 * to the other: then what is between was not seen), or the addresses do. How the packet left is known by POSTROUTING's last checkpoint, how it came by a step in PREROUTING: what was not seen so far is no
 * stranger's work.
 */
bool stranger_between(struct stranger *s, const struct fleet *f, const struct hop *before,
		      const struct hop *after);
