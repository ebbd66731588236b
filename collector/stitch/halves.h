/*
 * A bridge that asks iptables shows a packet to PREROUTING twice, when it is not for one of its ports: at the port, and again when the
 * bridge hands it up. Where conntrack has translated it meanwhile, the agent takes it for two packets.
 */
#pragma once

#include "collector/stitch/path.h"

/* Makes one hop of two neighbouring ones that are halves of one passage. 0 or -errno. */
int halves_join(struct path *p, struct arena *arena);
