/*
 * A bridge that asks iptables shows a packet to PREROUTING twice, when it is not for one of its ports: at the port, and again when the
 * bridge hands it up. The agent may take it for two packets: of which only one met FORWARD, only the other POSTROUTING; of which
 * only one met more than the beginning of PREROUTING, only the other our checkpoints behind it; or, where conntrack has translated
 * it meanwhile, of which one came as the other left PREROUTING.
 */
#pragma once

#include "collector/stitch/path.h"

/* Are a and b, in this order, halves of one passage? */
bool are_halves(const struct around *around, const struct hop *a, const struct hop *b);

/* Makes one hop of two neighbouring ones that are halves of one passage. 0 or -errno. */
int halves_join(struct path *p, const struct around *around, struct arena *arena);
