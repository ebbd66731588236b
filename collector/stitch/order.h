/*
 * The order in which a packet met its hops. Routers lower the TTL by one, so that it tells; where a rule raised it
 * on the way, each hop is followed by the one that fits best to how the packet left it.
 */
#pragma once

#include "collector/stitch/path.h"

/* Of journeys with one fingerprint: did a rule raise the TTL of any on its way, as far as they tell? */
bool ttl_was_raised(const struct stored_journey *const *list, size_t count);
void path_order(struct path *p);
/* Says how neighbours were joined, and how sure that is where it is not in doubt already. */
void path_link(struct path *p);
