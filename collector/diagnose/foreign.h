/*
 * ICMP errors from hosts that nobody watches: what they say about a packet that went their way.
 */
#pragma once

#include "collector/diagnose/fate.h"

/*
 * The error about h's packet that somebody behind h made; NULL: none came back. *maker: who, by the address that he gave. It counts
 * also when a host on the way back, and not h's, saw it.
 */
const struct journey *foreign_error(const struct conversation *c, const struct hop *h,
				    struct wall_ns left, struct addr *maker);

/*
 * What it says became of the packet, into f: rejected, refused (the destination itself said so), or discarded with a cause. False: it
 * says nothing of that kind.
 */
bool foreign_fate(struct fate *f, const struct inquiry *q, const struct journey *error,
		  const struct addr *maker);
